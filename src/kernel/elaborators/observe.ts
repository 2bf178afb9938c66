// observe: outermost. Tells a failure which task it is about, and remembers failed tasks that nobody has looked at.
import { CancelledError, DependencyError, type TaskError } from '../../task/errors.ts';
import { type Elaborator, go } from '../path.ts';
import type { Task } from '../task.ts';

/** Failed tasks, so that the end of a run can name those whose future nobody awaited. */
export class FailureLedger {
  readonly #tasks: Task[] = [];
  #beyond = 0;
  readonly #capacity: number;

  /** @param capacity how many are kept; more are only counted */
  constructor(capacity = 10_000) {
    this.#capacity = capacity;
  }

  add(task: Task): void {
    if (this.#tasks.length < this.#capacity) this.#tasks.push(task);
    else this.#beyond++;
  }

  /** Those nobody has looked at up to now, and how many could not be kept. */
  unseen(): { readonly tasks: readonly Task[]; readonly beyond: number } {
    return { tasks: this.#tasks.filter((task) => !task.isObserved), beyond: this.#beyond };
  }
}

export function observe(ledger: FailureLedger): () => Elaborator {
  return () => ({
    name: 'observe',
    leave(task, outcome) {
      if (!outcome.ok) {
        tellWhere(outcome.error as TaskError, task);
        if (!task.isObserved && !isWanted(outcome.error)) ledger.add(task);
      }
      return go;
    },
  });
}

/** That a task was cancelled is what somebody wanted, and so is what follows from it: no news at the end of the run. */
function isWanted(error: unknown): boolean {
  const root = error instanceof DependencyError ? error.rootCause : error;
  return root instanceof CancelledError;
}

/** A failure that several tasks share tells of the first. */
function tellWhere(error: TaskError, task: Task): void {
  if (error.task !== undefined || !Object.isExtensible(error)) return;
  const executor = task.executor?.label;
  error.task = {
    taskId: task.id,
    app: task.app,
    tries: task.tryNumber + 1,
    ...(executor === undefined ? {} : { executor }),
  };
  const { message, stack } = error;
  error.message = `Task ${task.id} (${task.app}): ${message}`;
  if (stack?.includes(message)) error.stack = stack.replace(message, () => error.message);
}

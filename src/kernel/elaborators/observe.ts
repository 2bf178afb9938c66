// observe: outermost. Tells a failure which task it is about, gives its stacks the lines of the user's own files, and remembers
// failed tasks that nobody has looked at.
import {
  CancelledError,
  ChervilError,
  DependencyError,
  JoinError,
  type RemoteError,
  type TaskError,
} from '../../task/errors.ts';
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

/** Puts the places of the user's own files into a stack; what it does not know stays. */
export type MapStack = (stack: string) => string;

export function observe(ledger: FailureLedger, mapStack: MapStack = (stack) => stack): () => Elaborator {
  return () => ({
    name: 'observe',
    leave(task, outcome) {
      if (!outcome.ok) {
        tellWhere(outcome.error as TaskError, task, mapStack);
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
function tellWhere(error: TaskError, task: Task, mapStack: MapStack): void {
  if (error.task !== undefined || !Object.isExtensible(error)) return;
  const isToldAlready = tellsOfTask(error);
  if (!isToldAlready) mapStacks(error, mapStack);
  const executor = task.executor?.label;
  error.task = {
    taskId: task.id,
    app: task.app,
    tries: task.tryNumber + 1,
    ...(executor === undefined ? {} : { executor }),
  };
  const { message } = error;
  error.message = `Task ${task.id} (${task.app}): ${message}`;
  if (isToldAlready) return;
  const { stack } = error;
  if (stack?.includes(message)) error.stack = stack.replace(message, () => error.message);
}

/**
 * Whether an error does nothing but tell of another task's failure. It has no frames of its own, what it tells of was mapped
 * when that failed, and its stack is put together when somebody looks, with the message of then: looking at that of each
 * task of a long chain costs more than the chain.
 */
function tellsOfTask(error: TaskError): boolean {
  if (!(error instanceof DependencyError || error instanceof JoinError)) return false;
  const first = error.failures[0]?.error;
  return first instanceof ChervilError && first.task !== undefined;
}

/** The stacks of an error, of what it tells of an error afar, and of their causes. */
function mapStacks(error: TaskError, mapStack: MapStack): void {
  if (error.code === 'APP_ERROR') mapRemote(error.remote, mapStack, 0);
  let one: unknown = error;
  for (let depth = 0; depth < deepest && one instanceof Error && Object.isExtensible(one); depth++) {
    const { stack } = one;
    if (typeof stack === 'string') {
      const mapped = mapStack(stack);
      if (mapped !== stack) one.stack = mapped;
    }
    if (one instanceof AggregateError) for (const member of one.errors.slice(0, 100)) mapOwnStack(member, mapStack);
    one = one.cause;
  }
}

function mapOwnStack(error: unknown, mapStack: MapStack): void {
  if (error instanceof Error && typeof error.stack === 'string' && Object.isExtensible(error))
    error.stack = mapStack(error.stack);
}

function mapRemote(remote: RemoteError, mapStack: MapStack, depth: number): void {
  // It was made for this failure, of what arrived: nobody else has it yet.
  (remote as { stack: string }).stack = mapStack(remote.stack);
  if (depth > deepest) return;
  for (const member of remote.errors ?? []) mapRemote(member, mapStack, depth + 1);
  const { cause } = remote;
  if (cause !== undefined && 'message' in cause) mapRemote(cause, mapStack, depth + 1);
}

/** Causes beyond are left as they are. */
const deepest = 32;

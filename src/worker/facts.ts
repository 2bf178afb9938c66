// What a body can know of its task (`import { task } from 'chervil/task'`). The runner sets it; the module `chervil/task`
// reads it. Both may come from different copies of the package, so they meet under a registered symbol.
import type { AsyncLocalStorage } from 'node:async_hooks';

/** The facts of the task that runs. */
export interface TaskFacts {
  /** The task's number. */
  readonly id: number;
  /** 0 for the first try. */
  readonly try: number;
  readonly app: string;
  /** Aborted when the task is cancelled or times out. A body that listens can stop by itself; one that does not is killed. */
  readonly signal: AbortSignal;
  /** Writes a line to the task's log. */
  log(message: string): void;
}

interface Meeting {
  /** The task that runs in this thread; right wherever only one runs at a time. */
  current: TaskFacts | undefined;
  /** Made by `chervil/task` when it is imported, so that others need not pay for it. */
  storage: AsyncLocalStorage<TaskFacts> | undefined;
}

const place = Symbol.for('chervil.task.facts');

/** Where runner and `chervil/task` meet in this thread. */
export function meeting(): Meeting {
  const shared = globalThis as unknown as Record<symbol, Meeting | undefined>;
  let found = shared[place];
  if (found === undefined) {
    found = { current: undefined, storage: undefined };
    shared[place] = found;
  }
  return found;
}

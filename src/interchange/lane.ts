// A lane is what tasks of one runtime share: their queue, and the managers that could run them now. The core keeps one
// per runtime; nearly always there is just one, `python`.
import { TaskQueue } from './queue.ts';
import type { ReadyManagers } from './selectors.ts';

/** Tasks that need `runtime`, and the ready managers that have it. */
export class Lane {
  readonly runtime: string;
  readonly queue = new TaskQueue();
  readonly ready: ReadyManagers;
  /** How many managers have this runtime, ready or not. */
  managers = 0;

  constructor(runtime: string, ready: ReadyManagers) {
    this.runtime = runtime;
    this.ready = ready;
  }
}

/** More runtimes than this in one run are a mistake or an attack; tasks that name a further one are answered so. */
export const mostLanes = 64;

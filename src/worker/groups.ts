// The reaper of a run in this process: started with the first command, told of each process group, and it ends what is left
// of the run's commands when this process is gone, however it went. Executors of one run share it, as its end would end the
// commands of all of them.
import { endProcesses } from '../base/processes.ts';
import { type Reaper, startReaper } from '../base/reaper.ts';

interface Shared {
  readonly reaper: Reaper;
  users: number;
}

const shared = new Map<string, Shared>();

/** One executor's hold on the reaper of its run. */
export class CommandReaper {
  readonly #mark: string;
  #held: Shared | undefined;

  constructor(mark: string) {
    this.#mark = mark;
  }

  /**
   * Where process groups are told to it; every thread of this process may use it. Starts it at the first call.
   * @throws Error when /bin/bash cannot be started
   */
  get fd(): number {
    if (this.#held === undefined) {
      let held = shared.get(this.#mark);
      if (held === undefined) {
        held = { reaper: startReaper(this.#mark), users: 0 };
        shared.set(this.#mark, held);
      }
      held.users++;
      this.#held = held;
    }
    return this.#held.reaper.fd;
  }

  /** Ends a group whose thread is gone, with what left it. Never rejects. */
  end(group: number, taskId: number, tryNumber: number): Promise<boolean> {
    const marks = { CHERVIL_RUN: this.#mark, CHERVIL_TASK: `${taskId}.${tryNumber}` };
    return endProcesses({ group, marks }, { graceMs: 0 });
  }

  /** The last executor that lets go ends what is left of the run's commands, also what went on in the background. */
  async close(): Promise<void> {
    const held = this.#held;
    this.#held = undefined;
    if (held === undefined || --held.users > 0) return;
    shared.delete(this.#mark);
    await held.reaper.close();
  }
}

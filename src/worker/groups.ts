// The reaper of an executor that runs commands in this process: started with the first command, told of each process group,
// and it ends what is left of the run's commands when this process is gone, however it went.
import { endProcesses } from '../base/processes.ts';
import { type Reaper, startReaper } from '../base/reaper.ts';

export class CommandReaper {
  readonly #mark: string;
  #reaper: Reaper | undefined;

  constructor(mark: string) {
    this.#mark = mark;
  }

  /** Descriptor to tell it of groups; every thread of this process may use it. */
  get fd(): number {
    this.#reaper ??= startReaper(this.#mark);
    return this.#reaper.fd;
  }

  /** Ends a group whose thread is gone, with what left it. */
  end(group: number, taskId: number, tryNumber: number): void {
    void endProcesses({ group, marks: { CHERVIL_RUN: this.#mark, CHERVIL_TASK: `${taskId}.${tryNumber}` } }, { graceMs: 0 });
  }

  /** Ends what is left of the run's commands, also what went on in the background. */
  async close(): Promise<void> {
    await this.#reaper?.close();
  }
}

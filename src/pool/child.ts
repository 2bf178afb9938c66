// One worker process, seen from its pool: starts it, moves frames, and finds out how it ended. The shell owns one for each rank.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { endProcesses } from '../base/processes.ts';
import { PoolClaims } from '../wire/claims.ts';
import { FrameCutter, FrameGatherer, fromWorker } from '../wire/link.ts';
import { oomKills } from './control-groups.ts';
import type { Death } from './events.ts';

/** How a worker is started. */
export interface ChildOptions {
  readonly rank: number;
  /** CHERVIL_WORKER: a name that no other process has. */
  readonly mark: string;
  readonly logDirectory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** Cores that it may use; `undefined` for all. */
  readonly cores: readonly number[] | undefined;
  readonly onFrame: (what: number, ticket: number, bytes: Buffer) => void;
  /** Called after a group of frames. */
  readonly onTurn: () => void;
  /** Nothing comes from it any more. `unanswered`: what it had begun, and of which nothing came. */
  readonly onGone: (death: Death, unanswered: readonly number[]) => void;
}

/** After its exit what is left in the pipe is waited for, at most so long: another process may hold the pipe. */
const drainMs = 500;
const tailBytes = 2_048;
const endings: ReadonlySet<number> = new Set([
  fromWorker.value,
  fromWorker.failure,
  fromWorker.abandoned,
  fromWorker.passedOver,
]);

export class WorkerChild {
  readonly #options: ChildOptions;
  readonly #process: ChildProcess;
  readonly #link: Socket;
  readonly #claims: PoolClaims;
  readonly #gatherer = new FrameGatherer();
  readonly #logFd: number;
  readonly #logFrom: number;
  readonly #oomKills = oomKills();
  #isGone = false;
  /** The ticket of the job that ended last: they end in order. */
  #lastEnded = 0;
  /** It said that it ends, with this exit code. */
  #toldExit: number | undefined;
  #onEnded: (() => void) | undefined;
  readonly ended: Promise<void>;

  constructor(options: ChildOptions) {
    this.#options = options;
    const { rank, environment, mark, cores } = options;
    this.#claims = new PoolClaims();
    this.#logFd = openSync(join(options.logDirectory, `worker_${rank}.log`), 'a+');
    this.#logFrom = fstatSync(this.#logFd).size;
    this.ended = new Promise((resolve) => {
      this.#onEnded = resolve;
    });
    // Also a worker that is stopped, and so cannot see its pool's end itself, ends with it.
    const program = [...endsWithParent(), ...options.command];
    // taskset becomes the program: the same process id, and all of its threads keep to the cores.
    const command = cores === undefined ? program : ['taskset', '-c', cores.join(','), ...program];
    this.#process = spawn(command[0] as string, command.slice(1), {
      detached: true,
      env: { ...process.env, ...environment, CHERVIL_WORKER: mark },
      stdio: ['ignore', this.#logFd, this.#logFd, 'pipe', 'pipe', this.#claims.fd],
    });
    const [, , , link, watch] = this.#process.stdio as (Socket | undefined)[];
    this.#link = link as Socket;
    watch?.on('error', () => {
      // Nothing is ever written to it.
    });
    const cutter = new FrameCutter((what, ticket, bytes) => {
      if (what === fromWorker.exiting) {
        this.#toldExit = ticket;
        return;
      }
      if (endings.has(what)) this.#lastEnded = ticket;
      options.onFrame(what, ticket, bytes);
    });
    this.#link.on('data', (piece: Buffer) => {
      cutter.add(piece);
      options.onTurn();
    });
    this.#link.on('error', () => {
      // It ended while we wrote; its end is told by `exit`.
    });
    this.#process.on('error', (error) => this.#gone(null, null, error.message));
    this.#process.on('exit', (exitCode, signal) => {
      const timer = setTimeout(() => this.#gone(exitCode, signal, ''), drainMs);
      const done = (): void => {
        clearTimeout(timer);
        this.#gone(exitCode, signal, '');
      };
      if (this.#link.closed) done();
      else this.#link.once('close', done);
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Adds a frame to the next write. */
  add(what: number, ticket: number, bytes: Uint8Array): void {
    this.#gatherer.add(what, ticket, bytes);
  }

  /** Writes what was added. */
  flush(): void {
    if (this.#gatherer.length > 0 && !this.#isGone) this.#link.write(this.#gatherer.take());
  }

  /** The ticket of the job that it began last; 0 for none. */
  get begun(): number {
    return this.#isGone ? 0 : this.#claims.begun;
  }

  takeBack(from: number, to: number): number {
    return this.#isGone ? Number.POSITIVE_INFINITY : this.#claims.takeBack(from, to);
  }

  /** Ends it with all that it started: commands have groups of their own, and carry its mark. */
  async kill(graceMs = 0): Promise<void> {
    const { pid } = this.#process;
    await endProcesses(
      { group: this.#isGone ? undefined : pid, marks: { CHERVIL_WORKER: this.#options.mark } },
      { graceMs },
    );
  }

  #gone(exitCode: number | null, signal: string | null, problem: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#link.destroy();
    // A Python worker has a process that watches the other end.
    (this.#process.stdio[4] as Socket | undefined)?.destroy();
    const stderrTail = problem === '' ? this.#tail() : problem;
    const begun = this.#claims.begun;
    this.#claims.close();
    closeSync(this.#logFd);
    // What its commands left: a worker that died could not end them. Its reaper does the same, if it had one.
    void endProcesses({ marks: { CHERVIL_WORKER: this.#options.mark } }, { graceMs: 0 }).then(() => this.#onEnded?.());
    const code = this.#toldExit ?? exitCode;
    const by = this.#toldExit === undefined ? signal : null;
    const unanswered = Array.from({ length: Math.max(0, begun - this.#lastEnded) }, (_, at) => begun - at);
    const reason = this.#reason(code, by, stderrTail);
    this.#options.onGone({ exitCode: code, signal: by, reason, stderrTail, begun }, unanswered);
  }

  #reason(exitCode: number | null, signal: string | null, tail: string): Death['reason'] {
    if (/heap out of memory|ERR_WORKER_OUT_OF_MEMORY/.test(tail)) return 'memory';
    if (signal === 'SIGKILL' && oomKills() > this.#oomKills) return 'memory';
    if (signal !== null) return signal === 'SIGKILL' ? 'unknown' : 'crash';
    return exitCode === 0 || tail === '' ? 'exit' : 'crash';
  }

  /** The last lines that it wrote to its log. */
  #tail(): string {
    try {
      const { size } = fstatSync(this.#logFd);
      const start = Math.max(this.#logFrom, size - tailBytes);
      const bytes = Buffer.alloc(Math.max(0, size - start));
      const read = readSync(this.#logFd, bytes, 0, bytes.length, start);
      return bytes.toString('utf8', 0, read).trim();
    } catch {
      // The log's file system is gone: the death is told all the same.
      return '';
    }
  }
}

let deathSignal: readonly string[] | undefined;

/** What makes the system end a program with its parent, where it can: Linux, with setpriv of util-linux 2.33 or later. */
function endsWithParent(): readonly string[] {
  if (deathSignal === undefined) {
    const setpriv = ['setpriv', '--pdeathsig', 'KILL', '--'];
    const isThere =
      process.platform === 'linux' &&
      spawnSync('setpriv', [...setpriv.slice(1), 'true'], { stdio: 'ignore' }).status === 0;
    deathSignal = isThere ? setpriv : [];
  }
  return deathSignal;
}

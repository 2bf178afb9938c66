// The interchange process of an executor: starts it, gives it its configuration, hears of its end, and ends it.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endProcesses } from '../../base/processes.ts';
import { type InterchangeConfig, writeConfig } from '../../wire/messages/config.ts';
import { wordsOf } from './words.ts';

/** How it ended: exit code or signal, and its own words. */
export interface InterchangeEnd {
  readonly how: string;
  readonly words: string;
}

const program = fileURLToPath(new URL('../../interchange/start.js', import.meta.url));
/** From the end of its input to its end. */
const leaveMs = 2_000;

export class InterchangeProcess {
  readonly #process: ChildProcess;
  readonly #path: string;
  readonly #isForeign: boolean;
  #end: InterchangeEnd | undefined;
  #killedBecause: string | undefined;
  readonly ended: Promise<InterchangeEnd>;

  /**
   * @param command program and arguments; `undefined` for Chervil's own. Another one is treated as Parsl treats its interchange.py: its
   * input ends behind the configuration, and SIGTERM ends it
   */
  constructor(
    config: InterchangeConfig,
    directory: string,
    command: readonly string[] | undefined,
    environment: Readonly<Record<string, string>>,
  ) {
    this.#path = join(directory, 'interchange.stderr');
    this.#isForeign = command !== undefined;
    const stderr = openSync(this.#path, 'w');
    const [file, ...args] = command ?? [process.execPath, program];
    this.#process = spawn(file as string, args, {
      // Ctrl-C of the terminal is for this process, which then ends the interchange in order.
      detached: true,
      stdio: ['pipe', stderr, stderr],
      env: { ...process.env, ...environment },
    });
    closeSync(stderr);
    this.ended = new Promise((resolve) => {
      const done = (how: string): void => {
        this.#end ??= { how: this.#killedBecause ?? how, words: wordsOf(this.#path) };
        resolve(this.#end);
      };
      this.#process.once('error', (error) => done(`could not be started: ${error.message}`));
      this.#process.once('exit', (exitCode, signal) =>
        done(signal === null ? `ended with exit code ${exitCode}` : `was killed by ${signal}`),
      );
    });
    const { stdin } = this.#process;
    stdin?.on('error', () => {
      // It ended before it read its configuration: `ended` tells.
    });
    // The input of our own stays open: the end of it tells the interchange that this process is gone.
    if (this.#isForeign) stdin?.end(writeConfig(config));
    else stdin?.write(writeConfig(config));
    this.#process.unref();
    (stdin as unknown as { unref?: () => void } | null)?.unref?.();
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Ends it at once. @param how what is told as its end: it `…` */
  kill(how: string): void {
    this.#killedBecause = how;
    const { pid } = this.#process;
    if (pid !== undefined) void endProcesses({ group: pid }, { graceMs: 0 });
  }

  /** Lets it tell the pools to leave and end; kills it if it does not. */
  async close(): Promise<void> {
    const { pid } = this.#process;
    this.#process.ref();
    if (this.#isForeign) this.#process.kill('SIGTERM');
    else this.#process.stdin?.end();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), leaveMs);
    });
    if ((await Promise.race([this.ended, late])) === 'late' && pid !== undefined)
      await endProcesses({ group: pid }, { graceMs: 500 });
    clearTimeout(timer);
    await this.ended;
  }
}

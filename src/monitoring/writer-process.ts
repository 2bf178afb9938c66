// The run's end of the writer's process: starts it, wakes it, hears it, starts it again when somebody killed it, and waits
// for it at the end. monitor.ts owns one.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { WriterStart, WriterWord } from './writer.ts';

const program = fileURLToPath(new URL('./writer-main.js', import.meta.url));

/** Waking a process costs more than reading what it is woken for. */
const wakeMs = 50;

export interface WriterProcessOptions {
  readonly start: WriterStart;
  readonly log: (level: 'info' | 'warn' | 'error', text: string) => void;
  /** It cannot write this database, and never will. */
  readonly onRefused: (reason: string) => void;
}

export class WriterProcess {
  readonly #options: WriterProcessOptions;
  #child: ChildProcess;
  #starts = 0;
  #isClosing = false;
  #isRefused = false;
  #gone: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined;
  #wakeTimer: NodeJS.Timeout | undefined;
  /** Resolves when it has opened the database, has told why it cannot, or has trouble with it. */
  readonly settled: Promise<void>;
  #settle = (): void => {};

  constructor(options: WriterProcessOptions) {
    this.#options = options;
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#child = this.#spawn();
  }

  /** Of the process that runs now. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Tells it that there is something to read: soon, and once for all that comes until then. */
  wake(): void {
    if (this.#wakeTimer !== undefined || this.#isClosing) return;
    this.#wakeTimer = setTimeout(() => {
      this.#wakeTimer = undefined;
      const { stdin } = this.#child;
      // What it has not read yet wakes it already.
      if (stdin?.writable === true && stdin.writableLength === 0) stdin.write('.');
    }, wakeMs).unref();
  }

  #spawn(): ChildProcess {
    const { start, log } = this.#options;
    const environment = { ...process.env };
    // The marks of a run say what is ended with it; this process must outlive it by a moment.
    delete environment['CHERVIL_RUN'];
    delete environment['CHERVIL_TASK'];
    delete environment['NODE_OPTIONS'];
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', program].slice(
        process.allowedNodeEnvironmentFlags.has('--disable-warning') ? 0 : 1,
      ),
      {
        // Ctrl-C of the terminal is for the run.
        detached: true,
        stdio: ['pipe', 'pipe', 'pipe'],
        env: environment,
      },
    );
    this.#child = child;
    this.#starts++;
    child.stdin?.on('error', () => {}); // It is gone: `exit` tells.
    child.stdin?.write(`${JSON.stringify(start)}\n`);
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => this.#onLine(line));
    child.stderr?.on('data', (text) => log('error', `monitoring: ${String(text).trim()}`));
    this.#gone = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#onGone(`could not be started: ${error.message}`);
        resolve();
      });
      child.once('exit', (exitCode, signal) => {
        this.#onGone(signal === null ? `ended with exit code ${exitCode}` : `was killed by ${signal}`);
        resolve();
      });
    });
    this.#hold(false);
    return child;
  }

  /** Whether this process stays for it. */
  #hold(isHeld: boolean): void {
    const how = isHeld ? 'ref' : 'unref';
    this.#child[how]();
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr])
      (stream as unknown as { ref?(): void; unref?(): void } | null)?.[how]?.();
  }

  #onLine(line: string): void {
    const { log, onRefused } = this.#options;
    let word: WriterWord;
    try {
      word = JSON.parse(line) as WriterWord;
    } catch {
      log('warn', `monitoring: ${line}`);
      return;
    }
    switch (word.say) {
      case 'ready':
        for (const note of word.notes) log('warn', `monitoring: ${note}`);
        break;
      case 'refused':
        this.#isRefused = true;
        onRefused(word.reason);
        break;
      case 'problem':
        log('error', `monitoring: ${word.text}`);
        break;
      case 'well again':
        log('info', 'monitoring: the database is written again');
        break;
      default:
        word satisfies never;
    }
    this.#settle();
  }

  #onGone(how: string): void {
    if (this.#isRefused || (this.#isClosing && how === 'ended with exit code 0')) {
      this.#settle();
      return;
    }
    // A writer that dies at once, always, shall not be started a thousand times.
    const afterMs = Math.min(50 * 2 ** Math.min(this.#starts, 10), 30_000);
    if (this.#isClosing && this.#starts > 5) {
      this.#options.log(
        'error',
        `monitoring: the writer of the database ${how}; its events are in ${this.#options.start.feed}`,
      );
      return;
    }
    this.#options.log('error', `monitoring: the writer of the database ${how}; it is started again`);
    if (this.#isClosing) {
      this.#spawn();
      this.#hold(true);
      this.#child.stdin?.end();
      return;
    }
    this.#restart = setTimeout(() => {
      if (!this.#isClosing) this.#spawn();
    }, afterMs).unref();
  }

  /** Lets it write what is left. @returns false if it is not done after `limitMs`; it goes on by itself then */
  async close(limitMs: number): Promise<boolean> {
    this.#isClosing = true;
    clearTimeout(this.#wakeTimer);
    if (this.#restart !== undefined) clearTimeout(this.#restart);
    if (!this.#isRefused && (this.#child.exitCode !== null || this.#child.signalCode !== null)) this.#spawn();
    this.#hold(true);
    this.#child.stdin?.end();
    const limit = performance.now() + limitMs;
    for (;;) {
      const left = limit - performance.now();
      const { pid } = this.#child;
      const isGone = await within(this.#gone, left);
      if (!isGone) {
        this.#hold(false);
        return false;
      }
      if (this.#child.pid === pid) return true;
    }
  }
}

async function within(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), Math.max(0, ms));
  });
  const isDone = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return isDone;
}

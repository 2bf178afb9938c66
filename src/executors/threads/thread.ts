// One thread of the pool, seen from the executor: the jobs that it holds, its messages, its limits, and its end.
import { hostname } from 'node:os';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { TimeoutError, WorkerLostError, type TaskError } from '../../task/errors.ts';
import type { Answer, Attempt } from '../../task/ports.ts';
import { failureFromData, failureToData } from '../../wire/failures.ts';
import { checkValue, decodeValue, encodeValue } from '../../wire/values.ts';
import type { CommandReaper } from '../../worker/groups.ts';
import { asTaskError } from '../../worker/runner.ts';
import {
  claim,
  type FromThread,
  type FunctionEntry,
  type JobExtra,
  resultKind,
  resultStride,
  runningCell,
  slotCount,
  type ThreadData,
  type ToThread,
} from './messages.ts';
import type { KnownFunction } from './pool.ts';

/** What the pool does for its threads. */
export interface ThreadOwner {
  readonly mark: string;
  readonly reaper: CommandReaper;
  readonly memoryMegabytes: number | undefined;
  onAnswer(attempt: Attempt, answer: Answer, tookMs: number, by: Thread): void;
  onBegan(attempt: Attempt, by: Thread): void;
  onOutput(attempt: Attempt, stream: 'stdout' | 'stderr', text: string): void;
  /** Jobs that had not begun, and go to another thread. */
  onGivenBack(attempts: readonly Attempt[]): void;
  onGone(thread: Thread): void;
  log(level: 'warn' | 'error', message: string): void;
}

/** How long a body that does not answer a stop may go on; and one that said that it can stop. */
const graceMs = 50;
const stoppingGraceMs = 2_000;
const timerSlackMs = 5;

export class Thread {
  readonly name: string;
  readonly #owner: ThreadOwner;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #cells: Int32Array;
  readonly #since: Float64Array;
  readonly #held: (Attempt | undefined)[] = new Array(slotCount).fill(undefined);
  readonly #free: number[] = Array.from({ length: slotCount }, (_, index) => slotCount - 1 - index);
  readonly #knows = new Set<number>();
  readonly #groups = new Map<number, number>();
  readonly #stopping = new Map<number, NodeJS.Timeout>();
  #hasReaper = false;
  #limits = 0;
  #limitTimer: NodeJS.Timeout | undefined;
  #jobs: unknown[] = [];
  #functions: FunctionEntry[] = [];
  #isGone = false;
  #isRefed = true;
  #uncaught: Error | undefined;
  #ended: Promise<void>;

  constructor(owner: ThreadOwner, name: string) {
    this.#owner = owner;
    this.name = name;
    const { port1, port2 } = new MessageChannel();
    const cells = new SharedArrayBuffer(4 * (slotCount + 1));
    const since = new SharedArrayBuffer(8);
    this.#cells = new Int32Array(cells);
    this.#since = new Float64Array(since);
    this.#port = port1;
    const data: ThreadData = { port: port2, cells, since, mark: owner.mark };
    const { memoryMegabytes } = owner;
    this.#worker = new Worker(new URL('./entry.js', import.meta.url), {
      name,
      workerData: data,
      transferList: [port2],
      ...(memoryMegabytes === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: memoryMegabytes } }),
    });
    port1.on('message', (message: FromThread) => this.#onMessage(message));
    this.#worker.on('error', (error) => {
      this.#uncaught = error as Error;
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.on('exit', (exitCode) => {
        this.#onExit(exitCode);
        resolve();
      });
    });
    this.#rest();
  }

  /** Jobs that it holds. */
  get held(): number {
    return slotCount - this.#free.length;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Adds a job to the next message. Throws a SerializationError when its arguments cannot be sent. */
  add(attempt: Attempt, known: KnownFunction): void {
    let args: unknown = attempt.args;
    let isEncoded = false;
    if (!attempt.plainArgs && checkValue(args, `an argument of ${attempt.body.name}()`) === 'encode') {
      args = encodeValue(args);
      isEncoded = true;
    }
    const { tryNumber, timeoutMs, watched, files, wrappers } = attempt;
    let extra: JobExtra | undefined;
    if (isEncoded || tryNumber > 0 || timeoutMs > 0 || watched || files !== undefined || wrappers.length > 0) {
      extra = { tryNumber, timeoutMs, watched, files, wrappers, isEncoded };
    }
    if (!this.#knows.has(known.index)) {
      this.#knows.add(known.index);
      const { body } = attempt;
      this.#functions.push({ index: known.index, source: known.source, app: body.name, kind: body.kind === 'bash' ? 'bash' : 'function' });
    }
    const slot = this.#free.pop() as number;
    this.#held[slot] = attempt;
    attempt.note = new Holding(this, slot);
    Atomics.store(this.#cells, slot, claim.waiting);
    this.#jobs.push(slot, known.index, attempt.taskId, args, extra);
    if (timeoutMs > 0) this.#limits++;
  }

  /** Sends what was added. */
  send(): void {
    if (this.#jobs.length === 0) return;
    if (!this.#isRefed) {
      this.#isRefed = true;
      this.#worker.ref();
      this.#port.ref();
    }
    let reaperFd: number | undefined;
    if (!this.#hasReaper && this.#functions.some(({ kind }) => kind === 'bash')) {
      this.#hasReaper = true;
      reaperFd = this.#owner.reaper.fd;
    }
    const message: ToThread = { jobs: this.#jobs, functions: this.#functions.length > 0 ? this.#functions : undefined, reaperFd };
    this.#jobs = [];
    this.#functions = [];
    this.#post(message);
    if (this.#limits > 0) this.#watchLimits();
  }

  #post(message: ToThread): void {
    try {
      this.#port.postMessage(message);
    } catch (thrown) {
      if ('stop' in message) return;
      // One of the jobs cannot be cloned after all: each is sent by itself, and only that one fails.
      this.#postOneByOne(message, thrown);
    }
  }

  #postOneByOne(message: Exclude<ToThread, { stop: number }>, thrown: unknown): void {
    const stride = 5;
    let { functions } = message;
    for (let at = 0; at < message.jobs.length; at += stride) {
      try {
        this.#port.postMessage({ ...message, functions, jobs: message.jobs.slice(at, at + stride) });
        functions = undefined;
      } catch (error) {
        const slot = message.jobs[at] as number;
        const attempt = this.#release(slot);
        if (attempt !== undefined) this.#owner.onAnswer(attempt, { ok: false, error: asTaskError(error ?? thrown) }, 0, this);
      }
    }
  }

  #onMessage(message: FromThread): void {
    const { results, output, began, group, stopping } = message;
    if (output !== undefined) {
      for (let at = 0; at < output.length; at += 3) {
        const attempt = this.#held[output[at] as number];
        if (attempt !== undefined) this.#owner.onOutput(attempt, output[at + 1] as 'stdout', output[at + 2] as string);
      }
    }
    if (began !== undefined) {
      const attempt = this.#held[began];
      if (attempt !== undefined) this.#owner.onBegan(attempt, this);
    }
    if (group !== undefined) {
      if (group[1] === undefined) this.#groups.delete(group[0]);
      else this.#groups.set(group[0], group[1]);
    }
    if (stopping !== undefined) this.#extendGrace(stopping);
    if (results !== undefined) for (let at = 0; at < results.length; at += resultStride) this.#onResult(results, at);
    if (this.held === 0) this.#rest();
  }

  #onResult(results: readonly unknown[], at: number): void {
    const slot = results[at] as number;
    const kind = results[at + 1] as number;
    const data = results[at + 2];
    const tookMs = results[at + 3] as number;
    if (kind === resultKind.passedOver) {
      this.#free.push(slot);
      return;
    }
    const attempt = this.#release(slot);
    if (kind === resultKind.abandoned) this.end();
    if (attempt === undefined) return;
    if (kind === resultKind.value) {
      this.#owner.onAnswer(attempt, { ok: true, value: data }, tookMs, this);
    } else if (kind === resultKind.encoded) {
      this.#decode(attempt, data, tookMs);
    } else {
      this.#owner.onAnswer(attempt, { ok: false, error: failureFromData(data) }, tookMs, this);
    }
  }

  #decode(attempt: Attempt, data: unknown, tookMs: number): void {
    const answer = (value: unknown): void => this.#owner.onAnswer(attempt, { ok: true, value }, tookMs, this);
    const fail = (thrown: unknown): void => this.#owner.onAnswer(attempt, { ok: false, error: asTaskError(thrown) }, tookMs, this);
    try {
      const value = decodeValue(data);
      if (value instanceof Promise) value.then(answer, fail);
      else answer(value);
    } catch (thrown) {
      fail(thrown);
    }
  }

  #release(slot: number): Attempt | undefined {
    const attempt = this.#held[slot];
    if (attempt === undefined) return undefined;
    this.#held[slot] = undefined;
    this.#free.push(slot);
    this.#groups.delete(slot);
    if (attempt.timeoutMs > 0 && --this.#limits === 0) this.#clearLimits();
    const timer = this.#stopping.get(slot);
    if (timer !== undefined) {
      clearTimeout(timer);
      this.#stopping.delete(slot);
    }
    return attempt;
  }

  /** An idle thread does not keep the process alive. */
  #rest(): void {
    if (!this.#isRefed) return;
    this.#isRefed = false;
    this.#worker.unref();
    this.#port.unref();
  }

  /** Takes back jobs that have not begun, newest first. */
  takeBack(most: number): Attempt[] {
    const taken: Attempt[] = [];
    for (let slot = 0; slot < slotCount && taken.length < most; slot++) {
      if (this.#held[slot] === undefined) continue;
      if (Atomics.compareExchange(this.#cells, slot, claim.waiting, claim.takenBack) !== claim.waiting) continue;
      const attempt = this.#releaseTaken(slot);
      if (attempt !== undefined) taken.push(attempt);
    }
    return taken;
  }

  /** The slot stays out of use until the thread has passed it over: its message is on the way, and must not meet a new job. */
  #releaseTaken(slot: number): Attempt | undefined {
    const attempt = this.#held[slot];
    this.#held[slot] = undefined;
    if (attempt !== undefined && attempt.timeoutMs > 0 && --this.#limits === 0) this.#clearLimits();
    return attempt;
  }

  /** The slot of the job that runs, or -1; and for how long. */
  running(): { slot: number; forMs: number } {
    const slot = Atomics.load(this.#cells, runningCell) - 1;
    return { slot, forMs: slot < 0 ? 0 : Date.now() - (this.#since[0] as number) };
  }

  /** Ends a job: at once if it has not begun, otherwise politely, and then with the thread. */
  stop(slot: number, attempt: Attempt, error: TaskError): void {
    if (this.#held[slot] !== attempt) return;
    if (Atomics.compareExchange(this.#cells, slot, claim.waiting, claim.takenBack) === claim.waiting) {
      this.#releaseTaken(slot);
      return;
    }
    if (Atomics.load(this.#cells, slot) === claim.done) return;
    this.#post({ stop: slot, error: failureToData(error) });
    this.#stopping.set(
      slot,
      setTimeout(() => this.#endIfRuns(slot, attempt), graceMs),
    );
  }

  #extendGrace(slot: number): void {
    const timer = this.#stopping.get(slot);
    const attempt = this.#held[slot];
    if (timer === undefined || attempt === undefined) return;
    clearTimeout(timer);
    this.#stopping.set(
      slot,
      setTimeout(() => this.#endIfRuns(slot, attempt), stoppingGraceMs),
    );
  }

  #endIfRuns(slot: number, attempt: Attempt): void {
    this.#stopping.delete(slot);
    if (this.#held[slot] === attempt && Atomics.load(this.#cells, slot) === claim.running) this.end();
  }

  /** Bodies with a timeout that never let go of their thread are found here; others end themselves in the thread. */
  #watchLimits(): void {
    if (this.#limitTimer !== undefined) return;
    const { slot, forMs } = this.running();
    let nextMs = Number.POSITIVE_INFINITY;
    if (slot >= 0) {
      const attempt = this.#held[slot];
      if (attempt !== undefined && attempt.timeoutMs > 0) {
        // A command is ended in its thread, with a grace of its own.
        const graceMs = attempt.body.kind === 'bash' ? stoppingGraceMs : timerSlackMs;
        const leftMs = attempt.timeoutMs + graceMs - forMs;
        if (leftMs <= 0) {
          this.#overrun(slot, attempt);
          return;
        }
        nextMs = leftMs;
      }
    }
    for (const attempt of this.#held) if (attempt !== undefined && attempt.timeoutMs > 0) nextMs = Math.min(nextMs, attempt.timeoutMs + timerSlackMs);
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#limitTimer = setTimeout(
      () => {
        this.#limitTimer = undefined;
        this.#watchLimits();
      },
      Math.min(nextMs, 2 ** 30),
    );
  }

  #overrun(slot: number, attempt: Attempt): void {
    this.#drain();
    if (this.#held[slot] !== attempt) {
      this.#watchLimits();
      return;
    }
    this.#release(slot);
    this.end();
    this.#owner.onAnswer(attempt, { ok: false, error: new TimeoutError(attempt.timeoutMs) }, attempt.timeoutMs, this);
  }

  #clearLimits(): void {
    if (this.#limitTimer !== undefined) clearTimeout(this.#limitTimer);
    this.#limitTimer = undefined;
  }

  /** Reads what the thread has sent, without waiting for the loop's turn. */
  #drain(): void {
    for (let next = receiveMessageOnPort(this.#port); next !== undefined; next = receiveMessageOnPort(this.#port)) {
      this.#onMessage(next.message as FromThread);
    }
  }

  /** Ends the thread, whatever it does. What had not begun is given back; what ran is lost unless it was answered. */
  end(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#drain();
    void this.#worker.terminate();
    this.#leave((attempt) => {
      // What runs was asked to end by whoever calls this; a result that was not sent yet is computed again.
      this.#owner.onGivenBack([attempt]);
    });
  }

  #onExit(exitCode: number): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#drain();
    const { slot } = this.running();
    const error = this.#uncaught;
    const isMemory = (error as NodeJS.ErrnoException | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
    const limit = this.#owner.memoryMegabytes;
    const detail = isMemory
      ? ` The thread's heap reached its limit${limit === undefined ? '' : ` of ${limit} MB`}; give threads() a larger memoryMegabytes, or the task less to hold.`
      : error === undefined
        ? ' The body called process.exit().'
        : ` Uncaught ${error.name}: ${error.message}`;
    this.#owner.log('warn', `${this.name} ended with exit code ${exitCode}.${detail}`);
    this.#leave((attempt, index) => {
      if (index !== slot) {
        this.#owner.onGivenBack([attempt]);
        return;
      }
      const lost = new WorkerLostError({
        worker: this.name,
        host: hostname(),
        exitCode,
        reason: isMemory ? 'memory' : error === undefined ? 'exit' : 'crash',
        detail: detail.trim(),
        stderrTail: error !== undefined && !isMemory ? (error.stack ?? '') : '',
      });
      this.#owner.onAnswer(attempt, { ok: false, error: lost }, 0, this);
    });
  }

  #leave(onHeld: (attempt: Attempt, slot: number) => void): void {
    this.#clearLimits();
    for (const timer of this.#stopping.values()) clearTimeout(timer);
    this.#stopping.clear();
    this.#port.close();
    for (const [slot, group] of this.#groups) {
      const attempt = this.#held[slot];
      if (attempt !== undefined) this.#owner.reaper.end(group, attempt.taskId, attempt.tryNumber);
    }
    this.#owner.onGone(this);
    for (let slot = 0; slot < slotCount; slot++) {
      const attempt = this.#held[slot];
      this.#held[slot] = undefined;
      if (attempt !== undefined) onHeld(attempt, slot);
    }
  }

  /** Resolves when the thread has ended. */
  get ended(): Promise<void> {
    return this.#ended;
  }
}

/** Where an attempt is held. */
export class Holding {
  readonly thread: Thread;
  readonly slot: number;
  constructor(thread: Thread, slot: number) {
    this.thread = thread;
    this.slot = slot;
  }
}

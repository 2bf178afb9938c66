// One thread of the pool, seen from the executor: the jobs that it holds, its messages, and its end.
//
//   works --(a body must be ended, it is blocked, the pool closes)--> ends --('exit')--> gone
//     └─────────────────────(process.exit, a crash, out of memory)────────────────────────┘
//
// A thread is never ended while it could begin another body: what it has not begun is taken back first.
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { type TaskError, TimeoutError } from '../../task/errors.ts';
import { loadingLimit } from '../../task/limits.ts';
import type { Answer, Attempt, Body } from '../../task/ports.ts';
import { failureFromData, failureToData } from '../../wire/failures.ts';
import { decodeValue } from '../../wire/values.ts';
import type { CommandReaper } from '../../worker/groups.ts';
import { asTaskError } from '../../worker/runner.ts';
import type { KnownFunction } from './known.ts';
import { Limits, type RunningJob } from './limits.ts';
import { endedOnPurpose, lossOf } from './loss.ts';
import { type FromThread, outputStride, resultKind, resultStride, type ThreadData, type ToThread } from './messages.ts';
import { Outbox } from './outbox.ts';
import { Slots, slotCount } from './slots.ts';

/** What the pool does for its threads. */
export interface ThreadOwner {
  readonly mark: string;
  readonly reaper: CommandReaper;
  /** Descriptor of the reaper; `undefined` where none can be started, as then no command can either. */
  reaperFd(): number | undefined;
  readonly memoryMegabytes: number | undefined;
  /** How long a job with a timeout may load what it needs at least, in milliseconds. */
  readonly leastLoadingMs: number;
  /** So many looks in a row that find a thread quiet, though it holds jobs, show that it is blocked. */
  readonly blockedLooks: number;
  /** @param tookMs of the body; `undefined` when that is not known */
  onAnswer(attempt: Attempt, answer: Answer, tookMs: number | undefined, by: Thread): void;
  /** @param at milliseconds since the epoch */
  onBegan(attempt: Attempt, by: Thread, at: number): void;
  onOutput(attempt: Attempt, stream: 'stdout' | 'stderr', text: string): void;
  /** It has room again: it has said its last about a job. */
  onRoom(): void;
  /** Jobs that had not begun, and go to another thread. */
  onGivenBack(attempts: readonly Attempt[]): void;
  /** It ended by itself while none of its jobs had begun, of which these were: one of them may be the reason. */
  onLostBefore(attempts: readonly Attempt[], error: TaskError, by: Thread): void;
  /** It takes no more jobs: it is being ended, or has ended. */
  onLeft(thread: Thread): void;
  /** It ended before its program ran at all. */
  onStillborn(error: Error | undefined): void;
  log(level: 'warn' | 'error', message: string): void;
}

/** Where an attempt is held. */
export class Holding {
  readonly thread: Thread;
  readonly slot: number;
  /** It was reported as running. */
  hasBegun = false;
  constructor(thread: Thread, slot: number) {
    this.thread = thread;
    this.slot = slot;
  }
}

/** How long a body that does not react to a stop may go on; and one that said that it can stop. */
const graceMs = 50;
const stoppingGraceMs = 2_000;
/** How long a result that nobody waits for may take to be sent: it may be large, and a thread is costly to replace. */
const resultGraceMs = 10_000;

/**
 * A thread over its heap limit is given 16 MB more in which it can be ended in order; what does not fit there ends the whole process.
 * With V8's own size for young objects (48 MB on Node 24) one collection can bring more than that at once.
 * A single object beyond, such as a Map of millions that doubles its table, still can; nothing here can help that.
 */
const youngMegabytes = 32;

/** Whether a debugger can come. Not every Node.js has an inspector. */
function isDebugged(): boolean {
  const inspector = process.getBuiltinModule('node:inspector') as typeof import('node:inspector') | undefined;
  return inspector?.url() !== undefined;
}

export class Thread {
  readonly name: string;
  /** Resolves when it is gone, and everything that it held is answered or given back. */
  readonly ended: Promise<void>;
  readonly #owner: ThreadOwner;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #parcels: MessagePort;
  readonly #slots = new Slots();
  readonly #held: (Attempt | undefined)[] = new Array(slotCount).fill(undefined);
  /** Whose output comes from a slot, until the thread has said its last about it: that of a job may come behind its answer. */
  readonly #printing: (Attempt | undefined)[] = new Array(slotCount).fill(undefined);
  readonly #free: number[] = Array.from({ length: slotCount }, (_, index) => slotCount - 1 - index);
  readonly #outbox = new Outbox();
  /** Process groups of commands, by slot. */
  readonly #groups = new Map<number, { readonly group: number; readonly attempt: Attempt }>();
  /** Jobs that were asked to stop, and when they are ended if they do not. */
  readonly #stopping = new Map<Attempt, NodeJS.Timeout>();
  readonly #limits: Limits;
  /** Modules that the thread loads for the job in this slot. */
  #loading: { readonly slot: number; readonly modules: readonly string[] } | undefined;
  #state: 'works' | 'ends' | 'gone' = 'works';
  #isRefed = true;
  #uncaught: Error | undefined;
  /** Looks in a row that found it quiet though it holds jobs, and no result of it in between. */
  #quietLooks = 0;
  /** Of the last job that it told the end of. */
  #last: Body | undefined;
  #lastId = 0;
  #onIdle: (() => void) | undefined;
  #closeReason: TaskError | undefined;

  /** Throws when the system has no thread for it. */
  constructor(owner: ThreadOwner, name: string) {
    this.#owner = owner;
    this.name = name;
    this.#limits = new Limits(
      owner.leastLoadingMs,
      () => ({ attempt: this.#held[this.#slots.runningSlot], ...this.#slots.phase }),
      (attempt, at) => this.#onOverrun(attempt, at),
    );
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const parcels = new MessageChannel();
    this.#parcels = parcels.port1;
    const data: ThreadData = { port: port2, parcels: parcels.port2, memory: this.#slots.memory, mark: owner.mark };
    const { memoryMegabytes } = owner;
    this.#worker = new Worker(new URL('./entry.js', import.meta.url), {
      name,
      workerData: data,
      transferList: [port2, parcels.port2],
      resourceLimits: {
        maxYoungGenerationSizeMb: youngMegabytes,
        ...(memoryMegabytes === undefined ? {} : { maxOldGenerationSizeMb: memoryMegabytes }),
      },
    });
    port1.on('message', (message: FromThread) => this.#onMessage(message));
    this.#worker.on('error', (error) => {
      this.#uncaught = error as Error;
    });
    this.ended = new Promise((resolve) => {
      this.#worker.on('exit', (exitCode) => {
        void this.#onExit(exitCode).then(resolve);
      });
    });
    this.#rest();
  }

  /** Jobs that it holds, with those whose slot is not free yet. */
  get held(): number {
    return slotCount - this.#free.length;
  }

  /** How long the body that runs has run, in milliseconds. */
  get runningMs(): number {
    return this.#slots.runningMs;
  }

  /** Adds a job to the next message. Throws a SerializationError when its arguments cannot be sent. */
  add(attempt: Attempt, known: KnownFunction): void {
    const slot = this.#free.at(-1) as number; // the pool gives no more than half of the slots
    const { note } = attempt;
    this.#outbox.add(attempt, known, slot);
    this.#free.pop();
    if (this.#loading?.slot === slot) this.#loading = undefined;
    this.#slots.offer(slot);
    if (attempt.note !== note) {
      // A getter or a serializer in its arguments has stopped it while they were packed: the thread passes it over.
      this.#slots.takeBack(slot);
      return;
    }
    this.#held[slot] = attempt;
    this.#printing[slot] = attempt;
    attempt.note = new Holding(this, slot);
    if (attempt.timeoutMs > 0) this.#limits.add(attempt);
  }

  /** Sends what was added. */
  send(): void {
    if (this.#outbox.isEmpty) return;
    if (!this.#isRefed) {
      this.#isRefed = true;
      this.#worker.ref();
      this.#port.ref();
    }
    for (const { slot, thrown } of this.#outbox.send(this.#port, this.#parcels, () => this.#owner.reaperFd())) {
      const attempt = this.#release(slot);
      this.#vacate(slot);
      this.#owner.onRoom();
      if (attempt !== undefined)
        this.#owner.onAnswer(attempt, { ok: false, error: asTaskError(thrown) }, undefined, this);
    }
    if (this.held === 0) this.#rest();
  }

  #post(message: ToThread): void {
    this.#port.postMessage(message);
  }

  #onMessage({ results, output, group, stopping, loading }: FromThread): void {
    if (output !== undefined) {
      for (let at = 0; at < output.length; at += outputStride) {
        const attempt = this.#printing[output[at] as number];
        if (attempt !== undefined)
          this.#owner.onOutput(attempt, output[at + 1] as 'stdout' | 'stderr', output[at + 2] as string);
      }
    }
    if (group !== undefined) this.#onGroup(group[0], group[1]);
    if (stopping !== undefined) this.#extendGrace(stopping);
    if (loading !== undefined) this.#loading = { slot: loading[0], modules: loading[1] };
    if (results !== undefined) {
      this.#quietLooks = 0;
      for (let at = 0; at < results.length; at += resultStride) {
        this.#onResult(results[at] as number, results[at + 1] as number, results[at + 2], results[at + 3] as number);
      }
    }
    if (this.held === 0) this.#rest();
    if (this.#onIdle !== undefined && !this.#hasHeld()) this.#onIdle();
  }

  #onResult(slot: number, kind: number, data: unknown, tookMs: number): void {
    if (kind === resultKind.began) {
      const attempt = this.#held[slot];
      if (attempt !== undefined) this.#noteBegun(attempt, Date.now());
      return;
    }
    const attempt = this.#release(slot);
    this.#vacate(slot);
    if (kind === resultKind.abandoned) this.#kill();
    this.#owner.onRoom();
    if (attempt === undefined) return;
    this.#last = attempt.body;
    this.#lastId = attempt.taskId;
    switch (kind) {
      case resultKind.value:
        this.#owner.onAnswer(attempt, { ok: true, value: data }, tookMs, this);
        break;
      case resultKind.encoded:
        this.#decode(attempt, data, tookMs);
        break;
      default:
        this.#owner.onAnswer(attempt, { ok: false, error: failureFromData(data) }, tookMs, this);
    }
  }

  #decode(attempt: Attempt, data: unknown, tookMs: number): void {
    const answer = (value: unknown): void => this.#owner.onAnswer(attempt, { ok: true, value }, tookMs, this);
    const fail = (thrown: unknown): void =>
      this.#owner.onAnswer(attempt, { ok: false, error: asTaskError(thrown) }, tookMs, this);
    let value: unknown;
    try {
      value = decodeValue(data);
    } catch (thrown) {
      fail(thrown);
      return;
    }
    // A promise when a class of the user must be imported for it.
    if (value instanceof Promise) value.then(answer, fail);
    else answer(value);
  }

  #onGroup(slot: number, group: number | undefined): void {
    const attempt = this.#held[slot];
    if (group === undefined || attempt === undefined) this.#groups.delete(slot);
    else this.#groups.set(slot, { group, attempt });
  }

  /** The thread holds the job no longer. Its slot is free only when the thread has said its last about it. */
  #release(slot: number): Attempt | undefined {
    const attempt = this.#held[slot];
    if (attempt === undefined) return undefined;
    this.#held[slot] = undefined;
    this.#limits.delete(attempt);
    const timer = this.#stopping.get(attempt);
    if (timer !== undefined) {
      clearTimeout(timer);
      this.#stopping.delete(attempt);
    }
    return attempt;
  }

  /** It has said its last about what was in this slot. */
  #vacate(slot: number): void {
    this.#printing[slot] = undefined;
    this.#free.push(slot);
  }

  /** Whether one of its jobs is neither answered nor given back. A blocked thread never frees the slots of those that were taken back. */
  #hasHeld(): boolean {
    return this.#held.some((attempt) => attempt !== undefined);
  }

  /** An idle thread does not keep the process alive. */
  #rest(): void {
    // One that is being ended is waited for, although it holds nothing any more.
    if (!this.#isRefed || this.#state !== 'works') return;
    this.#isRefed = false;
    this.#worker.unref();
    this.#port.unref();
  }

  /** Tells of a body that has run for a while, though the thread has not come to say so. */
  noteRunning(quietMs: number): void {
    const { bodyMs, runningSlot } = this.#slots;
    if (bodyMs < quietMs) return;
    const attempt = this.#held[runningSlot];
    if (attempt !== undefined) this.#noteBegun(attempt, Date.now() - bodyMs);
  }

  #noteBegun(attempt: Attempt, at: number): void {
    const { note } = attempt;
    if (!attempt.watched || !(note instanceof Holding) || note.hasBegun) return;
    note.hasBegun = true;
    this.#owner.onBegan(attempt, this, at);
  }

  /** Takes back what has not begun. */
  takeBack(): Attempt[] {
    const taken: Attempt[] = [];
    for (let slot = 0; slot < slotCount; slot++) {
      if (this.#held[slot] !== undefined && this.#slots.takeBack(slot)) taken.push(this.#release(slot) as Attempt);
    }
    return taken;
  }

  /** Answers what is done, though the thread has not come to say so. */
  harvest(): void {
    for (let slot = 0; slot < slotCount; slot++) {
      const result = this.#held[slot] === undefined ? undefined : this.#slots.result(slot);
      const attempt = result && this.#release(slot);
      if (attempt === undefined) continue;
      this.#noteBegun(attempt, Date.now());
      this.#owner.onAnswer(attempt, { ok: true, value: result?.value }, undefined, this);
    }
  }

  /** Ends a job: at once if it has not begun, otherwise politely, and then with the thread. */
  stop(slot: number, attempt: Attempt, error: TaskError): void {
    if (this.#held[slot] !== attempt || this.#stopping.has(attempt)) return;
    if (this.#slots.takeBack(slot)) {
      this.#release(slot);
      return;
    }
    if (!this.#slots.isRunning(slot)) {
      this.#awaitResult(slot, attempt);
      return;
    }
    this.#post({ stop: slot, error: failureToData(error) });
    this.#stopping.set(
      attempt,
      setTimeout(() => this.#endStopped(slot, attempt), graceMs),
    );
  }

  #extendGrace(slot: number): void {
    const attempt = this.#held[slot];
    if (attempt === undefined || !this.#stopping.has(attempt)) return;
    clearTimeout(this.#stopping.get(attempt));
    this.#stopping.set(
      attempt,
      setTimeout(() => this.#endStopped(slot, attempt), stoppingGraceMs),
    );
  }

  /** Of a job whose grace is over. */
  #endStopped(slot: number, attempt: Attempt): void {
    if (!this.#killIfRuns(slot, attempt) && this.#held[slot] === attempt) this.#awaitResult(slot, attempt);
  }

  /** Its body is over and its result is on the way. A getter in it may keep it there for ever; nobody waits for it any more. */
  #awaitResult(slot: number, attempt: Attempt): void {
    const end = (): void => {
      // One that the slots keep has no getter. It gathers, perhaps behind the body that runs now.
      this.#killUnless(() => this.#held[slot] !== attempt || this.#slots.result(slot) !== undefined);
    };
    this.#stopping.set(attempt, setTimeout(end, resultGraceMs));
  }

  /** @returns whether the job's body runs, and then its thread is ended */
  #killIfRuns(slot: number, attempt: Attempt): boolean {
    return this.#killUnless(() => this.#held[slot] !== attempt || !this.#slots.isRunning(slot));
  }

  #killUnless(isOver: () => boolean): boolean {
    // First of all no other body may begin, so that none is cut off in its place.
    const back = this.takeBack();
    // IMPORTANT: only then it is read what came. Otherwise the result that is waited for could leave in between, and a body begin behind it.
    this.#drain();
    const kills = !isOver();
    if (kills) this.#kill();
    this.#owner.onGivenBack(back);
    return kills;
  }

  #onOverrun(attempt: Attempt, at: RunningJob['at']): void {
    const { slot } = attempt.note instanceof Holding ? attempt.note : { slot: this.#held.indexOf(attempt) };
    if (!this.#killIfRuns(slot, attempt)) return;
    this.#release(slot);
    const { timeoutMs } = attempt;
    if (at !== 'loading') {
      this.#owner.onAnswer(attempt, { ok: false, error: new TimeoutError(timeoutMs) }, timeoutMs, this);
      return;
    }
    const modules = this.#loading?.slot === slot ? this.#loading.modules : [];
    const limitMs = loadingLimit(timeoutMs, this.#owner.leastLoadingMs);
    this.#owner.onAnswer(
      attempt,
      { ok: false, error: new TimeoutError(timeoutMs, { modules, limitMs }) },
      undefined,
      this,
    );
  }

  /**
   * Looks whether it is blocked: it holds jobs, but takes up none and passes none over, although none runs and none is read. A body
   * that has ended may do that, by what it left behind. Nobody waits for that; so the thread is ended, and its jobs run elsewhere.
   * Looks are counted, not time: while the whole process stands still, or the program's own thread is busy, there are none.
   */
  look(): void {
    if (this.held === 0 || !this.#slots.isQuiet) this.#quietLooks = 0;
    else if (++this.#quietLooks >= this.#owner.blockedLooks) this.#endIfBlocked();
  }

  #endIfBlocked(): void {
    // With a debugger a thread may stand still for hours.
    if (isDebugged()) return;
    this.#quietLooks = 0;
    // IMPORTANT: first of all it can begin no other. What is held then has begun, and its result is being sent.
    const back = this.takeBack();
    if (!this.#hasHeld()) {
      const calls = back.length === 1 ? '1 call waits' : `${back.length} calls wait`;
      const last =
        this.#last === undefined ? '' : ` The last to run there was task ${this.#lastId} (${this.#last.name}).`;
      this.#owner.log(
        'warn',
        `${this.name} is ended: ${calls} there, none runs, and it takes up none. A body has left something there that goes on without end.${last}`,
      );
      this.#kill();
    }
    this.#owner.onGivenBack(back);
  }

  /** Reads what the thread has sent, without waiting for the loop's turn. */
  #drain(): void {
    for (let next = receiveMessageOnPort(this.#port); next !== undefined; next = receiveMessageOnPort(this.#port)) {
      this.#onMessage(next.message as FromThread);
    }
  }

  /** Ends the thread, whatever it does. What it held is seen to when it is gone. */
  #kill(): void {
    if (this.#state !== 'works') return;
    this.#state = 'ends';
    // It is ended for what it runs; nobody waits for the exit, but the process must not go before it.
    this.#worker.ref();
    this.#owner.onLeft(this);
    this.#owner.onGivenBack(this.takeBack());
    void this.#worker.terminate();
  }

  /** Stops what runs, politely where that works, and ends the thread. What has not begun is given back. */
  async close(reason: TaskError): Promise<void> {
    this.#closeReason = reason;
    this.#owner.onGivenBack(this.takeBack());
    for (let slot = 0; slot < slotCount; slot++) {
      const attempt = this.#held[slot];
      if (attempt !== undefined) this.stop(slot, attempt, reason);
    }
    if (this.#hasHeld()) {
      const idle = new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
      await Promise.race([idle, this.ended]);
    }
    this.#kill();
    await this.ended;
  }

  /** @returns when its commands are gone too */
  async #onExit(exitCode: number): Promise<void> {
    const wasKilled = this.#state === 'ends';
    if (!wasKilled) this.#owner.onLeft(this);
    this.#drain();
    this.#state = 'gone';
    this.harvest();
    this.#limits.end();
    this.#port.close();
    this.#parcels.close();
    // What ran when it ended, or ran commands for it.
    const commands = [...this.#groups.values()].map(({ group, attempt }) =>
      this.#owner.reaper.end(group, attempt.taskId, attempt.tryNumber),
    );
    this.#groups.clear();
    const how = { worker: this.name, exitCode, uncaught: this.#uncaught, memoryMegabytes: this.#owner.memoryMegabytes };
    const error = wasKilled ? (this.#closeReason ?? endedOnPurpose(this.name)) : lossOf(how);
    if (!wasKilled) this.#owner.log('warn', error.message);
    const unbegun: Attempt[] = [];
    let hasLost = false;
    for (let slot = 0; slot < slotCount; slot++) {
      if (this.#held[slot] === undefined) continue;
      const isLost = this.#slots.wasBegun(slot);
      const attempt = this.#release(slot) as Attempt;
      if (!isLost) {
        unbegun.push(attempt);
        continue;
      }
      hasLost = true;
      this.#noteBegun(attempt, Date.now());
      this.#owner.onAnswer(attempt, { ok: false, error }, undefined, this);
    }
    if (wasKilled || hasLost || !this.#slots.wasAlive) this.#owner.onGivenBack(unbegun);
    else this.#owner.onLostBefore(unbegun, error, this);
    this.#onIdle?.();
    if (!this.#slots.wasAlive && !wasKilled) this.#owner.onStillborn(this.#uncaught);
    await Promise.all(commands);
  }
}

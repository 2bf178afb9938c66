// The executor `threads`: which thread gets which task, and how many ahead. Threads are started when there is work for them.
//
//   kernel -> queue -> thread (a worker_thread, one body at a time, up to 128 quick jobs ahead)
//
// How many jobs a thread is given ahead follows from how long their functions took so far; what stands behind a body that takes
// longer than was thought is taken back, so jobs ahead never wait for long.
import { availableParallelism, hostname } from 'node:os';
import { CancelledError, ExecutorFailedError, type TaskError } from '../../task/errors.ts';
import { leastLoadingMs } from '../../task/limits.ts';
import type { Answer, Attempt, Executor, ExecutorHost, Place } from '../../task/ports.ts';
import { CommandReaper } from '../../worker/groups.ts';
import { asTaskError, stoppedError } from '../../worker/runner.ts';
import { type KnownFunction, KnownFunctions } from './known.ts';
import { Holding, Thread, type ThreadOwner } from './thread.ts';

export interface ThreadPoolOptions<Label extends string> {
  readonly label: Label;
  readonly max: number | undefined;
  readonly memoryMegabytes: number | undefined;
  /** How long a task with a timeout may load what it needs at least, in milliseconds. */
  readonly leastLoadingMs?: number;
  /** So many looks, a quarter of a second apart, must find a thread quiet before it counts as blocked. @default 12 */
  readonly blockedLooks?: number;
}

/** The note of an attempt that was stopped: nobody waits for its answer. */
const dropped = Symbol('dropped');

/** How long a body may keep others waiting behind it before they are taken to another thread. */
const patienceMs = 20;

/** A body that has run for so long is told of, whatever was expected of it. So often it is looked whether threads are blocked, too. */
const quietMs = 250;

/** How often a thread must be found quiet, though it holds jobs, before it counts as blocked: three seconds in all. */
const blockedLooks = 12;

/** So many threads in a row that end before they can run anything, and no more are tried. */
const mostStillborn = 3;

export class ThreadPool<Label extends string> implements Executor, ThreadOwner {
  readonly label: Label;
  readonly memoryMegabytes: number | undefined;
  readonly leastLoadingMs: number;
  readonly blockedLooks: number;
  readonly #max: number;
  readonly #hostName = hostname();
  #host: ExecutorHost | undefined;
  #reaper: CommandReaper | undefined;
  #threads: Thread[] = [];
  readonly #ending = new Set<Promise<void>>();
  readonly #functions = new KnownFunctions();
  #queue: (Attempt | undefined)[] = [];
  #head = 0;
  #started = 0;
  #stillborn = 0;
  #isScheduled = false;
  /** Why it runs nothing any more: it was closed, or no thread can be started. */
  #over: TaskError | undefined;
  #balanceTimer: NodeJS.Timeout | undefined;
  #quietTimer: NodeJS.Timeout | undefined;
  /** Somebody has wanted to know when bodies start. */
  #isWatched = false;
  readonly #places = new WeakMap<Thread, Place>();
  /** Attempts whose thread ended before it had begun any of its jobs. Each is tried once more, alone. */
  readonly #suspects = new WeakSet<Attempt>();
  /** Threads that were given one of those: nothing is put behind it. */
  readonly #lone = new WeakSet<Thread>();

  constructor(options: ThreadPoolOptions<Label>) {
    this.label = options.label;
    this.#max = options.max ?? availableParallelism();
    this.memoryMegabytes = options.memoryMegabytes;
    this.leastLoadingMs = options.leastLoadingMs ?? leastLoadingMs;
    this.blockedLooks = options.blockedLooks ?? blockedLooks;
  }

  get load(): number {
    let held = 0;
    for (const thread of this.#threads) held += thread.held;
    return (this.#queue.length - this.#head + held) / this.#max;
  }

  get mark(): string {
    return (this.#host as ExecutorHost).mark;
  }

  get reaper(): CommandReaper {
    return this.#reaper as CommandReaper;
  }

  reaperFd(): number | undefined {
    try {
      return this.reaper.fd;
    } catch (thrown) {
      this.log('warn', `commands run unwatched: ${String(thrown)}`);
      return undefined;
    }
  }

  async start(host: ExecutorHost): Promise<void> {
    this.#host = host;
    this.#reaper = new CommandReaper(host.mark);
  }

  submit(attempt: Attempt): void {
    this.#queue.push(attempt);
    this.#isWatched ||= attempt.watched;
    this.#schedule();
  }

  stop(attempt: Attempt, reason: unknown): void {
    const { note } = attempt;
    attempt.note = dropped;
    if (note instanceof Holding) note.thread.stop(note.slot, attempt, stoppedError(reason));
  }

  /** Stops what runs, answers everything, and returns when no thread and no command is left. */
  async close(): Promise<void> {
    this.#over ??= new CancelledError('its executor was closed');
    if (this.#balanceTimer !== undefined) clearTimeout(this.#balanceTimer);
    clearTimeout(this.#quietTimer);
    this.#refuseQueued(this.#over);
    await Promise.all(this.#threads.map((thread) => thread.close(this.#over as TaskError)));
    await Promise.all(this.#ending);
    await this.#reaper?.close();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#deal();
    });
  }

  /** Gives what is queued to threads that have room, and starts threads while there are fewer than may be. */
  #deal(): void {
    while (this.#over === undefined) {
      const attempt = this.#peek();
      if (attempt === undefined) break;
      const known = this.#knownFor(attempt);
      if (known === undefined) continue;
      const ahead = this.#aheadOf(attempt, known);
      let thread = this.#roomiest(ahead);
      if ((thread === undefined || thread.held > 0) && this.#threads.length < this.#max)
        thread = this.#startThread() ?? thread;
      if (thread === undefined) break;
      this.#fill(thread, ahead);
    }
    if (this.#over !== undefined) this.#refuseQueued(this.#over);
    this.#trim();
    for (const thread of this.#threads) thread.send();
    this.#watchBalance();
    this.#watchQuiet();
  }

  /** The first that is still wanted. */
  #peek(): Attempt | undefined {
    while (this.#head < this.#queue.length) {
      const attempt = this.#queue[this.#head] as Attempt;
      if (attempt.note !== dropped) return attempt;
      this.#queue[this.#head++] = undefined;
    }
    return undefined;
  }

  /** Lets go of the part of the queue that is done with. */
  #trim(): void {
    if (this.#head === this.#queue.length) {
      if (this.#head > 0) this.#queue = [];
      this.#head = 0;
    } else if (this.#head > 10_000 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }

  #aheadOf(attempt: Attempt, known: KnownFunction): number {
    return this.#suspects.has(attempt) ? 1 : known.ahead;
  }

  #roomiest(ahead: number): Thread | undefined {
    let best: Thread | undefined;
    for (const thread of this.#threads) {
      const { held } = thread;
      // What stands behind a long body would only be taken back again.
      if (held > ahead / 2 || (held > 0 && (thread.runningMs >= patienceMs || this.#lone.has(thread)))) continue;
      if (best === undefined || held < best.held) best = thread;
    }
    return best;
  }

  /** Gives a thread its share of what is queued. */
  #fill(thread: Thread, ahead: number): void {
    const waiting = this.#queue.length - this.#head;
    const share = Math.min(ahead, Math.max(1, Math.ceil(waiting / this.#max))) - thread.held;
    for (let given = 0; given < Math.max(1, share); given++) {
      const attempt = this.#peek();
      const known = attempt && this.#knownFor(attempt);
      if (attempt === undefined || known === undefined || this.#aheadOf(attempt, known) < ahead) return;
      this.#queue[this.#head++] = undefined;
      if (this.#suspects.has(attempt)) this.#lone.add(thread);
      else this.#lone.delete(thread);
      try {
        thread.add(attempt, known);
      } catch (thrown) {
        this.#host?.answer(attempt, { ok: false, error: asTaskError(thrown) });
      }
    }
  }

  /** The function of the first in the queue; when it cannot be sent, that is the attempt's answer, and `undefined`. */
  #knownFor(first: Attempt): KnownFunction | undefined {
    try {
      return this.#functions.get(first.body);
    } catch (thrown) {
      this.#queue[this.#head++] = undefined;
      this.#host?.answer(first, { ok: false, error: asTaskError(thrown) });
      return undefined;
    }
  }

  #startThread(): Thread | undefined {
    try {
      const thread = new Thread(this, `${this.label}-${this.#started++}`);
      this.#threads.push(thread);
      const { ended } = thread;
      this.#ending.add(ended);
      void ended.then(() => this.#ending.delete(ended));
      return thread;
    } catch (thrown) {
      this.log('warn', `cannot start a thread: ${String(thrown)}`);
      // With fewer threads than wanted it can still work; a thread that ends makes room for another attempt.
      if (this.#threads.length === 0) this.#fail(thrown);
      return undefined;
    }
  }

  onStillborn(error: Error | undefined): void {
    this.#stillborn++;
    if (this.#stillborn >= mostStillborn) this.#fail(error);
  }

  #fail(cause: unknown): void {
    if (this.#over !== undefined) return;
    const why = cause instanceof Error ? cause.message : 'it ended at once';
    const limit = this.memoryMegabytes === undefined ? '' : ` Is memoryMegabytes: ${this.memoryMegabytes} too little?`;
    this.#over = new ExecutorFailedError(this.label, `its threads cannot be started: ${why}.${limit}`, cause);
    this.#host?.failed(this.#over);
    this.#schedule();
  }

  #refuseQueued(error: TaskError): void {
    for (let attempt = this.#peek(); attempt !== undefined; attempt = this.#peek()) {
      this.#queue[this.#head++] = undefined;
      this.#host?.answer(attempt, { ok: false, error });
    }
  }

  /** While a thread holds jobs that it has not begun, look now and then whether a long body keeps them waiting. */
  #watchBalance(): void {
    if (this.#balanceTimer !== undefined || this.#over !== undefined) return;
    if (!this.#threads.some((thread) => thread.held > 1)) return;
    this.#balanceTimer = setTimeout(() => {
      this.#balanceTimer = undefined;
      this.#balance();
    }, patienceMs).unref();
  }

  #balance(): void {
    for (const thread of this.#threads) {
      if (thread.held < 2 || thread.runningMs < patienceMs) continue;
      thread.harvest();
      this.onGivenBack(thread.takeBack());
    }
    this.#watchBalance();
  }

  onAnswer(attempt: Attempt, answer: Answer, tookMs: number | undefined, by: Thread): void {
    this.#stillborn = 0;
    if (tookMs !== undefined) this.#functions.took(attempt.body, tookMs);
    const { note } = attempt;
    if (note === dropped) return;
    attempt.note = undefined;
    if (attempt.watched && note instanceof Holding) {
      const now = Date.now();
      const place = this.#placeOf(by);
      if (!note.hasBegun && tookMs !== undefined) {
        note.hasBegun = true;
        this.#host?.report(attempt, 'running', place, now - tookMs);
      }
      if (note.hasBegun) this.#host?.report(attempt, 'running_ended', place, now);
    }
    this.#host?.answer(attempt, answer);
  }

  onBegan(attempt: Attempt, by: Thread, at: number): void {
    if (attempt.note !== dropped) this.#host?.report(attempt, 'running', this.#placeOf(by), at);
  }

  /** The same object each time: who listens knows it again. */
  #placeOf(thread: Thread): Place {
    let place = this.#places.get(thread);
    if (place === undefined) {
      place = { host: this.#hostName, worker: thread.name };
      this.#places.set(thread, place);
    }
    return place;
  }

  /** While threads hold jobs: looks for bodies that were taken for quick, and are not, if somebody wants to know; and for blocked threads. */
  #watchQuiet(): void {
    if (this.#quietTimer !== undefined) return;
    if (!this.#threads.some((thread) => thread.held > 0)) return;
    this.#quietTimer = setTimeout(() => {
      this.#quietTimer = undefined;
      for (const thread of this.#threads) {
        if (this.#isWatched) thread.noteRunning(quietMs);
        thread.look();
      }
      this.#watchQuiet();
    }, quietMs).unref();
  }

  onOutput(attempt: Attempt, stream: 'stdout' | 'stderr', text: string): void {
    this.#host?.output(attempt, stream, text);
  }

  onGivenBack(attempts: readonly Attempt[]): void {
    const wanted = attempts.filter((attempt) => attempt.note !== dropped);
    if (wanted.length === 0) return;
    for (const attempt of wanted) attempt.note = undefined;
    if (this.#over !== undefined) {
      for (const attempt of wanted) this.#host?.answer(attempt, { ok: false, error: this.#over });
      return;
    }
    this.#queue = [...wanted, ...this.#queue.slice(this.#head)];
    this.#head = 0;
    this.#schedule();
  }

  onLostBefore(attempts: readonly Attempt[], error: TaskError, by: Thread): void {
    const [only] = attempts;
    if (attempts.length === 1 && only !== undefined && this.#suspects.has(only)) {
      // Twice, and the second time alone: what it brings is what the thread cannot take, as arguments beyond its memory.
      this.onAnswer(only, { ok: false, error }, undefined, by);
      return;
    }
    for (const attempt of attempts) this.#suspects.add(attempt);
    this.onGivenBack(attempts);
  }

  onLeft(thread: Thread): void {
    this.#threads = this.#threads.filter((one) => one !== thread);
    this.onRoom();
  }

  onRoom(): void {
    if (this.#head < this.#queue.length) this.#schedule();
  }

  log(level: 'warn' | 'error', message: string): void {
    this.#host?.log(level, message);
  }
}

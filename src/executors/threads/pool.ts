// The executor `threads`: which thread gets which task, and how many ahead. Threads are started when there is work for them.
//
//   kernel -> queue -> thread (a worker_thread, one body at a time, up to 256 quick jobs ahead)
//
// How many jobs a thread is given ahead follows from how long their functions took so far; what a busy thread has not begun
// can be taken back for an idle one, so jobs ahead never wait for long.
import { availableParallelism, hostname } from 'node:os';
import type { Answer, Attempt, Body, Executor, ExecutorHost, FunctionSource, Place } from '../../task/ports.ts';
import { CommandReaper } from '../../worker/groups.ts';
import { asTaskError, stoppedError } from '../../worker/runner.ts';
import { Holding, Thread, type ThreadOwner } from './thread.ts';

/** A function, and how long its bodies took. */
export interface KnownFunction {
  readonly index: number;
  readonly source: FunctionSource;
  /** Of the slowest lately; `undefined`: never run. */
  slowestMs: number | undefined;
}

export interface ThreadPoolOptions {
  readonly label: string;
  readonly max: number | undefined;
  readonly memoryMegabytes: number | undefined;
}

const dropped = Symbol('dropped');

/** How long a body may keep others waiting behind it before they are taken to an idle thread. */
const patienceMs = 20;

export class ThreadPool implements Executor, ThreadOwner {
  readonly label: string;
  readonly memoryMegabytes: number | undefined;
  readonly #max: number;
  readonly #host_ = hostname();
  #host: ExecutorHost | undefined;
  #reaper: CommandReaper | undefined;
  #threads: Thread[] = [];
  readonly #ending = new Set<Promise<void>>();
  readonly #functions = new Map<Body, KnownFunction>();
  #queue: (Attempt | undefined)[] = [];
  #head = 0;
  #started = 0;
  #isScheduled = false;
  #isClosed = false;
  #rebalanceTimer: NodeJS.Timeout | undefined;

  constructor(options: ThreadPoolOptions) {
    this.label = options.label;
    this.#max = options.max ?? availableParallelism();
    this.memoryMegabytes = options.memoryMegabytes;
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

  async start(host: ExecutorHost): Promise<void> {
    this.#host = host;
    this.#reaper = new CommandReaper(host.mark);
  }

  submit(attempt: Attempt): void {
    this.#queue.push(attempt);
    this.#schedule();
  }

  stop(attempt: Attempt, reason: unknown): void {
    const { note } = attempt;
    attempt.note = dropped;
    if (note instanceof Holding) note.thread.stop(note.slot, attempt, stoppedError(reason));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#rebalanceTimer !== undefined) clearTimeout(this.#rebalanceTimer);
    for (const thread of [...this.#threads]) thread.end();
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
    if (this.#isClosed) return;
    for (;;) {
      const attempt = this.#peek();
      if (attempt === undefined) break;
      const known = this.#knownFor(attempt);
      if (known === undefined) {
        this.#head++;
        continue;
      }
      const ahead = aheadOf(known);
      let thread = this.#roomiest(ahead);
      if ((thread === undefined || thread.held > 0) && this.#threads.length < this.#max) thread = this.#startThread();
      if (thread === undefined) break;
      this.#fill(thread, ahead);
    }
    if (this.#head === this.#queue.length && this.#head > 0) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head > 10_000 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    for (const thread of this.#threads) thread.send();
    this.#watchBalance();
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

  #roomiest(ahead: number): Thread | undefined {
    let best: Thread | undefined;
    for (const thread of this.#threads) if (thread.held <= ahead / 2 && (best === undefined || thread.held < best.held)) best = thread;
    return best;
  }

  /** Gives a thread up to its share of jobs. */
  #fill(thread: Thread, ahead: number): void {
    const waiting = this.#queue.length - this.#head;
    const share = Math.min(ahead, Math.max(1, Math.ceil(waiting / this.#max))) - thread.held;
    for (let given = 0; given < Math.max(1, share); given++) {
      const attempt = this.#peek();
      if (attempt === undefined) return;
      const known = this.#knownFor(attempt);
      if (known === undefined || aheadOf(known) < ahead) return;
      this.#queue[this.#head++] = undefined;
      try {
        thread.add(attempt, known);
      } catch (thrown) {
        this.#host?.answer(attempt, { ok: false, error: asTaskError(thrown) });
      }
    }
  }

  /** The function of an attempt; `undefined` when it cannot be sent, which is its answer then. */
  #knownFor(attempt: Attempt): KnownFunction | undefined {
    const { body } = attempt;
    let known = this.#functions.get(body);
    if (known !== undefined) return known;
    try {
      known = { index: this.#functions.size, source: body.source as FunctionSource, slowestMs: undefined };
      this.#functions.set(body, known);
    } catch (thrown) {
      this.#host?.answer(attempt, { ok: false, error: asTaskError(thrown) });
    }
    return known;
  }

  #startThread(): Thread {
    const thread = new Thread(this, `${this.label}-${this.#started++}`);
    this.#threads.push(thread);
    const { ended } = thread;
    this.#ending.add(ended);
    void ended.then(() => this.#ending.delete(ended));
    return thread;
  }

  /** While some threads idle and others hold jobs that they have not begun, look now and then whether those should move. */
  #watchBalance(): void {
    if (this.#rebalanceTimer !== undefined) return;
    let mostHeld = 0;
    for (const thread of this.#threads) mostHeld = Math.max(mostHeld, thread.held);
    if (mostHeld < 2 || this.#max < 2) return;
    this.#rebalanceTimer = setTimeout(() => {
      this.#rebalanceTimer = undefined;
      this.#rebalance();
    }, patienceMs);
  }

  #rebalance(): void {
    const canTake = this.#threads.length < this.#max || this.#threads.some((thread) => thread.held === 0);
    if (canTake && this.#peek() === undefined) {
      const back: Attempt[] = [];
      for (const thread of this.#threads) if (thread.held > 1 && thread.running().forMs >= patienceMs) back.push(...thread.takeBack(thread.held - 1));
      if (back.length > 0) this.onGivenBack(back);
    }
    this.#watchBalance();
  }

  onAnswer(attempt: Attempt, answer: Answer, tookMs: number, by: Thread): void {
    const known = this.#functions.get(attempt.body);
    if (known !== undefined) known.slowestMs = Math.max(tookMs, (known.slowestMs ?? 0) * 0.8);
    if (attempt.watched) this.#host?.report(attempt, 'running_ended', this.#placeOf(by));
    this.#host?.answer(attempt, answer);
    if (this.#head < this.#queue.length) this.#schedule();
  }

  onBegan(attempt: Attempt, by: Thread): void {
    this.#host?.report(attempt, 'running', this.#placeOf(by));
  }

  #placeOf(thread: Thread): Place {
    return { host: this.#host_, worker: thread.name };
  }

  onOutput(attempt: Attempt, stream: 'stdout' | 'stderr', text: string): void {
    this.#host?.output(attempt, stream, text);
  }

  onGivenBack(attempts: readonly Attempt[]): void {
    const wanted = attempts.filter((attempt) => attempt.note !== dropped);
    if (wanted.length === 0) return;
    for (const attempt of wanted) attempt.note = undefined;
    this.#queue = [...wanted, ...this.#queue.slice(this.#head)];
    this.#head = 0;
    this.#schedule();
  }

  onGone(thread: Thread): void {
    this.#threads = this.#threads.filter((one) => one !== thread);
    if (this.#head < this.#queue.length) this.#schedule();
  }

  log(level: 'warn' | 'error', message: string): void {
    this.#host?.log(level, message);
  }
}

/** How many jobs of a function a thread may hold at once, by how long they take. */
function aheadOf(known: KnownFunction): number {
  const { slowestMs } = known;
  if (slowestMs === undefined || slowestMs > 5) return 1;
  if (slowestMs > 1) return 2;
  if (slowestMs > 0.2) return 16;
  return 128;
}


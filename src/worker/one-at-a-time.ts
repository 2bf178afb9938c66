// The order of work in a worker: jobs in a row, one body at a time, results in batches. Results of quick functions gather; before
// anything that may take long they leave, so that no result waits behind a long body. worker/main.ts feeds it.

import type { TaskError } from '../task/errors.ts';
import type { Answer } from '../task/ports.ts';
import { asTaskError, type Job, Run, type RunnerHost } from './runner.ts';

/** A function that came with a job, and how it has behaved. */
export interface KnownFunction {
  readonly app: string;
  readonly kind: 'function' | 'bash';
  /** The function itself, once loaded. */
  loaded: CallableFunction | undefined;
  load(): CallableFunction | Promise<CallableFunction>;
  runs: number;
  slowestMs: number;
}

/** A job that waits for its turn. */
export interface Pending {
  readonly ticket: number;
  /** Say when its body begins, whatever that costs: it has a timeout. */
  readonly isTimed: boolean;
  /** Somebody wants to know when its body begins. If it is quick, that is told with its result. */
  readonly isTold: boolean;
  /** What runs; throws what is to be its failure. */
  open(): { readonly known: KnownFunction; readonly job: Omit<Job, 'args'>; readonly args: unknown | Promise<unknown> };
  /** Around the run: such as variables of the environment. */
  enter?(): (() => void) | undefined;
}

/** Where results go. `answer` may gather; `flush` sends what has gathered. */
export interface Outlet {
  /** Takes a job to run it. False when it was taken back meanwhile. */
  claim(ticket: number): boolean;
  passedOver(ticket: number): void;
  began(ticket: number): void;
  /** Called while the job is still `current`. `beganAt` is in milliseconds since the epoch; 0: nobody wants to know. */
  answer(ticket: number, answer: Answer, isAbandoned: boolean, tookMs: number, beganAt: number): void;
  flush(): void;
  /** Results that have gathered. */
  readonly gathered: number;
}

/** Bodies quicker than this gather their results. */
const quickMs = 0.2;
const batchSize = 64;
/** So many quick runs make a function quick. */
const trustedRuns = 3;
/** Quick bodies in a row do not keep messages waiting for longer. */
const sliceMs = 2;

export class OneAtATime {
  readonly #outlet: Outlet;
  readonly #host: RunnerHost;
  #queue: (Pending | undefined)[] = [];
  #head = 0;
  /** The job that runs. */
  current: Pending | undefined;
  #run: Run | undefined;
  /** Of the current job. */
  #beganAt = 0;
  #isPumping = false;
  #isScheduled = false;
  /** An abandoned body still runs here: this worker is about to be ended. */
  #isOver = false;

  constructor(outlet: Outlet, host: RunnerHost) {
    this.#outlet = outlet;
    this.#host = host;
  }

  add(pending: Pending): void {
    this.#queue.push(pending);
    this.schedule();
  }

  /** Begins with what waits, after all that came in this turn was added. */
  schedule(): void {
    if (this.#isScheduled || this.current !== undefined) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#pump();
    });
  }

  /** Asks the job to end. True when it can: it runs a command, or its body listens. */
  stop(ticket: number, error: TaskError): boolean {
    if (this.current?.ticket !== ticket || this.#run === undefined || !this.#run.canStop) return false;
    this.#run.stop(error);
    return true;
  }

  #pump(): void {
    if (this.#isPumping || this.current !== undefined || this.#isOver) return;
    this.#isPumping = true;
    const until = performance.now() + sliceMs;
    while (this.#head < this.#queue.length && this.current === undefined && !this.#isOver) {
      const pending = this.#queue[this.#head] as Pending;
      this.#queue[this.#head++] = undefined;
      this.#begin(pending);
      if (this.current === undefined && (this.#head & 7) === 0 && performance.now() > until) {
        this.#isScheduled = true;
        setImmediate(() => {
          this.#isScheduled = false;
          this.#pump();
        });
        break;
      }
    }
    this.#isPumping = false;
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
      if (this.current === undefined) this.#outlet.flush();
    } else if (this.#isScheduled) {
      this.#outlet.flush();
    }
  }

  #begin(pending: Pending): void {
    const { ticket } = pending;
    const outlet = this.#outlet;
    if (!outlet.claim(ticket)) {
      outlet.passedOver(ticket);
      return;
    }
    const startedAt = performance.now();
    this.#beganAt = 0;
    this.current = pending;
    let known: KnownFunction | undefined;
    const fail = (thrown: unknown): void =>
      this.#end(ticket, known, { ok: false, error: asTaskError(thrown) }, false, 0);
    try {
      const opened = pending.open();
      known = opened.known;
      if (!isQuick(known) || outlet.gathered >= batchSize) outlet.flush();
      const { args, job } = opened;
      const loaded = known.loaded ?? known.load();
      if (loaded instanceof Promise || args instanceof Promise) {
        Promise.all([loaded, args]).then(
          ([fn, ready]) => this.#start(pending, opened.known, { ...job, args: ready as unknown[] }, fn, startedAt),
          fail,
        );
      } else {
        this.#start(pending, known, { ...job, args: args as unknown[] }, loaded, startedAt);
      }
    } catch (thrown) {
      fail(thrown);
    }
  }

  #start(pending: Pending, known: KnownFunction, job: Job, loaded: CallableFunction, startedAt: number): void {
    known.loaded = loaded;
    const run = new Run(job, this.#host);
    const leave = pending.enter?.();
    this.#run = run;
    const isTold = pending.isTimed || (pending.isTold && !isQuick(known));
    const onBody = isTold ? (): void => this.#onBody(pending) : undefined;
    // A quick body begins now.
    if (!isTold && pending.isTold) this.#beganAt = Date.now();
    const { ticket } = pending;
    run.start(
      undefined,
      loaded,
      (answer) => {
        leave?.();
        this.#end(ticket, known, answer, run.isAbandoned, performance.now() - startedAt);
      },
      onBody,
    );
  }

  /** What was loaded for it does not count for its timeout. */
  #onBody(pending: Pending): void {
    if (pending.isTold) this.#beganAt = Date.now();
    this.#outlet.began(pending.ticket);
  }

  #end(ticket: number, known: KnownFunction | undefined, answer: Answer, isAbandoned: boolean, tookMs: number): void {
    if (known !== undefined) {
      known.runs++;
      // It forgets slowly: a first run that had to load and compile does not count for ever.
      known.slowestMs = Math.max(tookMs, known.slowestMs * 0.8);
    }
    const outlet = this.#outlet;
    outlet.answer(ticket, answer, isAbandoned, tookMs, this.#beganAt);
    this.current = undefined;
    this.#run = undefined;
    if (isAbandoned) this.#isOver = true;
    if (isAbandoned || outlet.gathered >= batchSize || tookMs > quickMs) outlet.flush();
    if (!this.#isPumping) this.#pump();
  }
}

function isQuick({ runs, slowestMs }: KnownFunction): boolean {
  return runs >= trustedRuns && slowestMs < quickMs;
}

// What stands behind every future: a place for one outcome, those who wait for it, and a promise made on demand.
// Settling never recurses: who is settled by a settling waits its turn in one queue, so chains of any length need no stack.
import type { Outcome } from './outcome.ts';

/** Somebody who waits for a cell, and is told once. */
export interface Waiter {
  onSettled(by: Waitable): void;
  /** False once it has turned away: what it waited for may then forget it. */
  waitsFor(what: Waitable): boolean;
}

/** Something that can be waited for, and from which one can turn away. */
export interface Waitable {
  readonly isSettled: boolean;
  /** Only while not settled. */
  attach(waiter: Waiter): void;
  detach(waiter: Waiter): void;
}

/** The settled cells whose waiters have yet to be told. */
const settled: Cell[] = [];
let telling = false;

function tellWaiters(): void {
  if (telling) return;
  telling = true;
  try {
    for (let next = 0; next < settled.length; next++) {
      const cell = settled[next] as Cell;
      const waiters = cell.takeWaiters();
      if (waiters === undefined) continue;
      if (Array.isArray(waiters)) for (const waiter of waiters) tell(waiter, cell);
      else tell(waiters, cell);
    }
  } finally {
    settled.length = 0;
    telling = false;
  }
}

/** One who throws must not keep the others from hearing: that is a bug, and surfaces as an uncaught exception of its own. */
function tell(waiter: Waiter, cell: Cell): void {
  try {
    waiter.onSettled(cell);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** How many detached waiters a cell may keep before it looks through its list. */
const tolerated = 64;

export abstract class Cell implements Waitable {
  /** The task that this is about; derived futures have their task's. */
  abstract readonly id: number;
  /** Set once, when it is over. */
  outcome: Outcome | undefined = undefined;
  /** Somebody awaited it, or handed it on: its failure is not news at the end of the run. */
  isObserved = false;
  #waiters: Waiter | Waiter[] | undefined = undefined;
  #promise: Deferred | undefined = undefined;
  #detached = 0;

  /** What this is about in the end: itself, or, for a derived future, the task behind it. */
  get source(): Cell {
    return this;
  }

  get isSettled(): boolean {
    return this.outcome !== undefined;
  }

  attach(waiter: Waiter): void {
    if (this.#waiters === undefined) this.#waiters = waiter;
    else if (Array.isArray(this.#waiters)) this.#waiters.push(waiter);
    else this.#waiters = [this.#waiters, waiter];
  }

  /** A million may wait here, so one who turns away is only counted, and swept out when half the list is gone. */
  detach(waiter: Waiter): void {
    if (!Array.isArray(this.#waiters)) {
      if (this.#waiters === waiter) this.#waiters = undefined;
      return;
    }
    if (++this.#detached < tolerated || this.#detached * 2 < this.#waiters.length) return;
    this.#waiters = this.#waiters.filter((one) => one !== waiter && one.waitsFor(this));
    this.#detached = 0;
  }

  /** @internal */
  takeWaiters(): Waiter | Waiter[] | undefined {
    const waiters = this.#waiters;
    this.#waiters = undefined;
    return waiters;
  }

  /** Notes that somebody looks at how it ends. */
  observe(): void {
    this.isObserved = true;
  }

  /** Settles it, once, and tells those who wait. */
  settle(outcome: Outcome): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    this.#promise?.settle(outcome);
    if (this.#waiters !== undefined) {
      settled.push(this);
      tellWaiters();
    }
  }

  /** The promise of it. Whoever asks for it attaches to it at once: an unhandled rejection is then that of what was attached. */
  promise(): Promise<unknown> {
    this.observe();
    this.#promise ??= new Deferred(this.outcome);
    return this.#promise.promise;
  }
}

// One function for every promise, where a closure for each would be made a million times: its ends are taken at once.
let lastResolve: ((value: unknown) => void) | undefined;
let lastReject: ((error: unknown) => void) | undefined;
function takeEnds(resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
  lastResolve = resolve;
  lastReject = reject;
}

/** A promise with its two ends; most futures never need one. */
class Deferred {
  readonly promise: Promise<unknown>;
  #resolve: ((value: unknown) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;

  constructor(outcome: Outcome | undefined) {
    this.promise = new Promise(takeEnds);
    this.#resolve = lastResolve;
    this.#reject = lastReject;
    if (outcome !== undefined) this.settle(outcome);
  }

  settle(outcome: Outcome): void {
    if (outcome.ok) this.#resolve?.(outcome.value);
    else this.#reject?.(outcome.error);
    this.#resolve = undefined;
    this.#reject = undefined;
  }
}

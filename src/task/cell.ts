// What stands behind every future: a place for one outcome, and those who wait for it.
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

/** The future of a cell, as the cell knows it. */
export interface CellFuture {
  onSettled(): void;
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
      if (waiters instanceof Several) for (const waiter of waiters.all) tell(waiter, cell);
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

/** More than one who wait. A million may, so one who turns away is only counted, and swept out when half the list is gone. */
class Several {
  all: Waiter[];
  #detached = 0;

  constructor(first: Waiter, second: Waiter) {
    this.all = [first, second];
  }

  detach(waiter: Waiter, from: Cell): void {
    if (++this.#detached < tolerated || this.#detached * 2 < this.all.length) return;
    this.all = this.all.filter((one) => one !== waiter && one.waitsFor(from));
    this.#detached = 0;
  }
}

export abstract class Cell implements Waitable {
  /** The task that this is about; derived futures have their task's. */
  abstract readonly id: number;
  /** Set once, when it is over. */
  outcome: Outcome | undefined = undefined;
  /** Yes and no, a bit each: with a million cells every word counts. Bit 0 is `isObserved`; others belong to classes below. */
  protected flags = 0;
  #waiters: Waiter | Several | undefined = undefined;
  #future: CellFuture | undefined = undefined;

  /** What this is about in the end: itself, or, for a derived future, the task behind it. */
  get source(): Cell {
    return this;
  }

  get isSettled(): boolean {
    return this.outcome !== undefined;
  }

  /** Somebody awaited it, or handed it on: its failure is not news at the end of the run. */
  get isObserved(): boolean {
    return (this.flags & 1) !== 0;
  }

  attach(waiter: Waiter): void {
    if (this.#waiters === undefined) this.#waiters = waiter;
    else if (this.#waiters instanceof Several) this.#waiters.all.push(waiter);
    else this.#waiters = new Several(this.#waiters, waiter);
  }

  detach(waiter: Waiter): void {
    const waiters = this.#waiters;
    if (waiters instanceof Several) waiters.detach(waiter, this);
    else if (waiters === waiter) this.#waiters = undefined;
  }

  /** @internal */
  takeWaiters(): Waiter | Several | undefined {
    const waiters = this.#waiters;
    this.#waiters = undefined;
    return waiters;
  }

  /** Notes that somebody looks at how it ends. */
  observe(): void {
    this.flags |= 1;
  }

  /** Settles it, once, and tells those who wait. */
  settle(outcome: Outcome): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    this.#future?.onSettled();
    this.#future = undefined;
    if (this.#waiters !== undefined) {
      settled.push(this);
      tellWaiters();
    }
  }

  /** Its future, which is told before those who wait. Only while not settled, and only the first that is made of it. */
  tellFirst(future: CellFuture): boolean {
    if (this.#future !== undefined) return false;
    this.#future = future;
    return true;
  }
}

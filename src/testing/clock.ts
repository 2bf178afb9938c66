// A clock that stands still until told: for tests of whatever takes a Clock.
import type { Clock } from '../base/time.ts';

interface Waiting {
  readonly at: number;
  readonly order: number;
  readonly action: () => void;
}

/**
 * A clock for tests. Time passes only in `advance`, which runs what falls due, in order.
 *
 * @example
 * const clock = new FakeClock();
 * clock.after(1_000, () => console.log('a second'));
 * clock.advance(999); // nothing
 * clock.advance(1); // a second
 */
export class FakeClock implements Clock {
  #now: number;
  #order = 0;
  #waiting: Waiting[] = [];

  /** @param now milliseconds since the Unix epoch. @default 0 */
  constructor(now = 0) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, action: () => void): () => void {
    const one: Waiting = { at: this.#now + Math.max(0, ms), order: this.#order++, action };
    this.#waiting.push(one);
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== one);
    };
  }

  /** Actions that wait. A test's last word is mostly that there are none. */
  get pending(): number {
    return this.#waiting.length;
  }

  /** Lets time pass. Actions see the time for which they were set; those that they add are run too, if they fall due. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const next = this.#waiting.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (next === undefined) break;
      this.#waiting = this.#waiting.filter((other) => other !== next);
      this.#now = next.at;
      next.action();
    }
    this.#now = until;
  }
}

// A clock that stands still until a test moves it.
import type { Clock } from '#src/base/time.js';

export class FakeClock implements Clock {
  time = 1_000_000;
  readonly #timers = new Set<{ at: number; action: () => void }>();

  /** Timers that wait. */
  get waiting(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.time;
  }

  after(ms: number, action: () => void): () => void {
    const timer = { at: this.time + ms, action };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Lets time pass: what is due is called, in order. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      let next: { at: number; action: () => void } | undefined;
      for (const timer of this.#timers) if (timer.at <= end && (next === undefined || timer.at < next.at)) next = timer;
      if (next === undefined) break;
      this.#timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.action();
    }
    this.time = end;
  }
}

// How far ahead: how many jobs a worker may hold, and how many tasks the pool asks the interchange for, by how long the bodies of their
// functions took. Ahead is worth ten times the rate for tasks of microseconds, and harms when tasks are long.

/** Jobs of a function that a worker may hold at once. */
export function aheadOf(slowestMs: number | undefined): number {
  if (slowestMs === undefined || slowestMs > 5) return 1;
  if (slowestMs > 1) return 2;
  if (slowestMs > 0.2) return 16;
  return 128;
}

/** So much work may wait in a pool for each of its workers, in milliseconds. */
const backlogMs = 10;
const mostAhead = 1_024;
/** What a task costs beside its body, in milliseconds: no body takes nothing. */
const overheadMs = 0.01;

/** The lengths of functions' bodies, as they were lately. */
export class Durations {
  readonly #slowest = new Map<number, number>();
  #mean: number | undefined;

  slowestOf(functionKey: number): number | undefined {
    return this.#slowest.get(functionKey);
  }

  /** Of any function, lately; `undefined` before the first. */
  get meanMs(): number | undefined {
    return this.#mean;
  }

  note(functionKey: number, tookMs: number): void {
    this.#slowest.set(functionKey, Math.max(tookMs, (this.#slowest.get(functionKey) ?? 0) * 0.8));
    // A long body counts at once, short ones bit by bit.
    const weight = this.#mean === undefined ? 1 : tookMs > this.#mean ? 0.5 : 0.1;
    this.#mean = (this.#mean ?? 0) * (1 - weight) + tookMs * weight;
  }
}

/**
 * How many tasks a pool may hold, in steps of two, so that it is not told again and again.
 *
 * @param meanMs of the bodies lately; `undefined`: one for each worker
 */
export function capacityFor(workerCount: number, meanMs: number | undefined): number {
  if (meanMs === undefined) return workerCount;
  const ahead = Math.min(mostAhead, Math.floor(backlogMs / (meanMs + overheadMs)));
  return workerCount * (1 + (ahead < 1 ? 0 : 2 ** Math.floor(Math.log2(ahead))));
}

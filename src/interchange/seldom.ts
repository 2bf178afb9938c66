// How often something was said of whom, so that a peer that repeats itself does not fill the log. The core owns one for what
// peers send, the shell one for connections that come to nothing.

/** Keys have names in them that peers choose: so many, at least, of those met last are remembered, and at most twice as many. */
const mostRecent = 5_000;

/** Counts by key, and lets the 1st, 10th, 100th, … be told. */
export class Seldom {
  #recent = new Map<string, number>();
  /** Those met before these, until they are met again. */
  #earlier = new Map<string, number>();

  /**
   * Counts one more. What stands behind the line about it: nothing, or how often it was so far; `undefined` when enough was said.
   *
   * @example
   * const often = seldom.count('10.0.0.7');
   * if (often !== undefined) log(`A stranger${often}`); // A stranger (10 times from there so far)
   */
  count(key: string): string | undefined {
    const times = (this.#recent.get(key) ?? this.#earlier.get(key) ?? 0) + 1;
    if (this.#recent.size >= mostRecent && !this.#recent.has(key)) {
      this.#earlier = this.#recent;
      this.#recent = new Map();
    }
    this.#recent.set(key, times);
    if (!/^10*$/.test(String(times))) return undefined;
    return times === 1 ? '' : ` (${times} times from there so far)`;
  }
}

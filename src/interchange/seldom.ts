// How often something was said of whom, so that a peer that repeats itself does not fill the log. The core owns one for what
// peers send, the shell one for connections that come to nothing.

/** More keys than this, which peers choose, are forgotten all at once. */
const mostKeys = 1_000;

/** Counts by key, and lets the 1st, 10th, 100th, … be told. */
export class Seldom {
  readonly #times = new Map<string, number>();

  /**
   * Counts one more. What stands behind the line about it: nothing, or how often it was so far; `undefined` when enough was said.
   *
   * @example
   * const often = seldom.count('10.0.0.7');
   * if (often !== undefined) log(`A stranger${often}`); // A stranger (10 times from there so far)
   */
  count(key: string): string | undefined {
    const times = (this.#times.get(key) ?? 0) + 1;
    if (times === 1 && this.#times.size >= mostKeys) this.#times.clear();
    this.#times.set(key, times);
    if (!/^10*$/.test(String(times))) return undefined;
    return times === 1 ? '' : ` (${times} times from there so far)`;
  }
}

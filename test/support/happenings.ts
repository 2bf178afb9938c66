// What happened, in order, for tests that wait for events: callbacks push, the test takes one after the other.

/** A list of things that happened, and a way to wait for the next one. */
export class Happenings<Thing> {
  readonly all: Thing[] = [];
  #taken = 0;
  #wake: (() => void) | undefined;

  readonly push = (thing: Thing): void => {
    this.all.push(thing);
    this.#wake?.();
  };

  /** The next thing that was not taken yet; fails after `limitMs`, naming `what` was waited for. */
  async next(what = 'something to happen', limitMs = 20_000): Promise<Thing> {
    const [thing] = await this.take(1, what, limitMs);
    return thing as Thing;
  }

  /** The next `count` things. */
  async take(count: number, what = `${count} things to happen`, limitMs = 20_000): Promise<Thing[]> {
    while (this.all.length - this.#taken < count) {
      await within(
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
        `${what} (after ${this.all.length} things)`,
        limitMs,
      );
    }
    const from = this.#taken;
    this.#taken += count;
    return this.all.slice(from, from + count);
  }
}

/** The promise's value, or an error that names `what` when it does not come in time. */
export async function within<Value>(promise: Promise<Value>, what: string, limitMs = 20_000): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${limitMs} ms in vain for ${what}.`)), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

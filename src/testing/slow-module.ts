// A module that takes its time to be loaded: some of it waiting, and more of it computing. For the conformance suite.
await new Promise((resolve) => setTimeout(resolve, 400));
for (const until = performance.now() + 400; performance.now() < until; ) Math.sqrt(until);

export function quick(value: unknown): unknown {
  return value;
}

/** A wrapper. */
export function around(next: () => unknown): unknown {
  return next();
}

/** A body that waits for ever. */
export function endless(): Promise<never> {
  return new Promise(() => {});
}

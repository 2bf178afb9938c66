// How long a try may take to load what its body needs. A `timeout` counts from the start of the body, so that a slow file system does not fail
// tasks; but what never finishes loading must end as well.

/** A try with a timeout may load for so long at least, in milliseconds. */
export const leastLoadingMs = 60_000;

/** How long a try with this timeout may load, in milliseconds. */
export function loadingLimit(timeoutMs: number, leastMs: number): number {
  return Math.max(timeoutMs, leastMs);
}

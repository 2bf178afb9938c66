// Assertions about Chervil's own state. A failing one is a bug of Chervil, never of its user.

/** Thrown when Chervil finds its own state impossible. Please report it with the message. */
export class InternalError extends Error {
  override readonly name = 'InternalError';
  readonly code = 'INTERNAL';
}

/** Throws {@link InternalError} unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InternalError(message);
}

/** The `default` of every `switch` over a union: a new member then fails to compile. */
export function assertNever(value: never, what = 'value'): never {
  throw new InternalError(`unexpected ${what}: ${String(value)}`);
}

// The form of encoded data, which encode writes and decode reads.

/**
 * First element of an encoded value. Only the outermost array is ever looked at, and a user's array that begins so is
 * itself encoded: no value of a user can be mistaken for encoded data.
 */
export const mark = 'chervil:encoded 1';

/**
 * `root`: the value, in which every special thing is replaced by 0. `records`: the special things, each as its kind and
 * its content. `places`: where they go, each as container, key, and either the number of a record or an object that was
 * taken out because of its depth. Structured clone keeps which object is which, so a container is told by itself.
 */
export type Encoded = [mark: typeof mark, root: unknown, records: unknown[], places: unknown[]];

/** What a record can be. */
export type RecordKind = 'url' | 'file' | 'output' | 'buffer' | 'error' | 'map' | 'set' | 'instance';

/** The content of an `error` record. */
export interface ErrorContent {
  /** Class of the language that it extends, such as `RangeError`. */
  readonly base: string;
  readonly name: string;
  readonly message: string | undefined;
  readonly stack: string | undefined;
  readonly fields: Record<string, unknown>;
  readonly cause?: unknown;
  readonly errors?: unknown[];
}

/** The content of an `instance` record. */
export interface InstanceContent {
  readonly module: string;
  readonly export: string;
  readonly data: unknown;
}

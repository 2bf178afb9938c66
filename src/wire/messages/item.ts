// The frames behind a `result` message of a pool.

/** One frame of a result message, as far as an interchange looks into it. */
export type Item =
  /** A task's result or exception. `frame` is passed on byte for byte. */
  | { readonly kind: 'outcome'; readonly taskId: number; readonly frame: Uint8Array }
  /** A monitoring message; `frame` is the pickle of its payload alone. */
  | { readonly kind: 'monitoring'; readonly frame: Uint8Array }
  /** Nothing to act on: a heartbeat on the old result port. */
  | { readonly kind: 'heartbeat' }
  /** Broken; with the task it was about, if that could still be read. */
  | { readonly kind: 'unreadable'; readonly taskId: number | undefined; readonly reason: string };

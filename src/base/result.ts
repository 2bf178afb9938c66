// A value or a reason, for hot paths and for input from other processes, where throwing would be wrong.

/** Either a value or the reason why there is none. */
export type Result<Value, Reason = string> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly error: Reason };

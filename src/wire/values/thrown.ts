// Reads errors without trusting them, and makes them again: for errors as values and for failures.

/** The classes of the language whose instances are made again as what they were. */
const builtIns: Readonly<Record<string, new (message?: string) => Error>> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** What an error is made of. */
export interface ErrorParts {
  /** The class of the language that it is or extends: `RangeError`, `AggregateError`, `DOMException`, mostly `Error`. */
  readonly base: string;
  /** Its `name` where it has one of its own, else that of its class. */
  readonly name: string;
  readonly message: string | undefined;
  readonly stack: string | undefined;
  /** Own enumerable fields except the ones named here. */
  readonly fields: readonly (readonly [key: string, value: unknown])[];
  /** What is in `cause`, if it has one. */
  readonly cause: { readonly value: unknown } | undefined;
  /** The members of an AggregateError. */
  readonly errors: readonly unknown[] | undefined;
}

/** Reads an error. Never throws: what cannot be read is told by a text in its place. */
export function readError(error: object): ErrorParts {
  const base = baseOf(error);
  const errors = base === 'AggregateError' ? read(error, 'errors') : undefined;
  const isList = Array.isArray(errors);
  const apart = new Set(['name', 'message', 'stack', 'cause', ...(isList ? ['errors'] : [])]);
  const message = read(error, 'message');
  const stack = read(error, 'stack');
  return {
    base,
    name: nameOf(error, base),
    message: typeof message === 'string' && (message !== '' || has(error, 'message')) ? message : undefined,
    stack: typeof stack === 'string' ? stack : undefined,
    fields: keys(error).flatMap((key) => (apart.has(key) ? [] : [[key, read(error, key)] as const])),
    cause: has(error, 'cause') ? { value: read(error, 'cause') } : undefined,
    errors: isList ? Array.from(errors) : undefined,
  };
}

/** True for everything that counts as an error, of any realm. */
export function isError(value: unknown): value is Error {
  try {
    return (
      value instanceof Error ||
      value instanceof DOMException ||
      Object.prototype.toString.call(value) === '[object Error]'
    );
  } catch {
    return false; // A Proxy that throws is no error that one could read.
  }
}

/** An error without its fields, `cause` and `errors`: `fillError` adds them. An unknown `base` gives an Error. */
export function makeError(base: string, name: string, message: string | undefined, stack: string | undefined): Error {
  const error = bareError(base, name, message);
  if (error.name !== name) hide(error, 'name', name);
  if (stack !== undefined) hide(error, 'stack', stack);
  return error;
}

/** Gives an error its own fields, and the two that are not enumerable. */
export function fillError(
  error: Error,
  fields: Readonly<Record<string, unknown>>,
  cause: { readonly value: unknown } | undefined,
  errors: readonly unknown[] | undefined,
): void {
  for (const key of Object.keys(fields)) put(error, key, fields[key]);
  if (cause !== undefined) hide(error, 'cause', cause.value);
  if (errors !== undefined) hide(error, 'errors', errors);
}

/** Sets an own field, whatever its name is: `__proto__` and names of accessors too. */
export function put(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}

/** Sets a field as those of errors are: not enumerable. */
export function hide(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, writable: true, enumerable: false, configurable: true });
}

/** As {@link put}, fast, for objects of our own making: only `__proto__` needs care there. */
export function set(target: object, key: string | number, value: unknown): void {
  if (key === '__proto__') put(target, key, value);
  else (target as Record<string | number, unknown>)[key] = value;
}

/** True if a DOMException of this `name` has this old numeric `code`. */
export function isDomException(name: string, code: unknown): boolean {
  return typeof code === 'number' && code > 0 && new DOMException('', name).code === code;
}

function bareError(base: string, name: string, message: string | undefined): Error {
  if (base === 'DOMException') return new DOMException(message, name);
  if (base === 'AggregateError') return new AggregateError([], message);
  const Made = Object.hasOwn(builtIns, base) ? builtIns[base]! : Error;
  return new Made(message);
}

function read(error: object, key: string): unknown {
  try {
    return (error as Record<string, unknown>)[key];
  } catch (thrown) {
    return `[cannot be read: ${thrown instanceof Error ? thrown.message : typeof thrown}]`;
  }
}

function has(error: object, key: string): boolean {
  try {
    return Object.hasOwn(error, key);
  } catch {
    return false; // A Proxy's trap threw: there is nothing to read then.
  }
}

function keys(error: object): string[] {
  try {
    return Object.keys(error);
  } catch {
    return []; // As above.
  }
}

function baseOf(error: object): string {
  try {
    if (error instanceof DOMException) return 'DOMException';
    for (let up: unknown = error; up !== null; up = Object.getPrototypeOf(up)) {
      const made: unknown = Object.hasOwn(up as object, 'constructor')
        ? (up as { constructor: unknown }).constructor
        : undefined;
      if (typeof made !== 'function') continue;
      if (Object.hasOwn(builtIns, made.name) || made.name === 'AggregateError') return made.name;
    }
  } catch {
    // Unreadable: an Error then.
  }
  return 'Error';
}

function nameOf(error: object, base: string): string {
  const name = read(error, 'name');
  if (typeof name === 'string' && name !== '' && (name !== base || has(error, 'name'))) return name;
  const made = read(error, 'constructor');
  if (typeof made === 'function' && typeof made.name === 'string' && made.name !== '') return made.name;
  return base;
}

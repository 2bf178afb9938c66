// What an app threw, as a RemoteError and as an error again. Whatever is thrown, both give something.
import { inspect } from 'node:util';
import type { RemoteError } from '../../task/errors.ts';
import { crossingOf } from '../values/check.ts';
import { fillError, isDomException, isError, makeError, put, readError } from '../values/thrown.ts';

/** How to read what was thrown. */
export interface ThrownContext {
  /** Puts the user's own source lines into a stack, where they are known. What it throws is ignored. */
  readonly rewriteStack?: ((stack: string) => string) | undefined;
  /** Characters of a message, a stack or a text in a field beyond which it is cut. @default 65536 */
  readonly longestText?: number;
}

/** Bounds of what is told of one thrown thing. */
const most = { text: 65_536, causes: 32, errors: 100, fields: 100 } as const;

/**
 * Anything thrown, as data. Not only errors: of `throw 'text'` the name is `NonError`, and `cause` has the value.
 * Never throws itself: a field that cannot be sent, a getter that throws, a cause that is its own cause and a message of
 * gigabytes are each replaced or cut, with a note in their place.
 *
 * @example
 * failureFromThrown(new RangeError('too hot')) // { name: 'RangeError', message: 'too hot', stack: '…' }
 */
export function failureFromThrown(thrown: unknown, context: ThrownContext = {}): RemoteError {
  return describe(thrown, { context, above: [], budget: { errors: most.errors } });
}

/**
 * The error again. Classes of the language are real instances (`instanceof RangeError`); any other is an Error with its
 * name. Own fields, `cause`, `errors` and `stack` are as they were.
 */
export function errorFromRemote(remote: RemoteError): Error {
  const { name, message, stack, code, fields = {}, cause, errors } = remote;
  const isDom = isDomException(name, code);
  const base = isDom ? 'DOMException' : name;
  const error = makeError(base, name, message, stack === '' ? undefined : stack);
  if (code !== undefined && !isDom) put(error, 'code', code);
  const origin = cause === undefined ? undefined : { value: isRemote(cause) ? errorFromRemote(cause) : cause.value };
  fillError(error, fields, origin, errors?.map(errorFromRemote));
  return error;
}

/** True for a cause that was an error. */
export function isRemote(cause: RemoteError | { readonly value: unknown }): cause is RemoteError {
  return 'message' in cause;
}

interface Reading {
  readonly context: ThrownContext;
  /** What this was reached from: errors that must not be told again. */
  readonly above: readonly unknown[];
  /** How many members of AggregateErrors may still be told, in all. */
  readonly budget: { errors: number };
}

function describe(thrown: unknown, reading: Reading): RemoteError {
  try {
    return isError(thrown) ? describeError(thrown, reading) : describeValue(thrown, reading);
  } catch {
    // A thing made to be unreadable. That it was thrown is all that can be told.
    return { name: 'NonError', message: `The app threw something that cannot be read (${typeof thrown}).`, stack: '' };
  }
}

function describeValue(thrown: unknown, { context }: Reading): RemoteError {
  const shown = inspect(thrown, { depth: 2, maxArrayLength: 20, maxStringLength: 1_000, customInspect: false });
  const what = thrown === null || thrown === undefined ? String(thrown) : `a value of type ${typeof thrown}`;
  const text = thrown === null || thrown === undefined ? '' : `: ${shown}`;
  const message = `The app threw ${what}, not an Error${text}`;
  return { name: 'NonError', message: cut(message, context), stack: '', cause: { value: orText(thrown, context) } };
}

function describeError(error: Error, reading: Reading): RemoteError {
  const { context, budget } = reading;
  const parts = readError(error);
  const above = [...reading.above, error];
  const code = codeOf(error);
  const fields: Record<string, unknown> = {};
  let members: readonly unknown[] | undefined = parts.errors;
  let count = 0;
  for (const [key, value] of parts.fields) {
    if (key === 'code' && code !== undefined) continue;
    if (key === 'errors' && members === undefined && Array.isArray(value) && value.some(isError)) {
      members = value;
      continue;
    }
    if (++count > most.fields) {
      put(fields, '…', `[${parts.fields.length - most.fields} more fields were left out]`);
      break;
    }
    put(fields, key, orText(value, context));
  }
  const told = members?.slice(0, Math.max(0, budget.errors));
  budget.errors -= told?.length ?? 0;
  const errors = told?.map((member) => describe(member, { ...reading, above }));
  const omitted = (members?.length ?? 0) - (told?.length ?? 0);
  if (omitted > 0) put(fields, 'errors omitted', omitted);
  return {
    name: cut(parts.name, context),
    message: cut(parts.message ?? '', context),
    stack: cut(rewritten(parts.stack ?? '', context), context),
    ...(code === undefined ? {} : { code }),
    ...(Object.keys(fields).length === 0 ? {} : { fields }),
    ...(parts.cause === undefined ? {} : { cause: describeCause(parts.cause.value, reading, above) }),
    ...(errors === undefined ? {} : { errors }),
  };
}

function describeCause(cause: unknown, reading: Reading, above: readonly unknown[]): RemoteError | { value: unknown } {
  if (!isError(cause)) return { value: orText(cause, reading.context) };
  if (above.includes(cause)) return { value: '[an error above, again]' };
  if (above.length >= most.causes) return { value: '[further causes were left out]' };
  return describe(cause, { ...reading, above });
}

function codeOf(error: Error): string | number | undefined {
  try {
    const { code } = error as { readonly code?: unknown };
    return typeof code === 'string' || typeof code === 'number' ? code : undefined;
  } catch {
    return undefined; // A getter that throws: the fields tell of it.
  }
}

/** A value that can be sent. Instances are told by name here, so that reading a failure never loads a module. */
function orText(value: unknown, context: ThrownContext): unknown {
  if (typeof value === 'string') return cut(value, context);
  const crossing = crossingOf(value, false);
  return typeof crossing === 'string' ? value : `[cannot be sent: ${crossing.refusal.label}]`;
}

function rewritten(stack: string, { rewriteStack }: ThrownContext): string {
  if (rewriteStack === undefined) return stack;
  try {
    return rewriteStack(stack);
  } catch {
    return stack; // The plain stack is worth more than why it could not be made nicer.
  }
}

function cut(text: string, { longestText = most.text }: ThrownContext): string {
  return text.length <= longestText
    ? text
    : `${text.slice(0, longestText)}… [${text.length - longestText} more characters were cut]`;
}

// Fragments of pickles: plain data written without header, frames and memo, so that it may stand in the middle of any
// other pickle. The task and monitoring writers splice with it.
import { encode, type PickleValue, PickleWriter, PyTuple, toNumber } from '../pickle.ts';
import { plainScalar } from './scalar.ts';

const mostValues = 100_000;
const mostDeep = 100;

const writer = new PickleWriter();
let left = 0;

/**
 * `value` as a fragment, or `undefined` when it is not plain data, refers to itself, or is larger than any envelope.
 * What is shared is written once for each use. Numbers of numpy are written as plain ones.
 *
 * @example
 * writeFragment(new Map([['resource_spec', new Map()]]))
 */
export function writeFragment(value: PickleValue): Uint8Array | undefined {
  left = mostValues;
  writer.begin();
  if (!write(value, 0)) return undefined;
  return stripPickle(writer.finish());
}

/** A pickle of one frame without PROTO, FRAME and STOP. */
export function stripPickle(pickle: Uint8Array): Uint8Array {
  return pickle.subarray(pickle[2] === 0x95 ? 11 : 2, pickle.length - 1);
}

/** A whole pickle around a fragment. */
export function wrapFragment(fragment: Uint8Array): Uint8Array {
  const pickle = Buffer.allocUnsafe(fragment.length + 3);
  pickle[0] = 0x80;
  pickle[1] = 4;
  pickle.set(fragment, 2);
  pickle[pickle.length - 1] = 0x2e;
  return pickle;
}

/** A text that stands in every message of a kind, pickled once. */
export function prepareText(text: string): Uint8Array {
  return stripPickle(encode(text));
}

function write(value: PickleValue, depth: number): boolean {
  if (depth > mostDeep || --left < 0) return false;
  if (value === null) writer.none();
  else if (typeof value === 'boolean') writer.bool(value);
  else if (typeof value === 'string') writer.text(value);
  else if (typeof value === 'bigint') writer.int(value);
  else if (typeof value === 'number') writeNumber(value);
  else if (value instanceof Uint8Array) {
    // By hand: `byteString` would put long ones outside of frames.
    writer.sized(0x43, 0x42, 0x8e, value.length);
    writer.raw(value);
  } else if (Array.isArray(value)) {
    writer.listStart();
    for (const item of value) if (!write(item, depth + 1)) return false;
    writer.listEnd();
  } else if (value instanceof Map) {
    writer.dictStart();
    for (const [key, item] of value) if (!isKey(key) || !write(key, depth + 1) || !write(item, depth + 1)) return false;
    writer.dictEnd();
  } else if (value instanceof PyTuple) {
    writer.tupleStart();
    for (const item of value.items) if (!write(item, depth + 1)) return false;
    writer.tupleEnd();
  } else {
    const plain = plainScalar(value);
    if (plain !== undefined) return write(plain, depth);
    const number = toNumber(value);
    if (number === undefined) return false;
    writer.float(number);
  }
  return true;
}

/** What Python can have as a key, tuples of keys included. */
function isKey(value: PickleValue): boolean {
  // A tuple may hold another one many times, and so on.
  if (--left < 0) return false;
  if (value instanceof PyTuple) return value.items.every(isKey);
  return value === null || typeof value !== 'object' || value instanceof Uint8Array || toNumber(value) !== undefined;
}

function writeNumber(value: number): void {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) writer.int(value);
  else writer.float(value);
}

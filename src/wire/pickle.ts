// Pickles as data: what Python's pickle module writes is read (protocols 0 to 5), and what it can read is written (protocol 4).
// Nothing is ever imported, called or executed: a name becomes an inert node that can be written back. Messages, configurations and
// values of both kinds of peers go through here.
//
// | Python                     | here                                                                                          |
// |----------------------------|-----------------------------------------------------------------------------------------------|
// | None, True, False          | null, true, false                                                                             |
// | int                        | number up to 2**53 - 1 either way, bigint beyond                                              |
// | float                      | number if it has a fraction or is infinite or NaN; PyFloat if whole (1.0, 1e300, -0.0)        |
// | str                        | string; lone surrogates survive (two that form a pair become the character they mean)         |
// | bytes                      | Uint8Array, a view of the input: copy it before the input is changed or to let the input go    |
// | bytearray                  | PyByteArray, a view as well                                                                   |
// | list                       | Array                                                                                         |
// | tuple                      | PyTuple                                                                                       |
// | dict                       | Map, in order                                                                                 |
// | set, frozenset             | PySet, PyFrozenSet, in the order of the pickle                                                |
// | a class or function        | PyGlobal                                                                                      |
// | any other object           | PyObject: how it would be made and what would be done to it                                   |
// | a value met twice          | the same object twice; cycles are cycles                                                      |
// | persistent id, extension code, out-of-band buffer | refused                                                                |
//
// Written back, each gives an equal Python value. A number is written as int if it is a safe integer (and not -0), otherwise as float.

import type { Result } from '../base/result.ts';
import { completeLimits, type PickleError, PickleFault, type PickleLimits } from './pickle/limits.ts';
import { endOffset, readingOffset, readPickle } from './pickle/reader.ts';
import type { PickleValue } from './pickle/values.ts';
import { ValueWriter } from './pickle/write-value.ts';
import { PickleWriter } from './pickle/writer.ts';

export { defaultPickleLimits, type PickleError, type PickleLimits } from './pickle/limits.ts';
export {
  dict,
  field,
  isGlobal,
  type PickleValue,
  PyByteArray,
  type PyDict,
  PyFloat,
  PyFrozenSet,
  PyGlobal,
  PyObject,
  PySet,
  type PyStep,
  PyTuple,
  toNumber,
} from './pickle/values.ts';
export { PickleWriter } from './pickle/writer.ts';

const writer = new PickleWriter();
const valueWriter = new ValueWriter(writer);

/**
 * The value of a pickle that fills `bytes`. Never throws, whatever the bytes, and takes memory and time in proportion to their length at most.
 * Python ignores what follows a pickle; to do the same use {@link decodePrefix}.
 *
 * @param limits Keep one object and give it again: a new one is checked anew each time.
 * @example
 * const message = decode(frame, { maxGlobals: 0 });
 * if (message.ok) field(message.value, 'task_id');
 */
export function decode(bytes: Uint8Array, limits?: Partial<PickleLimits>): Result<PickleValue, PickleError> {
  try {
    const value = readPickle(bytes, completeLimits(limits));
    if (endOffset() === bytes.byteLength) return { ok: true, value };
    return failure('TRAILING', endOffset(), `${bytes.byteLength - endOffset()} bytes follow the end of the pickle`);
  } catch (fault) {
    return failureOf(fault);
  }
}

/**
 * The value of the pickle at the start of `bytes`, and how many bytes it takes. `TRUNCATED` means that more bytes may help.
 *
 * @example
 * const config = decodePrefix(standardInput);
 * if (config.ok) rest = standardInput.subarray(config.value.used);
 */
export function decodePrefix(
  bytes: Uint8Array,
  limits?: Partial<PickleLimits>,
): Result<{ readonly value: PickleValue; readonly used: number }, PickleError> {
  try {
    const value = readPickle(bytes, completeLimits(limits));
    return { ok: true, value: { value, used: endOffset() } };
  } catch (fault) {
    return failureOf(fault);
  }
}

/**
 * A pickle of protocol 4, in frames as CPython makes them. Containers met twice are written once. The bytes are the caller's own.
 *
 * @throws TypeError for what is no {@link PickleValue} (undefined, a plain object); RangeError beyond 1 GiB.
 * @example
 * encode(dict({ type: 'heartbeat' }))
 */
export function encode(value: PickleValue): Uint8Array {
  writer.begin();
  valueWriter.write(value);
  return writer.finish();
}

/**
 * The same bytes in pieces: long byte strings are the memory of `value` itself, and must not change until they are used.
 *
 * @throws as `encode`
 */
export function encodePieces(value: PickleValue): Uint8Array[] {
  writer.beginPieces();
  valueWriter.write(value);
  return writer.finishPieces();
}

function failureOf(fault: unknown): { ok: false; error: PickleError } {
  if (!(fault instanceof PickleFault)) throw fault;
  return failure(fault.code, readingOffset(), fault.what);
}

function failure(code: PickleError['code'], offset: number, what: string): { ok: false; error: PickleError } {
  return { ok: false, error: { code, offset, message: `not a pickle we can read: ${what}, at byte ${offset}` } };
}

// Arrays of numbers between the two languages: typed arrays become numpy arrays where numpy is there, and numpy arrays become typed
// arrays. Nothing of numpy is needed here: its arrays are read out of the pickle.
import type { Result } from '../../base/result.ts';
import { type PickleValue, PyByteArray, PyGlobal, PyObject, PyTuple, toNumber } from '../pickle.ts';

/** A typed array as numpy and `struct` name its elements. */
const kinds: Readonly<Record<string, readonly [dtype: string, code: string, bytes: number]>> = {
  Int8Array: ['i1', 'b', 1],
  Uint8Array: ['u1', 'B', 1],
  Uint8ClampedArray: ['u1', 'B', 1],
  Int16Array: ['<i2', 'h', 2],
  Uint16Array: ['<u2', 'H', 2],
  Int32Array: ['<i4', 'i', 4],
  Uint32Array: ['<u4', 'I', 4],
  BigInt64Array: ['<i8', 'q', 8],
  BigUint64Array: ['<u8', 'Q', 8],
  Float16Array: ['<f2', 'e', 2],
  Float32Array: ['<f4', 'f', 4],
  Float64Array: ['<f8', 'd', 8],
};

/** Runs where the task runs: with numpy an array of its own, else bytes for bytes, and a list of numbers for anything else. */
const maker = [
  'lambda dtype, code, size, data:',
  "__import__('numpy').frombuffer(data, dtype).copy() if __import__('importlib.util').util.find_spec('numpy')",
  "else data if code == 'B'",
  "else list(__import__('struct').unpack('<%d%s' % (len(data) // size, code), data))",
].join(' ');

/** Makes the arrays of one call: they share the text above. */
export class ArrayMaker {
  readonly #maker = new PyObject('call', new PyGlobal('builtins', 'eval'), new PyTuple([maker, new Map()]));

  /** A typed array as Python will make it; `undefined` for a kind that Python has not. */
  make(array: ArrayBufferView): PickleValue | undefined {
    const kind = kinds[Object.prototype.toString.call(array).slice(8, -1)];
    if (kind === undefined) return undefined;
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    return new PyObject('call', this.#maker, new PyTuple([...kind, bytes]));
  }
}

/** Whether a pickled object is an array or a number of numpy. */
export function isNumpy(value: PyObject): boolean {
  const { callee } = value;
  return callee instanceof PyGlobal && /^numpy\._?core\.(?:multiarray|numeric)$/.test(callee.module);
}

/**
 * A numpy array as a typed array, rows of rows for more dimensions; a number of numpy as a number.
 *
 * @returns a sentence for those of other types of elements
 */
export function fromNumpy(value: PyObject): Result<unknown> {
  const { callee, args } = value;
  const maker = callee instanceof PyGlobal ? callee.name : '';
  if (maker === 'scalar') return scalar(args.items);
  if (maker === '_frombuffer') {
    // Protocol 5: bytes, type, shape, order; and, from numpy 2.3 on, which axis of the memory each of its own is.
    const [data, dtype, shape, order, axes] = args.items;
    const sizes = numbersOf(shape);
    if (order === 'K' && axes instanceof PyTuple) return array(sizes, numbersOf(axes), dtype, data);
    return order === 'F' ? columnsFirst(sizes, dtype, data) : array(sizes, undefined, dtype, data);
  }
  const { state } = value;
  if (!(state instanceof PyTuple)) return { ok: false, error: 'a numpy array without its state' };
  // Version, shape, type, order, elements.
  const [, shape, dtype, isFortran, data] = state.items;
  const sizes = numbersOf(shape);
  return isFortran === true ? columnsFirst(sizes, dtype, data) : array(sizes, undefined, dtype, data);
}

interface ElementType {
  /** `f8`, `i4`, `b1`, `O8`. */
  readonly name: string;
  readonly isBigEndian: boolean;
  readonly bytes: number;
}

function elementType(dtype: PickleValue | undefined): ElementType {
  const unknown = { name: 'unknown', isBigEndian: false, bytes: 0 };
  if (!(dtype instanceof PyObject)) return unknown;
  const [name] = dtype.args.items;
  if (typeof name !== 'string') return unknown;
  const order = dtype.state instanceof PyTuple ? dtype.state.items[1] : undefined;
  return { name, isBigEndian: order === '>', bytes: Number(name.slice(1)) };
}

function numbersOf(tuple: PickleValue | undefined): number[] {
  return tuple instanceof PyTuple ? tuple.items.map((item) => toNumber(item) ?? 0) : [];
}

/** An array whose axes stand in memory in the opposite order. */
function columnsFirst(
  sizes: readonly number[],
  dtype: PickleValue | undefined,
  data: PickleValue | undefined,
): Result<unknown> {
  const axes = sizes.map((_, axis) => sizes.length - 1 - axis);
  return array([...sizes].reverse(), axes, dtype, data);
}

/**
 * An array of elements in the order of their memory.
 *
 * @param sizes of the axes, as the memory has them
 * @param axes for each axis of the array, which of these it is; `undefined`: they are the same
 */
function array(
  sizes: readonly number[],
  axes: readonly number[] | undefined,
  dtype: PickleValue | undefined,
  data: PickleValue | undefined,
): Result<unknown> {
  const type = elementType(dtype);
  const elements = elementsOf(type, data);
  if (elements === undefined) return { ok: false, error: `a numpy array with elements of the type ${type.name}` };
  if (sizes.length === 0) return { ok: true, value: elements[0] };
  const count = sizes.reduce((product, size) => product * size, 1);
  if (count !== elements.length || sizes.some((size) => size > mostRows))
    return { ok: false, error: `a numpy array of the shape ${sizes.join(' x ')} with ${elements.length} elements` };
  if (axes === undefined || sizes.length === 1) return { ok: true, value: nested(elements, sizes, 0) };
  if (axes.length !== sizes.length || !sizes.every((_, axis) => axes.includes(axis)))
    return { ok: false, error: `a numpy array of ${sizes.length} axes, ordered as ${axes.join(', ')}` };
  const own = axes.map((axis) => sizes[axis] as number);
  return { ok: true, value: nested(transposed(elements, sizes, axes), own, 0) };
}

interface Elements {
  readonly length: number;
  readonly [index: number]: unknown;
  slice(from: number, to: number): Elements;
}

/** Rows without elements take no bytes: a few bytes must not make millions of them. */
const mostRows = 100_000_000;

/** Rows of rows. An array has 64 dimensions at most. */
function nested(elements: Elements, sizes: readonly number[], from: number): unknown {
  const [size = 0, ...rest] = sizes;
  if (rest.length === 0)
    return sizes.length === 1 && from === 0 && size === elements.length ? elements : elements.slice(from, from + size);
  const stride = rest.reduce((product, one) => product * one, 1);
  return Array.from({ length: size }, (_, row) => nested(elements, rest, from + row * stride));
}

/** Elements in the order of other axes than those of their memory. */
function transposed(elements: Elements, sizes: readonly number[], axes: readonly number[]): Elements {
  const ordered = elements.slice(0, elements.length) as unknown as Record<number, unknown> & Elements;
  const steps = axes.map((axis) => sizes.slice(axis + 1).reduce((product, size) => product * size, 1));
  const index = axes.map(() => 0);
  let from = 0;
  for (let to = 0; to < elements.length; to++) {
    ordered[to] = elements[from];
    for (let at = axes.length - 1; at >= 0; at--) {
      const size = sizes[axes[at] as number] as number;
      from += steps[at] as number;
      index[at] = (index[at] as number) + 1;
      if ((index[at] as number) < size) break;
      from -= (steps[at] as number) * size;
      index[at] = 0;
    }
  }
  return ordered;
}

function elementsOf(type: ElementType, data: PickleValue | undefined): Elements | undefined {
  // Elements that are objects stand in a list.
  if (type.name.startsWith('O')) return undefined;
  const given = data instanceof PyByteArray ? data.bytes : data;
  if (!(given instanceof Uint8Array)) return undefined;
  // Memory of its own, where elements may begin.
  const bytes = new Uint8Array(given);
  if (type.isBigEndian) swap(bytes, type.bytes);
  const { buffer } = bytes;
  switch (type.name) {
    case 'b1':
      return Array.from(bytes, (byte) => byte !== 0) as unknown as Elements;
    case 'f2':
      return Float32Array.from(new Uint16Array(buffer), half) as unknown as Elements;
    case 'u1':
      return bytes as unknown as Elements;
    case 'i1':
      return new Int8Array(buffer) as unknown as Elements;
    case 'i2':
      return new Int16Array(buffer) as unknown as Elements;
    case 'u2':
      return new Uint16Array(buffer) as unknown as Elements;
    case 'i4':
      return new Int32Array(buffer) as unknown as Elements;
    case 'u4':
      return new Uint32Array(buffer) as unknown as Elements;
    case 'i8':
      return new BigInt64Array(buffer) as unknown as Elements;
    case 'u8':
      return new BigUint64Array(buffer) as unknown as Elements;
    case 'f4':
      return new Float32Array(buffer) as unknown as Elements;
    case 'f8':
      return new Float64Array(buffer) as unknown as Elements;
    default:
      return undefined;
  }
}

function swap(bytes: Uint8Array, size: number): void {
  for (let at = 0; at + size <= bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

/** A number of 16 bits, which only newer versions of Node know. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1_024) * 2 ** (exponent - 15);
}

function scalar([dtype, data]: readonly PickleValue[]): Result<unknown> {
  const type = elementType(dtype);
  const value = elementsOf(type, data)?.[0];
  if (value === undefined) return { ok: false, error: `a numpy value of the type ${type.name}` };
  return { ok: true, value: typeof value === 'bigint' ? asNumber(value) : value };
}

/** A number where that is exact. */
function asNumber(value: bigint): number | bigint {
  return BigInt.asIntN(54, value) === value ? Number(value) : value;
}

// Typed arrays without the work that v8 makes of them: a list (or one value) of which some elements are typed arrays or Buffers, and the
// rest small plain values, as a short form that says what goes where, and the memory of those arrays as it is. bytes.ts tries it before v8, and value-files.ts writes the memory straight into files.
import { types } from 'node:util';
import { DeserializationError } from '../../task/errors.ts';
import { readCompact, writeCompact } from './compact.ts';
import { kindOf } from './kind.ts';

/** Shorter ones are not worth it. */
const leastBytes = 256;
const mostElements = 32;
const header = 0xe1;

const kinds = {
  Buffer: (memory: ArrayBuffer): object => Buffer.from(memory),
  Int8Array: (memory: ArrayBuffer): object => new Int8Array(memory),
  Uint8Array: (memory: ArrayBuffer): object => new Uint8Array(memory),
  Uint8ClampedArray: (memory: ArrayBuffer): object => new Uint8ClampedArray(memory),
  Int16Array: (memory: ArrayBuffer): object => new Int16Array(memory),
  Uint16Array: (memory: ArrayBuffer): object => new Uint16Array(memory),
  Int32Array: (memory: ArrayBuffer): object => new Int32Array(memory),
  Uint32Array: (memory: ArrayBuffer): object => new Uint32Array(memory),
  Float32Array: (memory: ArrayBuffer): object => new Float32Array(memory),
  Float64Array: (memory: ArrayBuffer): object => new Float64Array(memory),
  BigInt64Array: (memory: ArrayBuffer): object => new BigInt64Array(memory),
  BigUint64Array: (memory: ArrayBuffer): object => new BigUint64Array(memory),
} as const;

/** A value cut up: what says how it is put together, and its parts, which are views of the value's own memory. */
export interface Pieces {
  readonly plan: Uint8Array;
  readonly parts: readonly Uint8Array[];
}

/** Cuts a value up; `undefined` when it is not of this kind. Never throws. */
export function cutUp(value: unknown): Pieces | undefined {
  if (typeof value !== 'object' || value === null || types.isProxy(value)) return undefined;
  const isList = Array.isArray(value);
  if (isList && (value.length > mostElements || Object.getPrototypeOf(value) !== Array.prototype)) return undefined;
  const elements: readonly unknown[] = isList ? value : [value];
  const parts: Uint8Array[] = [];
  const places: [index: number, name: string, bytes: number][] = [];
  const memories = new Set<unknown>();
  for (let index = 0; index < elements.length; index++) {
    const element = elements[index];
    const name = kindOfPart(element);
    if (name === undefined) continue;
    const view = element as Uint8Array;
    // Two views of one memory arrive as such, and this form cannot say it.
    if (memories.has(view.buffer)) return undefined;
    memories.add(view.buffer);
    parts.push(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
    places.push([index, name, view.byteLength]);
  }
  if (parts.length === 0) return undefined;
  const rest = elements.map((element, index) => (places.some(([place]) => place === index) ? null : element));
  if (!isList && rest.length !== 1) return undefined;
  try {
    const plan = writeCompact([isList, places, rest], header);
    return plan === undefined ? undefined : { plan, parts };
  } catch {
    // A getter or a Proxy threw: the usual way says which.
    return undefined;
  }
}

function kindOfPart(element: unknown): keyof typeof kinds | undefined {
  if (!ArrayBuffer.isView(element) || element.byteLength < leastBytes || types.isDataView(element)) return undefined;
  // Memory that can grow arrives as such, which v8 knows how to say.
  if ((element.buffer as { resizable?: boolean }).resizable === true) return undefined;
  const kind = kindOf(element);
  if (kind === 'buffer') return 'Buffer';
  const { name } = element.constructor;
  return kind === 'leaf' && Object.hasOwn(kinds, name) ? (name as keyof typeof kinds) : undefined;
}

/**
 * Puts a value together again.
 *
 * @param read gives the next so many bytes of the parts, as memory of its own
 * @throws DeserializationError for a plan that is none, and what `read` throws
 */
export function putTogether(plan: Uint8Array, read: (bytes: number) => ArrayBuffer): unknown {
  const found = readCompact(plan);
  const [isList, places, rest] = Array.isArray(found) ? (found as unknown[]) : [];
  if (!Array.isArray(places) || !Array.isArray(rest)) throw broken();
  for (const place of places as unknown[]) {
    const [index, name, bytes] = Array.isArray(place) ? (place as unknown[]) : [];
    if (
      typeof index !== 'number' ||
      !(index in rest) ||
      typeof bytes !== 'number' ||
      bytes < 0 ||
      !Number.isInteger(bytes)
    )
      throw broken();
    if (typeof name !== 'string' || !Object.hasOwn(kinds, name)) throw broken();
    try {
      rest[index] = kinds[name as keyof typeof kinds](read(bytes));
    } catch (error) {
      // A length that this kind of array cannot have.
      if (error instanceof RangeError) throw broken();
      throw error;
    }
  }
  return isList === true ? rest : rest[0];
}

function broken(): DeserializationError {
  return new DeserializationError('Cannot read a large value: what says how it is put together is broken.');
}

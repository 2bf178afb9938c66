// Small plain values as bytes: primitives, short arrays and plain objects. bytes.ts tries this first, because starting
// v8.serialize costs more than all of it. Whatever is not small and plain is left to v8.
import { DeserializationError } from '../../task/errors.ts';
import { set } from './thrown.ts';

const tags = {
  undefined: 0,
  null: 1,
  true: 2,
  false: 3,
  integer: 4,
  number: 5,
  bigint: 6,
  text: 7,
  wideText: 8,
  array: 9,
  object: 10,
} as const;

/** More of anything is left to v8. */
const most = { bytes: 8_192, text: 1_024, elements: 64, keys: 32, depth: 4, containers: 32 } as const;

const scratch = Buffer.alloc(most.bytes);
const float = new Float64Array(1);
const floatBytes = new Uint8Array(float.buffer);
let end = 0;
const seen: object[] = [];

/** The bytes of a small plain value, with `header` as the first; `undefined` for any other. */
export function writeCompact(value: unknown, header: number): Buffer | undefined {
  scratch[0] = header;
  end = 1;
  let isDone = false;
  try {
    isDone = write(value, 0);
  } finally {
    seen.length = 0;
  }
  if (!isDone) return undefined;
  const bytes = Buffer.allocUnsafe(end);
  scratch.copy(bytes, 0, 0, end);
  return bytes;
}

function write(value: unknown, depth: number): boolean {
  // Room for any tag with its number; texts look for themselves.
  if (end + 16 > most.bytes) return false;
  switch (typeof value) {
    case 'string':
      return writeText(value);
    case 'number':
      if ((value | 0) === value && !Object.is(value, -0)) {
        scratch[end++] = tags.integer;
        writeLength(((value << 1) ^ (value >> 31)) >>> 0);
      } else {
        scratch[end++] = tags.number;
        writeFloat(value);
      }
      return true;
    case 'boolean':
      scratch[end++] = value ? tags.true : tags.false;
      return true;
    case 'undefined':
      scratch[end++] = tags.undefined;
      return true;
    case 'bigint':
      if (BigInt.asIntN(64, value) !== value) return false;
      scratch[end++] = tags.bigint;
      end = scratch.writeBigInt64LE(value, end);
      return true;
    case 'object':
      if (value === null) {
        scratch[end++] = tags.null;
        return true;
      }
      return writeContainer(value, depth);
    default:
      return false;
  }
}

function writeContainer(value: object, depth: number): boolean {
  if (depth === most.depth || seen.length === most.containers) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  const isArray = prototype === Array.prototype;
  if (!isArray && prototype !== Object.prototype) return false;
  // What is held twice must arrive as one: v8 keeps that.
  if (seen.includes(value)) return false;
  seen.push(value);
  if (isArray) return Array.isArray(value) && writeArray(value, depth);
  if ((value as Iterable<unknown>)[Symbol.iterator] !== undefined) return false;
  return writeObject(value as Record<string, unknown>, depth);
}

function writeArray(array: readonly unknown[], depth: number): boolean {
  const { length } = array;
  if (length > most.elements) return false;
  scratch[end++] = tags.array;
  writeLength(length);
  for (let index = 0; index < length; index++) {
    const element = array[index];
    if (element === undefined && !(index in array)) return false;
    if (!write(element, depth + 1)) return false;
  }
  return true;
}

function writeObject(object: Record<string, unknown>, depth: number): boolean {
  const keys = Object.keys(object);
  if (keys.length > most.keys) return false;
  scratch[end++] = tags.object;
  writeLength(keys.length);
  for (const key of keys) {
    if (end + 16 > most.bytes || !writeText(key) || !write(object[key], depth + 1)) return false;
  }
  return true;
}

/** A text as one byte a unit if that is enough, else two: so half of a surrogate pair survives. */
function writeText(text: string): boolean {
  const { length } = text;
  if (length > most.text || end + 16 + length > most.bytes) return false;
  const start = end;
  scratch[end++] = tags.text;
  writeLength(length);
  for (let index = 0; index < length; index++) {
    const unit = text.charCodeAt(index);
    if (unit > 0xff) {
      end = start;
      return writeWideText(text);
    }
    scratch[end++] = unit;
  }
  return true;
}

function writeWideText(text: string): boolean {
  if (end + 16 + text.length * 2 > most.bytes) return false;
  scratch[end++] = tags.wideText;
  writeLength(text.length);
  end += scratch.write(text, end, 'utf16le');
  return true;
}

function writeLength(length: number): void {
  while (length > 0x7f) {
    scratch[end++] = (length & 0x7f) | 0x80;
    length >>>= 7;
  }
  scratch[end++] = length;
}

function writeFloat(value: number): void {
  float[0] = value;
  for (let index = 0; index < 8; index++) scratch[end++] = floatBytes[index]!;
}

/** The value of which `writeCompact` made these bytes. Throws DeserializationError for any others. */
export function readCompact(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  reader.finish();
  return value;
}

class Reader {
  readonly #bytes: Buffer;
  #at = 1;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value(depth: number): unknown {
    const tag = this.#byte();
    switch (tag) {
      case tags.undefined:
        return undefined;
      case tags.null:
        return null;
      case tags.true:
        return true;
      case tags.false:
        return false;
      case tags.integer: {
        const folded = this.#length();
        return (folded >>> 1) ^ -(folded & 1);
      }
      case tags.number:
        return this.#float();
      case tags.bigint:
        return this.#bytes.readBigInt64LE(this.#skip(8));
      case tags.text:
      case tags.wideText:
        return this.#text(tag);
      case tags.array:
        return this.#array(depth);
      case tags.object:
        return this.#object(depth);
      default:
        throw new DeserializationError(`Cannot read a value: byte ${this.#at - 1} is ${tag}, which begins nothing.`);
    }
  }

  finish(): void {
    const left = this.#bytes.length - this.#at;
    if (left > 0) throw new DeserializationError(`Cannot read a value: ${left} bytes are left after its end.`);
  }

  #array(depth: number): unknown[] {
    const length = this.#bounded(most.elements, depth);
    const array: unknown[] = [];
    for (let index = 0; index < length; index++) array.push(this.value(depth + 1));
    return array;
  }

  #object(depth: number): object {
    const length = this.#bounded(most.keys, depth);
    const object = {};
    for (let index = 0; index < length; index++) {
      const key = this.#text(this.#byte());
      set(object, key, this.value(depth + 1));
    }
    return object;
  }

  #text(tag: number): string {
    if (tag !== tags.text && tag !== tags.wideText)
      throw new DeserializationError('Cannot read a value: a key is no text.');
    const units = this.#bounded(most.text, 0);
    const from = this.#skip(tag === tags.text ? units : units * 2);
    if (tag === tags.wideText) return this.#bytes.toString('utf16le', from, this.#at);
    // Short texts: quicker than the way into native code.
    if (units > 24) return this.#bytes.toString('latin1', from, this.#at);
    let text = '';
    for (let at = from; at < this.#at; at++) text += String.fromCharCode(this.#bytes[at]!);
    return text;
  }

  #float(): number {
    const from = this.#skip(8);
    for (let index = 0; index < 8; index++) floatBytes[index] = this.#bytes[from + index]!;
    return float[0]!;
  }

  #bounded(limit: number, depth: number): number {
    const length = this.#length();
    if (length > limit || depth > most.depth)
      throw new DeserializationError('Cannot read a value: it is larger than its form allows.');
    return length;
  }

  #length(): number {
    let length = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte();
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) return length >>> 0;
    }
    throw new DeserializationError('Cannot read a value: a number in it is too long.');
  }

  #byte(): number {
    return this.#bytes[this.#skip(1)]!;
  }

  /** Moves on by this many bytes, and says where they begin. */
  #skip(count: number): number {
    const from = this.#at;
    this.#at += count;
    if (this.#at > this.#bytes.length) throw new DeserializationError('Cannot read a value: its bytes end too early.');
    return from;
  }
}

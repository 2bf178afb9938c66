// The bytes under a memo key: every piece carries its type and its length, so that no two values share an encoding.
// Used by key-walk.ts. Changing an encoding here makes every older checkpoint useless: raise `encodingVersion` then.
import { createHash, type Hash, hash } from 'node:crypto';

/** Stands at the head of every key. */
export const encodingVersion = 1;

/** Types, as they stand before a value. */
export const tag = {
  undefined: 0x01,
  null: 0x02,
  false: 0x03,
  true: 0x04,
  number: 0x05,
  bigint: 0x06,
  /** A string whose characters all fit in a byte each. */
  narrow: 0x07,
  /** Any other string, two bytes each: also one with half a surrogate pair, which UTF-8 would blur. */
  wide: 0x08,
  date: 0x09,
  regexp: 0x0a,
  url: 0x0b,
  bytes: 0x0c,
  array: 0x10,
  hole: 0x11,
  object: 0x12,
  map: 0x13,
  set: 0x14,
  error: 0x15,
  hook: 0x16,
  file: 0x18,
  output: 0x19,
  ignored: 0x1a,
  function: 0x20,
  arguments: 0x21,
  key: 0x22,
} as const;

/** A stretch of the bytes that gets a digest of its own. */
interface Part {
  readonly start: number;
  /** What was already taken out of the buffer, for parts that are larger than it. */
  hash: Hash | undefined;
}

const usualSize = 16_384;

/** A growing buffer with a hash behind it: memory stays small however large the values are. */
export class KeyBytes {
  #bytes: Buffer = Buffer.allocUnsafe(usualSize);
  #view: DataView = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length);
  #at = 0;
  #parts: Part[] = [];

  /** Begins anew, whatever happened before. */
  clear(): void {
    this.#at = 0;
    this.#parts = [];
    if (this.#bytes.length > 2 ** 20) this.#use(Buffer.allocUnsafe(usualSize));
  }

  /** Everything until the matching {@link end} becomes one digest. */
  begin(): void {
    this.#parts.push({ start: this.#at, hash: undefined });
  }

  /** SHA-256 of what was written since the matching {@link begin}: 64 hex digits, or 32 characters as `binary`. */
  end(as: 'hex' | 'binary'): string {
    const part = this.#parts.pop()!;
    const rest = this.#bytes.subarray(part.start, this.#at);
    this.#at = part.start;
    return part.hash === undefined ? hash('sha256', rest, as) : part.hash.update(rest).digest(as);
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = value;
  }

  /** A length or a number of members. */
  count(value: number): void {
    this.#reserve(8);
    while (value > 0x7f) {
      this.#bytes[this.#at++] = (value % 0x80) | 0x80;
      value = Math.floor(value / 0x80);
    }
    this.#bytes[this.#at++] = value;
  }

  /** As `Object.is` tells numbers apart: 0 is not -0, and all NaN are one. */
  number(value: number): void {
    this.#reserve(8);
    // The bits of a NaN are not specified, so these are ours.
    if (Number.isNaN(value)) this.#view.setBigUint64(this.#at, 0x7ff8_0000_0000_0000n);
    else this.#view.setFloat64(this.#at, value);
    this.#at += 8;
  }

  string(value: string): void {
    if (value.length < 64 && this.#shortNarrow(value)) return;
    const wide = /[\u0100-\uffff]/.test(value);
    this.byte(wide ? tag.wide : tag.narrow);
    this.count(value.length);
    for (let from = 0; from < value.length; from += 4_096) {
      const piece = value.slice(from, from + 4_096);
      this.#reserve(piece.length * 2);
      this.#at += this.#bytes.write(piece, this.#at, wide ? 'utf16le' : 'latin1');
    }
  }

  /** Bytes with their length before them. */
  block(bytes: Uint8Array): void {
    this.count(bytes.length);
    if (bytes.length > 4_096 && this.#parts.length > 0) {
      this.#absorb();
      this.#parts.at(-1)!.hash!.update(bytes);
      return;
    }
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** The common case, without asking the string for anything twice. */
  #shortNarrow(value: string): boolean {
    const length = value.length;
    this.#reserve(length + 2);
    const bytes = this.#bytes;
    let at = this.#at;
    bytes[at++] = tag.narrow;
    bytes[at++] = length;
    for (let index = 0; index < length; index++) {
      const unit = value.charCodeAt(index);
      if (unit > 0xff) return false;
      bytes[at++] = unit;
    }
    this.#at = at;
    return true;
  }

  #reserve(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    this.#absorb();
    if (this.#at + size <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + size));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#use(larger);
  }

  #use(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Takes what the innermost part has written out of the buffer. */
  #absorb(): void {
    const part = this.#parts.at(-1);
    if (part === undefined) return;
    part.hash ??= createHash('sha256');
    part.hash.update(this.#bytes.subarray(part.start, this.#at));
    this.#at = part.start;
  }
}

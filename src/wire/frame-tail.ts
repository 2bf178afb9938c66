// The end of a frame that is being written: numbers and bytes are added to it, and what was added is taken as one piece. The writers of
// batches and the link between pool and worker use it.

const firstBytes = 16_384;
/** What was once that large is not kept. */
const keptBytes = 1_048_576;
/** Copying so few bytes one by one is quicker than the way into native code. */
const fewBytes = 48;

export class FrameTail {
  #buffer = Buffer.allocUnsafeSlow(firstBytes);
  #end = 0;

  get length(): number {
    return this.#end;
  }

  u8(value: number): void {
    if (this.#end === this.#buffer.length) this.#grow(1);
    this.#buffer[this.#end++] = value;
  }

  u16(value: number): void {
    if (this.#end + 2 > this.#buffer.length) this.#grow(2);
    const buffer = this.#buffer;
    buffer[this.#end++] = value;
    buffer[this.#end++] = value >>> 8;
  }

  u32(value: number): void {
    if (this.#end + 4 > this.#buffer.length) this.#grow(4);
    const buffer = this.#buffer;
    buffer[this.#end++] = value;
    buffer[this.#end++] = value >>> 8;
    buffer[this.#end++] = value >>> 16;
    buffer[this.#end++] = value >>> 24;
  }

  f32(value: number): void {
    if (this.#end + 4 > this.#buffer.length) this.#grow(4);
    this.#end = this.#buffer.writeFloatLE(value, this.#end);
  }

  f64(value: number): void {
    if (this.#end + 8 > this.#buffer.length) this.#grow(8);
    this.#end = this.#buffer.writeDoubleLE(value, this.#end);
  }

  /** Adds a part of `source`. */
  bytes(source: Uint8Array, from: number, to: number): void {
    const length = to - from;
    if (this.#end + length > this.#buffer.length) this.#grow(length);
    const buffer = this.#buffer;
    if (length <= fewBytes) {
      let at = this.#end;
      for (let index = from; index < to; index++) buffer[at++] = source[index] as number;
    } else if (from === 0 && to === source.length) {
      buffer.set(source, this.#end);
    } else if (source instanceof Buffer) {
      source.copy(buffer, this.#end, from, to);
    } else {
      buffer.set(source.subarray(from, to), this.#end);
    }
    this.#end += length;
  }

  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#end + bytes));
    this.#buffer.copy(larger, 0, 0, this.#end);
    this.#buffer = larger;
  }

  /** All that was added, which is the caller's own. */
  take(): Buffer {
    const end = this.#end;
    this.#end = 0;
    if (this.#buffer.length > keptBytes) {
      const taken = this.#buffer.subarray(0, end);
      this.#buffer = Buffer.allocUnsafeSlow(firstBytes);
      return taken;
    }
    return Buffer.from(this.#buffer.subarray(0, end));
  }
}

// The bytes of a protocol 4 pickle, appended one value at a time to a buffer that is used again and again. ../pickle.ts writes whole
// values with it; hand-written message writers call it directly, in the order in which the pickle stands.

import { writeText } from './text.ts';
import { integerToBytes } from './text-opcodes.ts';

/** No frame may be shorter, by the format. */
const shortestFrame = 4;
/** A frame is closed when it got this long, and byte strings from here on stand outside of frames, as CPython does it. */
const frameTarget = 64 * 1024;
const frameHeader = 9;
const startBytes = 16 * 1024;
/** A buffer that grew beyond this is given back after its message. */
const keptBytes = 1024 * 1024;
const doubleBytes = new Uint8Array(8);
const double = new Float64Array(doubleBytes.buffer);

/**
 * Writes pickles of protocol 4, one after the other. The caller keeps the grammar: every `…Start` has its `…End`, a dict gets keys and
 * values in turn, and exactly one value stands at the top. Nothing is remembered (no MEMOIZE) unless `memoize` is called.
 *
 * @example
 * const writer = new PickleWriter();
 * writer.begin();
 * writer.dictStart();
 * writer.text('task_id');
 * writer.int(7);
 * writer.dictEnd();
 * const frame = writer.finish();
 */
export class PickleWriter {
  private readonly maxBytes: number;
  private bytes: Buffer = Buffer.allocUnsafeSlow(startBytes);
  private at = 0;
  private frameAt = 0;
  /** What was written before, where the pickle is wanted in pieces. */
  private pieces: Uint8Array[] | undefined;
  private piecesBytes = 0;

  /** @param maxBytes The longest pickle that may be written, in bytes. @default 1073741824 */
  constructor(maxBytes: number = 2 ** 30) {
    this.maxBytes = maxBytes;
  }

  /** Starts a pickle. What an unfinished one before has left is forgotten. */
  begin(): void {
    if (this.bytes.length > keptBytes) this.bytes = Buffer.allocUnsafeSlow(startBytes);
    this.bytes[0] = 0x80;
    this.bytes[1] = 4;
    this.at = 2;
    this.pieces = undefined;
    this.openFrame();
  }

  /** Starts a pickle of which long byte strings and texts are to be pieces of their own, so that nothing long is copied. */
  beginPieces(): void {
    this.begin();
    this.pieces = [];
    this.piecesBytes = 0;
  }

  /** Ends such a pickle: together its pieces are what {@link finish} would have given. Long byte strings are the caller's memory itself. */
  finishPieces(): Uint8Array[] {
    const pieces = this.pieces ?? [];
    this.pieces = undefined;
    pieces.push(this.finish());
    return pieces;
  }

  /** Ends the pickle. The bytes returned are the caller's own. */
  finish(): Uint8Array {
    this.opcode(0x2e);
    this.closeFrame();
    const finished = Buffer.allocUnsafe(this.at);
    this.bytes.copy(finished, 0, 0, this.at);
    return finished;
  }

  /** `None` */
  none(): void {
    this.opcode(0x4e);
  }

  /** `True` or `False` */
  bool(value: boolean): void {
    this.opcode(value ? 0x88 : 0x89);
  }

  /** An int. A number must be a safe integer. */
  int(value: number | bigint): void {
    if (typeof value === 'bigint') {
      if (value < -2_147_483_648n || value > 2_147_483_647n) {
        this.longInt(value);
        return;
      }
      value = Number(value);
    }
    if ((value | 0) !== value) {
      this.longInt(BigInt(value));
      return;
    }
    if (this.bytes.length - this.at < 5) this.grow(5);
    const { bytes } = this;
    let at = this.at;
    if (value >= 0 && value <= 0xff) {
      bytes[at++] = 0x4b;
      bytes[at++] = value;
    } else if (value >= 0 && value <= 0xffff) {
      bytes[at++] = 0x4d;
      bytes[at++] = value & 0xff;
      bytes[at++] = value >> 8;
    } else {
      bytes[at++] = 0x4a;
      bytes[at++] = value & 0xff;
      bytes[at++] = (value >> 8) & 0xff;
      bytes[at++] = (value >> 16) & 0xff;
      bytes[at++] = (value >> 24) & 0xff;
    }
    this.at = at;
  }

  /** A float, also when the number is whole. */
  float(value: number): void {
    if (this.bytes.length - this.at < 9) this.grow(9);
    double[0] = value;
    const { bytes } = this;
    let at = this.at;
    bytes[at++] = 0x47;
    for (let index = 7; index >= 0; index--) bytes[at++] = doubleBytes[index]!;
    this.at = at;
  }

  /** A str. */
  text(value: string): void {
    const { length } = value;
    if (length > 64) {
      this.longText(value);
      return;
    }
    if (this.bytes.length - this.at < length + 2) this.grow(length + 2);
    const { bytes } = this;
    let at = this.at + 2;
    for (let index = 0; index < length; index++) {
      const code = value.charCodeAt(index);
      if (code > 127) {
        this.longText(value);
        return;
      }
      bytes[at++] = code;
    }
    bytes[this.at] = 0x8c;
    bytes[this.at + 1] = length;
    this.at = at;
  }

  /** A bytes object. */
  byteString(value: Uint8Array): void {
    const { length } = value;
    if (length >= frameTarget) {
      this.closeFrame();
      if (this.pieces === undefined) {
        this.sized(0x43, 0x42, 0x8e, length);
        this.bytes.set(value, this.at);
        this.at += length;
      } else {
        this.sized(0x43, 0x42, 0x8e, length, 0);
        this.cut(this.pieces, value);
      }
      this.openFrame();
      return;
    }
    this.sized(0x43, 0x42, 0x8e, length);
    this.bytes.set(value, this.at);
    this.at += length;
  }

  /** Opens a dict; keys and values follow in turn. */
  dictStart(): void {
    this.opcode(0x7d);
    this.opcode(0x28);
  }
  dictEnd(): void {
    this.opcode(0x75);
  }

  /** Opens a list; its items follow. */
  listStart(): void {
    this.opcode(0x5d);
    this.opcode(0x28);
  }
  listEnd(): void {
    this.opcode(0x65);
  }

  /** Opens a tuple; its items follow. */
  tupleStart(): void {
    this.opcode(0x28);
  }
  tupleEnd(): void {
    this.opcode(0x74);
  }

  /** The name of a class or function; callable with {@link call} or {@link newObject} once its argument tuple follows. */
  global(module: string, name: string): void {
    this.text(module);
    this.text(name);
    this.opcode(0x93);
  }

  /** Calls the global with the tuple, the two values written last. */
  call(): void {
    this.opcode(0x52);
  }

  /** Makes an instance of the class without calling its constructor, from the class and the tuple written last. */
  newObject(): void {
    this.opcode(0x81);
  }

  /** Gives the object the state written last, usually a dict of its attributes. */
  state(): void {
    this.opcode(0x62);
  }

  /** One opcode without an argument, by its byte. */
  opcode(code: number): void {
    if (this.at >= this.bytes.length) this.grow(1);
    this.bytes[this.at++] = code;
  }

  /** Bytes of a pickle prepared before, without PROTO, FRAME and STOP: field names that come with every message. */
  raw(prepared: Uint8Array): void {
    const { length } = prepared;
    if (this.bytes.length - this.at < length) this.grow(length);
    const { bytes } = this;
    const at = this.at;
    if (length <= 32) for (let index = 0; index < length; index++) bytes[at + index] = prepared[index]!;
    else bytes.set(prepared, at);
    this.at = at + length;
  }

  /** Refers to entry `index` of the memo. */
  get(index: number): void {
    if (index < 256) {
      this.opcode(0x68);
      this.opcode(index);
    } else this.withLength(0x6a, index, 4, 0);
  }

  /** Closes the frame if it got long. To be called between values; messages shorter than 64 KiB need not. */
  splitFrame(): void {
    if (this.at - this.frameAt < frameTarget) return;
    this.closeFrame();
    this.openFrame();
  }

  /** An opcode with a length of 1, 4 or 8 bytes, and room for so many bytes after it. */
  sized(short: number, medium: number, long: number, length: number, room = length): void {
    if (length < 256) this.withLength(short, length, 1, room);
    else if (length < 2 ** 32) this.withLength(medium, length, 4, room);
    else this.withLength(long, length, 8, room);
  }

  /** What is written so far becomes a piece, and this the next. Between frames only. */
  private cut(pieces: Uint8Array[], value: Uint8Array): void {
    pieces.push(Buffer.from(this.bytes.subarray(0, this.at)), value);
    this.piecesBytes += this.at + value.length;
    this.at = 0;
    if (this.piecesBytes > this.maxBytes) throw this.tooLong();
  }

  private withLength(opcode: number, length: number, width: 1 | 4 | 8, room: number): void {
    if (this.bytes.length - this.at < 9 + room) this.grow(9 + room);
    this.bytes[this.at++] = opcode;
    if (width === 1) this.bytes[this.at++] = length;
    else if (width === 4) this.at = this.bytes.writeUInt32LE(length, this.at);
    else this.at = this.bytes.writeBigUInt64LE(BigInt(length), this.at);
  }

  private longText(value: string): void {
    const length = Buffer.byteLength(value);
    const outside = length >= frameTarget;
    if (outside) this.closeFrame();
    if (outside && this.pieces !== undefined) {
      this.sized(0x8c, 0x58, 0x8d, length, 0);
      const text = Buffer.allocUnsafe(length);
      writeText(text, value, 0, length);
      this.cut(this.pieces, text);
    } else {
      this.sized(0x8c, 0x58, 0x8d, length);
      writeText(this.bytes, value, this.at, length);
      this.at += length;
    }
    if (outside) this.openFrame();
  }

  private longInt(value: bigint): void {
    const encoded = integerToBytes(value);
    if (encoded.length < 256) this.withLength(0x8a, encoded.length, 1, encoded.length);
    else this.withLength(0x8b, encoded.length, 4, encoded.length);
    this.bytes.set(encoded, this.at);
    this.at += encoded.length;
  }

  private openFrame(): void {
    if (this.bytes.length - this.at < frameHeader) this.grow(frameHeader);
    this.frameAt = this.at;
    this.at += frameHeader;
  }

  private closeFrame(): void {
    const { bytes, frameAt } = this;
    const start = frameAt + frameHeader;
    const length = this.at - start;
    if (length < shortestFrame) {
      bytes.copyWithin(frameAt, start, this.at);
      this.at -= frameHeader;
      return;
    }
    bytes[frameAt] = 0x95;
    bytes[frameAt + 1] = length & 0xff;
    bytes[frameAt + 2] = (length >> 8) & 0xff;
    bytes[frameAt + 3] = (length >> 16) & 0xff;
    bytes[frameAt + 4] = length >>> 24;
    bytes.fill(0, frameAt + 5, frameAt + 9);
  }

  private grow(needed: number): void {
    const wanted = this.at + needed;
    if (wanted > this.maxBytes) throw this.tooLong();
    const grown = Buffer.allocUnsafeSlow(Math.max(wanted, Math.min(this.bytes.length * 2, this.maxBytes)));
    this.bytes.copy(grown, 0, 0, this.at);
    this.bytes = grown;
  }

  private tooLong(): RangeError {
    return new RangeError(`a pickle longer than ${this.maxBytes} bytes; send large data as a file instead`);
  }
}

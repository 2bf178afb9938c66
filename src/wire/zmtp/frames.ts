// Frames of ZMTP 3: flags, length, body. A pure incremental decoder and the writer of headers. Used by the handshake,
// by connections (in) and by outboxes (out).
//
//   flags  1 byte: 1 more frames follow, 2 long, 4 command
//   length 1 byte, or 8 bytes big endian when long
import { Buffer } from 'node:buffer';
import type { PeerFailure } from './failures.ts';
import type { Limits } from './limits.ts';

export const more = 1;
export const long = 2;
export const command = 4;

/** The most bytes a header takes. */
export const headerBytes = 9;
/** A body beyond this many bytes needs the long form. */
export const shortBodyBytes = 255;

/** Kept, as every task calls it: V8 looks properties of so large an object as Buffer up in a table each time. */
const { allocUnsafe } = Buffer;

const emptyBody = Buffer.alloc(0);
const noChunk = Buffer.alloc(0);

/** So few lent bytes are cut into frames where they lie; more are copied at once, and cut then. */
const fewLentBytes = 1_024;

/** A first piece of a frame that arrives in several chunks is no larger than this: a peer has to send what it makes us allocate. */
const firstPieceBytes = 1 << 20;

/**
 * Cuts a stream of bytes into frames, however the stream was cut into chunks. Bodies that lie in one chunk are views
 * of it, not copies. Nothing is allocated for a frame before its length was compared with the limits. A body that
 * equals a `familiar` one is that very buffer.
 *
 * @example
 * decoder.push(chunk);
 * for (let body = decoder.next(); body !== undefined; body = decoder.next()) use(decoder.flags, body);
 */
export class FrameDecoder {
  /** Flags of the frame {@link next} found. */
  flags = 0;
  /** Set when {@link next} will find nothing more, whatever comes. */
  failure: PeerFailure | undefined;
  /** While the handshake lasts: a message is refused by its header, before any of it is kept. */
  commandsOnly = false;

  readonly #limits: Limits;
  readonly #familiar: Buffer | undefined;
  #chunk: Uint8Array = noChunk;
  #at = 0;
  /** Where the bytes of the chunk end. */
  #end = 0;
  /** The chunk is somebody else's. */
  #isLent = false;
  readonly #waiting: Buffer[] = [];
  readonly #header = Buffer.alloc(headerBytes);
  #headerHave = 0;
  #partial: Buffer | undefined;
  #partialHave = 0;
  #partialWants = 0;

  constructor(limits: Limits, familiar?: Buffer) {
    this.#limits = limits;
    this.#familiar = familiar;
  }

  /** Gives the decoder the next bytes of the stream. It keeps them, uncopied, until `next` has used them up. */
  push(chunk: Buffer): void {
    if (this.#isUsedUp()) this.#begin(chunk, 0, chunk.length);
    else this.#waiting.push(chunk);
  }

  /**
   * As {@link push}, of bytes that are only lent, the first `length` of `bytes`, until {@link keep} is called: before they change.
   */
  pushLent(bytes: Uint8Array, length: number): void {
    let from = 0;
    if (this.#isUsedUp()) {
      if (this.#partial !== undefined) {
        from = this.#addToBody(this.#partial, bytes, 0, length);
        if (from === length) return;
      }
      if (length - from <= fewLentBytes) {
        this.#begin(bytes, from, length);
        this.#isLent = true;
        return;
      }
    }
    this.push(copyOf(bytes, from, length));
  }

  /** Copies what is left of bytes that were lent. */
  keep(): void {
    if (!this.#isLent) return;
    this.#isLent = false;
    if (this.#at < this.#end) this.#begin(copyOf(this.#chunk, this.#at, this.#end), 0, this.#end - this.#at);
    else this.#begin(noChunk, 0, 0);
  }

  /** The body of the next frame. `undefined`: push more bytes, unless there is a {@link failure}; then it stays broken. */
  next(): Buffer | undefined {
    if (this.failure !== undefined) return undefined;
    for (;;) {
      const partial = this.#partial;
      if (partial !== undefined && this.#partialHave === this.#partialWants) {
        this.#partial = undefined;
        this.#partialHave = 0;
        return partial;
      }
      if (this.#at >= this.#end) {
        if (this.#nextChunk()) continue;
        return undefined;
      }
      if (partial !== undefined) {
        this.#at = this.#addToBody(partial, this.#chunk, this.#at, this.#end);
        continue;
      }
      const length =
        this.#headerHave === 0 && this.#end - this.#at >= headerBytes ? this.#readHeader() : this.#collectHeader();
      if (length === -1) continue;
      if (length === -2) return undefined;
      const start = this.#at;
      const end = start + length;
      if (end <= this.#end) {
        this.#at = end;
        return this.#bodyAt(start, end);
      }
      this.#partialWants = length;
      this.#partialHave = 0;
      this.#partial = Buffer.allocUnsafeSlow(Math.min(length, firstPieceBytes));
    }
  }

  /** Nothing is kept: the next byte begins a frame. */
  get isEmpty(): boolean {
    return this.#isUsedUp() && this.#partial === undefined && this.#headerHave === 0;
  }

  /** Bytes that were pushed and not yet used: what follows the last frame. Used to hand a stream over, and by tests. */
  get bufferedBytes(): number {
    let bytes = this.#end - this.#at + this.#partialHave + this.#headerHave;
    for (const chunk of this.#waiting) bytes += chunk.length;
    return bytes;
  }

  /** Lets go of the buffers. */
  release(): void {
    this.#isLent = false;
    this.#begin(noChunk, 0, 0);
    this.#waiting.length = 0;
    this.#partial = undefined;
  }

  /** All chunks were cut; a header or a body may have begun. */
  #isUsedUp(): boolean {
    return this.#at >= this.#end && this.#waiting.length === 0;
  }

  #begin(chunk: Uint8Array, at: number, end: number): void {
    this.#chunk = chunk;
    this.#at = at;
    this.#end = end;
  }

  #nextChunk(): boolean {
    const chunk = this.#waiting.shift();
    this.#isLent = false;
    this.#begin(chunk ?? noChunk, 0, chunk?.length ?? 0);
    return chunk !== undefined;
  }

  #bodyAt(start: number, end: number): Buffer {
    if (start === end) return emptyBody;
    const familiar = this.#familiar;
    if (familiar !== undefined && familiar.length === end - start && startsWith(this.#chunk, start, familiar))
      return familiar;
    // What is not lent came as a Buffer.
    return this.#isLent ? copyOf(this.#chunk, start, end) : (this.#chunk.subarray(start, end) as Buffer);
  }

  /** The body's length from a header that lies whole in the chunk; -2 when broken. */
  #readHeader(): number {
    const chunk = this.#chunk;
    const at = this.#at;
    const flags = chunk[at]!;
    this.flags = flags;
    if ((flags & long) === 0) {
      this.#at = at + 2;
      return this.#checkLength(flags, chunk[at + 1]!);
    }
    this.#at = at + 9;
    return this.#checkLength(flags, longLength(chunk, at + 1));
  }

  /** As readHeader, byte by byte; -1 when the header is not yet complete. */
  #collectHeader(): number {
    const header = this.#header;
    while (this.#at < this.#end) {
      header[this.#headerHave++] = this.#chunk[this.#at++]!;
      const flags = header[0]!;
      if (this.#headerHave === 1 && (flags & ~(more | long | command)) !== 0) return this.#checkLength(flags, 0);
      const isLong = (flags & long) !== 0;
      if (this.#headerHave < (isLong ? headerBytes : 2)) continue;
      this.#headerHave = 0;
      this.flags = flags;
      return this.#checkLength(flags, isLong ? longLength(header, 1) : header[1]!);
    }
    return -1;
  }

  #checkLength(flags: number, length: number): number {
    if ((flags & ~(more | long | command)) !== 0)
      return this.#break('protocol', `frame flags 0x${flags.toString(16)} have reserved bits set`);
    if ((flags & command) !== 0) {
      if ((flags & more) !== 0) return this.#break('protocol', 'a command says that more frames follow');
      if (length > this.#limits.commandBytes) {
        return this.#break('too-large', `a command of ${length} bytes; the limit is ${this.#limits.commandBytes}`);
      }
    } else if (this.commandsOnly) {
      return this.#break('protocol', 'it sent a message before the handshake was over');
    } else if (length > this.#limits.frameBytes) {
      return this.#break('too-large', `a frame of ${length} bytes; the limit is ${this.#limits.frameBytes}`);
    }
    return length;
  }

  /** Copies what belongs to the body under way out of `bytes`, from `at` on; where it ends there. */
  #addToBody(partial: Buffer, bytes: Uint8Array, at: number, end: number): number {
    const wants = this.#partialWants;
    const take = Math.min(wants - this.#partialHave, end - at);
    const needed = this.#partialHave + take;
    let body = partial;
    if (needed > partial.length) {
      body = Buffer.allocUnsafeSlow(Math.min(wants, Math.max(needed, partial.length * 2)));
      partial.copy(body, 0, 0, this.#partialHave);
      this.#partial = body;
    }
    body.set(bytes.subarray(at, at + take), this.#partialHave);
    this.#partialHave = needed;
    return at + take;
  }

  #break(code: PeerFailure['code'], detail: string): -2 {
    this.failure = { code, detail };
    this.release();
    return -2;
  }
}

function copyOf(bytes: Uint8Array, from: number, to: number): Buffer {
  const copy = allocUnsafe(to - from);
  copy.set(bytes.subarray(from, to));
  return copy;
}

function startsWith(bytes: Uint8Array, from: number, expected: Buffer): boolean {
  for (let at = 0; at < expected.length; at++) if (bytes[from + at] !== expected[at]) return false;
  return true;
}

/** Writes a frame's header into `target` at `at` and returns where the body starts. Needs up to {@link headerBytes} bytes of room. */
export function writeHeader(target: Uint8Array, at: number, flags: number, length: number): number {
  if (length <= shortBodyBytes) {
    target[at] = flags;
    target[at + 1] = length;
    return at + 2;
  }
  target[at] = flags | long;
  const high = Math.floor(length / 2 ** 32);
  target[at + 1] = 0;
  target[at + 2] = 0;
  target[at + 3] = high >>> 8;
  target[at + 4] = high;
  target[at + 5] = length >>> 24;
  target[at + 6] = length >>> 16;
  target[at + 7] = length >>> 8;
  target[at + 8] = length;
  return at + 9;
}

/** A whole frame as bytes, for handshakes and heartbeats. */
export function encodeFrame(flags: number, body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + body.length);
  const at = writeHeader(frame, 0, flags, body.length);
  frame.set(body, at);
  return frame.subarray(0, at + body.length);
}

/** Eight bytes, big endian. Beyond 2^53 the number is no longer exact, and far beyond every limit. */
function longLength(bytes: Uint8Array, at: number): number {
  let length = 0;
  for (let digit = at; digit < at + 8; digit++) length = length * 256 + (bytes[digit] as number);
  return length;
}

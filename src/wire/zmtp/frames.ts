// Frames of ZMTP 3: flags, length, body. A pure incremental decoder and the writer of headers. Used by the handshake,
// by connections (in) and by outboxes (out).
//
//   flags  1 byte: 1 more frames follow, 2 long, 4 command
//   length 1 byte, or 8 bytes big endian when long
import type { PeerFailure } from './failures.ts';
import type { Limits } from './limits.ts';

export const more = 1;
export const long = 2;
export const command = 4;

/** The most bytes a header takes. */
export const headerBytes = 9;
/** A body beyond this many bytes needs the long form. */
export const shortBodyBytes = 255;

const emptyBody = Buffer.alloc(0);
const noChunk = Buffer.alloc(0);

/** A first piece of a frame that arrives in several chunks is no larger than this: a peer has to send what it makes us allocate. */
const firstPieceBytes = 1 << 20;

/**
 * Cuts a stream of bytes into frames, however the stream was cut into chunks. Bodies that lie in one chunk are views
 * of it, not copies. Nothing is allocated for a frame before its length was compared with the limits.
 *
 * @example
 * decoder.push(chunk);
 * while (decoder.next() === 'frame') use(decoder.flags, decoder.body);
 */
export class FrameDecoder {
  /** Flags of the frame {@link next} found. */
  flags = 0;
  /** Body of the frame {@link next} found. */
  body: Buffer = emptyBody;
  /** Set when {@link next} answered `broken`. */
  failure: PeerFailure | undefined;
  /** While the handshake lasts: a message is refused by its header, before any of it is kept. */
  commandsOnly = false;

  readonly #limits: Limits;
  #chunk: Buffer = noChunk;
  #at = 0;
  readonly #waiting: Buffer[] = [];
  readonly #header = Buffer.alloc(headerBytes);
  #headerHave = 0;
  #partial: Buffer | undefined;
  #partialHave = 0;
  #partialWants = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Gives the decoder the next bytes of the stream. It keeps them, uncopied, until `next` has used them up. */
  push(chunk: Buffer): void {
    if (this.#at >= this.#chunk.length && this.#waiting.length === 0) {
      this.#chunk = chunk;
      this.#at = 0;
    } else {
      this.#waiting.push(chunk);
    }
  }

  /** As {@link push}, of bytes that are only lent: copies the first `length` of them. */
  pushLent(bytes: Buffer, length: number): void {
    let from = 0;
    if (this.#partial !== undefined && this.#at >= this.#chunk.length && this.#waiting.length === 0) {
      from = this.#addToBody(this.#partial, bytes, 0, length);
      if (from === length) return;
    }
    const kept = Buffer.allocUnsafe(length - from);
    bytes.copy(kept, 0, from, length);
    this.push(kept);
  }

  /** Goes on to the next frame. `wait`: push more bytes. `broken`: see {@link failure}; it stays broken. */
  next(): 'frame' | 'wait' | 'broken' {
    if (this.failure !== undefined) return 'broken';
    for (;;) {
      if (this.#partial !== undefined && this.#partialHave === this.#partialWants) {
        this.body = this.#partial;
        this.#partial = undefined;
        this.#partialHave = 0;
        return 'frame';
      }
      if (this.#at >= this.#chunk.length) {
        if (this.#nextChunk()) continue;
        // It may be long until the next one, and the last body, a view, would keep its whole chunk alive.
        this.body = emptyBody;
        return 'wait';
      }
      if (this.#partial !== undefined) {
        this.#at = this.#addToBody(this.#partial, this.#chunk, this.#at, this.#chunk.length);
        continue;
      }
      const length =
        this.#headerHave === 0 && this.#chunk.length - this.#at >= headerBytes
          ? this.#readHeader()
          : this.#collectHeader();
      if (length === -1) continue;
      if (length === -2) return 'broken';
      const start = this.#at;
      const end = start + length;
      if (end <= this.#chunk.length) {
        this.#at = end;
        this.body = length === 0 ? emptyBody : this.#chunk.subarray(start, end);
        return 'frame';
      }
      this.#partialWants = length;
      this.#partialHave = 0;
      this.#partial = Buffer.allocUnsafeSlow(Math.min(length, firstPieceBytes));
    }
  }

  /** Nothing is kept: the next byte begins a frame. */
  get isEmpty(): boolean {
    return (
      this.#at >= this.#chunk.length &&
      this.#waiting.length === 0 &&
      this.#partial === undefined &&
      this.#headerHave === 0
    );
  }

  /** Bytes that were pushed and not yet used: what follows the last frame. Used to hand a stream over, and by tests. */
  get bufferedBytes(): number {
    let bytes = this.#chunk.length - this.#at + this.#partialHave + this.#headerHave;
    for (const chunk of this.#waiting) bytes += chunk.length;
    return bytes;
  }

  /** Lets go of the buffers. */
  release(): void {
    this.#chunk = noChunk;
    this.#at = 0;
    this.#waiting.length = 0;
    this.#partial = undefined;
    this.body = emptyBody;
  }

  #nextChunk(): boolean {
    this.#at = 0;
    const chunk = this.#waiting.shift();
    this.#chunk = chunk ?? noChunk;
    return chunk !== undefined;
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
    while (this.#at < this.#chunk.length) {
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
  #addToBody(partial: Buffer, bytes: Buffer, at: number, end: number): number {
    const wants = this.#partialWants;
    const take = Math.min(wants - this.#partialHave, end - at);
    const needed = this.#partialHave + take;
    let body = partial;
    if (needed > partial.length) {
      body = Buffer.allocUnsafeSlow(Math.min(wants, Math.max(needed, partial.length * 2)));
      partial.copy(body, 0, 0, this.#partialHave);
      this.#partial = body;
    }
    bytes.copy(body, this.#partialHave, at, at + take);
    this.#partialHave = needed;
    return at + take;
  }

  #break(code: PeerFailure['code'], detail: string): -2 {
    this.failure = { code, detail };
    this.release();
    return -2;
  }
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
function longLength(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
}

// Messages on their way out of one connection: turned into bytes in batches, one write for many messages.
// The connection owns it; nobody else writes to the stream once the handshake is over.
import { Buffer } from 'node:buffer';
import type { Socket as Stream } from 'node:net';
import { depart } from './departure.ts';
import { command, encodeFrame, headerBytes, more, writeHeader } from './frames.ts';
import type { Channel } from './mechanism.ts';
import { Queue } from './queue.ts';
import { type Flushable, scheduleFlush, scheduleGathered } from './turn.ts';

/** A frame whose bytes lie elsewhere and are put together when it leaves: many small ones need no memory of their own. */
export interface LateFrame {
  /** Bytes. */
  readonly length: number;
  /** Writes them all, from `at` on. Called once, or not at all; must not throw. */
  writeTo(target: Uint8Array, at: number): void;
}

/** A message: its frames. Neither the array nor the bytes may change until they were written. */
export type Frames = readonly (Uint8Array | LateFrame)[];

/** Bodies up to this size are copied into the batch; larger ones are handed to the stream as they are. */
const copyBytes = 8 << 10;
/** A batch is written when it has this many bytes, or when there are no more messages. */
const batchBytes = 128 << 10;
const scratchBytes = batchBytes + 2 * (copyBytes + 64);
/** Heartbeat answers that may wait for a peer that does not read; older ones are dropped. */
const longestCommandQueue = 16;

/** Batches are built here. A write that the system did not take at once keeps its buffer until it is done, and another takes its place. */
let scratch = newScratch();
const nothing = Buffer.alloc(0);
const spares: Uint8Array[] = [];
const mostSpares = 8;

/** Views of a plain array are quicker to make than those of a Buffer. */
function newScratch(): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(scratchBytes).buffer);
}

export class Outbox implements Flushable {
  readonly #stream: Stream;
  readonly #channel: Channel | undefined;
  readonly #onWritten: (messages: number) => void;
  readonly #queue = new Queue<Frames>();
  readonly #commands: Buffer[] = [];
  readonly #gathers: boolean;
  #state: 'idle' | 'held' | 'scheduled' | 'flushing' | 'blocked' | 'closed' = 'idle';
  #isHeld = false;
  #seen = 0;
  #inFlight = 0;
  #lent: Uint8Array | undefined;
  /** Bytes are being handed to the system; and whether it has taken them. */
  #isDeparting = false;
  #isTaken = false;
  /** Whether {@link #isAlone} was ever so: then it stays so. */
  #wasAlone = false;

  /**
   * `onWritten` hears how many messages the system has taken, and with 0, too, that there is room again. An outbox that `gathers` writes what comes turn after turn together.
   */
  constructor(
    stream: Stream,
    channel: Channel | undefined,
    onWritten: (messages: number) => void,
    gathers: boolean = false,
  ) {
    this.#gathers = gathers;
    this.#stream = stream;
    this.#channel = channel;
    this.#onWritten = onWritten;
  }

  /** Messages that were not yet taken by the system. */
  get pending(): number {
    return this.#queue.length + this.#inFlight;
  }

  /** Whether the system takes no more for now: the peer reads too slowly. */
  get isBlocked(): boolean {
    return this.#state === 'blocked';
  }

  push(frames: Frames): void {
    this.#queue.push(frames);
    this.#schedule();
  }

  /** Sends a command before all messages that wait. */
  pushCommand(body: Buffer): void {
    if (this.#commands.length >= longestCommandQueue) this.#commands.shift();
    this.#commands.push(body);
    this.#schedule();
  }

  /** Whether messages came since this was last asked. */
  hasGrown(): boolean {
    const has = this.#queue.length > this.#seen;
    this.#seen = this.#queue.length;
    return has;
  }

  /** Nothing waits, and nothing is under way. */
  get isIdle(): boolean {
    return this.#state === 'idle' && !this.#isHeld && this.#isAlone();
  }

  /** Writes a message that is bytes already; only while it {@link isIdle}. */
  writeAtOnce(message: Buffer): void {
    if (this.#stream.destroyed) return;
    this.#state = 'flushing';
    if (this.#depart(message)) {
      if (this.#state === 'flushing') this.#state = 'idle';
      this.#onWritten(1);
    } else this.#block(1);
  }

  /** What comes from now on waits for {@link letGo}: its peer is being read, and may get several answers at once. */
  hold(): void {
    this.#isHeld = !this.#gathers;
  }

  /** Writes what came since {@link hold}, at once. */
  letGo(): void {
    this.#isHeld = false;
    if (this.#state !== 'held') return;
    this.#state = 'scheduled';
    this.flush();
  }

  /** Ends the outbox and gives back the messages of which no byte was handed over; {@link pending} then counts the others. */
  close(): Frames[] {
    this.#state = 'closed';
    return this.#queue.takeAll();
  }

  /** Called at the end of the callback or turn in which messages came. */
  flush(): void {
    if (this.#state !== 'scheduled') return;
    if (!this.#isAlone()) {
      this.#state = 'blocked';
      this.#stream.write(nothing, this.#onTaken);
      return;
    }
    this.#state = 'flushing';
    this.#seen = 0;
    let written = 0;
    while (
      this.#state === 'flushing' &&
      !this.#stream.destroyed &&
      (this.#queue.length > 0 || this.#commands.length > 0)
    ) {
      const count = this.#buildBatch();
      if (this.#depart(batch.take())) written += count;
      else this.#block(count);
    }
    if (this.#state === 'flushing') this.#state = 'idle';
    if (written > 0) this.#onWritten(written);
  }

  #schedule(): void {
    if (this.#state !== 'idle') return;
    if (this.#isHeld) {
      this.#state = 'held';
      return;
    }
    this.#state = 'scheduled';
    if (this.#gathers) scheduleGathered(this);
    else scheduleFlush(this);
  }

  /** Whether the stream has taken what was written to it before there was an outbox: the end of the handshake. */
  #isAlone(): boolean {
    this.#wasAlone ||= this.#stream.writableLength === 0;
    return this.#wasAlone;
  }

  /** @returns whether the system has taken all */
  #depart(bytes: Uint8Array | readonly Uint8Array[]): boolean {
    this.#isTaken = false;
    this.#isDeparting = true;
    depart(this.#stream, bytes, this.#onTaken);
    this.#isDeparting = false;
    return this.#isTaken;
  }

  /** The system has not taken all of `count` messages. */
  #block(count: number): void {
    this.#inFlight = count;
    if (this.#state === 'flushing') this.#state = 'blocked';
    // The system keeps the batch, if it was one; the next must not be built over it.
    this.#lent = scratch;
    scratch = spares.pop() ?? newScratch();
  }

  readonly #onTaken = (error?: Error | null): void => {
    if (error) {
      // Its connection hears of it from the stream, and closes this.
      this.#stream.destroy(error);
      return;
    }
    if (this.#isDeparting) {
      this.#isTaken = true;
      return;
    }
    // A stream that was destroyed has taken nothing more, whatever it says.
    if (this.#state !== 'blocked' || this.#stream.destroyed) return;
    const written = this.#inFlight;
    this.#inFlight = 0;
    this.#state = 'idle';
    if (this.#lent !== undefined && spares.length < mostSpares) spares.push(this.#lent);
    this.#lent = undefined;
    if (this.#queue.length > 0 || this.#commands.length > 0) this.#schedule();
    // Also of none: whoever waited for room may come, though commands alone had taken it.
    this.#onWritten(written);
  };

  /** Builds one batch; the number of messages in it. */
  #buildBatch(): number {
    batch.begin();
    if (this.#commands.length > 0) {
      for (const body of this.#commands) this.#addCommand(batch, body);
      this.#commands.length = 0;
    }
    let count = 0;
    while (batch.bytes < batchBytes) {
      const frames = this.#queue.shift();
      if (frames === undefined) break;
      count++;
      const last = frames.length - 1;
      if (this.#channel === undefined) {
        for (let index = 0; index < last; index++) batch.add(more, frames[index]!);
        batch.add(0, frames[last]!);
      } else {
        for (let index = 0; index < last; index++) batch.addSealed(this.#channel, more, frames[index]!);
        batch.addSealed(this.#channel, 0, frames[last]!);
      }
    }
    return count;
  }

  #addCommand(batch: Batch, body: Buffer): void {
    if (this.#channel === undefined) batch.addWhole(encodeFrame(command, body));
    // Inside a box a command is marked by the second bit.
    else batch.addSealed(this.#channel, 2, body);
  }
}

/** One write: a run of bytes in the scratch buffer, broken up by bodies too large to copy. */
class Batch {
  bytes = 0;
  #buffer: Uint8Array = nothing;
  #start = 0;
  #at = 0;
  #pieces: Uint8Array[] | undefined;
  /** The view that was taken last, and the buffer that it is of. */
  #last: Uint8Array = nothing;
  #lastOf: Uint8Array = nothing;

  begin(): void {
    this.bytes = 0;
    this.#buffer = scratch;
    this.#start = 0;
    this.#at = 0;
    this.#pieces = undefined;
  }

  add(flags: number, body: Uint8Array | LateFrame): void {
    const length = body.length;
    if (length > copyBytes) {
      this.#makeRoom(headerBytes);
      this.#at = writeHeader(this.#buffer, this.#at, flags, length);
      this.#cut().push(bytesOf(body));
    } else {
      this.#makeRoom(headerBytes + length);
      const at = writeHeader(this.#buffer, this.#at, flags, length);
      if (body instanceof Uint8Array) this.#buffer.set(body, at);
      else body.writeTo(this.#buffer, at);
      this.#at = at + length;
    }
    this.bytes += headerBytes + length;
  }

  addSealed(channel: Channel, flags: number, frame: Uint8Array | LateFrame): void {
    const body = bytesOf(frame);
    const length = channel.sealedBytes(body.length);
    if (length > copyBytes) {
      this.#makeRoom(headerBytes);
      this.#at = writeHeader(this.#buffer, this.#at, 0, length);
      const sealed = Buffer.allocUnsafeSlow(length);
      channel.seal(flags, body, sealed, 0);
      this.#cut().push(sealed);
    } else {
      this.#makeRoom(headerBytes + length);
      const at = writeHeader(this.#buffer, this.#at, 0, length);
      channel.seal(flags, body, this.#buffer, at);
      this.#at = at + length;
    }
    this.bytes += headerBytes + length;
  }

  addWhole(frame: Uint8Array): void {
    this.#makeRoom(frame.length);
    this.#buffer.set(frame, this.#at);
    this.#at += frame.length;
    this.bytes += frame.length;
  }

  /** All of it: one buffer, or several for one gathering write. */
  take(): Uint8Array | readonly Uint8Array[] {
    if (this.#pieces === undefined) return this.#view();
    const pieces = this.#cut();
    this.#pieces = undefined;
    return pieces;
  }

  /**
   * The bytes up to here. Tasks of one kind are of one length, and then the view of the batch before will do: a buffer whose
   * batch the system has not taken is not built in, so nobody holds that view any more.
   */
  #view(): Uint8Array {
    if (this.#lastOf !== this.#buffer || this.#last.length !== this.#at) {
      this.#lastOf = this.#buffer;
      this.#last = this.#buffer.subarray(0, this.#at);
    }
    return this.#last;
  }

  #makeRoom(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    this.#cut();
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(scratchBytes, bytes));
    this.#start = 0;
    this.#at = 0;
  }

  /** Ends the run of copied bytes; what follows stands after it. */
  #cut(): Uint8Array[] {
    this.#pieces ??= [];
    if (this.#at > this.#start) this.#pieces.push(this.#buffer.subarray(this.#start, this.#at));
    this.#start = this.#at;
    return this.#pieces;
  }
}

/** The bytes of a frame. */
export function bytesOf(frame: Uint8Array | LateFrame): Uint8Array {
  if (frame instanceof Uint8Array) return frame;
  const bytes = Buffer.allocUnsafe(frame.length);
  frame.writeTo(bytes, 0);
  return bytes;
}

/** The one that is being built: from its beginning to its write nothing else runs. */
const batch = new Batch();

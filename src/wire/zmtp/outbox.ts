// Messages on their way out of one connection: turned into bytes in batches, one write for many messages.
// The connection owns it; nobody else writes to the stream once the handshake is over.
import type { Socket as Stream } from 'node:net';
import { command, encodeFrame, headerBytes, more, writeHeader } from './frames.ts';
import type { Channel } from './mechanism.ts';
import { Queue } from './queue.ts';
import { type Flushable, scheduleFlush, scheduleGathered } from './turn.ts';

/** A message: its frames. Neither the array nor the bytes may change until they were written. */
export type Frames = readonly Uint8Array[];

/** Bodies up to this size are copied into the batch; larger ones are handed to the stream as they are. */
const copyBytes = 8 << 10;
/** A batch is written when it has this many bytes, or when there are no more messages. */
const batchBytes = 128 << 10;
const scratchBytes = batchBytes + 2 * (copyBytes + 64);
/** Heartbeat answers that may wait for a peer that does not read; older ones are dropped. */
const longestCommandQueue = 16;

/** Batches are built here. A write that the system did not take at once keeps its buffer until it is done, and another takes its place. */
let scratch: Buffer = Buffer.allocUnsafeSlow(scratchBytes);
const nothing = Buffer.alloc(0);
const spares: Buffer[] = [];
const mostSpares = 8;

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
  #lent: Buffer | undefined;

  /**
   * `onWritten` hears how many messages the system has taken. An outbox that `gathers` writes what comes turn after turn together.
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
    return this.#state === 'idle' && !this.#isHeld;
  }

  /** Writes a message that is bytes already; only while it {@link isIdle}. */
  writeAtOnce(message: Buffer): void {
    if (this.#stream.destroyed) return;
    this.#state = 'flushing';
    this.#stream.write(message);
    if (this.#stream.writableLength === 0) {
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
    this.#state = 'flushing';
    this.#seen = 0;
    let written = 0;
    while (
      this.#state === 'flushing' &&
      !this.#stream.destroyed &&
      (this.#queue.length > 0 || this.#commands.length > 0)
    ) {
      const count = this.#writeBatch();
      if (this.#stream.writableLength === 0) written += count;
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

  #block(count: number): void {
    this.#inFlight = count;
    if (this.#state === 'flushing') this.#state = 'blocked';
    // A callback of every write would cost a tick each, and mostly there is nothing to wait for: this one comes after them.
    this.#stream.write(nothing, this.#onStreamWritten);
    // The stream keeps the batch; the next one must not be built over it.
    this.#lent = scratch;
    scratch = spares.pop() ?? Buffer.allocUnsafeSlow(scratchBytes);
  }

  readonly #onStreamWritten = (error?: Error | null): void => {
    // After an error the stream closes, and its connection closes this.
    if (error || this.#state !== 'blocked' || this.#stream.writableLength > 0) return;
    const written = this.#inFlight;
    this.#inFlight = 0;
    this.#state = 'idle';
    if (this.#lent !== undefined && spares.length < mostSpares) spares.push(this.#lent);
    this.#lent = undefined;
    if (this.#queue.length > 0 || this.#commands.length > 0) this.#schedule();
    this.#onWritten(written);
  };

  /** Builds and writes one batch; the number of messages in it. */
  #writeBatch(): number {
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
    batch.write(this.#stream);
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
  #buffer: Buffer = nothing;
  #start = 0;
  #at = 0;
  #pieces: Uint8Array[] | undefined;

  begin(): void {
    this.bytes = 0;
    this.#buffer = scratch;
    this.#start = 0;
    this.#at = 0;
    this.#pieces = undefined;
  }

  add(flags: number, body: Uint8Array): void {
    const length = body.length;
    if (length > copyBytes) {
      this.#makeRoom(headerBytes);
      this.#at = writeHeader(this.#buffer, this.#at, flags, length);
      this.#cut().push(body);
    } else {
      this.#makeRoom(headerBytes + length);
      const at = writeHeader(this.#buffer, this.#at, flags, length);
      this.#buffer.set(body, at);
      this.#at = at + length;
    }
    this.bytes += headerBytes + length;
  }

  addSealed(channel: Channel, flags: number, body: Uint8Array): void {
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

  /** Hands everything to the stream: one buffer, or several in one gathering write. */
  write(stream: Stream): void {
    if (this.#pieces === undefined) {
      if (this.#at > 0) stream.write(this.#buffer.subarray(0, this.#at));
      return;
    }
    stream.cork();
    for (const piece of this.#cut()) stream.write(piece);
    stream.uncork();
    this.#pieces = undefined;
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

/** The one that is being built: from its beginning to its write nothing else runs. */
const batch = new Batch();

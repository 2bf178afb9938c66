// One connection: owns one stream of node:net from the first byte to the last. Runs the handshake, cuts bytes into
// messages, answers heartbeats. The transport makes it; it reports to an owner and decides nothing about messages.

import type { Socket as Stream } from 'node:net';
import { assertNever } from '../../base/assert.ts';
import type { Clock } from '../../base/time.ts';
import type { Arrival } from './arrival.ts';
import { commandData, commandName, encodeCommand } from './commands.ts';
import type { PeerFailure } from './failures.ts';
import { command, type FrameDecoder, more } from './frames.ts';
import { Handshake, type HandshakeOptions, type PeerIntroduction } from './handshake.ts';
import { type Heartbeat, HeartbeatWatch } from './heartbeat.ts';
import type { Channel } from './mechanism.ts';
import { type Frames, Outbox } from './outbox.ts';
import { identityKey, type Peer } from './peer.ts';
import type { WireReflex } from './reflex.ts';

export interface ConnectionOptions extends HandshakeOptions {
  readonly clock: Clock;
  readonly handshakeTimeoutMs: number;
  readonly heartbeat: Heartbeat | undefined;
  /** Whether messages that come turn after turn leave together. */
  readonly gathers: boolean;
  readonly reflex: WireReflex | undefined;
}

/** Who hears what happens on a connection. */
export interface ConnectionOwner {
  /** The handshake is over. A failure returned refuses the peer after all. */
  onReady(connection: Connection): PeerFailure | undefined;
  onMessage(connection: Connection, frames: Buffer[]): void;
  /** The message of the reflex has come, and {@link Connection.answerReflex} is called now or later; false when it is to be handed over as any other. */
  onReflex(connection: Connection): boolean;
  /** What the system gave at once was handed over, one message or more. */
  onRead(connection: Connection): void;
  /** The system has taken `messages` messages. */
  onWritten(connection: Connection, messages: number): void;
  /** The last call. `unsent` are the messages of which nothing was written; of `lost` more nobody knows whether they arrived. */
  onClosed(connection: Connection, failure: PeerFailure, unsent: Frames[], lost: number): void;
}

type ConnectionState =
  | { readonly phase: 'handshake'; readonly handshake: Handshake; readonly stopTimer: () => void }
  | { readonly phase: 'open'; readonly outbox: Outbox }
  | { readonly phase: 'closed' };

/** A connection whose TCP or unix socket is established. */
export class Connection {
  readonly address: string;
  /** Set before `onReady`. A ROUTER gives nameless peers a name. */
  peer: Peer;

  readonly #stream: Stream;
  readonly #arrival: Arrival;
  readonly #owner: ConnectionOwner;
  readonly #options: ConnectionOptions;
  readonly #decoder: FrameDecoder;
  #state: ConnectionState;
  #channel: Channel | undefined;
  #heartbeat: HeartbeatWatch | undefined;
  #frames: Buffer[] = [];
  #messageBytes = 0;
  #failure: PeerFailure | undefined;
  #isPaused = false;
  #isReading = false;
  /** Messages were handed over since the owner was last told that this was all. */
  #hasHandedOver = false;
  #isResumeAsked = false;
  /** The peer has closed its side. */
  #hasEnded = false;

  constructor(
    arrival: Arrival,
    address: string,
    owner: ConnectionOwner,
    options: ConnectionOptions,
    isAccepted: boolean,
  ) {
    this.address = address;
    this.peer = { identity: Buffer.alloc(0), key: '', socketType: '', address, publicKey: undefined };
    const { stream } = arrival;
    this.#stream = stream;
    this.#arrival = arrival;
    this.#owner = owner;
    this.#options = options;
    const handshake = new Handshake(options, isAccepted);
    this.#decoder = handshake.decoder;
    const stopTimer = options.clock.after(
      options.handshakeTimeoutMs,
      () =>
        this.close({
          code: 'handshake-timeout',
          detail: `it did not finish its handshake within ${options.handshakeTimeoutMs} ms`,
        }),
      false,
    );
    this.#state = { phase: 'handshake', handshake, stopTimer };
    arrival.start(this.#onBytes);
    stream.on('error', this.#onError);
    stream.on('end', this.#onEnd);
    stream.on('close', this.#onClose);
    const first = handshake.start();
    if (first.do === 'send') stream.write(first.bytes);
  }

  get isOpen(): boolean {
    return this.#state.phase === 'open';
  }

  /** Messages that were given to {@link send} and not yet taken by the system. */
  get pending(): number {
    return this.#state.phase === 'open' ? this.#state.outbox.pending : 0;
  }

  /** Whether the peer reads too slowly for now. */
  get isBlocked(): boolean {
    return this.#state.phase === 'open' && this.#state.outbox.isBlocked;
  }

  /** Queues a message; it leaves with the others of this turn. Only for open connections. */
  send(frames: Frames): void {
    if (this.#state.phase === 'open') this.#state.outbox.push(frames);
  }

  /** Stops taking messages in: the peer's queue fills, then its sending stops. While paused, heartbeats are not answered. */
  pause(): void {
    this.#isPaused = true;
    // With nothing here it reads on until something comes, and so hears of a peer that leaves.
    if (!this.#decoder.isEmpty) this.#stream.pause();
    if (this.#heartbeat !== undefined) this.#heartbeat.isListening = false;
  }

  /** Goes on, from the next tick, with what has arrived meanwhile. */
  resume(): void {
    this.#isPaused = false;
    if (this.#isResumeAsked) return;
    this.#isResumeAsked = true;
    process.nextTick(this.#onResume);
  }

  /** Ends the connection now. `owner.onClosed` follows, not within this call. */
  close(failure: PeerFailure): void {
    this.#failure ??= failure;
    this.#stream.destroy();
  }

  /** Takes the messages back of which nothing was written; {@link pending} then counts those under way. Nothing can be sent after it. */
  takeUnsent(): Frames[] {
    return this.#state.phase === 'open' ? this.#state.outbox.close() : [];
  }

  /** Says goodbye after the bytes already handed over, and ends when the peer has, or after `patienceMs`. */
  finish(patienceMs: number, failure: PeerFailure): void {
    this.#failure ??= failure;
    const stop = this.#options.clock.after(patienceMs, () => this.#stream.destroy());
    this.#stream.once('close', stop);
    this.#isPaused = true;
    // Whatever is written behind the end would break the connection at once.
    this.#heartbeat?.stop();
    this.takeUnsent();
    this.#decoder.release();
    this.#arrival.stop();
    this.#stream.resume();
    this.#stream.end();
  }

  readonly #onBytes = (bytes: Uint8Array, length: number): void => {
    this.#heartbeat?.onHeard();
    if (this.#state.phase !== 'handshake') {
      if (this.#state.phase === 'open' && this.#isReflex(bytes, length, this.#state.outbox)) return;
      this.#decoder.pushLent(bytes, length);
      try {
        if (this.#isPaused) this.#stream.pause();
        else this.#read();
      } finally {
        this.#decoder.keep();
      }
      return;
    }
    try {
      this.#shakeHands(this.#state, Buffer.from(bytes.subarray(0, length)));
    } finally {
      // Messages may follow the handshake in the same chunk, and must not wait for the next one if a handler throws.
      this.#read();
    }
  };

  /** Has the message of the reflex answered if these bytes are that alone, and nothing else is going on. */
  #isReflex(bytes: Uint8Array, length: number, outbox: Outbox): boolean {
    const { reflex } = this.#options;
    if (reflex === undefined || length !== reflex.message.length || this.#channel !== undefined) return false;
    if (this.#isPaused || this.#isReading || this.#failure !== undefined) return false;
    if (this.#frames.length > 0 || !this.#decoder.isEmpty || !outbox.isIdle) return false;
    const { message } = reflex;
    for (let at = 0; at < length; at++) if (bytes[at] !== message[at]) return false;
    return this.#owner.onReflex(this);
  }

  /** Gives the answer of the reflex, behind what was sent meanwhile; nothing when the connection has ended. */
  answerReflex(): void {
    const { reflex } = this.#options;
    if (reflex === undefined || this.#state.phase !== 'open' || this.#failure !== undefined) return;
    const { outbox } = this.#state;
    if (outbox.isIdle) outbox.writeAtOnce(reflex.answer);
    else outbox.push(reflex.frames);
  }

  #shakeHands(state: ConnectionState & { readonly phase: 'handshake' }, chunk: Buffer): void {
    for (const effect of state.handshake.receive(chunk)) {
      switch (effect.do) {
        case 'send':
          this.#stream.write(effect.bytes);
          break;
        case 'refuse':
          this.close(effect.failure);
          return;
        case 'ready':
          state.stopTimer();
          this.#open(effect.peer);
          break;
        default:
          assertNever(effect);
      }
    }
  }

  #open(peer: PeerIntroduction): void {
    const { security, identity, socketType } = peer;
    const isBoxed = security.kind === 'boxed';
    this.#channel = isBoxed ? security.channel : undefined;
    this.peer = {
      // Kept as long as the connection: as a view it would keep alive the chunk in which it came.
      identity: Buffer.from(identity),
      key: identityKey(identity),
      socketType,
      address: this.address,
      publicKey: isBoxed ? security.publicKey : undefined,
    };
    const onWritten = (messages: number): void => this.#owner.onWritten(this, messages);
    const outbox = new Outbox(this.#stream, this.#channel, onWritten, this.#options.gathers);
    this.#state = { phase: 'open', outbox };
    const heartbeat = peer.minorVersion > 0 ? this.#options.heartbeat : undefined;
    if (heartbeat !== undefined) this.#heartbeat = this.#watch(outbox, heartbeat);
    const failure = this.#owner.onReady(this);
    if (failure !== undefined) this.close(failure);
  }

  /** Most connections are watched by nobody; then there is no watch. */
  #watch(outbox: Outbox, heartbeat: Heartbeat | undefined): HeartbeatWatch {
    return new HeartbeatWatch(this.#options.clock, heartbeat, {
      ping: (body) => outbox.pushCommand(body),
      silent: (detail) => this.close({ code: 'silent', detail }),
    });
  }

  /** Delivers the messages that are complete, as long as nobody pauses. Answers to this peer then leave in one write. */
  #read(): void {
    if (this.#isReading || this.#state.phase !== 'open') return;
    const { outbox } = this.#state;
    this.#isReading = true;
    outbox.hold();
    let isThrown = true;
    try {
      while (!this.#isPaused && this.#failure === undefined) {
        const body = this.#decoder.next();
        if (body !== undefined) this.#onFrame(body);
        else if (this.#decoder.failure !== undefined) this.close(this.#decoder.failure);
        else break;
      }
      if (this.#hasHandedOver) {
        this.#hasHandedOver = false;
        this.#owner.onRead(this);
      }
      isThrown = false;
    } finally {
      this.#isReading = false;
      // The owner's mistake is the owner's to catch; the messages behind it still come.
      if (isThrown && !this.#isPaused) this.resume();
      outbox.letGo();
    }
  }

  #onFrame(received: Buffer): void {
    let body = received;
    let isMore: boolean;
    let isCommand: boolean;
    const channel = this.#channel;
    if (channel === undefined) {
      const flags = this.#decoder.flags;
      isMore = (flags & more) !== 0;
      isCommand = (flags & command) !== 0;
    } else {
      const opened = channel.open(received);
      if (opened === undefined) {
        this.close({ code: 'curve-key', detail: 'a message does not open, or came twice' });
        return;
      }
      body = opened;
      isMore = (channel.openedFlags & 1) !== 0;
      isCommand = (channel.openedFlags & 2) !== 0;
    }
    if (isCommand) {
      this.#onCommand(body);
      return;
    }
    const earlier = this.#frames;
    if (!isMore && earlier.length === 0) {
      this.#handOver([body]);
      return;
    }
    this.#messageBytes += body.length;
    const { framesPerMessage, messageBytes } = this.#options.limits;
    if (earlier.length + 1 > framesPerMessage || this.#messageBytes > messageBytes) {
      const limit = earlier.length + 1 > framesPerMessage ? `${framesPerMessage} frames` : `${messageBytes} bytes`;
      this.close({ code: 'too-large', detail: `a message of more than ${limit}` });
      return;
    }
    if (isMore) {
      earlier.push(body);
      return;
    }
    this.#messageBytes = 0;
    // A literal is as long as what is in it; a list that grows makes room for sixteen more.
    if (earlier.length === 1) this.#handOver([earlier.pop() as Buffer, body]);
    else {
      this.#frames = [];
      earlier.push(body);
      this.#handOver(earlier);
    }
  }

  #handOver(frames: Buffer[]): void {
    this.#hasHandedOver = true;
    this.#owner.onMessage(this, frames);
  }

  #onCommand(body: Buffer): void {
    const name = commandName(body);
    // Other commands are of no concern to these socket types; the protocol says to ignore what one does not know.
    if (name === 'PING') this.#onPing(commandData(body));
    else if (name === 'ERROR') this.close({ code: 'refused-by-peer', detail: 'it ended the connection with ERROR' });
  }

  #onPing(data: Buffer): void {
    if (data.length < 2 || data.length > 2 + 16) {
      this.close({ code: 'protocol', detail: `a PING with ${data.length} bytes; 2 to 18 are allowed` });
      return;
    }
    if (this.#state.phase !== 'open') return;
    const { outbox } = this.#state;
    outbox.pushCommand(encodeCommand('PONG', data.subarray(2)));
    const ttlMs = data.readUInt16BE(0) * 100;
    if (ttlMs > 0) this.#heartbeat ??= this.#watch(outbox, undefined);
    this.#heartbeat?.onPing(ttlMs);
  }

  readonly #onResume = (): void => {
    this.#isResumeAsked = false;
    if (this.#isPaused || this.#failure !== undefined) return;
    this.#read();
    if (this.#isPaused) return;
    if (this.#hasEnded) {
      this.#onEnd();
      return;
    }
    if (this.#heartbeat !== undefined) this.#heartbeat.isListening = true;
    this.#heartbeat?.onHeard();
    this.#stream.resume();
  };

  readonly #onError = (error: Error): void => {
    this.#failure ??= { code: 'network', detail: error.message };
  };

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    // Who pauses, or throws, has yet to take what came before the end.
    const hasMore = this.#isResumeAsked || (this.#isPaused && !this.#decoder.isEmpty);
    if (this.#failure === undefined && hasMore) return;
    this.#failure ??= { code: 'peer-closed', detail: 'it closed the connection' };
    // A peer that is gone takes nothing more, so what still waits here must not keep the stream half open.
    this.#stream.destroy();
  };

  readonly #onClose = (): void => {
    const state = this.#state;
    if (state.phase === 'closed') return;
    this.#state = { phase: 'closed' };
    if (state.phase === 'handshake') state.stopTimer();
    this.#heartbeat?.stop();
    this.#decoder.release();
    this.#frames = [];
    const failure = this.#failure ?? { code: 'peer-closed', detail: 'the connection closed' };
    if (state.phase === 'handshake') {
      this.#owner.onClosed(this, failure, [], 0);
      return;
    }
    const unsent = state.outbox.close();
    this.#owner.onClosed(this, failure, unsent, state.outbox.pending);
  };
}

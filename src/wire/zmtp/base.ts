// What all socket types have in common: their transport, their counters, their end. dealer.ts, router.ts, requester.ts and
// replier.ts each add what a message means.
import type { Connection } from './connection.ts';
import { type PeerFailure, type Refusal, ZmtpError } from './failures.ts';
import type { WireType } from './handshake.ts';
import { type CommonOptions, type Settled, settle } from './options.ts';
import type { Frames } from './outbox.ts';
import type { Peer } from './peer.ts';
import { Answers } from './reflex.ts';
import { Transport, type TransportOwner } from './transport.ts';

/** What a socket has counted since it was made. */
export interface Counters {
  /** Messages given to the system. */
  sent: number;
  /** Messages handed to `onMessage`, or answered by reflex. */
  received: number;
  /** Messages that were refused by `send`: no such peer, or a full queue. */
  refused: number;
  /** Messages that were accepted and not sent: their peer left, or the socket closed. */
  dropped: number;
  /** Messages that were on their way when a connection broke: they arrived or not. */
  lost: number;
}

/** How long closing may take, in milliseconds. */
export interface CloseOptions {
  readonly lingerMs?: number;
  readonly goodbyeMs?: number;
}

/** What every socket can do. */
export interface ZmtpSocket extends AsyncDisposable {
  readonly type: WireType;
  readonly counters: Readonly<Counters>;
  /** Peers whose handshake is over. */
  readonly peers: readonly Peer[];
  /** Why the last `send` returned `false`. */
  readonly refusal: Refusal | undefined;
  /**
   * Listens on `tcp://host:port` (port `*`: any), `tcp://*:port` or `ipc:///path`. Resolves with the actual endpoint; rejects
   * with `ZmtpError` ENDPOINT or BIND.
   */
  bind(endpoint: string): Promise<string>;
  /** Connects in the background, and again after each break. Throws `ZmtpError` ENDPOINT for a text that is none. */
  connect(endpoint: string): void;
  /**
   * Takes no more messages in, so that peers come to wait. Messages already here stay here, and that their peer has left is told
   * after them.
   */
  pause(): void;
  /** Takes messages in again, from the next tick. */
  resume(): void;
  /**
   * Ends all connections after waiting for unsent messages, at most `lingerMs`. Nothing is called back after this call.
   * A second call with `lingerMs: 0` ends the wait of the first. Peers who got everything have `goodbyeMs` to close their
   * side, too; a process that stands still would keep this one as long. @default goodbyeMs: 100
   */
  close(options?: CloseOptions): Promise<void>;
}

/** A socket without a meaning for messages. */
export abstract class BaseSocket implements ZmtpSocket, TransportOwner {
  readonly type: WireType;
  readonly counters: Counters = { sent: 0, received: 0, refused: 0, dropped: 0, lost: 0 };
  refusal: Refusal | undefined;
  protected readonly settled: Settled;
  protected readonly transport: Transport;
  readonly #options: CommonOptions;
  readonly #answers: Answers;

  constructor(type: WireType, options: CommonOptions) {
    this.type = type;
    this.#options = options;
    this.settled = settle(type, options);
    this.#answers = new Answers(this.settled.reflex?.answersWithinMs ?? 0, this.settled.clock);
    this.transport = new Transport(this.settled, this);
  }

  get peers(): readonly Peer[] {
    return Array.from(this.transport.joined, (connection) => connection.peer);
  }

  bind(endpoint: string): Promise<string> {
    return this.transport.bind(endpoint);
  }

  connect(endpoint: string): void {
    this.transport.connect(endpoint);
  }

  pause(): void {
    this.transport.pause();
  }

  resume(): void {
    this.transport.resume();
  }

  async close(options?: CloseOptions): Promise<void> {
    await this.transport.close(options?.lingerMs ?? this.settled.lingerMs, options?.goodbyeMs);
    this.#answers.stop();
    this.counters.dropped += this.takeWaiting();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  onJoined(connection: Connection): PeerFailure | undefined {
    const failure = this.joined(connection);
    if (failure === undefined && !this.transport.isClosed) this.#options.onPeerJoined?.(connection.peer);
    return failure;
  }

  onLeft(connection: Connection, failure: PeerFailure, unsent: Frames[], lost: number): void {
    this.counters.lost += lost;
    this.left(connection, failure, unsent, lost);
    if (!this.transport.isClosed) this.#options.onPeerLeft?.(connection.peer, failure);
  }

  onFailed(address: string, failure: PeerFailure): void {
    this.#options.onPeerFailed?.(address, failure);
  }

  onReflex(connection: Connection): boolean {
    if (this.#options.reflex?.isAnswered(connection.peer) !== true) return false;
    this.counters.received++;
    this.#answers.answer(connection);
    return true;
  }

  onRead(connection: Connection): void {
    this.#options.onRead?.(connection.peer);
  }

  onWritten(connection: Connection, messages: number): void {
    this.counters.sent += messages;
    this.written(connection, messages);
  }

  abstract onMessage(connection: Connection, frames: Buffer[]): void;
  abstract hasUnassigned(): boolean;
  protected abstract joined(connection: Connection): PeerFailure | undefined;
  protected abstract left(connection: Connection, failure: PeerFailure, unsent: Frames[], lost: number): void;
  protected abstract written(connection: Connection, messages: number): void;
  /** Forgets messages that wait for a peer; how many they were. */
  protected abstract takeWaiting(): number;

  protected refuse(reason: Refusal): false {
    this.refusal = reason;
    this.counters.refused++;
    return false;
  }
}

/** A message has at least one frame; one without would end up as bytes that no peer understands. */
export function checkFrames(frames: Frames): void {
  if (frames.length === 0) throw new ZmtpError('OPTIONS', 'A message needs at least one frame; an empty one will do.');
}

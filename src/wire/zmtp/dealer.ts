// DEALER: messages go to the connected peers in turn, and come from all of them. What no peer can take now waits here, in
// order, and survives the loss of a connection. Made by createSocket.
import { BaseSocket, checkFrames, type ZmtpSocket } from './base.ts';
import type { Connection } from './connection.ts';
import type { PeerFailure } from './failures.ts';
import type { CommonOptions } from './options.ts';
import type { Frames } from './outbox.ts';
import type { Peer } from './peer.ts';
import { Queue } from './queue.ts';

export interface DealerOptions extends CommonOptions {
  /** Called for each message. The frames may be views of one large buffer: copy a small one that is kept for long. */
  readonly onMessage?: (frames: Buffer[], peer: Peer) => void;
  /** Called once after a refused `send`, when the queue is half empty again. */
  readonly onDrain?: () => void;
}

export interface DealerSocket extends ZmtpSocket {
  /** Messages that were accepted and not yet given to the system. */
  readonly queued: number;
  /**
   * Queues a message of at least one frame; it leaves with the others of this turn. `false`: the queue is full and the
   * message was not taken (`onDrain` will be called), or the socket is closed; see {@link ZmtpSocket.refusal}. Throws
   * `ZmtpError` OPTIONS for a message without frames.
   */
  send(frames: Frames): boolean;
}

/** With several peers, one that reads slowly does not get more than this ahead of the others. */
const shareMessages = 1_024;

export class Dealer extends BaseSocket implements DealerSocket {
  readonly #options: DealerOptions;
  readonly #waiting = new Queue<Frames>();
  readonly #peers: Connection[] = [];
  #turn = 0;
  #queued = 0;
  #isFull = false;

  constructor(options: DealerOptions) {
    super('DEALER', options);
    this.#options = options;
  }

  get queued(): number {
    return this.#queued;
  }

  send(frames: Frames): boolean {
    checkFrames(frames);
    if (this.transport.isClosed) return this.refuse('closed');
    const { highWaterMark } = this.settled;
    if (highWaterMark > 0 && this.#queued >= highWaterMark) {
      this.#isFull = true;
      return this.refuse('high-water mark');
    }
    this.#queued++;
    const connection = this.#waiting.length === 0 ? this.#nextPeer() : undefined;
    if (connection === undefined) this.#waiting.push(frames);
    else connection.send(frames);
    return true;
  }

  onMessage(connection: Connection, frames: Buffer[]): void {
    this.counters.received++;
    this.#options.onMessage?.(frames, connection.peer);
  }

  hasUnassigned(): boolean {
    return this.#waiting.length > 0;
  }

  protected joined(connection: Connection): undefined {
    this.#peers.push(connection);
    this.#distribute();
  }

  protected left(connection: Connection, _failure: PeerFailure, unsent: Frames[], lost: number): void {
    this.#peers.splice(this.#peers.indexOf(connection), 1);
    this.#waiting.prepend(unsent);
    this.#distribute();
    this.#taken(lost);
  }

  protected written(_connection: Connection, messages: number): void {
    if (this.#waiting.length > 0) this.#distribute();
    this.#taken(messages);
  }

  protected takeWaiting(): number {
    return this.#waiting.takeAll().length;
  }

  #taken(messages: number): void {
    this.#queued -= messages;
    if (!this.#isFull || this.#queued > this.settled.highWaterMark / 2) return;
    this.#isFull = false;
    if (!this.transport.isClosed) this.#options.onDrain?.();
  }

  /** The peer whose turn it is, passing over those that cannot take a message now. */
  #nextPeer(): Connection | undefined {
    const peers = this.#peers;
    const count = peers.length;
    if (count === 1) {
      const only = peers[0]!;
      return only.isBlocked ? undefined : only;
    }
    for (let tried = 0; tried < count; tried++) {
      this.#turn = (this.#turn + 1) % count;
      const connection = peers[this.#turn]!;
      if (!connection.isBlocked && connection.pending < shareMessages) return connection;
    }
    return undefined;
  }

  #distribute(): void {
    while (this.#waiting.length > 0) {
      const connection = this.#nextPeer();
      if (connection === undefined) return;
      connection.send(this.#waiting.shift()!);
    }
  }
}

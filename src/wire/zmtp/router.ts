// ROUTER: each peer has a name, messages come with it and are sent to it. When two connections bear one name, the newest
// has it: a peer that comes back after a break is heard at once. Made by createSocket.
import { BaseSocket, checkFrames, type ZmtpSocket } from './base.ts';
import type { Connection } from './connection.ts';
import type { PeerFailure } from './failures.ts';
import type { CommonOptions } from './options.ts';
import type { Frames } from './outbox.ts';
import { identityKey, type Peer } from './peer.ts';

export interface RouterOptions extends CommonOptions {
  /** Called for each message, without the identity frame. The frames may be views of one large buffer. */
  readonly onMessage?: (frames: Buffer[], peer: Peer) => void;
  /** Called once after a `send` that was refused for the high-water mark, when that peer's queue is half empty again. */
  readonly onDrain?: (peer: Peer) => void;
}

export interface RouterSocket extends ZmtpSocket {
  /**
   * Queues a message for a peer, or for the one that has its name by now. `false`: nobody has that name, or the peer's
   * queue is full; the message is not sent and counted as refused. See {@link ZmtpSocket.refusal}.
   *
   * @param mostQueued - the queue counts as full, for this message alone, when so many wait in it
   */
  send(to: Peer | string, frames: Frames, mostQueued?: number): boolean;
  /** Whether a peer of that name is connected. */
  has(key: string): boolean;
  /** Messages that wait for that peer to take them. */
  queued(to: Peer | string): number;
  /** Ends the connection of a peer. It may come back. */
  disconnect(to: Peer | string, reason: string): void;
}

export class Router extends BaseSocket implements RouterSocket {
  readonly #options: RouterOptions;
  readonly #peers = new Map<string, Connection>();
  readonly #full = new Set<Connection>();
  #nameless: number;

  constructor(options: RouterOptions) {
    super('ROUTER', options);
    this.#options = options;
    this.#nameless = Math.floor(this.settled.random() * 2 ** 32);
  }

  send(to: Peer | string, frames: Frames, mostQueued?: number): boolean {
    checkFrames(frames);
    if (this.transport.isClosed) return this.refuse('closed');
    const connection = this.#find(to);
    if (connection === undefined) return this.refuse('unknown peer');
    const { highWaterMark } = this.settled;
    if (highWaterMark > 0 && connection.pending >= highWaterMark) {
      this.#full.add(connection);
      return this.refuse('high-water mark');
    }
    if (mostQueued !== undefined && connection.pending >= mostQueued) return this.refuse('high-water mark');
    connection.send(frames);
    return true;
  }

  has(key: string): boolean {
    return this.#peers.has(key);
  }

  queued(to: Peer | string): number {
    return this.#find(to)?.pending ?? 0;
  }

  disconnect(to: Peer | string, reason: string): void {
    const connection = this.#find(to);
    if (connection !== undefined) this.transport.drop(connection, { code: 'closed-here', detail: reason });
  }

  onMessage(connection: Connection, frames: Buffer[]): void {
    this.counters.received++;
    this.#options.onMessage?.(frames, connection.peer);
  }

  hasUnassigned(): boolean {
    return false;
  }

  protected joined(connection: Connection): undefined {
    if (connection.peer.identity.length === 0) connection.peer = this.#named(connection.peer);
    const { key } = connection.peer;
    const older = this.#peers.get(key);
    if (older !== undefined) {
      this.transport.drop(older, {
        code: 'taken-over',
        detail: `a newer connection from ${connection.address} has the same identity`,
      });
    }
    this.#peers.set(key, connection);
  }

  protected left(connection: Connection, _failure: PeerFailure, unsent: Frames[]): void {
    const { key } = connection.peer;
    if (this.#peers.get(key) === connection) this.#peers.delete(key);
    this.#full.delete(connection);
    this.counters.dropped += unsent.length;
  }

  protected written(connection: Connection): void {
    if (this.#full.size === 0 || !this.#full.has(connection)) return;
    if (connection.pending > this.settled.highWaterMark / 2) return;
    this.#full.delete(connection);
    if (!this.transport.isClosed) this.#options.onDrain?.(connection.peer);
  }

  protected takeWaiting(): number {
    return 0;
  }

  #find(to: Peer | string): Connection | undefined {
    return this.#peers.get(typeof to === 'string' ? to : to.key);
  }

  /** A name for a peer that has none: a zero byte, with which no peer's own name may begin, and a number. */
  #named(peer: Peer): Peer {
    const identity = Buffer.alloc(5);
    this.#nameless = (this.#nameless + 1) >>> 0;
    identity.writeUInt32BE(this.#nameless, 1);
    return { ...peer, identity, key: identityKey(identity) };
  }
}

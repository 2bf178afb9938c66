// All connections of one socket: binds, connects, keeps the set, and closes it. Every socket type owns one; what messages
// mean is not known here.
import type { DescriptorLimit } from '../../base/descriptors.ts';
import type { Arrival } from './arrival.ts';
import { Connection, type ConnectionOptions, type ConnectionOwner } from './connection.ts';
import { Connector, type ConnectorOptions, type ConnectorOwner } from './connector.ts';
import { type PeerFailure, ZmtpError } from './failures.ts';
import { Listener, type ListenerOwner } from './listener.ts';
import type { Frames } from './outbox.ts';

export type TransportOptions = ConnectionOptions & ConnectorOptions & { readonly keepsAlive: boolean };

/** What a socket type hears. */
export interface TransportOwner {
  /** A peer has finished its handshake; a failure returned refuses it. */
  onJoined(connection: Connection): PeerFailure | undefined;
  onMessage(connection: Connection, frames: Buffer[]): void;
  /** See {@link ConnectionOwner.onReflex}. */
  onReflex(connection: Connection): boolean;
  /** See {@link ConnectionOwner.onRead}. */
  onRead(connection: Connection): void;
  onWritten(connection: Connection, messages: number): void;
  /** A peer that had joined is gone. See {@link ConnectionOwner.onClosed}. */
  onLeft(connection: Connection, failure: PeerFailure, unsent: Frames[], lost: number): void;
  /** A peer that had not joined is gone, or there was none at the address. */
  onFailed(address: string, failure: PeerFailure): void;
  /** Whether messages wait for a peer to come. */
  hasUnassigned(): boolean;
}

/** How long a peer of which all was written is given to close its side, so that nothing is lost by a reset. */
const usualGoodbyeMs = 100;

export class Transport implements ConnectionOwner, ListenerOwner, ConnectorOwner {
  readonly #options: TransportOptions;
  readonly #owner: TransportOwner;
  readonly #listeners = new Set<Listener>();
  readonly #connectors = new Set<Connector>();
  readonly #connections = new Map<Connection, Connector | undefined>();
  readonly #joined = new Set<Connection>();
  /** Of these the owner has heard the end, though their stream is not yet closed. */
  readonly #dropped = new Set<Connection>();
  #isPaused = false;
  #closing: Promise<void> | undefined;
  #onChange: (() => void) | undefined;
  /** Ends the wait that is under way, as if its time were over. */
  #stopWaiting: (() => void) | undefined;
  /** Lingering is over: whoever still comes is sent away. */
  #isEnding = false;

  constructor(options: TransportOptions, owner: TransportOwner) {
    this.#options = options;
    this.#owner = owner;
  }

  /** Peers that have finished their handshake. */
  get joined(): ReadonlySet<Connection> {
    return this.#joined;
  }

  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Listens on an endpoint; the actual one, with its port. */
  async bind(endpoint: string): Promise<string> {
    this.#checkOpen();
    const listener = await Listener.open(endpoint, this.#options.ipv6, this);
    if (this.#closing !== undefined) {
      await listener.close();
      throw new ZmtpError('CLOSED', `The socket was closed while it bound ${endpoint}.`);
    }
    if (!this.#options.keepsAlive) listener.unref();
    this.#listeners.add(listener);
    return listener.endpoint;
  }

  /** Connects in the background, and again after each break. */
  connect(endpoint: string): void {
    this.#checkOpen();
    const connector = new Connector(endpoint, this.#options, this);
    this.#connectors.add(connector);
    connector.start();
  }

  pause(): void {
    this.#isPaused = true;
    for (const connection of this.#joined) connection.pause();
  }

  resume(): void {
    this.#isPaused = false;
    for (const connection of this.#joined) connection.resume();
  }

  /** Ends a peer that joined: `onLeft` is called within this call, and nothing more comes from it. */
  drop(connection: Connection, failure: PeerFailure): void {
    connection.close(failure);
    if (!this.#joined.delete(connection)) return;
    this.#dropped.add(connection);
    this.#owner.onLeft(connection, failure, connection.takeUnsent(), connection.pending);
  }

  /** Waits up to `lingerMs` for what is unsent, then ends everything. Calls back no more. A second call may cut the wait short. */
  close(lingerMs: number, goodbyeMs: number = usualGoodbyeMs): Promise<void> {
    if (this.#closing === undefined) this.#closing = this.#close(lingerMs, goodbyeMs);
    else if (lingerMs === 0 && !this.#isEnding) this.#stopWaiting?.();
    return this.#closing;
  }

  async #close(lingerMs: number, goodbyeMs: number): Promise<void> {
    if (lingerMs > 0 && !this.#isSent()) await this.#waitUntil(() => this.#isSent(), lingerMs);
    this.#isEnding = true;
    for (const connector of this.#connectors) connector.stop();
    const unbound = [...this.#listeners].map((listener) => listener.close());
    const failure: PeerFailure = { code: 'closed-here', detail: 'the socket was closed' };
    for (const connection of this.#connections.keys()) {
      if (lingerMs > 0 && connection.isOpen && connection.pending === 0) connection.finish(goodbyeMs, failure);
      else connection.close(failure);
    }
    await this.#waitUntil(() => this.#connections.size === 0);
    await Promise.all(unbound);
  }

  #isSent(): boolean {
    if (this.#owner.hasUnassigned()) return false;
    for (const connection of this.#joined) if (connection.pending > 0) return false;
    return true;
  }

  /** Resolves when `isTrue`, looked at after each change of a connection, or when the time is over. */
  #waitUntil(isTrue: () => boolean, limitMs = Number.POSITIVE_INFINITY): Promise<void> {
    if (isTrue()) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        stopTimer?.();
        this.#onChange = undefined;
        this.#stopWaiting = undefined;
        resolve();
      };
      this.#stopWaiting = done;
      const stopTimer = limitMs === Number.POSITIVE_INFINITY ? undefined : this.#options.clock.after(limitMs, done);
      this.#onChange = () => {
        if (isTrue()) done();
      };
    });
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new ZmtpError('CLOSED', 'The socket is closed; make a new one.');
  }

  #add(arrival: Arrival, address: string, connector: Connector | undefined): void {
    if (!this.#options.keepsAlive) arrival.stream.unref();
    this.#connections.set(new Connection(arrival, address, this, this.#options, connector === undefined), connector);
  }

  onAccepted(arrival: Arrival, address: string): void {
    const limit = this.#options.limits.handshakes;
    if (!this.#isEnding && this.#connections.size - this.#joined.size < limit) {
      this.#add(arrival, address, undefined);
      return;
    }
    // A stream without a listener for errors could end the process.
    arrival.stream.on('error', () => undefined);
    arrival.stream.destroy();
    if (this.#closing !== undefined) return;
    this.#owner.onFailed(address, { code: 'too-many', detail: `${limit} other connections are in their handshake` });
  }

  onAcceptFailed(endpoint: string, error: Error): void {
    this.#owner.onFailed(endpoint, { code: 'network', detail: `cannot accept a connection: ${error.message}` });
  }

  onNoDescriptor(endpoint: string, limit: DescriptorLimit): void {
    if (this.#closing !== undefined) return;
    const whose = limit === 'EMFILE' ? 'this process has' : 'this machine has';
    this.#owner.onFailed(endpoint, {
      code: 'no-descriptor',
      limit,
      detail: `${whose} no file descriptor left (${limit})`,
    });
  }

  onConnected(connector: Connector, arrival: Arrival): void {
    this.#add(arrival, connector.endpoint, connector);
  }

  onConnectFailed(endpoint: string, failure: PeerFailure): void {
    if (this.#closing === undefined) this.#owner.onFailed(endpoint, failure);
  }

  onReady(connection: Connection): PeerFailure | undefined {
    this.#connections.get(connection)?.onReady();
    this.#joined.add(connection);
    if (this.#isPaused) connection.pause();
    const failure = this.#owner.onJoined(connection);
    if (failure !== undefined) this.#joined.delete(connection);
    return failure;
  }

  onMessage(connection: Connection, frames: Buffer[]): void {
    if (this.#closing === undefined) this.#owner.onMessage(connection, frames);
  }

  onReflex(connection: Connection): boolean {
    return this.#closing === undefined && this.#owner.onReflex(connection);
  }

  onRead(connection: Connection): void {
    if (this.#closing === undefined) this.#owner.onRead(connection);
  }

  onWritten(connection: Connection, messages: number): void {
    this.#owner.onWritten(connection, messages);
    this.#onChange?.();
  }

  onClosed(connection: Connection, failure: PeerFailure, unsent: Frames[], lost: number): void {
    const connector = this.#connections.get(connection);
    this.#connections.delete(connection);
    connector?.onLost();
    if (this.#joined.delete(connection)) this.#owner.onLeft(connection, failure, unsent, lost);
    else if (!this.#dropped.delete(connection) && this.#closing === undefined)
      this.#owner.onFailed(connection.address, failure);
    this.#onChange?.();
  }
}

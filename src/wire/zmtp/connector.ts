// One connected endpoint: makes the connection, and makes it again after it broke, later each time. The transport owns it.
import { isIPv6, type Socket as Stream } from 'node:net';
import type { Clock } from '../../base/time.ts';
import { Arrival } from './arrival.ts';
import { type Endpoint, parseEndpoint } from './endpoint.ts';
import { type PeerFailure, ZmtpError } from './failures.ts';

/** How long to wait between two attempts: the first wait, doubled each time, up to the last; half of it is random. */
export interface Reconnect {
  /** @default 100 */
  readonly minMs: number;
  /** @default 5000 */
  readonly maxMs: number;
}

export interface ConnectorOptions {
  readonly reconnect: Reconnect;
  readonly ipv6: boolean;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** Who hears of the streams. */
export interface ConnectorOwner {
  onConnected(connector: Connector, arrival: Arrival): void;
  onConnectFailed(endpoint: string, failure: PeerFailure): void;
}

type ConnectorState =
  | { readonly phase: 'connecting'; readonly stream: Stream }
  | { readonly phase: 'connected' }
  | { readonly phase: 'waiting'; readonly stopTimer: () => void }
  | { readonly phase: 'stopped' };

export class Connector {
  readonly endpoint: string;
  readonly #target: Endpoint;
  readonly #options: ConnectorOptions;
  readonly #owner: ConnectorOwner;
  #state: ConnectorState = { phase: 'stopped' };
  #attempts = 0;

  /** Throws {@link ZmtpError} ENDPOINT for a text that is none. */
  constructor(text: string, options: ConnectorOptions, owner: ConnectorOwner) {
    const parsed = parseEndpoint(text);
    if (!parsed.ok) throw new ZmtpError('ENDPOINT', parsed.error);
    const target = parsed.value;
    if (target.kind === 'tcp' && (target.port === 0 || target.host === '*')) {
      throw new ZmtpError('ENDPOINT', `${text} cannot be connected to: it needs a host and a port other than * and 0.`);
    }
    if (target.kind === 'tcp' && !options.ipv6 && isIPv6(target.host)) {
      throw new ZmtpError('ENDPOINT', `${text} is an IPv6 address, and this socket was made with ipv6: false.`);
    }
    this.endpoint = text;
    this.#target = target;
    this.#options = options;
    this.#owner = owner;
  }

  /** Makes the first attempt. */
  start(): void {
    const arrival = open(this.#target, this.#options.ipv6);
    const { stream } = arrival;
    this.#state = { phase: 'connecting', stream };
    const onError = (error: Error): void => {
      if (this.#state.phase !== 'connecting') return;
      // The event comes before the wait, so that a listener may stop the attempts.
      this.#waitAndRetry();
      this.#owner.onConnectFailed(this.endpoint, {
        code: 'unreachable',
        detail: `cannot connect to ${this.endpoint}: ${reasonOf(error)}`,
      });
    };
    stream.on('error', onError);
    stream.once('connect', () => {
      if (this.#state.phase !== 'connecting') return;
      this.#state = { phase: 'connected' };
      this.#owner.onConnected(this, arrival);
      stream.removeListener('error', onError);
    });
  }

  /** The handshake went well: the next trouble is a new one. */
  onReady(): void {
    this.#attempts = 0;
  }

  /** The connection is gone: try again after a while. */
  onLost(): void {
    if (this.#state.phase === 'connected') this.#waitAndRetry();
  }

  /** Makes no more attempts, and ends the one under way. */
  stop(): void {
    const state = this.#state;
    this.#state = { phase: 'stopped' };
    if (state.phase === 'connecting') state.stream.destroy();
    else if (state.phase === 'waiting') state.stopTimer();
  }

  #waitAndRetry(): void {
    const { reconnect, random, clock } = this.#options;
    const full = Math.min(reconnect.maxMs, reconnect.minMs * 2 ** Math.min(this.#attempts, 20));
    this.#attempts++;
    // Half of the wait is random, so that a thousand peers of a restarted one do not come back in the same moment.
    const stopTimer = clock.after(full * (0.5 + random() / 2), () => this.start());
    this.#state = { phase: 'waiting', stopTimer };
  }
}

function open(target: Endpoint, ipv6: boolean): Arrival {
  if (target.kind === 'ipc') return Arrival.connecting({ path: target.path });
  const { host, port } = target;
  return Arrival.connecting(ipv6 ? { host, port, noDelay: true } : { host, port, noDelay: true, family: 4 });
}

/** Several addresses of one name fail with an AggregateError, whose own message is empty. */
function reasonOf(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map(String).join('; ');
  return error.message;
}

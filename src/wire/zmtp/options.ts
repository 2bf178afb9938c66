// What a socket is made of: its options with their defaults, checked all at once. Used by createSocket and the socket types.
import { type Clock, systemClock } from '../../base/time.ts';
import type { Reconnect } from './connector.ts';
import { type PeerFailure, ZmtpError } from './failures.ts';
import type { WireType } from './handshake.ts';
import type { Heartbeat } from './heartbeat.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { type Mechanism, nullMechanism } from './mechanism.ts';
import type { Peer } from './peer.ts';
import { type Reflex, wireBytes } from './reflex.ts';
import type { TransportOptions } from './transport.ts';

/** What can be told to every socket. */
export interface CommonOptions {
  /** The name peers know it by, 1 to 255 bytes, the first one not 0. @default none */
  readonly identity?: string | Uint8Array;
  /** From `curveServer()` or `curveClient()`. @default nullMechanism, no security */
  readonly mechanism?: Mechanism;
  /** Messages that may wait to be sent: in all for DEALER, for each peer for ROUTER. 0 is unlimited. @default 1000 */
  readonly highWaterMark?: number;
  /** How long `close()` waits for unsent messages, in milliseconds. @default 1000 */
  readonly lingerMs?: number;
  /** Whether IPv6 addresses are allowed, and `*` means both families. @default true */
  readonly ipv6?: boolean;
  /** Whether to send PING. PING of a peer is answered in any case. @default none are sent */
  readonly heartbeat?: Heartbeat;
  /** A peer that has not finished its handshake by then is dropped. @default 30000 */
  readonly handshakeTimeoutMs?: number;
  /** @default 100 ms to 5000 ms */
  readonly reconnect?: Partial<Reconnect>;
  readonly limits?: Partial<Limits>;
  /** Whether an open socket keeps this process alive. @default true */
  readonly keepsAlive?: boolean;
  /**
   * When messages leave: `soon`, that is when the callback that sent them ends, or `gathered`: what comes turn after turn of
   * the event loop, for up to a millisecond, leaves together, and a single message with the next turn. The latter is one
   * system call in place of many where many callbacks send to one peer. @default 'soon'
   */
  readonly leaves?: 'soon' | 'gathered';
  /** A message that is answered without being handed over, when it comes alone and nothing waits for its peer. Only for a ROUTER. @default none */
  readonly reflex?: Reflex;
  /** The body of a frame that comes again and again: it is handed over as this buffer, which nobody may change. @default none */
  readonly familiar?: Buffer;
  /** @default the machine's */
  readonly clock?: Clock;
  /** For the waits between attempts to connect. @default Math.random */
  readonly random?: () => number;

  /**
   * After `onMessage` was called for all that the system gave at once. What is sent to this peer in here leaves with what was
   * sent to it there.
   */
  readonly onRead?: (peer: Peer) => void;
  /** A peer finished its handshake. */
  readonly onPeerJoined?: (peer: Peer) => void;
  /** A peer that had joined is gone. */
  readonly onPeerLeft?: (peer: Peer, failure: PeerFailure) => void;
  /** Somebody at `address` was refused before joining, or could not be reached. */
  readonly onPeerFailed?: (address: string, failure: PeerFailure) => void;
}

/** The options, checked and complete. */
export interface Settled extends TransportOptions {
  readonly highWaterMark: number;
  readonly lingerMs: number;
}

/** Fills in defaults; throws {@link ZmtpError} OPTIONS that names everything that is wrong. */
export function settle(type: WireType, options: CommonOptions): Settled {
  const wrong: string[] = [];
  const number = (
    name: string,
    value: number | undefined,
    byDefault: number,
    minimum: number,
    isWhole = true,
  ): number => {
    if (value === undefined) return byDefault;
    if (typeof value === 'number' && value >= minimum && (!isWhole || Number.isInteger(value))) return value;
    wrong.push(`${name} must be ${isWhole ? 'a whole number' : 'a number'} from ${minimum}, and is ${String(value)}`);
    return byDefault;
  };
  const identity =
    typeof options.identity === 'string' ? Buffer.from(options.identity) : (options.identity ?? new Uint8Array(0));
  if (options.identity !== undefined && (identity.length < 1 || identity.length > 255)) {
    wrong.push(`identity must have 1 to 255 bytes, and has ${identity.length}`);
  }
  if (identity[0] === 0) wrong.push('identity must not begin with a zero byte');
  if (options.leaves !== undefined && options.leaves !== 'soon' && options.leaves !== 'gathered')
    wrong.push(`leaves must be soon or gathered, and is ${JSON.stringify(options.leaves)}`);
  const { reflex } = options;
  if (reflex !== undefined && (reflex.message.length === 0 || reflex.answer.length === 0))
    wrong.push('reflex.message and reflex.answer must have at least one frame');
  // The others count what they send, or take turns with their peer.
  if (reflex !== undefined && type !== 'ROUTER') wrong.push(`reflex is for a ROUTER, and this is a ${type}`);
  const heartbeat = options.heartbeat && {
    ...options.heartbeat,
    intervalMs: number('heartbeat.intervalMs', options.heartbeat.intervalMs, 1, 1),
    timeoutMs: number('heartbeat.timeoutMs', options.heartbeat.timeoutMs, options.heartbeat.intervalMs, 1),
    ttlMs: number('heartbeat.ttlMs', options.heartbeat.ttlMs, 0, 0),
  };
  const limits = options.limits ?? {};
  const limit = (name: keyof Limits, minimum: number): number =>
    number(`limits.${name}`, limits[name], defaultLimits[name], minimum);
  const settled: Settled = {
    type,
    identity,
    mechanism: options.mechanism ?? nullMechanism,
    highWaterMark: number('highWaterMark', options.highWaterMark, 1_000, 0),
    lingerMs: number('lingerMs', options.lingerMs, 1_000, 0, false),
    ipv6: options.ipv6 ?? true,
    keepsAlive: options.keepsAlive ?? true,
    gathers: options.leaves === 'gathered',
    reflex: reflex && {
      message: wireBytes(reflex.message),
      answer: wireBytes(reflex.answer),
      frames: reflex.answer,
      answersWithinMs: number('reflex.answersWithinMs', reflex.answersWithinMs, 0, 0),
    },
    familiar: options.familiar,
    heartbeat,
    handshakeTimeoutMs: number('handshakeTimeoutMs', options.handshakeTimeoutMs, 30_000, 1),
    reconnect: {
      minMs: number('reconnect.minMs', options.reconnect?.minMs, 100, 1),
      maxMs: number('reconnect.maxMs', options.reconnect?.maxMs, 5_000, 1),
    },
    limits: {
      frameBytes: limit('frameBytes', 1),
      framesPerMessage: limit('framesPerMessage', 1),
      messageBytes: limit('messageBytes', 1),
      // A CURVE handshake has commands of some hundred bytes.
      commandBytes: limit('commandBytes', 512),
      handshakes: limit('handshakes', 1),
    },
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  };
  if (wrong.length > 0) throw new ZmtpError('OPTIONS', `Cannot make a ${type} socket: ${wrong.join('; ')}.`);
  return settled;
}

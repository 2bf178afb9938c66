// The way from the first byte to the first message, as a pure machine: bytes in, effects out. A connection runs one.
import { assertNever } from '../../base/assert.ts';
import { decodeMetadata, encodeMetadata, type Metadata } from './commands.ts';
import type { PeerFailure } from './failures.ts';
import { command, encodeFrame, FrameDecoder } from './frames.ts';
import { encodeGreeting, type Greeting, GreetingReader } from './greeting.ts';
import type { Limits } from './limits.ts';
import type { Mechanism, MechanismRun, Security } from './mechanism.ts';

/** The socket types this folder has, as they are written in a handshake. */
export type WireType = 'DEALER' | 'ROUTER' | 'REQ' | 'REP';

/** What this side is and wants. */
export interface HandshakeOptions {
  readonly type: WireType;
  readonly identity: Uint8Array;
  readonly mechanism: Mechanism;
  readonly limits: Limits;
  /** The body of a frame that comes again and again. */
  readonly familiar: Buffer | undefined;
}

/** What a finished handshake tells about the peer. */
export interface PeerIntroduction extends Metadata {
  readonly minorVersion: number;
  readonly security: Security;
}

export type HandshakeEffect =
  | { readonly do: 'send'; readonly bytes: Buffer }
  | { readonly do: 'ready'; readonly peer: PeerIntroduction }
  | { readonly do: 'refuse'; readonly failure: PeerFailure };

const partners: Record<WireType, readonly string[]> = {
  DEALER: ['DEALER', 'ROUTER', 'REP'],
  ROUTER: ['DEALER', 'ROUTER', 'REQ'],
  REQ: ['REP', 'ROUTER'],
  REP: ['REQ', 'DEALER'],
};

/** Signature and major version: what libzmq waits for before it says the rest of its own greeting. */
const reservedBytes = 11;

type HandshakeState =
  | { readonly phase: 'greeting'; readonly reader: GreetingReader }
  | { readonly phase: 'mechanism'; readonly run: MechanismRun; readonly greeting: Greeting }
  | { readonly phase: 'over' };

/** A handshake. After `ready` the bytes that follow wait in {@link decoder}; after `refuse` nothing more happens. */
export class Handshake {
  readonly decoder: FrameDecoder;
  readonly #options: HandshakeOptions;
  readonly #isReserved: boolean;
  #state: HandshakeState = { phase: 'greeting', reader: new GreetingReader() };

  /**
   * @param isAccepted - whether the peer came to this side. An accepting CURVE server names its mechanism only to a peer
   *   that has named the same one: libzmq gives up for good once it reads of another, but comes again when it is sent
   *   away without a word. Parsl's pools before 2025.07.07 find their interchange by plain connections to its CURVE
   *   port, may miss the first, and would never make a second. A connecting side must speak first, so it never waits.
   */
  constructor(options: HandshakeOptions, isAccepted = false) {
    this.#options = options;
    this.#isReserved = isAccepted && options.mechanism.isServer;
    this.decoder = new FrameDecoder(options.limits, options.familiar);
    this.decoder.commandsOnly = true;
  }

  /** What to do when the connection is there. */
  start(): HandshakeEffect {
    const greeting = this.#greeting();
    return { do: 'send', bytes: this.#isReserved ? greeting.subarray(0, reservedBytes) : greeting };
  }

  #greeting(): Buffer {
    const { mechanism } = this.#options;
    return encodeGreeting(mechanism.name, mechanism.isServer);
  }

  /** What to do about the next bytes. */
  receive(chunk: Buffer): readonly HandshakeEffect[] {
    const effects: HandshakeEffect[] = [];
    if (this.#state.phase === 'greeting') {
      const read = this.#state.reader.push(chunk);
      if (read === undefined) return effects;
      if ('failure' in read) return this.#refuse(effects, read.failure);
      const failure = this.#checkMechanism(read.greeting);
      if (failure !== undefined) return this.#refuse(effects, failure);
      chunk = read.rest;
      if (this.#isReserved) effects.push({ do: 'send', bytes: this.#greeting().subarray(reservedBytes) });
      this.#startMechanism(effects, read.greeting);
    }
    if (chunk.length > 0) this.decoder.push(chunk);
    while (this.#state.phase === 'mechanism') {
      const body = this.decoder.next();
      if (body !== undefined) this.#onCommand(effects, this.#state, body);
      else if (this.decoder.failure !== undefined) return this.#refuse(effects, this.decoder.failure);
      else break;
    }
    return effects;
  }

  #checkMechanism(greeting: Greeting): PeerFailure | undefined {
    const own = this.#options.mechanism;
    if (greeting.mechanism !== own.name) {
      return {
        code: 'mechanism',
        detail: `it wants ${JSON.stringify(greeting.mechanism)} where this side wants ${own.name}`,
      };
    }
    if (own.isServer && greeting.isServer)
      return { code: 'mechanism', detail: 'it is a CURVE server, as this side is' };
    return undefined;
  }

  #startMechanism(effects: HandshakeEffect[], greeting: Greeting): void {
    const { type, identity, mechanism } = this.#options;
    const run = mechanism.begin(encodeMetadata(type, type === 'REP' ? undefined : identity));
    this.#state = { phase: 'mechanism', run, greeting };
    const first = run.start();
    if (first !== undefined) effects.push({ do: 'send', bytes: encodeFrame(command, first) });
  }

  #onCommand(effects: HandshakeEffect[], state: HandshakeState & { readonly phase: 'mechanism' }, body: Buffer): void {
    const step = state.run.receive(body);
    switch (step.do) {
      case 'send':
        effects.push({ do: 'send', bytes: encodeFrame(command, step.command) });
        return;
      case 'refuse':
        this.#refuse(effects, step.failure);
        return;
      case 'ready': {
        const metadata = decodeMetadata(step.metadata);
        const failure = metadata.ok
          ? this.#checkPeer(metadata.value)
          : ({ code: 'protocol', detail: metadata.error } as const);
        if (failure !== undefined || !metadata.ok) {
          this.#refuse(effects, failure!);
          return;
        }
        if (step.command !== undefined) effects.push({ do: 'send', bytes: encodeFrame(command, step.command) });
        const peer = {
          ...metadata.value,
          minorVersion: state.greeting.major > 3 ? 1 : state.greeting.minor,
          security: step.security,
        };
        effects.push({ do: 'ready', peer });
        this.#state = { phase: 'over' };
        this.decoder.commandsOnly = false;
        return;
      }
      default:
        assertNever(step);
    }
  }

  #checkPeer(peer: Metadata): PeerFailure | undefined {
    const { type } = this.#options;
    if (!partners[type].includes(peer.socketType)) {
      return {
        code: 'socket-type',
        detail: `it is a ${peer.socketType || 'socket without type'}, which cannot talk to a ${type}`,
      };
    }
    if (peer.identity.length > 255)
      return { code: 'identity', detail: `its identity has ${peer.identity.length} bytes; 255 are allowed` };
    if (peer.identity[0] === 0)
      return { code: 'identity', detail: 'its identity begins with a zero byte, which is reserved' };
    return undefined;
  }

  #refuse(effects: HandshakeEffect[], failure: PeerFailure): readonly HandshakeEffect[] {
    this.#state = { phase: 'over' };
    effects.push({ do: 'refuse', failure });
    return effects;
  }
}

// The client's half of the CURVE handshake: HELLO, INITIATE, and then messages. Given to sockets as their mechanism.
import { randomBytes } from 'node:crypto';
import { commandData, commandName, encodeCommand } from './commands.ts';
import { box, CurveChannel, cookieBytes, counterBytes, keyOf, longNonce, shortNonce, welcomeBytes } from './curve.ts';
import { type PeerFailure, ZmtpError } from './failures.ts';
import {
  type Mechanism,
  type MechanismRun,
  type MechanismStep,
  refusedByPeer,
  unexpectedCommand,
} from './mechanism.ts';
import { type KeyPair, loadSodium, type Sodium } from './sodium.ts';
import { encodeZ85 } from './z85.ts';

/** Keys of a CURVE client: Z85 text (40 characters) or 32 bytes each. */
export interface CurveClientOptions {
  /** @default computed from the secret key */
  readonly publicKey?: string | Uint8Array;
  readonly secretKey: string | Uint8Array;
  /** The server's public key. */
  readonly serverKey: string | Uint8Array;
}

/**
 * A mechanism for the client's role; it does not matter who binds. Throws {@link ZmtpError} KEY for a key that is none.
 *
 * @example
 * const { client, server } = await readCertificates(directory);
 * createSocket({ type: 'dealer', mechanism: await curveClient({ ...client, serverKey: server.publicKey }) });
 */
export async function curveClient(options: CurveClientOptions): Promise<Mechanism> {
  const sodium = await loadSodium();
  const secretKey = keyOf(options.secretKey, 'secret key of the client');
  const serverKey = keyOf(options.serverKey, 'public key of the server');
  const publicKey =
    options.publicKey === undefined
      ? sodium.publicKeyOf(secretKey)
      : keyOf(options.publicKey, 'public key of the client');
  const longTerm = sodium.sharedKey(serverKey, secretKey);
  if (longTerm === undefined) throw new ZmtpError('KEY', 'The public key of the server is not a usable CURVE key.');
  const shared: ClientKeys = { publicKey, secretKey, serverKey };
  return { name: 'CURVE', isServer: false, begin: (metadata) => new CurveClientRun(sodium, shared, metadata) };
}

interface ClientKeys extends KeyPair {
  readonly serverKey: Uint8Array;
}

type ClientState =
  | { readonly waitsFor: 'WELCOME'; readonly helloKey: Uint8Array }
  | { readonly waitsFor: 'READY'; readonly session: Uint8Array }
  | { readonly waitsFor: 'nothing' };

class CurveClientRun implements MechanismRun {
  readonly #sodium: Sodium;
  readonly #keys: ClientKeys;
  readonly #metadata: Buffer;
  readonly #transient: KeyPair;
  #state: ClientState = { waitsFor: 'nothing' };

  constructor(sodium: Sodium, keys: ClientKeys, metadata: Buffer) {
    this.#sodium = sodium;
    this.#keys = keys;
    this.#metadata = metadata;
    this.#transient = sodium.keyPair();
  }

  start(): Buffer {
    const helloKey = this.#sodium.sharedKey(this.#keys.serverKey, this.#transient.secretKey);
    // curveClient() tried the server's key, so that there is always a shared one.
    if (helloKey === undefined) throw new ZmtpError('KEY', 'The public key of the server is not a usable CURVE key.');
    this.#state = { waitsFor: 'WELCOME', helloKey };
    const counter = counterBytes(1);
    const signature = box(this.#sodium, Buffer.alloc(64), shortNonce('CurveZMQHELLO---', counter), helloKey);
    return encodeCommand('HELLO', Buffer.from([1, 0]), Buffer.alloc(72), this.#transient.publicKey, counter, signature);
  }

  receive(command: Buffer): MechanismStep {
    const state = this.#state;
    const name = commandName(command);
    if (name === 'ERROR') return refusedByPeer(command);
    if (name !== state.waitsFor) return unexpectedCommand(name, state.waitsFor);
    return state.waitsFor === 'WELCOME' ? this.#onWelcome(command, state.helloKey) : this.#onReady(command, state);
  }

  #onWelcome(command: Buffer, helloKey: Uint8Array): MechanismStep {
    if (command.length !== welcomeBytes)
      return refuse('protocol', `its WELCOME has ${command.length} bytes instead of ${welcomeBytes}`);
    const data = commandData(command);
    const opened = this.#sodium.open(data.subarray(16), longNonce('WELCOME-', data.subarray(0, 16)), helloKey);
    if (opened === undefined)
      return refuse('curve-key', 'its WELCOME does not open with the public key that was given for the server');
    const serverTransient = opened.subarray(0, 32);
    const cookie = opened.subarray(32, 32 + cookieBytes);
    const { publicKey, secretKey, serverKey } = this.#keys;
    const session = this.#sodium.sharedKey(serverTransient, this.#transient.secretKey);
    const vouchKey = this.#sodium.sharedKey(serverTransient, secretKey);
    if (session === undefined || vouchKey === undefined)
      return refuse('curve-key', 'its transient key is not a usable CURVE key');
    const vouchRandom = randomBytes(16);
    const vouched = Buffer.concat([this.#transient.publicKey, serverKey]);
    const vouch = box(this.#sodium, vouched, longNonce('VOUCH---', vouchRandom), vouchKey);
    const counter = counterBytes(2);
    const plain = Buffer.concat([publicKey, vouchRandom, vouch, this.#metadata]);
    const sealed = box(this.#sodium, plain, shortNonce('CurveZMQINITIATE', counter), session);
    this.#state = { waitsFor: 'READY', session };
    return { do: 'send', command: encodeCommand('INITIATE', cookie, counter, sealed) };
  }

  #onReady(command: Buffer, state: ClientState): MechanismStep {
    if (state.waitsFor !== 'READY') return unexpectedCommand('READY', state.waitsFor);
    const data = commandData(command);
    const counter = data.subarray(0, 8);
    const metadata = this.#sodium.open(data.subarray(8), shortNonce('CurveZMQREADY---', counter), state.session);
    if (counter.length < 8 || metadata === undefined) return refuse('curve-key', 'its READY does not open');
    this.#state = { waitsFor: 'nothing' };
    const received = counter.readUInt32BE(0) * 2 ** 32 + counter.readUInt32BE(4);
    const channel = new CurveChannel(this.#sodium, state.session, 'client', 2, received);
    const publicKey = encodeZ85(this.#keys.serverKey);
    return { do: 'ready', command: undefined, metadata, security: { kind: 'boxed', channel, publicKey } };
  }
}

function refuse(code: PeerFailure['code'], detail: string): MechanismStep {
  return { do: 'refuse', failure: { code, detail } };
}

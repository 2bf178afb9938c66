// The server's half of the CURVE handshake: WELCOME, a look at the list of allowed clients, READY, and then messages.
// Given to sockets as their mechanism.
import { randomBytes } from 'node:crypto';
import { commandData, commandName, encodeCommand } from './commands.ts';
import {
  box,
  CurveChannel,
  cookieBytes,
  counterBytes,
  helloBytes,
  keyOf,
  longNonce,
  shortNonce,
  vouchBytes,
} from './curve.ts';
import type { PeerFailure } from './failures.ts';
import {
  type Mechanism,
  type MechanismRun,
  type MechanismStep,
  refusedByPeer,
  unexpectedCommand,
} from './mechanism.ts';
import { boxOverheadBytes, keyBytes, loadSodium, type Sodium } from './sodium.ts';
import { encodeZ85 } from './z85.ts';

/** The key of a CURVE server, Z85 text (40 characters) or 32 bytes, and who may come in. */
export interface CurveServerOptions {
  readonly secretKey: string | Uint8Array;
  /** Public keys (Z85) of the clients that may come in, or `'anyone'` who knows the server's public key. */
  readonly allow: ReadonlySet<string> | 'anyone';
}

/**
 * A mechanism for the server's role; it does not matter who binds. A client that is not allowed sees its connection
 * closed and no word of reason; the own side gets one. Throws `ZmtpError` KEY for a key that is none.
 *
 * @example
 * const { server, allowed } = await readCertificates(directory);
 * createSocket({ type: 'router', mechanism: await curveServer({ ...server, allow: allowed }) });
 */
export async function curveServer(options: CurveServerOptions): Promise<Mechanism> {
  const sodium = await loadSodium();
  const secretKey = keyOf(options.secretKey, 'secret key of the server');
  const publicKey = sodium.publicKeyOf(secretKey);
  return {
    name: 'CURVE',
    isServer: true,
    begin: (metadata) => new CurveServerRun(sodium, { secretKey, publicKey, allow: options.allow }, metadata),
  };
}

interface ServerKeys {
  readonly secretKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly allow: CurveServerOptions['allow'];
}

type ServerState =
  | { readonly waitsFor: 'HELLO' }
  | {
      readonly waitsFor: 'INITIATE';
      readonly clientTransient: Buffer;
      readonly transientSecret: Uint8Array;
      readonly session: Uint8Array;
      readonly cookie: Buffer;
    }
  | { readonly waitsFor: 'nothing' };

class CurveServerRun implements MechanismRun {
  readonly #sodium: Sodium;
  readonly #keys: ServerKeys;
  readonly #metadata: Buffer;
  #state: ServerState = { waitsFor: 'HELLO' };

  constructor(sodium: Sodium, keys: ServerKeys, metadata: Buffer) {
    this.#sodium = sodium;
    this.#keys = keys;
    this.#metadata = metadata;
  }

  start(): undefined {
    return undefined;
  }

  receive(command: Buffer): MechanismStep {
    const state = this.#state;
    const name = commandName(command);
    if (name === 'ERROR') return refusedByPeer(command);
    if (name !== state.waitsFor) return unexpectedCommand(name, state.waitsFor);
    return state.waitsFor === 'INITIATE' ? this.#onInitiate(command, state) : this.#onHello(command);
  }

  #onHello(command: Buffer): MechanismStep {
    if (command.length !== helloBytes)
      return refuse('protocol', `its HELLO has ${command.length} bytes instead of ${helloBytes}`);
    const data = commandData(command);
    if (data[0] !== 1 || data[1] !== 0)
      return refuse('protocol', `it speaks CURVE ${data[0]}.${data[1]}, which is unknown`);
    const clientTransient = Buffer.from(data.subarray(74, 106));
    const counter = data.subarray(106, 114);
    const helloKey = this.#sodium.sharedKey(clientTransient, this.#keys.secretKey);
    const opened = helloKey && this.#sodium.open(data.subarray(114), shortNonce('CurveZMQHELLO---', counter), helloKey);
    if (helloKey === undefined || opened === undefined)
      return refuse('curve-key', 'its HELLO is not for the key of this server');
    const transient = this.#sodium.keyPair();
    const session = this.#sodium.sharedKey(clientTransient, transient.secretKey);
    if (session === undefined) return refuse('curve-key', 'its transient key is not a usable CURVE key');
    // The state stays here, not in the cookie, so the cookie only has to be unguessable. Handshakes are limited in number and time.
    const cookie = randomBytes(cookieBytes);
    const random = randomBytes(16);
    const sealed = box(
      this.#sodium,
      Buffer.concat([transient.publicKey, cookie]),
      longNonce('WELCOME-', random),
      helloKey,
    );
    this.#state = { waitsFor: 'INITIATE', clientTransient, transientSecret: transient.secretKey, session, cookie };
    return { do: 'send', command: encodeCommand('WELCOME', random, sealed) };
  }

  #onInitiate(command: Buffer, state: ServerState & { readonly waitsFor: 'INITIATE' }): MechanismStep {
    const data = commandData(command);
    if (data.length < cookieBytes + 8 + boxOverheadBytes + keyBytes + vouchBytes)
      return refuse('protocol', 'its INITIATE is too short');
    if (!data.subarray(0, cookieBytes).equals(state.cookie))
      return refuse('curve-key', 'its INITIATE does not carry the cookie it was given');
    const counter = data.subarray(cookieBytes, cookieBytes + 8);
    const plain = this.#sodium.open(
      data.subarray(cookieBytes + 8),
      shortNonce('CurveZMQINITIATE', counter),
      state.session,
    );
    if (plain === undefined) return refuse('curve-key', 'its INITIATE does not open');
    const clientKey = plain.subarray(0, keyBytes);
    const vouchRandom = plain.subarray(keyBytes, keyBytes + 16);
    const vouchKey = this.#sodium.sharedKey(clientKey, state.transientSecret);
    const vouch =
      vouchKey &&
      this.#sodium.open(
        plain.subarray(keyBytes + 16, keyBytes + vouchBytes),
        longNonce('VOUCH---', vouchRandom),
        vouchKey,
      );
    if (vouch === undefined || !vouch.equals(Buffer.concat([state.clientTransient, this.#keys.publicKey]))) {
      return refuse('curve-key', 'it does not have the secret key of the public key it claims');
    }
    const publicKey = encodeZ85(clientKey);
    const { allow } = this.#keys;
    if (allow !== 'anyone' && !allow.has(publicKey))
      return refuse('not-allowed', `its public key ${publicKey} is not among the allowed ones`);
    const readyCounter = counterBytes(1);
    const sealed = box(this.#sodium, this.#metadata, shortNonce('CurveZMQREADY---', readyCounter), state.session);
    this.#state = { waitsFor: 'nothing' };
    const received = counter.readUInt32BE(0) * 2 ** 32 + counter.readUInt32BE(4);
    const channel = new CurveChannel(this.#sodium, state.session, 'server', 1, received);
    return {
      do: 'ready',
      command: encodeCommand('READY', readyCounter, sealed),
      metadata: plain.subarray(keyBytes + vouchBytes),
      security: { kind: 'boxed', channel, publicKey },
    };
  }
}

function refuse(code: PeerFailure['code'], detail: string): MechanismStep {
  return { do: 'refuse', failure: { code, detail } };
}

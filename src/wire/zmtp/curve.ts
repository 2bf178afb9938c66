// What both roles of CURVE (ZeroMQ RFC 26) share: nonces, boxes of commands, and the channel that seals messages.
// Used by curveClient.ts and curveServer.ts.

import { ZmtpError } from './failures.ts';
import type { Channel } from './mechanism.ts';
import { boxOverheadBytes, keyBytes, nonceBytes, type Sodium } from './sodium.ts';
import { decodeZ85 } from './z85.ts';

export const helloBytes = 200;
export const welcomeBytes = 168;
export const cookieBytes = 96;
export const vouchBytes = 96;

const messageName = Buffer.from('\x07MESSAGE', 'latin1');
/** Name, counter, box: where the box of a MESSAGE starts. */
const messageHeaderBytes = 16;

/** A nonce of a 16 byte text and an 8 byte counter. */
export function shortNonce(text: string, counter: Uint8Array): Buffer {
  const nonce = Buffer.alloc(nonceBytes);
  nonce.write(text, 0, 16, 'latin1');
  nonce.set(counter, 16);
  return nonce;
}

/** A nonce of an 8 byte text and 16 random bytes. */
export function longNonce(text: string, random: Uint8Array): Buffer {
  const nonce = Buffer.alloc(nonceBytes);
  nonce.write(text, 0, 8, 'latin1');
  nonce.set(random, 8);
  return nonce;
}

/** The counter of a command as its eight bytes. */
export function counterBytes(counter: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(counter));
  return bytes;
}

/** A new buffer with the box of `message`. */
export function box(sodium: Sodium, message: Uint8Array, nonce: Uint8Array, key: Uint8Array): Buffer {
  const sealed = Buffer.allocUnsafe(message.length + boxOverheadBytes);
  sodium.seal(-1, message, nonce, key, sealed, 0);
  return sealed;
}

/** A key from Z85 text or bytes; throws {@link ZmtpError} KEY when it is none. `what` names it in the message. */
export function keyOf(key: string | Uint8Array, what: string): Uint8Array {
  const bytes = typeof key === 'string' ? decodeZ85(key) : key;
  if (bytes === undefined || bytes.length !== keyBytes) {
    throw new ZmtpError(
      'KEY',
      `The ${what} is not a CURVE key: expected 40 characters of Z85 or ${keyBytes} bytes. Keys are made with createCertificates().`,
    );
  }
  return bytes;
}

/** Seals and opens MESSAGE frames once both sides have the session's key. */
export class CurveChannel implements Channel {
  openedFlags = 0;
  readonly #sodium: Sodium;
  readonly #key: Uint8Array;
  readonly #sendNonce: Buffer;
  readonly #receiveNonce: Buffer;
  #sent: number;
  #received: number;

  /** `sent` and `received` are the last counters the handshake used. */
  constructor(sodium: Sodium, key: Uint8Array, role: 'client' | 'server', sent: number, received: number) {
    this.#sodium = sodium;
    this.#key = key;
    const [own, other] = role === 'client' ? ['C', 'S'] : ['S', 'C'];
    this.#sendNonce = shortNonce(`CurveZMQMESSAGE${own}`, new Uint8Array(8));
    this.#receiveNonce = shortNonce(`CurveZMQMESSAGE${other}`, new Uint8Array(8));
    this.#sent = sent;
    this.#received = received;
  }

  sealedBytes(length: number): number {
    return messageHeaderBytes + 1 + length + boxOverheadBytes;
  }

  seal(flags: number, body: Uint8Array, target: Uint8Array, at: number): void {
    const counter = ++this.#sent;
    const nonce = this.#sendNonce;
    nonce.writeUInt32BE(Math.floor(counter / 2 ** 32), 16);
    nonce.writeUInt32BE(counter >>> 0, 20);
    target.set(messageName, at);
    for (let index = 0; index < 8; index++) target[at + 8 + index] = nonce[16 + index]!;
    this.#sodium.seal(flags, body, nonce, this.#key, target, at + messageHeaderBytes);
  }

  open(sealed: Buffer): Buffer | undefined {
    if (sealed.length < messageHeaderBytes + boxOverheadBytes + 1) return undefined;
    for (let index = 0; index < 8; index++) if (sealed[index] !== messageName[index]) return undefined;
    const counter = sealed.readUInt32BE(8) * 2 ** 32 + sealed.readUInt32BE(12);
    // Counters only grow: a frame that was recorded and sent again is refused.
    if (counter <= this.#received) return undefined;
    const nonce = this.#receiveNonce;
    for (let index = 0; index < 8; index++) nonce[16 + index] = sealed[8 + index]!;
    const opened = this.#sodium.open(sealed.subarray(messageHeaderBytes), nonce, this.#key);
    if (opened === undefined) return undefined;
    this.#received = counter;
    this.openedFlags = opened[0]!;
    return opened.subarray(1);
  }
}

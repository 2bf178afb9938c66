// The first 64 bytes each side sends: signature, version, mechanism, role. Pure; used by the handshake.
//
//   0  signature  ff, 8 bytes, 7f       12 mechanism  20 bytes, zero padded
//   10 version    3, 1                  32 as-server  1 byte, then 31 zero bytes
import type { PeerFailure } from './failures.ts';

export const greetingBytes = 64;

/** What a greeting says. */
export interface Greeting {
  readonly major: number;
  readonly minor: number;
  readonly mechanism: string;
  /** As sent. libzmq always sends `false`, so nothing may depend on it. */
  readonly isServer: boolean;
}

/** The 64 bytes of a ZMTP 3.1 greeting. */
export function encodeGreeting(mechanism: string, isServer: boolean): Buffer {
  const bytes = Buffer.alloc(greetingBytes);
  bytes[0] = 0xff;
  // Read as a length by ZMTP 1.0 peers. libzmq sends 1 here, so every old peer was tested against it.
  bytes[8] = 1;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes[11] = 1;
  bytes.write(mechanism, 12, 'ascii');
  bytes[32] = isServer ? 1 : 0;
  return bytes;
}

/** Collects a greeting from chunks and refuses it at the first byte that is wrong, so that strangers are not waited for. */
export class GreetingReader {
  readonly #bytes = Buffer.alloc(greetingBytes);
  #have = 0;

  /** `undefined`: more bytes are needed. `rest` is what follows the greeting in this chunk. */
  push(
    chunk: Buffer,
  ): { readonly greeting: Greeting; readonly rest: Buffer } | { readonly failure: PeerFailure } | undefined {
    const take = Math.min(greetingBytes - this.#have, chunk.length);
    chunk.copy(this.#bytes, this.#have, 0, take);
    this.#have += take;
    const failure = checkGreeting(this.#bytes.subarray(0, this.#have));
    if (failure !== undefined) return { failure };
    if (this.#have < greetingBytes) return undefined;
    return { greeting: readGreeting(this.#bytes), rest: chunk.subarray(take) };
  }
}

function checkGreeting(bytes: Buffer): PeerFailure | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] !== 0xff)
    return { code: 'not-zmtp', detail: `it does not speak ZMTP: it began with ${printable(bytes)}` };
  // Bytes 1 to 8 are padding for ZMTP 3 and a length for ZMTP 1.0, of which byte 9 then is a flags byte.
  if (bytes.length > 9 && bytes[9] !== 0x7f) {
    return { code: 'not-zmtp', detail: `it does not speak ZMTP: its signature is ${bytes.toString('hex', 0, 10)}` };
  }
  if (bytes.length > 10 && bytes[10]! < 3) {
    const version = bytes[10] === 0 ? '1.0' : '2.0';
    return { code: 'old-version', detail: `it speaks ZMTP ${version}; 3.0 or later is needed (libzmq 4.0 or later)` };
  }
  return undefined;
}

function readGreeting(bytes: Buffer): Greeting {
  const end = bytes.indexOf(0, 12);
  return {
    major: bytes[10]!,
    minor: bytes[11]!,
    mechanism: bytes.toString('latin1', 12, end === -1 || end > 32 ? 32 : end),
    isServer: bytes[32] === 1,
  };
}

/** The first bytes of a stranger, quoted: `"GET / HTTP/1.1"`. */
function printable(bytes: Buffer): string {
  return JSON.stringify(bytes.toString('latin1', 0, Math.min(bytes.length, 24)));
}

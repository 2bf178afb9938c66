// A peer as the user of a socket sees it: one finished handshake.

/** The other end of one connection. The same object comes with each of its messages. */
export interface Peer {
  /** What it calls itself; empty when it has no name. A ROUTER gives such peers a name of five bytes, the first one 0. */
  readonly identity: Buffer;
  /** The identity as an opaque text, for maps and for `send` of a ROUTER. */
  readonly key: string;
  readonly socketType: string;
  /** `tcp://127.0.0.1:51234` or `ipc://` and a path. */
  readonly address: string;
  /** Its long-term public key as Z85; `undefined` without CURVE. */
  readonly publicKey: string | undefined;
}

/** The text under which a ROUTER knows an identity. */
export function identityKey(identity: Uint8Array): string {
  return Buffer.from(identity.buffer, identity.byteOffset, identity.length).toString('latin1');
}

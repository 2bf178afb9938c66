// How much one peer may make this process hold. Read by the decoder, the message assembly and the transport.

/** Upper bounds on what a peer may send. Going beyond one costs the peer its connection. */
export interface Limits {
  /** Bytes of one frame. @default 1 GiB */
  readonly frameBytes: number;
  /** Frames of one message. @default 65536 */
  readonly framesPerMessage: number;
  /** Bytes of all frames of one message together. @default 2 GiB */
  readonly messageBytes: number;
  /** Bytes of one command, handshake included. @default 8192, many times what any known peer sends */
  readonly commandBytes: number;
  /** Connections that may be in their handshake at the same time; further ones are closed at once. @default 1024 */
  readonly handshakes: number;
}

export const defaultLimits: Limits = {
  frameBytes: 2 ** 30,
  framesPerMessage: 65_536,
  messageBytes: 2 ** 31,
  commandBytes: 8_192,
  handshakes: 1_024,
};

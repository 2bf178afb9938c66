// Why a peer was refused or lost, as data, and the errors this folder throws. Used by every file of the folder.
import type { DescriptorLimit } from '../../base/descriptors.ts';

/** What can be wrong with a peer or with the way to it. */
export type PeerFailureCode =
  | 'unreachable' // no connection came about
  | 'not-zmtp' // the first bytes are not a ZMTP greeting: some other program
  | 'old-version' // ZMTP 1.0 or 2.0
  | 'mechanism' // one side wants NULL, the other CURVE; or both are CURVE server, or both client
  | 'curve-key' // a box did not open: wrong keys or changed bytes
  | 'not-allowed' // the key is right and not on the list
  | 'socket-type' // for example REQ to REQ
  | 'identity' // longer than 255 bytes, or it starts with a zero byte
  | 'handshake-timeout' // connected, and then nothing
  | 'refused-by-peer' // the peer sent ERROR
  | 'protocol' // bytes against the protocol
  | 'too-large' // beyond a limit of the socket
  | 'too-many' // more connections in handshake than allowed
  | 'no-descriptor' // none is left for the next connection: EMFILE of this process, or ENFILE of the machine
  | 'silent' // no sign of life within the heartbeat's time
  | 'peer-closed'
  | 'network' // reset, broken pipe, time-out of TCP
  | 'taken-over' // a newer connection has the same identity
  | 'abandoned' // a request timed out, and a late reply must not be taken for another one's
  | 'closed-here';

/** Why a peer was refused or is gone. `detail` is a sentence for people. */
export interface PeerFailure {
  readonly code: PeerFailureCode;
  readonly detail: string;
  /** Of `no-descriptor`: whose limit it is. */
  readonly limit?: DescriptorLimit;
}

/** Why `send` returned `false`. */
export type Refusal = 'high-water mark' | 'unknown peer' | 'no request' | 'closed';

/** What can go wrong with the own side. */
export type ZmtpErrorCode =
  | 'ENDPOINT' // not an endpoint, or not one of this machine
  | 'BIND' // the address is taken or forbidden
  | 'OPTIONS'
  | 'CLOSED' // the socket was closed
  | 'REQUEST_TIMEOUT'
  | 'REQUEST_LOST' // the connection broke before the reply came
  | 'REQUEST_ABORTED'
  | 'CERTIFICATES_MISSING'
  | 'CERTIFICATES_NOT_PRIVATE'
  | 'CERTIFICATES_BROKEN'
  | 'KEY'; // not a CURVE key

/**
 * Thrown for mistakes of the own side: wrong options, addresses, certificates, and requests without reply.
 * Mistakes of peers are never thrown; see {@link PeerFailure}.
 */
export class ZmtpError extends Error {
  override readonly name = 'ZmtpError';
  readonly code: ZmtpErrorCode;

  constructor(code: ZmtpErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

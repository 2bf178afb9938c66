// ZMTP 3.1 sockets over TCP and unix sockets, in TypeScript alone. The door of this folder: everybody makes sockets here.
//
//   createSocket -> Dealer | Router | Requester | Replier      what a message means
//                      Transport                               which connections there are
//                 Listener  Connector                          how they come about
//                      Connection                              one stream: Handshake in front, then
//              FrameDecoder  ->  Outbox                        bytes in, bytes out
//
// Any type may bind or connect, several times. Which side is the CURVE server is decided by the mechanism alone.

import { Dealer, type DealerOptions, type DealerSocket } from './dealer.ts';
import { ZmtpError } from './failures.ts';
import { bindFailureCode } from './listener.ts';
import { Replier, type ReplierOptions, type ReplierSocket } from './replier.ts';
import { Requester, type RequesterOptions, type RequesterSocket } from './requester.ts';
import { Router, type RouterOptions, type RouterSocket } from './router.ts';

export type { CloseOptions, Counters, ZmtpSocket } from './base.ts';
export { type Certificate, type Certificates, createCertificates, readCertificates } from './certificates.ts';
export { type CurveClientOptions, curveClient } from './curveClient.ts';
export { type CurveServerOptions, curveServer } from './curveServer.ts';
export { type PeerFailure, type PeerFailureCode, type Refusal, ZmtpError, type ZmtpErrorCode } from './failures.ts';
export type { Heartbeat } from './heartbeat.ts';
export { defaultLimits, type Limits } from './limits.ts';
export { bindFailureCode } from './listener.ts';
export { type Mechanism, nullMechanism } from './mechanism.ts';
export type { CommonOptions } from './options.ts';
export type { Frames } from './outbox.ts';
export { identityKey, type Peer } from './peer.ts';
export type { Reflex } from './reflex.ts';
export type {
  DealerOptions,
  DealerSocket,
  ReplierOptions,
  ReplierSocket,
  RequesterOptions,
  RequesterSocket,
  RouterOptions,
  RouterSocket,
};

/**
 * Makes a socket. It does nothing until it is told to bind or connect. Throws {@link ZmtpError} OPTIONS for wrong options,
 * all of them in one message.
 *
 * @example
 * const router = createSocket({ type: 'router', onMessage: (frames, peer) => { router.send(peer, frames); } });
 * const endpoint = await router.bind('tcp://127.0.0.1:*');
 * const dealer = createSocket({ type: 'dealer', identity: 'one', onMessage: ([frame]) => console.log(String(frame)) });
 * dealer.connect(endpoint);
 * dealer.send([Buffer.from('hello')]);
 */
export function createSocket(options: DealerOptions & { readonly type: 'dealer' }): DealerSocket;
export function createSocket(options: RouterOptions & { readonly type: 'router' }): RouterSocket;
export function createSocket(options: RequesterOptions & { readonly type: 'req' }): RequesterSocket;
export function createSocket(options: ReplierOptions & { readonly type: 'rep' }): ReplierSocket;
export function createSocket(
  options: (DealerOptions | RouterOptions | RequesterOptions | ReplierOptions) & {
    readonly type: 'dealer' | 'router' | 'req' | 'rep';
  },
): DealerSocket | RouterSocket | RequesterSocket | ReplierSocket {
  switch (options.type) {
    case 'dealer':
      return new Dealer(options as DealerOptions);
    case 'router':
      return new Router(options);
    case 'req':
      return new Requester(options);
    case 'rep':
      return new Replier(options);
    default:
      throw new ZmtpError(
        'OPTIONS',
        `There is no socket type ${JSON.stringify(options.type)}; there are dealer, router, req and rep.`,
      );
  }
}

/** From which ports to choose. */
export interface PortRange {
  /** The first port. */
  readonly min: number;
  /** The first port that is not in the range any more. */
  readonly max: number;
  /** How often to try a random port. @default 100 */
  readonly tries?: number;
}

/**
 * Binds `socket` to a random free port of a range. `address` is an endpoint without its port, as `tcp://127.0.0.1`.
 * Rejects with {@link ZmtpError} BIND when all tries met taken ports, and at once for any other trouble.
 *
 * @example
 * const endpoint = await bindToRandomPort(socket, 'tcp://127.0.0.1', { min: 55_000, max: 56_000 });
 */
export async function bindToRandomPort(
  socket: { bind(endpoint: string): Promise<string> },
  address: string,
  range: PortRange,
): Promise<string> {
  const { min, max, tries = 100 } = range;
  if (!Number.isInteger(min) || !Number.isInteger(max) || min < 1 || max > 65_536 || min >= max) {
    throw new ZmtpError('OPTIONS', `There is no port from ${min} up to, not including, ${max}. Ports are 1 to 65535.`);
  }
  for (let tried = 0; tried < tries; tried++) {
    const port = min + Math.floor(Math.random() * (max - min));
    try {
      return await socket.bind(`${address}:${port}`);
    } catch (error) {
      if (bindFailureCode(error) !== 'EADDRINUSE') throw error;
      // Taken: try another one.
    }
  }
  throw new ZmtpError(
    'BIND',
    `Found no free port on ${address} in ${tries} tries from ${min} up to, not including, ${max}. Give a larger range.`,
  );
}

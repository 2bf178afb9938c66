// REQ: one request at a time, each answered once. A request that times out gives up its connection, so that a late reply
// cannot be taken for the next one's, and the socket goes on. Made by createSocket.
import { BaseSocket, type CloseOptions, checkFrames, type ZmtpSocket } from './base.ts';
import type { Connection } from './connection.ts';
import { type PeerFailure, ZmtpError } from './failures.ts';
import type { CommonOptions } from './options.ts';
import type { Frames } from './outbox.ts';

export type RequesterOptions = CommonOptions;

/** How long one request may take. */
export interface RequestOptions {
  /** From the call to the reply, waiting for a peer and for earlier requests included. @default no limit */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface RequesterSocket extends ZmtpSocket {
  /**
   * Sends a request and resolves with the frames of its reply. Requests wait for each other, in order. Rejects with
   * `ZmtpError`: REQUEST_TIMEOUT, REQUEST_LOST (the connection broke; the request may have been served or not),
   * REQUEST_ABORTED (by the signal), CLOSED, OPTIONS (more than `highWaterMark` requests wait).
   *
   * @example
   * const [reply] = await commands.request([encode('WORKER_BINDS')], { timeoutMs: 120_000 });
   */
  request(frames: Frames, options?: RequestOptions): Promise<Buffer[]>;
}

interface Request {
  readonly frames: Frames;
  readonly resolve: (frames: Buffer[]) => void;
  readonly reject: (error: ZmtpError) => void;
  readonly detach: () => void;
}

type RequesterState =
  | { readonly phase: 'idle' }
  | { readonly phase: 'asked'; readonly request: Request; readonly connection: Connection };

const delimiter = Buffer.alloc(0);

export class Requester extends BaseSocket implements RequesterSocket {
  readonly #peers: Connection[] = [];
  #waiting: Request[] = [];
  #state: RequesterState = { phase: 'idle' };
  #turn = 0;

  constructor(options: RequesterOptions) {
    super('REQ', options);
  }

  request(frames: Frames, options: RequestOptions = {}): Promise<Buffer[]> {
    const { timeoutMs, signal } = options;
    checkFrames(frames);
    if (this.transport.isClosed)
      return Promise.reject(new ZmtpError('CLOSED', 'The socket is closed; make a new one.'));
    if (signal?.aborted) return Promise.reject(aborted(signal));
    const { highWaterMark } = this.settled;
    if (highWaterMark > 0 && this.#waiting.length >= highWaterMark) {
      return Promise.reject(
        new ZmtpError(
          'OPTIONS',
          `${highWaterMark} requests wait already. Wait for replies, or set a larger highWaterMark.`,
        ),
      );
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => this.#giveUp(request, aborted(signal!));
      const stopTimer =
        timeoutMs === undefined
          ? undefined
          : this.settled.clock.after(timeoutMs, () => this.#giveUp(request, this.#timedOut(request, timeoutMs)));
      const detach = (): void => {
        stopTimer?.();
        signal?.removeEventListener('abort', onAbort);
      };
      signal?.addEventListener('abort', onAbort);
      const request: Request = { frames, resolve, reject, detach };
      this.#waiting.push(request);
      this.#next();
    });
  }

  override async close(options?: CloseOptions): Promise<void> {
    const closed = super.close(options);
    const state = this.#state;
    this.#state = { phase: 'idle' };
    const requests = [...(state.phase === 'asked' ? [state.request] : []), ...this.#waiting];
    this.#waiting = [];
    for (const request of requests) {
      request.detach();
      request.reject(new ZmtpError('CLOSED', 'The socket was closed before the reply came.'));
    }
    await closed;
  }

  onMessage(connection: Connection, frames: Buffer[]): void {
    const state = this.#state;
    if (state.phase !== 'asked' || state.connection !== connection) {
      this.transport.drop(connection, { code: 'protocol', detail: 'it sent a reply that nobody asked for' });
      return;
    }
    if (frames.length < 2 || frames[0]!.length > 0) {
      this.transport.drop(connection, {
        code: 'protocol',
        detail: 'its reply does not begin with an empty frame',
      });
      return;
    }
    this.#state = { phase: 'idle' };
    this.counters.received++;
    frames.shift();
    state.request.detach();
    state.request.resolve(frames);
    this.#next();
  }

  hasUnassigned(): boolean {
    return false;
  }

  protected joined(connection: Connection): undefined {
    this.#peers.push(connection);
    this.#next();
  }

  protected left(connection: Connection, failure: PeerFailure): void {
    this.#peers.splice(this.#peers.indexOf(connection), 1);
    const state = this.#state;
    if (state.phase !== 'asked' || state.connection !== connection) return;
    this.#state = { phase: 'idle' };
    state.request.detach();
    const text = `The connection to ${connection.address} was lost before the reply came: ${failure.detail}. The request may have been served or not.`;
    state.request.reject(new ZmtpError('REQUEST_LOST', text));
    this.#next();
  }

  protected written(): void {}

  protected takeWaiting(): number {
    return 0;
  }

  /** Sends the next request, if none is under way and there is a peer. */
  #next(): void {
    if (this.#state.phase !== 'idle' || this.#peers.length === 0) return;
    const request = this.#waiting.shift();
    if (request === undefined) return;
    this.#turn = (this.#turn + 1) % this.#peers.length;
    const connection = this.#peers[this.#turn]!;
    this.#state = { phase: 'asked', request, connection };
    connection.send([delimiter, ...request.frames]);
  }

  #giveUp(request: Request, error: ZmtpError): void {
    request.detach();
    const state = this.#state;
    if (state.phase === 'asked' && state.request === request) {
      this.#state = { phase: 'idle' };
      this.transport.drop(state.connection, { code: 'abandoned', detail: 'a request to it was given up' });
    } else {
      this.#waiting = this.#waiting.filter((other) => other !== request);
    }
    request.reject(error);
    this.#next();
  }

  #timedOut(request: Request, timeoutMs: number): ZmtpError {
    const isAsked = this.#state.phase === 'asked' && this.#state.request === request;
    const why = isAsked
      ? 'the peer did not reply'
      : this.#peers.length === 0
        ? 'no peer was connected'
        : 'earlier requests took the time';
    return new ZmtpError('REQUEST_TIMEOUT', `No reply within ${timeoutMs} ms: ${why}.`);
  }
}

function aborted(signal: AbortSignal): ZmtpError {
  return new ZmtpError('REQUEST_ABORTED', 'The request was given up by its AbortSignal.', { cause: signal.reason });
}

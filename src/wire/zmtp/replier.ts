// REP: takes one request at a time and answers it before it takes the next. Made by createSocket.
import { BaseSocket, checkFrames, type ZmtpSocket } from './base.ts';
import type { Connection } from './connection.ts';
import type { PeerFailure } from './failures.ts';
import type { CommonOptions } from './options.ts';
import type { Frames } from './outbox.ts';
import type { Peer } from './peer.ts';

export interface ReplierOptions extends CommonOptions {
  /** Called for each request; the next one comes only after `send`. */
  readonly onMessage?: (frames: Buffer[], peer: Peer) => void;
}

export interface ReplierSocket extends ZmtpSocket {
  /** Answers the request under way. `false`: there is none, or who asked is gone. */
  send(frames: Frames): boolean;
}

type ReplierState =
  | { readonly phase: 'idle' }
  | {
      readonly phase: 'asked';
      readonly connection: Connection;
      readonly envelope: readonly Buffer[];
      readonly isGone: boolean;
    };

export class Replier extends BaseSocket implements ReplierSocket {
  readonly #options: ReplierOptions;
  #state: ReplierState = { phase: 'idle' };
  /** At most one request of each connection: the connection is paused when it has one here. */
  #waiting: { readonly connection: Connection; readonly frames: Buffer[] }[] = [];

  constructor(options: ReplierOptions) {
    super('REP', options);
    this.#options = options;
  }

  send(frames: Frames): boolean {
    checkFrames(frames);
    if (this.transport.isClosed) return this.refuse('closed');
    const state = this.#state;
    if (state.phase === 'idle') return this.refuse('no request');
    this.#state = { phase: 'idle' };
    if (this.#waiting.length > 0) process.nextTick(this.#onNext);
    if (state.isGone) return this.refuse('unknown peer');
    state.connection.send([...state.envelope, ...frames]);
    return true;
  }

  onMessage(connection: Connection, frames: Buffer[]): void {
    if (this.#state.phase === 'idle' && this.#waiting.length === 0) {
      this.#deliver(connection, frames);
      return;
    }
    this.#waiting.push({ connection, frames });
    connection.pause();
  }

  hasUnassigned(): boolean {
    return false;
  }

  protected joined(): undefined {}

  protected left(connection: Connection, _failure: PeerFailure, unsent: Frames[]): void {
    this.counters.dropped += unsent.length;
    this.#waiting = this.#waiting.filter((waiting) => waiting.connection !== connection);
    if (this.#state.phase === 'asked' && this.#state.connection === connection)
      this.#state = { ...this.#state, isGone: true };
  }

  protected written(): void {}

  protected takeWaiting(): number {
    return 0;
  }

  #deliver(connection: Connection, frames: Buffer[]): void {
    const envelopeEnd = frames.findIndex((frame) => frame.length === 0) + 1;
    if (envelopeEnd === 0 || envelopeEnd === frames.length) {
      this.transport.drop(connection, {
        code: 'protocol',
        detail: 'its request has no empty frame before the content',
      });
      return;
    }
    this.#state = { phase: 'asked', connection, envelope: frames.slice(0, envelopeEnd), isGone: false };
    this.counters.received++;
    this.#options.onMessage?.(frames.slice(envelopeEnd), connection.peer);
  }

  readonly #onNext = (): void => {
    while (this.#state.phase === 'idle' && !this.transport.isClosed && !this.transport.isPaused) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      next.connection.resume();
      this.#deliver(next.connection, next.frames);
    }
  };

  override resume(): void {
    super.resume();
    if (this.#waiting.length > 0) process.nextTick(this.#onNext);
  }
}

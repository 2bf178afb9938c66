// Signs of life on one connection: PING by option, and the time a peer asked us to allow it. The connection owns one.
import type { Clock } from '../../base/time.ts';
import { encodeCommand } from './commands.ts';

/** How a socket watches over its peers. */
export interface Heartbeat {
  /** A peer of whom nothing was heard for this long is sent a PING. */
  readonly intervalMs: number;
  /** And is dropped when nothing comes for this long after it. @default intervalMs */
  readonly timeoutMs?: number;
  /** What the peer is told to do likewise: drop us after this silence. Rounded to 100 ms. @default 0, nothing */
  readonly ttlMs?: number;
}

/** What a watch can do. */
export interface HeartbeatActions {
  /** Send this command. */
  ping(command: Buffer): void;
  /** Drop the peer. */
  silent(detail: string): void;
}

/** Costs a flag per chunk of bytes, and timers only where somebody wants heartbeats. */
export class HeartbeatWatch {
  readonly #clock: Clock;
  readonly #actions: HeartbeatActions;
  /** False while this side does not read: then silence says nothing about the peer. */
  isListening = true;
  #isHeard = false;
  #isPinged = false;
  #stopOwn: (() => void) | undefined;
  #stopTtl: (() => void) | undefined;
  #isHeardForTtl = false;

  constructor(clock: Clock, heartbeat: Heartbeat | undefined, actions: HeartbeatActions) {
    this.#clock = clock;
    this.#actions = actions;
    if (heartbeat !== undefined) this.#watch(heartbeat, heartbeat.intervalMs);
  }

  /** Bytes came. */
  onHeard(): void {
    this.#isHeard = true;
    this.#isHeardForTtl = true;
  }

  /** A PING came that asks to be dropped after `ttlMs` of silence; 0 asks for nothing. */
  onPing(ttlMs: number): void {
    if (ttlMs === 0) return;
    this.#stopTtl?.();
    this.#isHeardForTtl = false;
    this.#watchTtl(ttlMs);
  }

  stop(): void {
    this.#stopOwn?.();
    this.#stopTtl?.();
  }

  #watch(heartbeat: Heartbeat, delayMs: number): void {
    this.#stopOwn = this.#clock.after(delayMs, () => this.#onInterval(heartbeat), false);
  }

  #onInterval(heartbeat: Heartbeat): void {
    if (this.#isHeard || !this.isListening) {
      this.#isHeard = false;
      this.#isPinged = false;
      this.#watch(heartbeat, heartbeat.intervalMs);
    } else if (this.#isPinged) {
      this.#actions.silent(
        `nothing came from it within ${heartbeat.timeoutMs ?? heartbeat.intervalMs} ms after a PING`,
      );
    } else {
      this.#isPinged = true;
      const ttl = Buffer.alloc(2);
      ttl.writeUInt16BE(Math.min(0xffff, Math.round((heartbeat.ttlMs ?? 0) / 100)));
      this.#actions.ping(encodeCommand('PING', ttl));
      this.#watch(heartbeat, heartbeat.timeoutMs ?? heartbeat.intervalMs);
    }
  }

  #watchTtl(ttlMs: number): void {
    this.#stopTtl = this.#clock.after(
      ttlMs,
      () => {
        if (!this.#isHeardForTtl && this.isListening)
          return this.#actions.silent(`nothing came from it for the ${ttlMs} ms it asked to be given`);
        this.#isHeardForTtl = false;
        this.#watchTtl(ttlMs);
      },
      false,
    );
  }
}

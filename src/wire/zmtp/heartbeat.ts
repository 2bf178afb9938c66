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

/** How long the last look waits: the loop reads what has arrived in between, if it was busy when it should have read. */
const secondLookMs = 1;

/** Costs a flag per chunk of bytes, and timers only where somebody wants heartbeats. */
export class HeartbeatWatch {
  /** False while this side does not read: then silence says nothing about the peer. */
  isListening = true;
  readonly #clock: Clock;
  readonly #actions: HeartbeatActions;
  #isHeard = false;
  #isHeardForTtl = false;
  #stopOwn: (() => void) | undefined;
  #stopTtl: (() => void) | undefined;

  constructor(clock: Clock, heartbeat: Heartbeat | undefined, actions: HeartbeatActions) {
    this.#clock = clock;
    this.#actions = actions;
    if (heartbeat !== undefined) this.#waitForLife(heartbeat);
  }

  /** Bytes came. */
  onHeard(): void {
    this.#isHeard = true;
    this.#isHeardForTtl = true;
  }

  /** A PING came that asks to be dropped after `ttlMs` of silence; 0 asks for nothing. */
  onPing(ttlMs: number): void {
    if (ttlMs > 0) this.#waitForTtl(ttlMs);
  }

  stop(): void {
    this.#stopOwn?.();
    this.#stopTtl?.();
  }

  #waitForLife(heartbeat: Heartbeat): void {
    this.#isHeard = false;
    this.#after(heartbeat.intervalMs, () => (this.#isAlive() ? this.#waitForLife(heartbeat) : this.#ask(heartbeat)));
  }

  #ask(heartbeat: Heartbeat): void {
    const timeoutMs = heartbeat.timeoutMs ?? heartbeat.intervalMs;
    const ttl = Buffer.alloc(2);
    ttl.writeUInt16BE(Math.min(0xffff, Math.round((heartbeat.ttlMs ?? 0) / 100)));
    this.#actions.ping(encodeCommand('PING', ttl));
    this.#after(timeoutMs, () =>
      this.#after(secondLookMs, () => {
        if (this.#isAlive()) this.#waitForLife(heartbeat);
        else this.#actions.silent(`nothing came from it within ${timeoutMs} ms after a PING`);
      }),
    );
  }

  #isAlive(): boolean {
    return this.#isHeard || !this.isListening;
  }

  #after(ms: number, action: () => void): void {
    this.#stopOwn = this.#clock.after(ms, action, false);
  }

  #waitForTtl(ttlMs: number): void {
    this.#stopTtl?.();
    this.#isHeardForTtl = false;
    const look = (): void => {
      if (this.#isHeardForTtl || !this.isListening) this.#waitForTtl(ttlMs);
      else this.#actions.silent(`nothing came from it for the ${ttlMs} ms it asked to be given`);
    };
    this.#stopTtl = this.#clock.after(
      ttlMs,
      () => {
        this.#stopTtl = this.#clock.after(secondLookMs, look, false);
      },
      false,
    );
  }
}

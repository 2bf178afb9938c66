// Connections to the pool ports that come to nothing. Owns what is remembered of them: how often each address was sent
// away, so that one that keeps trying does not fill the log, and which connections of old pools were mere looks whether
// anybody is there. The shell asks it.
import type { PeerFailure } from '../wire/zmtp/socket.ts';
import { Seldom } from './seldom.ts';

const lookMs = 1_000;

/** Counts refused connections by address and reason. */
export class Strangers {
  readonly #seldom = new Seldom();

  /**
   * The log line about a refused connection, or `undefined` when enough was said: the 1st, 10th, 100th, ... is told.
   *
   * @param address - as the socket gives it, `tcp://HOST:PORT`; the port is another one each time
   */
  tell(address: string, failure: PeerFailure): string | undefined {
    const host = address.replace(/:\d+$/, '');
    const often = this.#seldom.count(`${host} ${failure.code}`);
    return often === undefined ? undefined : `No pool from ${address}: ${failure.detail}${often}`;
  }
}

/**
 * Pools before 2025.07.07 look for their interchange by a connection without identity that says nothing, and now and
 * then miss the moment in which it stands; then they wait for another, in vain, and give up. Ending such a connection
 * after a second lets ZeroMQ make a new one, which the pool does not miss.
 */
export class Looks {
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #end: (peer: string) => void;

  constructor(end: (peer: string) => void) {
    this.#end = end;
  }

  /** A connection came. Only those without identity are looks; a ROUTER's names for them begin with a zero byte. */
  onJoined(peer: string): void {
    if (!peer.startsWith('\0')) return;
    const timer = setTimeout(() => {
      this.#timers.delete(peer);
      this.#end(peer);
    }, lookMs);
    this.#timers.set(peer, timer);
  }

  /** It went, or it said something and is no mere look. */
  onOver(peer: string): void {
    const timer = this.#timers.get(peer);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.delete(peer);
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}

// The link to monitoring. Its receiver expects CURVE since 2026.08 and plain connections before, and nothing else tells
// which: so both are tried, the newer way first. The shell owns it.
import {
  type Certificates,
  type CloseOptions,
  createSocket,
  curveClient,
  type DealerSocket,
  nullMechanism,
  type PeerFailure,
} from '../wire/zmtp/socket.ts';

/** Monitoring messages that may wait: for a connection, and for a receiver that is slow. Then the newest are dropped. */
const mostWaiting = 10_000;
const mostUnread = 100_000;

export class MonitoringLink {
  readonly #endpoint: string;
  readonly #keys: Certificates | undefined;
  readonly #note: (level: 'info' | 'warning', text: string) => void;
  #socket: DealerSocket | undefined;
  #waiting: Uint8Array[] | undefined = [];
  #dropped = 0;
  #isClosed = false;

  /** @param keys - of an encrypted run; read once, since their directory may be gone when the other way is tried again */
  constructor(
    hub: { readonly address: string; readonly port: number },
    keys: Certificates | undefined,
    note: (level: 'info' | 'warning', text: string) => void,
  ) {
    this.#endpoint = `tcp://${hub.address.includes(':') ? `[${hub.address}]` : hub.address}:${hub.port}`;
    this.#keys = keys;
    this.#note = note;
    void this.#open(keys !== undefined);
  }

  send(frame: Uint8Array): void {
    if (this.#waiting === undefined) {
      if (this.#socket?.send([frame]) === false) this.#drop('does not keep up');
    } else if (this.#waiting.length < mostWaiting) this.#waiting.push(frame);
    else this.#drop('is not reachable');
  }

  /** Told at the 1st, 10th, 100th, ... */
  #drop(why: string): void {
    this.#dropped++;
    if (!/^10*$/.test(String(this.#dropped)) || this.#isClosed) return;
    this.#note('warning', `Monitoring ${why}; ${this.#dropped} of its messages dropped so far`);
  }

  async #open(isEncrypted: boolean): Promise<void> {
    let mechanism = nullMechanism;
    if (isEncrypted && this.#keys !== undefined) {
      const { client, server } = this.#keys;
      mechanism = await curveClient({ ...client, serverKey: server.publicKey });
    }
    if (this.#isClosed) return;
    const socket = createSocket({
      type: 'dealer',
      mechanism,
      highWaterMark: mostUnread,
      onPeerJoined: () => {
        const waiting = this.#waiting ?? [];
        this.#waiting = undefined;
        for (const frame of waiting) socket.send([frame]);
      },
      onPeerFailed: (_address, failure) => this.#onFailed(socket, isEncrypted, failure),
    });
    this.#socket = socket;
    socket.connect(this.#endpoint);
  }

  #onFailed(socket: DealerSocket, isEncrypted: boolean, failure: PeerFailure): void {
    const isOther = this.#keys !== undefined && failure.code !== 'unreachable' && this.#waiting !== undefined;
    if (!isOther || this.#socket !== socket || this.#isClosed) return;
    this.#note('info', `Monitoring does not talk ${isEncrypted ? 'CURVE' : 'plainly'}; trying the other way`);
    this.#socket = undefined;
    void socket.close({ lingerMs: 0 });
    void this.#open(!isEncrypted);
  }

  async close(options: CloseOptions): Promise<void> {
    this.#isClosed = true;
    await this.#socket?.close(options);
  }
}

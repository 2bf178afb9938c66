// How the bytes of a connection come in. Left to itself Node.js allocates 64 KiB for each read, makes a Buffer of what came,
// and passes it through the queue of a Readable, an event and a tick. Here one buffer serves all connections of a process,
// and who takes the bytes is called within the system's callback.
import { connect, type NetConnectOpts, type OnReadOpts, type SocketConstructorOpts, Socket as Stream } from 'node:net';

/** Takes what has arrived: the first `length` of `bytes`. They are lent, and overwritten when the call is over. */
export type TakeBytes = (bytes: Uint8Array, length: number) => void;

/** What a server needs whose streams shall be read here. */
export const serverOptions = { pauseOnConnect: true, allowHalfOpen: true } as const;

const shared = new Uint8Array(64 << 10);

/**
 * A stream of node:net and the way in which its bytes come. Nothing else may read the stream. It stays half open when its peer
 * has closed its side: who hears the event `end` destroys it, at once or when it has used what came before.
 */
export class Arrival {
  readonly stream: Stream;
  #take: TakeBytes | undefined;

  /** A stream that connects. */
  static connecting(options: NetConnectOpts): Arrival {
    return new Arrival((onread) => connect({ ...options, onread, allowHalfOpen: true }));
  }

  /** A stream that a server has accepted, and that was not read yet: the server must have been made with {@link serverOptions}. */
  static accepted(stream: Stream): Arrival {
    return new Arrival((onread) => takeOver(stream, onread) ?? stream);
  }

  private constructor(open: (onread: OnReadOpts) => Stream) {
    const callback = (length: number): boolean => {
      this.#take?.(shared, length);
      return true;
    };
    this.stream = open({ buffer: shared, callback });
  }

  /** Everything that comes from now on goes to `take`. */
  start(take: TakeBytes): void {
    this.#take = take;
    // What does not come through the shared buffer comes as an event.
    this.stream.on('data', this.#onData);
    // A server that pauses what it accepts does so for good.
    this.stream.resume();
  }

  /** What comes from now on is dropped. */
  stop(): void {
    this.#take = undefined;
  }

  readonly #onData = (chunk: Buffer): void => this.#take?.(chunk, chunk.length);
}

/**
 * The same connection as another stream, one that reads into the shared buffer: a server has no option for that. This asks for
 * the handle below the stream, which is no documented part of it. Should a version of Node.js not have it there, or make
 * nothing of it, the stream stays what it is (`undefined`).
 */
function takeOver(stream: Stream, onread: OnReadOpts): Stream | undefined {
  const handle: unknown = Reflect.get(stream, '_handle');
  if (typeof handle !== 'object' || handle === null) return undefined;
  const options: SocketConstructorOpts & { handle: object; onread: OnReadOpts } = {
    handle,
    onread,
    allowHalfOpen: true,
  };
  const successor = new Stream(options);
  if (Reflect.get(successor, '_handle') !== handle) {
    successor.destroy();
    return undefined;
  }
  // What is left of it is only counted by its server, until it closes.
  Reflect.set(stream, '_handle', null);
  stream.destroy();
  return successor;
}

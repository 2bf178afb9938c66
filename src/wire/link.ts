// Frames between a pool and its workers, over a pipe: many to a write, cut out of whatever pieces arrive.
//
//   length of what follows u32 | what it is u8 | ticket u32 | bytes
//
// A ticket is the pool's own number for a job on one worker, counted from 1.
import { FrameTail } from './frame-tail.ts';

/** What a frame to a worker is. */
export const toWorker = { job: 1, stop: 2 } as const;

/**
 * What a frame of a worker is. `value`, `failure` and `abandoned` begin with the milliseconds that the body took, f32, and when it
 * began, in milliseconds since the epoch, f64: 0 when nobody wants to know.
 */
export const fromWorker = {
  /** It can take jobs. */
  ready: 1,
  value: 2,
  failure: 3,
  /** A failure whose body goes on: the worker must be ended, and runs nothing more. */
  abandoned: 4,
  /** The job had been taken back, and was not run. */
  passedOver: 5,
  /** The body of a job begins: told of those with a timeout, and of those that somebody wants to know of and that may take long. */
  began: 6,
  /** Something about the job for the submit side, as wire/notes has it. */
  note: 7,
  /** It was asked to stop the job, and can. */
  stopping: 8,
  /** The process ends by itself; the ticket is its exit code. */
  exiting: 9,
  /** Something for the interchange, as it is: what Parsl's monitoring sends. Of Python workers. */
  item: 10,
  /** The function of a bash job with a timeout gave its command. */
  command: 11,
  /** What is loaded for a job with a timeout before its body begins: names of modules, between line feeds. */
  loading: 12,
} as const;

const headBytes = 5;
/** What stands before the bytes of a `value`, `failure` or `abandoned`. */
const endBytes = 12;

/** How a body ended: what a frame of {@link FrameGatherer.addEnd} says besides its ticket. */
export function readEnd(frame: Buffer): { readonly tookMs: number; readonly beganAt: number; readonly bytes: Buffer } {
  return { tookMs: frame.readFloatLE(0), beganAt: frame.readDoubleLE(4), bytes: frame.subarray(endBytes) };
}

/** Gathers frames until somebody takes them, as one piece. */
export class FrameGatherer {
  readonly #tail = new FrameTail();

  get length(): number {
    return this.#tail.length;
  }

  add(what: number, ticket: number, bytes: Uint8Array): void {
    const tail = this.#tail;
    tail.u32(headBytes + bytes.length);
    tail.u8(what);
    tail.u32(ticket);
    tail.bytes(bytes, 0, bytes.length);
  }

  /** A frame of how a body ended. */
  addEnd(what: number, ticket: number, bytes: Uint8Array, tookMs: number, beganAt: number): void {
    const tail = this.#tail;
    tail.u32(headBytes + endBytes + bytes.length);
    tail.u8(what);
    tail.u32(ticket);
    tail.f32(tookMs);
    tail.f64(beganAt);
    tail.bytes(bytes, 0, bytes.length);
  }

  /** All that was added, which is the caller's own. */
  take(): Buffer {
    return this.#tail.take();
  }
}

/** Cuts frames out of pieces. The bytes of a frame are a view of a piece: copy what is kept for long. */
export class FrameCutter {
  readonly #onFrame: (what: number, ticket: number, bytes: Buffer) => void;
  /** The frame that is not whole yet: its bytes so far, once its length is known. */
  #partial: Buffer | undefined;
  #filled = 0;
  #head = Buffer.alloc(0);

  constructor(onFrame: (what: number, ticket: number, bytes: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  add(piece: Buffer): void {
    let at = 0;
    if (this.#partial !== undefined) {
      at = piece.copy(this.#partial, this.#filled, 0);
      this.#filled += at;
      if (this.#filled < this.#partial.length) return;
      const whole = this.#partial;
      this.#partial = undefined;
      this.#emit(whole, 0, whole.length);
    } else if (this.#head.length > 0) {
      piece = Buffer.concat([this.#head, piece]);
      this.#head = Buffer.alloc(0);
    }
    while (piece.length - at >= 4) {
      const length = piece.readUInt32LE(at);
      const start = at + 4;
      if (piece.length - start < length) {
        this.#partial = Buffer.allocUnsafe(length);
        this.#filled = piece.copy(this.#partial, 0, start);
        return;
      }
      this.#emit(piece, start, start + length);
      at = start + length;
    }
    if (at < piece.length) this.#head = Buffer.from(piece.subarray(at));
  }

  #emit(piece: Buffer, start: number, end: number): void {
    this.#onFrame(piece[start] as number, piece.readUInt32LE(start + 1), piece.subarray(start + 5, end));
  }
}

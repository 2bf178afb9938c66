// The answer to a message that comes again and again and is always the same, as a manager's sign of life: it is given past all
// queues, within the read or, when such messages come thick, together with others. A broker with thousands of idle peers does
// nothing else all day.
import type { Clock } from '../../base/time.ts';
import { encodeFrame, more } from './frames.ts';
import { bytesOf, type Frames } from './outbox.ts';
import type { Peer } from './peer.ts';

/** A message that is not handed to `onMessage` when it is answered. */
export interface Reflex {
  readonly message: Frames;
  readonly answer: Frames;
  /** The message came from this peer. False: it is none for a reflex, and goes the way of all others. */
  readonly isAnswered: (peer: Peer) => boolean;
  /**
   * How long an answer may wait for others when the messages of all peers come thick: more than 16 in this time. What wakes a
   * process for each of them is dear, and much less so when it is done for many. Answers that wait are forgotten when their peer
   * leaves, and when the socket closes. In milliseconds. @default 0, none waits
   */
  readonly answersWithinMs?: number;
}

/** Both as they are on the wire, without security: in a box no two are alike. */
export interface WireReflex {
  readonly message: Buffer;
  readonly answer: Buffer;
  /** The answer as any other message. */
  readonly frames: Frames;
  readonly answersWithinMs: number;
}

/** Somebody to whom the answer is due. */
interface Answering {
  /** Gives it, if the peer is still there. Called once for each message. */
  answerReflex(): void;
}

/** More messages than so many within the time that an answer may wait are thick. */
const thick = 16;
/** So many answers do not wait any longer: whatever comes meanwhile has to wait for them. */
const mostWaiting = 64;

/** When the answers of one socket are given. */
export class Answers {
  readonly #withinMs: number;
  readonly #clock: Clock;
  #waiting: Answering[] = [];
  #lastAt = 0;
  /** Messages that came; as many as are not thick go off in the time that an answer may wait. */
  #level = 0;
  #stopTimer: (() => void) | undefined;

  constructor(withinMs: number, clock: Clock) {
    this.#withinMs = withinMs;
    this.#clock = clock;
  }

  /** Answers now or soon. */
  answer(peer: Answering): void {
    if (this.#withinMs === 0) {
      peer.answerReflex();
      return;
    }
    if (!this.#isThick()) {
      peer.answerReflex();
      return;
    }
    this.#wait(peer, this.#withinMs);
    if (this.#waiting.length >= mostWaiting) this.#answerAll();
  }

  /** Gives no more answers. */
  stop(): void {
    this.#stopTimer?.();
    this.#waiting = [];
  }

  #isThick(): boolean {
    const now = this.#clock.now();
    const gone = (Math.max(0, now - this.#lastAt) * thick) / this.#withinMs;
    this.#lastAt = now;
    this.#level = Math.min(2 * thick, Math.max(0, this.#level - gone) + 1);
    return this.#level > thick;
  }

  #wait(peer: Answering, ms: number): void {
    this.#waiting.push(peer);
    this.#stopTimer ??= this.#clock.after(ms, () => this.#answerAll(), false);
  }

  #answerAll(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    const all = this.#waiting;
    this.#waiting = [];
    let answered = 0;
    try {
      while (answered < all.length) all[answered++]!.answerReflex();
    } finally {
      // A handler that was called on the way threw. That is its owner's to catch; the others follow.
      for (; answered < all.length; answered++) this.#wait(all[answered]!, 0);
    }
  }
}

/** The bytes of a message. */
export function wireBytes(frames: Frames): Buffer {
  const last = frames.length - 1;
  return Buffer.concat(frames.map((frame, at) => encodeFrame(at === last ? 0 : more, bytesOf(frame))));
}

// The answer to a message that comes again and again and is always the same, as a manager's sign of life: it is given within
// the read, past all queues. A broker with thousands of idle peers does nothing else all day.
import { encodeFrame, more } from './frames.ts';
import { bytesOf, type Frames } from './outbox.ts';
import type { Peer } from './peer.ts';

/** A message that is not handed to `onMessage` when it is answered. */
export interface Reflex {
  readonly message: Frames;
  readonly answer: Frames;
  /** The message came from this peer. False: it is none for a reflex, and goes the way of all others. */
  readonly isAnswered: (peer: Peer) => boolean;
}

/** Both as they are on the wire, without security: in a box no two are alike. */
export interface WireReflex {
  readonly message: Buffer;
  readonly answer: Buffer;
  /** The answer as any other message. */
  readonly frames: Frames;
}

/** The bytes of a message. */
export function wireBytes(frames: Frames): Buffer {
  const last = frames.length - 1;
  return Buffer.concat(frames.map((frame, at) => encodeFrame(at === last ? 0 : more, bytesOf(frame))));
}

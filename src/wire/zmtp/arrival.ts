// The short way for bytes that come in. A Readable passes each chunk through its queue, an event and a tick of its own; where
// nobody pauses, a connection takes it as it comes. What nothing comes through here still arrives as 'data'.
import type { Socket as Stream } from 'node:net';

/**
 * Gives `onData` what the stream reads, within the system's callback. The end, and what comes while the stream is paused or
 * holds something back, go the usual way: so the listener of 'data' must be `onData` too.
 *
 * @returns ends it: from then on everything goes the usual way
 */
export function takeDirectly(stream: Stream, onData: (chunk: Buffer) => void): () => void {
  const usual = stream.push;
  stream.push = (chunk: Buffer | null, encoding?: BufferEncoding): boolean => {
    if (chunk === null || stream.readableFlowing !== true || stream.readableLength > 0)
      return usual.call(stream, chunk, encoding);
    onData(chunk);
    return true;
  };
  return () => {
    stream.push = usual;
  };
}

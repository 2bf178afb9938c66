// How the bytes of a connection go out. `write` of a stream keeps a queue, and a tick of the event loop for each call; an outbox
// has a queue already. So this calls what `write` calls in turn, the step that every Writable has: it hands the bytes to the
// system and calls back, within the call when the system took them all.
import type { Socket as Stream } from 'node:net';

/** Hears that the system has taken all, or why it never will. */
export type OnTaken = (error?: Error | null) => void;

/**
 * Hands bytes to the system, one buffer or several in one gathering write. They may not change until `onTaken` was called, which
 * mostly is before this returns. Only for the one owner of a stream, and when nothing waits in the stream's own queue.
 */
export function depart(stream: Stream, bytes: Uint8Array | readonly Uint8Array[], onTaken: OnTaken): void {
  if (bytes instanceof Uint8Array) stream._write(bytes, binary, onTaken);
  else
    (stream as Gathering)._writev(
      bytes.map((chunk) => ({ chunk, encoding: binary })),
      onTaken,
    );
}

/** A Writable need not have it, and those of node:net have. */
type Gathering = Stream & Required<Pick<Stream, '_writev'>>;

/** What a stream calls the encoding of bytes. */
const binary = 'buffer' as BufferEncoding;

// Reading the configuration from standard input, where its end may or may not mean something. main.ts uses it.
import { decodePrefix } from '../wire/pickle.ts';
import { openPromise } from './promise.ts';

/** The configuration's bytes, and whether standard input then tells of the submitter's end. */
export interface ConfigInput {
  readonly bytes: Uint8Array;
  /**
   * Resolves when standard input ends. `undefined` if it ended together with the configuration: Parsl closes it at
   * once, and then it tells nothing.
   */
  readonly closed: Promise<void> | undefined;
}

/** How long an input that is complete may still turn out to be closed, in milliseconds. */
const momentMs = 100;

/** Reads a pickle up to its STOP, or a JSON text up to its last brace, or anything up to the end of input. */
export function readStandardInput(stream: NodeJS.ReadStream = process.stdin): Promise<ConfigInput> {
  const { promise, resolve } = openPromise<ConfigInput>();
  const closed = openPromise<void>();
  let bytes: Buffer = Buffer.alloc(0);
  let moment: NodeJS.Timeout | undefined;
  stream.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    if (moment !== undefined || !isComplete(bytes)) return;
    moment = setTimeout(() => {
      // The interchange lives as long as its sockets, not as long as this pipe.
      (stream as { unref?: () => void }).unref?.();
      resolve({ bytes, closed: closed.promise });
    }, momentMs);
  });
  const onEnd = (): void => {
    clearTimeout(moment);
    closed.resolve();
    resolve({ bytes, closed: undefined });
  };
  stream.on('end', onEnd);
  stream.on('error', onEnd);
  return promise;
}

function isComplete(bytes: Uint8Array): boolean {
  if (bytes[0] !== 0x7b) return decodePrefix(bytes).ok;
  try {
    JSON.parse(Buffer.from(bytes).toString('utf8'));
    return true;
  } catch {
    // Not whole yet; the end of input settles it otherwise.
    return false;
  }
}

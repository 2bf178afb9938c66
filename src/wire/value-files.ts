// Large values between processes of one machine: written to a file that lies in memory, and told by its name. The submit side makes the
// directory and removes it; workers that can see it read their arguments there and leave their results; who cannot see it gets the bytes.
//
//   submit side ──writes──> directory/17 ──────reads──> worker       a call or a result has, in the place of the bytes:
//               <──reads──  directory/r-MARK-3 <─writes─┘            0xe3 | length of name u8 | bytes in the file f64 | name | plan
//
// With a plan the file has the memory of typed arrays (values/pieces.ts), without one the value as values.ts writes it. For Python functions
// (python/call.ts, worker/worker.py) it has what would stand in its place: the parts of a call, or the payload of a result.
//
// value-directory.ts makes the directory and sees to its end.
import { closeSync, constants, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DeserializationError } from '../task/errors.ts';
import { cutUp, putTogether } from './values/pieces.ts';
import { fromBytes, toBytes } from './values.ts';

const form = 0xe3;
const headBytes = 10;
/** The environment of workers: the directory, and from how many bytes on a value goes there. */
export const directoryVariable = 'CHERVIL_VALUES';
export const bytesVariable = 'CHERVIL_VALUES_FROM';

/** Whether these bytes are a name in the place of a value. */
export function isReference(bytes: Uint8Array): boolean {
  return bytes[0] === form;
}

/** The file in which a worker, by its mark, leaves the result of a job. worker.py makes the same. */
export function resultName(mark: string, ticket: number): string {
  return `${resultPrefix}${mark}-${ticket}`;
}
export const resultPrefix = 'r-';

/** The values in one directory. */
export class ValueFiles {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /**
   * A value as bytes: its own, as `toBytes` has them, or, if it is large, a reference to a file in which it is.
   *
   * @param from how many bytes a value must have to be kept in a file
   * @throws SerializationError for what cannot be sent
   */
  write(name: () => string, value: unknown, path: string, from: number): Uint8Array {
    const pieces = cutUp(value);
    if (pieces !== undefined && bytesOf(pieces.parts) >= from) {
      const reference = this.#put(name(), pieces.parts, pieces.plan);
      if (reference !== undefined) return reference;
    }
    const bytes = toBytes(value, path);
    return bytes.length < from ? bytes : (this.#put(name(), [bytes], none) ?? bytes);
  }

  /** Keeps bytes that somebody else made, in pieces, and gives a reference to them; `undefined` when there is no room. */
  keep(name: string, pieces: readonly Uint8Array[]): Uint8Array | undefined {
    return this.#put(name, pieces, none);
  }

  /** Writes a file; `undefined` when there is no room. One that is there is written over, and keeps as much memory as it needs. */
  #put(name: string, parts: readonly Uint8Array[], plan: Uint8Array): Uint8Array | undefined {
    try {
      const fd = openSync(join(this.directory, name), constants.O_WRONLY | constants.O_CREAT, 0o600);
      try {
        let at = 0;
        for (const part of parts) {
          for (let done = 0; done < part.length; ) done += writeSync(fd, part, done, part.length - done, at + done);
          at += part.length;
        }
        ftruncateSync(fd, at);
      } finally {
        closeSync(fd);
      }
    } catch {
      // The memory of the machine is full, or the directory gone: the value travels by itself.
      this.remove(name);
      return undefined;
    }
    const reference = Buffer.allocUnsafe(headBytes + name.length + plan.length);
    reference[0] = form;
    reference[1] = name.length;
    reference.writeDoubleLE(bytesOf(parts), 2);
    reference.write(name, headBytes, 'latin1');
    reference.set(plan, headBytes + name.length);
    return reference;
  }

  /**
   * The value for which a reference stands; a promise only if a class must be loaded for it.
   *
   * @throws DeserializationError when it is not there, or cannot be read
   */
  read(reference: Uint8Array): unknown | Promise<unknown> {
    return this.#open<unknown>(reference, { value: (value) => value, bytes: fromBytes });
  }

  /**
   * The same as bytes, for who does not see the file. Nothing is loaded for it.
   *
   * @param memory where they may be put, if they have room there
   * @throws DeserializationError when it is not there
   */
  bytesOf(reference: Uint8Array, memory?: Uint8Array): Uint8Array {
    return this.#open<Uint8Array>(reference, { value: (value) => toBytes(value), bytes: (bytes) => bytes }, memory);
  }

  #open<Found>(
    reference: Uint8Array,
    use: { readonly value: (value: unknown) => Found; readonly bytes: (bytes: Uint8Array) => Found },
    memory?: Uint8Array,
  ): Found {
    const { name, plan, bytes } = partsOf(reference);
    let fd: number;
    try {
      fd = openSync(join(this.directory, name), 'r');
    } catch (error) {
      throw unreadable(this.directory, error);
    }
    try {
      let at = 0;
      const fill = (into: Uint8Array): void => {
        for (let done = 0; done < into.length; ) {
          const read = readSync(fd, into, done, into.length - done, at + done);
          if (read === 0) throw unreadable(this.directory, new Error('it is cut short'));
          done += read;
        }
        at += into.length;
      };
      const take = (count: number): ArrayBuffer => {
        // Never more than there is: the plan may be made up.
        if (at + count > bytes) throw unreadable(this.directory, new Error('it is cut short'));
        const memory = new ArrayBuffer(count);
        fill(new Uint8Array(memory));
        return memory;
      };
      if (plan.length > 0) return use.value(putTogether(plan, take));
      const whole =
        memory !== undefined && bytes <= memory.length ? memory.subarray(0, bytes) : Buffer.allocUnsafeSlow(bytes);
      fill(whole);
      return use.bytes(whole);
    } finally {
      closeSync(fd);
    }
  }

  /** Removes a value; one that is not there is no fault. */
  remove(name: string): void {
    try {
      unlinkSync(join(this.directory, name));
    } catch {
      // Never written, or removed with the directory.
    }
  }

  /** Removes the value for which a reference stands. */
  drop(reference: Uint8Array): void {
    this.remove(partsOf(reference).name);
  }
}

/** How many bytes a file of a reference has; 0 for bytes that are none. */
export function bytesInFile(reference: Uint8Array): number {
  return isReference(reference) ? partsOf(reference).bytes : 0;
}

/** Of the name only what is one: what another process says must not lead out of the directory. */
function partsOf(reference: Uint8Array): { name: string; plan: Uint8Array; bytes: number } {
  const { buffer, byteOffset, length } = reference;
  const head = Buffer.from(buffer, byteOffset, length);
  const nameEnd = headBytes + (head[1] ?? 0);
  if (length < nameEnd) throw new DeserializationError('A reference to a large value is cut short.');
  const bytes = head.readDoubleLE(2);
  if (!Number.isSafeInteger(bytes) || bytes < 0)
    throw new DeserializationError('A reference to a large value is broken.');
  return { name: basename(head.toString('latin1', headBytes, nameEnd)), plan: reference.subarray(nameEnd), bytes };
}

function unreadable(directory: string, error: unknown): DeserializationError {
  const message = `A large value was kept in ${directory}, and cannot be read: ${(error as Error).message}. With htex({ largeValues: false }) values travel by themselves.`;
  return new DeserializationError(message, { cause: error });
}

function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

const none = new Uint8Array(0);

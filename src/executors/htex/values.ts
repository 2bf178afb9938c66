// Large arguments and results of an executor, kept in files of this machine's memory for as long as their tasks are not answered. The
// executor owns one; the files' other ends are in the workers (worker/main.ts, worker/incoming.ts).
import { readdirSync, statfsSync } from 'node:fs';
import { makeValueDirectory, type ValueDirectory } from '../../wire/value-directory.ts';
import { bytesInFile, isReference, resultPrefix, ValueFiles } from '../../wire/value-files.ts';

/** Of the memory for files that is free at the start, so much may be taken by arguments that wait. */
const share = 0.25;
/** The files that wait to be written over have no more bytes than this, together. */
const mostSpareBytes = 128 * 1024 * 1024;
const mostMemory = 16 * 1024 * 1024;

interface KeptFile {
  readonly name: string;
  readonly bytes: number;
}

export class LargeValues {
  readonly directory: string;
  readonly #own: ValueDirectory;
  readonly #files: ValueFiles;
  /** From so many bytes on a value is kept in a file. */
  readonly from: number;
  readonly #most: number;
  /** The files of tasks that are not answered. */
  readonly #kept = new Map<number, KeptFile>();
  readonly #spare: KeptFile[] = [];
  #spareBytes = 0;
  #nextName = 0;
  #lastName = '';
  #taken = 0;
  /** Results of Python are read here, and made into values at once. */
  #memory: Buffer = Buffer.alloc(0);

  /**
   * @param from how many bytes a value must have
   * @throws Error when no directory can be made
   */
  constructor(label: string, from: number) {
    this.#own = makeValueDirectory(label);
    this.directory = this.#own.path;
    this.#files = new ValueFiles(this.directory);
    this.from = from;
    const { bsize, bavail } = statfsSync(this.directory);
    this.#most = bsize * bavail * share;
  }

  /**
   * The arguments of a task as bytes, or what stands in their place.
   *
   * @throws SerializationError for what cannot be sent
   */
  write(id: number, args: readonly unknown[], path: string): Uint8Array {
    // It is sent again.
    this.release(id, false);
    const from = this.#hasRoom ? this.from : Number.POSITIVE_INFINITY;
    const written = this.#files.write(this.#newName, args, path, from);
    if (isReference(written)) this.#note(id, written);
    return written;
  }

  /** The same of the arguments of a Python function, which are bytes already, in pieces: what stands in their place, if they are large. */
  keep(id: number, pieces: readonly Uint8Array[]): Uint8Array | undefined {
    this.release(id, false);
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (bytes < this.from || !this.#hasRoom) return undefined;
    const reference = this.#files.keep(this.#newName(), pieces);
    if (reference !== undefined) this.#note(id, reference);
    return reference;
  }

  get #hasRoom(): boolean {
    return this.#taken < this.#most;
  }

  /** The file that was written last belongs to this task. */
  #note(id: number, reference: Uint8Array): void {
    const bytes = bytesInFile(reference);
    this.#taken += bytes;
    this.#kept.set(id, { name: this.#lastName, bytes });
  }

  /** The name of a file whose memory can be used again, or a new one. */
  readonly #newName = (): string => {
    const spare = this.#spare.pop();
    if (spare !== undefined) this.#spareBytes -= spare.bytes;
    this.#lastName = spare?.name ?? String(this.#nextName++);
    return this.#lastName;
  };

  /** Whether the arguments of a task are in a file. */
  has(id: number): boolean {
    return this.#kept.size > 0 && this.#kept.has(id);
  }

  /**
   * The value of a result that is in a file, which is removed.
   *
   * @throws DeserializationError when it cannot be read
   */
  take(reference: Uint8Array): unknown | Promise<unknown> {
    try {
      return this.#files.read(reference);
    } finally {
      this.#files.drop(reference);
    }
  }

  /**
   * The bytes of a Python result that is in a file, which is removed. They are there until the next such call.
   *
   * @throws DeserializationError when it cannot be read
   */
  takeBytes(reference: Uint8Array): Uint8Array {
    const bytes = bytesInFile(reference);
    if (bytes > this.#memory.length && bytes <= mostMemory) this.#memory = Buffer.allocUnsafeSlow(bytes);
    try {
      return this.#files.bytesOf(reference, this.#memory);
    } finally {
      this.#files.drop(reference);
    }
  }

  /** Removes the file of a result that nobody waits for. */
  drop(bytes: Uint8Array): void {
    if (isReference(bytes)) this.#files.drop(bytes);
  }

  /**
   * Removes the arguments of a task: it is answered.
   *
   * @param isRead nobody reads its file any more, so that it can be written over: to get memory from the system costs more than to fill it
   */
  release(id: number, isRead: boolean): void {
    const kept = this.#kept.size === 0 ? undefined : this.#kept.get(id);
    if (kept === undefined) return;
    this.#kept.delete(id);
    this.#taken -= kept.bytes;
    if (isRead && this.#spareBytes + kept.bytes <= mostSpareBytes) {
      this.#spare.push(kept);
      this.#spareBytes += kept.bytes;
    } else {
      this.#files.remove(kept.name);
    }
  }

  /**
   * Removes results of which nobody will be told.
   *
   * @param manager whose pool is gone; `undefined`: of all, since nothing is outstanding
   */
  sweep(manager?: string): void {
    const prefix = manager === undefined ? resultPrefix : `${resultPrefix}${manager}.`;
    try {
      for (const name of readdirSync(this.directory)) if (name.startsWith(prefix)) this.#files.remove(name);
    } catch {
      // The directory is gone, with all that was there.
    }
  }

  close(): void {
    this.#own.remove();
  }
}

// Large arguments and results of an executor, kept in files of this machine's memory for as long as their tasks are not answered. The
// executor owns one; the files' other ends are in the workers (worker/main.ts, worker/incoming.ts).
import { rmSync, statfsSync } from 'node:fs';
import { bytesInFile, isReference, makeValueDirectory, ValueFiles } from '../../wire/value-files.ts';

/** Of the memory for files that is free at the start, so much may be taken by arguments that wait. */
const share = 0.25;
/** The files that wait to be written over have no more bytes than this, together. */
const mostSpareBytes = 128 * 1024 * 1024;

interface KeptFile {
  readonly name: string;
  readonly bytes: number;
}

export class LargeValues {
  readonly directory: string;
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

  /**
   * @param from how many bytes a value must have
   * @throws Error when no directory can be made
   */
  constructor(label: string, from: number) {
    this.directory = makeValueDirectory(label);
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
    const from = this.#taken < this.#most ? this.from : Number.POSITIVE_INFINITY;
    const written = this.#files.write(this.#newName, args, path, from);
    if (!isReference(written)) return written;
    const bytes = bytesInFile(written);
    this.#taken += bytes;
    this.#kept.set(id, { name: this.#lastName, bytes });
    return written;
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

  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

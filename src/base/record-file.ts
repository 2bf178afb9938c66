// An append-only file of independent records: its format, and the one that writes it. Read by record-reader.ts.
// Checkpoints are such files. A crash, a full disk or a damaged block costs the records that it hits, and no others.
//
//   file   = header header record*                     the header stands twice: either copy will do
//   header = "\x89CRF" kind(4) contentVersion(2) formatVersion(1) 0(1) marker(4) crc32(4)
//   record = marker(4) length(4) crc32(payload)(4) crc32(the 12 bytes before)(4) payload
//
// Numbers are little-endian. The marker is drawn at random for each file: so nothing inside a payload, not even another
// such file, is ever taken for a record when the reader looks for the next whole one.
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { Result } from './result.ts';

/** Why a record file cannot be used. */
export interface RecordFileProblem {
  readonly code:
    | 'MISSING'
    /** Something else than a record file of this kind. */
    | 'FOREIGN'
    /** Written by a later version. */
    | 'NEWER'
    | 'EXISTS'
    | 'NO_SPACE'
    /** A payload above {@link largestPayload}. */
    | 'TOO_LARGE'
    /** Too many bytes wait for a flush. */
    | 'FULL'
    | 'CLOSED'
    | 'IO';
  readonly message: string;
  readonly cause?: unknown;
}

/** What a file holds, so that nobody reads another's. */
export interface RecordKind {
  /** Four ASCII characters. */
  readonly kind: string;
  /** Version of the payloads, 1 to 65,535. A reader refuses later ones. */
  readonly version: number;
}

/** Bytes; a length that claims more is damage. */
export const largestPayload = 2 ** 30;
export const headerBytes = 20;
/** Where the first record stands. */
export const firstRecord = 2 * headerBytes;
/** What a record takes beside its payload. */
export const recordOverhead = 16;
export const magic = Buffer.from('\x89CRF', 'latin1');
export const formatVersion = 1;

/** The calls to the disk; tests pass ones that fail. */
export interface RecordDisk {
  write(handle: number, bytes: Uint8Array, offset: number, length: number, position: number): number;
  truncate(handle: number, length: number): void;
}

const machineDisk: RecordDisk = { write: writeSync, truncate: ftruncateSync };

/** What {@link RecordWriter.create} may be told. */
export interface RecordWriterOptions extends RecordKind {
  /**
   * How many bytes may wait for a flush, so that a full disk does not become a full memory.
   * @default 268435456 (256 MiB)
   */
  readonly pendingLimit?: number;
  /** @default the machine's */
  readonly disk?: RecordDisk;
}

/**
 * Writes one record file. `append` only collects; `flush` writes everything collected with one synchronous write. A write
 * that fails leaves the file ending with its last whole record; what is not in it yet stays collected for the next flush.
 *
 * @example
 * const opened = RecordWriter.create('tasks.ckpt', { kind: 'CKPT', version: 1 });
 * if (!opened.ok) throw new Error(opened.error.message);
 * opened.value.append(Buffer.from('one'));
 * opened.value.close({ sync: true });
 */
export class RecordWriter {
  readonly path: string;
  readonly #disk: RecordDisk;
  readonly #limit: number;
  readonly #marker: Buffer;
  #handle: number | undefined;
  /** Bytes that are safely in the file. */
  #written = 0;
  #pending = Buffer.allocUnsafe(usualPending);
  #size = 0;
  /** Where each whole piece in `#pending` ends: the header first, then the records. */
  #ends: number[] = [];

  /** Makes the file; one that is there already is a problem, because two writers would destroy each other's records. */
  static create(path: string, options: RecordWriterOptions): Result<RecordWriter, RecordFileProblem> {
    try {
      return { ok: true, value: new RecordWriter(path, openSync(path, 'wx'), options) };
    } catch (error) {
      return { ok: false, error: diskProblem(path, 'made', error) };
    }
  }

  private constructor(
    path: string,
    handle: number,
    { kind, version, pendingLimit = 2 ** 28, disk = machineDisk }: RecordWriterOptions,
  ) {
    this.path = path;
    this.#handle = handle;
    this.#limit = pendingLimit;
    this.#disk = disk;
    this.#marker = randomBytes(4);
    const header = Buffer.alloc(headerBytes);
    magic.copy(header);
    header.write(kind, 4, 4, 'latin1');
    header.writeUInt16LE(version, 8);
    header.writeUInt8(formatVersion, 10);
    this.#marker.copy(header, 12);
    header.writeUInt32LE(crc32(header.subarray(0, 16)), 16);
    // Written with the first records: a disk that is full now may have room then.
    header.copy(this.#pending, 0);
    header.copy(this.#pending, headerBytes);
    this.#size = firstRecord;
    this.#ends.push(firstRecord);
  }

  /** Records that wait for a flush. */
  get pendingRecords(): number {
    return this.#ends.length - (this.#written === 0 ? 1 : 0);
  }

  /** Collects a record, given whole or in parts; they may be changed afterwards. */
  append(...parts: readonly Uint8Array[]): Result<void, RecordFileProblem> {
    let length = 0;
    for (const part of parts) length += part.length;
    const refusal = this.#refusal(length);
    if (refusal !== undefined) return { ok: false, error: refusal };
    let checksum = 0;
    for (const part of parts) checksum = crc32(part, checksum);
    this.#reserve(recordOverhead + length);
    const bytes = this.#pending;
    const start = this.#size;
    this.#marker.copy(bytes, start);
    bytes.writeUInt32LE(length, start + 4);
    bytes.writeUInt32LE(checksum, start + 8);
    bytes.writeUInt32LE(crc32(bytes.subarray(start, start + 12)), start + 12);
    let at = start + recordOverhead;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#size = at;
    this.#ends.push(at);
    return { ok: true, value: undefined };
  }

  /** Writes what was collected, and with `sync` waits until it is on the disk. Answers how many records were written. */
  flush({ sync = false }: { sync?: boolean } = {}): Result<number, RecordFileProblem> {
    const handle = this.#handle;
    if (handle === undefined) return { ok: false, error: closed(this.path) };
    const records = this.pendingRecords;
    let done = 0;
    try {
      while (records > 0 && done < this.#size) {
        done += this.#disk.write(
          handle,
          this.#pending,
          done,
          Math.min(this.#size - done, 2 ** 30),
          this.#written + done,
        );
      }
      this.#take(records > 0 ? this.#ends.length : 0);
      if (sync) fsyncSync(handle);
      return { ok: true, value: records };
    } catch (error) {
      if (done > 0) this.#cutBack(handle, done);
      return { ok: false, error: diskProblem(this.path, 'written', error) };
    }
  }

  /** Flushes and closes. After a failure the file is closed too, and what could not be written is lost. */
  close(options: { sync?: boolean } = {}): Result<number, RecordFileProblem> {
    if (this.#handle === undefined) return { ok: true, value: 0 };
    const flushed = this.flush(options);
    const handle = this.#handle;
    this.#handle = undefined;
    this.#pending = Buffer.alloc(0);
    try {
      closeSync(handle);
    } catch (error) {
      return { ok: false, error: diskProblem(this.path, 'closed', error) };
    }
    return flushed;
  }

  /** Forgets what waits for a flush, so that `close` writes nothing more. */
  discard(): void {
    const kept = this.#written === 0 ? 1 : 0;
    this.#size = kept === 1 ? firstRecord : 0;
    this.#ends.length = kept;
  }

  #refusal(length: number): RecordFileProblem | undefined {
    if (this.#handle === undefined) return closed(this.path);
    if (length > largestPayload) {
      const message = `A record of ${length} bytes is too large for ${this.path}: the limit is ${largestPayload}. Write large results to files.`;
      return { code: 'TOO_LARGE', message };
    }
    // One record alone may be larger than the limit.
    if (this.pendingRecords > 0 && this.#size + length > this.#limit) {
      const message = `${this.pendingRecords} records (${this.#size} bytes) already wait to be written to ${this.path}; there is no room for more until they are.`;
      return { code: 'FULL', message };
    }
    return undefined;
  }

  /** After a write that stopped in the middle: keeps the whole records that it wrote, and cuts the rest off the file. */
  #cutBack(handle: number, done: number): void {
    let whole = 0;
    while (whole < this.#ends.length && this.#ends[whole]! <= done) whole++;
    this.#take(whole);
    try {
      this.#disk.truncate(handle, this.#written);
    } catch {
      // The reader skips the torn record, and the next write goes over it.
    }
  }

  /** The first `count` pieces are in the file. */
  #take(count: number): void {
    if (count === 0) return;
    const size = this.#ends[count - 1]!;
    this.#written += size;
    this.#ends = count === this.#ends.length ? [] : this.#ends.slice(count).map((end) => end - size);
    this.#pending.copyWithin(0, size, this.#size);
    this.#size -= size;
    if (this.#size === 0 && this.#pending.length > 2 ** 20) this.#pending = Buffer.allocUnsafe(usualPending);
  }

  #reserve(size: number): void {
    const needed = this.#size + size;
    if (needed <= this.#pending.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, Math.min(this.#pending.length * 2, needed + 2 ** 24)));
    this.#pending.copy(larger, 0, 0, this.#size);
    this.#pending = larger;
  }
}

const usualPending = 65_536;

function closed(path: string): RecordFileProblem {
  return { code: 'CLOSED', message: `${path} is closed.` };
}

/** A failed call as a problem; `what` is what was to be done to the file. */
export function diskProblem(path: string, what: string, error: unknown): RecordFileProblem {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return {
        code: 'MISSING',
        message: `${path} cannot be ${what}: it, or its directory, does not exist.`,
        cause: error,
      };
    case 'EEXIST':
      return { code: 'EXISTS', message: `${path} is there already. Each run writes a file of its own.`, cause: error };
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return {
        code: 'NO_SPACE',
        message: `${path} cannot be ${what}: no space is left for it (${code}). Free some, or move it.`,
        cause: error,
      };
    default:
      return { code: 'IO', message: `${path} cannot be ${what}: ${message}`, cause: error };
  }
}

// Reads record files (format and writer: record-file.ts), whole or damaged, in constant memory. Called for checkpoints.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import {
  diskProblem,
  firstRecord,
  formatVersion,
  headerBytes,
  largestPayload,
  magic,
  type RecordFileProblem,
  type RecordKind,
  recordOverhead,
} from './record-file.ts';
import type { Result } from './result.ts';

/** What stands in a record file, in order. */
export type RecordItem =
  /** `payload` is valid until the next item is asked for. `offset` and its length serve {@link RecordReader.read}. */
  | { readonly what: 'record'; readonly offset: number; readonly payload: Uint8Array }
  /** Bytes without a whole record: at the end of the file a `torn` write, elsewhere `damaged` ones. */
  | { readonly what: 'torn' | 'damaged'; readonly offset: number; readonly bytes: number };

/**
 * Reads one record file, as long as it was when it was opened: what a living writer appends later is not seen.
 *
 * @example
 * const opened = RecordReader.open('tasks.ckpt', { kind: 'CKPT', version: 1 });
 * if (opened.ok) for (const item of opened.value) console.log(item.what, item.offset);
 */
export class RecordReader implements Iterable<RecordItem> {
  readonly path: string;
  /** Bytes of the file. */
  readonly size: number;
  readonly #marker: Buffer;
  #handle: number | undefined;
  /** What of the file is in memory: a stretch that begins at `#start`. */
  #window: Buffer = Buffer.alloc(0);
  #start = 0;
  /** The memory that the window lies in. */
  #room: Buffer = Buffer.alloc(0);

  /** Problems: MISSING, FOREIGN, NEWER, IO. An empty file, or one torn within its header, is a file without records. */
  static open(path: string, expected: RecordKind): Result<RecordReader, RecordFileProblem> {
    let handle: number | undefined;
    try {
      handle = openSync(path, 'r');
      const { size } = fstatSync(handle);
      const header = Buffer.alloc(Math.min(size, firstRecord));
      const got = readSync(handle, header, 0, header.length, 0);
      const marker = markerOf(path, header.subarray(0, got), expected);
      if (marker.ok) return { ok: true, value: new RecordReader(path, handle, size, marker.value) };
      closeSync(handle);
      return marker;
    } catch (error) {
      if (handle !== undefined) closeSync(handle);
      return { ok: false, error: diskProblem(path, 'read', error) };
    }
  }

  private constructor(path: string, handle: number, size: number, marker: Buffer) {
    this.path = path;
    this.#handle = handle;
    this.size = size;
    this.#marker = marker;
  }

  /** All records and all gaps between them. Throws what the file system throws while reading. */
  *[Symbol.iterator](): Generator<RecordItem, void, undefined> {
    let at = firstRecord;
    let lost: number | undefined;
    if (this.size > 0 && this.size < firstRecord) yield { what: 'torn', offset: 0, bytes: this.size };
    while (at < this.size) {
      const payload = this.#recordAt(at);
      if (payload === undefined) {
        lost ??= at;
        at = this.#nextMarker(at + 1);
        continue;
      }
      if (lost !== undefined) yield { what: 'damaged', offset: lost, bytes: at - lost };
      lost = undefined;
      // A gap yields before the record, so that the payload is still in the window.
      yield { what: 'record', offset: at, payload };
      at += recordOverhead + payload.length;
    }
    if (lost !== undefined) yield { what: 'torn', offset: lost, bytes: this.size - lost };
  }

  /** The payload of `length` bytes of the record at `offset`, or `undefined` if it is no longer there as it was. */
  read(offset: number, length: number): Uint8Array | undefined {
    if (this.#handle === undefined) return undefined;
    const bytes = Buffer.allocUnsafe(recordOverhead + length);
    try {
      if (readFully(this.#handle, bytes, offset) < bytes.length || lengthIn(bytes, this.#marker) !== length)
        return undefined;
    } catch {
      // Gone with its file system: for whoever asks, the record is not there.
      return undefined;
    }
    const payload = bytes.subarray(recordOverhead);
    return crc32(payload) === bytes.readUInt32LE(8) ? payload : undefined;
  }

  /** Forgets what iterating keeps in memory; `read` works on. */
  release(): void {
    this.#window = Buffer.alloc(0);
    this.#room = Buffer.alloc(0);
  }

  close(): void {
    this.release();
    if (this.#handle !== undefined) closeSync(this.#handle);
    this.#handle = undefined;
  }

  #recordAt(at: number): Uint8Array | undefined {
    const head = this.#view(at, recordOverhead);
    if (head.length < recordOverhead) return undefined;
    const length = lengthIn(head, this.#marker);
    if (length === undefined || at + recordOverhead + length > this.size) return undefined;
    const checksum = head.readUInt32LE(8);
    const payload = this.#view(at, recordOverhead + length).subarray(recordOverhead);
    return payload.length === length && crc32(payload) === checksum ? payload : undefined;
  }

  /** Where the next marker stands, at `from` or behind; the end of the file if nowhere. */
  #nextMarker(from: number): number {
    for (;;) {
      const bytes = this.#view(from, usualWindow);
      const found = bytes.indexOf(this.#marker);
      if (found >= 0) return from + found;
      if (from + bytes.length >= this.size || bytes.length < this.#marker.length) return this.size;
      // The marker may lie across the end of the stretch.
      from += bytes.length - this.#marker.length + 1;
    }
  }

  /** `length` bytes of the file from `from`; fewer only at its end. */
  #view(from: number, length: number): Buffer {
    const end = Math.min(from + length, this.size);
    if (from < this.#start || end > this.#start + this.#window.length) this.#fill(from, end);
    const first = from - this.#start;
    return this.#window.subarray(first, Math.max(first, end - this.#start));
  }

  /** Overwrites the payload that was handed out last, unless a larger window is needed. */
  #fill(from: number, end: number): void {
    assertOpen(this.#handle, this.path);
    const wanted = Math.min(Math.max(end - from, usualWindow), this.size - from);
    // A window that one large record needed is not kept for the small ones after it.
    const fits = wanted <= this.#room.length && this.#room.length <= Math.max(wanted, usualWindow);
    if (!fits) this.#room = Buffer.allocUnsafeSlow(Math.max(wanted, Math.min(usualWindow, this.size)));
    const got = readFully(this.#handle, this.#room.subarray(0, wanted), from);
    this.#window = this.#room.subarray(0, got);
    this.#start = from;
  }
}

const usualWindow = 2 ** 18;

function assertOpen(handle: number | undefined, path: string): asserts handle is number {
  if (handle === undefined) throw new Error(`${path} was closed while it was read.`);
}

function readFully(handle: number, bytes: Buffer, position: number): number {
  let done = 0;
  while (done < bytes.length) {
    const size = readSync(handle, bytes, done, bytes.length - done, position + done);
    if (size === 0) break;
    done += size;
  }
  return done;
}

/** The payload's length, if these bytes begin with the head of a record. */
function lengthIn(bytes: Buffer, marker: Buffer): number | undefined {
  if (bytes.compare(marker, 0, 4, 0, 4) !== 0 || crc32(bytes.subarray(0, 12)) !== bytes.readUInt32LE(12))
    return undefined;
  const length = bytes.readUInt32LE(4);
  return length <= largestPayload ? length : undefined;
}

function markerOf(path: string, bytes: Buffer, expected: RecordKind): Result<Buffer, RecordFileProblem> {
  for (const start of [0, headerBytes]) {
    const header = bytes.subarray(start, start + headerBytes);
    if (header.length < headerBytes || !header.subarray(0, 4).equals(magic)) continue;
    if (crc32(header.subarray(0, 16)) !== header.readUInt32LE(16)) continue;
    const kind = header.toString('latin1', 4, 8);
    const version = header.readUInt16LE(8);
    const format = header.readUInt8(10);
    if (kind !== expected.kind)
      return foreign(`${path} holds records of the kind '${kind}', not '${expected.kind}'. Check the path.`);
    if (version > expected.version || format > formatVersion) {
      const message = `${path} was written by a later version (${format}.${version}; this one reads up to ${formatVersion}.${expected.version}).`;
      return { ok: false, error: { code: 'NEWER', message } };
    }
    return { ok: true, value: header.subarray(12, 16) };
  }
  // Torn within its first header: there was never a record in it.
  const beginning = Math.min(bytes.length, magic.length);
  if (bytes.length < headerBytes && bytes.subarray(0, beginning).equals(magic.subarray(0, beginning)))
    return { ok: true, value: Buffer.alloc(4) };
  return foreign(`${path} is not a record file, or its beginning was overwritten. Check the path.`);
}

function foreign(message: string): Result<never, RecordFileProblem> {
  return { ok: false, error: { code: 'FOREIGN', message } };
}

// Reads the checkpoints of earlier runs: an index in memory, the results from their files when they are asked for.
// `load()` makes one; the kernel's memo elaborator asks it.
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setImmediate as turnEnd } from 'node:timers/promises';
import { firstRecord, type RecordFileProblem } from '../../base/record-file.ts';
import { RecordReader } from '../../base/record-reader.ts';
import type { Result } from '../../base/result.ts';
import { CheckpointError } from '../../task/errors.ts';
import { runDirectories } from '../run-directory.ts';
import { type CheckpointRecord, checkpointKind, checkpointPath, decodeKey, decodeRecord } from './checkpoint-record.ts';
import { KeyTable } from './key-table.ts';

/** What was found, for the run's log. */
export interface CheckpointReport {
  /** Files that were read, in order. */
  readonly files: readonly string[];
  /** Whole records in them; of several with one key the last counts. */
  readonly records: number;
  /** Bytes between and behind them. */
  readonly lostBytes: number;
  /** Places where writing was cut off: the run was killed, or the disk was full. At most one a file. */
  readonly torn: number;
  /** Places that were damaged afterwards. */
  readonly damaged: number;
  /** The first hundred of those places. */
  readonly gaps: readonly { readonly path: string; readonly offset: number; readonly bytes: number }[];
  /** Files that `'all'` or `'last'` found and that could not be used. */
  readonly problems: readonly RecordFileProblem[];
}

/**
 * Reads checkpoints. `'all'`: of every run in `runDirBase`, oldest first; `'last'`: of the newest run that has one; or a list
 * of run directories, checkpoint directories or files, in this order. What comes later overrides. A torn or damaged record
 * is left out and reported. Throws CheckpointError for a listed one that is missing or no checkpoint.
 *
 * @example
 * const checkpoints = await loadCheckpoints('last', 'runinfo');
 * checkpoints.get(key); // the encoded result, or undefined
 */
export async function loadCheckpoints(
  from: 'all' | 'last' | readonly string[],
  runDirBase = 'runinfo',
): Promise<Checkpoints> {
  const checkpoints = new Checkpoints();
  try {
    if (typeof from === 'string') {
      const found = runDirectories(runDirBase)
        .map(({ path }) => checkpointPath(path))
        .filter(hasRecords);
      for (const path of from === 'last' ? found.slice(-1) : found) {
        const read = await checkpoints.read(path);
        if (!read.ok) checkpoints.report.problems.push(read.error);
      }
    } else {
      for (const place of from) {
        const read = await checkpoints.read(findListed(place));
        if (!read.ok)
          throw new CheckpointError(`The checkpoint cannot be used. ${read.error.message}`, { cause: read.error });
      }
    }
    return checkpoints;
  } catch (error) {
    checkpoints.close();
    throw error;
  }
}

/** How many files are kept open for reading results. */
const openLimit = 32;
/** How much is read before the process may do something else. */
const bytesPerTurn = 2 ** 24;

/** The checkpoints of earlier runs: about 100 bytes of memory a record. */
export class Checkpoints {
  readonly report: { -readonly [Key in keyof CheckpointReport]: Extendable<CheckpointReport[Key]> } = {
    files: [],
    records: 0,
    lostBytes: 0,
    torn: 0,
    damaged: 0,
    gaps: [],
    problems: [],
  };
  readonly #keys = new KeyTable();
  /** By the number of its key, where each record stands. */
  #files = new Uint32Array(64);
  #offsets = new Float64Array(64);
  #lengths = new Uint32Array(64);
  /** By the number of their file, the least lately used first. */
  readonly #readers = new Map<number, RecordReader>();
  #isClosed = false;

  /** Different keys. */
  get size(): number {
    return this.#keys.size;
  }

  has(key: string): boolean {
    return this.#keys.find(key) >= 0;
  }

  /** The encoded result for `key`, if there is one, and the output files that its task made still exist. */
  get(key: string): Uint8Array | undefined {
    const record = this.record(key);
    return record?.outputs.every((path) => existsSync(path)) ? record.value : undefined;
  }

  /** The whole record for `key`, whether its outputs exist or not. `undefined` also if its file is gone or was changed. */
  record(key: string): CheckpointRecord | undefined {
    const number = this.#keys.find(key);
    if (number < 0) return undefined;
    const payload = this.#reader(this.#files[number]!)?.read(this.#offsets[number]!, this.#lengths[number]!);
    const record = payload && decodeRecord(payload);
    return record?.key === key ? record : undefined;
  }

  /** Closes the files; nothing is found any more. */
  close(): void {
    for (const reader of this.#readers.values()) reader.close();
    this.#readers.clear();
    this.#isClosed = true;
  }

  /** Adds one file to the index. */
  async read(path: string): Promise<Result<void, RecordFileProblem>> {
    const opened = RecordReader.open(path, checkpointKind);
    if (!opened.ok) return opened;
    const reader = opened.value;
    const file = this.report.files.push(path) - 1;
    try {
      let turn = 0;
      for (const item of reader) {
        if (item.what === 'record') {
          this.#index(file, item.offset, item.payload);
        } else {
          this.report[item.what]++;
          this.report.lostBytes += item.bytes;
          if (this.report.gaps.length < 100) this.report.gaps.push({ path, offset: item.offset, bytes: item.bytes });
        }
        if (item.offset - turn > bytesPerTurn) {
          turn = item.offset;
          await turnEnd();
        }
      }
    } catch (error) {
      reader.close();
      const message = `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`;
      return { ok: false, error: { code: 'IO', message, cause: error } };
    }
    reader.release();
    this.#keep(file, reader);
    return { ok: true, value: undefined };
  }

  #index(file: number, offset: number, payload: Uint8Array): void {
    const key = decodeKey(payload);
    if (key === undefined) {
      this.report.damaged++;
      this.report.lostBytes += payload.length;
      return;
    }
    this.report.records++;
    const number = this.#keys.add(key);
    if (number >= this.#files.length) {
      const size = Math.ceil((number * 3) / 2);
      this.#files = enlarged(this.#files, new Uint32Array(size));
      this.#offsets = enlarged(this.#offsets, new Float64Array(size));
      this.#lengths = enlarged(this.#lengths, new Uint32Array(size));
    }
    this.#files[number] = file;
    this.#offsets[number] = offset;
    this.#lengths[number] = payload.length;
  }

  #reader(file: number): RecordReader | undefined {
    const known = this.#readers.get(file);
    if (known !== undefined) {
      this.#readers.delete(file);
      this.#readers.set(file, known);
      return known;
    }
    const path = this.report.files[file];
    if (path === undefined || this.#isClosed) return undefined;
    const opened = RecordReader.open(path, checkpointKind);
    if (!opened.ok) return undefined;
    this.#keep(file, opened.value);
    return opened.value;
  }

  #keep(file: number, reader: RecordReader): void {
    this.#readers.set(file, reader);
    if (this.#readers.size <= openLimit) return;
    const [oldest, unused] = this.#readers.entries().next().value!;
    unused.close();
    this.#readers.delete(oldest);
  }
}

type Extendable<Value> = Value extends readonly (infer Member)[] ? Member[] : Value;

function enlarged<Numbers extends Uint32Array | Float64Array>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}

/** A run that was killed before its first record leaves an empty file: as good as none. */
function hasRecords(path: string): boolean {
  try {
    const status = statSync(path, { throwIfNoEntry: false });
    return status?.isFile() === true && status.size > firstRecord;
  } catch {
    // It is there, but out of reach: reading it will say why.
    return true;
  }
}

function findListed(place: string): string {
  const path = resolve(place);
  const candidates = [path, join(path, 'tasks.ckpt'), checkpointPath(path)];
  const found = candidates.find((candidate) => statSync(candidate, { throwIfNoEntry: false })?.isFile());
  if (found !== undefined) return found;
  throw new CheckpointError(
    existsSync(path)
      ? `There is no checkpoint in ${path}. Give the directory of a run that wrote one, or load 'all' or 'last'.`
      : `The checkpoint ${path} does not exist. Check the path, or load 'all' or 'last'.`,
  );
}

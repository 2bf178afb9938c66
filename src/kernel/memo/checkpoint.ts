// Writes the checkpoint of one run: RUN_DIR/checkpoint/tasks.ckpt. The kernel's memo elaborator gives it every success
// that it computed or used again; a later run reads it (checkpoint-load.ts).
import { unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { assert } from '../../base/assert.ts';
import { makeDirectory } from '../../base/directory.ts';
import { diskProblem, type RecordDisk, type RecordFileProblem, RecordWriter } from '../../base/record-file.ts';
import type { Result } from '../../base/result.ts';
import { type Clock, systemClock } from '../../base/time.ts';
import { type CheckpointRecord, checkpointKind, checkpointPath, encodeHead } from './checkpoint-record.ts';
import { KeyTable } from './key-table.ts';

/**
 * When results are written: `'task_exit'` at the end of the loop turn in which they came, `'periodic'` at latest one period
 * after they came, `'exit'` when the run closes (earlier only when 64 MiB wait), `'manual'` only when asked.
 * All but `'manual'` write what is left when the run closes.
 */
export type CheckpointWhen = 'task_exit' | 'periodic' | 'exit' | 'manual';

/** What a {@link CheckpointWriter} is made with. */
export interface CheckpointWriterOptions {
  readonly runDirectory: string;
  readonly when: CheckpointWhen;
  /** Needed for `'periodic'`. */
  readonly periodMs?: number;
  /** Hears of writes that failed; what they should have written is tried again with the next. */
  readonly onProblem?: (problem: RecordFileProblem) => void;
  /** @default the machine's */
  readonly clock?: Clock;
  /** Calls at the end of this loop turn. @default setImmediate */
  readonly atTurnEnd?: (action: () => void) => void;
  /** @default the machine's */
  readonly disk?: RecordDisk;
}

/** Told once: the record is in the file (handed to the system: it survives this process), or why it is not yet. */
export type Saved = (result: Result<void, RecordFileProblem>) => void;

const pendingLimit = 2 ** 26;

/**
 * The checkpoint of one run. The file is made with the first record: a run without results leaves none.
 *
 * @example
 * const writer = new CheckpointWriter({ runDirectory: 'runinfo/007', when: 'task_exit' });
 * writer.add({ key, app: 'simulate', value, outputs: [] }, () => settle(task));
 * writer.close();
 */
export class CheckpointWriter {
  readonly path: string;
  readonly #options: CheckpointWriterOptions;
  readonly #clock: Clock;
  #file: RecordWriter | undefined;
  #isClosed = false;
  #isScheduled = false;
  #stopTimer = (): void => {};
  #waiting: Saved[] = [];
  /** Keys that this run recorded, or will with the next flush. */
  readonly #recorded = new KeyTable();
  #written = 0;

  constructor(options: CheckpointWriterOptions) {
    assert(options.when !== 'periodic' || options.periodMs !== undefined, 'periodic checkpoints need periodMs');
    this.path = checkpointPath(options.runDirectory);
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Records in the file. */
  get written(): number {
    return this.#written;
  }

  /** Records that wait to be written. */
  get pending(): number {
    return this.#file?.pendingRecords ?? 0;
  }

  /** Whether this run has recorded `key`. */
  has(key: string): boolean {
    return this.#recorded.find(key) >= 0;
  }

  /** Records a result that was computed. Of several with one key the last counts. `value` is copied. */
  add(record: Omit<CheckpointRecord, 'savedAt'>, saved?: Saved): void {
    const added = this.#append(encodeHead({ ...record, savedAt: this.#clock.now() }), record.value);
    if (!added.ok) {
      this.#options.onProblem?.(added.error);
      saved?.(added);
      return;
    }
    this.#recorded.add(record.key);
    this.#await(saved);
  }

  /**
   * Records a result of an earlier run that this run used, once: so that this run's checkpoint alone will do for the next.
   * `read` is only called if the key is new here; if it finds nothing any more, nothing is recorded.
   */
  reuse(key: string, read: () => CheckpointRecord | undefined, saved?: Saved): void {
    const record = this.has(key) ? undefined : read();
    if (record !== undefined) this.add(record, saved);
    else if (this.has(key) && this.pending > 0) this.#await(saved);
    else saved?.({ ok: true, value: undefined });
  }

  /** Writes everything that waits, now and to the disk itself. Answers how many records that were. */
  checkpoint(): Result<number, RecordFileProblem> {
    return this.#flush(true);
  }

  /** Writes what is left, except in mode `'manual'`, and closes. Later records are refused. */
  close(): Result<number, RecordFileProblem> {
    if (this.#isClosed) return { ok: true, value: 0 };
    this.#isClosed = true;
    this.#stopTimer();
    if (this.#options.when === 'manual') this.#file?.discard();
    const before = this.pending;
    const flushed = this.#file?.close({ sync: true }) ?? { ok: true as const, value: 0 };
    this.#written += before - this.pending;
    if (!flushed.ok) this.#options.onProblem?.(flushed.error);
    if (this.#file !== undefined && this.#written === 0) removeEmpty(this.path);
    const message = `${this.path} is closed; results are written to it only when checkpoint() is called.`;
    this.#tell(this.#options.when === 'manual' ? { ok: false, error: { code: 'CLOSED', message } } : flushed);
    return flushed;
  }

  #append(head: Uint8Array, value: Uint8Array): Result<void, RecordFileProblem> {
    const opened = this.#open();
    if (!opened.ok) return opened;
    const added = opened.value.append(head, value);
    if (added.ok || added.error.code !== 'FULL' || this.#options.when === 'manual') return added;
    // Nobody asked for so much to be kept in memory: written before its time it does no harm.
    const flushed = this.#flush(false);
    return flushed.ok ? opened.value.append(head, value) : flushed;
  }

  #open(): Result<RecordWriter, RecordFileProblem> {
    if (this.#isClosed) return { ok: false, error: { code: 'CLOSED', message: `${this.path} is closed.` } };
    if (this.#file !== undefined) return { ok: true, value: this.#file };
    try {
      makeDirectory(dirname(this.path));
    } catch (error) {
      return { ok: false, error: diskProblem(this.path, 'made', error) };
    }
    const { disk } = this.#options;
    const opened = RecordWriter.create(this.path, { ...checkpointKind, pendingLimit, ...(disk && { disk }) });
    if (opened.ok) this.#file = opened.value;
    return opened;
  }

  #await(saved: Saved | undefined): void {
    if (saved !== undefined) this.#waiting.push(saved);
    if (this.#isScheduled) return;
    const flush = (): void => {
      this.#isScheduled = false;
      if (!this.#isClosed) this.#flush(false);
    };
    const { when, periodMs, atTurnEnd = setImmediate } = this.#options;
    if (when === 'task_exit') atTurnEnd(flush);
    else if (when === 'periodic') this.#stopTimer = this.#clock.after(periodMs!, flush, false);
    else return;
    this.#isScheduled = true;
  }

  #flush(sync: boolean): Result<number, RecordFileProblem> {
    if (this.#file === undefined) return { ok: true, value: 0 };
    const before = this.pending;
    const flushed = this.#file.flush({ sync });
    this.#written += before - this.pending;
    if (!flushed.ok) this.#options.onProblem?.(flushed.error);
    this.#tell(flushed);
    return flushed;
  }

  #tell(flushed: Result<unknown, RecordFileProblem>): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    const result: Result<void, RecordFileProblem> = flushed.ok ? { ok: true, value: undefined } : flushed;
    for (const saved of waiting) saved(result);
  }
}

/** A file that never got a record would only be in the way of those who look for the last checkpoint. */
function removeEmpty(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Then it stays: it reads as a checkpoint without records.
  }
}

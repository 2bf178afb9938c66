// The feed: files in the run directory through which the run tells the writer what happened. The run appends, the writer
// reads and deletes what is in the database. So neither waits for the other, either may die, and nothing that reached a
// file is lost.
//
//   run ── 00000000.feed, 00000001.feed, … ──> writer ──> database
//
// There may be so many files and no more: then the run is held up for a while, and if the writer still does not come
// on, events are dropped, counted, and that is told.
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../base/directory.ts';
import { RecordBuffer } from './records.ts';

export interface FeedOptions {
  readonly directory: string;
  /** Bytes of one file. @default 8 MiB */
  readonly segmentBytes?: number;
  /** Most files at once: with `segmentBytes` the bound of the queue. @default 128 */
  readonly mostSegments?: number;
  /** How long the run is held up in all for one writer that does not come on, in milliseconds. @default 5000 */
  readonly holdMs?: number;
  /** Something is in the files that the writer should look at. */
  readonly onWritten: () => void;
  readonly onProblem: (text: string) => void;
}

/** The name of a file of the feed. */
export function segmentName(number: number): string {
  return `${String(number).padStart(8, '0')}.feed`;
}

/** Records wait so long at most before they are written, in milliseconds. */
const gatherMs = 100;
const gatherBytes = 64 * 1024;

export class Feed {
  readonly records = new RecordBuffer();
  readonly #options: Required<FeedOptions>;
  #descriptor: number | undefined;
  #segment = 0;
  #written = 0;
  /** The lowest number that may still have a file. */
  #oldest = 0;
  #timer: NodeJS.Timeout | undefined;
  #heldMs = 0;
  #lost = 0;
  #lostAll = 0;
  #isClosed = false;

  constructor(options: FeedOptions) {
    this.#options = { segmentBytes: 8 * 2 ** 20, mostSegments: 128, holdMs: 5_000, ...options };
    makeDirectory(options.directory);
  }

  /** Events that were dropped. */
  get lost(): number {
    return this.#lostAll;
  }

  /** To be called after each record. */
  added(): void {
    if (this.records.size >= gatherBytes) this.flush();
    else if (this.#timer === undefined && !this.#isClosed) {
      this.#timer = setTimeout(() => this.flush(), gatherMs);
      this.#timer.unref();
    }
  }

  /** Writes what was gathered. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { records } = this;
    if (records.size === 0) return;
    if (!this.#hasRoom()) {
      this.#drop('the writer of the database does not come on');
      return;
    }
    if (this.#lost > 0) {
      records.rare({ kind: 'lost', events: this.#lost, at: Date.now() });
      this.#options.onProblem(`monitoring goes on; ${this.#lost} events in between were dropped`);
    }
    const count = records.records;
    const bytes = records.take();
    try {
      this.#descriptor ??= openSync(join(this.#options.directory, segmentName(this.#segment)), 'a');
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#descriptor, bytes, done);
      this.#lost = 0;
    } catch (error) {
      // A torn record at the end would hide what follows in the same file: so what follows goes to the next one.
      this.#lost += count;
      this.#lostAll += count;
      this.#roll();
      this.#tellLoss((error as Error).message);
      return;
    }
    this.#written += bytes.length;
    if (this.#written >= this.#options.segmentBytes) this.#roll();
    this.#options.onWritten();
  }

  #roll(): void {
    // The reader does not go on behind a file that is not there.
    if (this.#descriptor === undefined) return;
    try {
      closeSync(this.#descriptor);
    } catch {
      // What could not be written was told already.
    }
    this.#descriptor = undefined;
    this.#written = 0;
    this.#segment++;
  }

  /** Whether another file may be begun, after a while of waiting if need be. The writer deletes the oldest. */
  #hasRoom(): boolean {
    const { mostSegments, directory, holdMs, onWritten, onProblem } = this.#options;
    if (this.#written > 0 || this.#segment - this.#oldest < mostSegments) return true;
    while (this.#oldest < this.#segment && !existsSync(join(directory, segmentName(this.#oldest)))) {
      this.#oldest++;
      this.#heldMs = 0;
    }
    if (this.#segment - this.#oldest < mostSegments) return true;
    if (this.#heldMs === 0)
      onProblem('monitoring cannot keep up: the run is slowed down until the database has caught up');
    onWritten();
    const path = join(directory, segmentName(this.#oldest));
    const until = performance.now() + Math.max(0, Math.min(1_000, holdMs - this.#heldMs));
    const from = performance.now();
    while (performance.now() < until && existsSync(path)) Atomics.wait(pause, 0, 0, 5);
    if (!existsSync(path)) {
      this.#heldMs = 0;
      return true;
    }
    this.#heldMs += performance.now() - from;
    return this.#heldMs < holdMs ? this.#hasRoom() : false;
  }

  #drop(why: string): void {
    const { records } = this.records;
    this.records.take();
    this.#lost += records;
    this.#lostAll += records;
    this.#tellLoss(why);
  }

  #toldAt = Number.NEGATIVE_INFINITY;

  #tellLoss(why: string): void {
    const now = performance.now();
    if (now - this.#toldAt < 10_000) return;
    this.#toldAt = now;
    this.#options.onProblem(`monitoring loses events, ${this.#lost} so far (${why}); the tasks go on`);
  }

  close(): void {
    this.flush();
    this.#isClosed = true;
    this.#roll();
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4));

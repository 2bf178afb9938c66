// The writer: takes what the run tells through its feed into the database, batch by batch, and goes on through locked
// databases and full disks. It is a process of its own; monitor.ts starts it, writer-main.ts is its beginning.
//
//   feed files ──> batch (at most every half second) ──> one transaction ──> files deleted

import { noCounts } from '../task/state.ts';
import { Batch, type Level } from './batch.ts';
import { Bulk } from './bulk.ts';
import { type MonitoringDatabase, openDatabase } from './database.ts';
import { FeedReader } from './feed-reader.ts';
import { type FeedPosition, writeBatch } from './rows.ts';
import { stateNames } from './schema.ts';
import type { TaskRows, Value } from './task-rows.ts';

/** What the writer is told when it is started: one line of JSON. */
export interface WriterStart {
  readonly database: string;
  /** Directory of the feed. */
  readonly feed: string;
  /** Columns of `runs`. */
  readonly run: Readonly<Record<string, Value>> & { readonly run_id: string };
  readonly batchMs: number;
  readonly batchRecords: number;
  readonly busyMs: number;
  /** How long it goes on trying when the run is gone and the database cannot be written, in milliseconds. */
  readonly patienceMs: number;
  /** From so many records on a batch is large. @default 20000 */
  readonly manyRecords?: number;
  /**
   * While batches are large, new tasks that are not settled are held back for so long, in milliseconds, and so many of them at most.
   * @default 3000 and 200000
   */
  readonly holdMs?: number;
  readonly mostHeld?: number;
  /** How often the row of the run says that it goes on, when nothing else is written. @default 60000 */
  readonly aliveMs?: number;
  /** How many files the feed may have before the run is slowed down. @default without limit */
  readonly mostSegments?: number;
  readonly network?: string | false;
}

/** What it tells the run, one line of JSON each. */
export type WriterWord =
  | { readonly say: 'ready'; readonly notes: readonly string[] }
  | { readonly say: 'refused'; readonly reason: string }
  | { readonly say: 'problem'; readonly text: string }
  | { readonly say: 'well again' };

export interface WriterPorts {
  readonly tell: (word: WriterWord) => void;
  /** Resolves when there is something to do, or after so many milliseconds. */
  readonly wait: (ms: number) => Promise<void>;
  /** The run has ended, well or not: nothing more will come. */
  readonly isSourceGone: () => boolean;
}

/**
 * Runs until the run is gone and everything is written, or cannot be.
 *
 * @returns false when somebody else wrote the run meanwhile: another writer may go on from there
 */
export async function runWriter(start: WriterStart, ports: WriterPorts): Promise<boolean> {
  const troubles = new Troubles(start, ports);
  const database = await openPatiently(start, ports, troubles);
  if (database === undefined) return true;
  try {
    return await new Writer(start, ports, troubles, database).run();
  } finally {
    await database.close();
  }
}

/** Where a run stands of which nothing is written. */
const notBegun = { feed_segment: 0, feed_offset: 0, held_segment: 0, held_offset: 0 } as const;

class Writer {
  readonly #start: WriterStart;
  readonly #ports: WriterPorts;
  readonly #troubles: Troubles;
  readonly #database: MonitoringDatabase;
  readonly #bulk: Bulk;
  #level: Level = noCounts();
  #run = 0;
  #hasEnd = false;

  constructor(start: WriterStart, ports: WriterPorts, troubles: Troubles, database: MonitoringDatabase) {
    this.#start = start;
    this.#ports = ports;
    this.#troubles = troubles;
    this.#database = database;
    this.#bulk = new Bulk(database);
  }

  async run(): Promise<boolean> {
    const { feed, batchMs, batchRecords, mostSegments = Number.POSITIVE_INFINITY } = this.#start;
    const { manyRecords = 20_000, holdMs = 3_000, mostHeld = 200_000, aliveMs = 60_000 } = this.#start;
    const from = await this.#troubles.patiently(() => this.#beginRun());
    if (from === undefined) return true;
    if (from === 'unwritable') {
      this.#ports.tell({ say: 'refused', reason: `the row of the run cannot be written to ${this.#database.name}` });
      return true;
    }
    const reader = new FeedReader(feed, from.held, (text) => this.#ports.tell({ say: 'problem', text }));
    let held = readHeld(reader, from.written);
    if ((await this.#troubles.patiently(() => this.#forgetWritten(held))) === undefined) return true;
    /** Where batches began of which rows are held, by their number. */
    const begins = new Map<number, FeedPosition>([[0, from.held]]);
    let { written } = from;
    let last = 0;
    let saidAt = performance.now();
    let gatherMs = batchMs;
    for (let number = 1; ; number++) {
      const isLast = this.#ports.isSourceGone();
      const before = reader.position;
      const batch = new Batch(this.#level, number, held);
      const isMore = reader.read(batchRecords, batch);
      if (batch.records > 0 || held.length > 0) {
        batch.close();
        last = performance.now();
        begins.set(number, before);
        const [first = before] = begins.values();
        // Files are kept for as long as rows are held back: the run shall not have to wait for them.
        const isTight = 2 * (reader.position.segment - first.segment) >= mostSegments;
        const isMany = batch.records > manyRecords && !isTight;
        // The more there is, the more of it begins and ends in one batch if one waits a little longer.
        gatherMs = isMany ? 4 * batchMs : batchMs;
        const holds = isMany && !isLast;
        const oldest = holds ? batch.hold(Date.now() - holdMs, mostHeld) : undefined;
        for (const known of begins.keys()) if (oldest === undefined || known < oldest) begins.delete(known);
        const heldFrom = oldest === undefined ? reader.position : (begins.get(oldest) as FeedPosition);
        const places = [written, reader.position, heldFrom] as const;
        const isWritten = await this.#write(batch, ...places);
        if (isWritten === undefined) return true;
        if (isWritten === false) {
          this.#ports.tell({ say: 'problem', text: 'another writer is at work on this run; this one ends' });
          return false;
        }
        if (isWritten === 'unwritable') await this.#passOver(batch, ...places);
        written = reader.position;
        this.#level = batch.level;
        this.#hasEnd ||= batch.end !== undefined;
        held = batch.held;
        reader.tidy(heldFrom);
      } else {
        if (reader.position.segment > before.segment) reader.tidy(reader.position);
        if (!isLast && performance.now() - Math.max(last, saidAt) >= aliveMs) {
          saidAt = performance.now();
          await this.#troubles.patiently(() => this.#sayAlive());
        }
      }
      if (isMore) continue;
      if (isLast && held.length === 0) break;
      await this.#ports.wait(held.length > 0 ? gatherMs : 1_000);
      // Tasks that come and go within one batch are written once.
      const early = last + gatherMs - performance.now();
      if (early > 0 && !this.#ports.isSourceGone()) await pause(early, this.#ports);
    }
    await this.#troubles.patiently(() => this.#endRun());
    reader.remove();
    return true;
  }

  /** Leaves those that are not in the database. */
  async #forgetWritten(held: TaskRows): Promise<true> {
    if (held.length === 0) return true;
    const tasks = held.task.slice(0, held.length).sort();
    const there = await this.#database.db
      .selectFrom('tasks')
      .select('task')
      .where('run', '=', this.#run)
      .where('task', '>=', tasks[0] as number)
      .where('task', '<=', tasks.at(-1) as number)
      .execute();
    for (const { task } of there) held.forget(task);
    return true;
  }

  /** Finds or makes the row of the run, and where it was left. */
  async #beginRun(): Promise<{ readonly written: FeedPosition; readonly held: FeedPosition }> {
    const run: Readonly<Record<string, Value>> = { ...this.#start.run, ...notBegun };
    const columns = Object.keys(run);
    await this.#bulk.transaction(() =>
      this.#bulk.insert('runs', columns, [columns.map((column) => run[column] ?? null)], '(run_id) do nothing'),
    );
    const { db } = this.#database;
    const row = await db
      .selectFrom('runs')
      .select(['run', 'feed_segment', 'feed_offset', 'held_segment', 'held_offset', 'end_reason'])
      .where('run_id', '=', this.#start.run.run_id)
      .executeTakeFirstOrThrow();
    this.#run = row.run;
    this.#hasEnd = row.end_reason === 'closed';
    const counts = await db
      .selectFrom('app_states')
      .select(['state', (of) => of.fn.sum<number>('tasks').as('tasks')])
      .where('run', '=', row.run)
      .groupBy('state')
      .execute();
    for (const { state, tasks } of counts) {
      const name = stateNames.get(state);
      if (name !== undefined) this.#level[name] = Number(tasks);
    }
    return {
      written: { segment: row.feed_segment, offset: row.feed_offset },
      held: { segment: row.held_segment, offset: row.held_offset },
    };
  }

  /** On another machine nobody can ask for the process of the run: only a long silence tells that it is gone. */
  async #sayAlive(): Promise<true> {
    await this.#bulk.run('update runs set written = ? where run = ?', [Date.now(), this.#run]);
    return true;
  }

  /** A run that did not say that it ends was killed. */
  async #endRun(): Promise<true> {
    if (!this.#hasEnd)
      await this.#bulk.run('update runs set ended = ?, end_reason = ? where run = ? and ended is null', [
        Date.now(),
        'lost',
        this.#run,
      ]);
    const { sqlite } = this.#database;
    // Readers find one file. Others may be reading: then it stays.
    if (sqlite !== undefined && this.#database.notes.length === 0) sqlite.exec('pragma wal_checkpoint(passive)');
    return true;
  }

  /** The database does not want these rows, now or ever: their number is noted, and the writer goes on behind them. */
  async #passOver(batch: Batch, from: FeedPosition, to: FeedPosition, heldFrom: FeedPosition): Promise<void> {
    const empty = new Batch(this.#level);
    empty.rare({ kind: 'lost', events: batch.records, at: Date.now() });
    await this.#write(empty, from, to, heldFrom);
  }

  #write(batch: Batch, from: FeedPosition, to: FeedPosition, heldFrom: FeedPosition) {
    const { dialect } = this.#database;
    return this.#troubles.patiently(() => writeBatch(this.#bulk, dialect, this.#run, batch, from, to, heldFrom));
  }
}

/**
 * Rows that a writer before this one may have held back when it ended. What the feed says between the two places is in the database, but
 * for these. Afterwards the reader stands at `written`.
 */
function readHeld(reader: FeedReader, written: FeedPosition): TaskRows {
  let batch = new Batch(noCounts());
  // Beside many tries nothing was held back.
  while (reader.read(Number.POSITIVE_INFINITY, batch, written)) batch = new Batch(noCounts());
  batch.close();
  batch.hold(0, Number.POSITIVE_INFINITY);
  return batch.held;
}

/** What goes wrong with the database, told at once and then now and again; and the patience with it. */
class Troubles {
  readonly #start: WriterStart;
  readonly #ports: WriterPorts;
  #since: number | undefined;
  #toldAt = Number.NEGATIVE_INFINITY;
  #toldTimes = 0;
  #goneSince: number | undefined;

  constructor(start: WriterStart, ports: WriterPorts) {
    this.#start = start;
    this.#ports = ports;
  }

  /** Does it, again and again. `undefined`: the run is gone, and patience at its end. `unwritable`: it will never do. */
  async patiently<Value>(body: () => Promise<Value>): Promise<Value | 'unwritable' | undefined> {
    for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, 2_000)) {
      try {
        const value = await body();
        if (this.#since !== undefined) this.#ports.tell({ say: 'well again' });
        this.#since = undefined;
        this.#goneSince = undefined;
        this.#toldTimes = 0;
        return value;
      } catch (error) {
        this.#tell(error);
        if (isAboutRows(error)) return 'unwritable';
        if (this.isAtEnd()) {
          this.#ports.tell({
            say: 'problem',
            text: `what is left is in ${this.#start.feed}; take it in later with: chervil monitor load ${this.#start.feed}`,
          });
          return undefined;
        }
        await pause(pauseMs, this.#ports);
      }
    }
  }

  isAtEnd(): boolean {
    if (!this.#ports.isSourceGone()) return false;
    this.#goneSince ??= performance.now();
    return performance.now() - this.#goneSince > this.#start.patienceMs;
  }

  #tell(error: unknown): void {
    const now = performance.now();
    this.#since ??= now;
    if (now - this.#toldAt < Math.min(10_000 * 2 ** this.#toldTimes, 300_000)) return;
    this.#toldAt = now;
    this.#toldTimes++;
    this.#ports.tell({
      say: 'problem',
      text: `the database cannot be written (${messageOf(error)}); events wait in ${this.#start.feed}`,
    });
  }
}

async function openPatiently(
  start: WriterStart,
  ports: WriterPorts,
  troubles: Troubles,
): Promise<MonitoringDatabase | undefined> {
  let refusal: unknown;
  const opened = await troubles.patiently(async () => {
    try {
      return await openDatabase(start.database, {
        mode: 'write',
        busyMs: start.busyMs,
        ...(start.network === undefined ? {} : { network: start.network }),
      });
    } catch (error) {
      if (!isHopeless(error)) throw error;
      refusal = error;
      return undefined;
    }
  });
  if (refusal !== undefined) ports.tell({ say: 'refused', reason: messageOf(refusal) });
  if (opened === undefined || opened === 'unwritable') return undefined;
  ports.tell({ say: 'ready', notes: opened.notes });
  return opened;
}

/** Waiting would not help: wrong database, no driver, no such host, no such directory, wrong password. */
function isHopeless(error: unknown): boolean {
  const { name, code, message = '' } = error as { name?: string; code?: string; message?: string };
  if (name === 'DatabaseError' || code === 'ENOTFOUND' || code === 'EACCES' || code === 'EROFS' || code === 'ENOTDIR')
    return true;
  if (code?.startsWith('28') || code === '3D000') return true;
  return /libsql\)|not a database|unable to open|readonly/i.test(message);
}

/** The rows themselves are refused: what breaks a rule, or cannot be understood. */
function isAboutRows(error: unknown): boolean {
  const { errcode, code } = error as { errcode?: number; code?: string };
  if (errcode !== undefined) return [1, 19, 20, 25].includes(errcode & 0xff);
  if (code === undefined) return error instanceof TypeError || error instanceof RangeError;
  return /^SQLITE_(?:ERROR|CONSTRAINT|MISMATCH|RANGE)/.test(code) || /^(?:22|23|42)\w{3}$/.test(code);
}

function messageOf(error: unknown): string {
  const { message, code, errors } = error as { message?: string; code?: string; errors?: readonly Error[] };
  // Several addresses of one host: the message of the whole is empty.
  return message || errors?.map((one) => one.message).join('; ') || code || String(error);
}

async function pause(ms: number, ports: WriterPorts): Promise<void> {
  const until = performance.now() + ms;
  for (let left = ms; left > 0 && !(ports.isSourceGone() && ms > 1_000); left = until - performance.now())
    await new Promise((resolve) => setTimeout(resolve, Math.min(left, 250)));
}

// What many records come to in rows: a task that began and ended among them is one row. Pure; writer.ts gives it the
// records of one transaction, and rows.ts writes what comes out.
import { type TaskState, taskStates } from '../task/state.ts';
import type { RareRecord, RecordSink } from './records.ts';
import { stateNames } from './schema.ts';
import { tailLength } from './short.ts';
import { rareColumns, TaskRows, type Value } from './task-rows.ts';

export type Row = Readonly<Record<string, Value>>;

/** Tasks with the try that they were in, and then those whose try was followed by another. */
export interface Round {
  readonly tasks: TaskRows;
  /** Tasks of this round whose try was not the last, and when it ended. */
  readonly retried: Map<number, number>;
}

export type Level = Record<TaskState, number>;

/** Tries of one task that are written together at most. */
const mostRounds = 1_000;

export class Batch implements RecordSink {
  readonly rounds: Round[];
  /** Those of the first round. */
  readonly #tasks: TaskRows;
  /** Rows of other tables, by table. */
  readonly rows = new Map<string, Row[]>();
  readonly failures = new Map<string, Row>();
  readonly outputs = new Map<string, { task: number; stream: string; bytes: number; text: string }>();
  readonly levels: Row[] = [];
  readonly totals = { tasks: 0, completed: 0, memoized: 0, failed: 0, lost: 0 };
  end: { readonly at: number; readonly reason: string } | undefined;
  records = 0;
  /** Time of the newest record that has one. */
  newest = 0;
  readonly #levelBefore: Level;
  /** Changes, by state. */
  readonly #counts = new Int32Array(16);
  readonly #countsOf = new Map<number, Int32Array>();
  #lastApp = -1;
  #lastCounts: Int32Array = new Int32Array(16);
  /** Rows that are written with a later batch: the task is new and not settled. Filled by `hold`. */
  readonly held = new TaskRows();
  readonly #number: number;
  #second = 0;
  /** The task whose row was asked for last, and that row: what happens to one stands together. */
  #lastTask = -1;
  #lastRow = -1;
  readonly #roundOf = new Map<number, number>();

  /**
   * @param level how many tasks were in each state before
   * @param number counts the batches
   * @param held rows of new tasks from batches before, which are this batch's own from now on
   */
  constructor(level: Level, number = 0, held = new TaskRows()) {
    this.#levelBefore = level;
    this.#number = number;
    this.rounds = [{ tasks: held, retried: new Map() }];
    this.#tasks = held;
  }

  rare(record: RareRecord): void {
    this.records++;
    switch (record.kind) {
      case 'details': {
        // They are the task's, whatever try it is in: the rows of later rounds have columns of tries alone.
        const tasks = this.#tasks;
        const row = tasks.find(record.task);
        const rare = tasks.rareOf(row < 0 ? tasks.add(record.task) : row);
        for (const column of rareColumns) if (column in record.columns) rare[column] = record.columns[column] ?? null;
        return;
      }
      case 'joins':
        for (const needs of record.needs) this.#add('edges', { task: record.task, needs, kind: 'join' });
        return;
      case 'failure':
        this.failures.set(`${record.task} ${record.try}`, {
          task: record.task,
          try: record.try,
          at: record.at,
          app: record.app,
          final: record.final ? 1 : 0,
          code: record.code,
          class: record.class,
          message: record.message,
          stack: record.stack,
          root_task: record.root,
        });
        return;
      case 'app':
        this.#add('apps', { app: record.app, name: record.name, kind: record.body, memoize: record.memoize ? 1 : 0 });
        return;
      case 'stage':
        this.#add('stages', { stage: record.stage, name: record.name, began: record.at });
        return;
      case 'place': {
        const { place, executor, host, block, manager, worker } = record;
        this.#add('places', { place, executor, host, block, manager, worker });
        return;
      }
      case 'output': {
        const key = `${record.task} ${record.stream}`;
        const known = this.outputs.get(key);
        const bytes = Buffer.byteLength(record.text);
        if (known === undefined)
          this.outputs.set(key, { task: record.task, stream: record.stream, bytes, text: tail(record.text) });
        else {
          known.bytes += bytes;
          known.text = tail(known.text + record.text);
        }
        return;
      }
      case 'notice':
        this.#add('notices', { at: record.at, level: record.level, text: record.text });
        return;
      case 'lost':
        this.totals.lost += record.events;
        this.#add('notices', {
          at: record.at,
          level: 'error',
          text: `${record.events} events of this run were dropped: what is shown of it is not complete`,
        });
        return;
      case 'row':
        this.#add(record.table, record.row);
        return;
      case 'end':
        this.end = record;
        return;
      default:
        record satisfies never;
    }
  }

  /** Each round is a table of its own, and is written apart. */
  get isFull(): boolean {
    return this.rounds.length > mostRounds;
  }

  /** To be called after the last record. */
  close(): void {
    this.#closeSecond();
  }

  /**
   * Keeps rows of new tasks that are not settled for a later batch: if they are by then, they are written once. Those called before
   * `since` are written now, and those of which a try failed: the row of that try is made from theirs. Of more than `most` the first
   * are kept: they end first.
   * @returns the number of the oldest batch of which something is held; `undefined` for none
   */
  hold(since: number, most: number): number | undefined {
    // Of what was tried again the row must be there first.
    if (this.rounds.length > 1) return undefined;
    let oldest: number | undefined;
    const tasks = this.#tasks;
    for (let row = 0; row < tasks.length && this.held.length < most; row++) {
      // What has not returned is NaN.
      if (!tasks.isNew(row) || (tasks.returned[row] as number) >= 0 || (tasks.invoked[row] as number) < since) continue;
      if (tasks.isPassedOver(row) || tasks.state[row] === taskStates.fail_retryable) continue;
      tasks.hold(row);
      this.held.copy(tasks, row);
      const batch = tasks.batch[row] as number;
      if (oldest === undefined || batch < oldest) oldest = batch;
    }
    return oldest;
  }

  opened(
    task: number,
    app: number,
    at: number,
    stage: number | null,
    parent: number | null,
    needs: readonly number[],
    text: string | null,
  ): void {
    this.records++;
    const tasks = this.#tasks;
    const row = tasks.add(task);
    tasks.markNew(row);
    tasks.batch[row] = this.#number;
    tasks.app[row] = app;
    tasks.state[row] = taskStates.pending;
    tasks.try[row] = 0;
    tasks.invoked[row] = at;
    if (parent !== null) tasks.rareOf(row).parent = parent;
    if (stage !== null) tasks.stage[row] = stage;
    tasks.arguments[row] = text;
    this.#lastTask = task;
    this.#lastRow = row;
    for (const one of needs) if (one !== task) this.#add('edges', { task, needs: one, kind: 'argument' });
    this.totals.tasks++;
    this.#count(at, app, undefined, taskStates.pending);
  }

  moved(
    task: number,
    app: number,
    at: number,
    from: number,
    state: number,
    number: number,
    place: number | null,
    text: string | null,
  ): void {
    this.records++;
    this.#count(at, app, from, state);
    if (state === taskStates.pending) this.#nextRound(task);
    const row = this.#row(task);
    const tasks = this.#roundFor(task);
    if (tasks.app[row] === -1) tasks.app[row] = app;
    tasks.state[row] = state;
    tasks.try[row] = number;
    if (place !== null) tasks.place[row] = place;
    switch (state) {
      case taskStates.launched:
        tasks.launched[row] = at;
        return;
      case taskStates.running:
        tasks.running[row] = at;
        return;
      case taskStates.running_ended:
        tasks.running_ended[row] = at;
        return;
      case taskStates.joining:
        tasks.rareOf(row).joining = at;
        return;
      case taskStates.fail_retryable:
        this.rounds[this.#roundOf.get(task) ?? 0]?.retried.set(task, at);
        return;
      case taskStates.exec_done:
      case taskStates.memo_done:
        tasks.returned[row] = at;
        tasks.result[row] = text;
        this.totals[state === taskStates.exec_done ? 'completed' : 'memoized']++;
        return;
      case taskStates.failed:
      case taskStates.dep_fail:
        tasks.returned[row] = at;
        this.totals.failed++;
        return;
    }
  }

  /** Another try: its columns begin anew, after those of the try before were put away. */
  #nextRound(task: number): void {
    const next = (this.#roundOf.get(task) ?? 0) + 1;
    this.#roundOf.set(task, next);
    this.rounds[next] ??= { tasks: new TaskRows(), retried: new Map() };
    const { tasks } = this.rounds[next];
    tasks.markReset(tasks.add(task));
    this.#lastTask = -1;
  }

  /** The rows of the round that a task is in. */
  #roundFor(task: number): TaskRows {
    const round = this.#roundOf.size === 0 ? undefined : this.#roundOf.get(task);
    return round === undefined ? this.#tasks : (this.rounds[round] as Round).tasks;
  }

  /** The row of a task in its round. */
  #row(task: number): number {
    if (task === this.#lastTask) return this.#lastRow;
    const tasks = this.#roundFor(task);
    let row = tasks.find(task);
    if (row < 0) row = tasks.add(task);
    this.#lastTask = task;
    this.#lastRow = row;
    return row;
  }

  #add(table: string, row: Row): void {
    const rows = this.rows.get(table);
    if (rows === undefined) this.rows.set(table, [row]);
    else rows.push(row);
  }

  #count(at: number, app: number, from: number | undefined, to: number): void {
    if (at >= this.#second + 1_000) {
      this.#closeSecond();
      this.#second = at - (at % 1_000);
    }
    if (at > this.newest) this.newest = at;
    if (from !== undefined) this.#shift(app, from, -1);
    this.#shift(app, to, 1);
  }

  #shift(app: number, state: number, by: number): void {
    if (app !== this.#lastApp) this.#countApp(app);
    this.#lastCounts[state] = (this.#lastCounts[state] as number) + by;
    this.#counts[state] = (this.#counts[state] as number) + by;
  }

  #countApp(app: number): void {
    let counts = this.#countsOf.get(app);
    if (counts === undefined) {
      counts = new Int32Array(16);
      this.#countsOf.set(app, counts);
    }
    this.#lastApp = app;
    this.#lastCounts = counts;
  }

  /** Change of the number of tasks, by app and state. */
  *appStates(): Generator<readonly [app: number, state: number, by: number]> {
    for (const [app, counts] of this.#countsOf)
      for (const [state, by] of counts.entries()) if (by !== 0) yield [app, state, by];
  }

  #closeSecond(): void {
    if (this.#second > 0) this.levels.push({ at: this.#second, ...this.level });
  }

  /** How many tasks are in each state, after all that was told so far. */
  get level(): Level {
    const level = { ...this.#levelBefore };
    for (const [state, name] of stateNames) level[name] += this.#counts[state] as number;
    return level;
  }
}

function tail(text: string): string {
  return text.length <= tailLength ? text : text.slice(-tailLength);
}

// What many records come to in rows: a task that began and ended among them is one row. Pure; writer.ts gives it the
// records of one transaction, and rows.ts writes what comes out.
import { type TaskState, taskStates } from '../task/state.ts';
import type { RareRecord, RecordSink } from './records.ts';
import { stateNames } from './schema.ts';
import { tailLength } from './short.ts';

export type Value = string | number | null;
export type Row = Readonly<Record<string, Value>>;

/** Columns that most tasks have. */
export const plainColumns = [
  'app',
  'state',
  'try',
  'place',
  'invoked',
  'launched',
  'running',
  'running_ended',
  'returned',
  'stage',
  'arguments',
  'result',
] as const;
/** Columns that few have. */
export const rareColumns = ['pid', 'joining', 'parent', 'memo_key', 'inputs', 'outputs', 'stdout', 'stderr'] as const;
type PlainColumn = (typeof plainColumns)[number];
type RareColumn = (typeof rareColumns)[number];
export type TaskColumn = PlainColumn | RareColumn;
/** Columns of a task that may be told about it. */
export const taskColumns: readonly TaskColumn[] = [...plainColumns, ...rareColumns];
/** What belongs to one try alone, and begins anew with the next. */
export const tryColumns: readonly TaskColumn[] = [
  'place',
  'pid',
  'launched',
  'running',
  'running_ended',
  'joining',
  'returned',
];

/** What is known of a task from this batch; what is null was not told. */
export type TaskRow = {
  readonly task: number;
  isNew: boolean;
  isReset: boolean;
  /** It is not written with this batch, but with a later one. */
  isHeld: boolean;
  /** Number of the batch in which it was opened; -1 for one that was not. */
  batch: number;
  rare: { [Column in RareColumn]?: Value } | undefined;
} & { [Column in PlainColumn]: Value };

/** A column of a row. */
export function columnOf(row: TaskRow, column: TaskColumn): Value {
  return isRare(column) ? (row.rare?.[column] ?? null) : row[column];
}

function isRare(column: TaskColumn): column is RareColumn {
  return (rareColumns as readonly TaskColumn[]).includes(column);
}

/** Tasks with the try that they were in, and then those whose try was followed by another. */
export interface Round {
  readonly tasks: Map<number, TaskRow>;
  /** Tasks of this round whose try was not the last, and when it ended. */
  readonly retried: Map<number, number>;
}

export type Level = Record<TaskState, number>;

export class Batch implements RecordSink {
  readonly rounds: Round[];
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
  readonly held = new Map<number, TaskRow>();
  readonly #number: number;
  #second = 0;
  readonly #roundOf = new Map<number, number>();

  /**
   * @param level how many tasks were in each state before
   * @param number counts the batches
   * @param held rows of new tasks from batches before, which are this batch's own from now on
   */
  constructor(level: Level, number = 0, held: Map<number, TaskRow> = new Map()) {
    this.#levelBefore = level;
    this.#number = number;
    this.rounds = [{ tasks: held, retried: new Map() }];
    for (const row of held.values()) row.isHeld = false;
  }

  rare(record: RareRecord): void {
    this.records++;
    switch (record.kind) {
      case 'details': {
        const row = this.#row(record.task);
        row.rare ??= {};
        for (const column of rareColumns)
          if (column in record.columns) row.rare[column] = record.columns[column] ?? null;
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

  /** To be called after the last record. */
  close(): void {
    this.#closeSecond();
  }

  /**
   * Keeps rows of new tasks that are not settled for a later batch: if they are by then, they are written once. Those called before
   * `since` are written now.
   * @returns the number of the oldest batch of which something is held; `undefined` for none
   */
  hold(since: number): number | undefined {
    // Of what was tried again the row must be there first.
    if (this.rounds.length > 1) return undefined;
    let oldest: number | undefined;
    for (const [task, row] of (this.rounds[0] as Round).tasks) {
      if (!row.isNew || row.returned !== null || (row.invoked as number) < since) continue;
      row.isHeld = true;
      this.held.set(task, row);
      if (oldest === undefined || row.batch < oldest) oldest = row.batch;
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
    const row = blankRow(task);
    row.isNew = true;
    row.batch = this.#number;
    row.app = app;
    row.state = taskStates.pending;
    row.try = 0;
    row.invoked = at;
    if (parent !== null) row.rare = { parent };
    row.stage = stage;
    row.arguments = text;
    (this.rounds[0] as Round).tasks.set(task, row);
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
    row.app ??= app;
    row.state = state;
    row.try = number;
    if (place !== null) row.place = place;
    switch (state) {
      case taskStates.launched:
        row.launched = at;
        return;
      case taskStates.running:
        row.running = at;
        return;
      case taskStates.running_ended:
        row.running_ended = at;
        return;
      case taskStates.joining:
        row.rare ??= {};
        row.rare.joining = at;
        return;
      case taskStates.fail_retryable:
        this.rounds[this.#roundOf.get(task) ?? 0]?.retried.set(task, at);
        return;
      case taskStates.exec_done:
      case taskStates.memo_done:
        row.returned = at;
        row.result = text;
        this.totals[state === taskStates.exec_done ? 'completed' : 'memoized']++;
        return;
      case taskStates.failed:
      case taskStates.dep_fail:
        row.returned = at;
        this.totals.failed++;
        return;
    }
  }

  /** Another try: its columns begin anew, after those of the try before were put away. */
  #nextRound(task: number): void {
    const next = (this.#roundOf.get(task) ?? 0) + 1;
    this.#roundOf.set(task, next);
    this.rounds[next] ??= { tasks: new Map(), retried: new Map() };
    const row = blankRow(task);
    row.isReset = true;
    this.rounds[next].tasks.set(task, row);
  }

  #row(task: number): TaskRow {
    const tasks = (this.rounds[this.#roundOf.size === 0 ? 0 : (this.#roundOf.get(task) ?? 0)] as Round).tasks;
    let row = tasks.get(task);
    if (row === undefined) {
      row = blankRow(task);
      tasks.set(task, row);
    }
    return row;
  }

  #add(table: string, row: Row): void {
    const rows = this.rows.get(table);
    if (rows === undefined) this.rows.set(table, [row]);
    else rows.push(row);
  }

  #count(at: number, app: number, from: number | undefined, to: number): void {
    const second = at - (at % 1_000);
    if (second > this.#second) {
      this.#closeSecond();
      this.#second = second;
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

function blankRow(task: number): TaskRow {
  return {
    task,
    isNew: false,
    isReset: false,
    isHeld: false,
    batch: -1,
    rare: undefined,
    app: null,
    state: null,
    try: null,
    place: null,
    invoked: null,
    launched: null,
    running: null,
    running_ended: null,
    returned: null,
    stage: null,
    arguments: null,
    result: null,
  };
}

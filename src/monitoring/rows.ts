// Writes a batch into the tables, in one transaction together with how far it goes in the feed: so each record is written
// once, whatever dies in between. Called by writer.ts.
import type { Batch, Round, Row } from './batch.ts';
import type { Bulk } from './bulk.ts';
import type { Dialect } from './schema.ts';
import { tailLength } from './short.ts';
import {
  orNull,
  plainColumns,
  type TaskColumn,
  type TaskRows,
  taskColumns,
  tryColumns,
  type Value,
} from './task-rows.ts';

/** How far the writer has come in the feed. */
export interface FeedPosition {
  readonly segment: number;
  readonly offset: number;
}

/** @returns false, and writes nothing, when somebody else has written this run since: the batch has what is there already */
export async function writeBatch(
  bulk: Bulk,
  dialect: Dialect,
  run: number,
  batch: Batch,
  /** Where in the feed it begins, how far it goes, and from where on rows of tasks are held back. */
  from: FeedPosition,
  position: FeedPosition,
  heldFrom: FeedPosition,
): Promise<boolean> {
  let isOurs = true;
  await bulk.transaction(async () => {
    const there = await positionOf(bulk, dialect, run);
    if (!isSame(there, from)) {
      // It may be written already: then only the word of that did not come back.
      isOurs = isSame(there, position);
      return;
    }
    for (const [table, rows] of batch.rows) await writeRows(bulk, run, table as never, rows);
    for (const round of batch.rounds) await writeRound(bulk, run, round);
    await bulk.insert(
      'failures',
      ['run', ...failureColumns],
      [...batch.failures.values()].map((row) => [run, ...failureColumns.map((column) => row[column] ?? null)]),
      // What waits for its next try and is cancelled has two for the same try: the last is the task's.
      `(run, task, try) do update set ${failureColumns
        .slice(2)
        .map((column) => `"${column}" = excluded."${column}"`)
        .join(', ')}`,
    );
    await bulk.insert(
      'output_tails',
      ['run', 'task', 'stream', 'bytes', 'text'],
      [...batch.outputs.values()].map(({ task, stream, bytes, text }) => [run, task, stream, bytes, text]),
      `(run, task, stream) do update set bytes = output_tails.bytes + excluded.bytes,
        text = ${dialect === 'sqlite' ? `substr(output_tails.text || excluded.text, -${tailLength})` : `right(output_tails.text || excluded.text, ${tailLength})`}`,
    );
    await bulk.insert(
      'app_states',
      ['run', 'app', 'state', 'tasks'],
      [...batch.appStates()].map((counts) => [run, ...counts]),
      '(run, app, state) do update set tasks = app_states.tasks + excluded.tasks',
    );
    await writeLevels(bulk, run, batch.levels);
    await writeRun(bulk, run, batch, position, heldFrom);
  });
  return isOurs;
}

/** How far the run is written; in PostgreSQL others wait at its row from here on. */
async function positionOf(bulk: Bulk, dialect: Dialect, run: number): Promise<FeedPosition | undefined> {
  const row = await bulk.first(
    `select feed_segment, feed_offset from runs where run = ?${dialect === 'sqlite' ? '' : ' for update'}`,
    [run],
  );
  return row && { segment: Number(row['feed_segment']), offset: Number(row['feed_offset']) };
}

function isSame(a: FeedPosition | undefined, b: FeedPosition): boolean {
  return a?.segment === b.segment && a.offset === b.offset;
}

const failureColumns = ['task', 'try', 'at', 'app', 'final', 'code', 'class', 'message', 'stack', 'root_task'] as const;

async function writeRound(bulk: Bulk, run: number, { tasks, retried }: Round): Promise<void> {
  const inserts: Value[][] = [];
  const plainInserts: number[] = [];
  const updates: Value[][] = [];
  const moves: Value[][] = [];
  const resets: Value[][] = [];
  for (let row = 0; row < tasks.length; row++) {
    if (tasks.isPassedOver(row)) continue;
    const of = (column: TaskColumn): Value => tasks.value(row, column);
    const task = tasks.task[row] as number;
    if (tasks.isNew(row)) {
      if (tasks.try[row] === 0 && !tasks.rare.has(row)) plainInserts.push(row);
      else inserts.push([run, task, ...taskColumns.map(of)]);
    } else if (tasks.isReset(row)) resets.push([...resetColumns.map(of), run, task]);
    else if (isMoved(tasks, row)) moves.push([...moveColumns.map(of), run, task]);
    else updates.push([...taskColumns.map(of), run, task]);
  }
  const key = ['run', 'task'];
  const keep = (old: string, given: string): string => `coalesce(${given}, ${old})`;
  await bulk.insertMany('tasks', { run, try: 0 }, insertColumns, plainInserts.length, (index, to, at) =>
    putPlainRow(tasks, plainInserts[index] as number, to, at),
  );
  await bulk.insert('tasks', ['run', 'task', ...taskColumns], inserts);
  await bulk.update('tasks', moveColumns, key, moves, keep);
  await bulk.update('tasks', taskColumns, key, updates, keep);
  await bulk.update('tasks', resetColumns, key, resets, (old, given, column) =>
    tryColumns.includes(column as TaskColumn) ? given : keep(old, given),
  );
  for (const [task, at] of retried) {
    await bulk.run(
      `insert into tries (run, task, try, place, pid, launched, running, running_ended, returned)
       select run, task, try, place, pid, launched, running, running_ended, ${Math.round(at)} from tasks where run = ? and task = ?
       on conflict (run, task, try) do nothing`,
      [run, task],
    );
  }
}

/** Most tasks are only moved on after their first row: these columns, and no other index than that of the states. */
const moveColumns = ['state', 'try', 'place', 'launched', 'running', 'running_ended', 'returned', 'result'] as const;
const resetColumns: readonly TaskColumn[] = ['state', 'try', 'result', ...tryColumns];

/** Columns of what is inserted, written out below, since it is done a million times. */
const insertColumns = ['task', ...plainColumns.filter((column) => column !== 'try')] as const;

function putPlainRow(tasks: TaskRows, row: number, to: Value[], at: number): void {
  to[at] = tasks.task[row] as number;
  to[at + 1] = orNull(tasks.app[row] as number);
  to[at + 2] = orNull(tasks.state[row] as number);
  to[at + 3] = orNull(tasks.place[row] as number);
  to[at + 4] = orNull(tasks.invoked[row] as number);
  to[at + 5] = orNull(tasks.launched[row] as number);
  to[at + 6] = orNull(tasks.running[row] as number);
  to[at + 7] = orNull(tasks.running_ended[row] as number);
  to[at + 8] = orNull(tasks.returned[row] as number);
  to[at + 9] = orNull(tasks.stage[row] as number);
  to[at + 10] = tasks.arguments[row] as string | null;
  to[at + 11] = tasks.result[row] as string | null;
}

/** Nothing was told of it but what {@link moveColumns} hold. */
function isMoved(tasks: TaskRows, row: number): boolean {
  return (
    !tasks.rare.has(row) &&
    !((tasks.invoked[row] as number) >= 0) &&
    tasks.stage[row] === -1 &&
    tasks.arguments[row] === null
  );
}

/** How rows of a table that are there already are met. */
const conflicts: Readonly<Record<string, string>> = {
  apps: '(run, app) do nothing',
  stages: '(run, stage) do nothing',
  places: '(run, place) do nothing',
  edges: '(run, task, needs) do nothing',
  executors: '(run, executor) do update set facts = excluded.facts, kind = excluded.kind',
  executor_samples: '(run, executor, at) do nothing',
  samples: '(run, task, try, at) do nothing',
};

async function writeRows(
  bulk: Bulk,
  run: number,
  table: Parameters<Bulk['insert']>[0],
  rows: readonly Row[],
): Promise<void> {
  // Rows with other columns go apart; there are few kinds.
  const kinds = new Map<string, Row[]>();
  for (const row of table === 'executors' ? newest(rows) : rows) {
    const key = Object.keys(row).join();
    const others = kinds.get(key);
    if (others === undefined) kinds.set(key, [row]);
    else others.push(row);
  }
  for (const alike of kinds.values()) {
    const columns = Object.keys(alike[0] as Row);
    await bulk.insert(
      table,
      ['run', ...columns],
      alike.map((row) => [run, ...columns.map((column) => row[column] ?? null)]),
      conflicts[table],
    );
  }
}

/** The last of each executor: one statement may not write a row twice. */
function newest(rows: readonly Row[]): Row[] {
  return [...new Map(rows.map((row) => [row['executor'], row])).values()];
}

async function writeLevels(bulk: Bulk, run: number, levels: readonly Row[]): Promise<void> {
  const [first] = levels;
  if (first === undefined) return;
  const columns = Object.keys(first).filter((column) => column !== 'at');
  const unique = [...new Map(levels.map((row) => [row['at'], row])).values()];
  await bulk.insert(
    'levels',
    ['run', 'at', ...columns],
    unique.map((row) => [run, row['at'] ?? null, ...columns.map((column) => row[column] ?? 0)]),
    `(run, at) do update set ${columns.map((column) => `${column} = excluded.${column}`).join(', ')}`,
  );
}

async function writeRun(
  bulk: Bulk,
  run: number,
  batch: Batch,
  { segment, offset }: FeedPosition,
  heldFrom: FeedPosition,
): Promise<void> {
  const { tasks, completed, memoized, failed, lost } = batch.totals;
  const now = Date.now();
  const lag = batch.newest === 0 ? 0 : Math.max(0, Math.round(now - batch.newest));
  const { end } = batch;
  await bulk.run(
    `update runs set tasks = tasks + ?, completed = completed + ?, memoized = memoized + ?, failed = failed + ?,
      lost_events = lost_events + ?, written = ?, lag_ms = ?, feed_segment = ?, feed_offset = ?, held_segment = ?, held_offset = ?
      ${end === undefined ? '' : `, ended = ${Math.round(end.at)}, end_reason = '${end.reason === 'closed' ? 'closed' : 'lost'}'`}
      where run = ?`,
    [tasks, completed, memoized, failed, lost, now, lag, segment, offset, heldFrom.segment, heldFrom.offset, run],
  );
}

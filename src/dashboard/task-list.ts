// Lists of tasks: filtered, sorted, one part at a time. Asked by routes.ts.
//
// A part is fetched in two steps: first the numbers of its tasks, from an index alone where there is one, then their rows. Of
// several filters the one with the fewest tasks shall be looked up; `app_states` knows which that is.
import { type Kysely, PostgresAdapter, type RawBuilder, sql } from 'kysely';
import { type Schema, stateNames } from '../monitoring/schema.ts';
import { taskStates } from '../task/state.ts';
import { type Facets, type Page, type State, states, type TaskCount, type TaskRow, type TaskSort } from './api.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { plainText } from './plain-text.ts';
import type { RunRecord } from './run-list.ts';

/** What is asked for. Times are of the call. */
export interface TaskFilter {
  readonly states: readonly State[];
  readonly app: string | undefined;
  readonly executor: string | undefined;
  readonly worker: string | undefined;
  readonly from: number | undefined;
  readonly to: number | undefined;
  readonly idFrom: number | undefined;
  readonly idTo: number | undefined;
  /** The beginning of an app's name. */
  readonly name: string | undefined;
  /** The beginning of an error's message or class. */
  readonly error: string | undefined;
  readonly isRetried: boolean;
}

export interface TaskOrder {
  readonly sort: TaskSort;
  readonly isDescending: boolean;
}

const countedUpTo = 100_000;

const keys: Readonly<Record<TaskSort, RawBuilder<number>>> = {
  id: sql`t.task`,
  ended: sql`t.returned`,
  duration: sql`(coalesce(t.running_ended, t.returned) - t.running)`,
  tries: sql`t.try`,
};

export async function listTasks(
  db: Kysely<Schema>,
  run: RunRecord,
  filter: TaskFilter,
  order: TaskOrder,
  cursor: string | undefined,
  limit: number,
): Promise<Page<TaskRow>> {
  const conditions = await conditionsOf(db, run, filter, order.sort === 'ended');
  if (conditions === undefined) return { rows: [], next: null };
  const key = keys[order.sort];
  const direction = sql.raw(order.isDescending ? 'desc' : 'asc');
  const isById = order.sort === 'id';
  const after = readCursor(cursor, isById ? 1 : 2);
  const beyond = sql.raw(order.isDescending ? '<' : '>');
  if (!isById) conditions.push(sql`${key} is not null`);
  if (after !== undefined)
    conditions.push(
      isById ? sql`t.task ${beyond} ${after[0]}` : sql`(${key}, t.task) ${beyond} (${after[0]}, ${after[1]})`,
    );
  const { rows } = await sql<{ task: number; key: number }>`
    select t.task, ${key} as key from tasks t where ${sql.join(conditions, sql` and `)}
    order by ${isById ? sql`t.task ${direction}` : sql`${key} ${direction}, t.task ${direction}`}
    limit ${limit + 1}`.execute(db);
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const found = await taskRows(
    db,
    run.run,
    shown.map(({ task }) => Number(task)),
  );
  return {
    rows: found,
    next:
      rows.length > limit && last !== undefined
        ? writeCursor(isById ? [Number(last.task)] : [Number(last.key), Number(last.task)])
        : null,
  };
}

export async function countTasks(db: Kysely<Schema>, run: RunRecord, filter: TaskFilter): Promise<TaskCount> {
  const conditions = await conditionsOf(db, run, filter, false);
  if (conditions === undefined) return { count: 0, isExact: true };
  if (isRolledUp(filter)) {
    const apps = await appsOf(db, run.run, filter);
    const known = sql.join(
      [
        sql`s.run = ${run.run}`,
        ...(filter.states.length === 0 ? [] : [sql`s.state in (${sql.join(numbersOf(filter.states))})`]),
        ...(apps === undefined ? [] : [sql`s.app in (${listed(apps)})`]),
      ],
      sql` and `,
    );
    const { rows } = await sql<{ n: number | null }>`
      select sum(s.tasks) as n from app_states s where ${known}`.execute(db);
    return { count: Number(rows[0]?.n ?? 0), isExact: true };
  }
  const { rows } = await sql<{ n: number }>`
    select count(*) as n from (select 1 from tasks t where ${sql.join(conditions, sql` and `)} limit ${countedUpTo + 1}) x`.execute(
    db,
  );
  const count = Number(rows[0]?.n ?? 0);
  return { count: Math.min(count, countedUpTo), isExact: count <= countedUpTo };
}

/** What filters can be set to. */
export async function facets(db: Kysely<Schema>, run: RunRecord): Promise<Facets> {
  const apps = await sql<{ name: string }>`
    select distinct name from apps where run = ${run.run} order by name limit 1000`.execute(db);
  const places = await sql<{ executor: string; worker: string | null; host: string | null }>`
    select distinct executor, worker, host from places where run = ${run.run} order by host, worker limit 5000`.execute(
    db,
  );
  const workers = places.rows.filter(({ worker }) => worker !== null);
  return {
    apps: apps.rows.map(({ name }) => name),
    executors: [...new Set(places.rows.map(({ executor }) => executor))].sort(),
    workers: [...new Set(workers.map(({ host, worker }) => workerName(host, worker as string)))],
    missing: [],
  };
}

/** How a worker is called everywhere: `nid0012/3`. */
export function workerName(host: string | null, worker: string): string {
  return host === null || host === '' || worker.startsWith(`${host}/`) ? worker : `${host}/${worker}`;
}

/** Rows of the tasks with these numbers, in their order. */
export async function taskRows(db: Kysely<Schema>, run: number, tasks: readonly number[]): Promise<TaskRow[]> {
  if (tasks.length === 0) return [];
  const { rows } = await sql<RawTask>`
    select t.task, a.name as app, t.state, t.try, t.invoked, t.running, t.running_ended, t.returned,
      p.executor, p.host, p.worker, f.class, f.message
    from tasks t left join apps a on a.run = t.run and a.app = t.app
      left join places p on p.run = t.run and p.place = t.place
      left join failures f on f.run = t.run and f.task = t.task and f.try = t.try
    where t.run = ${run} and t.task in (${sql.join(tasks)})`.execute(db);
  const byTask = new Map(rows.map((row) => [Number(row.task), taskRow(row)]));
  return tasks.map((task) => byTask.get(task)).filter((row) => row !== undefined);
}

export interface RawTask {
  readonly task: number;
  readonly app: string | null;
  readonly state: number;
  readonly try: number;
  readonly invoked: number;
  readonly running: number | null;
  readonly running_ended: number | null;
  readonly returned: number | null;
  readonly executor: string | null;
  readonly host: string | null;
  readonly worker: string | null;
  readonly class: string | null;
  readonly message: string | null;
}

const longestError = 300;

export function taskRow(row: RawTask): TaskRow {
  const state = stateNames.get(Number(row.state)) ?? 'pending';
  const started = row.running === null ? null : Number(row.running);
  const ended = row.running_ended ?? row.returned;
  const isFailure = state === 'failed' || state === 'dep_fail' || state === 'fail_retryable';
  return {
    id: Number(row.task),
    app: row.app ?? '?',
    state,
    tries: state === 'dep_fail' || state === 'memo_done' ? 0 : Number(row.try) + 1,
    executor: row.executor,
    host: row.host,
    worker: row.worker === null ? null : workerName(row.host, row.worker),
    invoked: Number(row.invoked),
    started,
    ended: row.returned === null ? null : Number(row.returned),
    durationMs: started === null ? null : ended === null ? null : Math.max(0, Number(ended) - started),
    error: isFailure && row.message !== null ? errorLine(row.class, row.message) : null,
  };
}

/** `TypeError: x is not a function`: the first line. */
export function errorLine(name: string | null, message: string): string {
  const first = message.split('\n', 1)[0] as string;
  const line = name === null || name === '' || first.startsWith(name) ? first : `${name}: ${first}`;
  return line.length > longestError ? `${line.slice(0, longestError)}…` : line;
}

/** Only what `app_states` can answer. */
function isRolledUp(filter: TaskFilter): boolean {
  const { states: _states, app: _app, isRetried, ...rest } = filter;
  return !isRetried && Object.values(rest).every((value) => value === undefined);
}

const numbersOf = (names: readonly State[]): number[] => names.map((name) => taskStates[name]);

/** `undefined`: no task can fit. */
async function conditionsOf(
  db: Kysely<Schema>,
  run: RunRecord,
  filter: TaskFilter,
  isByEnd: boolean,
): Promise<RawBuilder<unknown>[] | undefined> {
  const conditions: RawBuilder<unknown>[] = [sql`t.run = ${run.run}`];
  const apps = await appsOf(db, run.run, filter);
  if (apps?.length === 0) return undefined;
  const asksState = filter.states.length > 0 && filter.states.length < states.length;
  const isStateRarer = asksState && (await stateIsRarer(db, run.run, filter.states, apps));
  const asksPlace = filter.worker !== undefined || filter.executor !== undefined;
  const places = asksPlace ? await placesOf(db, run.run, filter) : [];
  if (asksPlace && places.length === 0) return undefined;
  // A worker with few tasks is found by the index of workers. Of many the first that are shown are soon found in the order of the others.
  const isPlaceRare = filter.worker !== undefined && (await haveFew(db, run.run, places));
  // A plus keeps SQLite from looking in that column's index.
  const plain = (column: string, isLookedUp: boolean): RawBuilder<unknown> =>
    sql.raw(isLookedUp || isPostgres(db) ? `t.${column}` : `+t.${column}`);
  if (asksState)
    conditions.push(sql`${plain('state', isStateRarer && !isPlaceRare)} in (${sql.join(numbersOf(filter.states))})`);
  if (apps !== undefined)
    conditions.push(sql`${plain('app', !isStateRarer && !isPlaceRare && !isByEnd)} in (${listed(apps)})`);
  if (asksPlace) conditions.push(sql`${plain('place', isPlaceRare)} in (${listed(places)})`);
  // Only those are in the index.
  if (isPlaceRare) conditions.push(sql`t.running is not null`);
  const idFrom = Math.max(filter.idFrom ?? 0, filter.from === undefined ? 0 : await firstInvoked(db, run, filter.from));
  const idTo = Math.min(
    filter.idTo ?? Number.MAX_SAFE_INTEGER,
    filter.to === undefined ? Number.MAX_SAFE_INTEGER : (await firstInvoked(db, run, filter.to + 1)) - 1,
  );
  if (idFrom > 0) conditions.push(sql`t.task >= ${idFrom}`);
  if (idTo < Number.MAX_SAFE_INTEGER) conditions.push(sql`t.task <= ${idTo}`);
  if (filter.isRetried) conditions.push(sql`t.try > 0`);
  if (filter.error !== undefined) {
    // Both have an index; a task may have several tries that failed.
    conditions.push(sql`t.task in (
      select task from failures where run = ${run.run} and ${begins(db, 'message', filter.error)}
      union select task from failures where run = ${run.run} and ${begins(db, 'class', filter.error)})`);
  }
  return conditions;
}

/** Each database has its own words that an index serves; the order of PostgreSQL's texts depends on its locale. */
function begins(db: Kysely<Schema>, column: 'message' | 'class', prefix: string): RawBuilder<unknown> {
  if (isPostgres(db)) return sql`${sql.ref(column)} like ${`${prefix.replaceAll(/[\\%_]/g, '\\$&')}%`}`;
  return sql`${sql.ref(column)} >= ${prefix} and ${sql.ref(column)} < ${`${prefix}\u{10ffff}`}`;
}

function isPostgres(db: Kysely<Schema>): boolean {
  return db.getExecutor().adapter instanceof PostgresAdapter;
}

async function appsOf(db: Kysely<Schema>, run: number, filter: TaskFilter): Promise<number[] | undefined> {
  if (filter.app === undefined && filter.name === undefined) return undefined;
  const { rows } = await sql<{ app: number; name: string }>`select app, name from apps where run = ${run}`.execute(db);
  const prefix = filter.name?.toLowerCase();
  return (
    rows
      // Links have names as they are shown.
      .map(({ app, name }) => ({ app, names: [name, plainText(name)] }))
      .filter(({ names }) => filter.app === undefined || names.includes(filter.app))
      .filter(({ names }) => prefix === undefined || names.some((name) => name.toLowerCase().startsWith(prefix)))
      .map(({ app }) => Number(app))
  );
}

async function placesOf(db: Kysely<Schema>, run: number, filter: TaskFilter): Promise<number[]> {
  const { rows } = await sql<{ place: number; executor: string; host: string | null; worker: string | null }>`
    select place, executor, host, worker from places where run = ${run}`.execute(db);
  return rows
    .filter(({ executor }) => filter.executor === undefined || executor === filter.executor)
    .filter(
      ({ host, worker }) =>
        filter.worker === undefined ||
        host === filter.worker ||
        (worker !== null && workerName(host, worker) === filter.worker),
    )
    .map(({ place }) => Number(place));
}

const few = 20_000;

/** As text: there may be more than a statement has parameters. */
function listed(values: readonly number[]): RawBuilder<unknown> {
  return sql.raw(values.join() || 'null');
}

/** Whether few tasks ran in these places. */
async function haveFew(db: Kysely<Schema>, run: number, places: readonly number[]): Promise<boolean> {
  const { rows } = await sql<{ n: number }>`
    select count(*) as n from (
      select 1 from tasks where run = ${run} and place in (${listed(places)}) and running is not null limit ${few + 1}) x`.execute(
    db,
  );
  return Number(rows[0]?.n ?? 0) <= few;
}

async function stateIsRarer(
  db: Kysely<Schema>,
  run: number,
  asked: readonly State[],
  apps: readonly number[] | undefined,
): Promise<boolean> {
  const { rows } = await sql<{ app: number; state: number; tasks: number }>`
    select app, state, tasks from app_states where run = ${run}`.execute(db);
  const numbers = new Set(numbersOf(asked));
  let inStates = 0;
  let inApps = 0;
  let inAll = 0;
  const own = new Set(apps);
  for (const row of rows) {
    const tasks = Number(row.tasks);
    inAll += tasks;
    if (numbers.has(Number(row.state))) inStates += tasks;
    if (own.has(Number(row.app))) inApps += tasks;
  }
  if (apps === undefined) return inStates < inAll / 20 || asked.length === 1;
  return inStates < inApps;
}

/** The number of the first task that was called at `at` or later: numbers grow with time, so it is found by halving. */
async function firstInvoked(db: Kysely<Schema>, run: RunRecord, at: number): Promise<number> {
  const { rows } = await sql<{
    last: number | null;
  }>`select max(task) as last from tasks where run = ${run.run}`.execute(db);
  let low = 0;
  let high = Number(rows[0]?.last ?? -1) + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    // Numbers may be missing: the next that there is tells.
    const found = await sql<{ task: number; invoked: number }>`
      select task, invoked from tasks where run = ${run.run} and task >= ${middle} order by task limit 1`.execute(db);
    const row = found.rows[0];
    if (row === undefined || Number(row.invoked) >= at) high = middle;
    else low = Number(row.task) + 1;
  }
  return low;
}

/** `text` stands somewhere in the column, in capitals or not. */
export function contains(column: string, text: string): RawBuilder<unknown> {
  const pattern = `%${text.toLowerCase().replaceAll(/[\\%_]/g, '\\$&')}%`;
  return sql`lower(${sql.ref(column)}) like ${pattern} escape '\\'`;
}

// Questions that the commands ask a monitoring database: which run is meant, how it stands, what a task went through.
import { basename } from 'node:path';
import { type Kysely, type Selectable, sql } from 'kysely';
import { type TaskState, taskStates } from '../task/state.ts';
import { DatabaseError } from './database.ts';
import { type Schema, stateNames } from './schema.ts';
import { shapeOf } from './shape.ts';

export type RunRow = Selectable<Schema['runs']>;

/** Tables of ours, whosever run is in them. */
export interface Readable {
  readonly db: Kysely<Schema>;
  readonly name: string;
}

/** The run that `wish` names: its number, the beginning of its id, or its directory; by default the last one. */
export async function findRun({ db, name }: Readable, wish: string | undefined): Promise<RunRow> {
  const runs = await db.selectFrom('runs').selectAll().orderBy('run', 'desc').execute();
  const [last] = runs;
  if (last === undefined) throw new DatabaseError('MISSING', `${name} has no run yet.`);
  if (wish === undefined || wish === 'last') return last;
  const found =
    runs.find(({ run }) => String(run) === wish) ??
    runs.find(({ directory }) => directory === wish || basename(directory) === basename(wish)) ??
    runs.find(({ run_id }) => wish.length >= 4 && run_id.startsWith(wish));
  if (found !== undefined) return found;
  const known = runs.slice(0, 5).map(({ run, name: program, directory }) => `${run} (${program}, ${directory})`);
  throw new DatabaseError('MISSING', `${name} has no run ${wish}. The last are ${known.join(', ')}.`);
}

export interface AppCount {
  readonly app: string;
  readonly states: Readonly<Partial<Record<TaskState, number>>>;
}

/** Tasks of each app by state, the largest app first. */
export async function appCounts({ db }: Readable, run: number): Promise<AppCount[]> {
  const rows = await db
    .selectFrom('app_states as s')
    .innerJoin('apps as a', (join) => join.onRef('a.run', '=', 's.run').onRef('a.app', '=', 's.app'))
    .select(['a.name', 's.state', 's.tasks'])
    .where('s.run', '=', run)
    .where('s.tasks', '>', 0)
    .execute();
  const apps = new Map<string, Partial<Record<TaskState, number>>>();
  for (const { name, state, tasks } of rows) {
    const states = apps.get(name) ?? {};
    const key = stateNames.get(state) as TaskState;
    states[key] = (states[key] ?? 0) + tasks;
    apps.set(name, states);
  }
  const size = ({ states }: AppCount): number => Object.values(states).reduce((sum, count) => sum + count, 0);
  return [...apps].map(([app, states]) => ({ app, states })).sort((a, b) => size(b) - size(a));
}

/** Settled tasks a second, over the last seconds of what is known. */
export async function rate({ db }: Readable, run: number, overMs = 30_000): Promise<number> {
  const settled = sql<number>`exec_done + memo_done + failed + dep_fail`;
  const last = await db
    .selectFrom('levels')
    .select(['at', settled.as('settled')])
    .where('run', '=', run)
    .orderBy('at', 'desc')
    .executeTakeFirst();
  if (last === undefined) return 0;
  const first = await db
    .selectFrom('levels')
    .select(['at', settled.as('settled')])
    .where('run', '=', run)
    .where('at', '>=', last.at - overMs)
    .orderBy('at')
    .executeTakeFirst();
  if (first === undefined || first.at === last.at) return Number(last.settled);
  return ((Number(last.settled) - Number(first.settled)) / (last.at - first.at)) * 1_000;
}

/** Tries that failed with the same error, but for what it is about. */
export interface FailureCount {
  readonly class: string;
  /** Of the first. */
  readonly message: string;
  readonly times: number;
  /** The first task. */
  readonly first: number;
}

/** Different messages that are read. */
const mostMessages = 20_000;

/** What failed most, the most frequent first; without what follows from the failure of another task. */
export async function failedMost({ db }: Readable, run: number, most = 5): Promise<FailureCount[]> {
  const rows = await db
    .selectFrom('failures')
    .select(['class', 'message', (of) => of.fn.countAll<number>().as('times'), (of) => of.fn.min('task').as('first')])
    .where('run', '=', run)
    .where('code', '<>', 'DEPENDENCY')
    .where((of) => of.or([of('code', '<>', 'JOIN'), of('root_task', 'is', null)]))
    .groupBy(['class', 'message'])
    .orderBy('times', 'desc')
    .limit(mostMessages)
    .execute();
  const groups = new Map<string, FailureCount>();
  for (const row of rows) {
    const shape = shapeOf(row.class, row.message);
    const [times, first] = [Number(row.times), Number(row.first)];
    const group = groups.get(shape);
    if (group === undefined) groups.set(shape, { class: row.class, message: row.message, times, first });
    else {
      const { message } = first < group.first ? row : group;
      groups.set(shape, { class: row.class, message, times: group.times + times, first: Math.min(first, group.first) });
    }
  }
  return [...groups.values()].sort((a, b) => b.times - a.times || a.first - b.first).slice(0, most);
}

/** How each executor stood last. */
export async function executorsNow({ db }: Readable, run: number) {
  return db
    .selectFrom('executor_samples as s')
    .selectAll('s')
    .where('s.run', '=', run)
    .where('s.at', '=', (of) =>
      of
        .selectFrom('executor_samples as o')
        .select((max) => max.fn.max('o.at').as('at'))
        .where('o.run', '=', run)
        .whereRef('o.executor', '=', 's.executor'),
    )
    .execute();
}

/** Tasks of a run, in order of their numbers, from `after` on. */
export async function tasksOf(
  { db }: Readable,
  run: number,
  wish: {
    readonly states?: readonly TaskState[];
    readonly app?: string | undefined;
    readonly after?: number;
    readonly most: number;
  },
) {
  let query = db
    .selectFrom('tasks as t')
    .innerJoin('apps as a', (join) => join.onRef('a.run', '=', 't.run').onRef('a.app', '=', 't.app'))
    .leftJoin('places as p', (join) => join.onRef('p.run', '=', 't.run').onRef('p.place', '=', 't.place'))
    .leftJoin('failures as f', (join) =>
      join.onRef('f.run', '=', 't.run').onRef('f.task', '=', 't.task').onRef('f.try', '=', 't.try'),
    )
    .selectAll('t')
    .select([
      'a.name',
      'a.kind',
      'p.executor',
      'p.host',
      'p.block',
      'p.manager',
      'p.worker',
      'f.class',
      'f.message',
      'f.code',
    ])
    .where('t.run', '=', run)
    .orderBy('t.task')
    .limit(wish.most);
  if (wish.after !== undefined) query = query.where('t.task', '>', wish.after);
  if (wish.states !== undefined)
    query = query.where(
      't.state',
      'in',
      wish.states.map((state) => taskStates[state]),
    );
  if (wish.app !== undefined) {
    const { app } = wish;
    query = query.where('t.app', 'in', (of) =>
      of.selectFrom('apps as o').select('o.app').where('o.run', '=', run).where('o.name', '=', app),
    );
  }
  return query.execute();
}
export type TaskLine = Awaited<ReturnType<typeof tasksOf>>[number];

/** Everything about one task. `undefined`: there is none with this number. */
export async function taskDetails(database: Readable, run: number, task: number) {
  const { db } = database;
  const [row] = await tasksOf(database, run, { after: task - 1, most: 1 });
  if (row?.task !== task) return undefined;
  const of = <Table extends 'failures' | 'output_tails' | 'edges'>(table: Table) =>
    db
      .selectFrom(table as 'failures')
      .selectAll()
      .where('run', '=', run)
      .where('task', '=', task);
  const earlier = await db
    .selectFrom('tries as t')
    .leftJoin('places as p', (join) => join.onRef('p.run', '=', 't.run').onRef('p.place', '=', 't.place'))
    .selectAll('t')
    .select(['p.executor', 'p.host', 'p.worker', 'p.block', 'p.manager'])
    .where('t.run', '=', run)
    .where('t.task', '=', task)
    .orderBy('t.try')
    .execute();
  const failures = await of('failures').orderBy('try').execute();
  const outputs = await db
    .selectFrom('output_tails')
    .selectAll()
    .where('run', '=', run)
    .where('task', '=', task)
    .orderBy('stream', 'desc')
    .execute();
  const needs = await db
    .selectFrom('edges')
    .select(['needs', 'kind'])
    .where('run', '=', run)
    .where('task', '=', task)
    .limit(100)
    .execute();
  const neededBy = await db
    .selectFrom('edges')
    .select('task')
    .where('run', '=', run)
    .where('needs', '=', task)
    .limit(100)
    .execute();
  const sample = await db
    .selectFrom('samples')
    .selectAll()
    .where('run', '=', run)
    .where('task', '=', task)
    .orderBy('at', 'desc')
    .executeTakeFirst();
  const stage =
    row.stage === null
      ? undefined
      : await db
          .selectFrom('stages')
          .select('name')
          .where('run', '=', run)
          .where('stage', '=', row.stage)
          .executeTakeFirst();
  return {
    row,
    earlier,
    failures,
    outputs,
    needs,
    neededBy: neededBy.map((one) => one.task),
    sample,
    stage: stage?.name,
  };
}
export type TaskDetails = NonNullable<Awaited<ReturnType<typeof taskDetails>>>;

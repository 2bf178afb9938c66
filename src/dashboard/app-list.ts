// Apps of a run with their tasks, a stretch at a time: a program may make a hundred thousand of them. Asked by routes.ts.
//
// Those of one name are one: a program may make an app again and again, in a loop.
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../monitoring/schema.ts';
import { taskStates } from '../task/state.ts';
import type { AppRow, AppSort, Counts, Part } from './api.ts';
import { addCount } from './run-list.ts';
import { contains } from './task-list.ts';

/** How many tasks of an app tell how long they take: the newest that succeeded. */
const sampleSize = 400;
/** And of an app that was made again and again, how many of them are asked. */
const askedApps = 40;

/** Which apps are wanted. */
export interface AppWish {
  readonly sort: AppSort;
  /** What stands somewhere in the name. */
  readonly name: string | undefined;
  readonly offset: number;
  readonly limit: number;
}

const orders: Readonly<Record<AppSort, RawBuilder<unknown>>> = {
  tasks: sql`total desc, name`,
  failed: sql`failed desc, total desc, name`,
  name: sql`name`,
};

/** From the row `offset` on, or from the first if there are fewer. */
export async function listApps(db: Kysely<Schema>, run: number, wish: AppWish): Promise<Part<AppRow>> {
  const fits = wish.name === undefined ? sql`` : sql`and ${contains('a.name', wish.name)}`;
  const { failed, dep_fail } = taskStates;
  const { rows } = await sql<{ name: string; fitting: number }>`
    select name, count(*) over () as fitting from (
      select a.name, sum(s.tasks) as total,
        sum(case when s.state in (${failed}, ${dep_fail}) then s.tasks else 0 end) as failed
      from app_states s join apps a on a.run = s.run and a.app = s.app
      where s.run = ${run} and s.tasks > 0 ${fits} group by a.name) x
    order by ${orders[wish.sort]} limit ${wish.limit} offset ${wish.offset}`.execute(db);
  if (rows.length === 0 && wish.offset > 0) return listApps(db, run, { ...wish, offset: 0 });
  const names = rows.map(({ name }) => name);
  const found = await countsByName(db, run, names);
  const made: AppRow[] = [];
  for (const name of names) {
    const { counts, numbers } = found.get(name) ?? { counts: {}, numbers: new Set<number>() };
    const total = Object.values(counts).reduce((n, tasks) => n + tasks, 0);
    made.push({ app: name, total, counts, ...(await timesOf(db, run, [...numbers])) });
  }
  return { rows: made, offset: wish.offset, total: Number(rows[0]?.fitting ?? 0) };
}

/** Tasks by state, and numbers, of the apps with these names; by default of all. */
export async function countsByName(
  db: Kysely<Schema>,
  run: number,
  names?: readonly string[],
): Promise<Map<string, { counts: Counts; numbers: Set<number> }>> {
  const found = new Map<string, { counts: Counts; numbers: Set<number> }>();
  if (names?.length === 0) return found;
  const { rows } = await sql<{ app: number; name: string; state: number; tasks: number }>`
    select s.app, a.name, s.state, s.tasks from app_states s join apps a on a.run = s.run and a.app = s.app
    where s.run = ${run} and s.tasks > 0 ${names === undefined ? sql`` : sql`and a.name in (${sql.join(names)})`}
    order by s.app`.execute(db);
  for (const { app, name, state, tasks } of rows) {
    const one = found.get(name) ?? { counts: {}, numbers: new Set() };
    found.set(name, one);
    addCount(one.counts, Number(state), Number(tasks));
    one.numbers.add(Number(app));
  }
  return found;
}

/** Of the newest tasks that succeeded, of these apps of one name: the median and the 95th percentile. */
export async function timesOf(
  db: Kysely<Schema>,
  run: number,
  apps: readonly number[],
): Promise<{ medianMs: number | null; slowMs: number | null }> {
  const times: number[] = [];
  // One at a time, by the index, the newest first; the first few tell enough.
  for (const app of apps.slice(-askedApps).reverse()) {
    const { rows } = await sql<{ ms: number }>`
      select coalesce(running_ended, returned) - running as ms from tasks
      where run = ${run} and app = ${app} and state = 3 and running is not null
      order by task desc limit ${sampleSize - times.length}`.execute(db);
    times.push(...rows.map(({ ms }) => Math.max(0, Number(ms))));
    if (times.length >= sampleSize) break;
  }
  times.sort((a, b) => a - b);
  return {
    medianMs: times[Math.floor(times.length / 2)] ?? null,
    slowMs: times[Math.floor(times.length * 0.95)] ?? null,
  };
}

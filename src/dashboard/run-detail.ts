// One run: its apps, its workers, its rate. Asked by routes.ts.
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../monitoring/schema.ts';
import type { AppRow, Counts, RunDetail } from './api.ts';
import { latestSamples } from './executors.ts';
import { addCount, type RunRecord, runRow } from './run-list.ts';

/** How many tasks of an app tell how long they take: the newest that succeeded. */
const sampleSize = 400;
/** And of an app that was made again and again, how many of them are asked. */
const askedApps = 40;
/** Of how many apps the times are told, the largest first. Pages show fewer. */
const timedApps = 100;
const windowMs = 15_000;

export async function runDetail(db: Kysely<Schema>, run: RunRecord): Promise<RunDetail> {
  const row = runRow(run);
  const apps = await appRows(db, run.run);
  const counts: Counts = {};
  for (const app of apps)
    for (const [state, tasks] of Object.entries(app.counts))
      counts[state as keyof Counts] = (counts[state as keyof Counts] ?? 0) + tasks;
  const { busy, workers } = await workersNow(db, run.run);
  const isRunning = row.status === 'running';
  const perSecond = isRunning ? await rateOf(db, run.run) : 0;
  const over = (['exec_done', 'memo_done', 'failed', 'dep_fail'] as const).reduce((n, s) => n + (counts[s] ?? 0), 0);
  const total = apps.reduce((n, app) => n + app.total, 0);
  const left = total - over;
  return {
    ...row,
    total,
    counts,
    apps,
    lastActivity: run.written === null ? null : Number(run.written),
    workersBusy: isRunning ? busy : null,
    workersTotal: isRunning ? workers : null,
    perSecond,
    remainingMs: isRunning && left > 0 && perSecond > 0 ? (left / perSecond) * 1_000 : null,
    hasResources: Number(run.sample_ms) > 0,
    lagMs: run.lag_ms === null ? null : Number(run.lag_ms),
    lostEvents: Number(run.lost_events),
  };
}

/** Apps of the run, the largest first. Those of one name are one: a program may make an app again and again, in a loop. */
export async function appRows(db: Kysely<Schema>, run: number): Promise<AppRow[]> {
  const { rows } = await sql<{ app: number; name: string; state: number; tasks: number }>`
    select s.app, a.name, s.state, s.tasks from app_states s join apps a on a.run = s.run and a.app = s.app
    where s.run = ${run} and s.tasks > 0 order by s.app`.execute(db);
  const byName = new Map<string, { app: string; total: number; counts: Counts; numbers: Set<number> }>();
  for (const { app, name, state, tasks } of rows) {
    const found = byName.get(name) ?? { app: name, total: 0, counts: {}, numbers: new Set() };
    byName.set(name, found);
    addCount(found.counts, Number(state), Number(tasks));
    found.total += Number(tasks);
    found.numbers.add(Number(app));
  }
  const made: AppRow[] = [];
  for (const { numbers, ...row } of [...byName.values()].sort((a, b) => b.total - a.total)) {
    const isTimed = made.length < timedApps;
    made.push({ ...row, ...(isTimed ? await timesOf(db, run, [...numbers]) : { medianMs: null, slowMs: null }) });
  }
  return made;
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

/** As executors said last. */
async function workersNow(db: Kysely<Schema>, run: number): Promise<{ busy: number | null; workers: number | null }> {
  const rows = await latestSamples(db, run);
  let busy: number | null = null;
  let workers: number | null = null;
  for (const row of rows) {
    if (row.busy !== null) busy = (busy ?? 0) + Number(row.busy);
    if (row.workers !== null) workers = (workers ?? 0) + Number(row.workers);
  }
  return { busy, workers };
}

/** Tasks that ended a second, over the last seconds in which something happened. */
async function rateOf(db: Kysely<Schema>, run: number): Promise<number> {
  const since = Date.now() - windowMs;
  const { rows } = await sql<{ n: number; first: number | null }>`
    select count(*) as n, min(returned) as first from tasks where run = ${run} and returned >= ${since}`.execute(db);
  const n = Number(rows[0]?.n ?? 0);
  const first = rows[0]?.first;
  if (n === 0 || first === null || first === undefined) return 0;
  return (n / Math.max(1_000, Date.now() - Number(first))) * 1_000;
}

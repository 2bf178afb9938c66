// One run: its tasks, its workers, its rate. Asked by routes.ts.
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../monitoring/schema.ts';
import type { RunDetail } from './api.ts';
import { latestSamples } from './executors.ts';
import { countsOf, type RunRecord, runRow } from './run-list.ts';

const windowMs = 15_000;

export async function runDetail(db: Kysely<Schema>, run: RunRecord): Promise<RunDetail> {
  const row = runRow(run);
  const counts = await countsOf(db, run.run);
  const { busy, workers } = await workersNow(db, run.run);
  const isRunning = row.status === 'running';
  const perSecond = isRunning ? await rateOf(db, run.run) : 0;
  const over = (['exec_done', 'memo_done', 'failed', 'dep_fail'] as const).reduce((n, s) => n + (counts[s] ?? 0), 0);
  const total = Object.values(counts).reduce((n, tasks) => n + tasks, 0);
  const left = total - over;
  return {
    ...row,
    total,
    counts,
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

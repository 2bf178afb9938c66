// What each worker did when. Asked by routes.ts.
//
// Few tries are given one by one; many as the share of time that the worker was busy in each bucket. A bucket gets the times of
// the tries that began in it; a worker runs one at a time, so what is more than the bucket is the last one's, and goes on in the
// next.
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../monitoring/schema.ts';
import type { Timeline, TimelineBar, TimelineRow } from './api.ts';
import { type RunRecord, statusOf } from './run-list.ts';
import { lastMoment } from './series.ts';
import { workerName } from './task-list.ts';

const mostBars = 3_000;
const mostRows = 500;

/** The window; without one, the whole run. */
export interface TimelineWindow {
  readonly from: number | undefined;
  readonly to: number | undefined;
  readonly buckets: number;
}

interface Place {
  readonly place: number;
  readonly executor: string;
  readonly host: string | null;
  readonly worker: string | null;
}

interface Lane {
  readonly key: string;
  readonly worker: string;
  readonly host: string | null;
  readonly places: number[];
}

export async function timeline(db: Kysely<Schema>, run: RunRecord, window: TimelineWindow): Promise<Timeline> {
  const now = Date.now();
  const isOpen = statusOf(run, now) === 'running';
  const began = Number(run.began);
  const ended = isOpen ? Math.max(began + 1, now) : await lastMoment(db, run);
  const from = Math.floor(window.from ?? began);
  const to = Math.max(from + 1, Math.ceil(window.to ?? ended));
  const places = await sql<Place>`
    select place, executor, host, worker from places where run = ${run.run} order by executor, host, worker, place`.execute(
    db,
  );
  const lanes = lanesOf(places.rows);
  const apps = await sql<{
    app: number;
    name: string;
  }>`select app, name from apps where run = ${run.run} order by app`.execute(db);
  const names = [...new Set(apps.rows.map(({ name }) => name))];
  const appIndex = new Map(apps.rows.map(({ app, name }) => [Number(app), names.indexOf(name)]));
  const shown = lanes.slice(0, mostRows);
  const isWhole = from <= began && to >= ended;
  const inWindow = isWhole
    ? sql`t.running is not null`
    : sql`t.running < ${to} and coalesce(t.running_ended, t.returned, ${to}) >= ${from}`;
  const counted = await sql<{ n: number }>`
    select count(*) as n from (select 1 from tasks t where t.run = ${run.run} and ${inWindow} limit ${mostBars + 1}) x`.execute(
    db,
  );
  const isAggregated = Number(counted.rows[0]?.n ?? 0) > mostBars;
  const rows = isAggregated
    ? await aggregated(db, run.run, shown, { from, to, buckets: window.buckets, now: isOpen ? now : ended, isWhole })
    : await single(db, run.run, shown, { from, to, appIndex, isOpen, ended });
  return {
    from,
    to,
    began,
    ended,
    apps: names,
    isAggregated,
    buckets: window.buckets,
    rows,
    omitted: lanes.length - shown.length,
    tries: rows.reduce((sum, row) => sum + row.tries, 0),
    by: places.rows.some(({ worker }) => worker !== null) ? 'worker' : 'host',
    now,
  };
}

/** One for each worker, or, where none is known, for each host or executor. */
function lanesOf(places: readonly Place[]): Lane[] {
  const lanes = new Map<string, Lane>();
  const hasWorkers = places.some(({ worker }) => worker !== null);
  for (const { place, executor, host, worker } of places) {
    // The place that a try has until its worker is known.
    if (hasWorkers && worker === null) continue;
    const name = worker === null ? (host ?? executor) : workerName(host, worker);
    const key = `${executor}\n${name}`;
    const lane = lanes.get(key) ?? { key, worker: name, host, places: [] };
    lanes.set(key, lane);
    lane.places.push(Number(place));
  }
  const collator = new Intl.Collator('en', { numeric: true });
  return [...lanes.values()].sort((a, b) => collator.compare(a.key, b.key));
}

interface RawBar {
  readonly task: number;
  readonly try: number;
  readonly place: number;
  readonly app: number;
  readonly state: number;
  readonly running: number;
  readonly ended: number | null;
}

async function single(
  db: Kysely<Schema>,
  run: number,
  lanes: readonly Lane[],
  window: { from: number; to: number; appIndex: ReadonlyMap<number, number>; isOpen: boolean; ended: number },
): Promise<TimelineRow[]> {
  const { from, to, appIndex } = window;
  const overlaps = sql`t.running < ${to} and coalesce(t.running_ended, t.returned, ${to}) >= ${from}`;
  const last = await sql<RawBar>`
    select t.task, t.try, t.place, t.app, t.state, t.running, coalesce(t.running_ended, t.returned) as ended from tasks t
    where t.run = ${run} and ${overlaps}`.execute(db);
  const earlier = await sql<RawBar>`
    select t.task, t.try, t.place, k.app, 8 as state, t.running, coalesce(t.running_ended, t.returned) as ended
    from tries t join tasks k on k.run = t.run and k.task = t.task
    where t.run = ${run} and ${overlaps} limit ${mostBars * 4}`.execute(db);
  const byPlace = new Map<number, TimelineBar[]>();
  for (const row of [...last.rows, ...earlier.rows]) {
    const bars = byPlace.get(Number(row.place)) ?? [];
    byPlace.set(Number(row.place), bars);
    bars.push({
      task: Number(row.task),
      tryNumber: Number(row.try),
      app: appIndex.get(Number(row.app)) ?? 0,
      from: Number(row.running),
      to: row.ended === null ? (window.isOpen ? null : window.ended) : Number(row.ended),
      isFailed: [4, 5, 8].includes(Number(row.state)),
    });
  }
  return lanes.map(({ worker, host, places }) => {
    const bars = places.flatMap((place) => byPlace.get(place) ?? []).sort((a, b) => a.from - b.from);
    const busyMs = bars.reduce((sum, bar) => sum + Math.min(bar.to ?? to, to) - Math.max(bar.from, from), 0);
    return { worker, host, tries: bars.length, busyMs, bars, busy: [], failed: [] };
  });
}

async function aggregated(
  db: Kysely<Schema>,
  run: number,
  lanes: readonly Lane[],
  window: { from: number; to: number; buckets: number; now: number; isWhole: boolean },
): Promise<TimelineRow[]> {
  const { from, to, buckets, now } = window;
  const bucketMs = (to - from) / buckets;
  const inWindow = window.isWhole
    ? sql`t.running is not null`
    : sql`t.running < ${to} and coalesce(t.running_ended, t.returned, ${now}) >= ${from}`;
  const binned = (table: string, failed: string): ReturnType<typeof sql> => sql`
    select t.place, cast(floor((case when t.running < ${from} then 0 else t.running - ${from} end) / cast(${bucketMs} as double precision)) as integer) as bucket,
      sum(coalesce(t.running_ended, t.returned, ${now}) - (case when t.running < ${from} then ${from} else t.running end)) as busy,
      count(*) as n, sum(case when ${sql.raw(failed)} then 1 else 0 end) as failed
    from ${sql.table(table)} t where t.run = ${run} and ${inWindow} group by 1, 2`;
  const all = [
    ...((await binned('tasks', 't.state = 4').execute(db)) as { rows: Bin[] }).rows,
    ...((await binned('tries', '1 = 1').execute(db)) as { rows: Bin[] }).rows,
  ];
  const laneOf = new Map(lanes.flatMap((lane, index) => lane.places.map((place) => [place, index] as const)));
  const rows = lanes.map(({ worker, host }) => ({
    worker,
    host,
    tries: 0,
    busyMs: 0,
    bars: [] as TimelineBar[],
    busy: new Array<number>(buckets).fill(0),
    failed: new Array<number>(buckets).fill(0),
  }));
  for (const bin of all) {
    const row = rows[laneOf.get(Number(bin.place)) ?? -1];
    const at = Math.min(buckets - 1, Math.max(0, Number(bin.bucket)));
    if (row === undefined) continue;
    row.tries += Number(bin.n);
    row.busy[at] = (row.busy[at] as number) + Number(bin.busy);
    row.failed[at] = (row.failed[at] as number) + Number(bin.failed);
  }
  for (const row of rows) {
    for (let at = 0; at < buckets; at++) {
      const over = (row.busy[at] as number) - bucketMs;
      if (over <= 0) continue;
      row.busy[at] = bucketMs;
      if (at + 1 < buckets) row.busy[at + 1] = (row.busy[at + 1] as number) + over;
    }
    row.busyMs = row.busy.reduce((sum, ms) => sum + ms, 0);
    row.busy = row.busy.map((ms) => Math.round((ms / bucketMs) * 1_000) / 1_000);
  }
  return rows;
}

interface Bin {
  readonly place: number;
  readonly bucket: number;
  readonly busy: number;
  readonly n: number;
  readonly failed: number;
}

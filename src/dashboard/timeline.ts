// What each worker did when. Asked by routes.ts.
//
// Few tries are given one by one; many as the share of time that the worker was busy in each bucket. A bucket gets the times of
// the tries that began in it; a worker runs one at a time, so what is more than the bucket is the last one's, and goes on in the
// next. Of very many not each is read: workers are looked at in moments, each of which asks the index for the last try that had
// begun by then.
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../monitoring/schema.ts';
import type { Timeline, TimelineBar, TimelineRow } from './api.ts';
import { type RunRecord, statusOf } from './run-list.ts';
import { lastMoment } from './series.ts';
import { workerName } from './task-list.ts';

const mostBars = 3_000;
const mostRows = 500;
/** Up to so many tries each is read; of more the workers are asked at so many moments what they did. */
const mostExact = 100_000;
const moments = 100_000;
/** In each bucket, at most: shares are told in eighths then. */
const mostPerBucket = 8;

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
  const isOpen = statusOf(run) === 'running';
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
  const by = places.rows.some(({ worker }) => worker !== null) ? 'worker' : 'host';
  const bounds: Bounds = { run: run.run, from, to, open: isOpen ? null : ended, now: isOpen ? now : ended, by };
  const counts = await countsIn(db, bounds);
  const count = counts.reduce((sum, { n }) => sum + n, 0);
  const isAggregated = count > mostBars;
  const rows = isAggregated
    ? await aggregated(db, bounds, shown, window.buckets, counts)
    : await single(db, bounds, shown, appIndex);
  return {
    from,
    to,
    began,
    ended,
    apps: names,
    isAggregated,
    isSampled: isAggregated && (isSampled('tasks', counts, bounds) || isSampled('tries', counts, bounds)),
    buckets: window.buckets,
    rows,
    omitted: lanes.length - shown.length,
    tries: rows.reduce((sum, row) => sum + row.tries, 0),
    by,
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

/** Which tries are asked for. */
interface Bounds {
  readonly run: number;
  readonly from: number;
  readonly to: number;
  /** The end of a try that has none; `null`: it goes on. */
  readonly open: number | null;
  /** The same as a moment. */
  readonly now: number;
  readonly by: Timeline['by'];
}

type Tries = 'tasks' | 'tries';

/** Tries that began in the window. By place, as the index has them: without it, a window late in a large run reads all before. */
function begunIn({ run, from, to }: Bounds): ReturnType<typeof sql> {
  return sql`p.run = ${run} and t.run = p.run and t.place = p.place and t.running >= ${from} and t.running < ${to}`;
}

/**
 * Tries that had begun before the window, and may not have ended by then. A worker runs one at a time: only its last. Where no
 * worker is known, any.
 */
function begunBefore(table: Tries, { run, from, now, by }: Bounds): ReturnType<typeof sql> {
  // From the begin of the last on: SQLite finds a range by the index, and an equal value not.
  const last =
    by === 'worker'
      ? sql`and t.running >= (
          select max(b.running) from ${sql.table(table)} b where b.run = p.run and b.place = p.place and b.running < ${from})`
      : sql``;
  return sql`p.run = ${run} and t.run = p.run and t.place = p.place and t.running < ${from} ${last}
    and coalesce(t.running_ended, t.returned, ${now}) >= ${from}`;
}

interface Count {
  readonly table: Tries;
  readonly place: number;
  readonly n: number;
}

async function countsIn(db: Kysely<Schema>, bounds: Bounds): Promise<Count[]> {
  const found: Count[] = [];
  for (const table of ['tasks', 'tries'] as const) {
    for (const condition of [begunIn(bounds), begunBefore(table, bounds)]) {
      const { rows } = await sql<Omit<Count, 'table'>>`
        select p.place, count(*) as n from places p cross join ${sql.table(table)} t
        where ${condition} group by p.place`.execute(db);
      found.push(...rows.map(({ place, n }) => ({ table, place: Number(place), n: Number(n) })));
    }
  }
  return found;
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
  bounds: Bounds,
  lanes: readonly Lane[],
  appIndex: ReadonlyMap<number, number>,
): Promise<TimelineRow[]> {
  const { from, to, open } = bounds;
  const byPlace = new Map<number, TimelineBar[]>();
  for (const condition of [begunIn(bounds), begunBefore('tasks', bounds)]) {
    const { rows } = await sql<RawBar>`
      select t.task, t.try, t.place, t.app, t.state, t.running, coalesce(t.running_ended, t.returned) as ended
      from places p cross join tasks t where ${condition}`.execute(db);
    for (const row of rows) add(row);
  }
  for (const condition of [begunIn(bounds), begunBefore('tries', bounds)]) {
    const { rows } = await sql<RawBar>`
      select t.task, t.try, t.place, k.app, 8 as state, t.running, coalesce(t.running_ended, t.returned) as ended
      from places p cross join tries t join tasks k on k.run = t.run and k.task = t.task where ${condition}`.execute(
      db,
    );
    for (const row of rows) add(row);
  }
  function add(row: RawBar): void {
    const bars = byPlace.get(Number(row.place)) ?? [];
    byPlace.set(Number(row.place), bars);
    bars.push({
      task: Number(row.task),
      tryNumber: Number(row.try),
      app: appIndex.get(Number(row.app)) ?? 0,
      from: Number(row.running),
      to: row.ended === null ? open : Number(row.ended),
      isFailed: [4, 5, 8].includes(Number(row.state)),
    });
  }
  return lanes.map(({ worker, host, places }) => {
    const bars = places.flatMap((place) => byPlace.get(place) ?? []).sort((a, b) => a.from - b.from);
    // The clocks of two machines may disagree: what ends before it begins takes no time.
    const busyMs = bars.reduce(
      (sum, bar) => sum + Math.max(0, Math.min(bar.to ?? to, to) - Math.max(bar.from, from)),
      0,
    );
    return { worker, host, tries: bars.length, busyMs, bars, busy: [], failed: [] };
  });
}

async function aggregated(
  db: Kysely<Schema>,
  bounds: Bounds,
  lanes: readonly Lane[],
  buckets: number,
  counts: readonly Count[],
): Promise<TimelineRow[]> {
  const rows = emptyRows(lanes, buckets);
  const { bucketMs } = new Buckets(bounds, buckets);
  for (const { place, n } of counts) {
    const row = rows.at(place);
    if (row !== undefined) row.tries += n;
  }
  for (const table of ['tasks', 'tries'] as const) {
    const busy = isSampled(table, counts, bounds) ? busyAtMoments : busyExactly;
    for (const { place, bucket, ms } of await busy(db, table, bounds, lanes, buckets)) {
      const row = rows.at(place);
      if (row !== undefined) row.busy[bucket] = (row.busy[bucket] as number) + ms;
    }
    for (const { place, bucket, n } of await failedIn(db, table, bounds, buckets)) {
      const row = rows.at(place);
      if (row !== undefined) row.failed[bucket] = (row.failed[bucket] as number) + n;
    }
  }
  for (const row of rows.all) {
    for (let at = 0; at < buckets; at++) {
      const over = (row.busy[at] as number) - bucketMs;
      if (over <= 0) continue;
      row.busy[at] = bucketMs;
      if (at + 1 < buckets) row.busy[at + 1] = (row.busy[at + 1] as number) + over;
    }
    row.busyMs = row.busy.reduce((sum, ms) => sum + ms, 0);
    row.busy = row.busy.map((ms) => Math.round((ms / bucketMs) * 1_000) / 1_000);
  }
  return rows.all;
}

function isSampled(table: Tries, counts: readonly Count[], { by }: Bounds): boolean {
  return by === 'worker' && counts.reduce((sum, one) => sum + (one.table === table ? one.n : 0), 0) > mostExact;
}

interface Busy {
  readonly place: number;
  readonly bucket: number;
  readonly ms: number;
}

/** Of each try the whole time, in the bucket where it began. */
async function busyExactly(
  db: Kysely<Schema>,
  table: Tries,
  bounds: Bounds,
  _: readonly Lane[],
  count: number,
): Promise<Busy[]> {
  const { from, now } = bounds;
  const buckets = new Buckets(bounds, count);
  const found: Busy[] = [];
  for (const condition of [begunIn(bounds), begunBefore(table, bounds)]) {
    const { rows } = await sql<Busy>`
      select t.place, ${buckets.ofTry} as bucket,
        sum(case when coalesce(t.running_ended, t.returned, ${now}) < t.running then 0
          else coalesce(t.running_ended, t.returned, ${now}) - (case when t.running < ${from} then ${from} else t.running end) end) as ms
      from places p cross join ${sql.table(table)} t where ${condition} group by 1, 2`.execute(db);
    for (const { place, bucket, ms } of rows)
      found.push({ place: Number(place), bucket: buckets.checked(bucket), ms: Number(ms) });
  }
  return found;
}

/** Of each bucket, in how many of a few moments the worker was busy. */
async function busyAtMoments(
  db: Kysely<Schema>,
  table: Tries,
  bounds: Bounds,
  lanes: readonly Lane[],
  count: number,
): Promise<Busy[]> {
  const { run, from, now } = bounds;
  const buckets = new Buckets(bounds, count);
  const places = lanes.flatMap((lane) => lane.places).length;
  const perBucket = Math.max(1, Math.min(mostPerBucket, Math.floor(moments / (places * count))));
  const stepMs = buckets.bucketMs / perBucket;
  // The middle of each step.
  const at = sql`${sql.lit(from)} + (m.i + 0.5) * ${sql.lit(stepMs)}`;
  const { rows } = await sql<{ place: number; bucket: number; n: number }>`
    with recursive m(i) as (select 0 union all select m.i + 1 from m where m.i + 1 < ${sql.lit(count * perBucket)})
    select x.place, x.i / ${sql.lit(perBucket)} as bucket, count(*) as n from (
      select p.place, m.i, ${at} as at, (
        select coalesce(t.running_ended, t.returned, ${now}) from ${sql.table(table)} t
        where t.run = p.run and t.place = p.place and t.running <= ${at} order by t.running desc limit 1) as ended
      from places p cross join m where p.run = ${run} and p.worker is not null) x
    where x.ended > x.at group by 1, 2`.execute(db);
  return rows.map(({ place, bucket, n }) => ({
    place: Number(place),
    bucket: buckets.checked(bucket),
    ms: Number(n) * stepMs,
  }));
}

async function failedIn(
  db: Kysely<Schema>,
  table: Tries,
  bounds: Bounds,
  count: number,
): Promise<{ place: number; bucket: number; n: number }[]> {
  const { run, from, to } = bounds;
  const buckets = new Buckets(bounds, count);
  const failed = table === 'tasks' ? sql`and t.state = 4` : sql``;
  // A sum, so that SQLite looks for the few in that state, and does not read all in the order of their places.
  const { rows } = await sql<{ place: number; bucket: number; n: number }>`
    select t.place + 0 as place, ${buckets.ofTry} as bucket, count(*) as n from ${sql.table(table)} t
    where t.run = ${run} ${failed} and t.running < ${to} and coalesce(t.running_ended, t.returned, ${to}) >= ${from}
    group by 1, 2`.execute(db);
  return rows.map(({ place, bucket, n }) => ({ place: Number(place), bucket: buckets.checked(bucket), n: Number(n) }));
}

/** The window in equal parts. */
class Buckets {
  readonly bucketMs: number;
  /** In which a try `t` began; what began before the window goes into the first. */
  readonly ofTry: ReturnType<typeof sql>;
  readonly #count: number;

  constructor({ from, to }: Bounds, count: number) {
    this.#count = count;
    this.bucketMs = (to - from) / count;
    this.ofTry = sql`cast(floor((case when t.running < ${from} then 0 else t.running - ${from} end) / cast(${this.bucketMs} as double precision)) as integer)`;
  }

  /** One that there is: rounding may give the one behind the last. */
  checked(bucket: number): number {
    return Math.min(this.#count - 1, Math.max(0, Math.floor(Number(bucket))));
  }
}

interface FilledRow extends TimelineRow {
  tries: number;
  busyMs: number;
  busy: number[];
  failed: number[];
}

interface Rows {
  readonly all: FilledRow[];
  /** That of a place, if it is shown. */
  at(place: number): FilledRow | undefined;
}

function emptyRows(lanes: readonly Lane[], buckets: number): Rows {
  const all = lanes.map(({ worker, host }) => ({
    worker,
    host,
    tries: 0,
    busyMs: 0,
    bars: [] as TimelineBar[],
    busy: new Array<number>(buckets).fill(0),
    failed: new Array<number>(buckets).fill(0),
  }));
  const laneOf = new Map(lanes.flatMap((lane, index) => lane.places.map((place) => [place, index] as const)));
  return { all, at: (place) => all[laneOf.get(place) ?? -1] };
}

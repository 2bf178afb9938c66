// What each worker did when. Asked by routes.ts.
//
// Few tries are given one by one; many as the share of time that the worker was busy in each bucket, which follows from how many
// had begun and ended by the end of each. Of very many not each is read: workers are looked at in moments, each of which asks
// the index for the last try that had begun by then.
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
  const indexOf = new Map(names.map((name, index) => [name, index]));
  const appIndex = new Map(apps.rows.map(({ app, name }) => [Number(app), indexOf.get(name) ?? 0]));
  const shown = lanes.slice(0, mostRows);
  const by = places.rows.some(({ worker }) => worker !== null) ? 'worker' : 'host';
  const bounds: Bounds = {
    run: run.run,
    from,
    to,
    open: isOpen ? null : ended,
    now: isOpen ? now : ended,
    by,
    places: shown.flatMap((lane) => lane.places),
    buckets: window.buckets,
  };
  const counts = await countsIn(db, bounds);
  const count = counts.reduce((sum, { n }) => sum + n, 0);
  const isAggregated = count > mostBars;
  const rows = isAggregated ? await aggregated(db, bounds, shown, counts) : await single(db, bounds, shown, appIndex);
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
  /** Of the rows that are shown. */
  readonly places: readonly number[];
  readonly buckets: number;
}

/** The shown places of the run. */
function placesIn({ run, places }: Bounds): ReturnType<typeof sql> {
  // As text: there may be more than a statement has parameters.
  return sql`p.run = ${run} and p.place in (${sql.raw(places.join() || 'null')})`;
}

type Tries = 'tasks' | 'tries';

/** Tries that began in the window. By place, as the index has them: without it, a window late in a large run reads all before. */
function begunIn(bounds: Bounds): ReturnType<typeof sql> {
  const { from, to } = bounds;
  return sql`${placesIn(bounds)} and t.run = p.run and t.place = p.place and t.running >= ${from} and t.running < ${to}`;
}

/**
 * Tries that had begun before the window, and may not have ended by then. A worker runs one at a time: only its last. Where no
 * worker is known, any.
 */
function begunBefore(table: Tries, bounds: Bounds): ReturnType<typeof sql> {
  const { from, now, by } = bounds;
  // From the begin of the last on: SQLite finds a range by the index, and an equal value not.
  const last =
    by === 'worker'
      ? sql`and t.running >= (
          select max(b.running) from ${sql.table(table)} b where b.run = p.run and b.place = p.place and b.running < ${from})`
      : sql``;
  return sql`${placesIn(bounds)} and t.run = p.run and t.place = p.place and t.running < ${from} ${last}
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
  counts: readonly Count[],
): Promise<TimelineRow[]> {
  const rows = emptyRows(lanes, bounds.buckets);
  const { bucketMs } = new Buckets(bounds);
  for (const { place, n } of counts) {
    const row = rows.at(place);
    if (row !== undefined) row.tries += n;
  }
  for (const table of ['tasks', 'tries'] as const) {
    if (isSampled(table, counts, bounds)) await addMoments(db, table, bounds, rows);
    else await addSpans(db, table, bounds, rows);
    for (const { place, bucket, n } of await failedIn(db, table, bounds)) {
      const row = rows.at(place);
      if (row !== undefined) row.failed[bucket] = (row.failed[bucket] as number) + n;
    }
  }
  for (const row of rows.all) {
    row.busyMs = row.busy.reduce((sum, ms) => sum + ms, 0);
    // On a host several run at once, and it is no more than busy.
    row.busy = row.busy.map((ms) => Math.round(Math.min(1, ms / bucketMs) * 1_000) / 1_000);
  }
  return rows.all;
}

/** Whether so many tries are to be read that looking at moments is less work. */
function isSampled(table: Tries, counts: readonly Count[], { by, places, buckets }: Bounds): boolean {
  const tries = counts.reduce((sum, one) => sum + (one.table === table ? one.n : 0), 0);
  return by === 'worker' && tries > Math.max(mostExact, places.length * buckets);
}

/** Adds how long each was busy in each bucket: from how many tries began in it and ended in it, and the sums of when. */
async function addSpans(db: Kysely<Schema>, table: Tries, bounds: Bounds, rows: Rows): Promise<void> {
  const { from, to, now } = bounds;
  const buckets = new Buckets(bounds);
  // The clocks of two machines may disagree: what ends before it begins takes no time.
  const began = sql`case when t.running < ${from} then 0 else t.running - ${from} end`;
  const ended = sql`case when coalesce(t.running_ended, t.returned, ${now}) >= ${to} then ${to - from}
    when coalesce(t.running_ended, t.returned, ${now}) < t.running then ${began}
    else coalesce(t.running_ended, t.returned, ${now}) - ${from} end`;
  const open = new Map<FilledRow, { readonly tries: number[]; readonly sum: number[] }>();
  for (const condition of [begunIn(bounds), begunBefore(table, bounds)]) {
    for (const [moment, sign] of [[began, 1] as const, [ended, -1] as const]) {
      const { rows: found } = await sql<{ place: number; bucket: number; n: number; ms: number }>`
        select t.place, ${buckets.of(moment)} as bucket, count(*) as n, sum(${moment}) as ms
        from places p cross join ${sql.table(table)} t where ${condition} group by 1, 2`.execute(db);
      for (const { place, bucket, n, ms } of found) {
        const row = rows.at(Number(place));
        if (row === undefined) continue;
        const own = open.get(row) ?? { tries: zeros(bounds.buckets), sum: zeros(bounds.buckets) };
        open.set(row, own);
        const at = buckets.checked(bucket);
        own.tries[at] = (own.tries[at] as number) + sign * Number(n);
        own.sum[at] = (own.sum[at] as number) + sign * Number(ms);
      }
    }
  }
  for (const [row, { tries, sum }] of open) {
    let running = 0;
    let sums = 0;
    let before = 0;
    for (let at = 0; at < bounds.buckets; at++) {
      running += tries[at] as number;
      sums += sum[at] as number;
      // All the time that they were busy up to the end of this bucket.
      const until = running * (at + 1) * buckets.bucketMs - sums;
      row.busy[at] = (row.busy[at] as number) + Math.max(0, until - before);
      before = until;
    }
  }
}

/** Adds how long each was busy in each bucket, by a few moments in it. */
async function addMoments(db: Kysely<Schema>, table: Tries, bounds: Bounds, rows: Rows): Promise<void> {
  const { from, now, places } = bounds;
  const buckets = new Buckets(bounds);
  const perBucket = Math.max(1, Math.min(mostPerBucket, Math.floor(moments / (places.length * bounds.buckets))));
  const stepMs = buckets.bucketMs / perBucket;
  // The middle of each step.
  const at = sql`${sql.lit(from)} + (m.i + 0.5) * ${sql.lit(stepMs)}`;
  const { rows: found } = await sql<{ place: number; bucket: number; n: number }>`
    with recursive m(i) as (select 0 union all select m.i + 1 from m where m.i + 1 < ${sql.lit(bounds.buckets * perBucket)})
    select x.place, x.i / ${sql.lit(perBucket)} as bucket, count(*) as n from (
      select p.place, m.i, ${at} as at, (
        select coalesce(t.running_ended, t.returned, ${now}) from ${sql.table(table)} t
        where t.run = p.run and t.place = p.place and t.running <= ${at} order by t.running desc limit 1) as ended
      from places p cross join m where ${placesIn(bounds)}) x
    where x.ended > x.at group by 1, 2`.execute(db);
  for (const { place, bucket, n } of found) {
    const row = rows.at(Number(place));
    const index = buckets.checked(bucket);
    if (row !== undefined) row.busy[index] = (row.busy[index] as number) + Number(n) * stepMs;
  }
}

async function failedIn(
  db: Kysely<Schema>,
  table: Tries,
  bounds: Bounds,
): Promise<{ place: number; bucket: number; n: number }[]> {
  const { run, from, to } = bounds;
  const buckets = new Buckets(bounds);
  const failed = table === 'tasks' ? sql`and t.state = 4` : sql``;
  // A sum, so that SQLite looks for the few in that state, and does not read all in the order of their places.
  const { rows } = await sql<{ place: number; bucket: number; n: number }>`
    select t.place + 0 as place, ${buckets.of(sql`case when t.running < ${from} then 0 else t.running - ${from} end`)} as bucket,
      count(*) as n from ${sql.table(table)} t
    where t.run = ${run} ${failed} and t.running < ${to} and coalesce(t.running_ended, t.returned, ${to}) >= ${from}
    group by 1, 2`.execute(db);
  return rows.map(({ place, bucket, n }) => ({ place: Number(place), bucket: buckets.checked(bucket), n: Number(n) }));
}

/** The window in equal parts. */
class Buckets {
  readonly bucketMs: number;
  readonly #count: number;

  constructor({ from, to, buckets }: Bounds) {
    this.#count = buckets;
    this.bucketMs = (to - from) / buckets;
  }

  /** In which `moment` is, in milliseconds since the begin of the window. */
  of(moment: ReturnType<typeof sql>): ReturnType<typeof sql> {
    return sql`cast(floor((${moment}) / cast(${this.bucketMs} as double precision)) as integer)`;
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

function zeros(count: number): number[] {
  return new Array<number>(count).fill(0);
}

function emptyRows(lanes: readonly Lane[], buckets: number): Rows {
  const all = lanes.map(({ worker, host }) => ({
    worker,
    host,
    tries: 0,
    busyMs: 0,
    bars: [] as TimelineBar[],
    busy: zeros(buckets),
    failed: zeros(buckets),
  }));
  const laneOf = new Map(lanes.flatMap((lane, index) => lane.places.map((place) => [place, index] as const)));
  return { all, at: (place) => all[laneOf.get(place) ?? -1] };
}

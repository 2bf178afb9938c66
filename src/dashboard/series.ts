// The run over time: how many tasks were in which state, how many ended, how many workers were busy. Asked by routes.ts.
//
// Small runs are counted from the times of their tasks, to the millisecond; large ones from the rows of `levels`, one a second.
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../monitoring/schema.ts';
import type { Series } from './api.ts';
import { type RunRecord, statusOf } from './run-list.ts';

const smallRun = 20_000;

type Lines = { -readonly [Key in keyof Series]: Series[Key] extends readonly (infer Value)[] ? Value[] : Series[Key] };

export async function series(db: Kysely<Schema>, run: RunRecord, points: number): Promise<Series> {
  const began = Number(run.began);
  const isOpen = statusOf(run) === 'running';
  const ended = isOpen ? Date.now() : await lastMoment(db, run);
  const isSmall = Number(run.tasks) <= smallRun;
  const spanMs = Math.max(1_000, ended - began);
  const bucketMs = niceBucket(spanMs / points, isSmall ? 10 : 1_000);
  const count = Math.ceil(spanMs / bucketMs) + 1;
  const lines: Lines = {
    bucketMs,
    times: Array.from({ length: count }, (_, index) => began + index * bucketMs),
    waiting: zeros(count),
    queued: zeros(count),
    running: zeros(count),
    done: zeros(count),
    failed: zeros(count),
    doneIn: zeros(count),
    failedIn: zeros(count),
    busy: [],
    workers: [],
  };
  const bucketOf = (at: number): number => Math.min(count - 1, Math.max(0, Math.floor((at - began) / bucketMs)));
  if (isSmall) await fromTasks(db, run, lines, bucketOf);
  else await fromLevels(db, run, lines, bucketOf);
  await addWorkers(db, run, lines, bucketOf);
  return lines;
}

/** The last thing that is known of a run that is over: answers may be noted after its end. */
export async function lastMoment(db: Kysely<Schema>, run: RunRecord): Promise<number> {
  const { rows } = await sql<{ at: number | null }>`
    select max(returned) as at from tasks where run = ${run.run} and returned is not null`.execute(db);
  return Math.max(Number(run.began) + 1, Number(run.ended ?? run.written ?? 0), Number(rows[0]?.at ?? 0));
}

interface Times {
  readonly state: number;
  readonly invoked: number;
  readonly launched: number | null;
  readonly running: number | null;
  readonly running_ended: number | null;
  readonly returned: number | null;
}

async function fromTasks(db: Kysely<Schema>, run: RunRecord, lines: Lines, bucketOf: (at: number) => number) {
  const { rows } = await sql<Times>`
    select state, invoked, launched, running, running_ended, returned from tasks where run = ${run.run}`.execute(db);
  const busyMs = zeros(lines.times.length);
  const now = (lines.times.at(-1) ?? 0) + lines.bucketMs;
  for (const row of rows) {
    const isFailed = Number(row.state) === 4 || Number(row.state) === 5;
    const steps: [number[], number | null][] = [
      [lines.waiting, row.invoked],
      [lines.queued, row.launched],
      [lines.running, row.running],
      [isFailed ? lines.failed : lines.done, row.returned],
    ];
    let before: number[] | undefined;
    let reached = Number(row.invoked);
    for (const [line, at] of steps) {
      if (at === null) continue;
      // A worker's clock may disagree: it began after it was called, and before it had answered.
      reached = Math.max(reached, Math.min(Number(at), Number(row.returned ?? at)));
      const bucket = bucketOf(reached);
      line[bucket] = (line[bucket] as number) + 1;
      if (before !== undefined) before[bucket] = (before[bucket] as number) - 1;
      before = line;
    }
    if (row.returned !== null) {
      const ends = isFailed ? lines.failedIn : lines.doneIn;
      const bucket = bucketOf(Number(row.returned));
      ends[bucket] = (ends[bucket] as number) + 1;
    }
    if (row.running !== null) {
      const end = Number(row.running_ended ?? row.returned ?? now);
      addSpan(busyMs, lines, Number(row.running), end, bucketOf);
    }
  }
  for (const line of [lines.waiting, lines.queued, lines.running, lines.done, lines.failed]) accumulate(line);
  lines.busy = busyMs.map((ms) => ms / lines.bucketMs);
}

/** Spreads a time over the buckets that it touches. */
function addSpan(busyMs: number[], lines: Lines, from: number, to: number, bucketOf: (at: number) => number): void {
  const last = bucketOf(to);
  for (let bucket = bucketOf(from); bucket <= last; bucket++) {
    const start = lines.times[bucket] as number;
    busyMs[bucket] =
      (busyMs[bucket] as number) + Math.max(0, Math.min(to, start + lines.bucketMs) - Math.max(from, start));
  }
}

async function fromLevels(db: Kysely<Schema>, run: RunRecord, lines: Lines, bucketOf: (at: number) => number) {
  const { rows } = await sql<Schema['levels']>`
    select * from levels where run = ${run.run} and at in (
      select max(at) from levels where run = ${run.run} group by cast((at - ${Number(run.began)}) / ${lines.bucketMs} as integer))
    order by at`.execute(db);
  const known = [lines.waiting, lines.queued, lines.running, lines.done, lines.failed];
  const filled = zeros(lines.times.length);
  for (const row of rows) {
    const at = bucketOf(Number(row.at));
    lines.waiting[at] = Number(row.pending) + Number(row.fail_retryable);
    lines.queued[at] = Number(row.launched);
    lines.running[at] = Number(row.running) + Number(row.running_ended) + Number(row.joining);
    lines.done[at] = Number(row.exec_done) + Number(row.memo_done);
    lines.failed[at] = Number(row.failed) + Number(row.dep_fail);
    filled[at] = 1;
  }
  // Between two rows nothing has changed.
  for (let at = 1; at < filled.length; at++)
    if (filled[at] === 0) for (const line of known) line[at] = line[at - 1] as number;
  for (let at = 0; at < filled.length; at++) {
    lines.doneIn[at] = Math.max(0, (lines.done[at] as number) - (at === 0 ? 0 : (lines.done[at - 1] as number)));
    lines.failedIn[at] = Math.max(0, (lines.failed[at] as number) - (at === 0 ? 0 : (lines.failed[at - 1] as number)));
  }
}

/** Of one executor in one bucket: the most, the average, and the last. */
interface WorkerSample {
  readonly executor: string;
  readonly bucket_at: number;
  readonly workers: number | null;
  readonly busy: number | null;
  readonly last_workers: number | null;
  readonly last_busy: number | null;
}

async function addWorkers(db: Kysely<Schema>, run: RunRecord, lines: Lines, bucketOf: (at: number) => number) {
  const { rows } = await sql<WorkerSample>`
    select g.*, s.workers as last_workers, s.busy as last_busy from (
      select executor, max(at) as bucket_at, max(workers) as workers, avg(busy) as busy from executor_samples
      where run = ${run.run}
      group by executor, cast((at - ${Number(run.began)}) / ${lines.bucketMs} as integer)) g
    join executor_samples s on s.run = ${run.run} and s.executor = g.executor and s.at = g.bucket_at
    order by g.bucket_at`.execute(db);
  if (rows.length === 0) return;
  const hasBusy = lines.busy.length > 0;
  const busy = zeros(lines.times.length);
  const workers: (number | null)[] = lines.times.map(() => null);
  for (const executor of new Set(rows.map((row) => row.executor))) {
    const own = rows.filter((row) => row.executor === executor);
    let next = 0;
    let last: WorkerSample | undefined;
    for (let bucket = 0; bucket < lines.times.length; bucket++) {
      let isNew = false;
      for (; next < own.length && bucketOf(Number((own[next] as WorkerSample).bucket_at)) <= bucket; next++) {
        last = own[next];
        isNew = true;
      }
      if (last === undefined) continue;
      // Until the next sample it is as it was at the end, not as on average.
      const shown = isNew ? last : { busy: last.last_busy, workers: last.last_workers };
      busy[bucket] = (busy[bucket] as number) + Number(shown.busy ?? 0);
      if (shown.workers !== null) workers[bucket] = (workers[bucket] ?? 0) + Number(shown.workers);
    }
  }
  if (!hasBusy) lines.busy = busy;
  lines.workers = workers;
}

function zeros(length: number): number[] {
  return new Array<number>(length).fill(0);
}

function accumulate(line: number[]): void {
  for (let at = 1; at < line.length; at++) line[at] = (line[at] as number) + (line[at - 1] as number);
}

/** 1, 2 or 5 times a power of ten, not below the least. */
function niceBucket(ms: number, leastMs: number): number {
  let step = leastMs;
  for (const factor of cycle()) {
    if (step >= ms) return step;
    step *= factor;
  }
  return step;
}

function* cycle(): Generator<number> {
  for (;;) yield* [2, 2.5, 2];
}

// Which runs there are and how they stand. Asked by routes.ts.
import { type Kysely, sql } from 'kysely';
import { lifeOf } from '../monitoring/life.ts';
import { type Schema, stateNames } from '../monitoring/schema.ts';
import type { Counts, Page, RunRow, RunStatus } from './api.ts';
import { readCursor, writeCursor } from './cursor.ts';

/** A run as its row says. */
export interface RunRecord {
  readonly run: number;
  readonly run_id: string;
  readonly name: string;
  readonly version: string | null;
  readonly began: number;
  readonly ended: number | null;
  readonly end_reason: string | null;
  readonly host: string;
  readonly user: string;
  readonly directory: string;
  readonly pid: number;
  readonly tasks: number;
  readonly completed: number;
  readonly memoized: number;
  readonly failed: number;
  readonly sample_ms: number;
  readonly written: number | null;
  readonly lag_ms: number | null;
  readonly lost_events: number;
}

const columns = sql.raw(
  'run, run_id, name, version, began, ended, end_reason, host, "user", directory, pid, tasks, completed, memoized, failed, sample_ms, written, lag_ms, lost_events',
);

export async function listRuns(db: Kysely<Schema>, cursor: string | undefined, limit: number): Promise<Page<RunRow>> {
  const after = readCursor(cursor, 2);
  const where =
    after === undefined ? sql`` : sql`where began < ${after[0]} or (began = ${after[0]} and run < ${after[1]})`;
  const { rows } = await sql<RunRecord>`
    select ${columns} from runs ${where} order by began desc, run desc limit ${limit + 1}`.execute(db);
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    rows: shown.map(runRow),
    next: rows.length > limit && last !== undefined ? writeCursor([Number(last.began), Number(last.run)]) : null,
  };
}

/** The run that the world knows by that id. */
export async function findRun(db: Kysely<Schema>, id: string): Promise<RunRecord | undefined> {
  const { rows } = await sql<RunRecord>`select ${columns} from runs where run_id = ${id}`.execute(db);
  return rows[0];
}

export function runRow(run: RunRecord): RunRow {
  return {
    id: run.run_id,
    name: run.name,
    version: run.version,
    status: statusOf(run),
    began: Number(run.began),
    completed: run.ended === null ? null : Number(run.ended),
    host: run.host,
    user: run.user,
    directory: run.directory,
    succeeded: Number(run.completed) + Number(run.memoized),
    failed: Number(run.failed),
    total: Number(run.tasks),
  };
}

export function statusOf(run: RunRecord): RunStatus {
  const life = lifeOf(run);
  if (life === 'closed') return Number(run.failed) > 0 ? 'failed' : 'succeeded';
  return life === 'lost' ? 'silent' : 'running';
}

/** Tasks of the run in each state, of all apps or of one. */
export async function countsOf(db: Kysely<Schema>, run: number): Promise<Counts> {
  const { rows } = await sql<{ state: number; tasks: number }>`
    select state, sum(tasks) as tasks from app_states where run = ${run} group by state`.execute(db);
  const counts: Counts = {};
  for (const { state, tasks } of rows) addCount(counts, Number(state), Number(tasks));
  return counts;
}

export function addCount(counts: Counts, state: number, tasks: number): void {
  const name = stateNames.get(state);
  if (name !== undefined && tasks > 0) counts[name] = (counts[name] ?? 0) + tasks;
}

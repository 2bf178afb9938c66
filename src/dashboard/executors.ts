// Executors, their managers and blocks, and what happened to them. Asked by routes.ts. Of managers and blocks there may be a
// hundred thousand, so they are told a stretch at a time.
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../monitoring/schema.ts';
import type { BlockRow, ExecutorRow, Executors, Managers, NodeRow, Part } from './api.ts';
import { type RunRecord, statusOf } from './run-list.ts';
import { contains } from './task-list.ts';

/** A manager whose last heartbeat is older may be gone. */
export const managersSilentMs = 90_000;
/** Of the blocks that are told at once; the newest. */
const mostBlockEvents = 5_000;

/** Which managers or blocks are wanted. */
export interface Stretch {
  /** What stands somewhere in the names that they have. */
  readonly text: string | undefined;
  readonly offset: number;
  readonly limit: number;
}

export async function executors(db: Kysely<Schema>, run: RunRecord): Promise<Executors> {
  return {
    executors: await executorRows(db, run.run),
    isOver: statusOf(run) !== 'running',
  };
}

const known = (value: number | null | undefined): number | null =>
  value === null || value === undefined ? null : Number(value);

async function executorRows(db: Kysely<Schema>, run: number): Promise<ExecutorRow[]> {
  const labels = await sql<{ executor: string; kind: string | null; facts: string | null }>`
    select n.executor, e.kind, e.facts from (
      select executor from places where run = ${run} union select executor from executors where run = ${run}
      union select executor from manager_events where run = ${run}
      union select executor from block_events where run = ${run}) n
      left join executors e on e.run = ${run} and e.executor = n.executor`.execute(db);
  const samples = await latestSamples(db, run);
  return labels.rows
    .map(({ executor, kind, facts }) => {
      const sample = samples.find((one) => one.executor === executor);
      return {
        executor,
        kind,
        facts: factsOf(facts),
        workers: known(sample?.workers),
        busy: known(sample?.busy),
        managers: known(sample?.managers),
        blocks: known(sample?.blocks),
        outstanding: known(sample?.outstanding),
        queued: known(sample?.queued),
      };
    })
    .sort((a, b) => a.executor.localeCompare(b.executor));
}

/** What an executor says of itself, as pairs of words. */
function factsOf(json: string | null): (readonly [string, string])[] {
  try {
    const facts: unknown = JSON.parse(json ?? '{}');
    if (typeof facts !== 'object' || facts === null) return [];
    return Object.entries(facts).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]);
  } catch {
    return [];
  }
}

/** The newest row of each manager; from the row `offset` on, or from the first if there are fewer. */
export async function listManagers(db: Kysely<Schema>, run: RunRecord, wish: Stretch): Promise<Managers> {
  const latest = sql`(select max(id) as id, min(at) as first_at from manager_events where run = ${run.run}
    group by executor, manager)`;
  const fits = anyContains(['m.host', 'm.manager', 'm.block', 'm.executor', 'm.reason'], wish.text);
  const counted = await sql<{ n: number; active: number | null }>`
    select count(*) as n, sum(case when m.active = 1 then 1 else 0 end) as active
    from ${latest} g join manager_events m on m.id = g.id where ${fits}`.execute(db);
  const total = Number(counted.rows[0]?.n ?? 0);
  const offset = wish.offset < total ? wish.offset : 0;
  const { rows } = await sql<Schema['manager_events'] & { first_at: number }>`
    select m.*, g.first_at from ${latest} g join manager_events m on m.id = g.id where ${fits}
    order by m.active desc, m.host, m.manager, m.executor limit ${wish.limit} offset ${offset}`.execute(db);
  return {
    rows: rows.map(nodeRow),
    offset,
    total,
    active: Number(counted.rows[0]?.active ?? 0),
    isOver: statusOf(run) !== 'running',
    now: Date.now(),
  };
}

function nodeRow(row: Schema['manager_events'] & { first_at: number }): NodeRow {
  return {
    manager: row.manager,
    host: row.host,
    block: row.block,
    executor: row.executor,
    isActive: Number(row.active) === 1,
    workers: known(row.workers),
    busy: known(row.busy),
    cpus: known(row.cpus),
    memory: known(row.memory_bytes),
    runtime: row.runtime,
    version: row.version,
    since: Number(row.first_at),
    lastHeartbeat: known(row.heartbeat),
    reason: row.reason,
  };
}

function anyContains(columns: readonly string[], text: string | undefined): RawBuilder<unknown> {
  if (text === undefined) return sql`1 = 1`;
  return sql`(${sql.join(
    columns.map((column) => contains(column, text)),
    sql` or `,
  )})`;
}

/** The block of which something happened last is the first; from the row `offset` on, or from the first if there are fewer. */
export async function listBlocks(db: Kysely<Schema>, run: RunRecord, wish: Stretch): Promise<Part<BlockRow>> {
  const latest = sql`(select max(id) as id from block_events where run = ${run.run} group by executor, block)`;
  const fits = anyContains(['b.block', 'b.executor', 'b.job', 'b.status', 'b.reason'], wish.text);
  const newest = await sql<{ id: number; fitting: number }>`
    select b.id, count(*) over () as fitting from ${latest} g join block_events b on b.id = g.id where ${fits}
    order by b.id desc limit ${wish.limit} offset ${wish.offset}`.execute(db);
  if (newest.rows.length === 0)
    return wish.offset > 0 ? listBlocks(db, run, { ...wish, offset: 0 }) : { rows: [], offset: 0, total: 0 };
  const { rows } = await sql<Schema['block_events']>`
    select b.* from block_events k join block_events b on b.run = k.run and b.executor = k.executor and b.block = k.block
    where k.id in (${sql.join(newest.rows.map(({ id }) => Number(id)))})
    order by k.id desc, b.at desc, b.id desc limit ${mostBlockEvents}`.execute(db);
  const found = new Map<string, { -readonly [Key in keyof BlockRow]: BlockRow[Key] }>();
  for (const row of rows) {
    const key = `${row.executor}\n${row.block}`;
    const event = { at: Number(row.at), status: row.status, reason: row.reason, detail: row.detail };
    const block = found.get(key);
    if (block === undefined) {
      found.set(key, { block: row.block, executor: row.executor, job: row.job, status: row.status, history: [event] });
    } else {
      block.job ??= row.job;
      block.history = [event, ...block.history];
    }
  }
  return { rows: [...found.values()], offset: wish.offset, total: Number(newest.rows[0]?.fitting ?? 0) };
}

/** How each executor stood last. */
export async function latestSamples(db: Kysely<Schema>, run: number): Promise<Schema['executor_samples'][]> {
  const { rows } = await sql<Schema['executor_samples']>`
    select s.* from (select executor, max(at) as at from executor_samples where run = ${run} group by executor) m
      cross join executor_samples s where s.run = ${run} and s.executor = m.executor and s.at = m.at`.execute(db);
  return rows;
}

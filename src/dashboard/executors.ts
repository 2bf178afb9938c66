// Executors, their managers and blocks, and what happened to them. Asked by routes.ts.
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../monitoring/schema.ts';
import type { BlockRow, ExecutorRow, Executors, NodeRow } from './api.ts';
import { type RunRecord, statusOf } from './run-list.ts';

/** A manager whose last heartbeat is older may be gone. */
export const managersSilentMs = 90_000;
const mostBlockEvents = 5_000;

export async function executors(db: Kysely<Schema>, run: RunRecord): Promise<Executors> {
  return {
    executors: await executorRows(db, run.run),
    nodes: await managers(db, run.run),
    blocks: await blocks(db, run.run),
    isOver: statusOf(run) !== 'running',
    now: Date.now(),
  };
}

const known = (value: number | null | undefined): number | null =>
  value === null || value === undefined ? null : Number(value);

async function executorRows(db: Kysely<Schema>, run: number): Promise<ExecutorRow[]> {
  const labels = await sql<{ executor: string; kind: string | null; facts: string | null }>`
    select distinct p.executor, e.kind, e.facts from places p
      left join executors e on e.run = p.run and e.executor = p.executor where p.run = ${run}
    union select executor, kind, facts from executors where run = ${run}`.execute(db);
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

/** The newest row of each manager. */
async function managers(db: Kysely<Schema>, run: number): Promise<NodeRow[]> {
  const { rows } = await sql<Schema['manager_events'] & { first_at: number }>`
    select m.*, g.first_at from manager_events m join
      (select max(id) as id, min(at) as first_at from manager_events where run = ${run} group by executor, manager) g
      on g.id = m.id order by m.active desc, m.host, m.manager`.execute(db);
  return rows.map((row) => ({
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
  }));
}

async function blocks(db: Kysely<Schema>, run: number): Promise<BlockRow[]> {
  const { rows } = await sql<Schema['block_events']>`
    select * from block_events where run = ${run} order by executor, block, at, id limit ${mostBlockEvents}`.execute(
    db,
  );
  const found = new Map<string, { -readonly [Key in keyof BlockRow]: BlockRow[Key] }>();
  for (const row of rows) {
    const key = `${row.executor}\n${row.block}`;
    const event = { at: Number(row.at), status: row.status, reason: row.reason, detail: row.detail };
    const block = found.get(key);
    if (block === undefined) {
      found.set(key, { block: row.block, executor: row.executor, job: row.job, status: row.status, history: [event] });
    } else {
      block.status = row.status;
      block.job = row.job ?? block.job;
      block.history = [...block.history, event];
    }
  }
  const collator = new Intl.Collator('en', { numeric: true });
  return [...found.values()].sort((a, b) => collator.compare(`${a.executor} ${a.block}`, `${b.executor} ${b.block}`));
}

/** How each executor stood last. */
export async function latestSamples(db: Kysely<Schema>, run: number): Promise<Schema['executor_samples'][]> {
  const { rows } = await sql<Schema['executor_samples']>`
    select s.* from (select executor, max(at) as at from executor_samples where run = ${run} group by executor) m
      cross join executor_samples s where s.run = ${run} and s.executor = m.executor and s.at = m.at`.execute(db);
  return rows;
}

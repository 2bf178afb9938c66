// What depends on what: apps and how many tasks of one need tasks of another, or the tasks themselves. Asked by routes.ts.
import { type Kysely, sql } from 'kysely';
import { type Schema, stateNames } from '../monitoring/schema.ts';
import type { Graph, GraphNode } from './api.ts';
import { countsByName } from './app-list.ts';
import type { RunRecord } from './run-list.ts';

/** As many tasks as a drawing can have and still be read, moved and laid out in a few seconds. */
export const mostTasks = 5_000;
/** Up to so many edges are all counted; of more, a sample stands for them. */
const mostEdges = 200_000;
const sampledTasks = 1_000;

/** Every app is a node. */
export async function graphOfApps(db: Kysely<Schema>, run: RunRecord): Promise<Graph> {
  const names = await sql<{ app: number; name: string }>`select app, name from apps where run = ${run.run}`.execute(db);
  // Two apps may have one name, and are one node.
  const nodeNames = [...new Set(names.rows.map(({ name }) => name))];
  const indexOf = new Map(nodeNames.map((name, index) => [name, index]));
  const nodeOf = new Map(names.rows.map(({ app, name }) => [Number(app), indexOf.get(name)]));
  const byName = await countsByName(db, run.run);
  const nodes = nodeNames.map((app, index): GraphNode => {
    const counts = byName.get(app)?.counts ?? {};
    const total = Object.values(counts).reduce((n, tasks) => n + tasks, 0);
    return { id: `app-${index}`, app, task: null, total, counts };
  });
  const bounded = await sql<{ n: number }>`
    select count(*) as n from (select 1 from edges where run = ${run.run} limit ${mostEdges + 1}) x`.execute(db);
  const isSampled = Number(bounded.rows[0]?.n ?? 0) > mostEdges;
  const found = isSampled
    ? await sampledEdges(
        db,
        run.run,
        names.rows.map(({ app }) => Number(app)),
      )
    : await allEdges(db, run.run);
  const edges = new Map<string, number>();
  for (const { from, to, n } of found) {
    const a = nodeOf.get(Number(from));
    const b = nodeOf.get(Number(to));
    if (a === undefined || b === undefined) continue;
    const key = `${a} ${b}`;
    edges.set(key, (edges.get(key) ?? 0) + Number(n));
  }
  return {
    by: 'app',
    nodes,
    edges: [...edges].map(([key, n]) => {
      const [a = 0, b = 0] = key.split(' ').map(Number);
      return [a, b, n] as const;
    }),
    totalTasks: Number(run.tasks),
    omitted: 0,
    isEstimated: isSampled,
  };
}

interface AppEdge {
  readonly from: number;
  readonly to: number;
  readonly n: number;
}

/** Joined in the order in which they stand: from each edge to its tasks, which SQLite would not always find out. */
async function allEdges(db: Kysely<Schema>, run: number): Promise<AppEdge[]> {
  const { rows } = await sql<AppEdge>`
    select a.app as "from", b.app as "to", count(*) as n from edges e cross join tasks b cross join tasks a
    where e.run = ${run} and b.run = ${run} and b.task = e.task and a.run = ${run} and a.task = e.needs
    group by a.app, b.app`.execute(db);
  return rows;
}

/** The first and the last tasks of each app stand for those between. */
async function sampledEdges(db: Kysely<Schema>, run: number, apps: readonly number[]): Promise<AppEdge[]> {
  const found: AppEdge[] = [];
  for (const app of apps) {
    for (const direction of [sql`asc`, sql`desc`]) {
      const { rows } = await sql<AppEdge>`
        select a.app as "from", s.app as "to", count(*) as n from
          (select task, app from tasks where run = ${run} and app = ${app} order by task ${direction} limit ${sampledTasks}) s
        cross join edges e cross join tasks a
        where e.run = ${run} and e.task = s.task and a.run = ${run} and a.task = e.needs
        group by a.app, s.app`.execute(db);
      found.push(...rows);
    }
  }
  return found;
}

/** Which tasks are drawn. */
export interface GraphChoice {
  readonly app: string | undefined;
  /** This task, and those that are up to `depth` dependencies away. */
  readonly around: number | undefined;
  readonly depth: number;
}

/** Every task is a node, up to `mostTasks` of them. */
export async function graphOfTasks(db: Kysely<Schema>, run: RunRecord, choice: GraphChoice): Promise<Graph> {
  const numbers =
    choice.around === undefined
      ? await firstTasks(db, run.run, choice.app)
      : await tasksAround(db, run.run, choice.around, choice.depth);
  const total = await totalOf(db, run, choice);
  const nodes: GraphNode[] = [];
  const index = new Map<number, number>();
  const edges: [number, number, number][] = [];
  for (const part of parts(numbers)) {
    const { rows } = await sql<{ task: number; app: string | null; state: number }>`
      select t.task, a.name as app, t.state from tasks t left join apps a on a.run = t.run and a.app = t.app
      where t.run = ${run.run} and t.task in (${sql.join(part)}) order by t.task`.execute(db);
    for (const row of rows) {
      index.set(Number(row.task), nodes.length);
      const state = stateNames.get(Number(row.state)) ?? 'pending';
      nodes.push({
        id: String(row.task),
        app: row.app ?? '?',
        task: Number(row.task),
        total: 1,
        counts: { [state]: 1 },
      });
    }
  }
  for (const part of parts(numbers)) {
    const { rows } = await sql<{ task: number; needs: number }>`
      select task, needs from edges where run = ${run.run} and task in (${sql.join(part)})`.execute(db);
    for (const row of rows) {
      const from = index.get(Number(row.needs));
      const to = index.get(Number(row.task));
      if (from !== undefined && to !== undefined) edges.push([from, to, 1]);
    }
  }
  return {
    by: 'task',
    nodes,
    edges,
    totalTasks: total,
    omitted: choice.around === undefined ? Math.max(0, total - nodes.length) : 0,
    isEstimated: false,
  };
}

async function firstTasks(db: Kysely<Schema>, run: number, app: string | undefined): Promise<number[]> {
  const own = app === undefined ? sql`` : sql`and app in (select app from apps where run = ${run} and name = ${app})`;
  const { rows } = await sql<{ task: number }>`
    select task from tasks where run = ${run} ${own} order by task limit ${mostTasks}`.execute(db);
  return rows.map(({ task }) => Number(task));
}

async function totalOf(db: Kysely<Schema>, run: RunRecord, choice: GraphChoice): Promise<number> {
  if (choice.app === undefined) return Number(run.tasks);
  const { rows } = await sql<{ n: number | null }>`
    select sum(s.tasks) as n from app_states s join apps a on a.run = s.run and a.app = s.app
    where s.run = ${run.run} and a.name = ${choice.app}`.execute(db);
  return Number(rows[0]?.n ?? 0);
}

const mostAround = 400;

/** In rings around the task, until the depth is reached or there are too many. */
async function tasksAround(db: Kysely<Schema>, run: number, task: number, depth: number): Promise<number[]> {
  const seen = new Set([task]);
  let ring = [task];
  for (let step = 0; step < depth && ring.length > 0 && seen.size < mostAround; step++) {
    const next: number[] = [];
    for (const part of parts(ring)) {
      const needs = await sql<{ task: number }>`
        select needs as task from edges where run = ${run} and task in (${sql.join(part)}) limit ${mostAround}`.execute(
        db,
      );
      const neededBy = await sql<{ task: number }>`
        select task from edges where run = ${run} and needs in (${sql.join(part)}) limit ${mostAround}`.execute(db);
      for (const row of [...needs.rows, ...neededBy.rows]) {
        const number = Number(row.task);
        if (seen.has(number) || seen.size >= mostAround) continue;
        seen.add(number);
        next.push(number);
      }
    }
    ring = next;
  }
  return [...seen].sort((a, b) => a - b);
}

/** Databases take a limited number of values in one statement. */
function* parts(numbers: readonly number[]): Generator<number[]> {
  for (let at = 0; at < numbers.length; at += 1_000) yield numbers.slice(at, at + 1_000);
}

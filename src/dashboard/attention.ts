// What somebody should look at: what is stuck and why, what failed most, what takes unusually long. Asked by routes.ts. Each
// concern says what it means and what to try; what has none of them is told as looked at.
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../monitoring/schema.ts';
import { shapeOf } from '../monitoring/shape.ts';
import type { Attention, Concern, Counts } from './api.ts';
import { timesOf } from './app-list.ts';
import { latestSamples, managersSilentMs } from './executors.ts';
import { countsOf, type RunRecord, statusOf } from './run-list.ts';
import { byNumber } from './task-detail.ts';

const mostFailures = 200_000;
const mostGroups = 12;
const shownTasks = 5;

const ranks = { serious: 0, warning: 1, note: 2 } as const;

export async function attention(db: Kysely<Schema>, run: RunRecord): Promise<Attention> {
  const isRunning = statusOf(run) === 'running';
  const counts = await countsOf(db, run.run);
  const concerns = [
    ...silence(run, counts),
    ...(isRunning ? await stuck(db, run, counts) : []),
    ...(await blockTroubles(db, run)),
    ...(await failures(db, run, counts)),
    ...(await hosts(db, run)),
    ...(await stragglers(db, run, isRunning)),
    ...(await retries(db, run)),
    ...monitoringItself(run),
  ];
  concerns.sort((a, b) => ranks[a.severity] - ranks[b.severity] || b.count - a.count);
  return {
    concerns,
    looked: [
      'tasks that failed, by error',
      'tasks that wait with nothing to run them',
      'blocks and managers that were lost',
      'tasks that take far longer than others of their app',
      'hosts where more fails than elsewhere',
      'tasks that were tried again and again',
    ],
  };
}

const shown = (count: number): string => count.toLocaleString('en');

const plain = { detail: null, tasks: [], filter: null } as const;

function silence(run: RunRecord, counts: Counts): Concern[] {
  if (statusOf(run) !== 'silent') return [];
  const open = ['pending', 'launched', 'running', 'running_ended', 'joining', 'fail_retryable'] as const;
  const left = open.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
  return [
    {
      ...plain,
      kind: 'silent',
      severity: 'serious',
      title: 'The run ended without being closed',
      advice: `Its program was probably killed, or its machine went down. ${
        left > 0 ? `${shown(left)} ${left === 1 ? 'task was' : 'tasks were'} not settled. ` : ''
      }With checkpoints, starting it again repeats only what was not finished.`,
      detail: `process ${run.pid} on ${run.host}; last word ${run.written === null ? 'never' : new Date(Number(run.written)).toISOString()}`,
      count: left,
      filter: left > 0 ? `state=${open.join(',')}` : null,
    },
  ];
}

/** Tasks are queued, and nothing can run them. */
async function stuck(db: Kysely<Schema>, run: RunRecord, counts: Counts): Promise<Concern[]> {
  const queued = counts.launched ?? 0;
  if (queued === 0) return [];
  const rows = await latestSamples(db, run.run);
  const found: Concern[] = [];
  for (const sample of rows) {
    const waiting = Number(sample.outstanding);
    if (sample.workers === null || Number(sample.workers) > 0 || waiting === 0) continue;
    const last = await sql<Schema['block_events']>`
      select * from block_events where run = ${run.run} and executor = ${sample.executor} order by at desc, id desc limit 1`.execute(
      db,
    );
    const block = last.rows[0];
    const why =
      block === undefined
        ? 'It has started no block yet.'
        : block.status === 'PENDING'
          ? `Block ${block.block} (job ${block.job ?? '?'}) has waited in the queue since ${new Date(Number(block.at)).toISOString()}.`
          : `Its last block, ${block.block}, is ${block.status}${block.reason === null ? '' : `: ${block.reason}`}.`;
    found.push({
      ...plain,
      kind: 'stuck',
      severity: block?.status === 'PENDING' ? 'warning' : 'serious',
      title: `${shown(waiting)} ${waiting === 1 ? 'task waits' : 'tasks wait'} for ${sample.executor}, which has no worker`,
      advice: `${why} Look at its blocks, and at the batch system’s queue.`,
      detail: block?.detail ?? null,
      count: waiting,
      filter: `state=launched&executor=${encodeURIComponent(sample.executor)}`,
    });
  }
  if (found.length > 0) return found;
  const quietMs = Date.now() - Number(run.written ?? run.began);
  if ((counts.running ?? 0) > 0 || quietMs < 60_000) return [];
  return [
    {
      ...plain,
      kind: 'stuck',
      severity: 'warning',
      title: `${shown(queued)} ${queued === 1 ? 'task is' : 'tasks are'} queued, none runs, and nothing has happened for ${Math.round(quietMs / 60_000)} min`,
      advice: 'Look at the managers: are they there, and do their heartbeats arrive?',
      count: queued,
      filter: 'state=launched',
    },
  ];
}

async function blockTroubles(db: Kysely<Schema>, run: RunRecord): Promise<Concern[]> {
  const failed = await sql<{
    executor: string;
    block: string;
    reason: string | null;
    detail: string | null;
    n: number;
  }>`
    select b.executor, b.block, b.reason, b.detail, g.n from (
      select executor, count(distinct block) as n, max(id) as id from block_events
      where run = ${run.run} and status in ('FAILED', 'TIMEOUT', 'MISSING', 'LOST') group by executor) g
    join block_events b on b.id = g.id order by b.id desc`.execute(db);
  const found: Concern[] = failed.rows.map(({ executor, block, reason, detail, n }) => ({
    ...plain,
    kind: 'block',
    severity: 'serious',
    title: `${Number(n) === 1 ? `Block ${block}` : `${n} blocks`} of ${executor} failed`,
    advice: reason ?? 'What the job wrote to stderr tells why; see Executors.',
    detail,
    count: Number(n),
  }));
  if (run.ended !== null) return found;
  const managers = await sql<{ manager: string; host: string; heartbeat: number | null; workers: number }>`
    select m.manager, m.host, m.heartbeat, m.workers from manager_events m join
      (select max(id) as id from manager_events where run = ${run.run} group by executor, manager) g on g.id = m.id
    where m.active = 1`.execute(db);
  const now = Number(run.written ?? Date.now());
  for (const { manager, host, heartbeat, workers } of managers.rows) {
    const silentMs = heartbeat === null ? 0 : now - Number(heartbeat);
    if (silentMs < managersSilentMs) continue;
    found.push({
      ...plain,
      kind: 'block',
      severity: 'warning',
      title: `No heartbeat from ${host} for ${Math.round(silentMs / 1_000)} s`,
      advice: 'The node may be overloaded or gone; its tasks are given to others once it counts as lost.',
      detail: `manager ${manager}, ${workers} workers`,
      count: Number(workers),
    });
  }
  return found;
}

interface FailureRow {
  readonly task: number;
  readonly app: number;
  readonly code: string;
  readonly class: string;
  readonly message: string;
  readonly root_task: number | null;
}

/** Groups that differ only in numbers, paths and quoted words are one. */
async function failures(db: Kysely<Schema>, run: RunRecord, counts: Counts): Promise<Concern[]> {
  const { rows } = await sql<FailureRow>`
    select f.task, f.app, f.code, f.class, f.message, f.root_task from failures f
    where f.run = ${run.run} and f.final = 1 and f.code <> 'DEPENDENCY' order by f.task limit ${mostFailures + 1}`.execute(
    db,
  );
  const isCut = rows.length > mostFailures;
  const names = await sql<{ app: number; name: string }>`select app, name from apps where run = ${run.run}`.execute(db);
  const nameOf = new Map(names.rows.map(({ app, name }) => [Number(app), name]));
  const followers = await sql<{ root: number; n: number }>`
    select root_task as root, count(*) as n from failures
    where run = ${run.run} and code = 'DEPENDENCY' and root_task is not null group by root_task`.execute(db);
  const roots = new Map(followers.rows.map(({ root, n }) => [Number(root), Number(n)]));
  const groups = new Map<string, FailureRow[]>();
  for (const row of rows) {
    if (row.code === 'JOIN' && row.root_task !== null) {
      roots.set(Number(row.root_task), (roots.get(Number(row.root_task)) ?? 0) + 1);
      continue;
    }
    const shape = shapeOf(row.class, row.message);
    const group = groups.get(shape);
    if (group === undefined) groups.set(shape, [row]);
    else group.push(row);
  }
  const consequences = counts.dep_fail ?? 0;
  const found: Concern[] = [];
  for (const group of [...groups.values()].sort((a, b) => b.length - a.length).slice(0, mostGroups)) {
    const first = group[0] as FailureRow;
    const caused = group.reduce((sum, { task }) => sum + (roots.get(Number(task)) ?? 0), 0);
    const line = (first.message.split('\n', 1)[0] as string).slice(0, 200);
    const apps = [...new Set(group.map(({ app }) => nameOf.get(Number(app)) ?? '?'))];
    const of = apps.length === 1 ? apps[0] : `${apps.length} apps`;
    found.push({
      kind: 'failures',
      severity: 'serious',
      title: `${group.length === 1 ? `A task of ${of}` : `${shown(group.length)} tasks of ${of}`} failed: ${
        line.startsWith(first.class) ? line : `${first.class}: ${line}`
      }`,
      advice: adviceFor(first.code, first.class),
      detail:
        [
          apps.length > 1 ? `in ${apps.slice(0, 12).join(', ')}${apps.length > 12 ? ', …' : ''}` : '',
          isCut ? `counted among the first ${shown(mostFailures)} tasks that failed` : '',
          caused > 0 ? `${shown(caused)} more ${caused === 1 ? 'task' : 'tasks'} never ran because of it` : '',
        ]
          .filter(Boolean)
          .join('\n') || null,
      count: group.length,
      tasks: await byNumber(
        db,
        run.run,
        group.slice(0, shownTasks).map(({ task }) => Number(task)),
      ),
      filter: `state=failed&error=${encodeURIComponent(first.class)}${
        apps.length === 1 ? `&app=${encodeURIComponent(apps[0] ?? '')}` : ''
      }`,
    });
  }
  if (consequences > 0)
    found.push({
      ...plain,
      kind: 'failures',
      severity: 'note',
      title: `${consequences === 1 ? 'A task' : `${shown(consequences)} tasks`} never ran, because a task that ${consequences === 1 ? 'it needs' : 'they need'} failed`,
      advice: 'They are consequences: what they need is listed above.',
      count: consequences,
      filter: 'state=dep_fail',
    });
  return found;
}

function adviceFor(code: string, name: string): string {
  switch (code) {
    case 'WORKER_LOST':
    case 'MANAGER_LOST':
      return 'The worker died under it. Often the memory was not enough: compare the resources of the tasks, give each more, or run fewer at once.';
    case 'TIMEOUT':
    case 'DEADLINE':
      return 'It took longer than it may. Look at what others of the app take, and where this one ran.';
    case 'CANCELLED':
      return 'It was cancelled by the program, or by Ctrl-C.';
    case 'BASH_EXIT':
      return 'The command ended with an error: its stderr tells more.';
    default:
      return /memory/i.test(name)
        ? 'The memory was not enough: compare the resources of the tasks.'
        : 'Open one of the tasks for its stack, its arguments and what it printed.';
  }
}

/** A host where a share of tries fails that is far above the others'. */
async function hosts(db: Kysely<Schema>, run: RunRecord): Promise<Concern[]> {
  // The place of a task is that of its last try: where those before it were, `tries` knows.
  const failed = await byHost(sql`
    select p.host, count(*) as n from failures f
      join tasks t on t.run = f.run and t.task = f.task
      left join tries r on r.run = f.run and r.task = f.task and r.try = f.try
      join places p on p.run = f.run and p.place = case when r.task is null then t.place else r.place end
    where f.run = ${run.run} and f.code <> 'DEPENDENCY' and p.host is not null group by p.host`);
  const total = sumOf(failed);
  const [worst] = [...failed].sort(([, a], [, b]) => b - a);
  if (worst === undefined || total < 10 || worst[1] <= total / 2) return [];
  const [host, n] = worst;
  const ran = await byHost(sql`
    select p.host, sum(t.n) as n from (
      select place, count(*) as n from tasks where run = ${run.run} and place is not null and running is not null group by place
      union all select place, count(*) from tries where run = ${run.run} and place is not null and running is not null group by place) t
    join places p on p.run = ${run.run} and p.place = t.place where p.host is not null group by p.host`);
  const here = Math.max(n, ran.get(host) ?? 0);
  const elsewhere = sumOf(ran) - (ran.get(host) ?? 0);
  if (elsewhere === 0 || n / here <= (2 * (total - n)) / elsewhere) return [];
  return [
    {
      ...plain,
      kind: 'host',
      severity: 'warning',
      title: `${shown(n)} of ${shown(total)} failures happened on ${host}`,
      advice: 'That host may be broken: its disk, its memory, what is installed. Try without it.',
      count: n,
      filter: `state=failed&worker=${encodeURIComponent(host)}`,
    },
  ];

  async function byHost(question: ReturnType<typeof sql>): Promise<Map<string, number>> {
    const { rows } = (await question.execute(db)) as { rows: { host: string; n: number }[] };
    return new Map(rows.map((row) => [row.host, Number(row.n)]));
  }
}

function sumOf(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, n) => sum + n, 0);
}

const stragglerFactor = 5;
const stragglerLeastMs = 10_000;

/** Tasks that run now, or ran, several times longer than nearly all others of their app. */
async function stragglers(db: Kysely<Schema>, run: RunRecord, isRunning: boolean): Promise<Concern[]> {
  if (!isRunning) return [];
  const { rows } = await sql<{ task: number; app: number; running: number; name: string }>`
    select t.task, t.app, t.running, a.name from tasks t join apps a on a.run = t.run and a.app = t.app
    where t.run = ${run.run} and t.state = 2 and t.running is not null order by t.running limit 1000`.execute(db);
  const byApp = new Map<number, typeof rows>();
  for (const row of rows) byApp.set(Number(row.app), [...(byApp.get(Number(row.app)) ?? []), row]);
  const found: Concern[] = [];
  const now = Date.now();
  for (const [app, running] of byApp) {
    const { slowMs, medianMs } = await timesOf(db, run.run, [app]);
    if (slowMs === null) continue;
    const limitMs = Math.max(stragglerLeastMs, slowMs * stragglerFactor);
    const late = running.filter((row) => now - Number(row.running) > limitMs);
    const first = late[0];
    if (first === undefined) continue;
    found.push({
      kind: 'straggler',
      severity: 'warning',
      title: `${late.length === 1 ? 'A task' : `${late.length} tasks`} of ${first.name} ${late.length === 1 ? 'runs' : 'run'} far longer than usual`,
      advice: `Half of the others were through after ${seconds(medianMs ?? 0)}, nearly all after ${seconds(slowMs)}; the oldest has run for ${seconds(now - Number(first.running))}. Does its host do anything? A \`timeout\` would end such tries.`,
      detail: null,
      count: late.length,
      tasks: await byNumber(
        db,
        run.run,
        late.slice(0, shownTasks).map(({ task }) => Number(task)),
      ),
      filter: `state=running&app=${encodeURIComponent(first.name)}`,
    });
  }
  return found;
}

const seconds = (ms: number): string => (ms < 10_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 1_000)} s`);

async function retries(db: Kysely<Schema>, run: RunRecord): Promise<Concern[]> {
  const { rows } = await sql<{ n: number; code: string }>`
    select count(*) as n, code from failures
    where run = ${run.run} and final = 0 group by code order by 1 desc`.execute(db);
  const first = rows[0];
  if (first === undefined) return [];
  const tries = rows.reduce((sum, { n }) => sum + Number(n), 0);
  const all = await sql<{ tasks: number }>`
    select count(distinct task) as tasks from tries where run = ${run.run}`.execute(db);
  const most = await sql<{ task: number }>`
    select task from tries where run = ${run.run} group by task order by count(*) desc, task limit ${shownTasks}`.execute(
    db,
  );
  return [
    {
      kind: 'retries',
      severity: 'note',
      title: `${tries === 1 ? 'A try' : `${shown(tries)} tries`} failed and ${tries === 1 ? 'was' : 'were'} followed by another`,
      advice: `Most often with ${first.code} (${first.n}). Time that is computed twice: is the cause worth removing?`,
      detail: null,
      count: Number(all.rows[0]?.tasks ?? 0),
      tasks: await byNumber(
        db,
        run.run,
        most.rows.map(({ task }) => Number(task)),
      ),
      filter: 'retried=1',
    },
  ];
}

function monitoringItself(run: RunRecord): Concern[] {
  if (Number(run.lost_events) === 0) return [];
  return [
    {
      ...plain,
      kind: 'silent',
      severity: 'warning',
      title: `Monitoring had to drop ${run.lost_events} events`,
      advice:
        'Nothing could be written for too long: is the disk full, or the database locked? Some tasks are shown in a state that they have left.',
      count: Number(run.lost_events),
    },
  ];
}

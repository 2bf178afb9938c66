// Everything about one task. Asked by routes.ts.
import { type Kysely, sql } from 'kysely';
import { type Schema, stateNames } from '../monitoring/schema.ts';
import type { Neighbour, ResourceRow, State, TaskDetail, TryRow } from './api.ts';
import { type RunRecord, statusOf } from './run-list.ts';
import { errorLine, type RawTask, taskRow, workerName } from './task-list.ts';

const neighboursShown = 50;
const samplesShown = 2_000;

interface Row extends RawTask {
  readonly launched: number | null;
  readonly joining: number | null;
  readonly pid: number | null;
  readonly parent: number | null;
  readonly stage: string | null;
  readonly memo_key: string | null;
  readonly memoize: number | null;
  readonly arguments: string | null;
  readonly result: string | null;
  readonly inputs: string | null;
  readonly outputs: string | null;
  readonly stdout: string | null;
  readonly stderr: string | null;
  readonly block: string | null;
  readonly manager: string | null;
}

interface RawTry {
  readonly try: number;
  readonly executor: string | null;
  readonly host: string | null;
  readonly block: string | null;
  readonly manager: string | null;
  readonly worker: string | null;
  readonly pid: number | null;
  readonly launched: number | null;
  readonly running: number | null;
  readonly running_ended: number | null;
  readonly returned: number | null;
}

interface Failure {
  readonly try: number;
  readonly at: number;
  readonly code: string;
  readonly class: string;
  readonly message: string;
  readonly stack: string | null;
  readonly root_task: number | null;
}

/** `undefined`: the run has no such task. */
export async function taskDetail(db: Kysely<Schema>, run: RunRecord, task: number): Promise<TaskDetail | undefined> {
  const { rows } = await sql<Row>`
    select t.task, a.name as app, a.memoize, t.state, t.try, t.pid, t.invoked, t.launched, t.running, t.running_ended, t.joining,
      t.returned, t.parent, s.name as stage, t.memo_key, t.arguments, t.result, t.inputs, t.outputs, t.stdout, t.stderr,
      p.executor, p.host, p.block, p.manager, p.worker, f.class, f.message
    from tasks t left join apps a on a.run = t.run and a.app = t.app
      left join places p on p.run = t.run and p.place = t.place
      left join stages s on s.run = t.run and s.stage = t.stage
      left join failures f on f.run = t.run and f.task = t.task and f.try = t.try
    where t.run = ${run.run} and t.task = ${task}`.execute(db);
  const row = rows[0];
  if (row === undefined) return undefined;
  const failures = await failuresOf(db, run.run, task);
  const earlier = await earlierTries(db, run.run, task);
  const dependsOn = await neighbours(
    db,
    run.run,
    sql`select needs, kind from edges where run = ${run.run} and task = ${task} order by needs limit ${neighboursShown * 4}`,
  );
  const neededBy = await neighbours(
    db,
    run.run,
    sql`select task as needs from edges where run = ${run.run} and needs = ${task} order by +task limit ${neighboursShown}`,
  );
  const needed = await sql<{
    n: number;
  }>`select count(*) as n from edges where run = ${run.run} and needs = ${task}`.execute(db);
  const rootTask = failures.find((failure) => failure.root_task !== null)?.root_task;
  const parents = await byNumber(
    db,
    run.run,
    [row.parent, rootTask].filter((one) => one !== null && one !== undefined),
  );
  const last = failures.find((failure) => Number(failure.try) === Number(row.try));
  const tryRows = [...earlier, row].map((one) => tryRow(one, failures));
  const summary = taskRow(row);
  return {
    ...summary,
    runName: run.name,
    isLast: task >= Number(run.tasks) - 1,
    lostAt: row.returned === null && statusOf(run) === 'silent' ? Number(run.written ?? run.began) : null,
    inputs: row.arguments,
    result: row.result,
    files: [...lines(row.inputs).map((path) => `in: ${path}`), ...lines(row.outputs).map((path) => `out: ${path}`)],
    memo: row.memo_key,
    isMemoized: row.memoize === null ? null : Number(row.memoize) === 1,
    stage: row.stage,
    stdout: row.stdout,
    stderr: row.stderr,
    errorText: last === undefined ? null : errorText(last),
    errorCode: last?.code ?? null,
    rootTask: parents.find((one) => one.id === Number(rootTask ?? -1)) ?? null,
    // A task that never was handed to an executor had no try.
    tryRows:
      summary.tries === 0
        ? []
        : tryRows.filter((one) => one.launched !== null || one.started !== null || one.error !== null),
    history: historyOf(row, earlier),
    dependsOn: dependsOn.filter(({ kind }) => kind !== 'join').map(({ task: one }) => one),
    joins: dependsOn.filter(({ kind }) => kind === 'join').map(({ task: one }) => one),
    neededBy: neededBy.map(({ task: one }) => one),
    neededByMore: Math.max(0, Number(needed.rows[0]?.n ?? 0) - neededBy.length),
    parent: parents.find((one) => one.id === Number(row.parent ?? -1)) ?? null,
    resources: await resources(db, run.run, task),
    tails: await tails(db, run.run, task),
  };
}

/** Tasks as neighbours, in the order of `numbers`. */
export async function byNumber(db: Kysely<Schema>, run: number, numbers: readonly number[]): Promise<Neighbour[]> {
  if (numbers.length === 0) return [];
  const { rows } = await sql<{ task: number; app: string | null; state: number }>`
    select t.task, a.name as app, t.state from tasks t left join apps a on a.run = t.run and a.app = t.app
    where t.run = ${run} and t.task in (${sql.join(numbers.map(Number))})`.execute(db);
  const found = new Map(rows.map((row) => [Number(row.task), row]));
  return numbers.flatMap((number) => {
    const row = found.get(Number(number));
    return row === undefined
      ? []
      : [{ id: Number(row.task), app: row.app ?? '?', state: stateNames.get(Number(row.state)) ?? 'pending' }];
  });
}

async function neighbours(
  db: Kysely<Schema>,
  run: number,
  edges: ReturnType<typeof sql>,
): Promise<{ kind: string; task: Neighbour }[]> {
  const { rows } = (await edges.execute(db)) as { rows: { needs: number; kind?: string }[] };
  const tasks = await byNumber(
    db,
    run,
    rows.map(({ needs }) => Number(needs)),
  );
  const kinds = new Map(rows.map(({ needs, kind }) => [Number(needs), kind]));
  return tasks.map((task) => ({ kind: kinds.get(task.id) ?? '', task }));
}

async function failuresOf(db: Kysely<Schema>, run: number, task: number): Promise<Failure[]> {
  const { rows } = await sql<Failure>`
    select try, at, code, class, message, stack, root_task from failures
    where run = ${run} and task = ${task} order by try`.execute(db);
  return rows;
}

async function earlierTries(db: Kysely<Schema>, run: number, task: number): Promise<RawTry[]> {
  const { rows } = await sql<RawTry>`
    select t.try, t.pid, t.launched, t.running, t.running_ended, t.returned, p.executor, p.host, p.block, p.manager, p.worker
    from tries t left join places p on p.run = t.run and p.place = t.place
    where t.run = ${run} and t.task = ${task} order by t.try`.execute(db);
  return rows;
}

function tryRow(row: RawTry, failures: readonly Failure[]): TryRow {
  const failure = failures.find((one) => Number(one.try) === Number(row.try));
  const time = (value: number | null): number | null => (value === null ? null : Number(value));
  return {
    number: Number(row.try),
    executor: row.executor,
    host: row.host,
    block: row.block,
    manager: row.manager,
    worker: row.worker === null ? null : workerName(row.host, row.worker),
    pid: time(row.pid),
    launched: time(row.launched),
    started: time(row.running),
    ended: time(row.running_ended),
    returned: time(row.returned),
    error: failure === undefined ? null : errorLine(failure.class, failure.message),
    errorText: failure === undefined ? null : errorText(failure),
  };
}

function errorText({ class: name, message, stack }: Failure): string {
  const head = message.startsWith(name) ? message : `${name}: ${message}`;
  if (stack === null || stack === '') return head;
  return stack.includes(message.split('\n', 1)[0] as string) ? stack : `${head}\n${stack}`;
}

function historyOf(row: Row, earlier: readonly RawTry[]): TaskDetail['history'] {
  const history: { state: State; at: number; tryNumber: number }[] = [];
  const add = (state: State, at: number | null, tryNumber: number): void => {
    if (at !== null) history.push({ state, at: Number(at), tryNumber: Number(tryNumber) });
  };
  add('pending', row.invoked, 0);
  for (const one of earlier) {
    add('launched', one.launched, one.try);
    add('running', one.running, one.try);
    add('running_ended', one.running_ended, one.try);
    add('fail_retryable', one.returned, one.try);
  }
  add('launched', row.launched, row.try);
  add('running', row.running, row.try);
  add('running_ended', row.running_ended, row.try);
  add('joining', row.joining, row.try);
  add(stateNames.get(Number(row.state)) ?? 'pending', row.returned, row.try);
  return history;
}

async function resources(db: Kysely<Schema>, run: number, task: number): Promise<ResourceRow[]> {
  const { rows } = await sql<Schema['samples']>`
    select * from samples where run = ${run} and task = ${task} order by try, at limit ${samplesShown}`.execute(db);
  const known = (value: number | null): number | null => (value === null ? null : Number(value));
  const both = (one: number | null, other: number | null): number | null =>
    one === null && other === null ? null : Number(one ?? 0) + Number(other ?? 0);
  return rows.map((row) => ({
    at: Number(row.at),
    tryNumber: Number(row.try),
    memory: known(row.resident_bytes),
    cpuSeconds: both(row.user_seconds, row.system_seconds),
    read: known(row.read_bytes),
    written: known(row.write_bytes),
    children: known(row.children),
    switches: both(row.voluntary_switches, row.involuntary_switches),
  }));
}

async function tails(db: Kysely<Schema>, run: number, task: number): Promise<TaskDetail['tails']> {
  const { rows } = await sql<{ stream: string; bytes: number; text: string }>`
    select stream, bytes, text from output_tails where run = ${run} and task = ${task}`.execute(db);
  return rows.map(({ stream, bytes, text }) => ({ stream, bytes: Number(bytes), text }));
}

function lines(text: string | null): string[] {
  return text === null || text === '' ? [] : text.split('\n');
}

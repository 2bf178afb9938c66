// Monitoring of real runs: what is in the database afterwards, with SQLite and PostgreSQL, also when several runs share one,
// and when writers and runs are killed, databases locked and disks full.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { app } from '#src/app/app.js';
import { bashApp } from '#src/app/bash-app.js';
import { joinApp } from '#src/app/join-app.js';
import { threads } from '#src/executors/threads.js';
import type { Config } from '#src/load/config.js';
import { load } from '#src/load/load.js';
import { type MonitoringDatabase, openDatabase } from '#src/monitoring/database.js';
import { openSqlite } from '#src/monitoring/sqlite.js';
import { sh } from '#src/task/command.js';
import { type Output, output } from '#src/task/file.js';
import type { Future } from '#src/task/future.js';
import { taskStates } from '#src/task/state.js';
import { runRow } from '../support/monitored-run.ts';
import { postgresOrSkip } from '../support/postgres.ts';

const program = fileURLToPath(new URL('../fixtures/monitoring/program.mjs', import.meta.url));

const add = app((a: number, b: number) => {
  console.log(`adding ${a} and ${b}`);
  return a + b;
});
const fails = app(
  (n: number) => {
    if (n < 0) throw new RangeError(`${n} is negative`);
    return n;
  },
  { retry: 1 },
);
const remembered = app((n: number) => n * 2, { memo: true });
const hello = bashApp((name: string) => `echo hello ${name}`);
const twice = joinApp((n: number) => [add(n, n), add(n, 1)]);

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'chervil-monitoring-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A run of everything that a task can go through. */
async function eventful(config: Config): Promise<{ id: string; directory: string }> {
  await using run = await load({ signals: false, ...config });
  await run.enter(async () => {
    run.stage('first');
    const sum = add(1, 2);
    run.stage('second');
    const total = add(sum, 10);
    const failure = fails(-1);
    const consequence = add(failure, 1);
    await Promise.all([remembered(4), remembered(4)]);
    await remembered(4);
    await hello('you');
    await twice(5);
    await total;
    await Promise.allSettled([failure, consequence]);
  });
  return { id: run.id, directory: run.directory };
}

async function checkEventful(database: MonitoringDatabase, id: string): Promise<void> {
  const { db } = database;
  const run = await db.selectFrom('runs').selectAll().where('run_id', '=', id).executeTakeFirstOrThrow();
  assert.equal(run.end_reason, 'closed');
  assert.deepEqual([run.tasks, run.completed, run.memoized, run.failed, run.lost_events], [11, 7, 2, 2, 0]);
  const tasks = await db.selectFrom('tasks').selectAll().where('run', '=', run.run).orderBy('task').execute();
  assert.equal(tasks.length, 11);
  const [sum, total, failed, consequence] = tasks;
  assert.equal(sum?.state, taskStates.exec_done);
  assert.deepEqual([sum?.arguments, sum?.result, sum?.stage, total?.stage], ['1, 2', '3', 0, 1]);
  for (const task of tasks.filter((one) => one.state === taskStates.exec_done)) {
    const times = [task.invoked, task.launched ?? 0, task.running ?? task.launched ?? 0, task.returned ?? 0];
    assert.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
      `the times of task ${task.task} are in order`,
    );
  }
  assert.deepEqual([failed?.state, failed?.try], [taskStates.failed, 1]);
  assert.equal(consequence?.state, taskStates.dep_fail);
  const failures = await db
    .selectFrom('failures')
    .selectAll()
    .where('run', '=', run.run)
    .orderBy('task')
    .orderBy('try')
    .execute();
  assert.deepEqual(
    failures.map(({ task, try: number, class: kind, final }) => [task, number, kind, final]),
    [
      [2, 0, 'RangeError', 0],
      [2, 1, 'RangeError', 1],
      [3, 0, 'DependencyError', 1],
    ],
  );
  assert.match(failures[0]?.stack ?? '', /run\.test/, 'with the stack where it was thrown');
  assert.equal(failures[2]?.root_task, 2);
  const edges = await db
    .selectFrom('edges')
    .select(['task', 'needs', 'kind'])
    .where('run', '=', run.run)
    .orderBy('task')
    .orderBy('needs')
    .execute();
  assert.deepEqual(
    edges.filter(({ kind }) => kind === 'argument').map(({ task, needs }) => [task, needs]),
    [
      [1, 0],
      [3, 2],
    ],
  );
  assert.deepEqual(
    edges.filter(({ kind }) => kind === 'join').map(({ needs }) => needs),
    [9, 10],
  );
  const printed = await db
    .selectFrom('output_tails')
    .selectAll()
    .where('run', '=', run.run)
    .where('task', '=', 0)
    .executeTakeFirst();
  assert.equal(printed?.text, 'adding 1 and 2\n');
  const states = await db
    .selectFrom('app_states')
    .selectAll()
    .where('run', '=', run.run)
    .where('tasks', '<>', 0)
    .execute();
  assert.equal(
    states.reduce((all, { tasks: some }) => all + some, 0),
    11,
  );
  const level = await db
    .selectFrom('levels')
    .selectAll()
    .where('run', '=', run.run)
    .orderBy('at', 'desc')
    .executeTakeFirstOrThrow();
  assert.deepEqual(
    [level.pending, level.launched, level.running, level.exec_done, level.memo_done, level.failed, level.dep_fail],
    [0, 0, 0, 7, 2, 1, 1],
  );

  const workflow = await db.selectFrom('workflow').selectAll().where('run_id', '=', id).executeTakeFirstOrThrow();
  assert.deepEqual([workflow.tasks_completed_count, workflow.tasks_failed_count], [7, 2]);
  const passed = await db
    .selectFrom('status')
    .selectAll()
    .where('run_id', '=', id)
    .where('task_id', '=', 0)
    .orderBy('timestamp')
    .execute();
  assert.deepEqual(
    new Set(passed.map((row) => row.task_status_name)),
    new Set(['pending', 'launched', 'running', 'running_ended', 'exec_done']),
  );
  const retried = await db
    .selectFrom('try')
    .selectAll()
    .where('run_id', '=', id)
    .where('task_id', '=', 2)
    .orderBy('try_id')
    .execute();
  assert.deepEqual(
    retried.map((row) => [row.try_id, row.task_fail_history, row.task_executor]),
    [
      [0, '', 'threads'],
      [1, '-1 is negative', 'threads'],
    ],
  );
  const shown = await db
    .selectFrom('task')
    .selectAll()
    .where('run_id', '=', id)
    .where('task_id', '=', 1)
    .executeTakeFirstOrThrow();
  assert.deepEqual([shown.task_depends, shown.task_func_name, shown.task_memoize], ['0', 'add', '0']);
}

test('everything that happens in a run is in runinfo/monitoring.db afterwards, under our names and under Parsl’s', async (t) => {
  const runDir = folder(t);
  const { id, directory } = await eventful({ runDir, monitoring: true, executors: [threads({ max: 1 })] });
  await using database = await openDatabase(join(runDir, 'monitoring.db'));
  await checkEventful(database, id);
  assert.ok(!existsSync(join(directory, 'monitoring')), 'nothing is left of the feed');
});

test('the same run in PostgreSQL', async (t) => {
  const url = await postgresOrSkip(t);
  if (url === undefined) return;
  const runDir = folder(t);
  const first = await eventful({ runDir, monitoring: { database: url }, executors: [threads({ max: 1 })] });
  const second = await eventful({ runDir, monitoring: { database: url }, executors: [threads({ max: 1 })] });
  await using database = await openDatabase(url);
  await checkEventful(database, first.id);
  await checkEventful(database, second.id);
});

test('what a command printed, and the files that it made, are dependencies on its task in both kinds of tables', async (t) => {
  const runDir = folder(t);
  const write = bashApp((io: { to: Output }) => sh`echo out; echo err >&2; echo file > ${io.to}`);
  const count = app((...texts: unknown[]) => texts.length);
  const pass = joinApp((n: number) => hello(String(n)).stdout as unknown as Future<string>);
  const run = await load({ signals: false, runDir, monitoring: true, executors: [threads({ max: 1 })] });
  await run.enter(async () => {
    const written = write({ to: output(join(runDir, 'file')) });
    await count(written.stdout, { deep: [written.stderr] });
    await count(written.outputs.to);
    await count(written, written.stdout, written.map(String));
    assert.equal(await pass(1), 'hello 1\n');
  });
  await run.close();
  await using database = await openDatabase(join(runDir, 'monitoring.db'));
  const edges = await database.db.selectFrom('edges').select(['task', 'needs', 'kind']).orderBy('task').execute();
  assert.deepEqual(
    edges.map(({ task, needs, kind }) => [task, needs, kind]),
    [
      [1, 0, 'argument'],
      [2, 0, 'argument'],
      [3, 0, 'argument'],
      [4, 5, 'join'],
    ],
  );
  const shown = await database.db
    .selectFrom('task')
    .select(['task_id', 'task_depends'])
    .where('run_id', '=', run.id)
    .orderBy('task_id')
    .execute();
  assert.deepEqual(
    shown.map(({ task_depends }) => task_depends),
    ['', '0', '0', '0', '', ''],
  );
});

interface Program {
  readonly process: ChildProcess;
  readonly stderr: () => string;
  /** The next line of its output, as JSON. */
  readonly next: () => Promise<Record<string, unknown>>;
  readonly ended: Promise<number | null>;
}

function start(t: TestContext, options: Record<string, unknown>): Program {
  const child = spawn(process.execPath, [program, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'pipe'] });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  let stderr = '';
  child.stderr?.on('data', (bytes) => {
    stderr += String(bytes);
  });
  t.after(() => void child.kill('SIGKILL'));
  return {
    process: child,
    stderr: () => stderr,
    next: async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error(`the program ended: ${stderr}`);
      return JSON.parse(value as string) as Record<string, unknown>;
    },
    ended: new Promise((resolve) => child.once('exit', (code) => resolve(code))),
  };
}

async function until<Value>(
  what: string,
  look: () => Promise<Value | undefined> | Value | undefined,
  limitMs = 60_000,
): Promise<Value> {
  for (const end = Date.now() + limitMs; ; ) {
    const value = await look();
    if (value !== undefined) return value;
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** How many tasks of a run the database has as done, and how the run ended; without a run: `undefined`. */
async function standing(
  path: string,
  id: string,
): Promise<{ tasks: number; done: number; end: string | null } | undefined> {
  if (!existsSync(path)) return undefined;
  await using database = await openDatabase(path);
  const run = await database.db.selectFrom('runs').selectAll().where('run_id', '=', id).executeTakeFirst();
  if (run === undefined) return undefined;
  const [row] = await database.db
    .selectFrom('tasks')
    .select((of) => of.fn.countAll<number>().as('done'))
    .where('run', '=', run.run)
    .where('state', '=', taskStates.exec_done)
    .execute();
  return { tasks: run.tasks, done: Number(row?.done), end: run.end_reason };
}

function isSound(path: string): boolean {
  const database = openSqlite(path, 'read');
  const [row] = database.prepare('pragma integrity_check').all([]) as { integrity_check: string }[];
  database.close();
  return row?.integrity_check === 'ok';
}

test('three runs at once share one database', async (t) => {
  const runDir = folder(t);
  const runs = [1, 2, 3].map(() => start(t, { monitoring: true, runDir, tasks: 3_000 }));
  const ids = await Promise.all(runs.map(async (one) => (await one.next())['run'] as string));
  assert.deepEqual(await Promise.all(runs.map((one) => one.ended)), [0, 0, 0]);
  const path = join(runDir, 'monitoring.db');
  for (const id of ids) assert.deepEqual(await standing(path, id), { tasks: 3_000, done: 3_000, end: 'closed' });
  assert.ok(isSound(path), 'the file is sound');
});

test('a writer that is killed is started again and nothing is lost', async (t) => {
  const runDir = folder(t);
  const run = start(t, { monitoring: true, runDir, tasks: 2_000, then: 'input' });
  const { run: id, writer } = await run.next();
  process.kill(writer as number, 'SIGKILL');
  await run.next();
  run.process.stdin?.write('more\n');
  await run.next();
  run.process.stdin?.write('end\n');
  assert.equal(await run.ended, 0);
  assert.match(run.stderr(), /writer of the database was killed by SIGKILL; it is started again/);
  assert.deepEqual(await standing(join(runDir, 'monitoring.db'), id as string), {
    tasks: 4_000,
    done: 4_000,
    end: 'closed',
  });
});

test('signals other than SIGKILL do not trouble the writer', async (t) => {
  const runDir = folder(t);
  const run = start(t, { monitoring: true, runDir, tasks: 500, then: 'input' });
  const { run: id, writer } = await run.next();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(writer as number, signal);
  await run.next();
  run.process.stdin?.write('end\n');
  assert.equal(await run.ended, 0);
  assert.deepEqual(await standing(join(runDir, 'monitoring.db'), id as string), {
    tasks: 500,
    done: 500,
    end: 'closed',
  });
});

test('of a run that is killed everything is kept but the last moment, and it is marked as lost', async (t) => {
  const runDir = folder(t);
  const run = start(t, { monitoring: true, runDir, tasks: 2_000, then: 'hang' });
  const { run: id, directory } = await run.next();
  await run.next();
  const path = join(runDir, 'monitoring.db');
  await until('all tasks are in the database', async () =>
    (await standing(path, id as string))?.done === 2_000 ? true : undefined,
  );
  run.process.kill('SIGKILL');
  await run.ended;
  await until('the run is marked', async () =>
    (await standing(path, id as string))?.end === 'lost' ? true : undefined,
  );
  assert.ok(isSound(path), 'the file is sound');
  await until('the writer has ended', () => (existsSync(join(directory as string, 'monitoring')) ? undefined : true));
});

test('while the database is locked the tasks go on, and everything is written afterwards', async (t) => {
  const runDir = folder(t);
  const path = join(runDir, 'monitoring.db');
  const run = start(t, { monitoring: true, runDir, tasks: 500, then: 'input' });
  const { run: id } = await run.next();
  await run.next();
  const other = openSqlite(path, 'write');
  other.exec('pragma busy_timeout = 60000');
  other.exec('begin exclusive');
  run.process.stdin?.write('more\n');
  await run.next();
  await until('the run says so', () => (/the database cannot be written/.test(run.stderr()) ? true : undefined));
  other.exec('rollback');
  other.close();
  run.process.stdin?.write('end\n');
  assert.equal(await run.ended, 0);
  assert.deepEqual(await standing(path, id as string), { tasks: 1_000, done: 1_000, end: 'closed' });
});

test('on a full disk the tasks go on, and everything is written when there is room again', async (t) => {
  const disk = join(folder(t), 'disk');
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', disk], { stdio: 'ignore' });
  } catch {
    t.skip('only root may mount a small disk');
    return;
  }
  try {
    await fillAndEmpty(t, disk);
  } finally {
    execFileSync('umount', ['-l', disk]);
  }
});

async function fillAndEmpty(t: TestContext, disk: string): Promise<void> {
  const path = join(disk, 'monitoring.db');
  const runDir = folder(t);
  const run = start(t, { monitoring: { database: path }, runDir, tasks: 500, then: 'input' });
  const { run: id } = await run.next();
  await run.next();
  await until('the first tasks are there', async () =>
    (await standing(path, id as string))?.done === 500 ? true : undefined,
  );
  const filler = join(disk, 'filler');
  try {
    for (let size = 65_536; size > 0; ) {
      try {
        writeFileSync(filler, Buffer.alloc(size), { flag: 'a' });
      } catch {
        size = Math.floor(size / 2);
      }
    }
  } catch {
    // Full is what it shall be.
  }
  for (let round = 0; round < 4; round++) {
    run.process.stdin?.write('more\n');
    await run.next();
  }
  await until('the run says so', () => (/the database cannot be written/.test(run.stderr()) ? true : undefined));
  rmSync(filler);
  run.process.stdin?.write('end\n');
  assert.equal(await run.ended, 0);
  assert.deepEqual(await standing(path, id as string), { tasks: 2_500, done: 2_500, end: 'closed' });
  assert.ok(isSound(path), 'the file is sound');
}

test('a database that cannot be used is told by load(), and nothing is started', async (t) => {
  const runDir = folder(t);
  const path = join(runDir, 'other.db');
  writeFileSync(path, 'this is a text, and a long one, and no database at all. '.repeat(20));
  await assert.rejects(
    async () => load({ runDir, monitoring: { database: path }, signals: false }),
    (error: Error) => /monitoring\.database/.test(error.message) && /not a database/.test(error.message),
  );
  const parsl = join(runDir, 'parsl.db');
  const own = openSqlite(parsl, 'write');
  own.exec('create table workflow (run_id text primary key)');
  own.close();
  await assert.rejects(
    async () => load({ runDir, monitoring: { database: parsl }, signals: false }),
    /Parsl's own tables/,
  );
  await assert.rejects(
    async () => load({ runDir, monitoring: { database: 'mysql://x/y' }, signals: false }),
    /begins with postgres/,
  );
  await assert.rejects(
    async () => load({ runDir, monitoring: { resources: 'often' } as never, signals: false }),
    /monitoring\.resources/,
  );
});

test('where SQLite’s WAL cannot work the run says so, and does without', async (t) => {
  const path = join(folder(t), 'monitoring.db');
  await using database = await openDatabase(path, { mode: 'write', network: 'NFS' });
  assert.match(database.notes.join(), /is on NFS/);
  assert.deepEqual(
    database.sqlite
      ?.prepare('pragma journal_mode')
      .all([])
      .map((row) => Object.values(row as object)),
    [['delete']],
  );
});

test('a feed that grows too long slows the run down, and then loses events with a word about it', async (t) => {
  const { Feed } = await import('#src/monitoring/feed.js');
  const directory = folder(t);
  const said: string[] = [];
  const feed = new Feed({
    directory,
    segmentBytes: 1_000,
    mostSegments: 3,
    holdMs: 50,
    onWritten: () => {},
    onProblem: (text) => said.push(text),
  });
  for (let task = 0; task < 200; task++) {
    feed.records.opened(task, 0, 1, undefined, undefined, undefined, '');
    if (task % 40 === 39) feed.flush();
  }
  assert.equal(readdirSync(directory).length, 3);
  assert.equal(feed.lost, 80);
  assert.match(said[0] ?? '', /slowed down/);
  assert.match(said[1] ?? '', /loses events, 40 so far/);
  rmSync(join(directory, readdirSync(directory).sort()[0] as string));
  feed.records.opened(200, 0, 1, undefined, undefined, undefined, '');
  feed.close();
  assert.match(said.at(-1) ?? '', /80 events in between were dropped/);
  assert.match(
    readFileSync(join(directory, readdirSync(directory).sort().at(-1) as string), 'latin1'),
    /"kind":"lost","events":80/,
  );
});

test('what a run could not write is taken in later from its run directory', async (t) => {
  const runDir = folder(t);
  const { Feed } = await import('#src/monitoring/feed.js');
  const { runWriter } = await import('#src/monitoring/writer.js');
  const directory = join(runDir, '000', 'monitoring');
  const feed = new Feed({ directory, onWritten: () => {}, onProblem: () => {} });
  feed.records.rare({ kind: 'app', app: 0, name: 'left', body: 'function', memoize: false });
  feed.records.opened(0, 0, 1_000, undefined, undefined, undefined, '1');
  feed.close();
  const run = { ...runRow, run_id: 'left-behind', directory: runDir };
  const path = join(runDir, 'monitoring.db');
  const start = {
    database: path,
    feed: directory,
    run,
    batchMs: 500,
    batchRecords: 1_000,
    busyMs: 1_000,
    patienceMs: 1_000,
  };
  await runWriter(start, { tell: () => {}, wait: async () => {}, isSourceGone: () => true });
  assert.deepEqual(await standing(path, 'left-behind'), { tasks: 1, done: 0, end: 'lost' });
  assert.ok(!existsSync(directory), 'nothing is left of the feed');
});

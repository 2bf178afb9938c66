// The dashboard over PostgreSQL answers as it does over SQLite, whether Chervil or Parsl writes there.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sql } from 'kysely';
import pg from 'pg';
import { serveDashboard } from '#src/dashboard/server.js';
import { openDatabase } from '#src/monitoring/database.js';
import { tables } from '#src/monitoring/schema.js';
import { postgresOrSkip } from '../support/postgres.ts';
import { makeSynthetic } from '../support/synthetic.ts';

const questions = [
  '',
  '/series',
  '/facets',
  '/tasks?limit=50',
  '/tasks?state=failed,dep_fail&app=merge',
  '/tasks?worker=nid0012/3&sort=duration&order=desc',
  '/tasks?sort=ended&order=desc&limit=20',
  '/tasks?error=RangeError',
  '/tasks?error=quality%205%20is',
  '/tasks?error=%25',
  '/tasks?from=1767323080000&name=s',
  '/tasks?retried=1&sort=tries&order=desc',
  '/count?state=failed',
  '/count?error=RangeError&retried=1',
  '/tasks/26',
  '/tasks/100',
  '/graph?by=app',
  '/graph?by=task',
  '/graph?around=100',
  '/timeline?from=1767323045000&to=1767323095000&buckets=50',
  '/timeline?buckets=50',
  '/apps?sort=failed&limit=5&offset=3',
  '/apps?name=A',
  '/executors',
  '/managers?limit=2&offset=1',
  '/managers?text=NID0012',
  '/blocks?limit=3',
  '/attention',
];

test('the dashboard over PostgreSQL answers as it does over SQLite', async (t) => {
  const url = await postgresOrSkip(t);
  if (url === undefined) return;
  const folder = mkdtempSync(join(tmpdir(), 'chervil-dashboard-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'monitoring.db');
  const { runId } = await makeSynthetic(path, { tasks: 4_500 });
  {
    await using from = await openDatabase(path);
    await using to = await openDatabase(url, { mode: 'write' });
    for (const name of Object.keys(tables) as (keyof typeof tables)[]) {
      if (name === 'chervil_schema') continue;
      const rows = (await sql<Record<string, unknown>>`select * from ${sql.table(name)}`.execute(from.db)).rows;
      for (let at = 0; at < rows.length; at += 500)
        await to.db
          .insertInto(name)
          .values(rows.slice(at, at + 500) as never)
          .execute();
    }
  }
  await using sqlite = await serveDashboard(path);
  await using postgres = await serveDashboard(url);
  const compare = async (question: string): Promise<void> => {
    const [expected, found] = await Promise.all(
      [sqlite, postgres].map(async (dashboard) => {
        const response = await fetch(new URL(`api/runs/${runId}${question}`, dashboard.url));
        const text = await response.text();
        assert.equal(response.status, 200, `${question}: ${text}`);
        return JSON.parse(text) as Record<string, unknown>;
      }),
    );
    // When they were asked.
    for (const answer of [expected, found]) delete answer?.['now'];
    assert.deepEqual(found, expected, question);
  };
  for (const question of questions) await compare(question);
  // The same tasks again and again, later each time: so many that a timeline looks at moments.
  for (const where of [path, url]) {
    await using database = await openDatabase(where, { mode: 'write' });
    await sql`
      insert into tasks (run, task, app, state, try, place, invoked, launched, running, running_ended, returned)
      with recursive g(n) as (select 1 union all select g.n + 1 from g where g.n < 25)
      select t.run, t.task + g.n * 4500, t.app, t.state, t.try, t.place, t.invoked + g.n * 300000, t.launched + g.n * 300000,
        t.running + g.n * 300000, t.running_ended + g.n * 300000, t.returned + g.n * 300000 from tasks t cross join g`.execute(
      database.db,
    );
  }
  for (const window of ['', '&from=1767324000000&to=1767330000000']) await compare(`/timeline?buckets=50${window}`);
});

test('a table that another program locks in PostgreSQL is told as locked, and answered again when it is free', async (t) => {
  const url = await postgresOrSkip(t);
  if (url === undefined) return;
  await (await openDatabase(url, { mode: 'write' })).close();
  await using dashboard = await serveDashboard(url);
  const runs = async (): Promise<[status: number, text: string]> => {
    const response = await fetch(new URL('api/runs', dashboard.url));
    return [response.status, await response.text()];
  };
  const other = new pg.Client({ connectionString: url });
  await other.connect();
  try {
    await other.query('begin');
    await other.query('lock table runs in access exclusive mode');
    const [status, text] = await runs();
    assert.deepEqual([status, text.includes('locked by another program')], [503, true], text);
    await other.query('commit');
    assert.equal((await runs())[0], 200);
  } finally {
    await other.end();
  }
});

test('a database of Parsl in PostgreSQL is shown, and while a run of it is copied again, as it was before', async (t) => {
  const url = await postgresOrSkip(t);
  if (url === undefined) return;
  const { Client } = createRequire(import.meta.url)('pg') as typeof import('pg');
  const parsl = new Client({ connectionString: url });
  await parsl.connect();
  try {
    await parsl.query(`
      create table workflow (run_id text primary key, workflow_name text, workflow_version text, time_began timestamp not null,
        time_completed timestamp, host text, "user" text, rundir text, tasks_failed_count integer, tasks_completed_count integer);
      create table task (task_id integer, run_id text, task_depends text, task_func_name text, task_memoize text, task_hashsum text,
        task_inputs text, task_outputs text, task_stdout text, task_stderr text, task_time_invoked timestamp,
        task_time_returned timestamp, task_fail_count integer, primary key (task_id, run_id));
      create table try (try_id integer, task_id integer, run_id text, block_id text, hostname text, task_executor text,
        task_try_time_launched timestamp, task_try_time_running timestamp, task_try_time_returned timestamp,
        task_fail_history text, task_joins text, primary key (try_id, task_id, run_id));
      create table status (task_id integer, task_status_name text, timestamp timestamp, run_id text, try_id integer);
      create table resource (try_id integer, task_id integer, run_id text, timestamp timestamp, resource_monitoring_interval float);
      insert into workflow values ('run-1', 'live.py', '1', now(), null, 'login1', 'ada', '/runinfo/000', 0, 0);
      insert into task (task_id, run_id, task_func_name, task_time_invoked) values (0, 'run-1', 'simulate', now());
      insert into status values (0, 'pending', now(), 'run-1', 0);`);
    await using dashboard = await serveDashboard(url);
    const ask = (path: string) => fetch(new URL(`api/runs${path}`, dashboard.url));
    const counts = async () => {
      const response = await ask('/run-1');
      assert.equal(response.status, 200);
      return ((await response.json()) as { counts: unknown }).counts;
    };
    assert.deepEqual(await counts(), { pending: 1 });
    await parsl.query(`insert into status values (0, 'exec_done', now(), 'run-1', 0)`);
    // What is copied last has to wait.
    await parsl.query('begin; lock table resource in access exclusive mode');
    const asked: Promise<Response>[] = [];
    while ((await parsl.query('select 1 from pg_locks where not granted')).rowCount === 0) asked.push(ask(''));
    assert.deepEqual(await counts(), { pending: 1 });
    await parsl.query('commit');
    for (const response of await Promise.all(asked)) assert.equal(response.status, 200);
    assert.deepEqual(await counts(), { exec_done: 1 });
  } finally {
    await parsl.end();
  }
});

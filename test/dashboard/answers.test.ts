// What the dashboard's server answers, and to whom: lists against a search through all rows, live news, and who is refused.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { sql } from 'kysely';
import type {
  AppRow,
  Attention,
  BlockRow,
  Executors,
  Graph,
  Managers,
  OutputText,
  Page,
  Part,
  RunDetail,
  RunRow,
  Series,
  TaskCount,
  TaskDetail,
  TaskRow,
  Timeline,
} from '#src/dashboard/api.js';
import { LiveFeeds } from '#src/dashboard/live.js';
import { type Dashboard, type DashboardOptions, serveDashboard } from '#src/dashboard/server.js';
import { openDatabase } from '#src/monitoring/database.js';
import { taskStates } from '#src/task/state.js';
import { copyWithoutWal, lockElsewhere } from '../support/lock.ts';
import { addCrowd, makeSynthetic, type Synthetic } from '../support/synthetic.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'chervil-answers-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

interface Served {
  readonly dashboard: Dashboard;
  readonly database: string;
  readonly run: string;
  readonly number: number;
  get<Answer>(path: string): Promise<Answer>;
}

async function served(t: TestContext, synthetic: Synthetic = {}, options: DashboardOptions = {}): Promise<Served> {
  const database = join(folder(t), 'monitoring.db');
  const { runId, run } = await makeSynthetic(database, synthetic);
  const dashboard = await serveDashboard(database, options);
  t.after(() => dashboard.close());
  return {
    dashboard,
    database,
    run: runId,
    number: run,
    async get<Answer>(path: string) {
      const response = await fetch(new URL(`api/runs/${runId}${path}`, dashboard.url));
      const text = await response.text();
      assert.equal(response.status, 200, `${path}: ${text}`);
      return JSON.parse(text) as Answer;
    },
  };
}

interface Raw {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Fetch does not let a test choose its Host header. */
function ask(dashboard: Dashboard, path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: dashboard.port, path, headers, method }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

test('the page comes with a policy that lets nothing else in', async (t) => {
  const { dashboard } = await served(t, { tasks: 20 });
  for (const path of ['/', '/app.js', '/api/runs', '/api/nothing', '/nothing']) {
    const { headers } = await ask(dashboard, path);
    assert.match(String(headers['content-security-policy']), /default-src 'none'; script-src 'self'/, path);
    assert.equal(headers['x-content-type-options'], 'nosniff', path);
    assert.equal(headers['access-control-allow-origin'], undefined, path);
  }
  const { text } = await ask(dashboard, '/');
  assert.doesNotMatch(
    text,
    /<script(?![^>]*src="app\.js")|https?:\/\//,
    'a script in the page, or something from elsewhere',
  );
});

test('a name that is not ours is not answered to, so that no other site can read the page', async (t) => {
  const { dashboard } = await served(t, { tasks: 20 }, { hosts: ['login.example'] });
  const statusFor = async (host: string): Promise<number> => (await ask(dashboard, '/api/runs', { host })).status;
  for (const host of ['localhost', `localhost:${dashboard.port}`, '127.0.0.1:1', '[::1]:80', 'LOGIN.example:80'])
    assert.equal(await statusFor(host), 200, host);
  for (const host of ['evil.example', 'localhost.evil.example', 'localhost:80@evil.example'])
    assert.ok([400, 421].includes(await statusFor(host)), host);
});

test('only reading is understood, and not for a script of another site', async (t) => {
  const { dashboard } = await served(t, { tasks: 20 });
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
    assert.equal((await ask(dashboard, '/api/runs', {}, method)).status, 405, method);
  const foreign = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' };
  assert.equal((await ask(dashboard, '/api/runs', foreign)).status, 403);
  assert.equal(
    (await ask(dashboard, '/', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' })).status,
    200,
  );
});

test('beyond loopback whoever comes needs the token, which does not stay in the address', async (t) => {
  const { dashboard } = await served(t, { tasks: 20 }, { address: '0.0.0.0' });
  const { token } = dashboard;
  assert.ok(token !== undefined && token.length >= 32, 'a token of many characters');
  assert.ok(dashboard.url.endsWith(`?token=${token}`), dashboard.url);
  for (const path of ['/', '/app.js', '/api/runs', '/api/live', '/api/runs?token=wrong'])
    assert.equal((await ask(dashboard, path)).status, 401, path);
  assert.equal((await ask(dashboard, '/api/runs', { authorization: 'Bearer wrong' })).status, 401);
  assert.equal((await ask(dashboard, '/api/runs', { authorization: `Bearer ${token}` })).status, 200);
  const entered = await ask(dashboard, `/?token=${token}`);
  assert.deepEqual([entered.status, entered.headers.location], [302, './']);
  const cookie = String(entered.headers['set-cookie']);
  assert.match(cookie, /HttpOnly; SameSite=Strict/);
  assert.equal((await ask(dashboard, '/api/runs', { cookie: cookie.split(';')[0] as string })).status, 200);
  const asked = await served(t, { tasks: 20 }, { token: true });
  assert.equal((await ask(asked.dashboard, '/api/runs')).status, 401, 'asked for on loopback, too');
});

test('no path of a request becomes a path of the disk', async (t) => {
  const { dashboard, run } = await served(t, { tasks: 20 });
  for (const path of [
    '/../package.json',
    '/..%2fserver.js',
    '/%2e%2e/server.js',
    '/server.js',
    '/page/app.js',
    '/constructor',
  ])
    assert.equal((await ask(dashboard, path)).status, 404, path);
  for (const stream of ['..%2f..%2fetc%2fpasswd', 'stdin'])
    assert.equal((await ask(dashboard, `/api/runs/${run}/tasks/2/output/${stream}`)).status, 404, stream);
});

test('wrong questions are refused with a sentence', async (t) => {
  const { dashboard, run } = await served(t, { tasks: 20 });
  const wrong: readonly [path: string, status: number, text: RegExp][] = [
    ['/api/runs/unknown', 404, /there is no run unknown/],
    [`/api/runs/${run}/tasks/999`, 404, /no task 999/],
    [`/api/runs/${run}/tasks/1x`, 404, /no task 1x/],
    [`/api/runs/${run}/tasks?state=done`, 400, /there is no state 'done'; there are pending/],
    [`/api/runs/${run}/tasks?sort=colour`, 400, /sorted by id/],
    [`/api/runs/${run}/apps?sort=colour`, 400, /apps are sorted by tasks, failed, name/],
    [`/api/runs/${run}/managers?text=%00`, 400, /zero byte/],
    [`/api/runs/${run}/blocks?offset=some`, 400, /offset must be a number/],
    [`/api/runs/${run}/tasks?cursor=!!`, 400, /cursor is not one/],
    [`/api/runs/${run}/tasks?cursor=${Buffer.from('[1e300]').toString('base64url')}`, 400, /cursor is not one/],
    [`/api/runs/${run}/timeline?from=1e300`, 400, /from must be a number/],
    [`/api/runs/${run}/tasks?error=%00`, 400, /zero byte/],
    [`/api/runs/${run}/graph?app=%00`, 400, /zero byte/],
    ['/api/runs/%00', 404, /there is no run/],
    [`/api/runs/${run}/tasks?limit=many`, 400, /limit must be a number/],
    [`/api/runs/${run}/timeline?buckets=1.5`, 400, /whole number/],
  ];
  for (const [path, status, text] of wrong) {
    const answer = await ask(dashboard, path);
    assert.equal(answer.status, status, path);
    assert.match((JSON.parse(answer.text) as { error: string }).error, text);
  }
});

test('a list of tasks has exactly those that fit, in order, each once, however it is asked for', async (t) => {
  const { get, database, number } = await served(t, { tasks: 3_000, isLive: true });
  await using monitoring = await openDatabase(database);
  const rows = await monitoring.db
    .selectFrom('tasks as t')
    .innerJoin('apps as a', (join) => join.onRef('a.run', '=', 't.run').onRef('a.app', '=', 't.app'))
    .leftJoin('places as p', (join) => join.onRef('p.run', '=', 't.run').onRef('p.place', '=', 't.place'))
    .leftJoin('failures as f', (join) =>
      join.onRef('f.run', '=', 't.run').onRef('f.task', '=', 't.task').on('f.final', '=', 1),
    )
    .select([
      't.task',
      'a.name',
      't.state',
      't.try',
      't.invoked',
      't.running',
      't.running_ended',
      't.returned',
      'p.host',
      'p.worker',
      'f.message',
      'f.class',
    ])
    .where('t.run', '=', number)
    .execute();
  type Row = (typeof rows)[number];
  const middle = rows[1_500] as Row;
  const filters: readonly [query: string, fits: (row: Row) => boolean][] = [
    ['', () => true],
    ['state=failed', (row) => row.state === 4],
    ['state=failed,dep_fail&app=merge', (row) => [4, 5].includes(row.state) && row.name === 'merge'],
    ['state=exec_done&app=fetch', (row) => row.state === 3 && row.name === 'fetch'],
    ['app=nothing', () => false],
    ['name=s', (row) => row.name.startsWith('s')],
    ['worker=nid0012/3', (row) => row.host === 'nid0012' && row.worker === '3'],
    ['worker=nid0012&state=exec_done', (row) => row.host === 'nid0012' && row.state === 3],
    ['executor=htex&app=call', (row) => row.host !== null && row.name === 'call'],
    ['idFrom=100&idTo=250', (row) => row.task >= 100 && row.task <= 250],
    [`from=${middle.invoked}&app=sort`, (row) => row.invoked >= middle.invoked && row.name === 'sort'],
    [`to=${middle.invoked}`, (row) => row.invoked <= middle.invoked],
    ['error=RangeError', (row) => row.class === 'RangeError'],
    ['error=quality%205', (row) => row.message?.startsWith('quality 5') ?? false],
    ['retried=1', (row) => row.try > 0],
  ];
  const ran = (row: Row): number | null => {
    const end = row.running_ended ?? row.returned;
    return end === null || row.running === null ? null : end - row.running;
  };
  const sorts: readonly [sort: string, key: (row: Row) => number | null][] = [
    ['id', (row) => row.task],
    ['ended', (row) => row.returned],
    ['duration', ran],
    ['tries', (row) => row.try],
  ];
  for (const [query, fits] of filters) {
    const fitting = rows.filter(fits);
    const { count } = await get<TaskCount>(`/count?${query}`);
    assert.equal(count, fitting.length, `the count of ${query}`);
    for (const [sort, key] of sorts) {
      for (const order of ['asc', 'desc']) {
        const sign = order === 'asc' ? 1 : -1;
        const expected = fitting
          .filter((row) => key(row) !== null)
          .sort((a, b) => sign * ((key(a) as number) - (key(b) as number) || a.task - b.task))
          .map(({ task }) => task);
        const found: number[] = [];
        let cursor: string | null = '';
        // As large as the page's, and one that does not divide anything.
        while (cursor !== null) {
          const part: Page<TaskRow> = await get(
            `/tasks?${query}&sort=${sort}&order=${order}&limit=701&cursor=${cursor}`,
          );
          found.push(...part.rows.map(({ id }) => id));
          cursor = part.next;
        }
        assert.deepEqual(found, expected, `${query} by ${sort}, ${order}`);
      }
    }
  }
});

test('one task is told with its tries, its neighbours, its error and its output', async (t) => {
  const { get, database, number } = await served(t, { tasks: 12_000 });
  await using monitoring = await openDatabase(database);
  const { task } = await monitoring.db
    .selectFrom('tasks')
    .select('task')
    .where('run', '=', number)
    .where('state', '=', 4)
    .where('try', '=', 1)
    .executeTakeFirstOrThrow();
  const detail = await get<TaskDetail>(`/tasks/${task}`);
  assert.equal(detail.state, 'failed');
  assert.equal(detail.tryRows.length, 2);
  assert.match(detail.tryRows[0]?.error ?? '', /^WorkerLostError: Lost with worker 3/);
  assert.match(detail.errorText ?? '', /\n {4}at \w+ \(file:/);
  assert.deepEqual(
    detail.history.map(({ state }) => state),
    ['pending', 'launched', 'running', 'fail_retryable', 'launched', 'running', 'running_ended', 'failed'],
  );
  assert.equal(detail.dependsOn.length, detail.app === 'fetch' ? 0 : detail.app === 'merge' ? 2 : 1);
  const consequence = detail.neededBy[0];
  if (consequence !== undefined) {
    const follower = await get<TaskDetail>(`/tasks/${consequence.id}`);
    assert.deepEqual([follower.state, follower.tries, follower.rootTask?.id], ['dep_fail', 0, task]);
  }
  const printed = await get<OutputText>('/tasks/0/output/stdout');
  assert.match(printed.text, /^line one of task 0/);
});

test('the end of a long output file is shown; what is no plain file is not waited for', async (t) => {
  const { get, database, number } = await served(t, { tasks: 20 });
  const path = join(folder(t), 'long.txt');
  writeFileSync(path, `${'x'.repeat(100_000)}\nthe end\n`);
  {
    await using monitoring = await openDatabase(database, { mode: 'write' });
    const set = (task: number, stdout: string): Promise<unknown> =>
      monitoring.db.updateTable('tasks').set({ stdout }).where('run', '=', number).where('task', '=', task).execute();
    await set(2, path);
    await set(3, '/dev/zero');
    await set(4, join(folder(t), 'not there'));
  }
  const long = await get<OutputText>('/tasks/2/output/stdout');
  assert.deepEqual([long.size, long.offset, long.problem], [100_009, 100_009 - 65_536, null]);
  assert.ok(long.text.endsWith('x\nthe end\n'), 'the end of the file');
  assert.match((await get<OutputText>('/tasks/3/output/stdout')).problem ?? '', /no plain file/);
  assert.match((await get<OutputText>('/tasks/4/output/stdout')).problem ?? '', /no such file/);
});

test('curves over time, from tasks and from seconds, end at what the run came to', async (t) => {
  for (const tasks of [2_000, 25_000]) {
    const { get } = await served(t, { tasks });
    const detail = await get<RunDetail>('');
    const lines = await get<Series>('/series');
    const done = (detail.counts.exec_done ?? 0) + (detail.counts.memo_done ?? 0);
    const failed = (detail.counts.failed ?? 0) + (detail.counts.dep_fail ?? 0);
    assert.deepEqual([lines.done.at(-1), lines.failed.at(-1)], [done, failed]);
    assert.deepEqual([lines.waiting.at(-1), lines.queued.at(-1), lines.running.at(-1)], [0, 0, 0]);
    assert.equal(
      lines.doneIn.reduce((sum, one) => sum + one, 0),
      done,
    );
    assert.ok(lines.times.length <= 600, `${lines.times.length} points`);
    assert.ok(
      lines.busy.some((value) => value > 0),
      'somebody was busy',
    );
    assert.ok(
      lines.workers.some((value) => value === 32),
      'the workers there were',
    );
  }
});

test('a timeline gives each try, or how busy each worker was, and both tell the same', async (t) => {
  const { get } = await served(t, { tasks: 4_500 });
  const whole = await get<Timeline>('/timeline?buckets=100');
  assert.equal(whole.isAggregated, true);
  assert.equal(whole.rows.length, 32);
  const tenth = (whole.to - whole.from) / 10;
  const window = `from=${Math.round(whole.from + 4 * tenth)}&to=${Math.round(whole.from + 5 * tenth)}`;
  const single = await get<Timeline>(`/timeline?${window}`);
  assert.equal(single.isAggregated, false);
  for (const [index, row] of single.rows.entries()) {
    const busy = (whole.rows[index]?.busy.slice(40, 50) ?? []).reduce((sum, share) => sum + (share * tenth) / 10, 0);
    assert.equal(row.worker, whole.rows[index]?.worker);
    // A bucket at either end may be cut differently.
    assert.ok(Math.abs(busy - row.busyMs) <= tenth / 5, `${row.worker}: ${busy} and ${row.busyMs}`);
    for (const bar of row.bars)
      assert.ok(bar.from < single.to && (bar.to ?? single.to) >= single.from, 'a bar in the window');
  }
});

for (const by of ['worker', 'host'] as const) {
  test(`a timeline by ${by} is busy in each part of its window as long as tries went on there`, async (t) => {
    const { get, database, number } = await served(t, { tasks: 4_500 });
    await using monitoring = await openDatabase(database, { mode: 'write' });
    // As executors do that do not tell their workers.
    if (by === 'host') await sql`update places set worker = null`.execute(monitoring.db);
    const { rows: tries } = await sql<{ host: string; worker: string | null; began: number; ended: number }>`
      select p.host, p.worker, t.running as began, coalesce(t.running_ended, t.returned) as ended from (
        select run, place, running, running_ended, returned from tasks union all select run, place, running, running_ended, returned from tries) t
      join places p on p.run = t.run and p.place = t.place where t.run = ${number} and t.running is not null`.execute(
      monitoring.db,
    );
    const all = await get<Timeline>('/timeline?buckets=60');
    const [start, end] = [0.1, 0.95].map((part) => Math.round(all.from + part * (all.to - all.from)));
    for (const found of [all, await get<Timeline>(`/timeline?buckets=60&from=${start}&to=${end}`)]) {
      assert.deepEqual(
        [found.isAggregated, found.isSampled, found.by, found.rows.length],
        [true, false, by, by === 'host' ? 4 : 32],
      );
      const bucketMs = (found.to - found.from) / 60;
      for (const row of found.rows) {
        const own = tries.filter(({ host, worker }) => (worker === null ? host : `${host}/${worker}`) === row.worker);
        const overlap = (from: number, to: number) =>
          own.reduce((sum, { began, ended }) => sum + Math.max(0, Math.min(ended, to) - Math.max(began, from)), 0);
        const model = Array.from({ length: 60 }, (_, at) =>
          Math.min(1, overlap(found.from + at * bucketMs, found.from + (at + 1) * bucketMs) / bucketMs),
        );
        for (const [at, share] of row.busy.entries())
          assert.ok(Math.abs(share - (model[at] ?? 0)) < 0.002, `${row.worker}, ${at}: ${share} and ${model[at]}`);
        assert.ok(Math.abs(row.busyMs - overlap(found.from, found.to)) < 1, row.worker);
        assert.equal(
          row.tries,
          own.filter(({ began, ended }) => began < found.to && ended >= found.from).length,
          row.worker,
        );
      }
    }
  });
}

test('of very many tries a timeline counts each, and is busy as they were, without reading each', async (t) => {
  const { get, database, number } = await served(t, { tasks: 120_000, sampleEvery: 100_000 });
  const whole = await get<Timeline>('/timeline?buckets=100');
  await using monitoring = await openDatabase(database);
  const { from, to } = whole;
  const exact = async (table: 'tasks' | 'tries', failed: string) =>
    (
      await sql<{ n: number; failed: number; busy: number }>`
        select count(*) as n, sum(${sql.raw(failed)}) as failed, sum(coalesce(t.running_ended, t.returned) - t.running) as busy
        from ${sql.table(table)} t join places p on p.run = t.run and p.place = t.place
        where t.run = ${number} and t.running between ${from} and ${to} group by p.place order by p.place`.execute(
        monitoring.db,
      )
    ).rows;
  const last = await exact('tasks', 't.state = 4');
  const earlier = await exact('tries', '1');
  assert.ok(last.reduce((sum, { n }) => sum + n, 0) > 100_000, 'fewer are read each');
  for (const [index, row] of whole.rows.entries()) {
    const [one, other] = [last[index], earlier[index]];
    assert.equal(row.tries, (one?.n ?? 0) + (other?.n ?? 0), row.worker);
    assert.equal(
      row.failed.reduce((sum, n) => sum + n, 0),
      (one?.failed ?? 0) + (other?.failed ?? 0),
      row.worker,
    );
    const busy = (one?.busy ?? 0) + (other?.busy ?? 0);
    assert.ok(Math.abs(row.busyMs - busy) < 0.1 * (to - from), `${row.worker}: ${row.busyMs} and ${busy}`);
  }
  // A window of it, where each is read, tells the same.
  const [start, end] = [from + 0.3 * (to - from), from + 0.4 * (to - from)].map(Math.round) as [number, number];
  const part = await get<Timeline>(`/timeline?buckets=100&from=${start}&to=${end}`);
  for (const [index, row] of part.rows.entries()) {
    const share = row.busyMs / (end - start);
    const before = whole.rows[index]?.busy.slice(30, 40) ?? [];
    const inWhole = before.reduce((sum, one) => sum + one, 0) / 10;
    assert.ok(Math.abs(share - inWhole) < 0.15, `${row.worker}: ${share} and ${inWhole}`);
  }
  // What makes it fast: moments are found by the index.
  const plan = await sql<{ detail: string }>`
    explain query plan select * from tasks t where t.run = 1 and t.place = 1 and t.running <= 5 order by t.running desc limit 1`.execute(
    monitoring.db,
  );
  assert.match(plan.rows.map(({ detail }) => detail).join(), /USING INDEX \w+ \(run=\? AND place=\? AND running<\?\)/);
});

test('of a hundred thousand workers the first are shown, with what they did and no others', async (t) => {
  const { get, database, number } = await served(t, { tasks: 40 });
  await using monitoring = await openDatabase(database, { mode: 'write' });
  const { db } = monitoring;
  await sql`
    insert into places (run, place, executor, host, worker)
    with recursive g(n) as (select 100 union all select g.n + 1 from g where g.n < 100099)
    select ${number}, g.n, 'cloud', 'node' || (g.n / 100), g.n % 100 from g`.execute(db);
  // One after the other, each as long as ten others.
  await sql`
    insert into tasks (run, task, app, state, try, place, invoked, launched, running, running_ended, returned)
    select r.run, p.place, 0, 3, 0, p.place, r.began, r.began, r.began + p.place, r.began + p.place + 10, r.began + p.place + 10
    from places p join runs r on r.run = p.run where p.place >= 100`.execute(db);
  const found = await get<Timeline>('/timeline?buckets=500');
  assert.deepEqual([found.rows.length, found.omitted], [500, 100_032 - 500]);
  assert.deepEqual([found.tries, found.isAggregated], [500, false]);
  for (const { tries, busyMs } of found.rows) assert.deepEqual([tries, busyMs], [1, 10]);
  // The first have run a thousand times as much as all others.
  await sql`
    insert into tasks (run, task, app, state, try, place, invoked, launched, running, running_ended, returned)
    with recursive g(n) as (select 1 union all select g.n + 1 from g where g.n < 250)
    select t.run, 200000 + g.n * 1000 + t.place, 0, 3, 0, t.place, t.invoked, t.launched, t.running + g.n * 20, t.running_ended + g.n * 20, t.returned + g.n * 20
    from tasks t cross join g where t.run = ${number} and t.place between 100 and 599`.execute(db);
  const many = await get<Timeline>('/timeline?buckets=500');
  assert.deepEqual([many.rows.length, many.tries, many.isAggregated, many.isSampled], [500, 251 * 500, true, false]);
  for (const { busyMs } of many.rows) assert.ok(Math.abs(busyMs - 2_510) < 1, String(busyMs));
  assert.equal((await get<TaskCount>('/count?executor=cloud')).isExact, false);
});

test('graphs have every app, or every task, with the edges between them', async (t) => {
  const { get } = await served(t, { tasks: 600 });
  const apps = await get<Graph>('/graph?by=app');
  assert.deepEqual([apps.nodes.length, apps.nodes.reduce((sum, node) => sum + node.total, 0)], [12, 600]);
  const edge = apps.edges.find(([from, to]) => apps.nodes[from]?.app === 'fetch' && apps.nodes[to]?.app === 'split');
  assert.equal(edge?.[2], 50);
  const tasks = await get<Graph>('/graph?by=task');
  assert.deepEqual([tasks.nodes.length, tasks.omitted], [600, 0]);
  const around = await get<Graph>('/graph?around=100&depth=1');
  assert.deepEqual(
    around.nodes.map(({ task }) => task),
    [99, 100, 101],
  );
  const ofApp = await get<Graph>('/graph?app=merge');
  assert.ok(ofApp.nodes.length === 50 && ofApp.nodes.every(({ app }) => app === 'merge'), 'tasks of one app');
});

test('attention names what is stuck and why, stragglers, lost blocks, silent managers, and a host where most fails', async (t) => {
  const now = Date.now();
  const { get, database, number } = await served(t, { tasks: 600, isLive: true, began: now - 30_000 });
  {
    await using monitoring = await openDatabase(database, { mode: 'write' });
    const { db } = monitoring;
    const run = number;
    await db
      .updateTable('runs')
      .set({ host: hostname(), pid: process.pid, written: now })
      .where('run', '=', run)
      .execute();
    const running = await db
      .selectFrom('tasks')
      .select(['task', 'app'])
      .where('run', '=', run)
      .where('state', '=', taskStates.running)
      .orderBy('app')
      .limit(1)
      .executeTakeFirstOrThrow();
    await db
      .updateTable('tasks')
      .set({ running: now - 25_000 })
      .where('run', '=', run)
      .where('task', '=', running.task)
      .execute();
    await db
      .insertInto('executor_samples')
      .values({
        run,
        executor: 'slurm',
        at: now,
        outstanding: 7,
        queued: 7,
        workers: 0,
        busy: 0,
        managers: 0,
        blocks: 1,
      })
      .execute();
    await db.insertInto('app_states').values({ run, app: 0, state: taskStates.launched, tasks: 7 }).execute();
    const block = { run, executor: 'slurm', block: '9', job: '4711', detail: null };
    await db
      .insertInto('block_events')
      .values([{ ...block, at: now - 20_000, status: 'PENDING', reason: '7 tasks wait for 0 workers' }])
      .execute();
    await db
      .insertInto('block_events')
      .values([
        {
          ...block,
          executor: 'htex',
          block: '3',
          at: now - 10_000,
          status: 'FAILED',
          reason: 'its job ended with code 127',
          detail: 'module: command not found',
        },
      ])
      .execute();
    await db
      .insertInto('block_events')
      .values([{ ...block, block: '3', at: now - 25_000, status: 'LOST', reason: 'the scheduler forgot it' }])
      .execute();
    await sql`update manager_events set heartbeat = ${now - 200_000} where run = ${run} and host = 'nid0013' and active = 1`.execute(
      db,
    );
    await sql`
      insert into failures (run, task, try, at, app, final, code, class, message)
      select run, task, 7, ${now}, app, 0, 'APP_ERROR', 'OSError', 'no space left on device' from tasks
      where run = ${run} and place = 9 limit 20`.execute(db);
  }
  const { concerns } = await get<Attention>('/attention');
  const told = concerns.map(({ title, advice, detail }) => [title, advice, detail].join('\n')).join('\n\n');
  for (const part of [
    /^7 tasks wait for slurm, which has no worker\nBlock 9 \(job 4711\) has waited in the queue since .*\. Look at its blocks/m,
    /^A task of \w+ runs far longer than usual\nHalf of the others were through after .* the oldest has run for \d+ s/m,
    /^Block 3 of htex failed\nits job ended with code 127\nmodule: command not found$/m,
    /^Block 3 of slurm failed\nthe scheduler forgot it\n$/m,
    /^No heartbeat from nid0013 for \d+ s\n.*\nmanager m-nid0013, 8 workers$/m,
    /^\d+ of \d+ failures happened on nid0012$/m,
  ])
    assert.match(told, part);
  assert.ok(!concerns.some(({ kind }) => kind === 'silent'), 'it goes on');
});

test('a host is named for the tries that failed there, also when the next one went well elsewhere, and not for having had most', async (t) => {
  const { get, database, number } = await served(t, { tasks: 600 });
  await using monitoring = await openDatabase(database, { mode: 'write' });
  const { db } = monitoring;
  const run = number;
  await sql`delete from failures where run = ${run}`.execute(db);
  await sql`delete from tries where run = ${run}`.execute(db);
  const titles = async () =>
    (await get<Attention>('/attention')).concerns.filter(({ kind }) => kind === 'host').map(({ title }) => title);
  const fail = (which: ReturnType<typeof sql>, place: number) =>
    sql`
    insert into tries (run, task, try, place, running, returned) select run, task, 0, ${place}, running, running from tasks where ${which}`
      .execute(db)
      .then(() =>
        sql`insert into failures (run, task, try, at, app, final, code, class, message)
        select run, task, 0, running, app, 0, 'APP_ERROR', 'OSError', 'disk' from tasks where ${which}`.execute(db),
      );
  // Place 0 is a worker of nid0011, 16 one of nid0013.
  await sql`update tasks set place = 0 where run = ${run} and place is not null and task >= 60`.execute(db);
  await sql`update tasks set place = 16, try = 1 where run = ${run} and place is not null and task < 60`.execute(db);
  const ofFirst = sql`run = ${run} and place = 16`;
  await fail(ofFirst, 0);
  const [one] = await titles();
  assert.match(one ?? '', /^(\d+) of \1 failures happened on nid0011$/);
  // Where nearly everything ran, nearly everything fails.
  await sql`delete from failures where run = ${run}`.execute(db);
  await sql`delete from tries where run = ${run}`.execute(db);
  await fail(sql`run = ${run} and place is not null and task % 5 = 0`, 0);
  await sql`update tries set place = 16 where run = ${run} and task < 100`.execute(db);
  assert.deepEqual(await titles(), []);
});

/** A dashboard of a database that has no WAL, as on network file systems: one who writes there keeps readers out. */
async function servedWithoutWal(t: TestContext): Promise<{ dashboard: Dashboard; database: string; run: string }> {
  const directory = folder(t);
  const { runId: run } = await makeSynthetic(join(directory, 'first.db'), { tasks: 20 });
  const database = join(directory, 'monitoring.db');
  copyWithoutWal(join(directory, 'first.db'), database);
  const dashboard = await serveDashboard(database);
  t.after(() => dashboard.close());
  return { dashboard, database, run };
}

test('while another program locks the database everything else is answered, and questions about it say so in the end', async (t) => {
  const { dashboard, database, run } = await servedWithoutWal(t);
  const lock = await lockElsewhere(t, database);
  const order: string[] = [];
  const answer = async (path: string): Promise<Raw> => {
    const found = await ask(dashboard, path);
    order.push(path);
    return found;
  };
  const paths = [`/api/runs/${run}`, '/api/runs', `/api/runs/${run}/tasks`, `/api/runs/${run}/apps`];
  const locked = Promise.all(paths.map(answer));
  const news = await fetch(new URL(`api/live?run=${run}`, dashboard.url));
  assert.equal(news.status, 200);
  const reader = (news.body as ReadableStream<Uint8Array>).getReader();
  assert.match(new TextDecoder().decode((await reader.read()).value), /^retry: /);
  for (const path of ['/', '/app.js', '/api/about']) assert.equal((await answer(path)).status, 200);
  assert.deepEqual(order, ['/', '/app.js', '/api/about'], 'before any of those that wait');
  for (const { status, text } of await locked) {
    assert.equal(status, 503);
    assert.deepEqual(JSON.parse(text), {
      error: 'The database is locked by another program.',
      advice: 'It is asked again in a moment.',
    });
  }
  await lock.release();
  for (const path of paths) assert.equal((await ask(dashboard, path)).status, 200, path);
  await reader.cancel();
});

test('questions that find the database locked for a moment are answered when it is free', async (t) => {
  const { dashboard, database, run } = await servedWithoutWal(t);
  const lock = await lockElsewhere(t, database);
  const waiting = ask(dashboard, `/api/runs/${run}`);
  // It is on its way behind the question, so that one has been asked.
  assert.equal((await ask(dashboard, '/api/about')).status, 200);
  await lock.release();
  assert.equal((await waiting).status, 200);
});

test('a dashboard that is closed while a question waits for a lock ends', async (t) => {
  const { dashboard, database, run } = await servedWithoutWal(t);
  await lockElsewhere(t, database);
  const waiting = assert.rejects(ask(dashboard, `/api/runs/${run}`));
  assert.equal((await ask(dashboard, '/api/about')).status, 200);
  await dashboard.close();
  await waiting;
});

test('attention counts every failure, also of a hundred thousand', async (t) => {
  const { get, database, number } = await served(t, { tasks: 100 });
  {
    await using monitoring = await openDatabase(database, { mode: 'write' });
    await sql`delete from failures where run = ${number}`.execute(monitoring.db);
    // One that failed by itself, with 60,000 that needed it, and 55,000 of two kinds.
    await sql`
      insert into failures (run, task, try, at, app, final, code, class, message, root_task)
      with recursive g(n) as (select 0 union all select g.n + 1 from g where g.n + 1 < 115001)
      select ${number}, g.n, 0, 5, 1, 1,
        case when g.n between 1 and 60000 then 'DEPENDENCY' else 'APP_ERROR' end,
        case when g.n = 0 then 'OSError' when g.n <= 60000 then 'DependencyError' when g.n % 5 = 0 then 'KeyError' else 'ValueError' end,
        'number ' || g.n, case when g.n between 1 and 60000 then 0 end from g`.execute(monitoring.db);
    await sql`delete from app_states where run = ${number} and state = 5`.execute(monitoring.db);
    await sql`insert into app_states (run, app, state, tasks) values (${number}, 1, 5, 60000)`.execute(monitoring.db);
  }
  const { concerns } = await get<Attention>('/attention');
  const titles = concerns.map(({ title }) => title);
  assert.ok(titles.includes('60,000 tasks never ran, because a task that they need failed'), titles.join('\n'));
  const groups = concerns.filter(({ kind, severity }) => kind === 'failures' && severity === 'serious');
  assert.deepEqual(
    groups.map(({ title }) => title),
    [
      '44,000 tasks of split failed: ValueError: number 60001',
      '11,000 tasks of split failed: KeyError: number 60005',
      'A task of split failed: OSError: number 0',
    ],
  );
  assert.equal(groups.at(-1)?.detail, '60,000 more tasks never ran because of it');
});

test('attention names what failed, what follows from it, and a run that was lost', async (t) => {
  const { get } = await served(t, { tasks: 3_000, isLive: true });
  const { concerns } = await get<Attention>('/attention');
  const find = (kind: string) => concerns.find((concern) => concern.kind === kind);
  assert.match(find('failures')?.title ?? '', /tasks of \d+ apps failed: RangeError: quality/);
  assert.ok((find('failures')?.tasks.length ?? 0) > 0, 'with tasks to open');
  assert.match(find('silent')?.title ?? '', /ended without being closed/);
  assert.match(find('retries')?.title ?? '', /tries failed and were followed by another/);
  const order = concerns.map(({ severity }) => ['serious', 'warning', 'note'].indexOf(severity));
  assert.deepEqual(order, [...order].sort(), 'the most serious first');
  assert.equal((await get<Executors>('/executors')).executors.length, 1);
  assert.equal((await get<Managers>('/managers')).total, 4);
  const blocks = await get<Part<BlockRow>>('/blocks');
  assert.deepEqual([blocks.total, blocks.rows.at(-1)?.history[0]?.reason], [4, 'init_blocks: 1']);
  assert.deepEqual(
    blocks.rows.map(({ history }) => history.map(({ status }) => status)),
    Array.from({ length: 4 }, () => ['PENDING', 'RUNNING']),
  );
});

interface Event {
  readonly id: string;
  readonly data: { readonly counts: Readonly<Record<string, number>> };
}

/** Events as they come, until `enough` of them. */
async function listen(dashboard: Dashboard, run: string, enough: number, lastId?: string): Promise<Event[]> {
  const stop = new AbortController();
  const response = await fetch(new URL(`api/live?run=${run}`, dashboard.url), {
    signal: stop.signal,
    headers: lastId === undefined ? {} : { 'last-event-id': lastId },
  });
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  const events: Event[] = [];
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const found = /^id: (\S+)\nevent: run\ndata: (.*)$/.exec(text.slice(0, end));
      text = text.slice(end + 2);
      if (found !== null)
        events.push({ id: found[1] as string, data: JSON.parse(found[2] as string) as Event['data'] });
    }
    if (events.length >= enough) break;
  }
  stop.abort();
  return events;
}

test('live news resumes where a browser has left off', async (t) => {
  const { dashboard, database, run, number } = await served(t, { tasks: 100, isLive: true });
  await using monitoring = await openDatabase(database, { mode: 'write' });
  const [first] = await listen(dashboard, run, 1);
  assert.ok(first !== undefined, 'whoever comes is told how things stand');
  let written = 0;
  const change = async (): Promise<void> => {
    written++;
    await monitoring.db
      .updateTable('app_states')
      .set({ tasks: 1_000 + written })
      .where('run', '=', number)
      .where('app', '=', 0)
      .where('state', '=', 3)
      .execute();
    await monitoring.db
      .updateTable('runs')
      .set({ written: Date.now() + written })
      .where('run', '=', number)
      .execute();
  };
  // Somebody listens on, so that news is made while the other is away.
  const other = listen(dashboard, run, 3);
  await change();
  await listen(dashboard, run, 1, first.id);
  await change();
  const all = await other;
  const missed = await listen(dashboard, run, 2, first.id);
  assert.deepEqual(
    missed.map(({ id }) => id),
    all.slice(1).map(({ id }) => id),
    'both pieces of news, in order, and nothing twice',
  );
  const [stranger] = await listen(dashboard, run, 1, '17-3');
  assert.equal(stranger?.id, all.at(-1)?.id, 'the number of another server: how things stand now');
});

test('who asks for the headers of the news alone gets no feed that goes on', async (t) => {
  const { dashboard } = await served(t, { tasks: 20 });
  const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = timers();
  for (let times = 0; times < 20; times++) {
    const { status, headers } = await ask(dashboard, '/api/live', {}, 'HEAD');
    assert.deepEqual([status, headers['content-type']], [200, 'text/event-stream']);
  }
  assert.ok(timers() < before + 10, `${before} timers before, ${timers()} after`);
});

test('of those who looked and went nothing is kept', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const feeds = new LiveFeeds({ db: undefined as never, refresh: () => new Promise(() => {}) });
  const looked = await Promise.all(
    Array.from({ length: 5 }, async () => {
      const visit = new AbortController();
      await feeds.open('some-run', undefined, visit.signal).cancel();
      return new WeakRef(visit.signal);
    }),
  );
  // What was made in this turn is kept until the next.
  await new Promise(setImmediate);
  collect();
  const left = looked.filter((signal) => signal.deref() !== undefined);
  feeds.close();
  assert.equal(left.length, 0);
});

test('apps of one name are told as one, as the list of their tasks does', async (t) => {
  const { get, database, number } = await served(t, { tasks: 240 });
  await using monitoring = await openDatabase(database, { mode: 'write' });
  const { db } = monitoring;
  await sql`update apps set name = 'fetch' where run = ${number} and app in (3, 5)`.execute(db);
  const { rows: apps, total } = await get<Part<AppRow>>('/apps');
  assert.deepEqual([apps.length, total], [10, 10]);
  assert.equal((await get<RunDetail>('')).total, 240);
  assert.equal(apps[0]?.app, 'fetch');
  assert.equal(apps[0]?.total, (await get<TaskCount>('/count?app=fetch')).count);
  const { rows } = await sql<{ ms: number }>`
    select coalesce(running_ended, returned) - running as ms from tasks
    where run = ${number} and app in (0, 3, 5) and state = 3 and running is not null order by 1`.execute(db);
  assert.equal(apps[0]?.medianMs, rows[Math.floor(rows.length / 2)]?.ms);
});

/** As many bytes as an answer about one of those lists may have. */
const mostBytes = 200_000;

test('of a hundred thousand apps an answer has those that are asked for, with how many there are', async (t) => {
  const { get, database, number } = await served(t, { tasks: 240 });
  await addCrowd(database, number, { apps: 99_988 });
  const bounded = async <Answer>(path: string): Promise<Answer> => {
    const answer = await get<Answer>(path);
    assert.ok(JSON.stringify(answer).length < mostBytes, path);
    return answer;
  };
  const detail = await bounded<RunDetail>('');
  assert.equal(detail.total, 240 + 99_988);
  assert.equal(
    Object.values(detail.counts).reduce((sum, tasks) => sum + tasks, 0),
    detail.total,
  );
  const largest = await bounded<Part<AppRow>>('/apps');
  assert.deepEqual([largest.rows.length, largest.total, largest.offset], [200, 100_000, 0]);
  assert.deepEqual([largest.rows[0]?.total, largest.rows[11]?.total, largest.rows[12]?.total], [20, 20, 1]);
  const next = await bounded<Part<AppRow>>('/apps?offset=200&limit=1000');
  assert.deepEqual([next.rows.length, next.total, next.offset], [200, 100_000, 200]);
  assert.equal(new Set([...largest.rows, ...next.rows].map(({ app }) => app)).size, 400, 'each once');
  const failing = await bounded<Part<AppRow>>('/apps?sort=failed&limit=150');
  const failed = failing.rows.map(({ counts }) => (counts.failed ?? 0) + (counts.dep_fail ?? 0));
  assert.deepEqual(
    failed,
    [...failed].sort((a, b) => b - a),
  );
  assert.ok(failed.filter((one) => one > 0).length >= 99);
  const named = await bounded<Part<AppRow>>('/apps?name=APP777&sort=name');
  assert.deepEqual([named.total, named.rows[0]?.app], [1 + 10 + 100, 'app777']);
  assert.equal((await bounded<Part<AppRow>>('/apps?name=%25')).total, 0, 'a sign is no wildcard');
  assert.equal((await bounded<Part<AppRow>>('/apps?offset=100000')).offset, 0, 'past the end begins again');
  // None of them has a task in the table; that so many can be asked for at all is the point.
  assert.equal((await get<TaskCount>('/count?name=app')).count, 0);
  assert.equal((await get<Page<TaskRow>>('/tasks?name=app')).rows.length, 0);
  assert.equal((await get<Timeline>('/timeline')).apps.length, 100_000);
});

test('of a hundred thousand managers and blocks an answer has those that are asked for, with how many there are', async (t) => {
  const { get, database, number } = await served(t, { tasks: 40, isLive: true });
  await addCrowd(database, number, { managers: 99_996, blocks: 99_996 });
  const bounded = async <Answer>(path: string): Promise<Answer> => {
    const answer = await get<Answer>(path);
    assert.ok(JSON.stringify(answer).length < mostBytes, path);
    return answer;
  };
  assert.equal((await bounded<Executors>('/executors')).executors.length, 1);
  const first = await bounded<Managers>('/managers');
  assert.deepEqual([first.rows.length, first.total, first.active], [200, 100_000, 90_001]);
  assert.ok(first.rows.every(({ isActive }) => isActive));
  const last = await bounded<Managers>('/managers?offset=99900');
  assert.deepEqual([last.rows.length, last.offset, last.rows.some(({ isActive }) => isActive)], [100, 99_900, false]);
  const found = await bounded<Managers>('/managers?text=Node7770');
  assert.deepEqual([found.total, found.active], [1 + 10, 9]);
  assert.equal((await bounded<Managers>('/managers?text=drained')).active, 0);
  const blocks = await bounded<Part<BlockRow>>('/blocks?limit=50&offset=50');
  assert.deepEqual(
    [blocks.rows.length, blocks.total, blocks.rows[0]?.block, blocks.rows[0]?.history.length],
    [50, 100_000, String(99_999 - 50), 1],
  );
  assert.deepEqual((await bounded<Part<BlockRow>>('/blocks?text=job4242')).total, 1 + 10);
});

test('the list of runs is given in parts, the newest first', async (t) => {
  const database = join(folder(t), 'monitoring.db');
  for (let run = 0; run < 7; run++)
    await makeSynthetic(database, { tasks: 5, seed: run, began: 1_700_000_000_000 + Math.floor(run / 2) });
  const dashboard = await serveDashboard(database);
  t.after(() => dashboard.close());
  const found: RunRow[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const part = (await (
      await fetch(new URL(`api/runs?limit=3&cursor=${cursor}`, dashboard.url))
    ).json()) as Page<RunRow>;
    found.push(...part.rows);
    cursor = part.next;
  }
  assert.equal(new Set(found.map(({ id }) => id)).size, 7);
  const began = found.map((run) => run.began ?? 0);
  assert.deepEqual(
    began,
    [...began].sort((a, b) => b - a),
  );
});

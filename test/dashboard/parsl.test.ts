// Databases that Python Parsl made, of today and of older versions, shown by the dashboard.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type {
  About,
  AppRow,
  Attention,
  Graph,
  Page,
  Part,
  RunDetail,
  RunRow,
  Series,
  TaskDetail,
  TaskRow,
  Timeline,
} from '#src/dashboard/api.js';
import { serveDashboard } from '#src/dashboard/server.js';
import { openSqlite, type SqliteConnection } from '#src/monitoring/sqlite.js';
import { viewOrSkip } from '../support/browser.ts';

/** Parsl's tables as SQLAlchemy makes them; without what old versions did not have. */
function tables(isOld: boolean): string {
  return `
    create table workflow (run_id text primary key, workflow_name text, workflow_version text, time_began datetime not null,
      time_completed datetime, host text, user text, rundir text, tasks_failed_count integer, tasks_completed_count integer);
    create table task (task_id integer, run_id text, task_depends text, task_func_name text, task_memoize text,
      task_hashsum text, task_inputs text, task_outputs text, ${isOld ? '' : 'task_stdin text, '}task_stdout text, task_stderr text,
      task_time_invoked datetime, task_time_returned datetime, task_fail_count integer, primary key (task_id, run_id));
    create table try (try_id integer, task_id integer, run_id text, block_id text, hostname text, task_executor text,
      task_try_time_launched datetime, task_try_time_running datetime, task_try_time_returned datetime,
      task_fail_history text, ${isOld ? '' : 'task_joins text, '}primary key (try_id, task_id, run_id));
    create table status (task_id integer, task_status_name text, timestamp datetime, run_id text, try_id integer,
      primary key (task_id, run_id, task_status_name, timestamp));
    ${
      isOld
        ? ''
        : `create table block (run_id text, executor_label text, block_id text, job_id text, timestamp datetime, status text);
    create table node (id integer primary key, run_id text, hostname text, uid text, block_id text, cpu_count integer,
      total_memory integer, active boolean, worker_count integer, python_v text, timestamp datetime, last_heartbeat datetime);
    create table resource (try_id integer, task_id integer, run_id text, timestamp datetime, resource_monitoring_interval float,
      psutil_process_pid integer, psutil_process_memory_resident float, psutil_process_time_user float,
      psutil_process_time_system float, primary key (try_id, task_id, run_id, timestamp));`
    }`;
}

/** As Parsl writes it: the clock of the machine, with six digits. */
function at(seconds: number): string {
  const date = new Date(2026, 4, 5, 6, 0, 0, 0).getTime() + seconds * 1_000;
  const two = (value: number): string => String(value).padStart(2, '0');
  const shown = new Date(date);
  return `${shown.getFullYear()}-${two(shown.getMonth() + 1)}-${two(shown.getDate())} ${two(shown.getHours())}:${two(shown.getMinutes())}:${two(shown.getSeconds())}.${String(shown.getMilliseconds()).padStart(3, '0')}000`;
}

function insert(
  database: SqliteConnection,
  table: string,
  row: Readonly<Record<string, string | number | null>>,
): void {
  const names = Object.keys(row);
  database
    .prepare(`insert into ${table} (${names.join()}) values (${names.map(() => '?').join()})`)
    .run(Object.values(row));
}

interface Made {
  readonly path: string;
  readonly database: SqliteConnection;
}

/** Two tasks at once, one that is tried twice, one that fails, and one that needs it. */
function makeParsl(t: TestContext, isOld: boolean): Made {
  const folder = mkdtempSync(join(tmpdir(), 'chervil-parsl-'));
  const path = join(folder, 'monitoring.db');
  const database = openSqlite(path, 'write');
  t.after(() => {
    database.close();
    rmSync(folder, { recursive: true, force: true });
  });
  database.exec(tables(isOld));
  const run_id = 'run-1';
  insert(database, 'workflow', {
    run_id,
    workflow_name: 'flow.py',
    workflow_version: '1',
    time_began: at(0),
    time_completed: at(60),
    host: 'login1',
    user: 'ada',
    rundir: '/runinfo/000',
    tasks_failed_count: 2,
    tasks_completed_count: 3,
  });
  const tasks: readonly [id: number, app: string, depends: string, steps: readonly [string, number, number][]][] = [
    [
      0,
      'simulate',
      '',
      [
        ['pending', 1, 0],
        ['launched', 1, 0],
        ['running', 2, 0],
        ['running_ended', 9, 0],
        ['exec_done', 10, 0],
      ],
    ],
    [
      1,
      'simulate',
      '',
      [
        ['pending', 1, 0],
        ['launched', 1, 0],
        ['running', 2, 0],
        ['running_ended', 19, 0],
        ['exec_done', 20, 0],
      ],
    ],
    [
      2,
      'collect',
      '0,1',
      [
        ['pending', 1, 0],
        ['launched', 20, 0],
        ['running', 21, 0],
        ['fail_retryable', 25, 0],
        ['pending', 25, 1],
        ['launched', 25, 1],
        ['running', 26, 1],
        ['exec_done', 30, 1],
      ],
    ],
    [
      3,
      'plot',
      '2',
      [
        ['pending', 1, 0],
        ['launched', 30, 0],
        ['running', 31, 0],
        ['failed', 40, 0],
      ],
    ],
    [
      4,
      'publish',
      '3',
      [
        ['pending', 1, 0],
        ['dep_fail', 40, 0],
      ],
    ],
  ];
  for (const [task_id, task_func_name, task_depends, steps] of tasks) {
    const time = (name: string, number: number): string | null => {
      const found = steps.find(([state, , one]) => state === name && one === number);
      return found === undefined ? null : at(found[1]);
    };
    const end = steps.at(-1) as readonly [string, number, number];
    insert(database, 'task', {
      task_id,
      run_id,
      task_depends,
      task_func_name,
      task_memoize: '0',
      task_stdout: '',
      task_time_invoked: at(1),
      task_time_returned: at(end[1]),
      task_fail_count: 0,
    });
    for (const [task_status_name, second, try_id] of steps)
      insert(database, 'status', { task_id, task_status_name, timestamp: at(second), run_id, try_id });
    for (const try_id of new Set(steps.map(([, , number]) => number)))
      insert(database, 'try', {
        try_id,
        task_id,
        run_id,
        block_id: '0',
        hostname: end[0] === 'dep_fail' ? null : 'nid01',
        task_executor: 'htex',
        task_try_time_launched: time('launched', try_id),
        task_try_time_running: time('running', try_id),
        task_try_time_returned: try_id === end[2] ? at(end[1]) : at(25),
        task_fail_history: { 2: "OSError('disk full')", 3: "ValueError('no data')" }[task_id] ?? '',
      });
  }
  if (isOld) return { path, database };
  for (const [second, status] of [
    [0, 'PENDING'],
    [1, 'RUNNING'],
    [59, 'CANCELLED'],
  ] as const)
    insert(database, 'block', {
      run_id,
      executor_label: 'htex',
      block_id: '0',
      job_id: '77',
      timestamp: at(second),
      status,
    });
  for (const [second, active] of [
    [1, 1],
    [58, 0],
  ] as const)
    insert(database, 'node', {
      run_id,
      hostname: 'nid01',
      uid: 'abc',
      block_id: '0',
      cpu_count: 8,
      total_memory: 64e9,
      active,
      worker_count: 4,
      python_v: '3.12.1',
      timestamp: at(second),
      last_heartbeat: at(second),
    });
  for (const second of [3, 6, 9])
    insert(database, 'resource', {
      try_id: 0,
      task_id: 0,
      run_id,
      timestamp: at(second),
      resource_monitoring_interval: 3,
      psutil_process_pid: 11,
      psutil_process_memory_resident: 1e6 * second,
      psutil_process_time_user: second,
      psutil_process_time_system: 0,
    });
  return { path, database };
}

for (const isOld of [false, true]) {
  test(`a database of ${isOld ? 'an older' : 'a recent'} Python Parsl is shown as ours is`, async (t) => {
    const { path } = makeParsl(t, isOld);
    const dashboard = await serveDashboard(path);
    t.after(() => dashboard.close());
    const get = async <Answer>(question: string): Promise<Answer> => {
      const response = await fetch(new URL(`api/${question}`, dashboard.url));
      const text = await response.text();
      assert.equal(response.status, 200, `${question}: ${text}`);
      return JSON.parse(text) as Answer;
    };
    assert.equal((await get<About>('about')).madeBy, 'parsl');
    const [run] = (await get<Page<RunRow>>('runs')).rows;
    assert.deepEqual([run?.name, run?.status, run?.total, run?.succeeded, run?.failed], ['flow.py', 'failed', 5, 3, 2]);
    assert.equal(run?.began, new Date(2026, 4, 5, 6, 0, 0).getTime());
    assert.deepEqual((await get<RunDetail>('runs/run-1')).counts, { exec_done: 3, failed: 1, dep_fail: 1 });

    const { rows } = await get<Page<TaskRow>>('runs/run-1/tasks');
    assert.deepEqual(
      rows.map(({ app, state, tries, durationMs }) => [app, state, tries, durationMs]),
      [
        ['simulate', 'exec_done', 1, 7_000],
        ['simulate', 'exec_done', 1, 17_000],
        ['collect', 'exec_done', 2, 4_000],
        ['plot', 'failed', 1, 9_000],
        ['publish', 'dep_fail', 0, null],
      ],
    );
    const found = await get<Page<TaskRow>>('runs/run-1/tasks?error=ValueError');
    assert.deepEqual(
      found.rows.map(({ id, error }) => [id, error]),
      [[3, 'ValueError: no data']],
    );
    const collect = await get<TaskDetail>('runs/run-1/tasks/2');
    assert.deepEqual([collect.dependsOn.map(({ id }) => id), collect.neededBy.map(({ id }) => id)], [[0, 1], [3]]);
    assert.equal(collect.tryRows[0]?.error, 'OSError: disk full');

    const timeline = await get<Timeline>('runs/run-1/timeline');
    assert.deepEqual(
      timeline.rows.map(({ worker, tries }) => [worker, tries]),
      [
        ['nid01/0', 4],
        ['nid01/1', 1],
      ],
      'as many workers as the host must have had',
    );
    assert.equal((await get<Graph>('runs/run-1/graph?by=task')).edges.length, 4);
    assert.equal((await get<Series>('runs/run-1/series')).done.at(-1), 3);
    const { concerns } = await get<Attention>('runs/run-1/attention');
    assert.ok(
      concerns.some(({ title }) => title.includes('ValueError: no data')),
      JSON.stringify(concerns),
    );
    const [managers, blocks] = await Promise.all(
      ['managers', 'blocks'].map((list) => get<Part<unknown>>(`runs/run-1/${list}`)),
    );
    assert.deepEqual([managers?.total, blocks?.total], isOld ? [0, 0] : [1, 1]);
    if (!isOld) assert.equal((await get<TaskDetail>('runs/run-1/tasks/0')).resources.length, 3);
    const view = await viewOrSkip(t, dashboard.url);
    if (view === undefined) return;
    for (const place of ['', '/tasks', '/attention', '/graph', '/timeline', '/executors', '/task/2']) {
      await view.open(`/run/run-1${place}`);
      await view.check();
    }
    await view.picture(`parsl-${isOld ? 'old' : 'recent'}-task`);
  });
}

test('a worker whose clock is behind or ahead makes no time negative, and no page of it wrong', async (t) => {
  const { path, database } = makeParsl(t, false);
  // The worker believes that it began an hour after it had answered.
  for (const table of ['try', 'status'])
    database.exec(
      table === 'try'
        ? `update try set task_try_time_running = '${at(3_600)}' where task_id = 0`
        : `update status set timestamp = '${at(3_600)}' where task_id = 0 and task_status_name = 'running'`,
    );
  const dashboard = await serveDashboard(path);
  t.after(() => dashboard.close());
  const get = async <Answer>(question: string): Promise<Answer> =>
    (await (await fetch(new URL(`api/runs/run-1${question}`, dashboard.url))).json()) as Answer;
  const { rows } = await get<Page<TaskRow>>('/tasks');
  assert.ok(
    rows.every(({ durationMs }) => durationMs === null || durationMs >= 0),
    JSON.stringify(rows),
  );
  const timeline = await get<Timeline>('/timeline');
  assert.ok(
    timeline.rows.every(({ busyMs }) => busyMs >= 0),
    JSON.stringify(timeline.rows),
  );
  const { rows: apps } = await get<Part<AppRow>>('/apps');
  assert.ok(
    apps.every(({ medianMs }) => medianMs === null || medianMs >= 0),
    JSON.stringify(apps),
  );
  const series = await get<Series>('/series');
  assert.ok(
    [series.running, series.queued, series.waiting, series.busy].flat().every((value) => value >= 0),
    JSON.stringify(series),
  );
});

test('a run of Python Parsl that goes on is followed', async (t) => {
  const { path, database } = makeParsl(t, false);
  const run_id = 'run-2';
  insert(database, 'workflow', {
    run_id,
    workflow_name: 'live.py',
    time_began: at(100),
    tasks_failed_count: 0,
    tasks_completed_count: 0,
  });
  insert(database, 'task', { task_id: 0, run_id, task_func_name: 'simulate', task_time_invoked: at(101) });
  insert(database, 'status', { task_id: 0, task_status_name: 'pending', timestamp: at(101), run_id, try_id: 0 });
  const dashboard = await serveDashboard(path);
  t.after(() => dashboard.close());
  const stop = new AbortController();
  t.after(() => stop.abort());
  const response = await fetch(new URL('api/live?run=run-2', dashboard.url), { signal: stop.signal });
  let text = '';
  let isChanged = false;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    if (!isChanged && text.includes('"pending":1')) {
      isChanged = true;
      insert(database, 'status', { task_id: 0, task_status_name: 'exec_done', timestamp: at(103), run_id, try_id: 0 });
    }
    if (text.includes('"exec_done":1')) break;
  }
  assert.match(text, /"exec_done":1/);
});

test('a run of Python Parsl with one long task goes on as long as samples of it come', async (t) => {
  const { path, database } = makeParsl(t, false);
  const ago = (minutes: number): string => at((Date.now() - new Date(2026, 4, 5, 6).getTime()) / 1_000 - minutes * 60);
  for (const [run_id, sampled] of [
    ['sampled', 1],
    ['silent', 19],
  ] as const) {
    insert(database, 'workflow', { run_id, workflow_name: 'long.py', time_began: ago(21), tasks_failed_count: 0 });
    insert(database, 'task', { task_id: 0, run_id, task_func_name: 'simulate', task_time_invoked: ago(20) });
    insert(database, 'status', { task_id: 0, task_status_name: 'running', timestamp: ago(20), run_id, try_id: 0 });
    insert(database, 'resource', {
      task_id: 0,
      try_id: 0,
      run_id,
      timestamp: ago(sampled),
      resource_monitoring_interval: 30,
    });
  }
  const dashboard = await serveDashboard(path);
  t.after(() => dashboard.close());
  const { rows } = (await (await fetch(new URL('api/runs', dashboard.url))).json()) as Page<RunRow>;
  assert.deepEqual(
    rows.filter(({ name }) => name === 'long.py').map(({ id, status }) => [id, status]),
    [
      ['silent', 'silent'],
      ['sampled', 'running'],
    ],
  );
});

test('where Parsl names no host, tries at once are of different workers, and each is of the first that was free', async (t) => {
  const { path, database } = makeParsl(t, false);
  const run_id = 'crowd';
  insert(database, 'workflow', {
    run_id,
    workflow_name: 'crowd.py',
    time_began: at(0),
    time_completed: at(9_000),
    tasks_failed_count: 0,
  });
  const crowd = 300;
  for (let task_id = 0; task_id < 4 * crowd; task_id++) {
    // Four waves, of which each begins where the one before ends; those of the third are backwards.
    const wave = Math.floor(task_id / crowd);
    const within = task_id % crowd;
    const from = wave * 1_000 + (wave === 2 ? crowd - within : within);
    const times = {
      task_try_time_launched: at(from),
      task_try_time_running: at(from),
      task_try_time_returned: at(from + 900),
    };
    insert(database, 'task', { task_id, run_id, task_func_name: 'stand', task_time_invoked: at(from) });
    insert(database, 'status', {
      task_id,
      task_status_name: 'exec_done',
      timestamp: at(from + 900),
      run_id,
      try_id: 0,
    });
    insert(database, 'try', { task_id, run_id, try_id: 0, task_executor: 'htex', ...times });
  }
  const dashboard = await serveDashboard(path);
  t.after(() => dashboard.close());
  const found = (await (await fetch(new URL('api/runs/crowd/timeline', dashboard.url))).json()) as Timeline;
  // At most so many overlap, and a worker never has two.
  assert.deepEqual([found.by, found.rows.length, found.tries], ['worker', crowd, 4 * crowd]);
  for (const { bars } of found.rows)
    for (const [index, bar] of bars.entries()) assert.ok(index === 0 || bar.from >= (bars[index - 1]?.to ?? 0));
});

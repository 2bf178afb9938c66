// A monitoring database of a run that never was, with as many tasks as wanted: for tests of what reads databases, and for
// looking at the dashboard. Twelve apps in a graph, retries, failures with their consequences, memo hits, blocks, samples.
//
//   node --import tsx test/support/synthetic.ts PATH [TASKS] [SEED]      (after npm run build)
import { randomUUID } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { openDatabase } from '#src/monitoring/database.js';
import type { Schema, tables } from '#src/monitoring/schema.js';
import { taskStates } from '#src/task/state.js';

/** What the run is like. */
export interface Synthetic {
  /** @default 1000 */
  readonly tasks?: number;
  /** @default 1 */
  readonly seed?: number;
  /** When it began, in milliseconds. @default 2026-01-02 03:04:05 UTC */
  readonly began?: number;
  /** The last 5 % are under way, and the run has no end. @default false */
  readonly isLive?: boolean;
  /** Samples for every so many tasks. @default 10 */
  readonly sampleEvery?: number;
}

type Row = Record<string, number | string | null>;

const apps = [
  'fetch',
  'split',
  'align',
  'sort',
  'index',
  'call',
  'filter',
  'merge',
  'annotate',
  'plot',
  'report',
  'pack',
];
const hosts = ['nid0011', 'nid0012', 'nid0013', 'nid0014'];
const workersPerHost = 8;

/** Adds one run to the SQLite database `path`, which is made if need be. Gives the run's number and id. */
export async function makeSynthetic(path: string, options: Synthetic = {}): Promise<{ run: number; runId: string }> {
  const { tasks = 1_000, seed = 1, began = Date.UTC(2026, 0, 2, 3, 4, 5), isLive = false, sampleEvery = 10 } = options;
  const random = generator(seed);
  await using monitoring = await openDatabase(path, { mode: 'write' });
  const { sqlite } = monitoring;
  if (sqlite === undefined) throw new Error('only SQLite');
  const statements = new Map<string, ReturnType<typeof sqlite.prepare>>();
  const insert = (table: keyof Schema & keyof typeof tables, row: Row): number => {
    const columns = Object.keys(row);
    const key = `${table} ${columns.join()}`;
    let statement = statements.get(key);
    if (statement === undefined) {
      const names = columns.map((name) => `"${name}"`).join();
      statement = sqlite.prepare(`insert into "${table}" (${names}) values (${columns.map(() => '?').join()})`);
      statements.set(key, statement);
    }
    return Number(statement.run(Object.values(row)).lastInsertRowid);
  };

  sqlite.exec('begin immediate');
  const runId = randomUUID();
  const lasts = Math.max(20_000, tasks * 50);
  const run = insert('runs', {
    run_id: runId,
    name: 'synthetic.ts',
    version: '2026-01-02',
    began,
    ended: isLive ? null : began + lasts,
    end_reason: isLive ? null : 'closed',
    host: 'login1',
    user: 'ada',
    directory: '/scratch/ada/runinfo/000',
    pid: 4711,
    command: 'chervil run synthetic.ts',
    chervil_version: '0.1.0',
    node_version: 'v24.0.0',
    tasks: 0,
    completed: 0,
    memoized: 0,
    failed: 0,
    sample_ms: 10_000,
    written: began + lasts,
    lag_ms: 40,
    lost_events: 0,
    feed_segment: 0,
    feed_offset: 0,
    held_segment: 0,
    held_offset: 0,
  });
  apps.forEach((name, app) => {
    insert('apps', { run, app, name, kind: app % 3 === 2 ? 'bash' : 'function', memoize: app === 0 ? 1 : 0 });
  });
  ['prepare', 'compute', 'conclude'].forEach((name, stage) => {
    insert('stages', { run, stage, name, began: began + Math.round((stage * lasts) / 3) });
  });
  const places = hosts.flatMap((host, block) =>
    Array.from({ length: workersPerHost }, (_, worker) => ({ host, block: String(block), worker: String(worker) })),
  );
  places.forEach((place, index) => {
    insert('places', { run, place: index, executor: 'htex', ...place, manager: `m-${place.host}` });
  });
  insert('executors', {
    run,
    executor: 'htex',
    kind: 'htex',
    facts: JSON.stringify({ workersPerNode: workersPerHost }),
  });
  const block = (id: number, at: number, status: string, reason: string | null): number =>
    insert('block_events', {
      run,
      executor: 'htex',
      block: String(id),
      at,
      job: `${9000 + id}`,
      status,
      reason,
      detail: null,
    });
  const manager = (id: number, at: number, active: 0 | 1): number =>
    insert('manager_events', {
      run,
      executor: 'htex',
      manager: `m-${hosts[id]}`,
      at,
      host: hosts[id] as string,
      block: String(id),
      workers: workersPerHost,
      busy: 0,
      cpus: 16,
      memory_bytes: 64e9,
      active,
      heartbeat: at,
      runtime: 'node',
      version: 'v24.0.0',
      reason: active ? null : 'drained',
    });
  hosts.forEach((_, id) => {
    block(id, began + id * 500, 'PENDING', id === 0 ? 'init_blocks: 1' : `${8 * id} tasks wait for ${8 * id} workers`);
    block(id, began + id * 500 + 900, 'RUNNING', null);
    manager(id, began + id * 500 + 1_000, 1);
  });

  const counts = { completed: 0, memoized: 0, failed: 0 };
  const byAppAndState = new Map<string, number>();
  const changes = new Map<number, Record<string, number>>();
  const freeAt = places.map(() => began + 2_000);
  const failedTasks = new Set<number>();
  const returnedAt: number[] = [];
  const liveFrom = isLive ? Math.floor(tasks * 0.95) : tasks;
  const change = (at: number, from: string | undefined, to: string): void => {
    const second = Math.floor(at / 1_000) * 1_000;
    let row = changes.get(second);
    if (row === undefined) {
      row = {};
      changes.set(second, row);
    }
    if (from !== undefined) row[from] = (row[from] ?? 0) - 1;
    row[to] = (row[to] ?? 0) + 1;
  };

  for (let task = 0; task < tasks; task++) {
    const app = task % apps.length;
    const invoked = began + Math.round((task / tasks) * lasts * 0.9);
    const needs = app === 0 ? [] : [task - 1, ...(app === 7 && task > 20 ? [task - 13] : [])];
    const ready = Math.max(invoked, ...needs.map((one) => returnedAt[one] ?? 0)) + 1;
    // The worker that has been free for the shortest time, or the first that will be.
    let place = 0;
    for (let other = 1; other < freeAt.length; other++) {
      const [best = 0, one = 0] = [freeAt[place], freeAt[other]];
      if (best > ready ? one < best : one <= ready && one > best) place = other;
    }
    const mean = Math.max(4, ((lasts * places.length) / tasks) * 0.5);
    const took = Math.round(mean * (0.2 + random() * (random() < 0.01 ? 30 : 1.6)));
    let state: keyof typeof taskStates = 'exec_done';
    const culprit = needs.find((one) => failedTasks.has(one));
    if (culprit !== undefined) state = 'dep_fail';
    else if (task >= liveFrom) state = task >= liveFrom + (tasks - liveFrom) / 4 ? 'pending' : 'running';
    else if (app === 0 && random() < 0.2) state = 'memo_done';
    else if (random() < 0.01) state = 'failed';
    const isTried = state === 'exec_done' || state === 'failed' || state === 'running';
    const isRetried = isTried && random() < 0.02;
    const started = isTried ? Math.max(ready + 1, freeAt[place] ?? 0) : ready;
    const first = isRetried ? started + Math.round(took / 2) : started;
    const running = isTried ? first + 1 : null;
    const ended = isTried ? first + took : ready;
    const isOver = state !== 'running' && state !== 'pending';
    if (isTried) freeAt[place] = ended + 1;
    returnedAt.push(isOver ? ended + 1 : began + lasts);
    change(invoked, undefined, 'pending');
    if (isTried) {
      change(ready, 'pending', 'launched');
      change(first, 'launched', 'running');
      if (isOver) change(ended + 1, 'running', state);
    } else if (isOver) change(ended + 1, 'pending', state);
    insert('tasks', {
      run,
      task,
      app,
      state: taskStates[state],
      try: isRetried ? 1 : 0,
      place: isTried ? place : null,
      pid: isTried ? 5_000 + place : null,
      invoked,
      launched: isTried ? (isRetried ? first : ready) : null,
      running,
      running_ended: isTried && isOver ? ended : null,
      joining: null,
      returned: isOver ? ended + 1 : null,
      parent: null,
      stage: Math.min(2, Math.floor((task / tasks) * 3)),
      memo_key: app === 0 ? `key-${task}` : null,
      arguments: `('sample-${task}.fa', { quality: ${task % 40} })`,
      result: state === 'exec_done' ? String(task * 2) : null,
      inputs: null,
      outputs: null,
      stdout: app % 3 === 2 ? `/scratch/ada/runinfo/000/task_logs/${task}.stdout` : null,
      stderr: null,
    });
    for (const one of needs) insert('edges', { run, task, needs: one, kind: 'argument' });
    if (isRetried) {
      insert('tries', {
        run,
        task,
        try: 0,
        place,
        pid: 5_000 + place,
        launched: ready,
        running: started,
        running_ended: null,
        returned: first,
      });
      insert('failures', failure(run, task, 0, first, app, 0, 'WORKER_LOST'));
    }
    if (state === 'failed') {
      failedTasks.add(task);
      insert(
        'failures',
        failure(run, task, isRetried ? 1 : 0, ended, app, 1, random() < 0.7 ? 'APP_ERROR' : 'TIMEOUT'),
      );
    }
    if (state === 'dep_fail') {
      failedTasks.add(task);
      insert('failures', { ...failure(run, task, 0, ended, app, 1, 'DEPENDENCY'), root_task: culprit ?? null });
    }
    if (isTried && task % sampleEvery === 0) {
      for (let at = first; at <= ended; at += Math.max(50, took / 4)) {
        const part = (at - first) / Math.max(1, took);
        insert('samples', {
          run,
          task,
          try: isRetried ? 1 : 0,
          at: Math.round(at),
          interval_ms: 10_000,
          pid: 5_000 + place,
          user_seconds: (part * took) / 1_100,
          system_seconds: (part * took) / 20_000,
          resident_bytes: Math.round(80e6 * (1 + part)),
          virtual_bytes: 900e6,
          memory_percent: 1.2,
          read_bytes: task * 1_000,
          write_bytes: task * 10,
          voluntary_switches: 10,
          involuntary_switches: 3,
          children: 0,
          status: 'running',
          cpu: '3',
        });
      }
    }
    if (task % 50 === 0 && isTried)
      insert('output_tails', { run, task, stream: 'stdout', bytes: 24, text: `line one of task ${task}\n` });
    const key = `${app} ${taskStates[state]}`;
    byAppAndState.set(key, (byAppAndState.get(key) ?? 0) + 1);
    if (state === 'exec_done') counts.completed++;
    else if (state === 'memo_done') counts.memoized++;
    else if (isOver) counts.failed++;
  }

  for (const [key, number] of byAppAndState) {
    const [app = 0, state = 0] = key.split(' ').map(Number);
    insert('app_states', { run, app, state, tasks: number });
  }
  const level = Object.fromEntries(Object.keys(taskStates).map((name) => [name, 0]));
  for (const [at, row] of [...changes].sort(([a], [b]) => a - b)) {
    for (const [state, by] of Object.entries(row)) level[state] = (level[state] ?? 0) + by;
    insert('levels', { run, at, ...level });
    insert('executor_samples', {
      run,
      executor: 'htex',
      at,
      outstanding: (level['launched'] ?? 0) + (level['running'] ?? 0),
      queued: level['launched'] ?? 0,
      workers: places.length,
      busy: Math.min(places.length, level['running'] ?? 0),
      managers: hosts.length,
      blocks: hosts.length,
    });
  }
  let end = began + lasts;
  for (const at of returnedAt) end = Math.max(end, at + 1_000);
  hosts.forEach((_, id) => {
    manager(id, end - 900, isLive ? 1 : 0);
    if (!isLive) block(id, end - 800, 'CANCELLED', 'no task for 2m');
  });
  insert('notices', { run, at: began + 5_000, level: 'warn', text: 'htex: block 3 took 4.2s to start' });
  sqlite
    .prepare('update runs set tasks = ?, completed = ?, memoized = ?, failed = ?, ended = ?, written = ? where run = ?')
    .run([tasks, counts.completed, counts.memoized, counts.failed, isLive ? null : end, end, run]);
  sqlite.exec('commit');
  return { run, runId };
}

/** How many of each are added, every one with a number of its own from 12 (apps) or 4 (managers, blocks) on. */
export interface Crowd {
  /** With one task each, of which `app7`, `app1007`, … failed. */
  readonly apps?: number;
  /** Every tenth has gone. */
  readonly managers?: number;
  /** All failed. */
  readonly blocks?: number;
}

/** Adds what a program with a loop around its apps, or a very large machine, would leave. */
export async function addCrowd(
  path: string,
  run: number,
  { apps = 0, managers = 0, blocks = 0 }: Crowd,
): Promise<void> {
  await using monitoring = await openDatabase(path, { mode: 'write' });
  const { sqlite } = monitoring;
  if (sqlite === undefined) throw new Error('only SQLite');
  const numbers = (from: number, count: number): string =>
    `with recursive g(n) as (select ${from} where ${count} > 0 union all select n + 1 from g where n + 1 < ${from + count})`;
  sqlite.exec(`
    begin immediate;
    insert into apps (run, app, name, kind, memoize)
      ${numbers(12, apps)} select ${run}, n, 'app' || n, 'function', 0 from g;
    insert into app_states (run, app, state, tasks) select run, app,
      case when app % 1000 = 7 then ${taskStates.failed} else ${taskStates.exec_done} end, 1
      from apps where run = ${run} and app >= 12;
    insert into manager_events
      (run, executor, manager, at, host, block, workers, busy, cpus, memory_bytes, active, heartbeat, runtime, version, reason)
      ${numbers(4, managers)} select ${run}, 'htex', 'm-node' || n, began, 'node' || n, n, 8, 0, 16, 64000000000, n % 10 <> 0,
      began + 60000, 'node', 'v24.0.0', case when n % 10 = 0 then 'drained' end from g join runs on run = ${run};
    insert into block_events (run, executor, block, at, job, status, reason, detail)
      ${numbers(4, blocks)} select ${run}, 'htex', n, began + n, 'job' || n, 'FAILED', 'exit code 1', 'no such queue'
      from g join runs on run = ${run};
    commit`);
}

function failure(run: number, task: number, number: number, at: number, app: number, final: number, code: string): Row {
  const [kind, message] = {
    WORKER_LOST: ['WorkerLostError', 'Lost with worker 3 on nid0012: killed by SIGKILL, out of memory.'],
    APP_ERROR: ['RangeError', `quality ${task % 7} is out of range in sample-${task}.fa`],
    TIMEOUT: ['TimeoutError', 'The try took longer than its timeout of 60000 ms and was stopped.'],
    DEPENDENCY: ['DependencyError', `A dependency failed, by way of task ${task - 1}: RangeError`],
  }[code] as [string, string];
  const stack = `${kind}: ${message}\n    at ${apps[app]} (file:///home/ada/flow.ts:41:9)`;
  return { run, task, try: number, at, app, final, code, class: kind, message, stack, root_task: null };
}

/** Numbers from 0 to 1, the same for the same seed. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [path = 'monitoring.db', tasks = '1000', seed = '1', live] = process.argv.slice(2);
  const made = await makeSynthetic(path, { tasks: Number(tasks), seed: Number(seed), isLive: live === 'live' });
  process.stdout.write(`${path}: run ${made.run}, ${made.runId}, ${tasks} tasks\n`);
}

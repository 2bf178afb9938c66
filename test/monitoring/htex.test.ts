// Monitoring of runs on htex: where tries ran, blocks and why, managers, and what tasks use.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { app } from '#src/app/app.js';
import { bashApp } from '#src/app/bash-app.js';
import { pythonApp } from '#src/app/python-app.js';
import { htex } from '#src/executors/htex.js';
import { threads } from '#src/executors/threads.js';
import { load } from '#src/load/load.js';
import { openDatabase } from '#src/monitoring/database.js';
import type { Executor } from '#src/task/ports.js';

const busy = app((ms: number) => {
  // Of processor time: a machine with much to do gives it later.
  const start = process.cpuUsage();
  const kept = Buffer.alloc(20_000_000, 1);
  while (process.cpuUsage(start).user < ms * 1_000);
  return kept.length;
});
const loop = bashApp((seconds: number) => `end=$((SECONDS + ${seconds})); while [ $SECONDS -lt $end ]; do :; done`);

async function run(t: TestContext, executor: Executor, body: () => Promise<unknown>) {
  const runDir = mkdtempSync(join(tmpdir(), 'chervil-monitoring-htex-'));
  t.after(() => rmSync(runDir, { recursive: true, force: true }));
  {
    await using loaded = await load({ runDir, executors: [executor], monitoring: { resources: 200 }, signals: false });
    await loaded.enter(body);
  }
  const database = await openDatabase(join(runDir, 'monitoring.db'));
  t.after(() => database.close());
  return database.db;
}

test('of a run on htex one sees where each try ran, its blocks and why they were started and ended, and its managers', async (t) => {
  const db = await run(t, htex({ maxWorkersPerNode: 1 }), () => Promise.all([busy(1), busy(2)]));
  const tries = await db.selectFrom('try').selectAll().execute();
  assert.deepEqual(
    tries.map((one) => [one.task_executor, one.block_id]),
    [
      ['htex', '0'],
      ['htex', '0'],
    ],
  );
  assert.ok(
    tries.every((one) => one.task_try_time_running !== null && one.hostname !== null),
    'each has a place and a time',
  );
  const blocks = await db.selectFrom('block_events').selectAll().orderBy('id').execute();
  assert.deepEqual([blocks[0]?.status, blocks[0]?.reason], ['PENDING', 'the run begins with 1']);
  assert.deepEqual([blocks.at(-1)?.status, blocks.at(-1)?.reason], ['CANCELLED', 'the executor was closed']);
  const nodes = await db.selectFrom('node').selectAll().execute();
  assert.ok(nodes.length >= 1, 'there is a row of the manager');
  assert.equal(nodes[0]?.worker_count, 1);
  assert.ok((nodes[0]?.cpu_count ?? 0) >= 1, 'with its processors');
  const standing = await db.selectFrom('executor_samples').selectAll().orderBy('at', 'desc').execute();
  assert.ok(
    standing.some((one) => one.workers === 1),
    'the workers were seen',
  );
});

test('what tasks use is measured: CPU, memory and children, of functions and of commands', {
  skip: process.platform !== 'linux' && 'only where there is /proc',
}, async (t) => {
  const db = await run(t, htex({ maxWorkersPerNode: 2 }), () => Promise.all([busy(2_000), loop(4)]));
  for (const task of [0, 1]) {
    const samples = await db.selectFrom('samples').selectAll().where('task', '=', task).orderBy('at').execute();
    assert.ok(samples.length >= 1, `task ${task} was measured ${samples.length} times`);
    const last = samples.at(-1);
    assert.ok((last?.user_seconds ?? 0) + (last?.system_seconds ?? 0) > 0.02, `task ${task} used some time`);
    assert.ok((last?.resident_bytes ?? 0) > 1_000_000, `task ${task} used some memory`);
    for (const column of ['read_bytes', 'write_bytes', 'voluntary_switches', 'involuntary_switches'] as const)
      assert.equal(typeof last?.[column], 'number', column);
    assert.ok((last?.voluntary_switches ?? 0) + (last?.involuntary_switches ?? 0) > 0, 'the processor was shared');
    if (task === 1) assert.ok((last?.children ?? 0) >= 1, 'the command is a child of its worker');
  }
  const resource = await db.selectFrom('resource').selectAll().executeTakeFirst();
  assert.equal(resource?.resource_monitoring_interval, 0.2);
});

test('Python functions are measured, too', {
  skip: process.platform !== 'linux' && 'only where there is /proc',
}, async (t) => {
  const spin = pythonApp.source<(seconds: number) => number>(`
def spin(seconds):
    import time
    kept = bytearray(30_000_000)
    while time.process_time() < seconds:
        pass
    return len(kept)
`);
  const db = await run(t, htex({ maxWorkersPerNode: 1, python: true }), () => spin(2));
  const samples = await db.selectFrom('samples').selectAll().orderBy('at').execute();
  assert.ok(samples.length >= 1, `measured ${samples.length} times`);
  assert.ok((samples.at(-1)?.user_seconds ?? 0) > 0.02, 'it used some time');
  assert.ok((samples.at(-1)?.resident_bytes ?? 0) > 30_000_000, 'and its memory');
});

test('commands on threads are measured, too', {
  skip: process.platform !== 'linux' && 'only where there is /proc',
}, async (t) => {
  const db = await run(t, threads({ max: 1 }), () => loop(4));
  const samples = await db.selectFrom('samples').selectAll().execute();
  assert.ok(samples.length >= 1, `measured ${samples.length} times`);
  assert.ok((samples.at(-1)?.user_seconds ?? 0) > 0.02, 'it used some time');
});

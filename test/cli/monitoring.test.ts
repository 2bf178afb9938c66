// The commands about the monitoring database, on a real run and on a large one that never was.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '#src/monitoring/database.js';
import { makeSynthetic } from '../support/synthetic.ts';
import { chervil, root, scratch } from './command.ts';

const program = `
import { app, bashApp, load, threads, AUTO_LOGNAME } from '${join(root, 'dist/index.js')}';
const half = app(function half(n) { console.log('halving ' + n); if (n % 2) throw new RangeError(n + ' is odd'); return n / 2; }, { retry: 1 });
const say = bashApp(function say(word) { return 'echo ' + word; }, { stdout: AUTO_LOGNAME });
const run = await load({ monitoring: true, executors: [threads({ max: 1 })] });
run.stage('halves');
await Promise.allSettled([half(4), half(3)]);
await say('hello');
await run.close();
`;

test('status, task, tasks and export tell of a run, from the directory where it was', async (t) => {
  const directory = scratch(t);
  writeFileSync(join(directory, 'program.mjs'), program);
  const ran = await chervil(t, ['run', 'program.mjs', '--progress'], directory);
  assert.equal(ran.code, 0, ran.stderr);
  const status = await chervil(t, ['status'], directory);
  assert.match(status.stdout, /run 1: program\.mjs .*closed after/);
  assert.match(status.stdout, /3 of 3 tasks settled/);
  assert.match(status.stdout, /2 × RangeError: 3 is odd \(first: task 1\)/);
  const { apps, run } = JSON.parse((await chervil(t, ['status', '--json'], directory)).stdout) as {
    apps: { app: string }[];
    run: { tasks: number };
  };
  assert.deepEqual([run.tasks, apps.map(({ app }) => app).sort()], [3, ['half', 'say']]);
  const task = await chervil(t, ['task', '1'], directory);
  for (const part of [
    /half\(3\), failed/,
    /stage +halves/,
    /try 0 +threads/,
    /try 1 +threads/,
    /RangeError \(APP_ERROR\): 3 is odd/,
    /halving 3/,
  ])
    assert.match(task.stdout, part);
  const said = await chervil(t, ['task', '2'], directory);
  assert.match(said.stdout, /stdout in .*task_0002_say\.stdout\n {2}hello/);
  assert.match(
    (await chervil(t, ['tasks', '--failed'], directory)).stdout,
    /^ +1 +half +failed .*RangeError: 3 is odd$/m,
  );
  assert.match((await chervil(t, ['tasks', '--app', 'say', '--json'], directory)).stdout, /"task":2/);
  const csv = await chervil(t, ['export', '1'], directory);
  assert.equal(csv.stdout.trim().split('\n').length, 4);
  assert.match(csv.stdout, /^1,half,failed,2,threads,/m);
  const trace = JSON.parse((await chervil(t, ['export', '--format', 'chrome-trace'], directory)).stdout) as {
    traceEvents: { ph: string }[];
  };
  assert.equal(trace.traceEvents.filter(({ ph }) => ph === 'X').length, 4, 'a bar for each try');
  const lines = (await chervil(t, ['export', '--format', 'json'], directory)).stdout.trim().split('\n');
  assert.equal(lines.map((line) => JSON.parse(line) as object).length, 4);
});

test('what is not there is told in one line', async (t) => {
  const directory = scratch(t);
  const none = await chervil(t, ['status'], directory);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /^chervil: There is no monitoring database .*runinfo\/monitoring\.db\..*\n$/);
  const path = join(directory, 'some.db');
  await makeSynthetic(path, { tasks: 20 });
  assert.match(
    (await chervil(t, ['task', '20', '-d', path])).stderr,
    /^chervil: run 1 \(synthetic\.ts\) has no task 20; its tasks go from 0 to 19\n$/,
  );
  assert.match((await chervil(t, ['status', '7', '-d', path])).stderr, /^chervil: .*has no run 7\. The last are 1 /);
});

test('monitor prune deletes old runs and nothing else', async (t) => {
  const path = join(scratch(t), 'monitoring.db');
  for (const seed of [1, 2, 3])
    await makeSynthetic(path, { tasks: 200, seed, began: Date.now() - (4 - seed) * 40 * 86_400_000 });
  await makeSynthetic(path, { tasks: 100, isLive: true, began: Date.now() - 30_000 });
  const dry = await chervil(t, ['monitor', 'prune', '--older-than', '50d', '--dry-run', '-d', path]);
  assert.match(dry.stdout, /2 runs would be deleted/);
  const pruned = await chervil(t, ['monitor', 'prune', '--older-than', '50d', '-d', path]);
  assert.match(pruned.stdout, /2 runs deleted/);
  await using database = await openDatabase(path);
  const left = await database.db.selectFrom('runs').select(['run', 'ended']).orderBy('run').execute();
  assert.deepEqual(
    left.map(({ run }) => run),
    [3, 4],
  );
  const tasks = await database.db
    .selectFrom('tasks')
    .select((of) => of.fn.countAll<number>().as('all'))
    .executeTakeFirst();
  assert.equal(tasks?.all, 300);
});

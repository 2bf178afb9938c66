// The commands about the monitoring database, on a real run and on a large one that never was.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sql } from 'kysely';
import { openDatabase } from '#src/monitoring/database.js';
import { Feed } from '#src/monitoring/feed.js';
import { copyWithoutWal, lockElsewhere } from '../support/lock.ts';
import { makeSynthetic } from '../support/synthetic.ts';
import { chervil, commandLine, root, type Started, scratch, start } from './command.ts';

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

const hostile = `
import { app, bashApp, sh, load, threads } from '${join(root, 'dist/index.js')}';
const named = (run, name) => Object.defineProperty(run, 'name', { value: name });
const bad = app(named((n) => {
  console.log('\\x1b[2J\\x1b[31mpainted\\x1b[0m\\u202edrawn');
  throw new RangeError('\\x1b]0;title\\x07 broken ' + n + ' \\u202e<img src=x onerror=alert(1)>\\nsecond line ' + 'x'.repeat(5000));
}, '\\x1b[31mred\\u202e' + 'long'.repeat(100)));
const exit = bashApp((n) => sh\`echo no \${n} >&2; exit 3\`);
const run = await load({ monitoring: { name: 'run "x" <y> \\x1b[2J.ts' }, executors: [threads({ max: 1 })] });
run.stage('stage\\x1b[2J\\nof two lines');
await Promise.allSettled([bad(1), bad(2), exit(1), exit(2)]);
await run.close();
`;

test('what tasks wrote is shown and never acts upon the terminal; errors that differ in their task alone are one', async (t) => {
  const directory = scratch(t);
  writeFileSync(join(directory, 'hostile.mjs'), hostile);
  const ran = await chervil(t, ['run', 'hostile.mjs', '--progress'], directory);
  assert.equal(ran.code, 0, ran.stderr);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const acts = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;
  assert.doesNotMatch(ran.stderr, acts);
  const shown: Record<string, string> = {};
  for (const command of ['status', 'tasks', 'task 0', 'task 2']) {
    const { code, stdout } = await chervil(t, command.split(' '), directory);
    assert.equal(code, 0, command);
    assert.doesNotMatch(stdout, acts, command);
    shown[command] = stdout;
  }
  assert.match(shown['status'] ?? '', /^run 1: run "x" <y> \\x1b\[2J\.ts /);
  assert.match(shown['status'] ?? '', / 2 × RangeError: \\x1b\]0;title\\x07 broken 1 \\u202e<img src=x/);
  assert.match(shown['status'] ?? '', / 2 × BashExitError: The command ended with exit code 3: .* \(first: task 2\)$/m);
  assert.match(shown['task 0'] ?? '', /stdout\n {2}\\x1b\[2J\\x1b\[31mpainted/);
  assert.match(shown['task 0'] ?? '', /broken 1 .*\n {4}second line x+\n/);
  assert.match(
    shown['task 2'] ?? '',
    /^ {2}BashExitError \(BASH_EXIT\): The command ended with exit code 3: echo no 1/m,
  );
  const lines = (shown['tasks'] ?? '').split('\n');
  assert.equal(new Set(lines.slice(0, 5).map((line) => line.search(/state|failed/))).size, 1, 'columns stand in line');
  const csv = (await chervil(t, ['export'], directory)).stdout;
  assert.ok(csv.includes(`\u001b[31mred\u202e${'long'.repeat(100)}`), 'exported as it is');
  assert.ok(
    lines.every((line) => line.length < 220),
    'long names are cut',
  );
});

test('a run without tasks, and one that was killed, are told as what they are', async (t) => {
  const directory = scratch(t);
  writeFileSync(
    join(directory, 'empty.mjs'),
    `import { load } from '${join(root, 'dist/index.js')}';
await (await load({ monitoring: true })).close();
`,
  );
  writeFileSync(
    join(directory, 'killed.mjs'),
    `import { bashApp, load, sh } from '${join(root, 'dist/index.js')}';
const forever = bashApp(() => sh\`echo begun > begun; sleep 600\`);
await load({ monitoring: true });
void forever();
const { existsSync, watch } = await import('node:fs');
while (!existsSync('begun')) await new Promise((resolve) => setTimeout(resolve, 20));
await new Promise((resolve) => setTimeout(resolve, 500));
process.kill(process.pid, 'SIGKILL');
`,
  );
  assert.equal((await chervil(t, ['run', 'empty.mjs'], directory)).code, 0);
  const empty = await chervil(t, ['status'], directory);
  assert.match(empty.stdout, /closed after .*\n.*\n\nno task was called\n$/);
  assert.equal((await chervil(t, ['tasks'], directory)).stdout, 'no such tasks\n');
  assert.equal((await chervil(t, ['run', 'killed.mjs'], directory)).signal, 'SIGKILL');
  const killed = await chervil(t, ['status'], directory);
  assert.match(killed.stdout, /^run 2: killed\.mjs .*lost after .*: its process ended without closing it/);
  assert.match(killed.stdout, /0 of 1 task settled\n/);
  const task = await chervil(t, ['task', '0'], directory);
  assert.match(task.stdout, /forever\(\), (running|launched) when its run was lost\n/);
  assert.doesNotMatch(task.stdout, /, still/);
});

const gated = `
import { app, bashApp, joinApp, load, sh, threads } from '${join(root, 'dist/index.js')}';
const wait = bashApp(() => sh\`while [ ! -e gate ]; do sleep 0.05; done\`);
const after = app(function after(code) { return code; });
const cached = app(function cached(n) { return n; }, { memo: true });
const fails = app(function fails() { throw new Error('no'); });
const run = await load({ monitoring: true, executors: [threads({ max: 1 })] });
run.stage('gate');
await cached(1);
await cached(1);
await fails().catch(() => {});
const waiting = wait();
const all = [waiting, wait(), after(waiting), after(waiting)];
await Promise.all(all);
await run.close();
`;

test('status --watch and the progress line follow a run to its end, and leave the terminal as it was', {
  skip: spawnSync('script', ['--version']).status === 0 ? false : 'for want of script(1), which makes a terminal',
}, async (t) => {
  const directory = scratch(t);
  writeFileSync(join(directory, 'gated.mjs'), gated);
  const onTerminal = (args: readonly string[]): Started => {
    const command = commandLine(args)
      .map((word) => `'${word}'`)
      .join(' ');
    return start(t, 'script', ['-qec', `stty cols 120 rows 40; ${command}`, '/dev/null'], directory);
  };
  const run = onTerminal(['run', 'gated.mjs']);
  await run.until('gate: 2 of 7 done, 1 running, 1 queued, 2 waiting, 1 failed, 1 cached');
  const watch = onTerminal(['status', '--watch']);
  await watch.until('3 of 7 tasks settled');
  const piped = start(t, process.execPath, [...commandLine(['status', '--watch']).slice(1)], directory);
  await piped.until('3 of 7 tasks settled');
  writeFileSync(join(directory, 'gate'), '');
  const ran = await run.ended;
  assert.equal(ran.code, 0, ran.stdout);
  assert.match(ran.stdout, /chervil: 7 tasks in .*: 6 done, 1 of them cached, 1 failed\r\n$/);
  const { code, stdout } = await watch.ended;
  assert.equal(code, 0);
  const [before, after] = [stdout.indexOf('\x1b[?1049h\x1b[?25l'), stdout.lastIndexOf('\x1b[?25h\x1b[?1049l')];
  assert.ok(before >= 0 && after > before, 'the other screen, and back');
  assert.match(stdout.slice(before, after), /running for /);
  assert.ok(stdout.slice(before, after).includes('\x1b[K'), 'drawn over');
  assert.match(
    stdout.slice(after),
    /run 1: gated\.mjs .*closed after[\s\S]*7 of 7 tasks settled[\s\S]*Error: no \(first: task 2\)/,
  );
  const plain = await piped.ended;
  assert.equal(plain.code, 0);
  assert.ok(!plain.stdout.includes('\x1b'), 'no sequences where there is no terminal');
  assert.match(plain.stdout, /running for[\s\S]*closed after/);
});

test('what ends status --watch is told where it stays to be read', {
  skip: spawnSync('script', ['--version']).status === 0 ? false : 'for want of script(1), which makes a terminal',
}, async (t) => {
  const directory = scratch(t);
  const path = join(directory, 'some.db');
  await makeSynthetic(path, { tasks: 20, isLive: true });
  {
    await using monitoring = await openDatabase(path, { mode: 'write' });
    await monitoring.db.updateTable('runs').set({ host: hostname(), pid: process.pid, began: Date.now() }).execute();
  }
  const command = commandLine(['status', '--watch', '-d', path]).join("' '");
  const watch = start(t, 'script', ['-qec', `'${command}'`, '/dev/null'], directory);
  await watch.until('of 20 tasks settled');
  rmSync(path);
  const { code, stdout } = await watch.ended;
  assert.equal(code, 1);
  assert.match(stdout.slice(stdout.lastIndexOf('\x1b[?1049l')), /chervil: .*some\.db is not there any more/);
});

test('of output the end is read, and no pipe is waited for; clocks that disagree make no time negative in an export', async (t) => {
  const directory = scratch(t);
  const path = join(directory, 'some.db');
  await makeSynthetic(path, { tasks: 40 });
  const [pipe, long] = [join(directory, 'pipe'), join(directory, 'long')];
  assert.equal(spawnSync('mkfifo', [pipe]).status, 0);
  writeFileSync(long, `${'ü'.repeat(10_000)}the end\n`);
  {
    await using monitoring = await openDatabase(path, { mode: 'write' });
    const { db } = monitoring;
    await db.updateTable('tasks').set({ stdout: pipe, stderr: long }).where('task', '=', 1).execute();
    await sql`update tasks set running = invoked - 5000, running_ended = invoked - 9000 where task = 2`.execute(db);
  }
  const { code, stdout } = await chervil(t, ['task', '1', '-d', path], directory);
  assert.equal(code, 0);
  assert.match(stdout, /stdout in .*pipe\n {2}\(it cannot be read from here\)\n/);
  assert.match(stdout, /stderr in .*long\n {2}ü{1996}the end\n/);
  const csv = await chervil(t, ['export', '-d', path], directory);
  const [head = '', ...lines] = csv.stdout.split('\n');
  const [waited, ran] = ['waited_ms', 'ran_ms'].map((name) => head.split(',').indexOf(name)) as [number, number];
  // In the columns before there is no comma.
  const second = (lines[2] ?? '').split(',');
  assert.deepEqual([second[0], second[waited], second[ran]], ['2', '0', '0']);
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

test('monitor load takes in what a run left, and leaves alone what a run still writes', async (t) => {
  const directory = scratch(t);
  const left = join(directory, 'monitoring');
  const feed = new Feed({ directory: left, onWritten: () => {}, onProblem: () => {} });
  feed.records.rare({ kind: 'app', app: 0, name: 'f', body: 'function', memoize: false });
  feed.records.opened(0, 0, Date.now(), undefined, undefined, undefined, '1');
  feed.close();
  const facts = {
    ...{ run_id: 'left', name: 'program', version: '1', ended: null, end_reason: null, user: 'u', directory },
    ...{ command: '', chervil_version: '1', node_version: '1', tasks: 0, completed: 0, memoized: 0, failed: 0 },
    ...{ sample_ms: 0, written: null, lag_ms: null, lost_events: 0 },
  };
  const keepStart = (pid: number): void => {
    const run = { ...facts, began: Date.now(), host: hostname(), pid };
    const start = { database: '', feed: left, run, batchMs: 1, batchRecords: 1_000, busyMs: 100, patienceMs: 1_000 };
    writeFileSync(join(left, 'start.json'), JSON.stringify(start));
  };
  const path = join(directory, 'monitoring.db');
  keepStart(process.pid);
  const refused = await chervil(t, ['monitor', 'load', left, '-d', path]);
  assert.deepEqual([refused.code, existsSync(path)], [1, false]);
  assert.match(refused.stderr, new RegExp(`its program, process ${process.pid}, is still running`));
  keepStart(spawnSync('true').pid);
  const loaded = await chervil(t, ['monitor', 'load', left, '-d', path]);
  assert.equal(loaded.code, 0, loaded.stderr);
  assert.match((await chervil(t, ['status', '-d', path])).stdout, /0 of 1 task settled/);
  assert.ok(!existsSync(left));
});

test('a database that another program keeps locked is told in one line', async (t) => {
  const directory = scratch(t);
  await makeSynthetic(join(directory, 'first.db'), { tasks: 20 });
  const path = join(directory, 'monitoring.db');
  copyWithoutWal(join(directory, 'first.db'), path);
  const lock = await lockElsewhere(t, path);
  for (const command of [
    ['status', '-d', path],
    ['monitor', path],
  ]) {
    const { code, stdout, stderr } = await chervil(t, command);
    assert.deepEqual([code === 0, stdout], [false, '']);
    assert.match(
      stderr,
      /^chervil: .*monitoring\.db is locked by another program, .*Try again when that has written\.\n$/,
    );
  }
  await lock.release();
  assert.equal((await chervil(t, ['status', '-d', path])).code, 0);
});

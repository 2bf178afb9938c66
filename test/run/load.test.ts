// load(): one ambient run, others beside it, configuration checked as a whole, and an end that tidies up.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import {
  AUTO_LOGNAME,
  app,
  bashApp,
  defineConfig,
  type Executor,
  inline,
  joinApp,
  load,
  sh,
  threads,
} from '#src/index.js';
import { FakeExecutor } from '../support/executor.ts';
import { freshDirectory, inRun, stderrOf, testRun } from '../support/run.ts';

const add = app((a: number, b: number) => a + b);
const boom = app((what: string): number => {
  throw new Error(what);
});
const sleep = app(() => new Promise<number>(() => {}));

test('a call without load() says what to do', () => {
  assert.throws(() => add(1, 2), {
    code: 'NO_RUN',
    message: /^add\(\) was called, but nothing is loaded.*await load\(\)/,
  });
});

test('a second ambient load() is refused while the first runs, also while it starts', async () => {
  const first = testRun();
  await assert.rejects(testRun(), { code: 'ALREADY_LOADED', message: /Close it first.*ambient: false/ });
  const run = await first;
  await assert.rejects(testRun(), { code: 'ALREADY_LOADED' });
  assert.equal(await add(1, 2), 3, 'the first is not disturbed');
  await run.close();
  const next = await testRun();
  assert.equal(await add(3, 4), 7);
  await next.close();
});

test('a run beside another is entered with run.enter, also in what is asynchronous there', async () => {
  await inRun({}, async (ambient) => {
    const beside = await testRun({}, { ambient: false });
    const value = await beside.enter(async () => {
      const first = await add(1, 2);
      await new Promise((resolve) => setImmediate(resolve));
      return add(first, 4);
    });
    assert.equal(value, 7);
    assert.equal(beside.summary().total, 2);
    assert.equal(ambient.summary().total, 0);
    await add(1, 1);
    assert.equal(ambient.summary().total, 1);
    await beside.close();
    beside.enter(() => assert.throws(() => add(1, 2), { code: 'CLOSED', message: /^The run is closed, so add\(\)/ }));
  });
});

test('the bodies of join apps run inside their own run', async () => {
  const forked = joinApp((n: number) => [add(n, 1), add(n, 2)]);
  const later = joinApp(async (n: number) => {
    await new Promise((resolve) => setImmediate(resolve));
    return add(n, 10);
  });
  const beside = await testRun({}, { ambient: false });
  await inRun({}, async (ambient) => {
    const [list, value] = await beside.enter(() => Promise.all([forked(1), later(1)]));
    assert.deepEqual([list, value], [[2, 3], 11]);
    assert.equal(ambient.summary().total, 0);
    assert.equal(beside.summary().total, 5);
  });
  await beside.close();
});

test('a wrong configuration says everything that is wrong with it, each by its path', () => {
  const wrong = {
    executors: [inline({ label: 'a' }), inline({ label: 'a' }), 7, inline({ label: 'no good' as 'x' })],
    runDir: '',
    retry: { budget: -1, delay: 'soon', cots: 1, losses: 0.5 },
    checkpoint: { when: 'sometimes', period: '1 hour', load: 'first' },
    dependencies: 'all',
    exit: 'now',
    log: 'loud',
    memo: 1,
    exitt: true,
    wrap: [{}],
    elaborators: [{ before: 'lunch' }],
    nameLog: 'x',
  };
  assert.throws(
    () => defineConfig(wrong as never),
    (error: { code: string; problems: { path: string }[]; message: string }) => {
      assert.equal(error.code, 'CONFIG');
      assert.deepEqual(error.problems.map(({ path }) => path).sort(), [
        'checkpoint.load',
        'checkpoint.period',
        'checkpoint.period',
        'checkpoint.when',
        'dependencies',
        'elaborators[0].before',
        'elaborators[0].make',
        'executors[1].label',
        'executors[2]',
        'executors[3].label',
        'exit',
        'exitt',
        'log',
        'memo',
        'nameLog',
        'retry.budget',
        'retry.cots',
        'retry.delay',
        'retry.losses',
        'runDir',
        'wrap[0]',
      ]);
      assert.match(error.message, /exitt: unknown option; did you mean 'exit'\?/);
      assert.match(error.message, /retry\.cots: unknown option; did you mean 'cost'\?/);
      assert.match(error.message, /exit: expected 'wait' or 'cancel', not 'now'/);
      return true;
    },
  );
});

test('load() refuses a wrong configuration and wrong options of its own, and starts nothing', async () => {
  for (const config of [null, 7, [], { executors: [] }, { retry: 'often' }]) {
    await assert.rejects(load(config as never), { code: 'CONFIG' });
  }
  const runDir = freshDirectory();
  await assert.rejects(load({ runDir }, { signal: 5, ambiant: true } as never), {
    code: 'CONFIG',
    message:
      /2 problems:\n {2}ambiant: unknown option; did you mean 'ambient'\?\n {2}signal: expected an AbortSignal, not 5/,
  });
  assert.equal(existsSync(runDir), false);
});

test('wrong options of an app are one error too, where the app is made', () => {
  assert.throws(() => app((n: number) => n, { timeout: 'soon', retry: -1, executors: [], memoo: true } as never), {
    code: 'CONFIG',
    message:
      /4 problems:\n {2}memoo: unknown option; did you mean 'memo'\?\n {2}timeout: .*'soon'\n {2}retry: .*-1\n {2}executors: /,
  });
  assert.throws(() => joinApp(() => [], { timeout: 5 } as never), {
    code: 'CONFIG',
    message: /timeout: join apps have none/,
  });
  assert.throws(
    () => bashApp(() => sh`true`, { stdout: 'https://example.org/out', stderr: { path: '', mode: 'w' } } as never),
    {
      code: 'CONFIG',
      message: /stdout: expected a path or a file: URL.*\n {2}stderr.path: .*\n {2}stderr.mode: /,
    },
  );
  assert.throws(() => app(5 as never), { code: 'APP_DEFINITION', message: /app\(\) needs a function, not number/ });
});

test('an executor serves one run only; one that never started can be loaded again', async () => {
  const executors = [inline()];
  await assert.rejects(testRun({ executors, checkpoint: { load: [freshDirectory()] } }), {
    code: 'CHECKPOINT',
    message: /does not exist\. Check the path/,
  });
  const run = await testRun({ executors });
  await run.close();
  await assert.rejects(testRun({ executors }), {
    code: 'CONFIG',
    message: /executors\[0\]: 'inline' was loaded before/,
  });
});

test('when an executor cannot start, load() fails with its reason, and another can be loaded', async () => {
  const bad: Executor = Object.assign(new FakeExecutor('bad'), {
    start: () => Promise.reject(new Error('no port is free')),
  });
  await assert.rejects(testRun({ executors: [inline(), bad] }), /no port is free/);
  await inRun({}, async () => assert.equal(await add(1, 1), 2));
});

test('an unknown label is an error of the call, and nothing else is disturbed', async () => {
  await inRun({ executors: [inline(), threads({ label: 'cores', max: 1 })] }, async (run) => {
    const lost = add.with({ executors: ['cpu'] });
    assert.throws(() => lost(1, 2), {
      code: 'UNKNOWN_EXECUTOR',
      message: /^add names the executor 'cpu', but this run has 'inline', 'cores'\./,
    });
    assert.equal(run.summary().total, 0);
    assert.equal(await add(1, 2), 3);
  });
});

test('leaving waits for tasks that nobody awaited', async () => {
  const run = await testRun();
  const future = add(add(1, 2), add(3, 4));
  await run.close();
  assert.equal(future.state, 'exec_done');
  assert.equal(await future, 10);
});

test('with exit: cancel, leaving settles every task as cancelled, and calls from then on are refused', async () => {
  const run = await testRun({ exit: 'cancel' });
  const future = sleep();
  let again: unknown;
  future.catch(() => {
    try {
      add(1, 2);
    } catch (error) {
      again = error;
    }
  });
  await run.close();
  await assert.rejects(future, { code: 'CANCELLED', message: /the run was closed$/ });
  assert.equal((again as { code: string }).code, 'CLOSED');
});

test('close() may be called as often as one likes', async () => {
  const run = await testRun();
  const first = run.close();
  assert.equal(run.close(), first);
  await first;
  await run[Symbol.asyncDispose]();
});

test('failures that nobody looked at are named when the run closes, and never crash the process', async () => {
  const text = await stderrOf(async () => {
    const run = await testRun();
    boom('unseen');
    boom('seen').catch(() => {});
    const cancelled = sleep();
    cancelled.cancel('on purpose');
    await run.wait();
    assert.deepEqual(
      run.unseenFailures().map(({ id, app: name, error }) => [id, name, error.code]),
      [[0, 'boom', 'APP_ERROR']],
    );
    await run.close();
  });
  assert.equal(text, 'chervil: 1 task failed and nobody looked:\n  Task 0 (boom): Error: unseen\n');
});

test('of many unseen failures the first five are named, and the rest is counted', async () => {
  const text = await stderrOf(async () => {
    const run = await testRun();
    for (let n = 0; n < 8; n++) boom(`number ${n}`);
    await run.close();
  });
  assert.match(
    text,
    /^chervil: 8 tasks failed and nobody looked:\n(?: {2}Task \d \(boom\): Error: number \d\n){5} {2}and 3 more; see .*chervil\.log\n$/,
  );
});

test('the log of a run ends with a summary: tasks in every state', async () => {
  const run = await testRun({ log: 'debug' });
  await add(1, 2);
  await run.close();
  const log = readFileSync(join(run.directory, 'chervil.log'), 'utf8');
  assert.match(log, /task 0 submitted for app add, waits for nothing/);
  assert.match(log, /task 0 \(add\) changing state from pending to launched, try 0 on inline/);
  assert.match(log, /tasks in state exec_done: 1\n/);
  assert.match(log, /tasks in state failed: 0\n/);
});

test('a run can be cancelled as a whole and goes on', async () => {
  await inRun({}, async (run) => {
    const one = sleep();
    const dependent = add(one, 1);
    run.cancel('changed my mind');
    await assert.rejects(one, { code: 'CANCELLED', message: /changed my mind$/ });
    await assert.rejects(dependent, { code: 'CANCELLED' });
    assert.equal(await add(1, 2), 3);
  });
});

test("the run's signal cancels all of it", async () => {
  const controller = new AbortController();
  await inRun(
    {},
    async () => {
      const future = sleep();
      controller.abort(new Error('time is up'));
      await assert.rejects(future, { code: 'CANCELLED', message: /time is up$/ });
      await assert.rejects(add(1, 2), { code: 'CANCELLED' });
    },
    { signal: controller.signal },
  );
});

test('summary() counts tasks by state', async () => {
  await inRun({}, async (run) => {
    await add(1, 2);
    await assert.rejects(boom('no'));
    await assert.rejects(add(boom('no'), 1));
    const { total, live, byState } = run.summary();
    assert.deepEqual([total, live, byState.exec_done, byState.failed, byState.dep_fail], [4, 0, 1, 2, 1]);
  });
});

test('own elaborators stand where they are asked to, and see every task', async () => {
  const seen: string[] = [];
  const named = (name: string) => () => ({
    name,
    enter: (task: { app: string }) => {
      seen.push(`${name} ${task.app}`);
      return { do: 'go' as const };
    },
  });
  const elaborators = [
    { before: 'route' as const, make: named('inner') },
    { before: 'observe' as const, make: named('outer') },
  ];
  await inRun({ elaborators }, async () => {
    await add(1, 2);
    assert.deepEqual(seen, ['outer add', 'inner add']);
  });
});

test('files for output are named after the task; the config may name them itself', async () => {
  const say = bashApp((text: string) => sh`echo ${text}`, { stdout: AUTO_LOGNAME, label: 'loud one' });
  await inRun({}, async (run) => {
    const said = say('hello');
    assert.equal(said.stdout.path, join(run.directory, 'task_logs', '0000', 'task_0000_say_loud-one.stdout'));
    assert.equal(await said.stdout, 'hello\n');
  });
  const directory = freshDirectory();
  await inRun(
    { nameLog: ({ taskId, app: name, label, stream }) => join(directory, `${name}-${label}-${taskId}.${stream}`) },
    async () => {
      const said = say('hello');
      assert.equal(basename(said.stdout.path as string), 'say-loud one-0.stdout');
      assert.equal(await said.stdout, 'hello\n');
    },
  );
});

test('what nameLog throws, the call throws; no task is made of it', async () => {
  const say = bashApp((text: string) => sh`echo ${text}`);
  const nameLog = (): string => {
    throw new RangeError('no name left');
  };
  await inRun({ nameLog }, async (run) => {
    assert.throws(() => say('hello'), { name: 'RangeError', message: 'no name left' });
    assert.equal(run.summary().total, 0);
  });
  await inRun({ nameLog: () => 7 as never }, async () => {
    assert.throws(() => say('hello'), {
      code: 'APP_DEFINITION',
      message: /nameLog must give a path for the stdout of task 0 \(say\), not 7/,
    });
  });
});

test('a checkpoint that is no checkpoint is an error of load(), by its path', async () => {
  const directory = freshDirectory();
  const run = await testRun({ runDir: directory });
  await run.close();
  writeFileSync(join(directory, 'other.ckpt'), 'not a checkpoint at all');
  await assert.rejects(testRun({ checkpoint: { load: [join(directory, 'other.ckpt')] } }), {
    code: 'CHECKPOINT',
    message: /other\.ckpt/,
  });
});

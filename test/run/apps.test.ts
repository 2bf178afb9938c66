// Apps through the public API: what they are called with, how they fail, and what is said about it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { app, apps, backoff, bashApp, file, inline, joinApp, sh, threads } from '#src/index.js';
import { inRun } from '../support/run.ts';

declare global {
  // Bodies on `inline` run in this process; what they count, they count here.
  var counted: Record<string, number>;
}
globalThis.counted = {};

const add = app((a: number, b: number) => a + b);
const identity = app((value: unknown) => value);
const never = app((_?: unknown) => new Promise<number>(() => {}));
const count = app((name: string) => {
  globalThis.counted[name] = (globalThis.counted[name] ?? 0) + 1;
  return globalThis.counted[name];
});
const countAndFail = app((name: string): number => {
  globalThis.counted[name] = (globalThis.counted[name] ?? 0) + 1;
  throw new Error(`failure ${globalThis.counted[name]}`);
});

test('values go in and come out as copies, the same for every executor', async () => {
  for (const executors of [[inline()], [threads({ max: 1 })]]) {
    await inRun({ executors }, async () => {
      const given = { list: [1, { two: 2n }], when: new Date(5), by: new Map([['a', new Set([1])]]), none: undefined };
      const got = await identity(given);
      assert.deepEqual(got, given);
      assert.notEqual(got, given);
      assert.equal(await identity(undefined), undefined);
    });
  }
});

test('an argument that cannot be sent is an error of the call: which, where in it, and why', async () => {
  class Account {
    balance = 1;
  }
  await inRun({}, async (run) => {
    assert.throws(() => identity({ options: { callback: () => 1 } }), {
      code: 'SERIALIZATION',
      message: /^Cannot send argument 0 of identity\(\).*\.options\.callback: /,
    });
    assert.throws(() => identity([new Account()]), { code: 'SERIALIZATION', message: /Account/ });
    assert.throws(() => identity({ f: add(1, 2), bad: Symbol('s') }), { code: 'SERIALIZATION', message: /\.bad/ });
    assert.equal(run.summary().total, 1, 'only add() was called');
    assert.equal(await add(1, 2), 3, 'nothing else is disturbed');
  });
});

test('a future deep in an argument is an error of the call when the search is shallow, and says so', async () => {
  await inRun({ dependencies: 'shallow' }, async () => {
    assert.deepEqual(await identity([add(1, 2)]), [3]);
    assert.deepEqual(await identity({ three: add(1, 2) }), { three: 3 });
    assert.throws(() => identity({ deep: [[add(1, 2)]] }), { code: 'SERIALIZATION', message: /future/i });
    assert.throws(() => identity([add(1, 2), [add(1, 2)]]), { code: 'SERIALIZATION', message: /future/i });
  });
});

test('a result that cannot be sent fails the task, and is not tried again', async () => {
  const odd = app(
    () => {
      globalThis.counted['odd'] = (globalThis.counted['odd'] ?? 0) + 1;
      return { inside: () => 1 };
    },
    { retry: 3 },
  );
  await inRun({}, async () => {
    await assert.rejects(odd(), { code: 'SERIALIZATION', message: /Cannot send the result.*\.inside/ });
    assert.equal(globalThis.counted['odd'], 1);
  });
});

test('a function that cannot be sent is an error of its first call: the name, its place, and what to do', async () => {
  let changing = 0;
  const bad = app(() => changing);
  changing = 1;
  await inRun({}, async (run) => {
    assert.throws(() => bad(), { code: 'CLOSURE', message: /changing.*apps\.test\.ts:\d+/ });
    assert.equal(run.summary().total, 0);
  });
});

test('a module or export that is not there', async () => {
  assert.throws(() => apps(new URL('./nowhere.ts', import.meta.url)), {
    code: 'FUNCTION_NOT_FOUND',
    message: /nowhere\.ts/,
  });
  assert.throws(() => apps('./tasks.ts'), {
    code: 'APP_DEFINITION',
    message: /new URL\('\.\/tasks\.ts', import\.meta\.url\)/,
  });
  const module = apps<{ nothing: () => number }>(new URL('../fixtures/functions/library.ts', import.meta.url));
  await inRun({ retry: 5 }, async (run) => {
    await assert.rejects(module.nothing(), {
      code: 'FUNCTION_NOT_FOUND',
      message: /has no export "nothing". It exports default, double, /,
    });
    assert.equal(run.summary().total, 1);
  });
});

test('a file that is not there fails its task, and a URL that nothing can bring is an error of the call', async () => {
  const read = bashApp((from: ReturnType<typeof file>) => sh`cat ${from}`);
  await inRun({}, async () => {
    await assert.rejects(read(file('no/such/readings.csv')), {
      code: 'FILE_NOT_FOUND',
      message: /no\/such\/readings\.csv, which does not exist/,
    });
    assert.throws(() => read(file('https://example.org/numbers.txt')), { code: 'STAGING', message: /example\.org/ });
  });
});

test('retries: a number, from the config, from the app; each try runs the body anew', async () => {
  globalThis.counted = {};
  await inRun({ retry: 1 }, async () => {
    await assert.rejects(countAndFail('config'), /failure 2$/);
    await assert.rejects(countAndFail.with({ retry: 3 })('own'), /failure 4$/);
    await assert.rejects(countAndFail.with({ retry: 0 })('none'), /failure 1$/);
    const delayed = countAndFail.with({ retry: { budget: 1, delay: backoff(1, { random: () => 0.5 }) } })('delayed');
    await assert.rejects(delayed, { task: { taskId: 3, app: 'countAndFail', tries: 2, executor: 'inline' } });
  });
  assert.deepEqual(globalThis.counted, { config: 2, own: 4, none: 1, delayed: 2 });
});

test('a timeout limits each try of a body that waits, and costs a try; a deadline limits all', async () => {
  await inRun({}, async () => {
    const limited = never.with({ timeout: 10, retry: 2 });
    await assert.rejects(limited(), {
      code: 'TIMEOUT',
      timeoutMs: 10,
      task: { taskId: 0, app: 'never', tries: 3, executor: 'inline' },
    });
    await assert.rejects(never.with({ timeout: 20, retry: 1000, deadline: 50 })(), {
      code: 'DEADLINE',
      deadlineMs: 50,
    });
    await assert.rejects(add.with({ deadline: 10 })(never.with({ deadline: 200 })(), 1), {
      code: 'DEADLINE',
      deadlineMs: 10,
    });
  });
});

test('many bodies that wait are cancelled, and those that come after them still run', async () => {
  await inRun({ executors: [inline({ max: 4 })] }, async () => {
    const stuck = Array.from({ length: 8 }, () => never());
    await new Promise((resolve) => setImmediate(resolve));
    for (const future of stuck) future.cancel('enough');
    assert.equal(await add.with({ deadline: '5s' })(1, 2), 3);
  });
});

const fibonacci = joinApp(
  (n: number): ReturnType<typeof add> => (n < 2 ? add(n, 0) : add(fibonacci(n - 1), fibonacci(n - 2))),
);

test('recursion with joins: fibonacci', async () => {
  await inRun({}, async (run) => {
    assert.equal(await fibonacci(12), 144);
    assert.equal(run.summary().live, 0);
  });
});

test('joins: a list, an empty list, an async body, another promise, futures from an async body', async () => {
  const list = joinApp((n: number) => Array.from({ length: n }, (_, index) => add(index, index)));
  const later = joinApp(async (n: number) => (await add(n, 1)) * 2);
  const foreign = joinApp(() => Promise.resolve('foreign'));
  const laterList = joinApp(async () => [add(1, 1), add(2, 2)]);
  await inRun({}, async () => {
    assert.deepEqual(await list(3), [0, 2, 4]);
    assert.deepEqual(await list(0), []);
    assert.equal(await later(4), 10);
    assert.equal(await foreign(), 'foreign');
    assert.deepEqual(await laterList(), [2, 4]);
    assert.equal(await add(list(4).get(3), later(0)), 8);
  });
});

test('a join whose body gives something else says what it was', async () => {
  const wrong = joinApp((() => 42) as never);
  const mixed = joinApp((() => [add(1, 2), 'three']) as never);
  await inRun({ retry: 3 }, async () => {
    await assert.rejects(wrong as never as () => Promise<void>, {
      code: 'JOIN_RESULT',
      message: /must return a future or a list of futures, but it returned 42\.$/,
    });
    await assert.rejects(mixed as never as () => Promise<void>, {
      code: 'JOIN_RESULT',
      message: /element 1 of its list is 'three'/,
    });
  });
});

test('the failures of joined tasks are all told, and not retried; the failure of the body is', async () => {
  globalThis.counted = {};
  const both = joinApp(
    () => {
      globalThis.counted['both'] = (globalThis.counted['both'] ?? 0) + 1;
      return [countAndFail('a'), add(1, 2), countAndFail('b')];
    },
    { retry: 3 },
  );
  const awaits = joinApp(
    async () => {
      globalThis.counted['awaits'] = (globalThis.counted['awaits'] ?? 0) + 1;
      return (await countAndFail('c')) + 1;
    },
    { retry: 3 },
  );
  const second = joinApp(
    () => {
      globalThis.counted['second'] = (globalThis.counted['second'] ?? 0) + 1;
      if (globalThis.counted['second'] < 2) throw new Error('first time');
      return add(1, 2);
    },
    { retry: 3 },
  );
  await inRun({}, async () => {
    await assert.rejects(both(), (error: { code: string; failures: { description: string }[]; message: string }) => {
      assert.equal(error.code, 'JOIN');
      assert.deepEqual(
        error.failures.map(({ description }) => description),
        ['task 1', 'task 3'],
      );
      assert.match(
        error.message,
        /^Task 0 \(both\): A joined task failed, by way of task 1 \(\+ others\): AppError: Task 1 \(countAndFail\): Error: failure 1$/,
      );
      return true;
    });
    await assert.rejects(awaits(), { code: 'JOIN' });
    assert.equal(await second(), 3);
  });
  assert.deepEqual(globalThis.counted, { both: 1, a: 1, b: 1, awaits: 1, c: 1, second: 2 });
});

test('cancelling a join cancels what its body called', async () => {
  const wide = joinApp(() => [never(1), never(2)]);
  await inRun({}, async (run) => {
    const future = wide();
    while (future.state !== 'joining') await new Promise((resolve) => setImmediate(resolve));
    future.cancel('no');
    await assert.rejects(future, { code: 'CANCELLED' });
    assert.equal(run.summary().live, 0);
    assert.equal(run.summary().byState.failed, 3);
  });
});

test('wrappers go around the body in each try', async () => {
  const { wrapper } = await import('#src/index.js');
  const module = new URL('./wrappers.ts', import.meta.url);
  await inRun({ wrap: [wrapper(module, 'doubled'), wrapper(module, 'plusOne')] }, async () => {
    assert.equal(await add(1, 2), 8, 'the first is the outermost');
  });
});

test('an app is called as it is named: by its function, its variable, or its option', async () => {
  const named = app((n: number) => n, { name: 'special' });
  await inRun({}, async () => {
    assert.deepEqual([add(1, 2).app, named(1).app, add.with({ name: 'other' })(1, 2).app], ['add', 'special', 'other']);
    assert.equal(add.appName, 'add');
    assert.match(add.sent, /^by value, \d+ bytes/);
    const body = (n: number): number => n;
    assert.equal(app(body)(1).app, 'body');
    assert.equal(await count('names'), 1);
  });
});

test('task logs go by ten thousand to a directory', async () => {
  const { logNamesIn } = await import('#src/kernel/elaborators/files.js');
  const name = logNamesIn('/run');
  const of = (taskId: number, label?: string): string => name({ taskId, app: 'simulate', label, stream: 'stderr' });
  assert.equal(of(41), join('/run', 'task_logs', '0000', 'task_0041_simulate.stderr'));
  assert.equal(of(9_999), join('/run', 'task_logs', '0000', 'task_9999_simulate.stderr'));
  assert.equal(of(123_456, 'a/../b'), join('/run', 'task_logs', '0012', 'task_123456_simulate_a-..-b.stderr'));
});

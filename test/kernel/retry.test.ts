// retry: failed tries are followed by others while the policy allows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RetryContext, RetryPolicy } from '#src/kernel/app-record.js';
import { backoff } from '#src/kernel/backoff.js';
import {
  JoinError,
  ManagerLostError,
  SerializationError,
  type TaskError,
  UnsupportedError,
  WorkerLostError,
} from '#src/task/errors.js';
import { boom, FakeExecutor } from '../support/executor.ts';
import { appRecord, errorOf, joinRecord, resultOf, testKernel } from '../support/kernel.ts';

const lost = (): WorkerLostError => new WorkerLostError({ worker: '1', host: 'nid0012', signal: 'SIGKILL' });

/** How many tries a task gets that always fails so. */
async function tries(retry: RetryPolicy, error: () => TaskError = boom): Promise<number> {
  const world = await testKernel();
  const task = world.call(appRecord({ retry }));
  while (!task.isSettled && world.executor.given.length < 100) {
    world.executor.fail(error());
    world.clock.advance(600_000);
  }
  assert.equal(task.isSettled, true);
  world.nothingElse();
  return world.executor.given.length;
}

test('a budget of 2 allows three tries', async () => {
  assert.equal(await tries({ budget: 2 }), 3);
  assert.equal(await tries({ budget: 0 }), 1);
  assert.equal(await tries({}), 1);
});

test('with a cost of 0.5 a budget of 2 allows five tries', async () => {
  assert.equal(await tries({ budget: 2, cost: () => 0.5 }), 5);
});

test('a cost of Infinity ends it, whatever the budget', async () => {
  assert.equal(await tries({ budget: Number.POSITIVE_INFINITY, cost: () => Number.POSITIVE_INFINITY }), 1);
});

test('a failure that costs nothing is never the last', async () => {
  let free = 6;
  assert.equal(await tries({ budget: 0, cost: () => (free-- > 0 ? 0 : 1) }), 7);
});

test('the task succeeds with the try that does, and its error is that of the last try', async () => {
  const world = await testKernel();
  const good = world.call(appRecord({ retry: { budget: 1 } }));
  world.executor.fail();
  world.executor.give('second');
  assert.equal(resultOf(good), 'second');
  const bad = world.call(appRecord({ retry: { budget: 1 } }));
  world.executor.fail(boom('first'));
  world.executor.fail(boom('last'));
  assert.match(errorOf(bad).message, /last$/);
  world.nothingElse();
});

test('a policy is told of the error, and of the task: id, app, tries, cost so far, arguments', async () => {
  const told: [string, RetryContext][] = [];
  const world = await testKernel();
  const retry: RetryPolicy = { budget: 2, cost: (error, context) => told.push([error.code, context]) * 0 + 0.75 };
  world.call(appRecord({ retry }), [7]);
  world.executor.fail();
  world.executor.fail(lost());
  world.executor.fail();
  const context = { taskId: 0, app: 'simulate', args: [7] };
  assert.deepEqual(told, [
    ['APP_ERROR', { ...context, tries: 1, spent: 0 }],
    ['WORKER_LOST', { ...context, tries: 2, spent: 0.75 }],
    ['APP_ERROR', { ...context, tries: 3, spent: 1.5 }],
  ]);
  world.nothingElse();
});

test('a policy that throws ends the retries with RETRY_POLICY: cause is what it threw, original what it was asked about', async () => {
  for (const wrong of [{ cost: true }, { delay: true }]) {
    const thrown = new TypeError('no such property');
    const throwing = (): never => {
      throw thrown;
    };
    const world = await testKernel();
    const task = world.call(
      appRecord({ retry: { budget: 3, ...(wrong.cost ? { cost: throwing } : { delay: throwing }) } }),
    );
    const original = boom();
    world.executor.fail(original);
    const error = errorOf(task);
    assert(error.code === 'RETRY_POLICY');
    assert.equal(error.cause, thrown);
    assert.equal(error.original, original);
    world.nothingElse();
  }
});

test("a cost or delay that is no number from 0 up is the policy's mistake", async () => {
  for (const value of [Number.NaN, -1, 'much', undefined]) {
    for (const key of ['cost', 'delay'] as const) {
      const world = await testKernel();
      const task = world.call(appRecord({ retry: { budget: 3, [key]: () => value as number } }));
      world.executor.fail();
      assert.equal(errorOf(task).code, 'RETRY_POLICY');
      assert.match(errorOf(task).message, new RegExp(`its ${key} must be a number from 0 to Infinity, not ${value}`));
    }
  }
});

test('the next try comes after the delay, fixed or as the policy says for each', async () => {
  for (const [delay, expected] of [
    ['2s', [2000, 2000]],
    [30, [30, 30]],
    [(made: number) => made * 100, [100, 200]],
  ] as const) {
    const world = await testKernel();
    world.call(appRecord({ retry: { budget: 2, delay } }));
    for (const ms of expected) {
      const before = world.executor.given.length;
      world.executor.fail();
      world.clock.advance(ms - 1);
      assert.equal(world.executor.given.length, before);
      world.clock.advance(1);
      assert.equal(world.executor.given.length, before + 1);
    }
    world.executor.give(1);
    world.nothingElse();
  }
});

test('backoff grows by its factor up to its maximum, less a part that is left to chance', () => {
  const exact = backoff('1s', { max: '10s', jitter: 0 });
  assert.deepEqual([1, 2, 3, 4, 5, 6].map(exact), [1000, 2000, 4000, 8000, 10_000, 10_000]);
  const half = backoff(1000, { factor: 3, random: () => 0.5 });
  assert.deepEqual([1, 2].map(half), [750, 2250]);
  const all = backoff(1000, { jitter: 1, random: () => 0.999 });
  assert(all(1) > 0 && all(1) < 2);
  assert.equal(backoff('1s', { jitter: 0 })(1000), 300_000, 'five minutes are the most');
});

test('backoff says everything that is wrong with it', () => {
  assert.throws(() => backoff('soon' as never, { max: 'late' as never, factor: 0.5, jitter: 2 }), {
    code: 'CONFIG',
    message: /4 problems:\n {2}first: .*'1s'.*\n {2}max: .*\n {2}factor: .*from 1 up, not 0.5\n {2}jitter: /,
  });
});

test('losses of workers and managers are free up to their own number, and then cost as others do', async () => {
  assert.equal(await tries({ budget: 0, losses: 3 }, lost), 4);
  assert.equal(await tries({ budget: 1, losses: 3 }, lost), 5);
  assert.equal(await tries({ budget: 0, losses: 2 }, () => new ManagerLostError('m', 'nid0001')), 3);
  assert.equal(await tries({ budget: 0, losses: 3 }, boom), 1, 'a failure of the app is no loss');
});

test('what no retry can mend is not tried again', async () => {
  assert.equal(await tries({ budget: 9 }, () => new SerializationError('the result', 'a function')), 1);
  assert.equal(await tries({ budget: 9 }, () => new UnsupportedError('no such thing')), 1);
  assert.equal(
    await tries({ budget: 1, cost: () => 1 }, () => new UnsupportedError('no such thing')),
    2,
    'unless the policy says so',
  );
});

test("a joined task's failure is not retried, whatever the policy; that of the body is", async () => {
  const world = await testKernel();
  const retry = { budget: 3, cost: () => 1 };
  const inner = world.call(joinRecord({ retry }));
  world.joins.fail(new JoinError([{ error: boom(), description: 'task 9' }]) as never);
  assert.equal(errorOf(inner).code, 'JOIN');
  const own = world.call(joinRecord({ retry }));
  world.joins.fail();
  assert.equal(own.isSettled, false);
  world.joins.give([]);
  assert.deepEqual(resultOf(own), []);
  world.nothingElse();
});

test('a try that was lost goes to another executor, if the app allows one', async () => {
  const executors = [new FakeExecutor('one'), new FakeExecutor('two')];
  const world = await testKernel({ executors });
  const [one, two] = executors as [FakeExecutor, FakeExecutor];
  two.load = 0.5;
  const task = world.call(appRecord({ retry: { budget: 3 } }));
  one.fail(lost());
  assert.equal(two.running.size, 1);
  two.fail(lost());
  assert.equal(one.running.size, 1, 'where both lost one, the less loaded is taken');
  one.give(1);
  assert.equal(resultOf(task), 1);
  world.nothingElse();
});

test('a cancelled task is not retried', async () => {
  const world = await testKernel();
  const asked: string[] = [];
  const task = world.call(appRecord({ retry: { budget: 9, cost: (error) => asked.push(error.code) * 0 } }));
  task.cancel('no');
  assert.equal(errorOf(task).code, 'CANCELLED');
  assert.deepEqual(asked, []);
  world.nothingElse();
});

// dependencies: futures and promises among the arguments are waited for, and their values put in their place.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Task } from '#src/kernel/task.js';
import { type ComesFrom, comesFrom } from '#src/task/future.js';
import { boom } from '../support/executor.ts';
import { appRecord, errorOf, futureOf, resultOf, testKernel } from '../support/kernel.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a task whose arguments are there goes at once', async () => {
  const world = await testKernel();
  world.call(appRecord(), [1, 'two', { three: 3 }]);
  assert.deepEqual(world.executor.only.args, [1, 'two', { three: 3 }]);
  world.executor.give(1);
  world.nothingElse();
});

test('futures are found at any depth, and the rest of the arguments stays what it was', async () => {
  const world = await testKernel();
  const one = world.call();
  const two = world.call();
  const kept = { untouched: [1] };
  const date = new Date(0);
  const args = [futureOf(one), { deep: [[{ er: futureOf(two), date }]], kept }, [futureOf(one), futureOf(one)]];
  const task = world.call(appRecord(), args);
  const [first, second] = world.executor.given;
  world.executor.give(undefined, second);
  assert.equal(world.executor.given.length, 2, 'it waits for both');
  world.executor.give('one', first);
  const given = world.executor.only.args as [unknown, { deep: unknown; kept: unknown }, unknown];
  assert.deepEqual(given, ['one', { deep: [[{ er: undefined, date }]], kept }, ['one', 'one']]);
  assert.equal(given[1].kept, kept, 'what holds no future is not copied');
  assert.notEqual(args[1], given[1], "the caller's arguments are left alone");
  assert.deepEqual(task.state, 'launched');
  world.executor.give(1);
  world.nothingElse();
});

test('arguments that hold themselves are no trouble', async () => {
  const world = await testKernel();
  const loop: Record<string, unknown> = {};
  loop['self'] = loop;
  loop['value'] = futureOf(world.call());
  world.call(appRecord(), [loop]);
  world.executor.give(5);
  const [given] = world.executor.only.args as [Record<string, unknown>];
  assert.equal(given['value'], 5);
  assert.equal(given['self'], given);
  world.executor.give(1);
  world.nothingElse();
});

test('arguments nested 100,000 deep need no stack', async () => {
  const world = await testKernel();
  let nested: unknown = futureOf(world.call());
  for (let n = 0; n < 100_000; n++) nested = [nested];
  world.call(appRecord(), [nested]);
  world.executor.give('bottom');
  let found = world.executor.only.args[0];
  while (Array.isArray(found)) [found] = found;
  assert.equal(found, 'bottom');
  world.executor.give(1);
  world.nothingElse();
});

test('any promise will do, and other thenables', async () => {
  const world = await testKernel();
  const thenable = { then: (resolve: (value: number) => void) => resolve(3) };
  world.call(appRecord(), [Promise.resolve(1), [Promise.resolve(2)], thenable]);
  await turn();
  assert.deepEqual(world.executor.only.args, [1, [2], 3]);
  world.executor.give(1);
  world.nothingElse();
});

test('a thenable that throws is a promise that failed', async () => {
  const world = await testKernel();
  const thenable = {
    then() {
      throw new Error('bad thenable');
    },
  };
  const error = errorOf(world.call(appRecord(), [thenable]));
  assert(error.code === 'DEPENDENCY');
  assert.equal((error.rootCause as Error).message, 'bad thenable');
  world.nothingElse();
});

test('a promise that rejects fails the task with DEPENDENCY, and is never an unhandled rejection', async () => {
  const world = await testKernel();
  const reason = new Error('no network');
  const task = world.call(appRecord(), [Promise.reject(reason)]);
  await turn();
  const error = errorOf(task);
  assert(error.code === 'DEPENDENCY');
  assert.equal(error.rootCause, reason);
  assert.equal(error.cause, reason);
  assert.match(error.message, /by way of a promise: Error: no network$/);
  assert.equal(world.executor.given.length, 0);
  world.nothingElse();
});

test('a failed dependency fails what depends on it, with root cause and chain, state dep_fail, and no try', async () => {
  const world = await testKernel();
  const first = world.call();
  const second = world.call(appRecord(), [futureOf(first)]);
  const third = world.call(appRecord(), [{ inside: futureOf(second) }]);
  const root = boom('out of range', 'RangeError');
  world.executor.fail(root);
  const error = errorOf(third);
  assert(error.code === 'DEPENDENCY');
  assert.equal(error.rootCause, root);
  assert.equal(error.cause, root);
  assert.deepEqual(error.chain, ['task 1', 'task 0']);
  assert.deepEqual(
    error.failures.map(({ error, description }) => [error, description]),
    [[errorOf(second), 'task 1']],
  );
  assert.equal(
    error.message,
    'Task 2 (simulate): A dependency failed, by way of task 1 <- task 0: AppError: Task 0 (simulate): RangeError: out of range',
  );
  assert.deepEqual([second.state, third.state], ['dep_fail', 'dep_fail']);
  assert.equal(world.kernel.counts.dep_fail, 2);
  assert.equal(world.executor.given.length, 1);
  world.nothingElse();
});

test('all dependencies are waited for, and the error names every one that failed, "(+ others)" in its chain', async () => {
  const world = await testKernel();
  const [one, two, three] = [world.call(), world.call(), world.call()];
  const task = world.call(appRecord(), [futureOf(one), futureOf(two), futureOf(three)]);
  const [a, b, c] = world.executor.given;
  world.executor.fail(boom('b'), b);
  world.executor.fail(boom('a'), a);
  assert.equal(task.isSettled, false);
  world.executor.give(1, c);
  const error = errorOf(task);
  assert(error.code === 'DEPENDENCY');
  assert.deepEqual(
    error.failures.map(({ description }) => description),
    ['task 0', 'task 1'],
  );
  assert.deepEqual(error.chain, ['task 0 (+ others)']);
  world.nothingElse();
});

test('with failFast a task fails as soon as one dependency did', async () => {
  const world = await testKernel({ failFast: true });
  const slow = world.call();
  const bad = world.call();
  const task = world.call(appRecord(), [futureOf(slow), futureOf(bad)]);
  world.executor.fail(boom(), world.executor.given[1]);
  assert.equal(errorOf(task).code, 'DEPENDENCY');
  const late = world.call(appRecord(), [futureOf(slow), futureOf(bad)]);
  assert.equal(errorOf(late).code, 'DEPENDENCY', 'also when it had failed before the call');
  world.executor.give(1);
  world.nothingElse();
});

test('a diamond runs its bottom once, when both sides are done', async () => {
  const world = await testKernel();
  const top = world.call();
  const [left, right] = [world.call(appRecord(), [futureOf(top)]), world.call(appRecord(), [futureOf(top)])];
  const bottom = world.call(appRecord(), [futureOf(left), futureOf(right)]);
  world.executor.give('top');
  const [, forLeft, forRight] = world.executor.given;
  world.executor.give('left', forLeft);
  world.executor.give('right', forRight);
  assert.deepEqual(world.executor.only.args, ['left', 'right']);
  world.executor.give('bottom');
  assert.equal(resultOf(bottom), 'bottom');
  world.nothingElse();
});

test('the chain of a long line of failures is told short, with the right number left out', async () => {
  const world = await testKernel({ watched: false });
  let last = world.call();
  for (let n = 1; n < 500; n++) last = world.call(appRecord(), [futureOf(last)]);
  world.executor.fail();
  const error = errorOf(last);
  assert(error.code === 'DEPENDENCY');
  assert(error.chain.length <= 21, `${error.chain.length} links`);
  assert.equal(error.chain[0], 'task 498');
  assert.equal(error.chain.at(-1), 'task 0');
  let told = 0;
  for (const link of error.chain) told += Number(/^… (\d+) more …$/.exec(link)?.[1] ?? 1);
  assert.equal(told, 499);
  assert.equal(
    error.message,
    'Task 499 (simulate): A dependency failed, by way of task 498 <- task 497 <- task 496 <- task 495 <- … 492 more … <- ' +
      'task 2 <- task 1 <- task 0: AppError: Task 0 (simulate): Error: boom',
  );
  assert.equal((error.rootCause as { code: string }).code, 'APP_ERROR');
});

test('a chain of 20 is told as a whole, and a longer one by the same ends wherever it is looked at', async () => {
  const world = await testKernel({ watched: false });
  const tasks = [world.call()];
  for (let n = 1; n < 30; n++) tasks.push(world.call(appRecord(), [futureOf(tasks[n - 1] as Task)]));
  world.executor.fail();
  for (const [n, task] of tasks.entries()) {
    if (n === 0) continue;
    const error = errorOf(task);
    assert(error.code === 'DEPENDENCY');
    const whole = Array.from({ length: n }, (_, back) => `task ${n - 1 - back}`);
    const chain = n <= 20 ? whole : [...whole.slice(0, 4), `… ${n - 7} more …`, ...whole.slice(-3)];
    assert.deepEqual(error.chain, chain);
    const root = 'AppError: Task 0 (simulate): Error: boom';
    assert.equal(error.message, `Task ${n} (simulate): A dependency failed, by way of ${chain.join(' <- ')}: ${root}`);
  }
});

test('one who turns away from many futures is forgotten by them', async () => {
  const world = await testKernel({ watched: false });
  const base = world.call();
  const other = world.call();
  for (let n = 0; n < 10_000; n++) world.call(appRecord(), [futureOf(base), futureOf(other)]).cancel('no');
  const { takeWaiters } = base as unknown as { takeWaiters(): unknown };
  const waiters = takeWaiters.call(base);
  const left = Array.isArray(waiters) ? waiters.length : waiters === undefined ? 0 : 1;
  assert(left < 1000, `${left} are left`);
  world.kernel.cancelAll('over');
});

test('a derived future can be a dependency: of a property, or of something made from the value', async () => {
  const world = await testKernel();
  const source = futureOf<{ peak: number }>(world.call());
  const task = world.call(appRecord(), [source.get('peak'), source.map(({ peak }) => peak * 2)]);
  world.executor.give({ peak: 21 });
  assert.deepEqual(world.executor.only.args, [21, 42]);
  world.executor.give(1);
  assert.equal(resultOf(task), 1);
  world.nothingElse();
});

test('what comes from a task without being its future is a dependency on that task: in events and in errors', async () => {
  const world = await testKernel();
  const source = world.call();
  const text = (task: Task): PromiseLike<string> & ComesFrom => ({
    [comesFrom]: task,
    then: (onText, onError) =>
      futureOf(task)
        .then(() => 'printed' as never)
        .then(onText, onError),
  });
  const reader = world.call(appRecord(), [text(source), { deep: [text(source)] }]);
  world.executor.give(0);
  await turn();
  assert.deepEqual(world.executor.only.args, ['printed', { deep: ['printed'] }]);
  world.executor.give(1);
  const broken = world.call();
  const victim = world.call(appRecord(), [text(broken)]);
  world.executor.fail(boom());
  await turn();
  const error = errorOf(victim);
  assert(error.code === 'DEPENDENCY');
  assert.deepEqual([error.chain, error.rootCause], [['task 2'], errorOf(broken)]);
  const told = (task: Task): unknown => world.events.find(({ id }) => id === task.id)?.dependencies;
  assert.deepEqual([...new Set(told(reader) as number[])], [source.id]);
  assert.deepEqual(told(victim), [broken.id]);
  world.nothingElse();
});

test('a map that gives a future or a promise is a future of its value; its failure is passed on as it is', async () => {
  const world = await testKernel();
  const inner = world.call();
  const source = futureOf<number>(world.call());
  const good = source.map(() => futureOf<string>(inner));
  const bad = source.map(() => futureOf(failing));
  const failing = world.call();
  const [forInner, forSource, forFailing] = world.executor.given;
  world.executor.give(0, forSource);
  world.executor.give('inner', forInner);
  world.executor.fail(boom('deep'), forFailing);
  assert.equal(await good, 'inner');
  world.call(appRecord(), [good]);
  assert.deepEqual(world.executor.only.args, ['inner']);
  world.executor.give(1);
  await assert.rejects(bad, (error) => error === errorOf(failing));
  await assert.rejects(
    source.map(() => {
      throw new RangeError('not this');
    }),
    { code: 'APP_ERROR', message: 'RangeError: not this' },
  );
  world.nothingElse();
});

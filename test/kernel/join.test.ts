// join: the body of a join app gave futures, and the task is done when they are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boom } from '../support/executor.ts';
import { appRecord, errorOf, futureOf, joinRecord, resultOf, testKernel } from '../support/kernel.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('one future: its value is the value of the join', async () => {
  const world = await testKernel();
  const join = world.call(joinRecord());
  const child = world.call(appRecord(), [], join);
  world.joins.give(futureOf(child));
  assert.equal(join.state, 'joining');
  assert.deepEqual(world.events.findLast(({ state }) => state === 'joining')?.joins, [1]);
  assert.equal(world.events.find(({ id }) => id === 1)?.parent, 0);
  world.executor.give('inner');
  assert.equal(resultOf(join), 'inner');
  world.nothingElse();
});

test('a list: the values in its order, when the last is there; the same future may stand in it twice', async () => {
  const world = await testKernel();
  const join = world.call(joinRecord());
  const [one, two] = [world.call(), world.call()];
  world.joins.give([futureOf(one), futureOf(two), futureOf(one), Promise.resolve('foreign')]);
  const [forOne, forTwo] = world.executor.given;
  world.executor.give(2, forTwo);
  await turn();
  assert.equal(join.isSettled, false);
  world.executor.give(1, forOne);
  assert.deepEqual(resultOf(join), [1, 2, 1, 'foreign']);
  world.nothingElse();
});

test('an empty list gives an empty list', async () => {
  const world = await testKernel();
  const join = world.call(joinRecord());
  world.joins.give([]);
  assert.deepEqual(resultOf(join), []);
  world.nothingElse();
});

test('anything else fails with JOIN_RESULT, showing what it was, and is not retried', async () => {
  for (const [value, shown] of [
    [42, /but it returned 42\.$/],
    [undefined, /but it returned undefined\.$/],
    [{ a: 1 }, /but it returned \{ a: 1 \}\.$/],
    [[Promise.resolve(1), 'two'], /but element 1 of its list is 'two'\.$/],
  ] as const) {
    const world = await testKernel();
    const join = world.call(joinRecord({ retry: { budget: 5 } }));
    world.joins.give(value);
    assert.equal(errorOf(join).code, 'JOIN_RESULT');
    assert.match(errorOf(join).message, shown);
    assert.equal(world.joins.given.length, 1);
    world.nothingElse();
  }
});

test('all are waited for, and the error has every failure', async () => {
  const world = await testKernel();
  const join = world.call(joinRecord({ retry: { budget: 5 } }));
  const tasks = [world.call(), world.call(), world.call()];
  world.joins.give(tasks.map(futureOf));
  const [a, b, c] = world.executor.given;
  world.executor.fail(boom('a'), a);
  world.executor.fail(boom('c'), c);
  assert.equal(join.isSettled, false);
  world.executor.give('b', b);
  const error = errorOf(join);
  assert(error.code === 'JOIN');
  assert.deepEqual(
    error.failures.map(({ description }) => description),
    ['task 1', 'task 3'],
  );
  assert.deepEqual(
    error.failures.map((one) => one.error),
    [errorOf(tasks[0]!), errorOf(tasks[2]!)],
  );
  assert.match(
    error.message,
    /^Task 0 \(fork\): A joined task failed, by way of task 1 \(\+ others\): AppError: Task 1/,
  );
  assert.equal(join.state, 'failed');
  assert.equal(world.joins.given.length, 1, "the joined tasks' failures are not retried");
  assert.deepEqual(world.ledger.unseen().tasks, [join], 'the joined failures are told by the join');
  world.nothingElse();
});

test('a cancelled join cancels what its body called, and what that called, but not what it only joined', async () => {
  const world = await testKernel();
  const outside = world.call();
  const join = world.call(joinRecord());
  const inner = world.call(joinRecord(), [], join);
  const child = world.call(appRecord(), [], join);
  const [, innerAttempt] = world.joins.given;
  const grandchild = world.call(appRecord(), [], inner);
  world.joins.give(futureOf(grandchild), innerAttempt);
  world.joins.give([futureOf(inner), futureOf(child), futureOf(outside)]);
  join.cancel('enough');
  for (const task of [join, inner, child, grandchild]) assert.equal(errorOf(task).code, 'CANCELLED', `task ${task.id}`);
  assert.match(errorOf(child).message, /task 1 \(fork\), which called it, was ended$/);
  assert.equal(outside.isSettled, false);
  world.executor.give('still there');
  world.nothingElse();
});

test('a join that is cancelled before its body gave anything cancels what the body calls from then on', async () => {
  const world = await testKernel();
  const join = world.call(joinRecord());
  join.cancel('enough');
  const child = world.call(appRecord(), [], join);
  assert.equal(errorOf(child).code, 'CANCELLED');
  assert.equal(world.executor.given.length, 0);
  assert.deepEqual(world.statesOf(child), ['pending', 'failed']);
  assert.match(errorOf(child).message, /^Task 1 \(simulate\): The task was cancelled: task 0/);
  world.nothingElse();
});

test('what the body of a join that is over calls afterwards is a task of its own', async () => {
  const world = await testKernel();
  const join = world.call(joinRecord());
  world.joins.give([]);
  const late = world.call(appRecord(), [], join);
  world.executor.give('late');
  assert.equal(resultOf(late), 'late');
  assert.equal(join.notes, undefined);
  world.nothingElse();
});

test('100,000 futures joined need no stack', async () => {
  const world = await testKernel({ watched: false });
  const join = world.call(joinRecord());
  world.joins.give(Array.from({ length: 100_000 }, () => futureOf(world.call(appRecord(), [], join))));
  for (const attempt of world.executor.given) world.executor.give(1, attempt);
  assert.equal((resultOf(join) as unknown[]).length, 100_000);
  world.nothingElse();
});

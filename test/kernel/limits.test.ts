// deadline and timeout: the limit of a task, and the limit of a try.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimeoutError } from '#src/task/errors.js';
import { appRecord, errorOf, futureOf, joinRecord, resultOf, testKernel } from '../support/kernel.ts';

const withDeadline = appRecord({ deadlineMs: 100 });

test('a deadline counts from the call: it ends a task that runs, and what runs is stopped', async () => {
  const world = await testKernel();
  const task = world.call(withDeadline);
  world.clock.advance(99);
  assert.equal(task.isSettled, false);
  world.clock.advance(1);
  const error = errorOf(task);
  assert(error.code === 'DEADLINE');
  assert.equal(error.deadlineMs, 100);
  assert.equal(world.executor.stopped.length, 1);
  world.nothingElse();
});

test('a deadline ends a task that waits for others, without a try', async () => {
  const world = await testKernel();
  const first = world.call();
  const task = world.call(withDeadline, [futureOf(first)]);
  world.clock.advance(100);
  assert.equal(errorOf(task).code, 'DEADLINE');
  world.executor.give(1);
  assert.equal(world.executor.given.length, 1);
  world.nothingElse();
});

test('a deadline is over all tries: it ends the wait for the next', async () => {
  const world = await testKernel();
  const task = world.call(appRecord({ deadlineMs: 100, retry: { budget: 9, delay: 80 } }));
  world.executor.fail();
  world.clock.advance(80);
  world.executor.fail();
  world.clock.advance(20);
  assert.equal(errorOf(task).code, 'DEADLINE');
  assert.equal(world.executor.given.length, 2);
  world.nothingElse();
});

test('a deadline of a join ends its children too', async () => {
  const world = await testKernel();
  const join = world.call(joinRecord({ deadlineMs: 100 }));
  const child = world.call(appRecord(), [], join);
  world.joins.give(futureOf(child));
  world.clock.advance(100);
  assert.equal(errorOf(join).code, 'DEADLINE');
  assert.equal(errorOf(child).code, 'CANCELLED');
  world.nothingElse();
});

test('a task that is done before its deadline leaves no timer', async () => {
  const world = await testKernel();
  const good = world.call(withDeadline);
  world.executor.give(1);
  const bad = world.call(withDeadline);
  world.executor.fail();
  const gone = world.call(withDeadline);
  gone.cancel('no');
  assert.equal(resultOf(good), 1);
  assert.equal(errorOf(bad).code, 'APP_ERROR');
  world.nothingElse();
});

test('the timeout of a try is told to the executor, which enforces it, in every try', async () => {
  const world = await testKernel();
  const task = world.call(appRecord({ timeoutMs: 250, retry: { budget: 1 } }));
  assert.equal(world.executor.only.timeoutMs, 250);
  world.executor.fail(new TimeoutError(250));
  assert.equal(world.executor.only.timeoutMs, 250);
  world.executor.fail(new TimeoutError(250));
  assert.equal(errorOf(task).code, 'TIMEOUT');
  assert.equal(world.clock.waiting, 0, 'queueing does not count, so the kernel has no timer of its own');
  world.call();
  assert.equal(world.executor.only.timeoutMs, 0);
  world.executor.give(1);
  world.nothingElse();
});

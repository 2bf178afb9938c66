// observe: failures say which task they are about, and those nobody looked at are remembered.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FailureLedger } from '#src/kernel/elaborators/observe.js';
import { boom } from '../support/executor.ts';
import { appRecord, errorOf, futureOf, joinRecord, testKernel } from '../support/kernel.ts';

test('a failure says which task it is about: id, app, tries and executor, and its message begins so', async () => {
  const world = await testKernel();
  const task = world.call(appRecord({ retry: { budget: 1 } }));
  world.executor.fail();
  world.executor.fail(boom('out of range', 'RangeError'));
  const error = errorOf(task);
  assert.deepEqual(error.task, { taskId: 0, app: 'simulate', tries: 2, executor: 'fake' });
  assert.equal(error.message, 'Task 0 (simulate): RangeError: out of range');
  assert.equal(error.shortMessage, 'Task 0 (simulate): RangeError: out of range');
});

test('of a chain of failures only the stack of the first is looked at, however long it is, and every one has its own', async () => {
  for (const length of [2, 1_000]) {
    let mapped = 0;
    const mapStack = (stack: string): string => {
      mapped++;
      return stack;
    };
    const world = await testKernel({ mapStack, watched: false });
    const first = world.call();
    let last = first;
    for (let n = 1; n < length; n++) last = world.call(appRecord(), [futureOf(last)]);
    world.executor.fail();
    const ofFirst = mapped;
    const error = errorOf(last);
    assert.equal(error.stack, `DependencyError: ${error.message}`);
    assert.match(error.message, new RegExp(`^Task ${length - 1} \\(simulate\\): A dependency failed, by way of `));
    const alone = await testKernel({ mapStack, watched: false });
    alone.call();
    mapped = 0;
    alone.executor.fail();
    assert.equal(ofFirst, mapped, `of ${length} tasks`);
  }
});

test('the stack of a promise that failed is looked at with the first task that it fails', async () => {
  const reason = new Error('no');
  const mapStack = (stack: string): string => stack.replace('observe.test', 'mapped.test');
  const world = await testKernel({ mapStack, watched: false });
  const task = world.call(appRecord(), [Promise.reject(reason)]);
  await assert.rejects(futureOf(task), { code: 'DEPENDENCY', cause: reason });
  assert.match(String(reason.stack), /mapped\.test/);
});

test('failed tasks that nobody looked at are remembered; a look afterwards counts', async () => {
  const world = await testKernel();
  const tasks = [1, 2, 3].map(() => world.call());
  for (const attempt of world.executor.given) world.executor.fail(boom(), attempt);
  assert.deepEqual(world.ledger.unseen().tasks, tasks);
  await assert.rejects(futureOf(tasks[1]!));
  assert.deepEqual(world.ledger.unseen().tasks, [tasks[0], tasks[2]]);
  world.nothingElse();
});

test('a failure that was handed on is seen: only the last of a chain is named', async () => {
  const world = await testKernel();
  const first = world.call();
  const last = world.call(appRecord(), [futureOf(first)]);
  world.executor.fail();
  assert.deepEqual(world.ledger.unseen().tasks, [last]);
});

test('who looks at a derived future has seen the task', async () => {
  const world = await testKernel();
  const task = world.call();
  const derived = futureOf<number>(task).map((n) => n + 1);
  world.executor.fail();
  assert.deepEqual(world.ledger.unseen().tasks, [task]);
  await assert.rejects(derived, (error) => error === errorOf(task));
  assert.deepEqual(world.ledger.unseen().tasks, []);
});

test('that a task was cancelled is no news, nor that others failed because of it', async () => {
  const world = await testKernel();
  const task = world.call();
  world.call(appRecord(), [futureOf(task)]);
  const join = world.call(joinRecord());
  world.joins.give(futureOf(world.call(appRecord(), [], join)));
  task.cancel('not that one');
  join.cancel('nor that');
  assert.deepEqual(world.ledger.unseen(), { tasks: [], beyond: 0 });
  world.nothingElse();
});

test('of very many failures some are remembered, and the rest is counted', async () => {
  const ledger = new FailureLedger(2);
  const world = await testKernel();
  for (let n = 0; n < 5; n++) ledger.add(world.call());
  assert.equal(ledger.unseen().tasks.length, 2);
  assert.equal(ledger.unseen().beyond, 3);
  world.kernel.cancelAll('over');
});

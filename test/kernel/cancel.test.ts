// cancel: AbortSignals end tasks, with one listener for each signal.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countKept } from '../support/garbage.ts';
import { appRecord, errorOf, futureOf, joinRecord, resultOf, testKernel } from '../support/kernel.ts';

/** A signal that counts who listens. */
function spiedSignal(): { controller: AbortController; signal: AbortSignal; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  return { controller, signal, listeners: () => listeners };
}

test('a thousand tasks that share a signal have one listener among them, and none when they are done', async () => {
  const { signal, listeners } = spiedSignal();
  const world = await testKernel();
  for (let n = 0; n < 1000; n++) world.call(appRecord({ signal }));
  assert.equal(listeners(), 1);
  for (const attempt of world.executor.given) world.executor.give(1, attempt);
  assert.equal(listeners(), 0);
  world.call(appRecord({ signal }));
  assert.equal(listeners(), 1);
  world.executor.give(1);
  assert.equal(listeners(), 0);
  world.nothingElse();
});

test("the run's signal has one listener too, also when it is an app's as well", async () => {
  const { signal, listeners } = spiedSignal();
  const world = await testKernel({ signal });
  world.call();
  world.call(appRecord({ signal }));
  assert.equal(listeners(), 1);
  for (const attempt of world.executor.given) world.executor.give(1, attempt);
  assert.equal(listeners(), 0);
  world.nothingElse();
});

test('an aborted signal cancels its tasks, wherever they are, with its reason; others go on', async () => {
  const controller = new AbortController();
  const world = await testKernel();
  const record = appRecord({ signal: controller.signal, retry: { budget: 1, delay: 50 } });
  const runs = world.call(record);
  const waits = world.call(record, [futureOf(runs)]);
  const delayed = world.call(record);
  world.executor.fail(undefined, world.executor.given[1]);
  assert.equal(delayed.state, 'fail_retryable');
  const other = world.call();
  const reason = new Error('enough');
  controller.abort(reason);
  for (const task of [runs, waits, delayed]) {
    assert.equal(errorOf(task).code, 'CANCELLED');
    assert.equal(errorOf(task).cause, reason);
  }
  assert.equal(world.executor.stopped.length, 1);
  world.executor.give('on');
  assert.equal(resultOf(other), 'on');
  world.nothingElse();
});

test('a call with a signal that was aborted before is cancelled at once, and runs nowhere', async () => {
  const world = await testKernel();
  const task = world.call(appRecord({ signal: AbortSignal.abort('early') }));
  assert.equal(errorOf(task).code, 'CANCELLED');
  assert.equal(world.executor.given.length, 0);
  world.nothingElse();
});

test("the run's signal cancels every task, also those called after it was aborted", async () => {
  const controller = new AbortController();
  const world = await testKernel({ signal: controller.signal });
  const before = world.call();
  controller.abort();
  const after = world.call();
  for (const task of [before, after]) assert.equal(errorOf(task).code, 'CANCELLED');
  world.nothingElse();
});

test('a join and its children that share a signal are all cancelled by it, none by another', async () => {
  const controller = new AbortController();
  const world = await testKernel({ signal: controller.signal });
  const join = world.call(joinRecord());
  const children = [1, 2].map(() => world.call(appRecord(), [], join));
  world.joins.give(children.map(futureOf));
  controller.abort('together');
  for (const task of [join, ...children]) assert.match(errorOf(task).message, /cancelled: together$/);
  world.nothingElse();
});

test('what a task depends on goes on when it is cancelled; what depends on it fails with DEPENDENCY', async () => {
  const world = await testKernel();
  const first = world.call();
  const second = world.call(appRecord(), [futureOf(first)]);
  const third = world.call(appRecord(), [futureOf(second)]);
  assert.equal(futureOf(second).cancel('not that one'), true);
  const error = errorOf(third);
  assert(error.code === 'DEPENDENCY');
  assert.equal((error.rootCause as { code: string }).code, 'CANCELLED');
  assert.equal(third.state, 'dep_fail');
  world.executor.give('goes on');
  assert.equal(resultOf(first), 'goes on');
  world.nothingElse();
});

test('settled tasks are not kept by a signal that was aborted', async () => {
  const world = await testKernel({ watched: false });
  const references: WeakRef<object>[] = [];
  for (let n = 0; n < 20; n++) {
    const controller = new AbortController();
    references.push(new WeakRef(world.call(appRecord({ signal: controller.signal }))));
    controller.abort('no');
  }
  world.executor.given.length = 0;
  world.executor.stopped.length = 0;
  const kept = await countKept(references);
  assert(kept <= 2, `${kept} of 20 are kept`);
});

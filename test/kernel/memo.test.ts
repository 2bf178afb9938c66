// memo: equal calls are computed once; equal calls in flight follow their key, not their leader.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { test } from 'node:test';
import type { AppRecord } from '#src/kernel/app-record.js';
import { memo } from '#src/kernel/elaborators/memo.js';
import { MemoStore } from '#src/kernel/memo/store.js';
import type { Task } from '#src/kernel/task.js';
import { type TaskError, TimeoutError, WorkerLostError } from '#src/task/errors.js';
import { output } from '#src/task/file.js';
import { type ComesFrom, comesFrom } from '#src/task/future.js';
import { boom } from '../support/executor.ts';
import { appRecord, errorOf, futureOf, joinRecord, resultOf, type TestKernel, testKernel } from '../support/kernel.ts';

const store = (): MemoStore =>
  new MemoStore({
    writer: undefined,
    waitsForDisk: false,
    index: undefined,
    codec: { toBytes: () => new Uint8Array(), fromBytes: () => undefined, copy: (value: unknown) => value },
    identityOf: () => undefined,
    log: () => {},
  });
const world = (): Promise<TestKernel> => testKernel({ before: { join: memo(store()) } });
const memoized = (over: Partial<AppRecord> = {}): AppRecord => appRecord({ memo: {}, ...over });

test('an equal call is answered from the first, in state memo_done, without a try', async () => {
  const test = await world();
  const record = memoized();
  test.call(record, [1, { a: 2 }]);
  test.executor.give('computed');
  const again = test.call(record, [1, { a: 2 }]);
  assert.equal(resultOf(again), 'computed');
  assert.equal(again.state, 'memo_done');
  test.call(record, [1, { a: 3 }]);
  test.executor.give('other');
  assert.equal(test.executor.given.length, 2);
  const keys = test.events.filter(({ state }) => state.endsWith('_done')).map(({ memoKey }) => memoKey);
  assert.equal(keys[0], keys[1]);
  assert.notEqual(keys[0], keys[2]);
  test.nothingElse();
});

test('equal calls in flight share one try; all have its value', async () => {
  const test = await world();
  const record = memoized();
  const tasks = Array.from({ length: 5 }, () => test.call(record, ['x']));
  assert.equal(test.executor.running.size, 1);
  assert.match(tasks[3]!.describe(), /waits in memo$/);
  test.executor.give('shared');
  for (const task of tasks) assert.equal(resultOf(task), 'shared');
  assert.deepEqual(
    tasks.map(({ state }) => state),
    ['exec_done', 'memo_done', 'memo_done', 'memo_done', 'memo_done'],
  );
  test.nothingElse();
});

test("the app's own failure is shared, and remembered for the rest of the run", async () => {
  const test = await world();
  const record = memoized({ retry: { budget: 1 } });
  const [leader, follower] = [test.call(record), test.call(record)] as [Task, Task];
  test.executor.fail();
  test.executor.fail(boom('the last'));
  const later = test.call(record);
  assert.equal(errorOf(follower), errorOf(leader));
  assert.equal(errorOf(later), errorOf(leader));
  assert.equal(later.state, 'failed');
  assert.equal(test.executor.given.length, 2);
  test.nothingElse();
});

const notOwn: Record<string, (test: TestKernel, leader: Task) => void> = {
  'is cancelled': (_, leader) => void leader.cancel('not me'),
  'times out': (test) => test.executor.fail(new TimeoutError(10)),
  'is lost': (test) => test.executor.fail(new WorkerLostError({ worker: '1', host: 'here' })),
  'is past its deadline': (test) => test.clock.advance(100),
};
for (const [what, happen] of Object.entries(notOwn)) {
  test(`when the leader ${what}, the next follower leads`, async () => {
    const test = await world();
    const leader = test.call(memoized({ deadlineMs: 100 }));
    const record = memoized();
    const [second, third] = [test.call(record), test.call(record)] as [Task, Task];
    happen(test, leader);
    assert.equal(leader.outcome?.ok, false);
    assert.equal(second.isSettled, false);
    assert.equal(test.executor.given.length, 2);
    test.executor.give('by the second');
    assert.equal(resultOf(second), 'by the second');
    assert.equal(resultOf(third), 'by the second');
    assert.equal(second.state, 'exec_done');
    assert.equal(third.state, 'memo_done');
    test.nothingElse();
  });
}

test('a follower that is cancelled is no leader afterwards; when all are, the next call computes', async () => {
  const test = await world();
  const record = memoized();
  const [leader, second, third] = [test.call(record), test.call(record), test.call(record)] as [Task, Task, Task];
  second.cancel('no');
  leader.cancel('no');
  assert.equal(test.executor.running.size, 1, 'the third leads');
  third.cancel('no');
  const fresh = test.call(record);
  test.executor.give(1);
  assert.equal(resultOf(fresh), 1);
  test.nothingElse();
});

test('cancelling all of them at once leaves no one to lead', async () => {
  const test = await world();
  const record = memoized();
  const tasks = Array.from({ length: 10 }, () => test.call(record));
  test.kernel.cancelAll('over');
  for (const task of tasks) assert.equal(errorOf(task).code, 'CANCELLED');
  assert.equal(test.executor.given.length, 1);
  test.nothingElse();
});

test('a call that would wait for the call that it is part of fails with MEMO_CYCLE', async () => {
  const test = await world();
  const record = joinRecord({ memo: {} });
  const outer = test.call(record, [3]);
  const inner = test.call(record, [3], outer);
  assert.equal(errorOf(inner).code, 'MEMO_CYCLE');
  assert.match(errorOf(inner).message, /task 0, which is under way and waits for this very call/);
  test.joins.give(futureOf(inner));
  assert.equal(errorOf(outer).code, 'JOIN');
  test.nothingElse();
});

test('a cycle over several apps is found, through bodies, arguments and leaders', async () => {
  const test = await world();
  const a = joinRecord({ name: 'a', memo: {} });
  const b = joinRecord({ name: 'b', memo: {} });
  const first = test.call(a);
  const [bodyOfA] = test.joins.running;
  const second = test.call(b, [], first);
  test.joins.give(futureOf(second), bodyOfA);
  const between = test.call(appRecord({ name: 'between' }), [], second);
  const third = test.call(a, [], second);
  assert.equal(errorOf(third).code, 'MEMO_CYCLE');
  const harmless = test.call(b);
  assert.equal(harmless.isSettled, false, 'who only waits is no cycle');
  test.joins.give([futureOf(third), futureOf(between)]);
  test.executor.give(1);
  assert.equal(errorOf(first).code, 'JOIN');
  test.kernel.cancelAll('over');
  test.nothingElse();
});

test('a cycle by way of what a command printed is found, too', async () => {
  const test = await world();
  const record = joinRecord({ memo: {} });
  const outer = test.call(record);
  const middle = test.call(joinRecord({ name: 'middle' }), [], outer);
  const text: PromiseLike<unknown> & ComesFrom = {
    [comesFrom]: middle,
    then: (onText, onError) => futureOf(middle).then(onText, onError),
  };
  const reader = test.call(appRecord({ name: 'reader' }), [text], outer);
  test.joins.give(futureOf(reader), [...test.joins.running][0]);
  const inner = test.call(record, [], middle);
  assert.equal(errorOf(inner).code, 'MEMO_CYCLE');
  test.kernel.cancelAll('over');
  test.nothingElse();
});

test("a join's failure is remembered if it is the joined app's own, and not if that was cancelled or lost", async () => {
  for (const [error, isShared] of [
    [boom(), true],
    [new TimeoutError(5), false],
    [new WorkerLostError({ worker: '1', host: 'here' }), false],
  ] as [TaskError, boolean][]) {
    const test = await world();
    const record = joinRecord({ memo: {} });
    const first = test.call(record);
    test.joins.give(futureOf(test.call(appRecord(), [], first)));
    test.executor.fail(error);
    assert.equal(errorOf(first).code, 'JOIN');
    const second = test.call(record);
    assert.equal(second.isSettled, isShared, error.code);
    test.kernel.cancelAll('over');
    test.nothingElse();
  }
});

test('a hit counts only while the outputs of the call exist', async () => {
  const directory = mkdtempSync(joinPath(tmpdir(), 'chervil-'));
  try {
    const test = await world();
    const record = memoized();
    const path = joinPath(directory, 'out.txt');
    const call = (): Task => test.call(record, [{ to: output(path) }]);
    call();
    writeFileSync(path, 'made');
    test.executor.give(0);
    assert.equal(call().state, 'memo_done');
    rmSync(path);
    const again = call();
    assert.equal(again.state, 'launched');
    writeFileSync(path, 'made again');
    test.executor.give(0);
    assert.equal(call().state, 'memo_done');
    test.nothingElse();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a key function decides; what it throws is a MEMO_KEY failure with its cause', async () => {
  const test = await world();
  const record = memoized({ memo: { key: ({ temperature }: { temperature: number }) => temperature } });
  test.call(record, [{ temperature: 300, label: 'a' }]);
  test.executor.give('hot');
  assert.equal(resultOf(test.call(record, [{ temperature: 300, label: 'b' }])), 'hot');
  const thrown = new Error('no temperature');
  const bad = memoized({
    memo: {
      key: () => {
        throw thrown;
      },
    },
  });
  const error = errorOf(test.call(bad));
  assert.equal(error.code, 'MEMO_KEY');
  assert.equal(error.cause, thrown);
  assert.match(error.message, /memo key function of simulate threw: no temperature/);
  test.nothingElse();
});

test('arguments that have no key fail the task with MEMO_KEY, also when they came from a future', async () => {
  const test = await world();
  const record = memoized();
  assert.equal(errorOf(test.call(record, [() => 1])).code, 'MEMO_KEY');
  const source = test.call();
  const task = test.call(record, [futureOf(source)]);
  test.executor.give({ inside: () => 1 });
  assert.equal(errorOf(task).code, 'MEMO_KEY');
  test.nothingElse();
});

test('arguments that do not count are left out of the key', async () => {
  const test = await world();
  const record = memoized({ memo: { ignore: [1, 'verbose'] } });
  test.call(record, [{ n: 1, verbose: true }, 'a']);
  test.executor.give('one');
  assert.equal(resultOf(test.call(record, [{ n: 1, verbose: false }, 'b'])), 'one');
  assert.equal(test.call(record, [{ n: 2, verbose: false }, 'b']).isSettled, false);
  test.kernel.cancelAll('over');
  test.nothingElse();
});

test('two join bodies of the same text are two apps; one body is one, whatever its options', async () => {
  const test = await world();
  const make = (factor: number) => () => [factor];
  const two = make(2);
  const recordOf = (local: CallableFunction): AppRecord =>
    joinRecord({ memo: {}, body: { kind: 'join', name: 'fork', source: undefined, local } });
  test.call(recordOf(two));
  test.joins.give([]);
  assert.equal(test.call(recordOf(two)).state, 'memo_done');
  assert.equal(test.call(recordOf(make(3))).isSettled, false);
  test.kernel.cancelAll('over');
  test.nothingElse();
});

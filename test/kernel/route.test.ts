// route and wrap: which executor a try goes to, and what goes with it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { route } from '#src/kernel/elaborators/route.js';
import { wrap } from '#src/kernel/elaborators/wrap.js';
import { ExecutorFailedError } from '#src/task/errors.js';
import { file } from '#src/task/file.js';
import { FakeExecutor } from '../support/executor.ts';
import { appRecord, errorOf, joinRecord, TestKernel, testKernel } from '../support/kernel.ts';

const both = (): FakeExecutor => new FakeExecutor('both', ['node', 'python']);
const pythonRecord = () =>
  appRecord({ name: 'mean', body: { kind: 'python', name: 'mean', source: undefined, local: undefined } });
const three = (): FakeExecutor[] => ['cpu', 'gpu', 'here'].map((label) => new FakeExecutor(label));

test('a try goes to the least loaded executor, the first of equals', async () => {
  const executors = three();
  const world = await testKernel({ executors });
  const loads = [0.5, 0.25, 0.25];
  for (const [index, executor] of executors.entries()) executor.load = loads[index] as number;
  world.call();
  assert.deepEqual(
    executors.map(({ running }) => running.size),
    [0, 1, 0],
  );
  world.kernel.cancelAll('over');
  world.nothingElse();
});

test('an app runs only where its labels allow', async () => {
  const executors = three();
  const world = await testKernel({ executors });
  executors[0]!.load = 3;
  executors[2]!.load = 2;
  world.call(appRecord({ executors: ['cpu', 'here'] }));
  assert.deepEqual(
    executors.map(({ running }) => running.size),
    [0, 0, 1],
  );
  world.call(appRecord({ executors: ['cpu'] }));
  assert.deepEqual(
    executors.map(({ running }) => running.size),
    [1, 0, 1],
  );
  world.kernel.cancelAll('over');
  world.nothingElse();
});

test('an unknown label is an error of the call, with the labels there are, and no task is made', async () => {
  const world = await testKernel({ executors: three() });
  assert.throws(() => world.call(appRecord({ executors: ['cpu', 'tpu'] })), {
    code: 'UNKNOWN_EXECUTOR',
    message: /^simulate names the executor 'tpu', but this run has 'cpu', 'gpu', 'here'\./,
  });
  assert.equal(world.kernel.total, 0);
  world.nothingElse();
});

test('the body of a join runs in this process, whatever the executors', async () => {
  const world = await testKernel();
  world.call(joinRecord());
  assert.equal(world.joins.running.size, 1);
  world.kernel.cancelAll('over');
  world.nothingElse();
});

test('a broken executor is passed over; when there is no other, tasks fail with its reason, said once', async () => {
  const executors = three();
  const [cpu, gpu] = executors as [FakeExecutor, FakeExecutor];
  const world = await testKernel({ executors });
  cpu.host.failed(new ExecutorFailedError('cpu', 'its interchange is gone'));
  world.call(appRecord({ executors: ['cpu', 'gpu'] }));
  assert.equal(gpu.running.size, 1);
  const task = world.call(appRecord({ executors: ['cpu'], retry: { budget: 1 } }));
  const error = errorOf(task);
  assert.equal(error.code, 'EXECUTOR_FAILED');
  assert.equal(error.message, "Task 1 (simulate): Executor 'cpu' cannot run tasks: its interchange is gone");
  assert.equal(cpu.given.length, 0);
  const second = errorOf(world.call(appRecord({ executors: ['cpu'] })));
  assert.equal(second.task?.taskId, 2, 'each task has an error of its own');
  world.kernel.cancelAll('over');
  world.nothingElse();
});

test('wrappers go with every try of an app, but not with the body of a join', async () => {
  const wrappers = [{ by: 'reference' as const, module: 'file:///timing.ts', export: 'timed' }];
  const world = new TestKernel({ path: [wrap(wrappers), route] });
  await world.kernel.start();
  world.call();
  assert.deepEqual(world.executor.only.wrappers, wrappers);
  world.call(joinRecord());
  assert.deepEqual(world.joins.only.wrappers, []);
  world.kernel.cancelAll('over');
  world.nothingElse();
});

test('wrappers in Python go around Python functions, and those in TypeScript around the others', async () => {
  const node = { by: 'reference' as const, module: 'file:///timing.ts', export: 'timed' };
  const python = { by: 'python' as const, module: 'timing', name: 'timed', code: undefined };
  const other = { ...python, name: 'counted' };
  const world = new TestKernel({ path: [wrap([node, python, other]), route], executors: [both()] });
  await world.kernel.start();
  world.call(appRecord(), []);
  assert.deepEqual([world.executor.only.wrappers, world.executor.only.pythonWrappers], [[node], undefined]);
  world.executor.give(1);
  world.call(pythonRecord());
  assert.deepEqual([world.executor.only.wrappers, world.executor.only.pythonWrappers], [[], [python, other]]);
  world.kernel.cancelAll('over');
  world.nothingElse();
});

test('a Python function that no wrapper can go around is refused in the call, unless that is said to be right', async () => {
  const node = { by: 'reference' as const, module: 'file:///timing.ts', export: 'timed' };
  const world = new TestKernel({ path: [wrap([node]), route], executors: [both()] });
  await world.kernel.start();
  assert.throws(() => world.call(pythonRecord()), {
    code: 'UNSUPPORTED',
    message: /^mean\(\) runs in Python, and `wrap` .* pythonWrapper\('module:function'\), .*\{ python: 'skip' \}/,
  });
  assert.equal(world.kernel.total, 0);
  world.nothingElse();

  const skipping = new TestKernel({
    path: [wrap([{ ...node, python: 'skip' }]), route],
    executors: [both()],
  });
  await skipping.kernel.start();
  skipping.call(pythonRecord());
  assert.deepEqual([skipping.executor.only.wrappers, skipping.executor.only.pythonWrappers], [[], undefined]);
  skipping.executor.give(1);
  skipping.call();
  assert.deepEqual(skipping.executor.only.wrappers, [node], 'what travels is the reference alone');
  skipping.kernel.cancelAll('over');
  skipping.nothingElse();
});

test('an input file that is not there fails the task before it runs, unless it is made meanwhile', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-'));
  try {
    const world = new TestKernel();
    await world.kernel.start();
    const path = join(directory, 'readings.csv');
    const error = errorOf(world.call(appRecord(), [{ from: file(path) }]));
    assert(error.code === 'FILE_NOT_FOUND');
    assert.equal(error.path, path);
    assert.match(
      error.message,
      /names .*readings\.csv, which does not exist\. Check the path; if another task makes it/,
    );
    writeFileSync(path, '1\n');
    world.call(appRecord(), [{ from: file(path) }]);
    world.executor.give(1);
    world.nothingElse();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

// The states of a task: the table of what may follow what, and a task driven along every arrow of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ElaboratorMaker } from '#src/kernel/path.js';
import type { Task } from '#src/kernel/task.js';
import { DependencyError } from '#src/task/errors.js';
import { fail, succeed } from '#src/task/outcome.js';
import { isFinal, mayFollow, noCounts, type TaskState, taskStates } from '#src/task/state.js';
import { boom, FakeExecutor } from '../support/executor.ts';
import { appRecord, errorOf, futureOf, joinRecord, type TestKernel, testKernel } from '../support/kernel.ts';

const names = Object.keys(taskStates) as TaskState[];

test('the table has a row for every state, and names only states', () => {
  assert.deepEqual(Object.keys(mayFollow).sort(), [...names].sort());
  for (const row of Object.values(mayFollow)) for (const state of row) assert(names.includes(state));
  assert.deepEqual(Object.keys(noCounts()).sort(), [...names].sort());
});

test("the numbers are Parsl's", () => {
  assert.deepEqual(taskStates, {
    pending: 0,
    running: 2,
    exec_done: 3,
    failed: 4,
    dep_fail: 5,
    launched: 7,
    fail_retryable: 8,
    memo_done: 9,
    joining: 10,
    running_ended: 11,
  });
});

test('final are exec_done, memo_done, failed and dep_fail, and nothing follows them', () => {
  assert.deepEqual(names.filter(isFinal).sort(), ['dep_fail', 'exec_done', 'failed', 'memo_done']);
});

test('every state can be reached from pending, and from every state a final one', () => {
  const reached = new Set<TaskState>(['pending']);
  for (const state of reached) for (const next of mayFollow[state]) reached.add(next);
  assert.equal(reached.size, names.length);
  const ends = new Set<TaskState>(names.filter(isFinal));
  for (let grown = 0; grown !== ends.size; ) {
    grown = ends.size;
    for (const state of names) if (mayFollow[state].some((next: TaskState) => ends.has(next))) ends.add(state);
  }
  assert.equal(ends.size, names.length);
});

const place = { host: 'here', worker: '1' };
const depFail = (): DependencyError => new DependencyError([{ error: boom(), description: 'task 0' }]);
const answering = (outcome: () => ReturnType<typeof fail> | ReturnType<typeof succeed>): ElaboratorMaker => {
  return () => ({ name: 'answers', enter: () => ({ do: 'answer', outcome: outcome() }) });
};
const memoized: ElaboratorMaker = () => ({
  name: 'remembers',
  enter(task) {
    task.isMemoized = true;
    return { do: 'answer', outcome: succeed(1) };
  },
});
const retried = { retry: { budget: 5, delay: 1000 } };

/** Drives one task over each arrow. What is not here by name is tried by its two ends. */
const drives: Record<string, () => Promise<{ world: TestKernel; task: Task }>> = {};
const drive = (
  arrow: string,
  run: (world: TestKernel) => Task,
  options: Parameters<typeof testKernel>[0] = {},
): void => {
  drives[arrow] = async () => {
    const world = await testKernel(options);
    return { world, task: run(world) };
  };
};
drive('pending > launched', (world) => world.call());
drive('pending > exec_done', (world) => world.call(), { before: { route: answering(() => succeed(1)) } });
drive('pending > memo_done', (world) => world.call(), { before: { join: memoized } });
drive('pending > failed', (world) => {
  const task = world.call(appRecord(), [new Promise(() => {})]);
  task.cancel('no');
  return task;
});
drive('pending > dep_fail', (world) => {
  const first = world.call();
  const task = world.call(appRecord(), [futureOf(first)]);
  world.executor.fail();
  return task;
});
drive('pending > fail_retryable', (world) => world.call(appRecord(retried)), {
  before: { wrap: answering(() => fail(boom())) },
});

const ends: Record<string, (world: TestKernel, task: Task) => void> = {
  exec_done: (world) => world.executor.give(1),
  failed: (world) => world.executor.fail(),
  dep_fail: (world) => world.executor.fail(depFail() as never),
  fail_retryable: (world) => world.executor.fail(),
  running: (world) => world.executor.host.report(world.executor.only, 'running', place),
  running_ended: (world) => world.executor.host.report(world.executor.only, 'running_ended', place),
};
const starts: Record<string, (world: TestKernel) => void> = {
  launched: () => {},
  running: (world) => world.executor.host.report(world.executor.only, 'running', place),
  running_ended: (world) => world.executor.host.report(world.executor.only, 'running_ended', place),
};
for (const [from, start] of Object.entries(starts)) {
  for (const to of mayFollow[from as TaskState]) {
    if (to === 'joining') {
      drive(`${from} > joining`, (world) => {
        const task = world.call(joinRecord());
        const { only, host } = world.joins;
        if (from !== 'launched') host.report(only, from as 'running', place);
        world.joins.give(futureOf(world.call(appRecord(), [], task)));
        return task;
      });
      continue;
    }
    drive(`${from} > ${to}`, (world) => {
      const task = world.call(to === 'fail_retryable' ? appRecord(retried) : appRecord());
      start(world);
      ends[to]?.(world, task);
      return task;
    });
  }
}
const joining = (world: TestKernel): Task => {
  const task = world.call(joinRecord());
  world.joins.give(futureOf(world.call(appRecord(), [], task)));
  return task;
};
drive('joining > exec_done', (world) => {
  const task = joining(world);
  world.executor.give(1);
  return task;
});
drive('joining > failed', (world) => {
  const task = joining(world);
  world.executor.fail();
  return task;
});
drive(
  'joining > dep_fail',
  (world) => {
    const task = joining(world);
    world.executor.fail();
    return task;
  },
  {
    before: {
      join: () => ({
        name: 'changes',
        leave: (_, outcome) => (outcome.ok ? { do: 'go' } : { do: 'answer', outcome: fail(depFail()) }),
      }),
    },
  },
);
drive(
  'joining > fail_retryable',
  (world) => {
    const task = joining(world);
    world.executor.fail();
    assert.equal(task.state, 'fail_retryable');
    world.clock.advance(5);
    assert.equal(task.state, 'launched', 'its body runs again');
    world.joins.give(futureOf(world.call(appRecord(), [], task)));
    assert.equal(task.state, 'joining', 'it joins what the body gave now');
    world.executor.give('second');
    assert.deepEqual(task.outcome?.ok && task.outcome.value, 'second');
    return task;
  },
  {
    before: {
      join: () => ({
        name: 'repeats',
        leave: (task, outcome) =>
          outcome.ok || task.isInterrupted || task.record.body.kind !== 'join'
            ? { do: 'go' }
            : { do: 'again', afterMs: 5 },
      }),
    },
  },
);
drive('fail_retryable > pending', (world) => {
  const task = world.call(appRecord(retried));
  world.executor.fail();
  world.clock.advance(1000);
  return task;
});
drive('fail_retryable > failed', (world) => {
  const task = world.call(appRecord(retried));
  world.executor.fail();
  task.cancel('no');
  return task;
});
drive('fail_retryable > exec_done', (world) => {
  const task = world.call(appRecord(retried));
  world.executor.fail();
  world.kernel.interrupt(task, succeed('enough'));
  return task;
});

for (const from of names) {
  for (const to of mayFollow[from]) {
    test(`a task goes from ${from} to ${to}`, async () => {
      const run = drives[`${from} > ${to}`];
      assert(run, 'nothing drives this arrow');
      const { world, task } = await run();
      const arrows = world.events.filter(({ id }) => id === task.id).map((event) => `${event.from} > ${event.state}`);
      assert(arrows.includes(`${from} > ${to}`), `went ${arrows.join(', ')}`);
      world.kernel.cancelAll('the test is over');
      world.nothingElse();
    });
  }
}

test('a cancelled task is failed, with the code CANCELLED and the reason as its cause', async () => {
  const world = await testKernel();
  const task = world.call();
  const reason = new Error('changed my mind');
  task.cancel(reason);
  assert.equal(task.state, 'failed');
  const error = errorOf(task);
  assert.equal(error.code, 'CANCELLED');
  assert.equal(error.cause, reason);
  assert.match(error.message, /^Task 0 \(simulate\): The task was cancelled: changed my mind$/);
  world.nothingElse();
});

test('two tasks that are cancelled for one reason have an error each, which tells of its own task', async () => {
  const world = await testKernel({ executors: [new FakeExecutor()] });
  const one = world.call();
  const two = world.call();
  one.cancel('no');
  two.cancel(errorOf(one));
  assert.equal(errorOf(two).task?.taskId, 1);
  assert.equal(errorOf(two).message, 'Task 1 (simulate): The task was cancelled: no');
  world.nothingElse();
});

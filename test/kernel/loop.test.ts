// The kernel's loop: the path as data, in order, and every elaborator that was entered left exactly once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Elaborator, ElaboratorMaker, Step } from '#src/kernel/path.js';
import type { Task } from '#src/kernel/task.js';
import type { Waitable, Waiter } from '#src/task/cell.js';
import { type Outcome, succeed } from '#src/task/outcome.js';
import { boom, FakeExecutor } from '../support/executor.ts';
import { countKept } from '../support/garbage.ts';
import { appRecord, errorOf, futureOf, joinRecord, resultOf, TestKernel, testKernel } from '../support/kernel.ts';

/** Something to wait for that a test settles. */
class Gate implements Waitable {
  isSettled = false;
  waiter: Waiter | undefined;
  attach(waiter: Waiter): void {
    this.waiter = waiter;
  }
  detach(): void {
    this.waiter = undefined;
  }
  open(): void {
    this.isSettled = true;
    this.waiter?.onSettled(this);
  }
}

/** Writes down who is entered and left, and does what it is told. */
function recorder(
  seen: string[],
  name: string,
  enter?: (task: Task) => Step,
  leave?: (task: Task, outcome: Outcome) => Step,
): ElaboratorMaker {
  return () => ({
    name,
    enter(task) {
      seen.push(`> ${name}`);
      return enter?.(task) ?? { do: 'go' };
    },
    leave(task, outcome) {
      seen.push(`< ${name}`);
      return leave?.(task, outcome) ?? { do: 'go' };
    },
  });
}

const toExecutor: ElaboratorMaker = (kernel) => ({
  name: 'route',
  enter(task) {
    task.executor = kernel.executors[0];
    return { do: 'go' };
  },
});

const inPath = (...path: ElaboratorMaker[]): Promise<TestKernel> => testKernel({ path: [...path, toExecutor] });

test('a task passes its elaborators in order, down to its executor and up again', async () => {
  const seen: string[] = [];
  const world = await inPath(recorder(seen, 'a'), recorder(seen, 'b'), recorder(seen, 'c'));
  world.executor.onSubmit = () => seen.push('executor');
  const task = world.call();
  world.executor.give(1);
  assert.deepEqual(seen, ['> a', '> b', '> c', 'executor', '< c', '< b', '< a']);
  assert.equal(resultOf(task), 1);
  assert.deepEqual(world.statesOf(task), ['pending', 'launched', 'exec_done']);
  world.nothingElse();
});

test('an elaborator that an app does not concern is not on its path; it is asked once an app', async () => {
  const seen: string[] = [];
  let asked = 0;
  const picky: ElaboratorMaker = (kernel) => ({
    ...recorder(seen, 'picky')(kernel),
    concerns: (app) => {
      asked++;
      return app.deadlineMs > 0;
    },
  });
  const world = await inPath(picky);
  const plain = appRecord();
  for (let n = 0; n < 3; n++) {
    world.call(plain);
    world.executor.give(n);
  }
  assert.deepEqual(seen, []);
  assert.equal(asked, 1);
  world.call(appRecord({ deadlineMs: 1 }));
  world.executor.give(0);
  assert.deepEqual(seen, ['> picky', '< picky']);
  world.nothingElse();
});

test('one that answers on the way down turns the task round, and does not leave itself', async () => {
  const seen: string[] = [];
  const answers = recorder(seen, 'b', () => ({ do: 'answer', outcome: succeed('known') }));
  const world = await inPath(recorder(seen, 'a'), answers, recorder(seen, 'c'));
  const task = world.call();
  assert.deepEqual(seen, ['> a', '> b', '< a']);
  assert.equal(resultOf(task), 'known');
  assert.equal(world.executor.given.length, 0);
  world.nothingElse();
});

test('one that answers on the way up replaces the outcome for those above', async () => {
  const seen: string[] = [];
  const outcomes: unknown[] = [];
  const rescue = recorder(seen, 'b', undefined, () => ({ do: 'answer', outcome: succeed('rescued') }));
  const watch = recorder(seen, 'a', undefined, (_, outcome) => {
    outcomes.push(outcome.ok && outcome.value);
    return { do: 'go' };
  });
  const world = await inPath(watch, rescue);
  const task = world.call();
  world.executor.fail();
  assert.equal(resultOf(task), 'rescued');
  assert.deepEqual(outcomes, ['rescued']);
  world.nothingElse();
});

test('one that waits on the way down is entered again when that is over', async () => {
  const seen: string[] = [];
  const gate = new Gate();
  const world = await inPath(recorder(seen, 'a', () => (gate.isSettled ? { do: 'go' } : { do: 'wait', for: gate })));
  const task = world.call();
  assert.deepEqual(seen, ['> a']);
  assert.equal(task.describe(), 'task 0 (simulate) waits in a');
  gate.open();
  assert.deepEqual(seen, ['> a', '> a']);
  world.executor.give(1);
  assert.deepEqual(seen, ['> a', '> a', '< a']);
  world.nothingElse();
});

test('one that waits on the way up is left again with the same outcome', async () => {
  const seen: string[] = [];
  const gate = new Gate();
  const outcomes: Outcome[] = [];
  const waits = recorder(seen, 'a', undefined, (_, outcome) => {
    outcomes.push(outcome);
    return gate.isSettled ? { do: 'go' } : { do: 'wait', for: gate };
  });
  const world = await inPath(waits);
  const task = world.call();
  world.executor.give(7);
  assert.equal(task.isSettled, false);
  gate.open();
  assert.equal(resultOf(task), 7);
  assert.equal(outcomes.length, 2);
  assert.equal(outcomes[0], outcomes[1]);
  world.nothingElse();
});

test('what is settled already is not waited for', async () => {
  const gate = new Gate();
  gate.isSettled = true;
  let entered = 0;
  const world = await inPath(recorder([], 'a', () => (entered++ === 0 ? { do: 'wait', for: gate } : { do: 'go' })));
  world.call();
  assert.equal(entered, 2);
  world.executor.give(1);
  world.nothingElse();
});

test('a new try repeats what is below the elaborator that asks for it, and nothing above', async () => {
  const seen: string[] = [];
  const again = recorder(seen, 'b', undefined, (_, outcome) =>
    outcome.ok ? { do: 'go' } : { do: 'again', afterMs: 0 },
  );
  const world = await inPath(recorder(seen, 'a'), again, recorder(seen, 'c'));
  const task = world.call();
  world.executor.fail();
  world.executor.give('second');
  assert.deepEqual(seen, ['> a', '> b', '> c', '< c', '< b', '> c', '< c', '< b', '< a']);
  assert.deepEqual(
    world.executor.given.map(({ tryNumber }) => tryNumber),
    [0, 1],
  );
  assert.deepEqual(world.statesOf(task), ['pending', 'launched', 'fail_retryable', 'pending', 'launched', 'exec_done']);
  world.nothingElse();
});

test('a new try may come after a while', async () => {
  const again = recorder([], 'a', undefined, (task, outcome) =>
    outcome.ok || task.tryNumber > 0 ? { do: 'go' } : { do: 'again', afterMs: 500 },
  );
  const world = await inPath(again);
  const task = world.call();
  world.executor.fail();
  assert.equal(task.state, 'fail_retryable');
  world.clock.advance(499);
  assert.equal(world.executor.given.length, 1);
  world.clock.advance(1);
  assert.equal(world.executor.given.length, 2);
  world.executor.give(1);
  world.nothingElse();
});

// Interrupts: from outside the path, in every place where a task can stand.
const places: Record<
  string,
  (seen: string[]) => Promise<{ world: TestKernel; task: Task; expected: string[]; late?: () => void }>
> = {
  'waiting on the way down': async (seen) => {
    const gate = new Gate();
    const world = await inPath(
      recorder(seen, 'a'),
      recorder(seen, 'b', () => ({ do: 'wait', for: gate })),
      recorder(seen, 'c'),
    );
    const task = world.call();
    return { world, task, expected: ['> a', '> b', '< b', '< a'], late: () => gate.open() };
  },
  running: async (seen) => {
    const world = await inPath(recorder(seen, 'a'), recorder(seen, 'b'));
    const task = world.call();
    return { world, task, expected: ['> a', '> b', '< b', '< a'] };
  },
  'waiting on the way up': async (seen) => {
    const gate = new Gate();
    const waits = recorder(seen, 'b', undefined, (task) =>
      task.isInterrupted ? { do: 'go' } : { do: 'wait', for: gate },
    );
    const world = await inPath(recorder(seen, 'a'), waits, recorder(seen, 'c'));
    const task = world.call();
    world.executor.give(1);
    // b is asked again, as after every wait in leave, now with the interrupt.
    return { world, task, expected: ['> a', '> b', '> c', '< c', '< b', '< b', '< a'], late: () => gate.open() };
  },
  'between two tries': async (seen) => {
    const again = recorder(seen, 'b', undefined, (task) =>
      task.isInterrupted ? { do: 'go' } : { do: 'again', afterMs: 500 },
    );
    const world = await inPath(recorder(seen, 'a'), again, recorder(seen, 'c'));
    const task = world.call();
    world.executor.fail();
    return {
      world,
      task,
      expected: ['> a', '> b', '> c', '< c', '< b', '< b', '< a'],
      late: () => world.clock.advance(1000),
    };
  },
  'woken, but not walked yet': async (seen) => {
    const gate = new Gate();
    const world = await inPath(
      recorder(seen, 'a'),
      recorder(seen, 'b', () => (gate.isSettled ? { do: 'go' } : { do: 'wait', for: gate })),
    );
    const first = world.call();
    const task = world.call();
    seen.length = 0;
    // While the loop walks `first`, `task` stands in its queue; the listener of the next change interrupts it there.
    const { waiter } = gate;
    const stop = world.kernel.listen(({ id, state }) => {
      if (id !== first.id || state !== 'launched') return;
      stop();
      waiter?.onSettled(gate);
      assert.equal(task.waiting, undefined);
      task.cancel('test');
    });
    gate.isSettled = true;
    world.kernel.wake(Object.assign(first, { waiting: undefined }));
    world.executor.give(1);
    seen.splice(0, 1);
    seen.splice(seen.lastIndexOf('< b'), 2);
    return { world, task, expected: ['< b', '< a'] };
  },
};

for (const [place, build] of Object.entries(places)) {
  test(`a task that is interrupted while ${place} leaves every elaborator that it entered, once`, async () => {
    const seen: string[] = [];
    const { world, task, expected, late } = await build(seen);
    task.cancel('test');
    assert.deepEqual(seen, expected);
    assert.equal(errorOf(task).code, 'CANCELLED');
    assert.equal(task.state, 'failed');
    assert.equal(task.cancel('again'), false);
    late?.();
    assert.deepEqual(seen, expected);
    world.nothingElse();
  });
}

test('what runs is stopped when its task is interrupted, and its late answer is counted and dropped', async () => {
  const world = await inPath();
  const task = world.call();
  const attempt = world.executor.only;
  task.cancel('enough');
  assert.equal(world.executor.stopped.length, 1);
  assert.equal(world.executor.stopped[0]?.attempt, attempt);
  world.executor.host.answer(attempt, { ok: true, value: 'late' });
  assert.equal(errorOf(task).code, 'CANCELLED');
  world.nothingElse({ lateAnswers: 1 });
});

test('a second answer for a try is counted and dropped, also while the next try runs', async () => {
  const again = recorder([], 'a', undefined, (_, outcome) => (outcome.ok ? { do: 'go' } : { do: 'again', afterMs: 0 }));
  const world = await inPath(again);
  const task = world.call();
  const first = world.executor.only;
  world.executor.fail();
  world.executor.host.answer(first, { ok: true, value: 'late' });
  assert.equal(task.isSettled, false);
  world.executor.give('right');
  assert.equal(resultOf(task), 'right');
  world.nothingElse({ lateAnswers: 1 });
});

test('a listener may cancel a task at any of its changes, and it leaves what it entered, once', async () => {
  const states = ['pending', 'launched', 'fail_retryable', 'second pending', 'second launched', 'exec_done'] as const;
  for (const [index, at] of states.entries()) {
    for (const afterMs of [0, 5]) {
      const seen: string[] = [];
      const again = recorder(seen, 'b', undefined, (task, outcome) =>
        outcome.ok || task.isInterrupted ? { do: 'go' } : { do: 'again', afterMs },
      );
      const world = await inPath(recorder(seen, 'a'), again, recorder(seen, 'c'));
      let count = 0;
      let cancelled: boolean | undefined;
      world.kernel.listen(({ id }) => {
        if (count++ !== index) return;
        const task = [...world.kernel.liveTasks()].find((one) => one.id === id);
        cancelled = task?.cancel('in the listener');
      });
      world.executor.onSubmit = (attempt) => {
        world.executor.running.delete(attempt);
        world.executor.host.answer(
          attempt,
          attempt.tryNumber === 0 ? { ok: false, error: boom() } : { ok: true, value: 1 },
        );
      };
      const task = world.call();
      world.clock.advance(10);
      const label = `cancelled at ${at}, next try after ${afterMs} ms: ${seen.join(' ')}`;
      assert.equal(task.isSettled, true, label);
      assert.equal(cancelled, at !== 'exec_done', label);
      assert.equal(task.outcome?.ok, at === 'exec_done', label);
      for (const name of ['a', 'c']) {
        const entered = seen.filter((one) => one === `> ${name}`).length;
        assert.equal(seen.filter((one) => one === `< ${name}`).length, entered, label);
      }
      if (index === 1)
        assert.equal(world.executor.given.length, 0, 'a task that was cancelled at its launch is not launched');
      world.nothingElse();
    }
  }
});

// What elaborators and executors do wrong costs their task, never another, never the loop.
const wrongs: Record<string, Step> = {
  nothing: undefined as unknown as Step,
  'an unknown step': { do: 'jump' } as unknown as Step,
  'an answer without an outcome': { do: 'answer' } as unknown as Step,
  'an outcome of its own making': { do: 'answer', outcome: { ok: true, value: 1 } } as unknown as Step,
  'a wait for nothing': { do: 'wait' } as unknown as Step,
};
for (const [what, step] of Object.entries(wrongs)) {
  for (const direction of ['enter', 'leave'] as const) {
    test(`an elaborator that says ${what} in its ${direction} fails that task, and those above still leave`, async () => {
      const seen: string[] = [];
      const wrong: ElaboratorMaker = () => ({ name: 'wrong', [direction]: () => step }) as Elaborator;
      const world = await inPath(recorder(seen, 'a'), wrong);
      const task = world.call();
      if (direction === 'leave') world.executor.give(1);
      assert.equal(errorOf(task).code, 'ELABORATOR');
      assert.match(errorOf(task).message, /'wrong'/);
      assert.deepEqual(seen, ['> a', '< a']);
      world.nothingElse({ lines: [/^error wrong/] });
    });
  }
}

const inHook: Record<string, { step: Step; expected: string[] }> = {
  go: { step: { do: 'go' }, expected: ['> a', '> b', '< b', '< a'] },
  wait: { step: { do: 'wait', for: new Gate() }, expected: ['> a', '> b', '< b', '< a'] },
  answer: { step: { do: 'answer', outcome: succeed(1) }, expected: ['> a', '> b', '< a'] },
};
for (const [what, { step, expected }] of Object.entries(inHook)) {
  test(`an elaborator that cancels the task in its enter, and then says ${what}, does not change that`, async () => {
    const seen: string[] = [];
    const cancels = recorder(seen, 'b', (task) => {
      assert.equal(task.cancel('own'), true);
      return step;
    });
    const world = await inPath(recorder(seen, 'a'), cancels, recorder(seen, 'c'));
    assert.equal(errorOf(world.call()).code, 'CANCELLED');
    assert.deepEqual(seen, expected);
    world.nothingElse();
  });
}

test('an elaborator that cancels the task in its leave, and asks for another try, does not get one', async () => {
  const seen: string[] = [];
  const cancels = recorder(seen, 'b', undefined, (task) => {
    task.cancel('own');
    return { do: 'again', afterMs: 0 };
  });
  const world = await inPath(recorder(seen, 'a'), cancels);
  const task = world.call();
  world.executor.give(1);
  assert.equal(errorOf(task).code, 'CANCELLED');
  assert.deepEqual(seen, ['> a', '> b', '< b', '< a']);
  world.nothingElse();
});

test("an elaborator that says 'again' on the way down fails that task", async () => {
  const world = await inPath(recorder([], 'hasty', () => ({ do: 'again', afterMs: 0 })));
  const error = errorOf(world.call());
  assert.equal(error.code, 'ELABORATOR');
  assert.match(error.message, /'hasty'.*'again'.*way down/);
  world.nothingElse({ lines: [/^error hasty/] });
});

test('an elaborator that throws on the way down fails the task; it is left, too, for what it had begun', async () => {
  const seen: string[] = [];
  const throws = recorder(seen, 'b', () => {
    throw new Error('no luck');
  });
  const world = await inPath(recorder(seen, 'a'), throws);
  const error = errorOf(world.call());
  assert.equal(error.code, 'ELABORATOR');
  assert.match(error.message, /'b'.*no luck/);
  assert.equal((error.cause as Error).message, 'no luck');
  assert.deepEqual(seen, ['> a', '> b', '< b', '< a']);
  world.nothingElse({ lines: [/^error b threw: Error: no luck/] });
});

test('an elaborator that throws on the way up fails the task, and those above still leave', async () => {
  const seen: string[] = [];
  const throws = recorder(seen, 'b', undefined, () => {
    throw new Error('no luck');
  });
  const world = await inPath(recorder(seen, 'a'), throws);
  const task = world.call();
  world.executor.give(1);
  assert.equal(errorOf(task).code, 'ELABORATOR');
  assert.deepEqual(seen, ['> a', '> b', '< b', '< a']);
  world.nothingElse({ lines: [/^error b threw/] });
});

test('a listener that throws is logged, and disturbs no task', async () => {
  const world = await inPath();
  world.kernel.listen(() => {
    throw new Error('bad listener');
  });
  const task = world.call();
  world.executor.give(1);
  assert.equal(resultOf(task), 1);
  assert.equal(world.lines.length, 3);
  assert.match(world.lines[0] as string, /^error a listener .*bad listener/);
});

test('an executor that throws in submit fails the try', async () => {
  const world = await inPath();
  world.executor.onSubmit = (attempt) => {
    world.executor.running.delete(attempt);
    throw new Error('full');
  };
  const error = errorOf(world.call());
  assert.equal(error.code, 'EXECUTOR_FAILED');
  assert.match(error.message, /'fake'.*full/);
  world.nothingElse({ lines: [/^error fake threw/] });
});

test('an executor that throws in stop is logged, and the task is cancelled all the same', async () => {
  const world = await inPath();
  world.executor.onStop = () => {
    throw new Error('cannot stop');
  };
  const task = world.call();
  assert.equal(task.cancel(undefined), true);
  assert.equal(errorOf(task).code, 'CANCELLED');
  world.nothingElse({ lines: [/^error fake threw.*cannot stop/] });
});

test('an executor that answers within submit is heard', async () => {
  const world = await inPath();
  world.executor.onSubmit = (attempt) => world.executor.give(attempt.taskId, attempt);
  assert.equal(resultOf(world.call()), 0);
  assert.equal(resultOf(world.call()), 1);
  world.nothingElse();
});

test('20,000 tries on an executor that answers at once need no stack', async () => {
  const again = recorder([], 'a', undefined, (task) =>
    task.tryNumber < 20_000 ? { do: 'again', afterMs: 0 } : { do: 'go' },
  );
  const world = await testKernel({ path: [again, toExecutor], watched: false });
  world.executor.onSubmit = (attempt) => world.executor.give(attempt.tryNumber, attempt);
  assert.equal(resultOf(world.call()), 20_000);
  world.nothingElse();
});

test('a chain of 100,000 tasks needs no stack, whichever way it settles', async () => {
  for (const ends of ['well', 'badly', 'cancelled'] as const) {
    const world = await testKernel({ watched: false });
    const record = appRecord();
    const first = world.call(record);
    let last = first;
    for (let n = 1; n < 100_000; n++) last = world.call(record, [futureOf(last)]);
    world.executor.onSubmit = (attempt) => world.executor.give(((attempt.args[0] as number) ?? 0) + 1, attempt);
    if (ends === 'well') world.executor.give(1);
    else if (ends === 'badly') world.executor.fail();
    else first.cancel('no more');
    if (ends === 'well') assert.equal(resultOf(last), 100_000);
    else assert.equal(errorOf(last).code, 'DEPENDENCY');
    world.nothingElse();
  }
});

test('cancelAll cancels every task, whoever depends on whom, joins included', async () => {
  const world = await testKernel();
  const alone = world.call();
  const parent = world.call(joinRecord());
  const child = world.call(appRecord(), [], parent);
  const other = world.call(appRecord(), [], parent);
  world.joins.give([futureOf(child), futureOf(other)]);
  const dependent = world.call(appRecord(), [futureOf(alone)]);
  world.kernel.cancelAll('over');
  for (const task of [alone, parent, child, other, dependent])
    assert.equal(errorOf(task).code, 'CANCELLED', `task ${task.id}`);
  world.nothingElse();
});

test('a closed kernel takes no more calls', async () => {
  const world = await testKernel();
  const waiting = world.call();
  const closing = world.kernel.close();
  assert.throws(() => world.call(), { code: 'CLOSED' });
  await closing;
  assert.equal(errorOf(waiting).code, 'CANCELLED');
  assert.equal(world.executor.isClosed, true);
  world.nothingElse();
});

test('a kernel that closes waits for elaborators that have something to finish', async () => {
  const gate = new Gate();
  const world = await inPath(
    recorder([], 'tidy', undefined, () => (gate.isSettled ? { do: 'go' } : { do: 'wait', for: gate })),
  );
  const task = world.call();
  let isClosed = false;
  const closing = world.kernel.close().then(() => {
    isClosed = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isClosed, false);
  gate.open();
  await closing;
  assert.equal(errorOf(task).code, 'CANCELLED');
  world.nothingElse();
});

test('when one executor cannot start, those that did are closed again', async () => {
  const good = new FakeExecutor('good');
  const bad = new FakeExecutor('bad');
  bad.start = () => Promise.reject(new Error('no port'));
  const world = new TestKernel({ executors: [good, bad] });
  await assert.rejects(world.kernel.start(), /no port/);
  assert.equal(good.isClosed, true);
  assert.equal(bad.isClosed, true);
});

test('events tell of each change, with its task, try, executor and what it waits for', async () => {
  const world = await testKernel();
  const first = world.call(appRecord({ name: 'first' }));
  const second = world.call(appRecord({ name: 'second' }), [futureOf(first), Promise.resolve(1)]);
  const [made, launched, waits] = world.events;
  assert.equal(made?.from, undefined);
  assert.equal(made?.state, 'pending');
  assert.equal(made?.app, 'first');
  assert.equal(launched?.state, 'launched');
  assert.equal(launched?.executor, 'fake');
  assert.equal(waits?.id, second.id);
  assert.deepEqual(waits?.dependencies, [0], 'promises that are not tasks have no id');
  world.kernel.cancelAll('done');
  const failed = world.events.at(-1);
  assert.equal(failed?.state, 'failed');
  assert.equal(failed?.error?.code, 'CANCELLED');
  world.nothingElse();
});

test('what a worker reports is published while its try runs, once each, in order', async () => {
  const world = await testKernel();
  const task = world.call();
  const attempt = world.executor.only;
  const place = { host: 'here', worker: '1' };
  for (const what of ['running', 'running', 'running_ended', 'running', 'running_ended'] as const) {
    world.executor.host.report(attempt, what, place);
  }
  world.executor.give(1);
  world.executor.host.report(attempt, 'running', place);
  assert.deepEqual(world.statesOf(task), ['pending', 'launched', 'running', 'running_ended', 'exec_done']);
  world.nothingElse();
});

test('times that an executor reckons back stand neither before what was told already nor in the future', async () => {
  const world = await testKernel();
  const task = world.call();
  const place = { host: 'here', worker: '1' };
  const { host, only } = world.executor;
  const launched = world.clock.time;
  world.clock.advance(10);
  host.report(only, 'running', place, launched - 0.5);
  host.report(only, 'running_ended', place, launched - 0.25);
  world.executor.give(1);
  const again = world.call();
  const later = world.clock.time;
  world.clock.advance(10);
  host.report(world.executor.only, 'running', place, later + 2.5);
  host.report(world.executor.only, 'running_ended', place, later + 99);
  world.executor.give(1);
  const timesOf = ({ id }: Task): number[] => world.events.filter((event) => event.id === id).map(({ time }) => time);
  assert.deepEqual(timesOf(task), [launched, launched, launched, launched, later]);
  assert.deepEqual(timesOf(again), [later, later, later + 2.5, later + 10, later + 10]);
  world.nothingElse();
});

test('records of apps are forgotten with their apps, so that options for each call cost nothing that stays', async () => {
  const world = await testKernel({ watched: false });
  world.executor.onSubmit = (attempt) => world.executor.give(1, attempt);
  const references: WeakRef<object>[] = [];
  for (let n = 0; n < 50; n++) {
    const record = appRecord({ executors: ['fake'] });
    references.push(new WeakRef(record));
    world.call(record);
  }
  world.executor.given.length = 0;
  const kept = await countKept(references);
  assert(kept <= 5, `${kept} of 50 records are kept`);
});

// memo and checkpoint through the public API: what is computed once, in a run and for all runs.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { app, type CheckpointConfig, inline, joinApp, type Run } from '#src/index.js';
import { freshDirectory, inRun, testRun } from '../support/run.ts';

declare global {
  var computed: Record<string, number>;
}
globalThis.computed = {};

const simulate = app(
  (name: string, n: number) => {
    globalThis.computed[name] = (globalThis.computed[name] ?? 0) + 1;
    if (n < 0) throw new RangeError(`below zero: ${n}`);
    return { name, energy: n * 2 };
  },
  { memo: true },
);
const checkpointOf = (run: Run): string => join(run.directory, 'checkpoint', 'tasks.ckpt');

/** A run with a checkpoint: what each call computed, and in which state it ended. */
async function runWith(
  runDir: string,
  checkpoint: CheckpointConfig,
  numbers: readonly number[],
  during?: (run: Run) => unknown,
): Promise<{ run: Run; states: string[] }> {
  const run = await testRun({ runDir, checkpoint });
  const states: string[] = [];
  for (const n of numbers) {
    const future = simulate(runDir, n);
    await future.catch(() => {});
    states.push(future.state);
  }
  await during?.(run);
  await run.close();
  return { run, states };
}

test('equal calls are computed once in a run; the same name with another text is another function', async () => {
  await inRun({}, async (run) => {
    const calls = [1, 1, 2, 1].map((n) => simulate('once', n));
    assert.deepEqual(
      (await Promise.all(calls)).map(({ energy }) => energy),
      [2, 2, 4, 2],
    );
    assert.equal(globalThis.computed['once'], 2);
    assert.equal(run.summary().memoized, 2);
    const make = (factor: number) => app((n: number) => n * factor, { name: 'scaled', memo: true });
    assert.deepEqual([await make(2)(5), await make(3)(5)], [10, 15], 'what it captured counts');
    const byName = { name: 'named', memo: { function: 'name' } } as const;
    assert.equal(await app((n: number) => n + 1, byName)(5), 6);
    assert.equal(await app((n: number) => n + 2, byName)(5), 6, "Parsl's rule, on demand");
  });
});

test('with memo: false in the config nothing is remembered, and without memo on the app neither', async () => {
  await inRun({ memo: false }, async () => {
    await simulate('off', 1);
    const again = simulate('off', 1);
    await again;
    assert.equal(again.state, 'exec_done');
    assert.equal(globalThis.computed['off'], 2);
  });
});

test('options for a call keep what is remembered: the function is the same', async () => {
  await inRun({}, async () => {
    await simulate('with', 1);
    const again = simulate.with({ retry: 2 })('with', 1);
    await again;
    assert.equal(again.state, 'memo_done');
  });
});

test('failures are remembered in a run, the very same error, and computed anew in the next', async () => {
  const runDir = freshDirectory();
  const errors: unknown[] = [];
  for (let runs = 1; runs <= 2; runs++) {
    await inRun({ runDir, checkpoint: {} }, async () => {
      errors.push(await simulate(runDir, -1).catch((error) => error));
      errors.push(await simulate(runDir, -1).catch((error) => error));
    });
    assert.equal(globalThis.computed[runDir], runs);
  }
  assert.equal(errors[0], errors[1]);
  assert.notEqual(errors[1], errors[2]);
});

test('a checkpoint answers the next run, without a try: states memo_done', async () => {
  const runDir = freshDirectory();
  const first = await runWith(runDir, { when: 'task_exit', load: 'all' }, [1, 2, 3]);
  const second = await runWith(runDir, { when: 'task_exit', load: 'all' }, [1, 2, 3, 4]);
  assert.deepEqual(first.states, ['exec_done', 'exec_done', 'exec_done']);
  assert.deepEqual(second.states, ['memo_done', 'memo_done', 'memo_done', 'exec_done']);
  assert.equal(globalThis.computed[runDir], 4);
});

test('task_exit: the result is in the file before its future settles', async () => {
  const runDir = freshDirectory();
  const run = await testRun({ runDir, checkpoint: { when: 'task_exit' } });
  const { energy } = await simulate(runDir, 21);
  assert.equal(energy, 42);
  assert(readFileSync(checkpointOf(run)).includes('simulate'));
  await run.close();
});

test('exit: nothing is written before the run closes; manual: only when asked, and then at once', async () => {
  const runDir = freshDirectory();
  const atExit = await runWith(runDir, { when: 'exit', load: 'none' }, [1], (run) =>
    assert.equal(existsSync(checkpointOf(run)) && readFileSync(checkpointOf(run)).includes('simulate'), false),
  );
  assert(readFileSync(checkpointOf(atExit.run)).includes('simulate'));
  const never = await runWith(runDir, { when: 'manual', load: 'none' }, [1]);
  assert.equal(existsSync(checkpointOf(never.run)), false);
  const asked = await runWith(runDir, { when: 'manual', load: 'none' }, [1, 2], (run) => {
    assert.equal(run.checkpoint(), 2);
    assert.equal(run.checkpoint(), 0);
    assert(readFileSync(checkpointOf(run)).includes('simulate'));
  });
  assert.deepEqual(asked.states, ['exec_done', 'exec_done']);
});

test('periodic: written after a period, and the rest when the run closes', async () => {
  const runDir = freshDirectory();
  const { run } = await runWith(runDir, { when: 'periodic', period: 5 }, [1], async (open) => {
    while (!existsSync(checkpointOf(open)) || !readFileSync(checkpointOf(open)).includes('simulate'))
      await new Promise((resolve) => setTimeout(resolve, 2));
    await simulate(runDir, 2);
  });
  const next = await runWith(runDir, { load: [run.directory] }, [1, 2]);
  assert.deepEqual(next.states, ['memo_done', 'memo_done']);
});

test('load: all runs, the last, a list, or none', async () => {
  const runDir = freshDirectory();
  const first = await runWith(runDir, { load: 'none' }, [1]);
  await runWith(runDir, { load: 'none' }, [2]);
  assert.deepEqual((await runWith(runDir, { load: 'none', when: 'manual' }, [1, 2])).states, [
    'exec_done',
    'exec_done',
  ]);
  assert.deepEqual((await runWith(runDir, { load: 'last', when: 'manual' }, [1, 2])).states, [
    'exec_done',
    'memo_done',
  ]);
  assert.deepEqual((await runWith(runDir, { load: [first.run.directory], when: 'manual' }, [1, 2])).states, [
    'memo_done',
    'exec_done',
  ]);
  assert.deepEqual((await runWith(runDir, { load: 'all' }, [1, 2])).states, ['memo_done', 'memo_done']);
  assert.deepEqual(
    (await runWith(runDir, { load: 'last' }, [1, 2])).states,
    ['memo_done', 'memo_done'],
    'what was used again was recorded again',
  );
});

test('a checkpoint cut off in the middle of a record loses that record alone', async () => {
  const runDir = freshDirectory();
  const { run } = await runWith(runDir, {}, [1, 2, 3]);
  const path = checkpointOf(run);
  truncateSync(path, readFileSync(path).length - 3);
  const { run: next, states } = await runWith(runDir, {}, [1, 2, 3]);
  assert.deepEqual(states, ['memo_done', 'memo_done', 'exec_done']);
  assert.match(
    readFileSync(join(next.directory, 'chervil.log'), 'utf8'),
    /warn checkpoint: 2 results from 1 file; \d+ damaged bytes were passed over/,
  );
});

test('a value that has changed its place is the same; a join is remembered by what it gave', async () => {
  const total = joinApp(
    (runDir: string, n: number) => {
      globalThis.computed['total'] = (globalThis.computed['total'] ?? 0) + 1;
      return Array.from({ length: n }, (_, index) => simulate(runDir, index));
    },
    { memo: true },
  );
  const runDir = freshDirectory();
  for (let runs = 0; runs < 2; runs++) {
    await inRun({ runDir, checkpoint: {}, executors: [inline()] }, async (run) => {
      assert.equal((await total(runDir, 3)).length, 3);
      assert.equal((await total(runDir, 3)).length, 3);
      assert.equal(run.summary().total, runs === 0 ? 5 : 2, 'a hit does not run the body');
    });
  }
  assert.equal(globalThis.computed['total'], 1);
});

test('a recursion without end is found, when it is memoized', async () => {
  const endless = joinApp((n: number): ReturnType<typeof simulate> => endless(n) as never, { memo: true });
  await inRun({}, async () => {
    await assert.rejects(endless(1), {
      code: 'JOIN',
      message: /MemoCycleError: Task 1 \(endless\): endless\(\) was called with the arguments of task 0/,
    });
  });
});

// The executor in a whole run, loaded as users load it.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { app, apps } from '../../app/app.ts';
import { wrapper } from '../../app/wrapper.ts';
import type { Config } from '../../load/config.ts';
import { load } from '../../load/load.ts';
import type { Run } from '../../load/run.ts';
import type { Executor } from '../../task/ports.ts';
import type * as bodies from '../bodies.ts';
import type { Suite } from '../conformance.ts';
import { temporary } from './bench.ts';

const module = new URL('../bodies.js', import.meta.url);
const { add, addLater, exitOnce, fail, print, facts, wait } = apps<typeof bodies>(module);

export function testRuns({ test, make, supports }: Suite): void {
  test('serves a run: futures go in where values go, and failures come out', () =>
    inRun(make, {}, async () => {
      const square = app((n: number) => n * n);
      assert.equal(await add(square(3), addLater(square(4), 1)), 26);
      await assert.rejects(Promise.resolve(add(1, fail() as never)), { code: 'DEPENDENCY' });
    }));

  test('a failed task is tried again, as often as its policy allows', () =>
    inRun(make, { retry: 2 }, async () => {
      assert.equal(((await facts()) as { try: number }).try, 0);
      const failing = fail();
      await assert.rejects(Promise.resolve(failing), (error: { task: { tries: number } }) => error.task.tries === 3);
    }));

  if (supports.crash) {
    test('a lost worker costs its task one try, and the body of the next one knows that it is the second', () =>
      inRun(make, { retry: { losses: 1 } }, async (_, directory) => {
        assert.equal(await exitOnce(join(directory, 'tried')), 1);
      }));
  }

  test('wrappers of the configuration go around every body', () =>
    inRun(make, { wrap: [wrapper(module, 'twice')] }, async () => {
      assert.deepEqual(await add(1, 2), [3, 'add']);
    }));

  if (supports.output) {
    test('what bodies print goes to tasks.log, under the name of its task', async () => {
      let path = '';
      await inRun(
        make,
        {},
        async (run) => {
          path = join(run.directory, 'tasks.log');
          await Promise.all([print('hello'), facts()]);
        },
        () => {
          const text = readFileSync(path, 'utf8');
          assert.match(text, /^\[task 0 print\] hello$/m);
          assert.match(text, /^\[task 0 print\] hello on stderr$/m);
          assert.match(text, /^\[task 1 facts\] noted$/m);
        },
      );
    });
  }

  test('a cancelled future lets go at once, and the run can close', () =>
    inRun(make, {}, async () => {
      const waiting = Array.from({ length: 10 }, () => wait());
      for (const future of waiting) assert.ok(future.cancel('enough'));
      for (const future of waiting) await assert.rejects(Promise.resolve(future), { code: 'CANCELLED' });
      assert.equal(await add(1, 2), 3);
    }));
}

/** Runs `body` in a run with the executor; `after` looks at what the closed run left. */
async function inRun(
  make: () => Executor,
  config: Config,
  body: (run: Run, directory: string) => Promise<void>,
  after: () => void = () => {},
): Promise<void> {
  const directory = temporary();
  const run = await load(
    { ...config, executors: [make()], runDir: join(directory, 'runinfo'), signals: false },
    { ambient: false },
  );
  try {
    await run.enter(() => body(run, directory));
  } finally {
    await run.close({ exit: 'cancel' });
    try {
      after();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

// Python functions on htex: on workers of our own, and on pools of real Parsl.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AppError, htex, keywords, pythonApp } from '#src/index.js';
import { newestRelease, parslOrSkip } from '../support/parsl.ts';
import { HandStartedPool, poolCommandOf } from '../support/python-pool.ts';
import { inRun } from '../support/run.ts';

const halves = pythonApp.source<(x: number) => number>(`
    count = 0

    def halves(x, by=2):
        global count
        count += 1
        if x < 0:
            raise ValueError(f'{x} is negative')
        return x / by
`);
const hypot = pythonApp<(x: number, y: number) => number>('math:hypot');

describe("a pool of real Parsl, under Chervil's interchange", () => {
  for (const encrypted of [false, true]) {
    it(`runs Python functions called from TypeScript, encrypted: ${encrypted}`, async (t) => {
      const python = await parslOrSkip(t, newestRelease);
      if (python === undefined) return;
      const executor = htex({
        blocks: { init: 0, max: 0 },
        python: true,
        nodeWorkers: 0,
        encrypted,
        maxWorkersPerNode: 1,
      });
      await inRun({ executors: [executor] }, async (run) => {
        await using pool = new HandStartedPool(await poolCommandOf(run.directory, "Parsl's", '7'), python);
        const futures = [halves(3), halves(5, keywords({ by: 10 })), hypot(3, hypot(0, 4))];
        assert.deepEqual(await Promise.all(futures), [1.5, 0.5, 5], pool.stderr);
        await assert.rejects(halves(-1), (error: AppError) => {
          assert.equal(error.code, 'APP_ERROR');
          assert.equal(error.remote.name, 'ValueError');
          assert.equal(error.remote.message, '-1 is negative');
          assert.match(error.remote.stack, /Traceback.*<pythonApp halves \w+>", line 7, in halves/s);
          return true;
        });
      });
    });
  }
});

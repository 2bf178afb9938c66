// Bodies that end their worker cost their own task one try, and nobody else anything.
import assert from 'node:assert/strict';
import type { WorkerLostError } from '../../task/errors.ts';
import type { Suite } from '../conformance.ts';
import { type BodyName, onBench } from './bench.ts';

export function testLosses({ test, make, supports }: Suite): void {
  const cases: {
    readonly title: string;
    readonly body: BodyName;
    readonly args: readonly unknown[];
    readonly reason: WorkerLostError['reason'];
  }[] = [];
  if (supports.crash) {
    cases.push(
      { title: 'a body that calls process.exit()', body: 'exit', args: [3], reason: 'exit' },
      { title: 'a body that calls process.exit(0)', body: 'exit', args: [0], reason: 'exit' },
      { title: 'a body that throws where nobody catches it', body: 'throwOutside', args: [], reason: 'crash' },
      { title: 'a body that leaves a rejection to nobody', body: 'forgetRejection', args: [], reason: 'crash' },
    );
  }
  if (supports.memory)
    cases.push({ title: 'a body that takes too much memory', body: 'eatMemory', args: [], reason: 'memory' });
  for (const { title, body, args, reason } of cases) {
    test(`${title} is lost with its worker, and no other task is`, () =>
      onBench(make, async ({ host, submit }) => {
        const before = Array.from({ length: 30 }, (_, n) => submit('addLater', [n, 1]));
        const lost = submit(body, args);
        const after = Array.from({ length: 30 }, (_, n) => submit('add', [n, 2]));
        const error = (await host.error(lost)) as WorkerLostError;
        assert.equal(error.code, 'WORKER_LOST');
        assert.equal(error.reason, reason);
        assert.ok(error.worker !== '' && error.host !== '');
        for (const [n, attempt] of before.entries()) assert.equal(await host.value(attempt), n + 1);
        for (const [n, attempt] of after.entries()) assert.equal(await host.value(attempt), n + 2);
      }));
  }

  if (supports.crash) {
    test('many lost workers in a row leave an executor that works', () =>
      onBench(make, async ({ host, submit }) => {
        const lost = Array.from({ length: 10 }, () => submit('exit', [1]));
        for (const attempt of lost) assert.equal((await host.error(attempt)).code, 'WORKER_LOST');
        assert.equal(await host.value(submit('add', [1, 2])), 3);
        assert.deepEqual(host.failures, []);
      }));
  }
}

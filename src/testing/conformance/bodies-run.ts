// Bodies run, and their results come back: the least that an executor does.
import assert from 'node:assert/strict';
import type { Suite } from '../conformance.ts';
import { onBench, reference } from './bench.ts';

export function testBodies({ test, make, supports }: Suite): void {
  test('runs a function by value, and one by reference', () =>
    onBench(make, async ({ host, submit }) => {
      const factor = 7;
      assert.equal(await host.value(submit((n: number) => n * factor, [6])), 42);
      assert.equal(await host.value(submit('add', [1, 2])), 3);
    }));

  test('waits for an asynchronous body, by value and by reference', () =>
    onBench(make, async ({ host, submit }) => {
      const later = async (n: number): Promise<number> => {
        await new Promise((resolve) => setImmediate(resolve));
        return n + 1;
      };
      assert.equal(await host.value(submit(later, [1])), 2);
      assert.equal(await host.value(submit('addLater', [1, 2])), 3);
    }));

  test('keeps nothing of one call for the next', () =>
    onBench(make, async ({ host, submit }) => {
      const push = (list: number[]): number[] => {
        list.push(1);
        return list;
      };
      const mine: number[] = [];
      assert.deepEqual(await host.value(submit(push, [mine])), [1]);
      assert.deepEqual(await host.value(submit(push, [mine])), [1]);
      assert.deepEqual(mine, [], 'what a body does to its arguments stays there');
    }));

  test('runs a thousand quick tasks, and mixes up none', () =>
    onBench(make, async ({ host, submit }) => {
      const bodies = [
        (n: number) => n + 0.5,
        (n: number) => `text ${n}`,
        (n: number) => ({ n }),
        (n: number) => n % 2 === 0,
        async (n: number) => BigInt(n),
      ];
      const expected = [
        (n: number) => n + 0.5,
        (n: number) => `text ${n}`,
        (n: number) => ({ n }),
        (n: number) => n % 2 === 0,
        (n: number) => BigInt(n),
      ];
      const all = Array.from({ length: 1_000 }, (_, n) =>
        submit(bodies[n % bodies.length] as CallableFunction, [n], { watched: false }),
      );
      for (const [n, attempt] of all.entries())
        assert.deepEqual(await host.value(attempt), expected[n % expected.length]?.(n));
    }));

  test('answers a quick task while a long one waits', () =>
    onBench(make, async ({ host, submit, stop }) => {
      const long = submit('wait');
      await host.began(long);
      const quick = Array.from({ length: 50 }, (_, n) => submit('add', [n, 1]));
      for (const [n, attempt] of quick.entries()) assert.equal(await host.value(attempt), n + 1);
      assert.equal(host.answersTo(long).length, 0);
      stop(long);
    }));

  test('carries ten megabytes there and back', () =>
    onBench(make, async ({ host, submit }) => {
      const bytes = new Uint8Array(10_000_000).fill(1);
      assert.equal(await host.value(submit('sizeOf', [bytes])), 10_000_000);
      const text = 'x'.repeat(10_000_000);
      assert.equal(await host.value(submit('echo', [text])), text);
      assert.deepEqual(await host.value(submit('echo', [bytes])), bytes);
      assert.equal(bytes.length, 10_000_000, 'the caller still has its memory');
    }));

  test('says when a body that is watched starts, and when it ends', () =>
    onBench(make, async ({ host, submit }) => {
      const watched = [submit('add', [1, 2]), submit('addLater', [1, 2]), submit('fail')];
      const unwatched = submit('add', [1, 2], { watched: false });
      for (const attempt of [...watched, unwatched]) await host.answered(attempt);
      for (const attempt of watched) {
        const reports = host.reports.filter((report) => report.attempt === attempt);
        assert.deepEqual(
          reports.map(({ what }) => what),
          ['running', 'running_ended'],
        );
        for (const { place } of reports) assert.ok(place.host !== '' && place.worker !== '');
      }
      assert.ok(host.reports.every(({ attempt }) => attempt !== unwatched));
    }));

  test('puts wrappers around a body, outermost first', () =>
    onBench(make, async ({ host, submit }) => {
      const wrappers = [reference('outer'), reference('twice')];
      assert.deepEqual(await host.value(submit('add', [1, 2], { wrappers, name: 'sum' })), { outer: [3, 'sum'] });
      const add = (a: number, b: number): number => a + b;
      assert.deepEqual(await host.value(submit(add, [1, 2], { wrappers: [reference('twice')] })), [3, 'add']);
    }));

  test('tells a body about its task', () =>
    onBench(make, async ({ host, submit }) => {
      const attempt = submit('facts', [], { taskId: 41, tryNumber: 2, name: 'whoami' });
      assert.deepEqual(await host.value(attempt), {
        id: 41,
        try: 2,
        app: 'whoami',
        isAborted: false,
        hasDirectory: true,
      });
      if (supports.output) {
        await host.until(() => host.outputs.some((one) => one.attempt === attempt && one.text.includes('noted')));
      }
    }));

  test('says how loaded it is: more with more tasks, nothing when there is none', () =>
    onBench(make, async ({ host, executor, submit, stop }) => {
      assert.equal(executor.load, 0);
      const first = submit('wait');
      await host.began(first);
      const one = executor.load;
      assert.ok(Number.isFinite(one) && one > 0);
      const more = Array.from({ length: 20 }, () => submit('wait'));
      assert.ok(executor.load > one, `${executor.load} with more tasks than at ${one}`);
      for (const attempt of [first, ...more]) stop(attempt);
    }));
}

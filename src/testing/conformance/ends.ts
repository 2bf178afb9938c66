// Timeouts, stops and closing: how bodies end before they are done.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { referenceTo } from '../attempt.ts';
import type { Suite } from '../conformance.ts';
import { fileText, onBench } from './bench.ts';

const slowModule = new URL('../slow-module.js', import.meta.url);

export function testEnds({ test, make, supports }: Suite): void {
  const kinds = supports.kill ? (['wait', 'spin'] as const) : (['wait'] as const);

  for (const body of kinds) {
    const what = body === 'wait' ? 'waits' : 'computes';
    test(`a body that ${what} longer than its timeout fails with TIMEOUT, and others go on`, () =>
      onBench(make, async ({ host, submit }) => {
        const others = Array.from({ length: 20 }, (_, n) => submit('addLater', [n, 1]));
        const slow = submit(body, [], { timeoutMs: 50 });
        const error = await host.error(slow);
        assert.equal(error.code, 'TIMEOUT');
        assert.match(error.message, /50 ms/);
        for (const [n, attempt] of others.entries()) assert.equal(await host.value(attempt), n + 1);
        assert.equal(await host.value(submit('add', [1, 2])), 3);
      }));

    test(`a body that ${what} can be stopped, and others go on`, () =>
      onBench(make, async ({ host, submit, stop }) => {
        const running = submit(body);
        await host.began(running);
        const others = Array.from({ length: 20 }, (_, n) => submit('addLater', [n, 1]));
        stop(running);
        for (const [n, attempt] of others.entries()) assert.equal(await host.value(attempt), n + 1);
      }));
  }

  test('a timeout counts from the start of the body, not from when the task was given', () =>
    onBench(make, async ({ host, submit }) => {
      // More than a second of work before the last begins.
      const all = Array.from({ length: 120 }, () => submit('compute', [20], { timeoutMs: 700, watched: false }));
      for (const attempt of all) assert.equal(await host.value(attempt), 20);
    }));

  test('a timeout of a month ends no body that waits for a moment', () =>
    onBench(make, async ({ host, submit }) => {
      const moment = (): Promise<number> => new Promise((resolve) => setTimeout(resolve, 50, 1));
      assert.equal(await host.value(submit(moment, [], { timeoutMs: 30 * 86_400_000 })), 1);
    }));

  if (supports.kill)
    test('a body of which quickness was expected, and which goes on, is told to run while it does', () =>
      onBench(make, async ({ host, submit, stop }) => {
        for (let n = 0; n < 20; n++) assert.equal(await host.value(submit('compute', [0])), 0);
        const slow = submit('compute', [600_000]);
        await host.began(slow);
        stop(slow);
        assert.equal(await host.value(submit('compute', [0])), 0);
      }));

  test('the time in which a module is loaded does not count for a timeout, be it that of the body or of a wrapper', () =>
    onBench(make, async ({ host, submit }) => {
      // Loaded anew for each name.
      let loads = 0;
      const slow = (name: string) => referenceTo(`${slowModule}?${process.pid}-${loads++}`, name);
      const by = async (value: unknown, url: string): Promise<unknown> => (await import(url)).quick(value);
      const timeoutMs = 500;
      assert.equal(await host.value(submit(slow('quick'), [1], { timeoutMs })), 1);
      assert.equal(await host.value(submit(slow('quick'), [2], { timeoutMs, watched: false })), 2);
      assert.equal(await host.value(submit('add', [1, 2], { timeoutMs, wrappers: [slow('around')] })), 3);
      // What a body imports itself is a part of it.
      if (supports.kill)
        assert.equal((await host.error(submit(by, [4, `${slowModule}?by`], { timeoutMs }))).code, 'TIMEOUT');
      assert.equal((await host.error(submit(slow('endless'), [], { timeoutMs }))).code, 'TIMEOUT');
    }));

  if (supports.kill) {
    test('a short timeout is kept also behind a task with a long one', () =>
      onBench(make, async ({ host, submit }) => {
        const patient = Array.from({ length: 8 }, () => submit('compute', [5], { timeoutMs: 600_000 }));
        const hasty = submit('spin', [], { timeoutMs: 60 });
        assert.equal((await host.error(hasty)).code, 'TIMEOUT');
        for (const attempt of patient) assert.equal(await host.value(attempt), 5);
      }));

    test('no body is run twice because another had to be ended', () =>
      onBench(make, async ({ host, submit, directory, stop }) => {
        for (let round = 0; round < 5; round++) {
          const name = `round-${round}`;
          const busy = submit('markAndSpin', [join(directory, `${name}-busy`)], {
            // Long enough for a worker on a loaded machine to come as far as the file.
            timeoutMs: round % 2 === 0 ? 1_500 : 0,
          });
          const write = async (path: string): Promise<void> => {
            const { appendFileSync } = await import('node:fs');
            appendFileSync(path, 'x');
          };
          const others = Array.from({ length: 40 }, () => submit(write, [join(directory, name)]));
          await fileText(directory, `${name}-busy`);
          if (round % 2 === 1) stop(busy);
          for (const attempt of others) await host.value(attempt);
          assert.equal(await fileText(directory, name), 'x'.repeat(40));
          if (round % 2 === 0) assert.equal((await host.error(busy)).code, 'TIMEOUT');
          assert.equal(await fileText(directory, `${name}-busy`), 'x');
        }
      }));
  }

  if (supports.kill && supports.bash) {
    test('a bash app whose function computes longer than its timeout is ended then, and not as late as a command may end', () =>
      onBench(make, async ({ host, submit, stop }) => {
        const computes = submit('spin', [], { kind: 'bash', timeoutMs: 100 });
        const other = submit('wait', [], { timeoutMs: 5_000 });
        assert.equal((await host.error(computes)).code, 'TIMEOUT');
        assert.equal(host.answersTo(other).length, 0, 'a body beside it has run for five seconds meanwhile');
        stop(other);
        assert.equal(await host.value(submit('add', [1, 2])), 3);
      }));

    test('the timeout of a bash app holds for its function and its command together', () =>
      onBench(make, async ({ host, submit, directory }) => {
        const late = (path: string): Promise<string> =>
          new Promise((resolve) =>
            setTimeout(() => resolve(`echo began >> ${path}; sleep 0.7; echo done >> ${path}`), 700),
          );
        const attempt = submit(late, [join(directory, 'late')], { kind: 'bash', timeoutMs: 1_200 });
        const error = await host.error(attempt);
        assert.equal(error.code, 'TIMEOUT');
        assert.match(error.message, /1200 ms/);
      }));
  }

  test('a task that is stopped before it begins never runs', () =>
    onBench(make, async ({ host, submit, stop, directory }) => {
      const path = join(directory, 'ran');
      const write = async (to: string): Promise<void> => {
        const { appendFileSync } = await import('node:fs');
        appendFileSync(to, 'x');
      };
      const unwanted = Array.from({ length: 30 }, () => submit(write, [path]));
      for (const attempt of unwanted) stop(attempt);
      const wanted = submit(write, [path]);
      await host.value(wanted);
      assert.equal(await fileText(directory, 'ran'), 'x');
    }));

  test('a body that listens to its signal can end in order', () =>
    onBench(make, async ({ submit, stop, directory }) => {
      const listening = submit('waitForSignal', [join(directory, 'up'), join(directory, 'note')]);
      await fileText(directory, 'up');
      stop(listening);
      assert.match(await fileText(directory, 'note'), /no longer wanted/);
    }));

  test('close answers every task, queued or running, and ends what runs', () =>
    onBench(make, async ({ host, executor, submit }) => {
      const running = [submit('wait')];
      if (supports.kill) running.push(submit('spin'));
      if (supports.bash) running.push(submit('command', ['sleep 1000'], { kind: 'bash' }));
      await host.began(running[0] as (typeof running)[number]);
      const queued = Array.from({ length: 300 }, () => submit('wait'));
      await executor.close();
      for (const attempt of [...running, ...queued]) {
        assert.equal(host.answersTo(attempt).length, 1);
        assert.equal(host.answersTo(attempt)[0]?.ok, false);
      }
    }));

  test('close before anything was given, and close twice, do nothing', () =>
    onBench(make, async ({ executor }) => {
      await executor.close();
      await executor.close();
    }));

  test('what is given after close is answered too', () =>
    onBench(make, async ({ host, executor, submit }) => {
      await executor.close();
      assert.ok(!(await host.answered(submit('add', [1, 2]))).ok);
    }));
}

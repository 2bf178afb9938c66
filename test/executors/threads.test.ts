// threads passes the conformance suite, and does what only threads do.
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { threads } from '#src/executors/threads.js';
import { fileText, onBench } from '#src/testing/conformance/bench.js';
import { conformance } from '#src/testing/index.js';

const seed = Number(process.env['CHERVIL_SEED'] ?? Date.now() & 0x7fffffff);
console.log(`CHERVIL_SEED=${seed}`);

conformance({ name: 'threads', make: () => threads({ max: 2, memoryMegabytes: 64 }), supports: { memory: true } });

const two = () => threads({ max: 2 });
const limit = { timeout: 60_000 };

/** Waits, without letting go of its thread, until the other has come. */
const meet = (path: string, name: string): string[] => {
  const { appendFileSync, readFileSync } = process.getBuiltinModule('node:fs');
  appendFileSync(path, `${name} came\n`);
  for (;;) {
    const lines = readFileSync(path, 'utf8').trim().split('\n');
    if (lines.length >= 2) return lines;
  }
};

test('two bodies that compute run at the same time', limit, () =>
  onBench(two, async ({ host, submit, directory }) => {
    const path = join(directory, 'meeting');
    const both = [submit(meet, [path, 'one']), submit(meet, [path, 'two'])];
    for (const attempt of both) assert.equal(((await host.value(attempt)) as string[]).length, 2);
    assert.equal(new Set(host.reports.map(({ place }) => place.worker)).size, 2);
  }),
);

test('quick tasks that wait behind a body that takes longer than ever are taken to another thread', limit, () =>
  onBench(two, async ({ host, submit, stop }) => {
    const maybe = (isLong: boolean): number => {
      while (isLong);
      return 1;
    };
    // Quick at first, so that threads are given many at once.
    const first = Array.from({ length: 2_000 }, () => submit(maybe, [false], { watched: false }));
    for (const attempt of first) await host.answered(attempt);
    const all = Array.from({ length: 400 }, (_, n) => submit(maybe, [n === 10], { watched: n === 10 }));
    for (const [n, attempt] of all.entries()) if (n !== 10) assert.equal(await host.value(attempt), 1);
    stop(all[10] as (typeof all)[number]);
  }),
);

test(
  'results of quick bodies are there while the next one takes long, and are not lost when that is ended',
  limit,
  () =>
    onBench(
      () => threads({ max: 1 }),
      async ({ host, submit, stop, directory }) => {
        const path = join(directory, 'runs');
        const body = (path: string, n: number): unknown => {
          process.getBuiltinModule('node:fs').appendFileSync(path, `${n} `);
          while (n === 50);
          return [n, `text ${n}`, n % 2 === 0, null, undefined, { n }][n % 6];
        };
        const expected = (n: number): unknown => [n, `text ${n}`, n % 2 === 0, null, undefined, { n }][n % 6];
        for (let n = 100; n < 400; n++) await host.answered(submit(body, [path, n], { watched: false }));
        const all = Array.from({ length: 80 }, (_, n) => submit(body, [path, n], { watched: false }));
        for (let n = 0; n < 50; n++) assert.deepEqual(await host.value(all[n] as (typeof all)[number]), expected(n));
        while (!readFileSync(path, 'utf8').includes(' 50 ')) await new Promise((resolve) => setImmediate(resolve));
        stop(all[50] as (typeof all)[number]);
        for (let n = 51; n < 80; n++) assert.deepEqual(await host.value(all[n] as (typeof all)[number]), expected(n));
        const runs = readFileSync(path, 'utf8').trim().split(' ').map(Number);
        assert.equal(new Set(runs).size, runs.length, 'no body ran twice');
      },
    ),
);

test('a thread that takes too much memory says which limit it met', limit, () =>
  onBench(
    () => threads({ max: 1, memoryMegabytes: 64 }),
    async ({ host, submit }) => {
      const error = await host.error(submit('eatMemory'));
      assert.match(error.message, /limit of 64 MB; give threads\(\) a larger memoryMegabytes/);
      assert.equal(await host.value(submit('add', [1, 2])), 3);
    },
  ),
);

test('hundreds of functions, each by value, are kept apart', limit, () =>
  onBench(two, async ({ host, submit }) => {
    const all = Array.from({ length: 300 }, (_, n) =>
      submit(new Function('m', `return m + ${n}`) as CallableFunction, [1], { name: `f${n}` }),
    );
    const answers = await Promise.all(all.map((attempt) => host.answered(attempt)));
    for (const [n, answer] of answers.entries()) {
      assert.deepEqual(answer, { ok: true, value: n + 1 });
    }
  }),
);

test('what a body prints is there while it runs', limit, () =>
  onBench(two, async ({ host, submit, stop }) => {
    const talkative = submit(() => {
      console.log('before the loop');
      for (;;);
    });
    await host.until(() =>
      host.outputs.some(({ attempt, text }) => attempt === talkative && text === 'before the loop\n'),
    );
    stop(talkative);
  }),
);

test(
  'what quick bodies print is not lost when their results are read behind a body that takes longer than ever',
  limit,
  () =>
    onBench(
      () => threads({ max: 1 }),
      async ({ host, submit }) => {
        const talkative = (n: number, ms: number): number => {
          console.log(`body ${n}`);
          const until = performance.now() + ms;
          while (performance.now() < until);
          return n;
        };
        for (let n = 0; n < 100; n++) await host.value(submit(talkative, [n, 0], { watched: false }));
        const said = host.outputs.length;
        const all = [1, 2, 3].map((n) => submit(talkative, [n, n === 3 ? 300 : 0], { watched: false }));
        for (const attempt of all) await host.value(attempt);
        // Results are in memory that both threads see, what was printed comes in a message: perhaps behind them.
        await host.until(() => host.outputs.length >= said + all.length);
        assert.deepEqual(
          host.outputs.slice(said).map(({ attempt, text }) => [all.indexOf(attempt), text]),
          all.map((_, n) => [n, `body ${n + 1}\n`]),
        );
      },
    ),
);

test('what a body prints before process.exit() is not lost', limit, () =>
  onBench(two, async ({ host, submit }) => {
    const last = submit(() => {
      process.stdout.write(Buffer.from('last words é').subarray(0, 12));
      process.exit(1);
    });
    await host.answered(last);
    assert.ok(host.outputs.some(({ attempt, text }) => attempt === last && text.startsWith('last words')));
  }),
);

test('stopping at any moment loses no task, runs none twice, and answers none twice', { timeout: 120_000 }, () =>
  onBench(
    () => threads({ max: 3 }),
    async ({ host, submit, stop, directory }) => {
      let state = seed;
      const random = (below: number): number => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
        return (state >>> 8) % below;
      };
      const path = join(directory, 'runs');
      appendFileSync(path, '');
      const body = (path: string, n: number, microseconds: number): number => {
        process.getBuiltinModule('node:fs').appendFileSync(path, `${n} `);
        const until = performance.now() + microseconds / 1_000;
        while (performance.now() < until);
        return n;
      };
      const wanted = new Map<number, ReturnType<typeof submit>>();
      let n = 0;
      for (let round = 0; round < 40; round++) {
        const batch = Array.from({ length: 50 }, () => {
          const isLong = random(60) === 0;
          const options = { watched: false, timeoutMs: isLong && random(2) === 0 ? 20 : 0 };
          const attempt = submit(body, [path, n, isLong ? 30_000_000 : random(10) === 0 ? 3_000 : 20], options);
          return { attempt, n: n++, isLong, hasTimeout: options.timeoutMs > 0 };
        });
        if (random(2) === 0) await new Promise((resolve) => setImmediate(resolve));
        for (const { attempt, n, isLong, hasTimeout } of batch) {
          if (hasTimeout) continue;
          if (isLong || random(12) === 0) stop(attempt);
          else wanted.set(n, attempt);
          if (random(25) === 0) await new Promise((resolve) => setImmediate(resolve));
        }
      }
      for (const [number, attempt] of wanted) assert.equal(await host.value(attempt), number, `seed ${seed}`);
      const runs = readFileSync(path, 'utf8').trim().split(' ');
      assert.equal(new Set(runs).size, runs.length, `a body ran twice, seed ${seed}`);
    },
  ),
);

test('a stopped task that a thread has in its queue is never run', limit, () =>
  onBench(
    () => threads({ max: 1 }),
    async ({ host, submit, stop, directory }) => {
      const path = join(directory, 'runs');
      const body = (path: string, text: string): void => process.getBuiltinModule('node:fs').appendFileSync(path, text);
      for (let n = 0; n < 300; n++) await host.answered(submit(body, [path, '.'], { watched: false }));
      const blocker = submit('markAndSpin', [join(directory, 'busy')]);
      await fileText(directory, 'busy');
      const queued = Array.from({ length: 50 }, () => submit(body, [path, 'X']));
      await new Promise((resolve) => setImmediate(resolve));
      for (const attempt of queued) stop(attempt);
      stop(blocker);
      await host.answered(submit(body, [path, 'end']));
      assert.equal(readFileSync(path, 'utf8'), `${'.'.repeat(300)}end`);
    },
  ),
);

test('when all that a thread held was stopped before it began, the thread gets what waits', limit, () =>
  onBench(
    () => threads({ max: 1 }),
    async ({ host, submit, stop }) => {
      const body = (n: number): number => n;
      // The thread has still to start, and of a body that it has never run it is given one alone.
      const stopped = submit(body, [1]);
      const waiting = submit(body, [2]);
      await new Promise((resolve) => setImmediate(resolve));
      stop(stopped);
      assert.equal(await host.value(waiting), 2);
    },
  ),
);

test('arguments that do not fit into a thread are answered, and what stands beside them is run', limit, () =>
  onBench(
    () => threads({ max: 1, memoryMegabytes: 32 }),
    async ({ host, submit }) => {
      const count = (values: readonly unknown[]): number => values.length;
      // Of a function that was quick so far many calls go to a thread at once.
      for (let call = 0; call < 5; call++) assert.equal(await host.value(submit(count, [[call]])), 1);
      const large = Array.from({ length: 1_000_000 }, (_, at) => ({ at, text: `x${at}` }));
      const before = [1, 2, 3].map((size) => submit(count, [new Array(size)]));
      const tooLarge = submit(count, [large]);
      const behind = [4, 5, 6].map((size) => submit(count, [new Array(size)]));
      const error = await host.error(tooLarge);
      assert.match(error.message, /limit of 32 MB; give threads\(\) a larger memoryMegabytes/);
      const sizes = await Promise.all([...before, ...behind].map((attempt) => host.value(attempt)));
      assert.deepEqual(sizes, [1, 2, 3, 4, 5, 6]);
    },
  ),
);

test('a thread gets its next job while the result of the last one is still being decoded', limit, () =>
  onBench(
    () => threads({ max: 1 }),
    async ({ host, submit, directory }) => {
      const module = pathToFileURL(join(directory, 'slow-here.mjs')).href;
      const index = new URL('../../dist/index.js', import.meta.url).href;
      writeFileSync(
        new URL(module),
        `import { isMainThread } from 'node:worker_threads';
         import { serializer } from '${index}';
         export class Slow {}
         Slow[serializer] = { module: import.meta.url, export: 'Slow', to: () => 1, from: () => new Slow() };
         if (isMainThread) await new Promise((resolve) => { globalThis.finishSlow = resolve; });`,
      );
      const make = async (url: string): Promise<unknown> => new (await import(url)).Slow();
      const decoded = submit(make, [module]);
      assert.equal(await host.value(submit((n: number) => n, [2])), 2);
      const here = globalThis as { finishSlow?: () => void };
      while (here.finishSlow === undefined) await new Promise((resolve) => setImmediate(resolve));
      here.finishSlow();
      assert.equal(((await host.value(decoded)) as object).constructor.name, 'Slow');
    },
  ),
);

test('a job that its own arguments stop while they are packed is not run', limit, () =>
  onBench(
    () => threads({ max: 1 }),
    async ({ host, submit, stop }) => {
      const endless = (_argument: unknown): void => {
        for (;;);
      };
      let reads = 0;
      let first: ReturnType<typeof submit> | undefined;
      const argument = {
        get read() {
          // The first time when they are looked through, and then again when they are sent.
          if (first !== undefined && ++reads === 1) stop(first);
          return 1;
        },
      };
      first = submit(endless, [argument]);
      assert.equal(await host.value(submit((n: number) => n, [2])), 2);
      assert.ok(reads > 0);
    },
  ),
);

test('after a job that its own arguments stopped, timeouts still hold', limit, () =>
  onBench(
    () => threads({ max: 1 }),
    async ({ host, submit, stop }) => {
      const endless = (_argument: unknown): void => {
        for (;;);
      };
      let first: ReturnType<typeof submit> | undefined;
      const argument = {
        get read() {
          if (first !== undefined) stop(first);
          return 1;
        },
      };
      first = submit(endless, [argument], { timeoutMs: 100 });
      const error = await host.error(submit(endless, [1], { timeoutMs: 100 }));
      assert.equal(error.name, 'TimeoutError');
    },
  ),
);

test('closing does not wait for a thread that a body left blocked behind its end', limit, () =>
  onBench(
    () => threads({ max: 1 }),
    async ({ host, submit, executor, directory }) => {
      const path = join(directory, 'blocked');
      const leave = (file: string): number => {
        const { writeFileSync } = process.getBuiltinModule('node:fs');
        setTimeout(() => {
          writeFileSync(file, '');
          for (;;);
        }, 1);
        return 1;
      };
      assert.equal(await host.value(submit(leave, [path])), 1);
      while (!existsSync(path)) await new Promise((resolve) => setImmediate(resolve));
      const never = submit((n: number) => n, [2]);
      await new Promise((resolve) => setImmediate(resolve));
      await executor.close();
      assert.ok(await host.error(never));
    },
  ),
);

test('closing takes a result that is on its way, and waits no longer for a thread that is blocked', limit, () =>
  onBench(
    () => threads({ max: 1 }),
    async ({ host, submit, executor, directory }) => {
      const path = join(directory, 'blocked');
      const leave = (file: string): number => {
        if (file === '') return 1;
        setImmediate(() => {
          process.getBuiltinModule('node:fs').writeFileSync(file, '');
          for (;;);
        });
        return 2;
      };
      // Of a function that is quick, jobs are sent ahead.
      for (let call = 0; call < 30; call++) assert.equal(await host.value(submit(leave, [''])), 1);
      const last = submit(leave, [path]);
      await undefined;
      // Nothing is read here before the thread is blocked.
      const patient = performance.now() + 10_000;
      while (!existsSync(path) && performance.now() < patient);
      const never = submit(leave, ['']);
      await undefined;
      await executor.close();
      assert.equal(await host.value(last), 2);
      assert.ok(await host.error(never));
    },
  ),
);

test('options that cannot be are refused, all at once', () => {
  assert.throws(
    () => threads({ max: 0, memoryMegabytes: 8, threads: 4 } as object),
    (error: { problems: { path: string }[] }) => {
      assert.deepEqual(
        error.problems.map(({ path }) => path),
        ['max', 'memoryMegabytes', 'threads'],
      );
      return true;
    },
  );
});

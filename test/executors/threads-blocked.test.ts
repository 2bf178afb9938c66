// What a body leaves behind its end may block its thread for ever. Calls that wait there run elsewhere, and nothing else is ended for that.
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import inspector from 'node:inspector';
import { join } from 'node:path';
import { test } from 'node:test';
import { ThreadPool } from '#src/executors/threads/pool.js';
import { Slots } from '#src/executors/threads/slots.js';
import { isHeavy } from '#src/executors/threads/weight.js';
import { threads } from '#src/executors/threads.js';
import { onBench } from '#src/testing/conformance/bench.js';

const seed = Number(process.env['CHERVIL_SEED'] ?? Date.now() & 0x7fffffff);
console.log(`CHERVIL_SEED=${seed}`);

const limit = { timeout: 60_000 };
/** Threads that count as blocked after half a second. */
const impatient = (max: number) => () =>
  new ThreadPool({ label: 'threads', max, memoryMegabytes: undefined, blockedLooks: 2 });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const there = async (path: string): Promise<void> => {
  while (!existsSync(path)) await turn();
};
const same = (n: number): number => n;

/** Something goes on behind the end of this body, without end. `file` is there when it does. */
const leave = (file: string): number => {
  const { writeFileSync } = process.getBuiltinModule('node:fs');
  setTimeout(() => {
    writeFileSync(file, '');
    for (;;);
  }, 1);
  return 1;
};

const note = (path: string, n: number): number => {
  process.getBuiltinModule('node:fs').appendFileSync(path, `${n} `);
  return n;
};
const noted = (path: string): number[] => readFileSync(path, 'utf8').trim().split(' ').map(Number);

test('calls in a thread that a body left blocked run in another one, each once, and the log says why', limit, () =>
  onBench(
    () => threads({ max: 1 }),
    async ({ host, submit, stop, directory }) => {
      const runs = join(directory, 'runs');
      // Quick at first, so that the thread is given many at once.
      for (let n = 0; n < 100; n++) await host.answered(submit(note, [runs, n], { watched: false }));
      const blocked = join(directory, 'blocked');
      const left = submit(leave, [blocked], { name: 'leave' });
      assert.equal(await host.value(left), 1);
      await there(blocked);
      const calls = Array.from({ length: 100 }, (_, n) => submit(note, [runs, 100 + n], { watched: false }));
      await turn();
      stop(calls[7] as (typeof calls)[number]);
      for (const [n, call] of calls.entries()) if (n !== 7) assert.equal(await host.value(call), 100 + n);
      const expected = Array.from({ length: 200 }, (_, n) => n).filter((n) => n !== 107);
      assert.deepEqual(noted(runs), expected);
      assert.equal(host.lines.length, 1);
      const last = `The last to run there was task ${left.taskId} (leave).`;
      assert.ok(host.lines[0]?.startsWith('warn threads-0 is ended: ') && host.lines[0].endsWith(last), host.lines[0]);
    },
  ),
);

test(
  'a result that is never all read ends with its thread when its call is cancelled; the next call and closing do not wait',
  limit,
  () =>
    onBench(
      () => threads({ max: 1 }),
      async ({ host, submit, stop, directory }) => {
        const trap = (file: string): object => {
          let reads = 0;
          return {
            get value(): number {
              // The first time it is looked whether the value can be sent.
              if (++reads === 2) {
                process.getBuiltinModule('node:fs').writeFileSync(file, '');
                for (;;);
              }
              return 1;
            },
          };
        };
        for (const way of ['the next call', 'closing'] as const) {
          const trapped = join(directory, `trapped ${way}`);
          const call = submit(trap, [trapped]);
          await there(trapped);
          stop(call);
          if (way === 'the next call') assert.equal(await host.value(submit(same, [2])), 2);
        }
      },
    ),
);

test(
  'a body that begins while it is looked whether the result of a cancelled call is all read is not cut off',
  limit,
  () =>
    onBench(
      () => new ThreadPool({ label: 'threads', max: 1, memoryMegabytes: undefined, blockedLooks: 1_000 }),
      async ({ host, submit, stop, directory }) => {
        const [trapped, free, begun] = ['trapped', 'free', 'begun'].map((name) => join(directory, name)) as [
          string,
          string,
          string,
        ];
        const trap = (isIn: string, mayGo: string): object => {
          const { existsSync, writeFileSync } = process.getBuiltinModule('node:fs');
          let reads = 0;
          return {
            get value(): number {
              if (++reads === 2) {
                writeFileSync(isIn, '');
                while (!existsSync(mayGo));
              }
              return 1;
            },
          };
        };
        const longOrQuick = (file: string, ms: number): number => {
          if (file !== '') process.getBuiltinModule('node:fs').writeFileSync(file, '');
          const until = performance.now() + ms;
          while (performance.now() < until);
          return ms;
        };
        // Quick at first, so that one is given to the thread although it holds another.
        for (let n = 0; n < 50; n++) await host.value(submit(longOrQuick, ['', 0]));
        const call = submit(trap, [trapped, free]);
        await there(trapped);
        const behind = submit(longOrQuick, [begun, 500]);
        stop(call);
        // The result comes at the very moment at which it has been waited for long enough.
        const { takeBack } = Slots.prototype;
        Slots.prototype.takeBack = function (slot) {
          writeFileSync(free, '');
          while (!existsSync(begun));
          return takeBack.call(this, slot);
        };
        try {
          assert.equal(await host.value(behind), 500);
        } finally {
          Slots.prototype.takeBack = takeBack;
        }
        assert.deepEqual(host.lines, []);
      },
    ),
);

test('a blocked thread is replaced also when every call that waited there was cancelled', limit, () =>
  onBench(impatient(1), async ({ host, submit, stop, directory }) => {
    const blocked = join(directory, 'blocked');
    await host.value(submit(leave, [blocked]));
    await there(blocked);
    const cancelled = submit(same, [1]);
    const queued = submit(same, [2]);
    await turn();
    stop(cancelled);
    assert.equal(await host.value(queued), 2);
  }),
);

test('a thread that prints without end behind the end of a body is blocked, too', limit, () =>
  onBench(impatient(1), async ({ host, submit, directory }) => {
    const chatter = (file: string): void => {
      const { writeFileSync } = process.getBuiltinModule('node:fs');
      setTimeout(() => {
        writeFileSync(file, '');
        for (;;) {
          console.log('and on');
          const until = performance.now() + 1;
          while (performance.now() < until);
        }
      }, 1);
    };
    const blocked = join(directory, 'blocked');
    await host.value(submit(chatter, [blocked]));
    await there(blocked);
    assert.equal(await host.value(submit(same, [2])), 2);
  }),
);

test('a thread that reads large arguments is not blocked', limit, () =>
  onBench(impatient(1), async ({ host, submit }) => {
    const count = (numbers: readonly number[]): number => numbers.length;
    assert.equal(await host.value(submit(count, [[1]])), 1);
    const large = Array.from({ length: 8_000_000 }, (_, n) => n + 0.5);
    assert.equal(await host.value(submit(count, [large])), large.length);
    assert.deepEqual(host.lines, []);
  }),
);

test('a thread that takes long to send a result is not blocked', limit, () =>
  onBench(impatient(1), async ({ host, submit }) => {
    const slowToSend = (): object => {
      let reads = 0;
      return {
        get part() {
          // Once when it is checked, and then when it is sent.
          const until = performance.now() + (++reads === 2 ? 1_500 : 0);
          while (performance.now() < until);
          return reads;
        },
      };
    };
    for (let n = 0; n < 2; n++) assert.deepEqual(await host.value(submit(slowToSend)), { part: 2 });
    assert.deepEqual(host.lines, []);
  }),
);

test(
  'bodies that compute or wait for long are not taken for blocked threads, nor is any when the program itself is busy',
  limit,
  () =>
    onBench(impatient(2), async ({ host, submit }) => {
      const long = (ms: number): number => {
        const until = performance.now() + ms;
        while (performance.now() < until);
        return ms;
      };
      const waits = (ms: number): Promise<number> => new Promise((resolve) => setTimeout(resolve, ms, ms));
      for (let n = 0; n < 4; n++) await host.value(submit(same, [n]));
      const first = [submit(long, [1_500]), submit(waits, [1_500]), submit(same, [3])];
      for (const attempt of first) await host.value(attempt);
      const behind = submit(same, [4]);
      await turn();
      long(1_500);
      assert.equal(await host.value(behind), 4);
      assert.deepEqual(host.lines, []);
    }),
);

test('while a debugger can come no thread is taken for blocked', limit, () =>
  onBench(impatient(2), async ({ host, submit, directory }) => {
    inspector.open(0, '127.0.0.1');
    try {
      const blocked = join(directory, 'blocked');
      await host.value(submit(leave, [blocked]));
      await there(blocked);
      const both = [1, 2].map((n) => submit(same, [n]));
      // One of them is in the blocked thread. What the other one runs takes longer than a blocked thread would live.
      await Promise.race(both.map((attempt) => host.value(attempt)));
      await host.value(submit((ms: number) => new Promise((resolve) => setTimeout(resolve, ms)), [1_500]));
      assert.equal(both.filter((attempt) => host.answersTo(attempt).length > 0).length, 1);
      inspector.close();
      for (const [n, attempt] of both.entries()) assert.equal(await host.value(attempt), n + 1);
    } finally {
      inspector.close();
    }
  }),
);

test('what a thread may take long to read is known before it is sent', () => {
  const light = [1, 'text', null, undefined, true, [1, [2, { a: { b: 'c' } }]], new Uint8Array(1_000), {}];
  for (const value of light) assert.equal(isHeavy([value]), false, String(value));
  const cycle: unknown[] = [];
  cycle.push(cycle);
  const heavy = [
    'x'.repeat(1_000_000),
    new Array(2_000),
    Object.fromEntries(Array.from({ length: 2_000 }, (_, n) => [n, n])),
    new Uint8Array(new ArrayBuffer(1_000_000), 0, 1),
    new Map(),
    2n ** 100_000n,
    cycle,
    {
      get never() {
        throw new Error('not to be read');
      },
    },
  ];
  for (const value of heavy) assert.equal(isHeavy([value]), true, typeof value);
});

test('whatever bodies leave behind, no call is lost and none runs twice', { timeout: 180_000 }, () =>
  onBench(impatient(3), async ({ host, submit, stop, directory }) => {
    let state = seed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
      return (state >>> 8) % below;
    };
    const runs = join(directory, 'runs');
    appendFileSync(runs, '');
    const body = (path: string, n: number, left: number, _load: unknown): number => {
      process.getBuiltinModule('node:fs').appendFileSync(path, `${n} `);
      const endless = (): void => {
        for (;;);
      };
      if (left === 1) setTimeout(endless, n % 7);
      if (left === 2) setImmediate(endless);
      if (left === 3) queueMicrotask(endless);
      if (left === 4) setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), n % 3);
      // It lets go at about the time at which its thread is taken for blocked.
      const lets = (): void => {
        const until = performance.now() + 450 + (n % 100);
        while (performance.now() < until);
      };
      if (left === 5) setTimeout(lets, n % 3);
      return n;
    };
    // What an earlier body left may block the thread while this one waits: it has a timeout.
    const waits = async (path: string, n: number): Promise<number> => {
      process.getBuiltinModule('node:fs').appendFileSync(path, `${n} `);
      await new Promise((resolve) => setTimeout(resolve, n % 5));
      return n;
    };
    const wanted = new Map<number, ReturnType<typeof submit>>();
    const overtaken = new Map<number, ReturnType<typeof submit>>();
    let n = 0;
    for (let round = 0; round < 12; round++) {
      const batch = Array.from({ length: 40 }, () => {
        const number = n++;
        if (random(15) === 0) {
          const attempt = submit(waits, [runs, number], { watched: random(2) === 0, timeoutMs: 100 });
          overtaken.set(number, attempt);
          return { number, attempt };
        }
        const load = random(25) === 0 ? new Array(random(1_000_000)).fill(1.5) : { number };
        const attempt = submit(body, [runs, number, random(60) === 0 ? 1 + random(5) : 0, load], {
          watched: random(4) === 0,
        });
        wanted.set(number, attempt);
        return { number, attempt };
      });
      if (random(2) === 0) await turn();
      for (const { number, attempt } of batch) {
        if (random(12) === 0) {
          stop(attempt);
          wanted.delete(number);
          overtaken.delete(number);
        }
        if (random(25) === 0) await turn();
      }
      if (random(3) === 0) for (const attempt of wanted.values()) await host.answered(attempt);
    }
    for (const [number, attempt] of wanted) assert.equal(await host.value(attempt), number, `seed ${seed}`);
    for (const [number, attempt] of overtaken) {
      const answer = await host.answered(attempt);
      assert.ok(answer.ok ? answer.value === number : answer.error.code === 'TIMEOUT', `seed ${seed}`);
    }
    const all = noted(runs);
    assert.equal(new Set(all).size, all.length, `a body ran twice, seed ${seed}`);
  }),
);

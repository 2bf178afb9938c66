// Futures and streams: what a call gives at once, and how results come.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inspect } from 'node:util';
import { AUTO_LOGNAME, app, asCompleted, bashApp, type Future, sh, stream } from '#src/index.js';
import { inRun, testRun } from '../support/run.ts';

const square = app((n: number) => n * n);
const pick = app((n: number) => ({ peak: n, power: [n, n + 1] }));
const boom = app((what: string): number => {
  throw new RangeError(what);
});
const after = app((ms: number) => new Promise<number>((resolve) => setTimeout(() => resolve(ms), ms)));
const echo = bashApp((word: string) => sh`echo ${word}`, { stdout: AUTO_LOGNAME });
const never = app((_: number) => new Promise<number>(() => {}));
const oddOnly = app((n: number) => {
  if (n % 2 === 0) throw new Error(`even: ${n}`);
  return n;
});

test('a future tells its task, app and state, and shows them in a REPL', async () => {
  await inRun({}, async () => {
    const future = square(7);
    assert.deepEqual([future.id, future.app, future.state], [0, 'square', 'launched']);
    assert.equal(inspect(future), 'Future(task 0, square, launched)');
    assert.equal(await future, 49);
    assert.equal(inspect(future), 'Future(task 0, square, exec_done: 49)');
    const bad = boom('too far');
    await assert.rejects(bad);
    assert.equal(inspect(bad), 'Future(task 1, boom, failed: AppError: Task 1 (boom): RangeError: too far)');
    assert.equal(Object.prototype.toString.call(future), '[object Future]');
  });
});

test('a future is a promise: then, catch, finally, all, race, and awaited as often as one likes', async () => {
  await inRun({}, async () => {
    const future = square(3);
    assert.deepEqual(await Promise.all([future, future, square(4)]), [9, 9, 16]);
    assert.equal(await future.then((n) => n + 1), 10);
    assert.equal(await boom('x').catch((error) => error.code), 'APP_ERROR');
    let done = false;
    await future.finally(() => {
      done = true;
    });
    assert.equal(done, true);
    const slow = never(1);
    assert.equal(await Promise.race([slow, square(2)]), 4);
    slow.cancel();
  });
});

test('a future is a native promise, and what comes of it is a promise like any other', async () => {
  await inRun({}, async () => {
    const command = echo('here');
    for (const future of [square(3), square(3).map((n) => n), command] as Promise<unknown>[]) {
      assert(future instanceof Promise, 'it is no Promise');
      assert.equal(Promise.resolve(future), future);
      for (const next of [future.then(), future.catch(() => 0), future.finally(() => {})])
        assert.equal(Object.getPrototypeOf(next), Promise.prototype);
      await future;
    }
    assert.equal(await command, 0);
    assert.equal(await command.stdout, 'here\n');
  });
});

test('a failure is heard by whoever looks, however late, and ends no process when nobody does', async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', note);
  try {
    await inRun({}, async () => {
      const all = [boom('one'), boom('two'), boom('three'), boom('four').map((n) => n)];
      await Promise.allSettled([square(1)]);
      while (all.some(({ state }) => state !== 'failed')) await nextTurn();
      await nextTurn();
      await assert.rejects(async () => await all[0], /one/);
      await assert.rejects(Promise.all([square(1), all[1]]), /two/);
      assert.equal(await all[3]?.then(String, ({ code }) => code), 'APP_ERROR');
    });
    await nextTurn();
    assert.deepEqual(unhandled, []);
  } finally {
    process.off('unhandledRejection', note);
  }
});

test("an app's error keeps its name, message and class, and is the cause of an AppError", async () => {
  await inRun({}, async () => {
    await assert.rejects(boom('too far'), (error: { code: string; cause: Error; remote: { name: string } }) => {
      assert.equal(error.code, 'APP_ERROR');
      assert.equal(error.remote.name, 'RangeError');
      assert.equal(error.cause.message, 'too far');
      return true;
    });
  });
});

test('get and map give futures of parts, which make no task and can be arguments', async () => {
  await inRun({}, async (run) => {
    const found = pick(5);
    assert.equal(await found.get('peak'), 5);
    assert.equal(await found.get('power').get(1), 6);
    assert.equal(await square(found.get('peak')), 25);
    assert.equal(await square(found.map(({ power }) => power.length)), 4);
    assert.equal(run.summary().total, 3);
    await assert.rejects(found.get('nothing' as 'peak'), {
      code: 'APP_ERROR',
      message: "TypeError: the value has no 'nothing'",
    });
    await assert.rejects(square(found.get('nothing' as 'peak')), { code: 'DEPENDENCY', message: /has no 'nothing'/ });
  });
});

test('cancel settles once: true if it did, false if it was settled', async () => {
  await inRun({}, async () => {
    const future = never(1);
    assert.equal(future.cancel('enough'), true);
    assert.equal(future.cancel('enough'), false);
    await assert.rejects(future, { code: 'CANCELLED', message: /enough$/ });
    const done = square(1);
    await done;
    assert.equal(done.cancel(), false);
    const derived = never(1).map((n) => n);
    assert.equal(derived.cancel(), true);
    await assert.rejects(derived, { code: 'CANCELLED' });
  });
});

test('asCompleted yields futures as they settle, failures too', async () => {
  await inRun({}, async () => {
    const futures = [after(40), boom('x'), after(1)];
    const seen: string[] = [];
    for await (const done of asCompleted(futures))
      seen.push(`${done.future.id} ${done.ok ? done.value : done.error.code}`);
    assert.deepEqual(seen, ['1 APP_ERROR', '2 1', '0 40']);
    for await (const _ of asCompleted([])) assert.fail();
    let twice = 0;
    for await (const done of asCompleted([futures[0]!, futures[0]!])) twice += done.ok ? 1 : 0;
    assert.equal(twice, 2);
  });
});

test('map makes one task for each element, further arguments the same for all', async () => {
  const power = app((base: number, exponent: number) => base ** exponent);
  await inRun({}, async () => {
    assert.deepEqual(await Promise.all(power.map([1, 2, 3], 2)), [1, 4, 9]);
    assert.deepEqual(await Promise.all(square.map(new Set([4, square(2)]))), [16, 16]);
  });
});

test('stream gives results in the order of the source, or as they come', async () => {
  await inRun({}, async () => {
    const ordered: number[] = [];
    for await (const n of stream(after, [30, 1, 10])) ordered.push(n);
    assert.deepEqual(ordered, [30, 1, 10]);
    const unordered: number[] = [];
    for await (const n of stream(after, [60, 1, 25], { ordered: false })) unordered.push(n);
    assert.deepEqual(unordered, [1, 25, 60]);
    for await (const _ of stream(square, [])) assert.fail();
  });
});

test('a stream never has more than `ahead` calls under way or untaken, and always keeps at it', async () => {
  for (const ordered of [true, false]) {
    await inRun({}, async (run) => {
      let pulled = 0;
      let taken = 0;
      let most = 0;
      function* numbers(): Generator<number> {
        for (let n = 0; n < 3000; n++) {
          pulled++;
          most = Math.max(most, pulled - taken);
          yield n;
        }
      }
      let sum = 0;
      for await (const n of stream(square, numbers(), { ahead: 50, ordered })) {
        taken++;
        sum += n;
        assert(run.summary().live <= 50);
      }
      assert.equal(taken, 3000);
      assert.equal(
        sum,
        Array.from({ length: 3000 }, (_, n) => n * n).reduce((a, b) => a + b),
      );
      assert(most <= 51 && most >= 50, `${most}`);
    });
  }
});

test('leaving a stream cancels what is under way, and ends its source', async () => {
  await inRun({}, async (run) => {
    let ended = false;
    function* numbers(): Generator<number> {
      try {
        for (let n = 1; ; n++) yield n;
      } finally {
        ended = true;
      }
    }
    const mixed = app((n: number) => (n === 1 ? n : new Promise<number>(() => {})));
    for await (const n of stream(mixed, numbers(), { ahead: 10 })) {
      assert.equal(n, 1);
      break;
    }
    assert.equal(ended, true);
    assert.equal(run.summary().live, 0);
    assert.deepEqual(run.unseenFailures(), []);
  });
});

test('a failed call ends a stream with its error, or is yielded, as asked', async () => {
  await inRun({}, async (run) => {
    const seen: number[] = [];
    await assert.rejects(
      async () => {
        for await (const n of stream(oddOnly, [1, 3, 4, 5, 7], { ahead: 2 })) seen.push(n);
      },
      { code: 'APP_ERROR', message: /even: 4/ },
    );
    assert.deepEqual(seen, [1, 3]);
    const all: unknown[] = [];
    for await (const done of stream(oddOnly, [1, 2, 3], { onError: 'yield' }))
      all.push(done.ok ? done.value : done.error.code);
    assert.deepEqual(all, [1, 'APP_ERROR', 3]);
    await run.wait();
    assert.deepEqual(run.unseenFailures(), []);
  });
});

test('a slow source does not hold back results that are there', async () => {
  await inRun({}, async () => {
    let more: (() => void) | undefined;
    async function* slow(): AsyncGenerator<number> {
      yield 1;
      yield 2;
      await new Promise<void>((resolve) => {
        more = resolve;
      });
      yield 3;
    }
    for (const ordered of [true, false]) {
      const seen: number[] = [];
      for await (const n of stream(square, slow(), { ordered })) {
        seen.push(n);
        if (seen.length === 2) more?.();
      }
      assert.deepEqual(seen, [1, 4, 9]);
    }
  });
});

test('a stream whose source is stuck can be left', async () => {
  await inRun({}, async () => {
    async function* stuck(): AsyncGenerator<number> {
      yield 1;
      await new Promise(() => {});
    }
    for await (const n of stream(square, stuck())) {
      assert.equal(n, 1);
      break;
    }
  });
});

test('what a source throws ends the stream, and cancels what is under way', async () => {
  await inRun({}, async (run) => {
    function* bad(): Generator<number> {
      yield 1;
      throw new Error('source');
    }
    async function* badToo(): AsyncGenerator<number> {
      yield* bad();
    }
    for (const source of [bad(), badToo()]) {
      await assert.rejects(async () => {
        for await (const _ of stream(never, source)) assert.fail();
      }, /source/);
      assert.equal(run.summary().live, 0);
    }
  });
});

test('wrong options of a stream are refused where it is made', () => {
  for (const ahead of [0, -1, 1.5, Number.NaN])
    assert.throws(() => stream(square, [], { ahead }), { code: 'APP_DEFINITION', message: /'ahead'/ });
  assert.throws(() => stream(square, [], { onError: 'ignore' as 'throw' }), {
    code: 'APP_DEFINITION',
    message: /'onError'/,
  });
  assert.throws(() => stream(square, undefined as never), { code: 'APP_DEFINITION', message: /source/ });
});

test('events() tells every change until the run closes; a slow reader loses the oldest and is told how many', async () => {
  const run = await testRun();
  const events = run.events();
  const left = run.events();
  await left.return?.();
  await square(1);
  const first = await events.next();
  assert.deepEqual([first.value.id, first.value.app, first.value.state], [0, 'square', 'pending']);
  for (let n = 0; n < 3000; n++) square(n);
  await run.wait();
  assert(events.dropped > 0);
  await run.close();
  let rest = 0;
  for await (const _ of events) rest++;
  assert.equal(rest, 10_000);
  assert.equal(events.dropped + rest + 1, 3001 * 5);
  for await (const _ of run.events()) assert.fail('a closed run has no events');
});

test('two readers that ask at once both get their event', async () => {
  const run = await testRun();
  const events = run.events();
  const both = Promise.all([events.next(), events.next()]);
  await square(1);
  assert.deepEqual(
    (await both).map(({ value }) => value.state),
    ['pending', 'launched'],
  );
  const ends = Promise.all([events.return?.(), events.next()]);
  assert.deepEqual(
    (await ends).map((one) => one?.done),
    [true, true],
  );
  await run.close();
});

test('futures of one run can be awaited after it closed', async () => {
  const run = await testRun();
  const future: Future<number> = square(6);
  await run.close();
  assert.equal(await future, 36);
});

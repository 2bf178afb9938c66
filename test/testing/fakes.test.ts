// The fakes of chervil/testing, as their documentation promises.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attemptOf, conformance, FakeClock, FakeHost } from '#src/testing/index.js';

test('a fake clock runs what falls due, in order, at the time for which it was set', () => {
  const clock = new FakeClock(1_000);
  const seen: [string, number][] = [];
  const note = (name: string) => () => void seen.push([name, clock.now()]);
  clock.after(20, note('later'));
  clock.after(10, () => {
    note('first')();
    clock.after(5, note('added'));
  });
  clock.after(10, note('second'));
  const cancel = clock.after(12, note('never'));
  cancel();
  clock.advance(9);
  assert.deepEqual(seen, []);
  clock.advance(11);
  assert.deepEqual(seen, [
    ['first', 1_010],
    ['second', 1_010],
    ['added', 1_015],
    ['later', 1_020],
  ]);
  assert.equal(clock.pending, 0);
});

test('a fake host keeps every answer, also a second one', async () => {
  const host = new FakeHost('/nowhere');
  const attempt = attemptOf((n: number) => n + 1, [1]);
  const coming = host.value(attempt);
  host.answer(attempt, { ok: true, value: 2 });
  host.answer(attempt, { ok: true, value: 3 });
  assert.equal(await coming, 2);
  assert.equal(host.answersTo(attempt).length, 2);
  await assert.rejects(host.error(attempt), /it succeeded/);
});

test('the suite registers its tests with whatever registers tests, without those of what an executor cannot do', () => {
  const titles: string[] = [];
  const register = (title: string): number => titles.push(title);
  const make = (): never => assert.fail('no test was run');
  conformance({ name: 'all', make, test: register });
  const all = titles.splice(0);
  conformance({
    name: 'few',
    make,
    test: register,
    supports: { kill: false, crash: false, bash: false, output: false },
  });
  assert.ok(all.length > titles.length && titles.length > 20);
  assert.ok(titles.every((title) => title.startsWith('few: ') && !title.includes('command')));
});

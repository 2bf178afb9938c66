// Every row of docs/values.md, there and back.
import assert from 'node:assert/strict';
import type { Suite } from '../conformance.ts';
import { assertSame, madeOf, valueRows } from '../value-table.ts';
import { type Bench, onBench } from './bench.ts';

export function testValues({ test, make }: Suite): void {
  const rows = valueRows();
  // Where the table is not installed there is nothing to go by.
  if (rows.length === 0) return;

  test('brings every kind of value that crosses, as argument and as result', () =>
    onBench(make, async ({ host, submit }) => {
      for (const { what, example, crosses, arrives = example } of rows) {
        if (!crosses) continue;
        const value = madeOf(example);
        assert.equal(await host.value(submit('take', [value, arrives])).catch(explain(what)), 'the same');
        assertSame(await host.value(submit('give', [example])).catch(explain(what)), madeOf(arrives));
        // Among others, as something more than the value itself may be needed to bring it.
        const [first] = (await host
          .value(submit('echo', [[madeOf(example), { deep: [madeOf(example)] }]]))
          .catch(explain(what))) as unknown[];
        assertSame(first, madeOf(arrives));
      }
    }));

  test('refuses every kind of value that does not cross, saying where it stands', () =>
    onBench(make, async (bench) => {
      for (const { what, example, crosses, arrives = '' } of rows) {
        if (crosses) continue;
        await assertRefused(bench, what, bench.submit('echo', [{ options: [0, madeOf(example)] }]), arrives);
        // A promise is waited for, and what cannot even be made is an app that fails.
        if (what === 'promise') continue;
        await assertRefused(bench, what, bench.submit('give', [example]), arrives);
        await assertRefused(bench, what, bench.submit('give', [`[0, ${example}]`]), arrives);
      }
      assert.equal(await bench.host.value(bench.submit('add', [1, 2])), 3);
    }));
}

async function assertRefused(
  { host }: Bench,
  what: string,
  attempt: Parameters<Bench['stop']>[0],
  text: string,
): Promise<void> {
  const answer = await host.answered(attempt);
  assert.ok(!answer.ok, `${what} crossed`);
  assert.equal(answer.error.code, 'SERIALIZATION', `${what}: ${answer.error.message}`);
  assert.ok(answer.error.message.includes(text), `${what}: ${answer.error.message}`);
}

function explain(what: string): (error: Error) => never {
  return (error) => {
    throw new Error(`${what}: ${error.message}`, { cause: error });
  };
}

// What bodies throw arrives as it was thrown, with the place where it was.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { AppError, FunctionNotFoundError } from '../../task/errors.ts';
import { referenceTo } from '../attempt.ts';
import type { Suite } from '../conformance.ts';
import { onBench, reference } from './bench.ts';

export function testFailures({ test, make }: Suite): void {
  test('an error keeps its name, code, fields, cause and class', () =>
    onBench(make, async ({ host, submit }) => {
      const error = (await host.error(submit('fail'))) as AppError;
      assert.equal(error.code, 'APP_ERROR');
      const { name, message, code, fields, cause } = error.remote;
      assert.deepEqual(
        { name, message, code, fields },
        { name: 'RangeError', message: 'too hot', code: 'E_HOT', fields: { degrees: 451 } },
      );
      assert.ok(cause !== undefined && 'message' in cause);
      assert.deepEqual(
        { name: cause.name, message: cause.message, code: cause.code },
        { name: 'TypeError', message: 'the cause', code: 'E_CAUSE' },
      );
      assert.ok(error.cause instanceof RangeError);
      assert.equal((error.cause as RangeError & { degrees: number }).degrees, 451);
      assert.ok(error.cause.cause instanceof TypeError);
    }));

  test('an error of several keeps each of them', () =>
    onBench(make, async ({ host, submit }) => {
      const { remote, cause } = (await host.error(submit('failLater'))) as AppError;
      assert.deepEqual(
        remote.errors?.map(({ name, message }) => `${name}: ${message}`),
        ['TypeError: one', 'Error: two'],
      );
      assert.ok(cause instanceof AggregateError && cause.errors[0] instanceof TypeError);
    }));

  test('an error by reference tells the line of the module where it was thrown', () =>
    onBench(make, async ({ host, submit }) => {
      const { remote } = (await host.error(submit('fail'))) as AppError;
      const place = /bodies\.[jt]s:(\d+):\d+/.exec(remote.stack);
      assert.ok(place, remote.stack);
      const { module } = reference('fail');
      // With source maps it is the line of the source; where that is not installed, nobody could look there.
      const path = fileURLToPath(
        place[0].startsWith('bodies.ts') ? module.replace('/dist/', '/src/').replace(/\.js$/, '.ts') : module,
      );
      assert.match(readFileSync(path, 'utf8').split('\n')[Number(place[1]) - 1] ?? '', /too hot/);
    }));

  test('what is thrown without being an error arrives too', () =>
    onBench(make, async ({ host, submit }) => {
      for (const value of ['text', 7, undefined, null, { code: 'E_PLAIN' }]) {
        const error = (await host.error(submit('throwValue', [value]))) as AppError;
        assert.equal(error.code, 'APP_ERROR');
        assert.equal(error.remote.name, 'NonError');
        assert.deepEqual(error.remote.cause, { value });
      }
    }));

  test('a module that is not there, or has no such export, is told by name with the exports there are', () =>
    onBench(make, async ({ host, submit }) => {
      const missing = await host.error(submit(referenceTo('file:///nowhere/at-all.js', 'count')));
      assert.equal(missing.code, 'FUNCTION_NOT_FOUND');
      assert.match(missing.message, /nowhere\/at-all\.js/);
      const { module } = reference('add');
      const unknown = await host.error(submit(referenceTo(module, 'subtract')));
      assert.equal(unknown.code, 'FUNCTION_NOT_FOUND');
      assert.match(unknown.message, /no export "subtract"[\s\S]*addLater/);
      const other = await host.error(submit(referenceTo(module, 'notAFunction')));
      assert.equal(other.code, 'FUNCTION_NOT_FOUND');
      assert.match(other.message, /no function/);
      assert.equal(await host.value(submit('add', [1, 2])), 3);
    }));

  test('a wrapper whose module is not there is named, and not the body', () =>
    onBench(make, async ({ host, submit }) => {
      const wrappers = [referenceTo('file:///nowhere/around.js', 'around')];
      const missing = (await host.error(submit('add', [1, 2], { wrappers }))) as FunctionNotFoundError;
      assert.equal(missing.code, 'FUNCTION_NOT_FOUND');
      assert.equal(missing.module, 'file:///nowhere/around.js');
      assert.match(missing.message, /^file:\/\/\/nowhere\/around\.js does not exist/);
    }));

  test('a function that cannot be sent fails its own task, and no other', () =>
    onBench(make, async ({ host, submit }) => {
      const socket = { close() {}, symbol: Symbol('local') };
      const before = submit('add', [1, 2]);
      const refused = [submit(() => socket), submit(() => socket), submit(() => socket.symbol)];
      const after = submit('add', [3, 4]);
      for (const attempt of refused) assert.ok(!(await host.answered(attempt)).ok);
      assert.equal(await host.value(before), 3);
      assert.equal(await host.value(after), 7);
    }));
}

// Failures as data and again: what was thrown, and the failure of a task with each code.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import * as errors from '#src/task/errors.js';
import { errorFromRemote, failureFromData, failureFromThrown, failureToData } from '#src/wire/failures.js';
import { fromBytes, toBytes } from '#src/wire/values.js';
import { Point } from './fixtures/point.ts';

const seed = Number(process.env['CHERVIL_SEED'] ?? Date.now() & 0x7fffffff);
console.log(`CHERVIL_SEED=${seed}`);

const remote: errors.RemoteError = {
  name: 'RangeError',
  message: 'too hot',
  stack: 'RangeError: too hot\n    at app.ts:3',
};

/** One failure of each code that has a row of its own. */
const samples: readonly errors.TaskError[] = [
  new errors.AppError({ ...remote, code: 'E_HOT', fields: { degrees: 99n }, cause: { value: 7 } }, undefined),
  new errors.BashExitError({ exitCode: 127, signal: null, command: 'frob', stderrTail: 'frob: not found' }),
  new errors.BashExitError({ exitCode: null, signal: 'SIGKILL', command: 'sleep 9', stderrTail: '' }),
  new errors.BashNoCommandError('The app gave a number.'),
  new errors.MissingOutputsError(['a.txt', 'b.txt']),
  new errors.BadStreamError('stdout', '/no/such', new Error('ENOENT')),
  new errors.TimeoutError(1_500),
  new errors.DeadlineError(60_000),
  new errors.CancelledError(new DOMException('enough', 'AbortError')),
  new errors.CancelledError('enough'),
  new errors.JoinResultError('The body gave a number.'),
  new errors.WorkerLostError({
    worker: '3',
    host: 'node12',
    signal: 'SIGKILL',
    reason: 'memory',
    stderrTail: 'x',
    detail: 'It grew.',
  }),
  new errors.ManagerLostError('m1', 'node12'),
  new errors.ExecutorFailedError('cpu', 'no block starts', new Error('sbatch')),
  new errors.SerializationError('the result .f', 'it is a function.'),
  new errors.DeserializationError('Cannot read a value.', { cause: new SyntaxError('x') }),
  new errors.FunctionNotFoundError('file:///a.ts', 'no export b', new Error('x')),
  new errors.FileNotFoundError('/a', 'The argument'),
  new errors.StagingError('ftp://a', 'no provider for ftp'),
  new errors.MemoKeyError('no key'),
  new errors.MemoCycleError('a cycle'),
  new errors.UnsupportedError('no Python here'),
];

/** As threads and as processes have it. */
const ways: Record<string, (error: errors.TaskError) => errors.TaskError> = {
  'a thread': (error) => failureFromData(structuredClone(failureToData(error))),
  'a process': (error) => failureFromData(fromBytes(toBytes(failureToData(error)))),
};

/** Own fields, without those that are told apart. */
const fieldsOf = (error: Error): Record<string, unknown> => {
  const { cause, ...fields } = { ...error } as Record<string, unknown>;
  return fields;
};

describe('the failure of a task', () => {
  for (const sample of samples) {
    test(`${sample.code} arrives with class, text, stack and details: ${sample.shortMessage}`, () => {
      for (const way of Object.values(ways)) {
        const arrived = way(sample);
        assert.equal(arrived.constructor, sample.constructor);
        assert.equal(arrived.message, sample.message);
        assert.equal(arrived.stack, sample.stack);
        assert.deepEqual(fieldsOf(arrived), fieldsOf(sample));
        if (sample.code === 'APP_ERROR') continue;
        assert.equal(String(arrived.cause), String(sample.cause));
        if (sample.cause instanceof Error) assert.equal((arrived.cause as Error).constructor, sample.cause.constructor);
      }
    });
  }

  test('an AppError has its cause again as an error of its class', () => {
    const arrived = ways['a process']!(samples[0]!);
    assert.ok(arrived.code === 'APP_ERROR' && arrived.cause instanceof RangeError);
    assert.equal(arrived.cause.cause, 7);
    assert.deepEqual({ ...arrived.cause }, { code: 'E_HOT', degrees: 99n });
  });

  test('a failure that is made of other tasks’ failures arrives as an AppError that tells of it', () => {
    const failed = new errors.DependencyError([{ error: new Error('x'), description: 'task 7' }]);
    const arrived = ways['a thread']!(failed);
    assert.ok(arrived.code === 'APP_ERROR');
    assert.equal(arrived.remote.name, 'DependencyError');
    assert.match(arrived.message, /task 7/);
  });

  test('a code of a newer peer becomes an AppError with its text', () => {
    const arrived = failureFromData({
      failure: 1,
      code: 'SOLAR_FLARE',
      name: 'SolarFlareError',
      message: 'bits flipped',
      stack: '',
      details: {},
    });
    assert.ok(arrived.code === 'APP_ERROR');
    assert.deepEqual(
      [arrived.remote.name, arrived.remote.code, arrived.message],
      ['SolarFlareError', 'SOLAR_FLARE', 'SolarFlareError: bits flipped'],
    );
  });

  test('names that every object has are no codes', () => {
    assert.equal(failureFromData({ failure: 1, code: 'constructor', message: 'x' }).code, 'APP_ERROR');
    assert.equal(failureFromData({ failure: 1, code: '__proto__', message: 'x' }).code, 'APP_ERROR');
  });

  test('whatever arrives as a failure gives a failure', () => {
    const codes = fc.constantFrom(...samples.map(({ code }) => code));
    const strange = fc.oneof(
      fc.anything(),
      fc.record({
        failure: fc.constant(1),
        code: codes,
        message: fc.anything(),
        stack: fc.anything(),
        cause: fc.anything(),
        details: fc.anything(),
      }),
      fc.record({
        failure: fc.constant(1),
        code: codes,
        details: fc.dictionary(fc.constantFrom('remote', 'exitCode', 'missing', 'path'), fc.anything()),
      }),
    );
    fc.assert(
      fc.property(strange, (data) => assert.ok(failureFromData(data) instanceof errors.ChervilError)),
      { seed, numRuns: 2_000 },
    );
  });

  test('data that is no failure gives a DeserializationError', () => {
    for (const data of [undefined, null, 7, 'text', {}, [], ['chervil:encoded 1', 0, 0, 0]]) {
      assert.equal(failureFromData(data).code, 'DESERIALIZATION');
    }
  });

  test('reading a failure loads no module, even if it asks for one', () => {
    const data = [
      'chervil:encoded 1',
      {},
      ['instance', { module: 'data:text/javascript,process.exit(9)', export: 'A', data: 0 }],
      [],
    ];
    assert.match(failureFromData(data).message, /classes that are not loaded here/);
  });

  test('fields of errors may hold what crosses; classes with a serializer become texts', () => {
    const thrown = Object.assign(new Error('a'), {
      page: new URL('http://example.org'),
      point: new Point(1, 2),
      inner: Object.assign(new Error('b'), { point: new Point(3, 4) }),
    });
    const arrived = ways['a process']!(new errors.AppError(failureFromThrown(thrown), thrown));
    assert.ok(arrived.code === 'APP_ERROR');
    const { page, point, inner } = arrived.cause as typeof thrown;
    assert.ok(page instanceof URL && inner instanceof Error);
    assert.deepEqual([point, inner.point], ['[cannot be sent: Point]', '[cannot be sent: Point]']);
  });
});

describe('what an app throws', () => {
  const again = (thrown: unknown): Error => errorFromRemote(failureFromThrown(thrown));

  test('errors of the language are instances of their class again', () => {
    for (const Made of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]) {
      const thrown = new Made('why');
      const error = again(thrown);
      assert.equal(Object.getPrototypeOf(error), Made.prototype);
      assert.deepEqual([error.message, error.stack, error.name], ['why', thrown.stack, thrown.name]);
    }
    assert.ok(again(new DOMException('stop', 'AbortError')) instanceof DOMException);
  });

  test('an error of a class of one’s own has the name of the class, and its fields', () => {
    class HotError extends RangeError {
      degrees = 99;
    }
    const error = again(new HotError('too hot'));
    assert.deepEqual([error.name, { ...error }], ['HotError', { degrees: 99 }]);
  });

  test('causes and the members of an AggregateError are errors again', () => {
    const error = again(
      new AggregateError([new TypeError('a'), 'b'], 'both', { cause: new RangeError('c') }),
    ) as AggregateError;
    assert.ok(
      error instanceof AggregateError && error.errors[0] instanceof TypeError && error.cause instanceof RangeError,
    );
    assert.equal(error.errors[1].cause, 'b');
  });

  test('what is not an error is told as NonError, with the value as its cause', () => {
    for (const thrown of ['text', undefined, null, 7, 7n, { code: 5 }, ['a']]) {
      const error = again(thrown);
      assert.equal(error.name, 'NonError');
      assert.match(error.message, /not an Error/);
      assert.deepEqual(error.cause, thrown);
    }
    assert.equal(again(() => 1).cause, '[cannot be sent: function]');
    assert.equal(again(Symbol('s')).cause, '[cannot be sent: symbol]');
  });

  test('fields that cannot be sent are told as a text', () => {
    const { fields } = failureFromThrown(
      Object.assign(new Error('a'), { retry() {}, socket: process.stdout, later: Promise.resolve(), ok: [1] }),
    );
    assert.deepEqual(fields, {
      retry: '[cannot be sent: function]',
      socket: '[cannot be sent: stream]',
      later: '[cannot be sent: promise]',
      ok: [1],
    });
  });

  test('getters and proxies that throw do not stop it', () => {
    const nasty = new Error('a');
    for (const key of ['stack', 'name', 'message', 'code', 'cause', 'extra']) {
      Object.defineProperty(nasty, key, { enumerable: true, get: () => assert.fail('no') });
    }
    assert.match(failureFromThrown(nasty).fields?.['extra'] as string, /cannot be read: no/);
    const traps = new Proxy({}, { get: (_, trap) => () => assert.fail(trap as string) });
    for (const thrown of [new Proxy(new Error('b'), traps), new Proxy({}, traps), Proxy.revocable({}, {}).proxy]) {
      assert.equal(typeof failureFromThrown(thrown).message, 'string');
    }
    const { proxy, revoke } = Proxy.revocable(new Error('c'), {});
    revoke();
    assert.equal(failureFromThrown(proxy).name, 'NonError');
  });

  test('huge texts are cut with a note', () => {
    const { message, stack, fields } = failureFromThrown(
      Object.assign(new Error('x'.repeat(1_000_000)), { dump: 'y'.repeat(100) }),
      { longestText: 50 },
    );
    assert.match(message, /^x{50}… \[999950 more characters were cut\]$/);
    assert.ok(stack.length < 100);
    assert.match(fields?.['dump'] as string, /\[50 more/);
  });

  test('an error that is its own cause, and ten thousand causes, end', () => {
    const circle = new Error('a');
    circle.cause = new Error('b', { cause: circle });
    const told = failureFromThrown(circle);
    assert.deepEqual((told.cause as errors.RemoteError).cause, { value: '[an error above, again]' });
    let chain = new Error('0');
    for (let count = 0; count < 10_000; count++) chain = new Error(String(count), { cause: chain });
    let depth = 0;
    for (let at: unknown = again(chain); at instanceof Error; at = at.cause) depth++;
    assert.equal(depth, 32);
  });

  test('a tree of AggregateErrors is told in bounds', () => {
    let tree: Error = new Error('leaf');
    for (let level = 0; level < 40; level++) tree = new AggregateError([tree, tree], String(level));
    assert.ok(JSON.stringify(failureFromThrown(tree)).length < 1_000_000);
  });

  test('the stack can be rewritten, and stays as it is if that fails', () => {
    assert.equal(failureFromThrown(new Error('a'), { rewriteStack: () => 'better' }).stack, 'better');
    const thrown = new Error('a');
    assert.equal(failureFromThrown(thrown, { rewriteStack: () => assert.fail() }).stack, thrown.stack);
  });

  test('anything thrown is told, sent, and an error again', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withMap: true, withNullPrototype: true }),
        fc.anything(),
        (thrown, field) => {
          for (const value of [thrown, Object.assign(new Error('e'), { field }), new Error('e', { cause: thrown })]) {
            const told = failureFromThrown(value);
            const arrived = ways['a process']!(new errors.AppError(told, value));
            assert.ok(arrived.code === 'APP_ERROR' && arrived.cause instanceof Error);
            assert.equal(arrived.remote.message, told.message);
          }
        },
      ),
      { seed, numRuns: 500 },
    );
  });
});

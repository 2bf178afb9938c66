// The table of docs/values.md, row by row, and what holds for all values.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MessageChannel, Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { type File, file, output } from '#src/task/file.js';
import { checkValue, decodeValue, encodeValue, fromBytes, serializer, toBytes } from '#src/wire/values.js';
import { Misnamed, Point } from './fixtures/point.ts';

const seed = Number(process.env['CHERVIL_SEED'] ?? Date.now() & 0x7fffffff);
console.log(`CHERVIL_SEED=${seed}`);
const runs = { seed, numRuns: 500 };

/** As postMessage and a process would have it. */
const ways: Record<string, (value: unknown) => unknown> = {
  'a thread': (value) => decodeValue(structuredClone(checkValue(value) === 'encode' ? encodeValue(value) : value)),
  'a process': (value) => fromBytes(toBytes(value)),
};

const transferred = (): ArrayBuffer => {
  const buffer = new ArrayBuffer(8);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
};
const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};

/** The value of an expression in the table. */
function valueIn(code: string): unknown {
  const known = { file, output, Point, transferred, revoked, process, Buffer };
  return new Function(...Object.keys(known), `return (${code});`)(...Object.values(known));
}

describe('the table of values', () => {
  const text = readFileSync(new URL('../../docs/values.md', import.meta.url), 'utf8');
  const rows = text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| value |'))
    .map((line) => line.slice(2, -2).split(' | '));

  test('has rows of four cells', () => {
    assert.ok(rows.length > 40);
    for (const row of rows) assert.equal(row.length, 4, row.join(' | '));
  });

  for (const [what, example, crosses, arrives] of rows as [string, string, string, string][]) {
    const make = (): unknown => valueIn(example.slice(1, -1));
    if (crosses === 'no') {
      test(`${what}: does not cross, and the error says what to do`, () => {
        const asked = { code: 'SERIALIZATION', path: 'argument 0 .options[1]' };
        for (const attempt of [checkValue, encodeValue, toBytes]) {
          assert.throws(
            () => attempt({ options: [0, make()] }, 'argument 0'),
            (error: Error & { code: string; path: string }) => {
              assert.deepEqual({ code: error.code, path: error.path }, asked);
              assert.ok(error.message.includes(arrives), `${error.message} lacks ${arrives}`);
              return true;
            },
          );
          assert.throws(() => attempt(make(), 'argument 0'), { code: 'SERIALIZATION', path: 'argument 0' });
        }
      });
    } else {
      test(`${what}: crosses, and ${arrives === '`the same`' ? 'arrives the same' : `arrives as ${arrives}`}`, async () => {
        assert.match(crosses, /^yes/);
        const expected = (value: unknown): unknown =>
          arrives === '`the same`' ? value : valueIn(arrives.slice(1, -1));
        for (const way of Object.values(ways)) {
          const value = make();
          sameValue(await way(value), expected(value));
          const held = [{ value }, value];
          const [first, second] = (await way(held)) as [{ value: unknown }, unknown];
          sameValue(second, expected(value));
          if (typeof second === 'object') assert.equal(first.value, second, 'what is held twice arrives as one');
        }
      });
    }
  }
});

/** Deep equality, for errors too: of which the table compares neither the stack nor, of classes of one's own, the name. */
function sameValue(actual: unknown, expected: unknown): void {
  if (!(expected instanceof Error)) {
    assert.deepEqual(actual, expected);
    return;
  }
  assert.ok(actual instanceof Error);
  assert.equal(Object.getPrototypeOf(actual), Object.getPrototypeOf(expected));
  assert.deepEqual({ ...actual }, { ...expected });
  const { message, cause, errors } = actual as AggregateError;
  assert.deepEqual(
    { message, cause, errors },
    { message: expected.message, cause: expected.cause, errors: (expected as AggregateError).errors },
  );
}

/** Values with special things anywhere. Errors are compared by other tests: deep equality looks at their stacks' texts only. */
const anything: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withSparseArray: true,
    }),
    fc.webUrl().map((url) => new URL(url)),
    fc.webUrl().map((url): File => file(url)),
    fc.webUrl().map((url): File => output(url)),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.uint8Array({ minLength: 4 }).map((bytes) => bytes.subarray(1, 3)),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('chervil:encoded 1', ['chervil:encoded 1', 0, ['url', ['x']], [[], 0, 0]], ['chervil:encoded 1']),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.oneof(fc.string(), fc.constant('__proto__')), tie('value'), { maxKeys: 5 }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 4 }).map((pairs) => new Map(pairs)),
    fc.array(tie('value'), { maxLength: 4 }).map((members) => new Set(members)),
  ),
}))['value']!;

describe('values', () => {
  for (const [name, way] of Object.entries(ways)) {
    test(`any value that crosses to ${name} arrives deeply equal`, () => {
      fc.assert(
        fc.property(anything, (value) => {
          const before = normal(value);
          assert.deepEqual(normal(way(value)), normal(value));
          assert.deepEqual(normal(value), before, 'sending changes nothing');
        }),
        runs,
      );
    });
  }

  test('what is shared stays shared, and cycles stay cycles', () => {
    const graphs = fc.tuple(
      fc.array(fc.constantFrom('array', 'object', 'map', 'set', 'url', 'error', 'buffer'), {
        minLength: 2,
        maxLength: 12,
      }),
      fc.array(fc.tuple(fc.nat(100), fc.nat(100)), { maxLength: 40 }),
    );
    fc.assert(
      fc.property(graphs, ([kinds, edges]) => {
        const nodes: object[] = kinds.map(makeNode);
        for (const [from, to] of edges) link(nodes[from % nodes.length]!, nodes[to % nodes.length]!);
        for (const way of Object.values(ways)) assert.deepEqual(shape(way(nodes)), shape(nodes));
      }),
      runs,
    );
  });

  test('a primitive is plain, plain data is sent as it is, and only special things need encoding', () => {
    for (const value of ['a', 1, 1n, true, null, undefined]) assert.equal(checkValue(value), 'plain');
    for (const value of [{}, [1, { a: [2] }], new Map(), new Float64Array(3)]) {
      assert.equal(checkValue(value), 'clone');
      assert.equal(encodeValue(value), value);
    }
    for (const value of [new URL('a:b'), [Buffer.from('a')], { e: new Error('a') }, new Set([file('a')])]) {
      assert.equal(checkValue(value), 'encode');
    }
  });

  test('only the containers that lead to something special are copied', () => {
    const large = { readings: [1, 2, 3] };
    const [, root] = encodeValue({ large, page: new URL('a:b') }) as [string, { large: object }];
    assert.equal(root.large, large);
  });

  test('data that looks like encoded data arrives as the data it is', () => {
    const encoded = encodeValue([new URL('http://example.org')]);
    assert.equal(checkValue(encoded), 'encode');
    for (const way of Object.values(ways)) assert.deepEqual(way(encoded), encoded);
    for (const way of Object.values(ways)) assert.deepEqual(way([encoded]), [encoded]);
  });

  test('an error says where in the value the trouble is', () => {
    const at = (value: unknown): string => {
      try {
        checkValue(value, 'argument 0');
        return 'fine';
      } catch (error) {
        return (error as { path: string }).path;
      }
    };
    const odd = (): number => 1;
    assert.equal(at({ options: { callbacks: [1, 2, odd] } }), 'argument 0 .options.callbacks[2]');
    assert.equal(at({ 'a key': [odd] }), 'argument 0 ["a key"][0]');
    assert.equal(at(new Map([['a', [odd]]])), 'argument 0 .get("a")[0]');
    assert.equal(at(new Map([[odd, 1]])).startsWith('argument 0  (its key'), true);
    assert.equal(at([new Set([1, odd])]), 'argument 0 [0][1]');
    let deep: unknown = odd;
    for (let level = 0; level < 20_000; level++) deep = { next: deep };
    assert.ok(at(deep).length < 400);
  });

  test('depth is no limit: chains, rings and nests of a hundred thousand arrive', () => {
    const first: Linked = {};
    let last = first;
    for (let count = 0; count < 100_000; count++) {
      last.next = { previous: last };
      last = last.next;
    }
    last.next = first;
    for (const way of Object.values(ways)) {
      const arrived = way(first) as Linked;
      let at = arrived;
      for (let count = 0; count < 100_000; count++) {
        assert.equal(at.next!.previous, at);
        at = at.next!;
      }
      assert.equal(at.next, arrived);
    }
    let nest: unknown = 'core';
    for (let level = 0; level < 30_000; level++)
      nest = level % 3 === 0 ? new Map([[level, nest]]) : level % 3 === 1 ? [nest] : { nest };
    for (const way of Object.values(ways)) {
      let at = way(nest);
      for (let level = 29_999; level >= 0; level--) {
        at =
          level % 3 === 0
            ? (at as Map<number, unknown>).get(level)
            : level % 3 === 1
              ? (at as unknown[])[0]
              : (at as { nest: unknown }).nest;
      }
      assert.equal(at, 'core');
    }
  });

  test('a large web of objects that know one another arrives', () => {
    const web = Array.from({ length: 5_000 }, (_, id) => ({ id, near: [] as object[] }));
    for (const [id, node] of web.entries())
      node.near.push(web[(id * 7 + 1) % 5_000]!, web[(id * 13 + 5) % 5_000]!, web[(id + 1) % 5_000]!);
    for (const way of Object.values(ways)) {
      const arrived = way(web) as typeof web;
      for (const [id, node] of arrived.entries()) assert.equal(node.near[2], arrived[(id + 1) % 5_000]);
    }
  });

  test('an array that is nearly all holes costs what is in it', () => {
    const sparse: unknown[] = new Array(4_000_000_000);
    sparse[3_999_999_999] = new URL('http://example.org');
    for (const way of Object.values(ways)) {
      const arrived = way(sparse) as unknown[];
      assert.equal(arrived.length, 4_000_000_000);
      assert.deepEqual(arrived[3_999_999_999], sparse[3_999_999_999]);
    }
  });

  test('an error keeps its stack, its fields, its cause and itself', () => {
    const error: Error & { code?: string; self?: unknown } = new RangeError('too hot', {
      cause: new TypeError('sensor'),
    });
    error.code = 'E_HOT';
    error.self = { error };
    for (const way of Object.values(ways)) {
      const arrived = way(error) as typeof error & { self: { error: unknown } };
      assert.ok(arrived instanceof RangeError && arrived.cause instanceof TypeError);
      assert.equal(arrived.stack, error.stack);
      assert.equal(arrived.code, 'E_HOT');
      assert.equal(arrived.self.error, arrived);
      assert.deepEqual(Object.keys(arrived), ['code', 'self']);
    }
  });

  test('values cross to a worker thread and back by postMessage', async () => {
    const source = `
      const { workerData, parentPort } = require('node:worker_threads');
      import(workerData).then(({ decodeValue, encodeValue }) => {
        parentPort.on('message', async ({ port, data }) => port.postMessage(encodeValue(await decodeValue(data))));
      });`;
    const worker = new Worker(source, { eval: true, workerData: import.meta.resolve('#src/wire/values.js') });
    try {
      const cross = (value: unknown): Promise<unknown> =>
        new Promise((resolve, reject) => {
          const { port1, port2 } = new MessageChannel();
          worker.once('error', reject);
          port1.once('messageerror', reject);
          port1.once('message', (data) => {
            worker.off('error', reject);
            port1.close();
            resolve(decodeValue(data));
          });
          worker.postMessage({ port: port2, data: encodeValue(value) }, [port2]);
        });
      await fc.assert(
        fc.asyncProperty(anything, async (value) => assert.deepEqual(normal(await cross(value)), normal(value))),
        { seed, numRuns: 100 },
      );
      const circle: unknown[] = [new URL('http://example.org'), new Error('a')];
      circle.push(circle, circle[0]);
      const arrived = (await cross(circle)) as unknown[];
      assert.equal(arrived[2], arrived);
      assert.equal(arrived[3], arrived[0]);
    } finally {
      await worker.terminate();
    }
  });
});

describe('classes with a serializer', () => {
  test('an instance arrives as an instance, with other instances in it, and once', async () => {
    const inner = new Point(1, new URL('http://example.org'));
    const outer = new Point(inner, new Map([[inner, [inner]]]));
    for (const way of Object.values(ways)) {
      const arrived = (await way([outer, outer])) as Point[];
      const again = arrived[0]!.x as Point;
      assert.ok(arrived[0] instanceof Point && again instanceof Point);
      assert.equal(arrived[0], arrived[1]);
      assert.deepEqual(again.y, inner.y);
      assert.deepEqual((arrived[0].y as Map<unknown, unknown>).get(again), [again]);
    }
  });

  test('once its module is loaded, decoding needs no promise', async () => {
    await decodeValue(encodeValue(new Point(1, 2)));
    assert.ok(decodeValue(encodeValue(new Point(1, 2))) instanceof Point);
  });

  test('data that leads back to its own instance is refused', () => {
    const point = new Point(1, 2);
    point.x = { back: [point] };
    assert.throws(() => encodeValue([point], 'the result'), { code: 'SERIALIZATION', path: 'the result [0]' });
  });

  test('a class that only inherits a serializer is refused by name', () => {
    class Point3 extends Point {}
    assert.throws(() => checkValue(new Point3(1, 2)), /class Point3.*extends does not count/);
  });

  test('an incomplete serializer is refused by name', () => {
    class Odd {
      static readonly [serializer] = { module: 'a:b' };
      data = 1;
    }
    assert.throws(() => checkValue(new Odd()), /class Odd, whose serializer is incomplete/);
  });

  test('a serializer that throws, or gives what cannot cross, is told with its place', () => {
    assert.throws(() => encodeValue({ p: new Point(() => 1, 2) }), { path: 'the value .p.data.x' });
    const broken = new Point(1, 2);
    Object.defineProperty(broken, 'x', { get: () => assert.fail('no x') });
    assert.throws(() => encodeValue([broken]), /the value \[0\]: reading it threw: no x/);
  });

  test('a class that is not where its serializer says gives a DeserializationError', async () => {
    await assert.rejects(async () => decodeValue(encodeValue(new Misnamed())), {
      code: 'DESERIALIZATION',
      message: /exports no class 'Nowhere'/,
    });
  });
});

describe('values as bytes', () => {
  test('small plain values are small', () => {
    assert.equal(toBytes(7).length, 3);
    assert.equal(toBytes([1, 'cats', { deep: true }]).length, 20);
  });

  test('no prefix of the bytes of a value is read as a value', () => {
    for (const value of [[1, 'cats', { deep: true, x: 2.5, n: null }], new Map([[1, new URL('a:b')]])]) {
      const bytes = toBytes(value);
      for (let length = 0; length < bytes.length; length++) {
        assert.throws(() => fromBytes(bytes.subarray(0, length)), { code: 'DESERIALIZATION' });
      }
      assert.deepEqual(fromBytes(bytes), value);
    }
  });

  test('bytes of another version are refused with a hint', () => {
    assert.throws(() => fromBytes(Uint8Array.of(7, 1)), { code: 'DESERIALIZATION', message: /another version/ });
  });

  test('a hundred thousand mutations are read or refused, and never end the process', () => {
    const program = fileURLToPath(new URL('./fixtures/mutate.ts', import.meta.url));
    const printed = execFileSync(process.execPath, [
      ...process.execArgv.filter((flag) => !flag.startsWith('--test')),
      program,
      String(seed),
      '100000',
    ]);
    const { read, refused, other } = JSON.parse(printed.toString());
    assert.equal(read + refused, 100_000);
    assert.equal(other, 0);
  });
});

interface Linked {
  next?: Linked;
  previous?: Linked;
}

/** What can be compared after a crossing: prototypes of ordinary objects do not cross. */
function normal(value: unknown): unknown {
  if (Array.isArray(value)) {
    const copy: unknown[] = new Array(value.length);
    for (const key of Object.keys(value)) copy[Number(key)] = normal(value[Number(key)]);
    return copy;
  }
  if (value instanceof Map) return new Map([...value].map(([key, part]) => [normal(key), normal(part)]));
  if (value instanceof Set) return new Set([...value].map(normal));
  if (value instanceof Date) return `date ${value.getTime()}`; // Node 20 finds two invalid dates unequal.
  if (typeof value !== 'object' || value === null) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return value;
  const copy = {};
  for (const [key, part] of Object.entries(value)) {
    Object.defineProperty(copy, key, { value: normal(part), writable: true, enumerable: true, configurable: true });
  }
  return copy;
}

function makeNode(kind: string): object {
  switch (kind) {
    case 'array':
      return [];
    case 'map':
      return new Map();
    case 'set':
      return new Set();
    case 'url':
      return new URL('http://example.org/');
    case 'error':
      return Object.assign(new Error('e'), { parts: [] });
    case 'buffer':
      return Buffer.from('b');
    default:
      return {};
  }
}

function link(from: object, to: object): void {
  if (Array.isArray(from)) from.push(to);
  else if (from instanceof Map) from.set(to, from.size).set(`k${from.size}`, to);
  else if (from instanceof Set) from.add(to);
  else if (from instanceof Error) (from as unknown as { parts: object[] }).parts.push(to);
  else if (!(from instanceof URL) && !Buffer.isBuffer(from))
    (from as Record<string, object>)[`p${Object.keys(from).length}`] = to;
}

/** A value as a list: every object by the number of its first mention. */
function shape(root: unknown): unknown[] {
  const numbers = new Map<unknown, number>();
  const lines: unknown[] = [];
  const visit = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    const known = numbers.get(value);
    if (known !== undefined) return `#${known}`;
    const number = numbers.size;
    numbers.set(value, number);
    const line: unknown[] = [number, value.constructor.name];
    lines.push(line);
    if (value instanceof Map) for (const [key, part] of value) line.push(visit(key), visit(part));
    else if (value instanceof Set) for (const part of value) line.push(visit(part));
    else if (value instanceof URL || Buffer.isBuffer(value)) line.push(String(value));
    else for (const [key, part] of Object.entries(value)) line.push(key, visit(part));
    return `#${number}`;
  };
  visit(root);
  return lines;
}

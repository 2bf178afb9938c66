import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { memoKey, memoKeyOf } from '#src/kernel/memo/key.js';
import { memoHook } from '#src/kernel/memo/key-hooks.js';
import { FileNotFoundError, MemoKeyError } from '#src/task/errors.js';
import { file, output } from '#src/task/file.js';

const seed = Number(process.env['CHERVIL_SEED'] ?? Date.now() % 2 ** 31);
console.log(`CHERVIL_SEED=${seed}`);

const simulate = { name: 'simulate', source: undefined };
const key = (...args: unknown[]): string => memoKey(simulate, args);
const directory = mkdtempSync(join(tmpdir(), 'chervil-key-'));
after(() => rmSync(directory, { recursive: true }));

/** Values of all kinds, pairwise different: as data, and as calls. */
const different: readonly (readonly [string, unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['false', false],
  ['true', true],
  ['0', 0],
  ['-0', -0],
  ['1', 1],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['0n', 0n],
  ['1n', 1n],
  ['-1n', -1n],
  ['a bigint of many digits', 2n ** 100n],
  ['empty string', ''],
  ['"0"', '0'],
  ['"1"', '1'],
  ['"null"', 'null'],
  ['"é"', 'é'],
  ['"é" in two characters', 'e\u0301'],
  ['"€"', '€'],
  ['half a surrogate pair', '\ud800'],
  ['another half', '\udc00'],
  ['the replacement character', '\ufffd'],
  ['a string of 64 characters', 'x'.repeat(64)],
  ['a string of 65 characters', 'x'.repeat(65)],
  ['a long string', 'x'.repeat(100_000)],
  ['a long string, other at the end', `${'x'.repeat(99_999)}y`],
  ['empty array', []],
  ['array in array', [[]]],
  ['two arrays in array', [[], []]],
  ['[1, 2]', [1, 2]],
  ['[2, 1]', [2, 1]],
  ['[[1], 2]', [[1], 2]],
  ['[1, [2]]', [1, [2]]],
  ['[undefined]', [undefined]],
  // biome-ignore lint/suspicious/noSparseArray: this is the point
  ['a hole', [,]],
  ['empty object', {}],
  ['{ a: 1 }', { a: 1 }],
  ['{ a: undefined }', { a: undefined }],
  ['{ a: 1, b: 2 }', { a: 1, b: 2 }],
  ['{ a: 2, b: 1 }', { a: 2, b: 1 }],
  ['{ a: { b: 1 } }', { a: { b: 1 } }],
  ['{ ab: 1 }', { ab: 1 }],
  ['{ __proto__ } as data', JSON.parse('{"__proto__": 1}')],
  ['empty Map', new Map()],
  ['Map a-1', new Map([['a', 1]])],
  ['Map 1-a', new Map([[1, 'a']])],
  ['Map of maps', new Map([[new Map(), new Map()]])],
  ['empty Set', new Set()],
  ['Set of 1', new Set([1])],
  ['Set of "1"', new Set(['1'])],
  ['Set of two', new Set([1, '1'])],
  ['Set of a set', new Set([new Set([1])])],
  ['Date 0', new Date(0)],
  ['Date 1', new Date(1)],
  ['invalid Date', new Date(Number.NaN)],
  ['/a/', /a/],
  ['/a/g', /a/g],
  ['URL', new URL('https://example.org/')],
  ['URL as string', 'https://example.org/'],
  ['empty Uint8Array', new Uint8Array()],
  ['Uint8Array', Uint8Array.of(1, 2)],
  ['Int8Array', Int8Array.of(1, 2)],
  ['Uint16Array', Uint16Array.of(513)],
  ['Float64Array', Float64Array.of(1)],
  ['BigInt64Array', BigInt64Array.of(1n)],
  ['Buffer', Buffer.of(1, 2)],
  ['ArrayBuffer', Uint8Array.of(1, 2).buffer],
  ['SharedArrayBuffer', new SharedArrayBuffer(2)],
  ['DataView', new DataView(Uint8Array.of(1, 2).buffer)],
  ['a large array of bytes', new Uint8Array(100_000)],
  ['Error a', new Error('a')],
  ['Error b', new Error('b')],
  ['RangeError a', new RangeError('a')],
  ['Error with cause', new Error('a', { cause: 1 })],
  ['Error with code', Object.assign(new Error('a'), { code: 'ENOENT' })],
  ['AggregateError', new AggregateError([new Error('a')], 'a')],
  ['file', file('https://example.org/')],
  ['output', output('https://example.org/')],
  ['local output', output(join(directory, 'not-there'))],
];

test('values of different types or contents have different keys, alone, in arrays and in objects', () => {
  const keys = new Map<string, string>();
  const add = (what: string, one: string): void => {
    assert.equal(keys.get(one), undefined, `${what} has the key of ${keys.get(one)}`);
    keys.set(one, what);
  };
  for (const [what, value] of different) {
    assert.match(key(value), /^[0-9a-f]{64}$/);
    add(what, key(value));
    add(`[${what}, "a", ${what}]`, key([value, 'a', value]));
    add(`{ ${what} }`, key({ p: value }));
    add(`Map value ${what}`, key(new Map([['m', value]])));
    // A Set itself makes 0 of -0.
    if (!Object.is(value, -0)) add(`Set member ${what}`, key(new Set(['m', value])));
    add(`(${what}, 1)`, key(value, 1));
  }
  add('no arguments', key());
});

test('property: whatever differs as data has different keys, and a copy has the same', () => {
  const values = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withSparseArray: true,
    withUnicodeString: true,
    withNullPrototype: false,
  });
  fc.assert(
    fc.property(values, values, (left, right) => {
      if (isDeepStrictEqual(left, right)) assert.equal(key(left), key(right));
      else assert.notEqual(key(left), key(right));
      assert.equal(key(left), key(structuredClone(left)));
      assert.notEqual(key(left), key([left]));
      assert.notEqual(key(left, right), key([left, right]));
    }),
    { seed, numRuns: 2_000 },
  );
});

test('property: neither the order of properties, nor of Map entries, nor of Set members matters', () => {
  const entries = fc.uniqueArray(fc.tuple(fc.string(), fc.jsonValue()), { selector: ([name]) => name });
  fc.assert(
    fc.property(entries, (pairs) => {
      const turned = pairs.toReversed();
      assert.equal(key(Object.fromEntries(pairs)), key(Object.fromEntries(turned)));
      assert.equal(key(new Map(pairs)), key(new Map(turned)));
      assert.equal(key(new Set(pairs)), key(new Set(turned)));
      assert.equal(
        key(new Map([[new Set(pairs), new Map(pairs)]])),
        key(new Map([[new Set(turned), new Map(turned)]])),
      );
    }),
    { seed, numRuns: 300 },
  );
});

test('a key is the same in every run and every version of Node', () => {
  // If this fails, checkpoints of earlier versions are lost: raise encodingVersion, and say so in the changelog.
  const value = { n: [0, -0, Number.NaN, 1.5], s: ['é', '€'], m: new Map([['k', new Set([1n])]]), d: new Date(0) };
  assert.equal(key(value, Uint8Array.of(1)), 'ba967110f3e848358cd3e35e568149e00cc283d366cd58800eecc5bdf1a57e3d');
});

test('numbers count as Object.is has it: all NaN are one, and 0 is not -0', () => {
  const otherNaN = new Float64Array(new BigUint64Array([0x7ff8_dead_beef_0001n]).buffer)[0];
  assert.equal(key(otherNaN), key(Number.NaN));
  assert.equal(key(1), key(1.0));
  assert.notEqual(key(0), key(-0));
});

test('a function is its name and source, or its name alone', () => {
  const value = (name: string, hash: string) => ({ name, source: { by: 'value', key: hash } as const });
  const reference = (name: string, contentHash: string, module = 'file:///a.js', exported = name) => ({
    name,
    source: { by: 'reference', module, export: exported, contentHash } as const,
  });
  const all = [
    simulate,
    { name: 'other', source: undefined },
    value('simulate', 'h1'),
    value('simulate', 'h2'),
    value('other', 'h1'),
    reference('simulate', 'h1'),
    reference('simulate', 'h2'),
    reference('simulate', 'h1', 'file:///b.js'),
    reference('simulate', 'h1', 'file:///a.js', 'default'),
  ];
  assert.equal(new Set(all.map((identity) => memoKey(identity, [1]))).size, all.length);
  assert.equal(new Set(all.map((identity) => memoKey(identity, [1], { identity: 'name' }))).size, 2);
});

test('ignored arguments do not count, by index or by property name', () => {
  const ignoring = (ignore: (number | string)[], ...args: unknown[]): string => memoKey(simulate, args, { ignore });
  assert.equal(ignoring([1], 'a', 1, 'b'), ignoring([1], 'a', 2, 'b'));
  assert.notEqual(ignoring([1], 'a', 1, 'b'), ignoring([1], 'a', 1, 'c'));
  assert.equal(ignoring([1], 'a', 1), ignoring([1], 'a'));
  assert.equal(ignoring(['label'], { t: 1, label: 'x' }), ignoring(['label'], { t: 1, label: 'y' }));
  assert.equal(ignoring(['label'], { t: 1, label: 'x' }), ignoring(['label'], { t: 1 }));
  assert.notEqual(ignoring(['label'], { in: { label: 'x' } }), ignoring(['label'], { in: { label: 'y' } }));
});

test('an ignored argument may be of any type', () => {
  const options = { ignore: [0, 'log'] };
  assert.equal(memoKey(simulate, [() => 1, { log: Symbol('x') }], options), memoKey(simulate, [Promise, {}], options));
});

test('ignoring what a call does not have is no error', () => {
  assert.equal(memoKey(simulate, [1], { ignore: [7, 'nothing'] }), key(1));
});

test('the answer of a key function has a key of its own kind', () => {
  assert.equal(memoKeyOf(simulate, { t: 1 }), memoKeyOf(simulate, { t: 1 }));
  assert.notEqual(memoKeyOf(simulate, 1), memoKeyOf(simulate, 2));
  assert.notEqual(memoKeyOf(simulate, [1]), memoKey(simulate, [1]));
  assert.throws(() => memoKeyOf(simulate, { a: () => 1 }), {
    code: 'MEMO_KEY',
    message:
      /^No memo key: the answer of the key function \.a is a function\. Let the key function answer with plain data/,
  });
});

test('what has no key is named with its path, and with what to try', () => {
  class Matrix {}
  class Ordered extends Map {}
  const cases: [unknown, RegExp][] = [
    [
      { options: { callback: () => 1 } },
      /argument 1 \.options\.callback is a function\. Give the app a key function: memo:/,
    ],
    [[1, Symbol('s')], /argument 1 \[1\] is a symbol/],
    [
      { 'a b': [new Matrix()] },
      /argument 1 \["a b"\]\[0\] is an instance of Matrix\. Register a hook with memoHook\(Matrix, …\)/,
    ],
    [new Ordered(), /argument 1 is an instance of Ordered/],
    [Promise.resolve(1), /argument 1 is a promise/],
    [new WeakMap(), /argument 1 is an instance of WeakMap/],
    [new Map([[1, { f() {} }]]), /argument 1 \{value 0\}\.f is a function/],
    [new Set([1, () => 1]), /argument 1 \{member 1\} is a function/],
  ];
  for (const [value, message] of cases) assert.throws(() => key('first', value), { name: 'MemoKeyError', message });
});

test('a getter that throws fails the key with its error as the cause', () => {
  const cause = new Error('not today');
  const value = {
    get x() {
      throw cause;
    },
  };
  assert.throws(() => key(value), { code: 'MEMO_KEY', cause, message: /reading argument 0 \.x failed: not today/ });
  assert.equal(key(1), key(1));
});

test('a cycle is an error with its path', () => {
  const loop: Record<string, unknown> = { name: 'loop' };
  loop['next'] = { back: [loop] };
  assert.throws(() => key(1, loop), {
    code: 'MEMO_KEY',
    message: /argument 1 \.next\.back\[0\] is argument 1 again, a cycle/,
  });
  const set = new Set<unknown>();
  set.add(new Map([[set, 1]]));
  assert.throws(() => key(set), { code: 'MEMO_KEY', message: /a cycle/ });
  const long: { next?: unknown } = {};
  let end = long;
  for (let count = 0; count < 1_000; count++) {
    const next = {};
    end.next = next;
    end = next;
  }
  end.next = long;
  assert.throws(() => key(long), { code: 'MEMO_KEY', message: /a cycle/ });
});

test('an object that occurs twice is no cycle, also deep inside', () => {
  const shared = { a: 1 };
  assert.equal(key([shared, shared]), key([{ a: 1 }, { a: 1 }]));
  let deep: unknown = [shared, shared];
  for (let count = 0; count < 100; count++) deep = [deep, shared, [shared]];
  assert.equal(key(deep), key(structuredClone(deep)));
});

test('values of any depth have keys', () => {
  const nest = (core: unknown): unknown => {
    let value = core;
    for (let depth = 0; depth < 100_000; depth++) value = depth % 2 ? [value] : { v: value };
    return value;
  };
  assert.equal(key(nest(1)), key(nest(1)));
  assert.notEqual(key(nest(1)), key(nest(2)));
  let sets: unknown = 1;
  for (let depth = 0; depth < 10_000; depth++) sets = depth % 2 ? new Set([sets]) : new Map([[sets, depth]]);
  assert.match(key(sets), /^[0-9a-f]{64}$/);
});

test('large values have keys without a copy of them', () => {
  const large = {
    bytes: new Uint8Array(50_000_000),
    text: 'é'.repeat(1_000_000),
    set: new Set([new Uint8Array(1_000_000)]),
  };
  const before = key(large);
  large.bytes[49_999_999] = 1;
  assert.notEqual(key(large), before);
});

test('values from another realm count as their likes here', () => {
  const foreign = runInNewContext(
    `({ a: [1, new Map([['k', new Set([1])]]), new Date(5), /x/g, new Uint8Array([1]), new RangeError('no')] })`,
  );
  const home = { a: [1, new Map([['k', new Set([1])]]), new Date(5), /x/g, Uint8Array.of(1), new RangeError('no')] };
  assert.equal(key(foreign), key(home));
  assert.throws(() => key(runInNewContext('new (class Foreign {})()')), { message: /an instance of Foreign/ });
});

test('a hook gives instances of a class, and of its subclasses, a key', () => {
  class Point {
    readonly x: number;
    constructor(x: number) {
      this.x = x;
    }
  }
  class Pixel extends Point {}
  class Plain {
    readonly x = 1;
  }
  const takeBack = memoHook(Point, (point) => [point.x]);
  assert.equal(key(new Point(1)), key(new Point(1)));
  assert.notEqual(key(new Point(1)), key(new Point(2)));
  assert.notEqual(key(new Point(1)), key(new Pixel(1)));
  assert.notEqual(key(new Point(1)), key([1]));
  assert.throws(() => key(new Plain()), MemoKeyError);
  const takeBackPixel = memoHook(Pixel, () => 'any');
  assert.equal(key(new Pixel(1)), key(new Pixel(2)));
  takeBackPixel();
  assert.notEqual(key(new Pixel(1)), key(new Pixel(2)));
  takeBack();
  assert.throws(() => key(new Point(1)), MemoKeyError);
});

test('the error of a hook that throws is the cause, and what a hook answers must have a key', () => {
  class Broken {}
  class Outer {
    readonly inner = new Broken();
  }
  const cause = new Error('cannot');
  const takeBack = [
    memoHook(Broken, () => {
      throw cause;
    }),
    memoHook(Outer, (outer) => outer.inner),
  ];
  assert.throws(() => key([new Broken()]), {
    code: 'MEMO_KEY',
    cause,
    message: /the memo hook for Broken failed on argument 0 \[0\]: cannot/,
  });
  assert.throws(() => key(new Outer()), { message: /failed on argument 0 \(by its memo hook\): cannot/ });
  takeBack[0]!();
  assert.throws(() => key(new Outer()), { message: /argument 0 \(by its memo hook\) is an instance of Broken/ });
  takeBack[1]!();
});

test('a hook may ask for a memo key itself', () => {
  class Nested {
    readonly inner: unknown;
    constructor(inner: unknown) {
      this.inner = inner;
    }
  }
  const takeBack = memoHook(Nested, (nested) => memoKey(simulate, [nested.inner]));
  assert.equal(key('before', new Nested(new Nested(1)), 'after'), key('before', new Nested(new Nested(1)), 'after'));
  assert.notEqual(key(new Nested(1)), key(new Nested(2)));
  takeBack();
});

test('a hook for arrays, plain objects or no class at all is a TypeError', () => {
  assert.throws(() => memoHook(Array, () => 1), TypeError);
  assert.throws(() => memoHook(Object, () => 1), TypeError);
  assert.throws(() => memoHook((() => 1) as never, () => 1), TypeError);
  assert.throws(() => memoHook(Date, 1 as never), TypeError);
});

test('a local file counts by URL, size and time of change', () => {
  const path = join(directory, 'input.txt');
  writeFileSync(path, 'one');
  utimesSync(path, 1_000, 1_000);
  const first = key(file(path));
  writeFileSync(path, 'two');
  utimesSync(path, 1_000, 1_000);
  assert.equal(key(file(path)), first);
  utimesSync(path, 1_000, 1_001);
  assert.notEqual(key(file(path)), first);
  writeFileSync(path, 'three');
  utimesSync(path, 1_000, 1_000);
  assert.notEqual(key(file(path)), first);
});

test('a local file counts by its content when asked to', () => {
  const path = join(directory, 'content.txt');
  const byContent = (): string => memoKey(simulate, [file(path)], { files: 'content' });
  writeFileSync(path, 'one');
  const first = byContent();
  writeFileSync(path, 'two');
  assert.notEqual(byContent(), first);
  writeFileSync(path, 'one');
  utimesSync(path, 1_000, 1_000);
  assert.equal(byContent(), first);
  utimesSync(path, 2_000, 2_000);
  assert.equal(byContent(), first);
  assert.throws(() => memoKey(simulate, [file(directory)], { files: 'content' }), {
    code: 'MEMO_KEY',
    message: /directory/,
  });
});

test('a local file counts by URL alone when asked to, and then need not exist', () => {
  const byUrl = (place: string): string => memoKey(simulate, [file(place)], { files: 'url' });
  assert.equal(byUrl(join(directory, 'nowhere')), byUrl(join(directory, 'nowhere')));
  assert.notEqual(byUrl(join(directory, 'nowhere')), byUrl(join(directory, 'elsewhere')));
});

test('a local input file that is not there is a FileNotFoundError that names the argument', () => {
  const path = join(directory, 'missing.txt');
  for (const files of ['stat', 'content'] as const)
    assert.throws(
      () => memoKey(simulate, [1, { input: file(path) }], { files }),
      (error) => {
        assert.ok(error instanceof FileNotFoundError);
        assert.equal(error.path, path);
        assert.match(error.message, /^Argument 1 \.input names .*missing\.txt, which does not exist/);
        return true;
      },
    );
});

test('an output counts by URL, whether its file is there or not', () => {
  const path = join(directory, 'output.txt');
  const before = key(output(path));
  writeFileSync(path, 'made');
  assert.equal(key(output(path)), before);
  assert.notEqual(key(output(path)), key(file(path)));
});

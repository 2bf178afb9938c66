// Values between TypeScript and Python, by what Python itself makes of the bytes, and writes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { keywords } from '#src/task/keywords.js';
import { decode, encode } from '#src/wire/pickle.js';
import { pythonTemplate, writePythonCall } from '#src/wire/python/call.js';
import { fromPython } from '#src/wire/python/from-python.js';
import { toPython } from '#src/wire/python/to-python.js';
import { pythonOrSkip } from '../support/python.ts';

/** Runs a program that gets bytes on its input and gives bytes. */
function python(interpreter: string, code: string, input: Uint8Array = new Uint8Array(0)): Buffer {
  const { status, stdout, stderr } = spawnSync(interpreter, ['-c', code], { input });
  assert.equal(status, 0, String(stderr));
  return stdout;
}

/** What Python's own pickle makes of a value, shown by its `repr`. */
function shown(interpreter: string, value: unknown): string {
  const code = 'import pickle,sys; print(repr(pickle.loads(sys.stdin.buffer.read())))';
  return python(interpreter, code, encode(toPython(value, 'it')))
    .toString()
    .trim();
}

/** What becomes of the value of an expression. */
function given(interpreter: string, expression: string, protocol = 4): unknown {
  const code = `import pickle,sys,datetime,collections\nsys.stdout.buffer.write(pickle.dumps(${expression}, ${protocol}))`;
  const decoded = decode(python(interpreter, code));
  assert.ok(decoded.ok, decoded.ok ? '' : decoded.error.message);
  return fromPython(decoded.value, 'the result');
}

const plain = 'python3';

describe('arguments of Python functions', () => {
  const rows: readonly (readonly [unknown, string])[] = [
    [null, 'None'],
    [undefined, 'None'],
    [true, 'True'],
    [7, '7'],
    [-0, '-0.0'],
    [1.5, '1.5'],
    [2n ** 70n, '1180591620717411303424'],
    ['é', "'é'"],
    [[1, [2]], '[1, [2]]'],
    [{ a: { b: 1 } }, "{'a': {'b': 1}}"],
    [new Map([[1, 'a']]), "{1: 'a'}"],
    [new Set([3]), '{3}'],
    [Buffer.from('ab'), "b'ab'"],
    [new Uint8Array([1, 2]), "b'\\x01\\x02'"],
    [new Float32Array([0.5, 1]), '[0.5, 1.0]'],
    [new BigInt64Array([-(2n ** 40n)]), '[-1099511627776]'],
    [new URL('https://example.org/'), "'https://example.org/'"],
    [new Date(1e12), 'datetime.datetime(2001, 9, 9, 1, 46, 40, tzinfo=datetime.timezone.utc)'],
  ];
  for (const [value, expected] of rows) {
    it(`${expected} is what Python sees`, () => {
      assert.equal(shown(plain, value), expected);
    });
  }

  it('what stands in a value twice stands there twice, also in a cycle', () => {
    const list: unknown[] = [1];
    list.push(list);
    assert.equal(shown(plain, list), '[1, [...]]');
  });

  it('what Python has no place for is refused with its kind', () => {
    for (const [value, what] of [
      [/a/, /a RegExp/],
      [new Error('x'), /an error/],
      [new (class Box {})(), /an instance of Box/],
      [new Map([[{}, 1]]), /a key that is an object/],
      [new Date(Number.NaN), /a Date without a time/],
    ] as const)
      assert.throws(() => toPython(value, 'an argument of f()'), { code: 'SERIALIZATION', message: what });
  });
});

describe('values of Python functions', () => {
  const rows: readonly (readonly [string, unknown])[] = [
    ['None', null],
    ['[1, 2.0, True, "é"]', [1, 2, true, 'é']],
    ['(1, (2,))', [1, [2]]],
    ['{"a": {"b": 2**70}}', { a: { b: 2n ** 70n } }],
    ['{1: "a"}', new Map([[1, 'a']])],
    ['{1}', new Set([1])],
    ['b"ab"', Buffer.from('ab')],
    ['bytearray(b"ab")', Buffer.from('ab')],
    ['range(1, 7, 2)', [1, 3, 5]],
    ['collections.OrderedDict(a=1)', { a: 1 }],
    ['datetime.datetime(2001, 9, 9, 1, 46, 40, 5000)', new Date(1e12 + 5)],
    ['datetime.datetime(2001, 9, 9, 3, 46, 40, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))', new Date(1e12)],
  ];
  for (const [expression, expected] of rows) {
    it(`of ${expression} is what it says`, () => {
      assert.deepEqual(given(plain, expression), expected);
    });
  }

  it('of a class is refused with the name of the class', () => {
    assert.throws(() => given(plain, '__import__("fractions").Fraction(1, 3)'), {
      code: 'SERIALIZATION',
      message: /fractions\.Fraction/,
    });
  });
});

describe('arrays of numpy', () => {
  it('arrive as typed arrays, rows of them for more dimensions, and numbers as numbers', async (t) => {
    const numpy = await pythonOrSkip(t, { name: 'numpy', packages: ['numpy'] });
    if (numpy === undefined) return;
    const make = (text: string): string => `(lambda np: ${text})(__import__('numpy'))`;
    for (const protocol of [4, 5]) {
      const one = (text: string): unknown => given(numpy, make(text), protocol);
      assert.deepEqual(one('np.array([1.5, 2])'), new Float64Array([1.5, 2]));
      assert.deepEqual(one('np.array([1, 2], dtype=">i4")'), new Int32Array([1, 2]));
      assert.deepEqual(one('np.array([1, 2**40])'), new BigInt64Array([1n, 2n ** 40n]));
      assert.deepEqual(one('np.array([1, 2], dtype="uint8")'), new Uint8Array([1, 2]));
      assert.deepEqual(one('np.array([1.5, -2], dtype="float16")'), new Float32Array([1.5, -2]));
      assert.deepEqual(one('np.array([True, False])'), [true, false]);
      const rows = [new Float32Array([0, 1, 2]), new Float32Array([3, 4, 5])];
      assert.deepEqual(one('np.arange(6, dtype="f4").reshape(2, 3)'), rows);
      assert.deepEqual(one('np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3))'), rows);
      assert.equal(one('np.float64(2.5)'), 2.5);
      assert.equal(one('np.int64(7)'), 7);
      assert.throws(() => one('np.array(["a"])'), /elements of the type U1.*tolist/s);
    }
  });

  it('are what typed arrays become where numpy is', async (t) => {
    const numpy = await pythonOrSkip(t, { name: 'numpy', packages: ['numpy'] });
    if (numpy === undefined) return;
    assert.equal(shown(numpy, new Float64Array([1, 2.5])), 'array([1. , 2.5])');
    assert.equal(
      shown(numpy, [new Uint16Array([7]), new Int8Array([-1])]),
      '[array([7], dtype=uint16), array([-1], dtype=int8)]',
    );
    assert.equal(shown(numpy, Buffer.from('a')), "b'a'");
  });
});

describe("a call in Parsl's form", () => {
  it('has the function, the arguments and the keyword arguments, each with its length', () => {
    const template = pythonTemplate({ by: 'python', module: 'math', name: 'hypot', code: undefined });
    const code = `
import sys, pickle
rest, parts = sys.stdin.buffer.read(), []
while rest:
    length, rest = rest.split(b'\\n', 1)
    part, rest = rest[:int(length)], rest[int(length):]
    kind, body = part.split(b'\\n', 1)
    parts.append((kind, pickle.loads(body)))
print(parts)`;
    const buffer = writePythonCall(template, [3, [4], keywords({ base: 2 })]);
    assert.equal(
      python(plain, code, buffer).toString().trim(),
      "[(b'C2', <built-in function hypot>), (b'02', (3, [4])), (b'02', {'base': 2})]",
    );
  });

  it('is the same for the same function, so that workers keep it', () => {
    const fn = { by: 'python', module: undefined, name: 'f', code: 'def f():\n    return 1\n' } as const;
    assert.deepEqual(pythonTemplate(fn).head, pythonTemplate({ ...fn }).head);
  });
});

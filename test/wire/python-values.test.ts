// Values between TypeScript and Python, by what Python itself makes of the bytes, and writes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { keywords } from '#src/task/keywords.js';
import { decodePrefix, encode } from '#src/wire/pickle.js';
import { pythonReference, pythonTemplate, withPythonArguments, writePythonCall } from '#src/wire/python/call.js';
import { fromPython } from '#src/wire/python/from-python.js';
import { toPython } from '#src/wire/python/to-python.js';
import { ValueFiles } from '#src/wire/value-files.js';
import { pythonOrSkip } from '../support/python.ts';

/** Runs a program that gets bytes on its input and gives bytes. */
function python(interpreter: string, code: string, input: Uint8Array = new Uint8Array(0)): Buffer {
  const { status, stdout, stderr } = spawnSync(interpreter, ['-c', code], { input });
  assert.equal(status, 0, String(stderr));
  return stdout;
}

/** What Python's own pickle makes of values, each shown by its `repr`. */
function shown(interpreter: string, values: readonly unknown[]): string[] {
  const code =
    'import pickle,sys\nwhile True:\n    try: print(repr(pickle.load(sys.stdin.buffer)))\n    except EOFError: break';
  const pickles = values.map((value) => encode(toPython(value, 'it')));
  return python(interpreter, code, Buffer.concat(pickles)).toString().trim().split('\n');
}

/** What becomes of the values of expressions. */
function given(interpreter: string, expressions: readonly string[], protocol = 4): (() => unknown)[] {
  const code = `import pickle,sys,datetime,collections,fractions\nfor one in (${expressions.join(',')},): sys.stdout.buffer.write(pickle.dumps(one, ${protocol}))`;
  let rest: Uint8Array = python(interpreter, code);
  return expressions.map(() => {
    const decoded = decodePrefix(rest);
    assert.ok(decoded.ok, decoded.ok ? '' : decoded.error.message);
    const { value, used } = decoded.value;
    rest = rest.subarray(used);
    return () => fromPython(value, 'the result');
  });
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
  it('are what the table of the guide says', () => {
    const values = rows.map(([value]) => value);
    assert.deepEqual(
      shown(plain, values),
      rows.map(([, expected]) => expected),
    );
  });

  it('what stands in a value twice stands there twice, also in a cycle', () => {
    const list: unknown[] = [1];
    list.push(list);
    assert.deepEqual(shown(plain, [list]), ['[1, [...]]']);
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
  it('are what the table of the guide says', () => {
    const values = given(
      plain,
      rows.map(([expression]) => expression),
    );
    for (const [index, [expression, expected]] of rows.entries())
      assert.deepEqual(values[index]?.(), expected, expression);
  });

  it('of a class is refused with the name of the class', () => {
    assert.throws(() => given(plain, ['fractions.Fraction(1, 3)'])[0]?.(), {
      code: 'SERIALIZATION',
      message: /fractions\.Fraction/,
    });
  });
});

describe('arrays of numpy', () => {
  it('arrive as typed arrays, rows of them for more dimensions, and numbers as numbers', async (t) => {
    const numpy = await pythonOrSkip(t, { name: 'numpy', packages: ['numpy'] });
    if (numpy === undefined) return;
    const rows: readonly (readonly [string, unknown])[] = [
      ['np.array([1.5, 2])', new Float64Array([1.5, 2])],
      ['np.array([1, 2], dtype=">i4")', new Int32Array([1, 2])],
      ['np.array([1, 2**40])', new BigInt64Array([1n, 2n ** 40n])],
      ['np.array([1, 2], dtype="uint8")', new Uint8Array([1, 2])],
      ['np.array([1.5, -2], dtype="float16")', new Float32Array([1.5, -2])],
      ['np.array([True, False])', [true, false]],
      ['np.arange(6, dtype="f4").reshape(2, 3)', [new Float32Array([0, 1, 2]), new Float32Array([3, 4, 5])]],
      [
        'np.asfortranarray(np.arange(4, dtype="f4").reshape(2, 2))',
        [new Float32Array([0, 1]), new Float32Array([2, 3])],
      ],
      ['np.arange(8).reshape(2, 2, 2).transpose(2, 1, 0)[1][0]', new BigInt64Array([1n, 5n])],
      [
        'np.arange(24, dtype="u1").reshape(2, 3, 4).transpose(1, 2, 0)',
        [0, 4, 8].map((row) => [0, 1, 2, 3].map((at) => new Uint8Array([row + at, 12 + row + at]))),
      ],
      [
        'np.arange(8, dtype="u1").reshape(2, 1, 4).transpose(1, 0, 2)',
        [[new Uint8Array([0, 1, 2, 3]), new Uint8Array([4, 5, 6, 7])]],
      ],
      ['np.arange(9, dtype="i2").reshape(3, 3)[::-2, ::2]', [new Int16Array([6, 8]), new Int16Array([0, 2])]],
      ['np.frombuffer(b"ab", "u1")', new Uint8Array([97, 98])],
      ['np.zeros((2, 0))', [new Float64Array(0), new Float64Array(0)]],
      ['np.array(7.5)', 7.5],
      ['np.float64(2.5)', 2.5],
      ['np.int64(7)', 7],
    ];
    for (const protocol of [4, 5]) {
      const expressions = [...rows.map(([text]) => text), 'np.array(["a"])'];
      const values = given(
        numpy,
        expressions.map((text) => `(lambda np: ${text})(__import__('numpy'))`),
        protocol,
      );
      for (const [index, [text, expected]] of rows.entries()) assert.deepEqual(values[index]?.(), expected, text);
      assert.throws(() => values.at(-1)?.(), /elements of the type U1.*tolist/s);
    }
  });

  it('are what typed arrays become where numpy is', async (t) => {
    const numpy = await pythonOrSkip(t, { name: 'numpy', packages: ['numpy'] });
    if (numpy === undefined) return;
    assert.deepEqual(
      shown(numpy, [new Float64Array([1, 2.5]), [new Uint16Array([7]), new Int8Array([-1])], Buffer.from('a')]),
      ['array([1. , 2.5])', '[array([7], dtype=uint16), array([-1], dtype=int8)]', "b'a'"],
    );
  });
});

describe("a call in Parsl's form", () => {
  const task = { id: 7, try: 0, app: 'hypot' };

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
    const buffer = writePythonCall(template, [3, [4], keywords({ base: 2 })], task);
    assert.equal(
      python(plain, code, buffer).toString().trim(),
      "[(b'C2', <built-in function hypot>), (b'02', (3, [4])), (b'02', {'base': 2})]",
    );
  });

  it('has a reference in the place of both, where large ones are kept elsewhere, and gets them back', () => {
    const template = pythonTemplate({ by: 'python', module: 'math', name: 'hypot', code: undefined });
    const args = [Buffer.alloc(100_000, 1), keywords({ base: 2 })];
    const whole = writePythonCall(template, args, task);
    assert.equal(pythonReference(whole), undefined);
    const files = new ValueFiles(mkdtempSync(join(tmpdir(), 'chervil-call-')));
    try {
      const call = writePythonCall(template, args, task, (pieces) => files.keep('1', pieces));
      const reference = pythonReference(call);
      assert.ok(reference !== undefined && call.length < 200, 'it is short');
      assert.deepEqual(withPythonArguments(call, reference, files.bytesOf(reference)), whole);
      assert.deepEqual(
        writePythonCall(template, args, task, () => undefined),
        whole,
      );
    } finally {
      rmSync(files.directory, { recursive: true });
    }
  });

  it('is the same for the same function, so that workers keep it', () => {
    const fn = { by: 'python', module: undefined, name: 'f', code: 'def f():\n    return 1\n' } as const;
    assert.deepEqual(pythonTemplate(fn).head, pythonTemplate({ ...fn }).head);
  });
});

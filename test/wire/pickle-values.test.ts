import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pythonRepr } from '#src/wire/pickle/repr.js';
import {
  decode,
  dict,
  encode,
  encodePieces,
  field,
  isGlobal,
  type PickleValue,
  PickleWriter,
  PyByteArray,
  PyFloat,
  PyGlobal,
  PyObject,
  PySet,
  PyTuple,
  toNumber,
} from '#src/wire/pickle.js';

const latin = (text: string): Buffer => Buffer.from(text, 'latin1');

function read(pickle: Uint8Array): PickleValue {
  const result = decode(pickle);
  assert.ok(result.ok, result.ok ? '' : result.error.message);
  return result.value;
}

describe('a pickle in pieces', () => {
  test('is the same pickle, and long byte strings in it are the memory that was given', () => {
    const bytes = Buffer.alloc(100_000, 1);
    const longText = `${'ü'.repeat(50_000)}\ud83d`;
    const shared: PickleValue[] = [bytes];
    for (const value of [
      7,
      bytes,
      longText,
      'x'.repeat(65_536),
      [bytes, longText, bytes],
      new PyTuple([shared, 'between', shared, new Uint8Array(70_000), 'x'.repeat(70_000), 1]),
      dict({ a: bytes, b: Array.from({ length: 30_000 }, (_, index) => index), c: bytes.subarray(1) }),
    ] satisfies PickleValue[]) {
      const pieces = encodePieces(value);
      assert.deepEqual(Buffer.concat(pieces), Buffer.from(encode(value)));
    }
    assert.ok(encodePieces([bytes]).includes(bytes), 'no copy');
    assert.equal(encodePieces([1, 'two']).length, 1);
    assert.throws(() => encodePieces([bytes, undefined as never]), TypeError);
    assert.deepEqual(encode(5), encode(5n), 'one that was not finished leaves nothing');
  });
});

describe('Python types', () => {
  test('int and float stay apart: whole floats are PyFloat, ints beyond 2**53 - 1 bigint', () => {
    for (const value of [
      0,
      255,
      256,
      65_536,
      -1,
      2 ** 53 - 1,
      2n ** 53n,
      -(2n ** 53n),
      2n ** 2000n,
      1.5,
      Infinity,
      new PyFloat(1),
      new PyFloat(-0),
      new PyFloat(1e300),
    ])
      assert.deepStrictEqual(read(encode(value)), value);
    assert.deepStrictEqual(read(encode(5n)), 5);
    assert.deepStrictEqual(read(encode(-0)), new PyFloat(-0));
    assert.deepStrictEqual(read(encode(2 ** 60)), new PyFloat(2 ** 60));
    assert.deepStrictEqual(
      ['2', new PyFloat(2), 2, 2n ** 60n, true].map((value) => toNumber(value as PickleValue)),
      [undefined, 2, 2, 2 ** 60, undefined],
    );
  });

  test('bytes, bytearray and str stay apart, in the spelling of every protocol', () => {
    assert.deepStrictEqual(
      read(latin('\x80\x02c_codecs\nencode\nX\x03\0\0\0a\xc3\xbfX\x06\0\0\0latin1\x86R.')),
      new Uint8Array([97, 255]),
    );
    assert.deepStrictEqual(read(latin('c__builtin__\nbytes\n)R.')), new Uint8Array(0));
    assert.deepStrictEqual(
      read(latin('\x80\x02c__builtin__\nbytearray\nX\x01\0\0\0aX\x07\0\0\0latin-1\x86R.')),
      new PyByteArray(new Uint8Array([97])),
    );
    assert.deepStrictEqual(read(encode(new PyByteArray(new Uint8Array([1])))), new PyByteArray(new Uint8Array([1])));
    assert.deepStrictEqual(read(latin('\x80\x02c__builtin__\nset\n](K\x01K\x02e\x85R.')), new PySet([1, 2]));
  });

  test('texts keep lone surrogates, and bytes that are no text are refused', () => {
    for (const text of [
      '\ud800',
      'x\udfffy',
      '\ufffd\ud83d',
      '😀\ud800',
      'ü'.repeat(3_000),
      `${'a'.repeat(5_000)}\udc00`,
    ])
      assert.equal(read(encode(text)), text);
    for (const broken of ['\xff', '\xc3', '\xe0\x80\x80', '\xf4\x90\x80\x80', '\xc0\x80', '\xed\xa0'])
      assert.ok(!decode(latin(`\x80\x04\x8c${String.fromCharCode(broken.length)}${broken}.`)).ok);
  });

  test('a name of Python 2 is read under its name of Python 3, as Python 3 does', () => {
    assert.ok(isGlobal(read(latin('cexceptions\nValueError\n.')), 'builtins', 'ValueError'));
    assert.ok(isGlobal(read(latin('c__builtin__\nxrange\n.')), 'builtins', 'range'));
    assert.ok(isGlobal(read(latin('\x80\x03c__builtin__\nxrange\n.')), '__builtin__', 'xrange'));
  });

  test('an object keeps what is done to it, in order', () => {
    const object = read(
      latin('\x80\x04\x8c\x01m\x8c\x01C\x93)\x81(K\x01e\x8c\x01k\x8c\x01vs}b\x8c\x01m\x8c\x01f\x93)R0.'),
    ) as PyObject;
    assert.equal(object.made, 'new');
    assert.deepEqual(
      object.steps.map((step) => step.do),
      ['append', 'set', 'state', 'call'],
    );
    assert.deepStrictEqual(read(encode(object)), object);
  });

  test('NaN keys are two keys, as in Python', () => {
    const map = read(latin('\x80\x04}(G\x7f\xf8\0\0\0\0\0\0K\x01G\x7f\xf8\0\0\0\0\0\0K\x02u.')) as Map<
      PickleValue,
      PickleValue
    >;
    assert.equal(map.size, 2);
  });

  test('what is no pickle value is refused by name', () => {
    assert.throws(() => encode(undefined as unknown as PickleValue), /cannot pickle undefined/);
    assert.throws(() => encode([{ a: 1 } as unknown as PickleValue]), /cannot pickle Object .*use a Map for a dict/);
    assert.deepStrictEqual(read(encode(1)), 1);
  });

  test('fields are found by name, and nowhere else', () => {
    const message = read(encode(dict({ type: 'result', task_id: 7 })));
    assert.equal(field(message, 'task_id'), 7);
    assert.equal(field(message, '__proto__'), undefined);
    assert.equal(field([1], 'length'), undefined);
  });
});

describe('PickleWriter', () => {
  test('writes a message field by field, equal to the one written whole', () => {
    const writer = new PickleWriter();
    for (let round = 0; round < 2; round++) {
      writer.begin();
      writer.dictStart();
      writer.text('task_id');
      writer.int(7);
      writer.text('priority');
      writer.float(2);
      writer.text('flags');
      writer.tupleStart();
      writer.bool(true);
      writer.none();
      writer.listStart();
      writer.listEnd();
      writer.tupleEnd();
      writer.raw(Buffer.from('8c06627566666572', 'hex'));
      writer.byteString(new Uint8Array([1, 2]));
      writer.dictEnd();
      const expected = dict({
        task_id: 7,
        priority: new PyFloat(2),
        flags: new PyTuple([true, null, []]),
        buffer: new Uint8Array([1, 2]),
      });
      assert.deepStrictEqual(read(writer.finish()), expected);
    }
  });

  test('names classes, makes objects and gives them state', () => {
    const writer = new PickleWriter();
    writer.begin();
    writer.global('m', 'C');
    writer.tupleStart();
    writer.tupleEnd();
    writer.newObject();
    writer.dictStart();
    writer.text('x'.repeat(300));
    writer.int(-(2n ** 70n));
    writer.dictEnd();
    writer.state();
    const expected = new PyObject('new', new PyGlobal('m', 'C'), new PyTuple([]));
    expected.steps.push({ do: 'state', state: dict({ ['x'.repeat(300)]: -(2n ** 70n) }) });
    assert.deepStrictEqual(read(writer.finish()), expected);
  });

  test('refuses to grow beyond its limit, and works on afterwards', () => {
    const writer = new PickleWriter(100_000);
    writer.begin();
    assert.throws(() => writer.byteString(new Uint8Array(200_000)), /longer than 100000 bytes/);
    writer.begin();
    writer.int(1);
    assert.equal(read(writer.finish()), 1);
  });
});

test('pythonRepr shows values as Python does, cut when they are long', () => {
  const value = new PyTuple([
    1,
    new PyFloat(1),
    1.5e-7,
    new PyFloat(1e22),
    "it's",
    'a"\'\n',
    new Uint8Array([0, 97, 255]),
    [null, true],
    dict({ k: 2n ** 64n }),
    new PyTuple(['x']),
    new PySet([]),
  ]);
  assert.equal(
    pythonRepr(value),
    "(1, 1.0, 1.5e-07, 1e+22, \"it's\", 'a\"\\'\\n', b'\\x00a\\xff', [None, True], {'k': 18446744073709551616}, ('x',), set())",
  );
  assert.ok(pythonRepr(Array.from({ length: 100_000 }, () => 'text')).length < 2_100);
  const cycle: PickleValue[] = [];
  cycle.push(cycle);
  assert.match(pythonRepr(cycle), /\.\.\./);
});

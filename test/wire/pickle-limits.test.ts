import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  decode,
  encode,
  type PickleLimits,
  type PickleValue,
  PyFrozenSet,
  PyGlobal,
  PyObject,
  PySet,
  PyTuple,
} from '#src/wire/pickle.js';

const latin = (text: string): Buffer => Buffer.from(text, 'latin1');

function read(pickle: Uint8Array, limits?: Partial<PickleLimits>): PickleValue {
  const result = decode(pickle, limits);
  assert.ok(result.ok, result.ok ? '' : result.error.message);
  return result.value;
}

function refused(pickle: Uint8Array, code: string, pattern: RegExp, limits?: Partial<PickleLimits>): void {
  const result = decode(pickle, limits);
  assert.ok(!result.ok, 'was read');
  assert.equal(result.error.code, code);
  assert.match(result.error.message, pattern);
}

/** Lists in lists, as CPython pickles them. */
function nestedLists(depth: number): Buffer {
  return Buffer.concat([
    latin('\x80\x04'),
    Buffer.alloc(depth * 2, latin(']\x94')),
    Buffer.alloc(depth - 1, 'a'),
    latin('.'),
  ]);
}

describe('limits of reading', () => {
  test('5,000 lists within lists are read and written, 5,001 and 100,000 are refused', () => {
    const bytes = nestedLists(5_000);
    let depth = 0;
    for (let value: PickleValue | undefined = read(bytes); Array.isArray(value); value = value[0]) depth++;
    assert.equal(depth, 5_000);
    assert.ok(decode(encode(read(bytes))).ok);
    refused(nestedLists(5_001), 'LIMIT', /maxDepth = 5000/);
    refused(nestedLists(100_000), 'LIMIT', /maxDepth = 5000/);
    assert.ok(decode(encode(read(nestedLists(100_000), { maxDepth: 200_000 })), { maxDepth: 200_000 }).ok);
  });

  test('depth counts whatever the containers, and whichever way the pickle builds them', () => {
    const tuples = Buffer.concat([latin('\x80\x04)'), Buffer.alloc(10, 0x85), latin('.')]);
    read(tuples, { maxDepth: 11 });
    refused(tuples, 'LIMIT', /maxDepth/, { maxDepth: 10 });
    // From the outside in, by reference: each list is put into the one made before it.
    const inward = ['\x80\x04]\x94'];
    for (let index = 1; index <= 10; index++) inward.push(`]\x94a0h${String.fromCharCode(index)}`);
    const outermost = latin(`${inward.join('')}0h\x00.`);
    read(outermost, { maxDepth: 11 });
    refused(outermost, 'LIMIT', /maxDepth/, { maxDepth: 10 });
    // A shared part is as deep as the deepest way to it.
    const deep = read(nestedLists(6));
    refused(encode(new PyTuple([deep, [[[[deep]]]]])), 'LIMIT', /maxDepth/, { maxDepth: 10 });
    read(encode(new PyTuple([deep, [[[[deep]]]]])), { maxDepth: 11 });
  });

  test('every count is limited: bytes, containers, stack, memo, dict entries, globals', () => {
    refused(latin('\x80\x04N.'), 'LIMIT', /maxBytes = 3/, { maxBytes: 3 });
    refused(latin('\x80\x04]]]0\x85.'), 'LIMIT', /maxContainers = 2/, { maxContainers: 2 });
    refused(latin('\x80\x04NNN00.'), 'LIMIT', /maxStack = 2/, { maxStack: 2 });
    refused(latin('\x80\x04((((.'), 'LIMIT', /maxStack = 2/, { maxStack: 2 });
    refused(latin('\x80\x04N\x94\x94\x94.'), 'LIMIT', /maxMemo = 2/, { maxMemo: 2 });
    refused(latin('\x80\x04Nr\xff\xff\xff\x00r\x00\x00\x00\x01r\x01\x01\x01\x01.'), 'LIMIT', /maxMemo = 2/, {
      maxMemo: 2,
    });
    refused(latin('\x80\x04}(K\x01NK\x02NK\x03Nu.'), 'LIMIT', /maxDictEntries = 2/, { maxDictEntries: 2 });
    refused(latin('\x80\x04cbuiltins\nlen\n.'), 'LIMIT', /maxGlobals = 0/, { maxGlobals: 0 });
    read(latin('\x80\x04(C\x01aX\x01\x00\x00\x00bK\x01t.'), { maxGlobals: 0 });
  });

  test('lengths are compared with the limit and with what is there before memory is taken', () => {
    for (const text of [
      '\x95\xff\xff\xff\xff\x7f\0\0\0',
      'B\xff\xff\xff\xff',
      '\x8e\0\0\0\0\xff\0\0\0',
      '\x96\0\0\0\0\xff\0\0\0',
      'T\xff\xff\xff\x0f',
    ]) {
      refused(latin(`\x80\x04${text}.`), 'TRUNCATED', /end in the middle/);
    }
    refused(latin('\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.'), 'MALFORMED', /length/);
    refused(latin('\x80\x04X\xff\xff\xff\xff.'), 'LIMIT', /maxTextBytes/);
    refused(latin('\x80\x04\x8d\0\0\0\0\xff\0\0\0.'), 'LIMIT', /maxTextBytes/);
    refused(latin('\x80\x04\x8b\xff\xff\xff\x7f.'), 'LIMIT', /maxIntegerBytes/);
    refused(latin('\x80\x04\x8b\xff\xff\xff\xff.'), 'MALFORMED', /negative/);
    refused(latin('\x80\x04T\xff\xff\xff\xff.'), 'MALFORMED', /negative/);
    refused(latin(`L${'9'.repeat(5_000)}L\n.`), 'LIMIT', /4300/);
  });

  test('a text, however often it is referred to, is one text', () => {
    const long = 'x'.repeat(100_000);
    const references = Buffer.alloc(200_000, latin('h\x00'));
    const head = latin(`\x80\x04X\xa0\x86\x01\x00${long}\x94](`);
    const list = read(Buffer.concat([head, references, latin('e\x86.')])) as PyTuple;
    assert.equal((list.items[1] as string[]).length, 100_000);
    // Written back it is one text too, not 10 GB.
    assert.ok(encode(list).length < 600_000);
  });
});

describe('a few bytes that ask for much', () => {
  test('cannot have one list or text copied again and again by the spellings of protocol 2', () => {
    const list = `](${'N'.repeat(1_000)}eq\x00`;
    const set = 'c__builtin__\nset\nh\x00\x85R';
    assert.ok(decode(latin(`\x80\x02${list}0${set}.`)).ok);
    refused(latin(`\x80\x02${list}0(${set.repeat(100)}t.`), 'LIMIT', /again and again/);
    const encoded = 'c_codecs\nencode\nh\x00X\x06\0\0\0latin1\x86R';
    const text = `X\xe8\x03\0\0${'x'.repeat(1_000)}q\x00`;
    assert.ok(decode(latin(`\x80\x02${text}0${encoded}.`)).ok);
    refused(latin(`\x80\x02${text}0(${encoded.repeat(100)}t.`), 'LIMIT', /again and again/);
  });

  test('do not become a long pickle when written back: large ints, texts and byte strings are written once', () => {
    for (const value of [2n ** 8_000n, 'x'.repeat(1_000), new Uint8Array(1_000)]) {
      const many = Array.from({ length: 1_000 }, () => value);
      assert.ok(encode(many).length < 5_000);
      assert.deepStrictEqual(read(encode(many)), many);
    }
  });
});

describe('what data alone cannot give', () => {
  test('is refused with the reason: persistent ids, extension codes, out-of-band buffers, later protocols', () => {
    refused(latin('Pid\n.'), 'UNSUPPORTED', /persistent id/);
    refused(latin('\x80\x04K\x01Q.'), 'UNSUPPORTED', /persistent id/);
    refused(latin('\x80\x02\x82\x01.'), 'UNSUPPORTED', /extension code/);
    refused(latin('\x80\x05\x97.'), 'UNSUPPORTED', /out-of-band/);
    refused(latin('\x80\x06N.'), 'UNSUPPORTED', /protocol 6/);
    refused(latin('U\x01\xff.'), 'UNSUPPORTED', /Python 2/);
  });

  test('is never mistaken for data: wrong stacks, keys, names and texts are malformed', () => {
    for (const text of [
      '.',
      '(.',
      '0.',
      'a.',
      'u.',
      't.',
      'Nb.'.slice(1),
      'h\x00.',
      'N(.',
      '](K\x01',
      '}(K\x01u.',
      '}]Ns.',
      '(]\x91.',
      'NNR.',
      'NN\x93.',
      '\x8c\x01\xff.',
      'Ix\n.',
      'Fx\n.',
      'Sx\n.',
      'V\\u00\n.',
      'gx\n.',
    ]) {
      const result = decode(latin(text));
      assert.ok(!result.ok && ['MALFORMED', 'TRUNCATED'].includes(result.error.code), text);
    }
    refused(latin('\x80\x04]Nb.'), 'UNSUPPORTED', /neither a container/);
  });
});

describe('cycles and sharing', () => {
  test('a list in itself, a dict in its own list and an object in its own state stay what they are', () => {
    const list: PickleValue[] = [1];
    list.push(list, new PyTuple([list]), new Map<PickleValue, PickleValue>([['back', list]]));
    const again = read(encode(list)) as PickleValue[];
    assert.equal(again[1], again);
    assert.equal((again[2] as PyTuple).items[0], again);
    assert.equal((again[3] as Map<PickleValue, PickleValue>).get('back'), again);

    const object = new PyObject('new', new PyGlobal('m', 'C'), new PyTuple([]));
    object.steps.push({ do: 'state', state: new Map<PickleValue, PickleValue>([['me', object]]) });
    const read2 = read(encode(object)) as PyObject;
    assert.equal((read2.state as Map<PickleValue, PickleValue>).get('me'), read2);
  });

  test('an object among the arguments it is made with is written once', () => {
    const around: PickleValue[] = [];
    const object = new PyObject('call', new PyGlobal('m', 'f'), new PyTuple([around]));
    around.push(object, new PyFrozenSet([new PyTuple([object])]));
    const again = read(encode(new PyTuple([object, object]))) as PyTuple;
    assert.equal(again.items[0], again.items[1]);
    const inner = (again.items[0] as PyObject).args.items[0] as PickleValue[];
    assert.equal(inner[0], again.items[0]);
  });

  test('one list twice stays one list, and a doubling chain of tuples stays short', () => {
    const shared: PickleValue[] = [];
    const [one, other] = (read(encode(new PyTuple([shared, shared]))) as PyTuple).items;
    assert.equal(one, other);
    let doubled = new PyTuple([0]);
    for (let level = 0; level < 64; level++) doubled = new PyTuple([doubled, doubled]);
    const bytes = encode(doubled);
    assert.ok(bytes.length < 1_000);
    assert.ok(decode(bytes).ok);
    refused(bytes, 'LIMIT', /maxDepth/, { maxDepth: 60 });
  });

  test('a tuple that contains itself cannot be pickled, and says so', () => {
    const tuple = new PyTuple([]);
    tuple.items.push(tuple);
    assert.throws(() => encode(tuple), /contains itself/);
    assert.deepEqual(read(encode(new PySet([1]))), new PySet([1]));
  });
});

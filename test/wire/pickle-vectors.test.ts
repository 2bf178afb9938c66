import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decode, decodePrefix, encode, field, type PickleValue, PyTuple } from '#src/wire/pickle.js';
import { PicklePeer, whyNoPython } from './pickle-peer.ts';
import { allSamples, captured, exceptions, handMade, malformed } from './pickle-samples.ts';

const skip = whyNoPython();

function read(bytes: Uint8Array): PickleValue {
  const result = decode(bytes);
  assert.ok(result.ok, result.ok ? '' : result.error.message);
  return result.value;
}

describe('pickles of real peers', () => {
  test('every captured message is read, and read again the same after being written', () => {
    assert.ok(captured.length > 300);
    for (const { name, bytes } of [...captured, ...exceptions, ...handMade]) {
      const value = read(bytes);
      assert.deepStrictEqual(read(encode(value)), value, name);
    }
  });

  test('of the messages sent to break an interchange only the truncated one is no pickle', () => {
    const unread = malformed.filter(({ bytes }) => !decode(bytes).ok).map(({ name }) => name);
    assert.deepEqual(unread, ['malformed-interchange res_truncated']);
  });

  test('CPython finds a message written back equal to the captured one', { skip }, async (t) => {
    const peer = new PicklePeer();
    t.after(() => peer.close());
    for (const { name, bytes } of [...captured, ...exceptions, ...handMade]) {
      await assert.doesNotReject(peer.same(bytes, encode(read(bytes))), name);
    }
  });

  test('a list of a million ints is read', () => {
    const numbers = Array.from({ length: 1_000_000 }, (_, index) => index);
    assert.deepEqual(read(encode(numbers)), numbers);
  });

  test('the codes that an interchange sends are byte for byte those of Python', () => {
    assert.equal(Buffer.from(encode(4294967295)).toString('hex'), '80049508000000000000008a05ffffffff002e');
    assert.equal(Buffer.from(encode(4294967294)).toString('hex'), '80049508000000000000008a05feffffff002e');
    assert.equal(Buffer.from(encode([])).toString('hex'), '80045d942e');
    assert.equal(Buffer.from(encode(54731)).toString('hex'), '80049504000000000000004dcbd52e');
  });
});

describe('incomplete pickles', () => {
  test('every sample cut short anywhere is truncated, and given byte by byte it is read at its last byte', () => {
    for (const { name, bytes } of allSamples) {
      const whole = decodePrefix(bytes);
      if (!whole.ok) continue;
      for (let length = 0; length < whole.value.used; length++) {
        const result = decodePrefix(bytes.subarray(0, length));
        assert.ok(!result.ok && result.error.code === 'TRUNCATED', `${name} cut to ${length} bytes`);
      }
      assert.deepStrictEqual(decodePrefix(bytes.subarray(0, whole.value.used)), whole);
    }
  });

  test('after every failure the next pickle is read as if nothing had happened', () => {
    const [message] = captured;
    const expected = read(message!.bytes);
    for (const broken of ['', '8004', '80045d', '8004280101', '80046801', 'ff', '80044e2e00', '8004952e']) {
      assert.ok(!decode(Buffer.from(broken, 'hex')).ok, broken);
      assert.deepStrictEqual(read(message!.bytes), expected);
    }
  });

  test('what follows a pickle is an error for decode, and left to the caller by decodePrefix', () => {
    const bytes = Buffer.concat([encode(new Map([['poll_period', 10]])), Buffer.from('rest')]);
    const strict = decode(bytes);
    assert.ok(!strict.ok && strict.error.code === 'TRAILING' && strict.error.offset === bytes.length - 4);
    const result = decodePrefix(bytes);
    assert.ok(result.ok);
    assert.equal(bytes.subarray(result.value.used).toString(), 'rest');
    assert.equal(field(result.value.value, 'poll_period'), 10);
  });

  test('an error says what is wrong and where', () => {
    const result = decode(Buffer.from('80044b01ff2e', 'hex'));
    assert.deepEqual(result, {
      ok: false,
      error: { code: 'MALFORMED', offset: 4, message: 'not a pickle we can read: unknown opcode 0xff, at byte 4' },
    });
  });
});

describe('byte strings', () => {
  test('are views of the input, wherever it lies in its buffer', () => {
    const backing = Buffer.alloc(100);
    const pickle = encode(new PyTuple([new Uint8Array([1, 2, 3]), 'x']));
    backing.set(pickle, 17);
    const value = read(backing.subarray(17, 17 + pickle.length)) as PyTuple;
    assert.deepEqual(value.items[0], new Uint8Array([1, 2, 3]));
    assert.equal((value.items[0] as Uint8Array).buffer, backing.buffer);
  });

  test('of 64 KiB and more stand outside of frames, as CPython writes them', { skip }, async (t) => {
    const peer = new PicklePeer();
    t.after(() => peer.close());
    const value = new PyTuple([
      1,
      new Uint8Array(70_000).fill(5),
      'é'.repeat(40_000),
      Array.from({ length: 60_000 }, (_, index) => index),
    ]);
    const bytes = encode(value);
    assert.deepStrictEqual(read(bytes), value);
    assert.deepStrictEqual(read(await peer.echo(bytes, 4)), value);
  });
});

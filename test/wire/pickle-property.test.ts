import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  decode,
  encode,
  type PickleValue,
  PyByteArray,
  PyFloat,
  PyFrozenSet,
  PyGlobal,
  PyObject,
  PySet,
  PyTuple,
} from '#src/wire/pickle.js';
import { readPythonFailure } from '#src/wire/python-failures.js';
import { PicklePeer, whyNoPython } from './pickle-peer.ts';
import { allSamples } from './pickle-samples.ts';

const seed = Number(process.env['CHERVIL_SEED'] ?? Date.now() % 2 ** 31);
const skip = whyNoPython();

// Values that survive a way through Python unchanged: keys that Python tells apart, globals that it has.
const texts = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', 'task_id', '\ud800', 'a\udfff', '\ufffd', '\n\\u0041\r'),
);
const floats = fc.double().map((value) => (Number.isInteger(value) ? new PyFloat(value) : value));
const integers = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(255, 256, 65535, 65536, -1, 2 ** 31, -(2 ** 31)),
);
const bigs = fc
  .bigInt({ min: -(2n ** 2100n), max: 2n ** 2100n })
  .map((value) => (value >= -(2n ** 53n) && value <= 2n ** 53n ? value + 2n ** 60n : value));
const bytes = fc.uint8Array({ size: 'medium' });
const leaves: fc.Arbitrary<PickleValue> = fc.oneof(
  fc.constantFrom(null, true, false, new PyGlobal('builtins', 'len'), new PyGlobal('collections', 'OrderedDict')),
  ...[texts, floats, integers, bigs, bytes, bytes.map((value) => new PyByteArray(value))],
);
const members = fc.uniqueArray(fc.oneof(texts, fc.integer({ min: 2 })), { maxLength: 5 });
const { value: values } = fc.letrec<{ value: PickleValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    leaves,
    fc.array(tie('value'), { maxLength: 6 }),
    fc.array(tie('value'), { maxLength: 6 }).map((items) => new PyTuple(items)),
    fc
      .array(fc.tuple(fc.oneof(texts, fc.integer({ min: 2 })), tie('value')), { maxLength: 6 })
      .map((entries) => new Map(entries)),
    members.map((items) => new PySet(items)),
    members.map((items) => new PyFrozenSet(items)),
    fc.double({ noNaN: true }).map((real) => {
      const part = Number.isInteger(real) ? new PyFloat(real) : real;
      return new PyObject('call', new PyGlobal('builtins', 'complex'), new PyTuple([part, 0.5]));
    }),
  ),
}));

/** The value with the members of sets in a fixed order, since Python has its own. */
function ordered(value: PickleValue): PickleValue {
  if (value instanceof PySet) return new PySet(sorted(value.items));
  if (value instanceof PyFrozenSet) return new PyFrozenSet(sorted(value.items));
  if (value instanceof PyTuple) return new PyTuple(value.items.map(ordered));
  if (Array.isArray(value)) return value.map(ordered);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, ordered(item)]));
  return value;
}

function sorted(items: PickleValue[]): PickleValue[] {
  const name = (item: PickleValue): string => `${typeof item} ${JSON.stringify(item)}`;
  return [...items].sort((one, other) => (name(one) < name(other) ? -1 : 1));
}

function read(pickle: Uint8Array): PickleValue {
  const result = decode(pickle);
  assert.ok(result.ok, result.ok ? '' : `${result.error.message}: ${Buffer.from(pickle).toString('hex')}`);
  return result.value;
}

describe('random values', () => {
  test('are read as they were written', (t) => {
    t.diagnostic(`seed ${seed}`);
    fc.assert(
      fc.property(values, (value) => assert.deepStrictEqual(read(encode(value)), value)),
      { seed, numRuns: 2_000 },
    );
  });

  test('come back unchanged from CPython in every protocol', { skip }, async (t) => {
    t.diagnostic(`seed ${seed}`);
    const peer = new PicklePeer();
    t.after(() => peer.close());
    await fc.assert(
      fc.asyncProperty(values, fc.integer({ min: 0, max: 5 }), async (value, protocol) => {
        assert.deepStrictEqual(ordered(read(await peer.echo(encode(value), protocol))), ordered(value));
      }),
      { seed, numRuns: 2_000 },
    );
  });

  test('of CPython, with objects, sharing and cycles, are equal for CPython when we write them back', {
    skip,
  }, async (t) => {
    t.diagnostic(`seed ${seed}`);
    const peer = new PicklePeer();
    t.after(() => peer.close());
    for (let run = 0; run < 3_000; run++) {
      const protocol = run % 6;
      const theirs = await peer.make(`${seed} ${run}`, protocol);
      await assert.doesNotReject(
        peer.same(theirs, encode(read(theirs))),
        `value ${run} of seed ${seed}, protocol ${protocol}`,
      );
    }
  });
});

describe('hostile bytes', () => {
  test('200,000 random changes to sound pickles give a value or an error, never an exception or a hang', (t) => {
    t.diagnostic(`seed ${seed}`);
    const random = randomBelow(seed);
    const samples = allSamples.map((sample) => sample.bytes);
    let read = 0;
    for (let run = 0; run < 200_000; run++) {
      const bytes = Buffer.from(samples[random(samples.length)]!);
      for (let change = 1 + random(4); change > 0; change--) mutate(bytes, random);
      const length = random(8) === 0 ? random(bytes.length + 1) : bytes.length;
      const result = decode(bytes.subarray(0, length));
      if (!result.ok) continue;
      read++;
      if (run % 8 !== 0) continue;
      const failure = readPythonFailure(result.value);
      assert.equal(typeof failure.ok, 'boolean');
      assert.ok(decode(encode(result.value)).ok, bytes.toString('hex'));
    }
    assert.ok(read > 1_000, `only ${read} were read`);
  });

  test('random bytes that start like a pickle give a value or an error', (t) => {
    t.diagnostic(`seed ${seed}`);
    const random = randomBelow(seed + 1);
    for (let run = 0; run < 50_000; run++) {
      const bytes = Buffer.alloc(2 + random(60));
      for (let index = 0; index < bytes.length; index++) bytes[index] = opcodes[random(opcodes.length)]!;
      if (run % 2 === 0) bytes.writeUInt16BE(0x8004, 0);
      const result = decode(bytes);
      if (result.ok) encode(result.value);
    }
  });
});

const opcodes = Buffer.from(
  '().0122FGIJKLMNPQRSTUVX]abcdeghijlopqrstu}\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8c\x8f\x90\x91\x92\x93\x94\x00\x01\x02\n',
  'latin1',
);

function mutate(bytes: Buffer, random: (below: number) => number): void {
  const at = random(bytes.length);
  switch (random(4)) {
    case 0:
      bytes[at] = random(256);
      return;
    case 1:
      bytes[at] = opcodes[random(opcodes.length)]!;
      return;
    case 2:
      bytes[at] = bytes[at]! ^ (1 << random(8));
      return;
    default:
      bytes.copyWithin(at, random(bytes.length), bytes.length);
  }
}

/** Whole numbers below a bound, the same ones for the same seed. */
function randomBelow(start: number): (below: number) => number {
  let state = start | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

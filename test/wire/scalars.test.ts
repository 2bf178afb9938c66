// Numbers that a Python program may give where it says how a task is to run, and what is none.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plainScalar } from '#src/wire/messages/scalar.js';
import { readTask, writeTask } from '#src/wire/messages.js';
import {
  decode,
  dict,
  encode,
  field,
  type PickleValue,
  PyFloat,
  PyGlobal,
  PyObject,
  PyTuple,
} from '#src/wire/pickle.js';
import { sure } from '../interchange/builders.ts';

/** The release of numpy and the type, what it pickled, and the number that it was. */
const numbers: readonly (readonly [string, string, PickleValue])[] = [
  [
    '2.4, int64',
    '8004956a000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02693894898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624308030000000000000094869452942e',
    3n,
  ],
  [
    '2.4, int64',
    '8004956a000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02693894898887945294284b038c013c944e4e4e4affffffff4affffffff4b00749462430800000000000000f094869452942e',
    -(2n ** 60n),
  ],
  [
    '2.4, uint64',
    '8004956a000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02753894898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624308000000000000008094869452942e',
    2n ** 63n,
  ],
  [
    '2.4, int32',
    '80049566000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02693494898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624304ffffffff94869452942e',
    -1,
  ],
  [
    '2.4, int16',
    '80049564000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02693294898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624302050094869452942e',
    5,
  ],
  [
    '2.4, uint8',
    '80049563000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02753194898887945294284b038c017c944e4e4e4affffffff4affffffff4b007494624301c894869452942e',
    200,
  ],
  [
    '2.4, bool',
    '80049563000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02623194898887945294284b038c017c944e4e4e4affffffff4affffffff4b0074946243010194869452942e',
    true,
  ],
  [
    '2.4, float32',
    '80049566000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02663494898887945294284b038c013c944e4e4e4affffffff4affffffff4b0074946243040000003f94869452942e',
    new PyFloat(0.5),
  ],
  [
    '2.4, float64',
    '8004956a000000000000008c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02663894898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624308000000000000044094869452942e',
    new PyFloat(2.5),
  ],
  [
    '1.26, int64',
    '80049569000000000000008c156e756d70792e636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02693894898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624308030000000000000094869452942e',
    3n,
  ],
  [
    '1.26, float64',
    '80049569000000000000008c156e756d70792e636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02663894898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624308000000000000044094869452942e',
    new PyFloat(2.5),
  ],
];

/** A task with `priority` numpy.int64(3) and `num_nodes` numpy.int64(4), as CPython pickles it: the second refers to the type of the first. */
const both =
  '800495d4000000000000007d94288c077461736b5f6964944b078c07636f6e74657874947d948c0d7265736f757263655f73706563947d94288c087072696f72697479948c166e756d70792e5f636f72652e6d756c74696172726179948c067363616c61729493948c056e756d7079948c0564747970659493948c02693894898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624308030000000000000094869452948c096e756d5f6e6f646573946809680f43080400000000000000948694529475738c0662756666657294430378797a94752e';

const value = (hex: string): PickleValue => {
  const decoded = decode(Buffer.from(hex, 'hex'));
  sure(decoded.ok);
  return decoded.value;
};
const task = (spec: Record<string, PickleValue>): Uint8Array =>
  encode(dict({ task_id: 7, context: dict({ resource_spec: dict(spec) }), buffer: Buffer.from('xyz') }));
const decimal = new PyObject('call', new PyGlobal('decimal', 'Decimal'), new PyTuple(['1.5']));

describe('numbers of numpy', () => {
  for (const [name, hex, expected] of numbers) {
    const shown = expected instanceof PyFloat ? expected.value : String(expected);
    it(`${name}: ${shown}`, () => assert.deepEqual(plainScalar(value(hex)), expected));

    it(`${name}: ${shown}, as a priority`, () => {
      const read = readTask(task({ priority: value(hex) }));
      sure(read.ok);
      assert.equal(read.value.priority, Number(expected instanceof PyFloat ? expected.value : expected));
    });
  }

  it('go to pools as plain numbers, which need no numpy then', () => {
    const read = readTask(Buffer.from(both, 'hex'));
    sure(read.ok);
    const { taskId, priority, bytes, start, end } = read.value;
    assert.deepEqual([taskId, priority], [7, 3]);
    const passedOn = decode(Buffer.concat([Buffer.from([0x80, 4]), bytes.subarray(start, end), Buffer.from('.')]));
    sure(passedOn.ok);
    const spec = field(field(passedOn.value, 'context'), 'resource_spec');
    assert.deepEqual(spec, dict({ priority: 3, num_nodes: 4 }));
    assert.deepEqual(field(passedOn.value, 'buffer'), new Uint8Array(Buffer.from('xyz')));
  });

  it('of other types, or cut, or of other modules, are none', () => {
    const [, hex] = numbers[0] as (typeof numbers)[number];
    const change = (from: string, to: string): PickleValue =>
      value(Buffer.from(Buffer.from(hex, 'hex').toString('latin1').replace(from, to), 'latin1').toString('hex'));
    for (const other of [
      change('i8', 'c8'),
      change('i8', 'i4'),
      change('i8', 'x8'),
      change('multiarray', 'otherarray'),
    ])
      assert.equal(plainScalar(other), undefined);
    for (const other of [3, 'i8', null, new Map(), decimal, undefined]) assert.equal(plainScalar(other), undefined);
    assert.deepEqual(plainScalar(change('<', '>')), 0x0300000000000000n);
  });
});

describe('what a task brings beside numbers', () => {
  it('is refused in no time however widely it is shared', () => {
    const begin = '\x80\x04}(\x8c\x07task_idK\x07\x8c\x06bufferC\x01x\x8c\x07context';
    // Lists of eight times the one before, thirty of them.
    let lists = `${begin}}\x8c\x01a]\x94`;
    for (let level = 1; level <= 30; level++) {
      const before = `h${String.fromCharCode(level - 1)}`;
      lists += `]\x94(${before.repeat(8)}e00h${String.fromCharCode(level)}`;
    }
    // A key of tuples of twice the one before, forty of them.
    let tuples = `${begin}})\x94`;
    for (let level = 1; level <= 40; level++) {
      const before = `h${String.fromCharCode(level - 1)}`;
      tuples += `0${before}${before}\x86\x94`;
    }
    for (const frame of [`${lists}su.`, `${tuples}Nsu.`]) {
      const from = performance.now();
      assert.ok(!readTask(Buffer.from(frame, 'latin1')).ok);
      assert.ok(performance.now() - from < 10_000, `${performance.now() - from} ms`);
    }
  });

  it('is named no longer than a line', () => {
    const strange = new PyObject('call', new PyGlobal('m'.repeat(10_000), 'x'), new PyTuple([]));
    const frame = encode(dict({ task_id: 7, ['k'.repeat(10_000)]: strange, buffer: Buffer.from('x') }));
    const read = readTask(frame);
    assert.ok(!read.ok && read.error.reason.length < 400, String(read.ok));
  });

  it('of numpy is named by its type', () => {
    const [, hex] = numbers[0] as (typeof numbers)[number];
    const half = Buffer.from(Buffer.from(hex, 'hex').toString('latin1').replace('i8', 'f2'), 'latin1');
    const read = readTask(task({ priority: value(half.toString('hex')) }));
    assert.deepEqual(
      read.ok ? undefined : read.error.reason,
      "its priority is a number of numpy's type f2, which is not known as a number here: give one with int(...) or float(...)",
    );
  });
});

describe('a priority', () => {
  it('of True or False is 1 or 0, as where Python compares them', () => {
    for (const [given, expected] of [
      [true, 1],
      [false, 0],
    ] as const) {
      const context = dict({ resource_spec: dict({ priority: given }) });
      const read = readTask(writeTask({ taskId: 7, context, buffer: Buffer.from('xyz') }));
      sure(read.ok);
      assert.equal(read.value.priority, expected);
    }
  });

  it('that is no number is said to be what it is, and what to do', () => {
    const reasons = [task({ priority: decimal }), task({ priority: 'high' }), task({ num_nodes: decimal })].map(
      (frame) => {
        const read = readTask(frame);
        return read.ok ? undefined : [read.error.taskId, read.error.reason];
      },
    );
    assert.deepEqual(reasons, [
      [
        7,
        'its priority is a decimal.Decimal, which is not known as a number here: give one with int(...) or float(...)',
      ],
      [7, 'its priority is no number: give one with int(...) or float(...)'],
      [
        7,
        'its context has a decimal.Decimal in it, where plain data belongs: for a number give one with int(...) or float(...)',
      ],
    ]);
  });
});

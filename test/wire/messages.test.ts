import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  eraOfRelease,
  type InterchangeFailure,
  LateTask,
  readCommand,
  readConfig,
  readInterchangeMessage,
  readItem,
  readManagerMessage,
  readManagers,
  readOutcome,
  readReply,
  readStatus,
  readTask,
  readTaskBatch,
  translation,
  writeCommand,
  writeConfig,
  writeFailure,
  writeInterchangeWord,
  writeManagerMessage,
  writeMonitoringItem,
  writeNodeInfo,
  writeOutcome,
  writeReply,
  writeTask,
  writeTaskBatch,
} from '#src/wire/messages.js';
import { decode, encode, field, type PickleValue, PyByteArray, PyGlobal, PyObject, PyTuple } from '#src/wire/pickle.js';
import { toBytes } from '#src/wire/values.js';
import { registration, seeded, sure, withSeed } from '../interchange/builders.ts';
import { captured, malformed, releases } from './vectors.ts';

/** The value of a pickle that must be one. */
function value(frame: Uint8Array): PickleValue {
  const decoded = decode(frame);
  sure(decoded.ok, decoded.ok ? '' : decoded.error.message);
  return decoded.value;
}

const stored = ({
  bytes,
  start,
  end,
}: ReturnType<typeof head>): { slab: Uint8Array; offset: number; length: number } => ({
  slab: bytes,
  offset: start,
  length: end - start,
});

function head(frame: Uint8Array) {
  const task = readTask(frame);
  sure(task.ok, task.ok ? '' : task.error.reason);
  return task.value;
}

const dictOf = (fields: Record<string, PickleValue>): PickleValue => new Map(Object.entries(fields));

describe('pools since 2026.10.05', () => {
  it('send an item as the whole message', () => {
    const frame = writeOutcome({ taskId: 7, isException: false, bytes: Buffer.from('02\nN.') });
    const read = readManagerMessage([frame]);
    sure(read.ok && read.value.type === 'result');
    assert.deepEqual(read.value.items, [{ kind: 'outcome', taskId: 7, frame }]);
    const monitoring = readManagerMessage([writeMonitoringItem('payload')]);
    sure(monitoring.ok && monitoring.value.type === 'result');
    assert.equal(monitoring.value.items[0]?.kind, 'monitoring');
    const broken = readManagerMessage([encode(dictOf({ type: 'result', task_id: 7 }))]);
    sure(broken.ok && broken.value.type === 'result');
    assert.equal(broken.value.items[0]?.kind, 'unreadable');
  });

  it('say when they want to drain, unless that is never', () => {
    for (const drainTime of [1.8e9, Number.POSITIVE_INFINITY]) {
      const read = readManagerMessage([
        writeManagerMessage({ type: 'registration', registration: registration({ drainTime }) }),
      ]);
      sure(read.ok && read.value.type === 'registration');
      assert.equal(read.value.registration.drainTime, Number.isFinite(drainTime) ? drainTime : undefined);
    }
  });
});

describe('captured messages', () => {
  for (const release of releases) {
    it(`of Parsl ${release} are all read`, () => {
      let seen = 0;
      for (const message of captured(release)) {
        const { channel, from, frames } = message;
        const what = `${message.scenario} ${channel} ${message.kind}`;
        seen++;
        if (channel === 'tasks') {
          for (const frame of frames) {
            const task = head(frame);
            assert.equal(task.taskId, field(value(frame), 'task_id'), what);
            assert.deepEqual(value(writeTaskBatch([stored(task)])), [value(frame)], what);
            const envelopes = { '2024.09.02': 'bare', '2025.06.30': 'resource_spec', '2026.07.27': 'context' } as const;
            assert.equal(task.envelope, envelopes[release], what);
          }
        } else if (channel === 'command') {
          const frame = frames[0] as Uint8Array;
          if (from === 'submit') assert.notEqual(readCommand(frame).name, 'unknown', what);
          else sure(readReply(frame).ok, what);
        } else if (channel === 'results') {
          for (const frame of frames) {
            const item = readItem(frame);
            assert.notEqual(item.kind, 'unreadable', what);
            if (item.kind === 'outcome') sure(readOutcome(frame).ok, what);
          }
        } else if (from === 'pool') {
          const port =
            channel === 'manager' ? 'single' : channel === 'manager-task-port' ? 'tasks' : ('results' as const);
          const read = readManagerMessage(frames, port);
          sure(read.ok, what);
          if (read.value.type === 'result') {
            for (const item of read.value.items) assert.notEqual(item.kind, 'unreadable', what);
          }
        } else {
          const read = readInterchangeMessage(frames);
          sure(read.ok, what);
          if (read.value.type === 'tasks') sure(readTaskBatch(read.value.value).ok, what);
        }
      }
      sure(seen > 50);
    });
  }

  it('to pools are written as Parsl does: heartbeat, drained, probe', () => {
    for (const release of releases) {
      const style = release === '2024.09.02' ? 'two-port' : 'one-port';
      const words = { heartbeat_reply: 'heartbeat', drained_code: 'drained', connection_probe_reply: 'probe' } as const;
      for (const message of captured(release)) {
        const type = words[message.kind as keyof typeof words];
        if (type === undefined) continue;
        const written = writeInterchangeWord({ type }, style);
        assert.deepEqual(
          written.map((frame) => Buffer.from(frame).toString('hex')),
          message.frames.map((frame) => Buffer.from(frame).toString('hex')),
        );
      }
    }
  });

  it('of a version mismatch mean the same as ours', () => {
    const message = captured('2026.07.27').find(({ kind }) => kind === 'version_mismatch');
    sure(message?.frames[0]);
    const failure: InterchangeFailure = {
      kind: 'version mismatch',
      interchange: 'py.v=3.11 parsl.v=1.3.0-dev',
      manager: 'py.v=3.11 parsl.v=9.9.9',
    };
    const theirs = readOutcome(message.frames[0]);
    const ours = readOutcome(writeFailure(-1, failure));
    sure(theirs.ok && ours.ok);
    assert.equal(ours.value.taskId, -1);
    assert.deepEqual(value(ours.value.bytes.subarray(3)), value(theirs.value.bytes.subarray(3)));
  });

  it('that register are read the same from JSON and from a pickle', () => {
    const read = (release: (typeof releases)[number], port: 'tasks' | 'single') => {
      const message = captured(release).find(({ kind }) => kind === 'registration');
      const found = readManagerMessage(message?.frames ?? [], port);
      sure(found.ok && found.value.type === 'registration');
      return { ...found.value.registration, startTime: 0 };
    };
    assert.deepEqual(read('2024.09.02', 'tasks'), read('2026.07.27', 'single'));
  });
});

describe('malformed messages', () => {
  for (const row of malformed()) {
    it(`${row.case} never throws, and says what is wrong`, () => {
      const frames = row.frames.map((frame) => frame ?? encode(Array.from({ length: 100_000 }, (_, at) => at)));
      if (row.socket === 'task') {
        for (const frame of frames) {
          const task = readTask(frame);
          const isFine = ['task_no_context', 'task_resource_spec_key_only', 'task_id_negative', 'task_two_frames'];
          assert.equal(task.ok, isFine.includes(row.case));
          if (!task.ok && /resource_spec|priority|bytearray/.test(row.case)) assert.equal(task.error.taskId, 5);
        }
      } else if (row.socket === 'command') {
        const command = readCommand(frames[0] as Uint8Array);
        const isHold = row.case === 'cmd_hold_worker_str';
        assert.equal(command.name, isHold ? 'hold manager' : 'unknown');
      } else {
        const read = readManagerMessage(frames);
        if (row.case.startsWith('res_')) sure(read.ok && read.value.type === 'result');
        if (row.case === 'res_good_then_bad') {
          sure(read.ok && read.value.type === 'result');
          assert.deepEqual(
            read.value.items.map((item) => item.kind),
            ['outcome', 'unreadable'],
          );
        }
        if (
          /proto[025]|unregistered|twice|identity|missing_packages|overrides|block_id_int|capacity_float|other_encoding/.test(
            row.case,
          )
        ) {
          sure(read.ok || row.case === 'ctl_unknown_type_unregistered', row.case);
        } else if (/^(ctl|reg)/.test(row.case) && row.case !== 'reg_missing_max_capacity') {
          sure(!read.ok, row.case);
        }
      }
    });
  }

  it('of any kind never throw, and what was read of a task can stand in a batch', () => {
    withSeed((seed) => {
      const random = seeded(seed);
      const samples = releases.flatMap((release) => captured(release).flatMap(({ frames }) => frames));
      for (let round = 0; round < 30_000; round++) {
        const frame = Buffer.from(samples[Math.floor(random() * samples.length)] as Uint8Array);
        const changes = Math.floor(random() * 4);
        for (let change = 0; change < changes && frame.length > 0; change++) {
          frame[Math.floor(random() * frame.length)] = Math.floor(random() * 256);
        }
        const cut = random() < 0.2 ? frame.subarray(0, Math.floor(random() * frame.length)) : frame;
        readItem(cut);
        readCommand(cut);
        readManagerMessage([cut, cut]);
        readInterchangeMessage([cut]);
        readConfig(cut);
        const task = readTask(cut);
        if (!task.ok) continue;
        const good = head(writeTask({ taskId: 1, buffer: new Uint8Array(3), context: new Map() }));
        const batch = value(writeTaskBatch([stored(good), stored(task.value), stored(good)]));
        sure(Array.isArray(batch) && batch.length === 3);
        assert.equal(Number(field(batch[1], 'task_id')), task.value.taskId);
        assert.deepEqual(batch[2], value(writeTask({ taskId: 1, buffer: new Uint8Array(3), context: new Map() })));
      }
    });
  });
});

describe('tasks', () => {
  const buffer = new Uint8Array([1, 2, 3]);

  it('are written in the form of each era', () => {
    const context = dictOf({ resource_spec: dictOf({ priority: 2 }) });
    const keys = (envelope: 'bare' | 'resource_spec' | 'context') =>
      Array.from((value(writeTask({ taskId: 7, buffer, context }, envelope)) as Map<string, PickleValue>).keys());
    assert.deepEqual(keys('bare'), ['task_id', 'buffer']);
    assert.deepEqual(keys('resource_spec'), ['task_id', 'resource_spec', 'buffer']);
    assert.deepEqual(keys('context'), ['task_id', 'context', 'buffer']);
  });

  it('tell id, priority and runtime without being built', () => {
    for (const priority of [0, -3, 2.5, 70_000, 2 ** 40]) {
      const context = dictOf({ resource_spec: dictOf({ priority }), runtime: 'node' });
      const task = head(writeTask({ taskId: 2 ** 33, buffer, context }));
      assert.deepEqual([task.taskId, task.priority, task.runtime], [2 ** 33, priority, 'node']);
    }
    const old = head(
      writeTask({ taskId: 3, buffer, context: dictOf({ resource_spec: dictOf({ priority: 5 }) }) }, 'resource_spec'),
    );
    assert.equal(old.priority, 5);
  });

  it('whose executor has arguments named like ours are not misread', () => {
    const k = dictOf({ priority: 1, runtime: 'node', task_id: 99 });
    const task = head(
      writeTask({ taskId: 4, buffer, context: dictOf({ task_executor: dictOf({ f: 'a.b', a: new PyTuple([]), k }) }) }),
    );
    assert.deepEqual([task.taskId, task.priority, task.runtime], [4, undefined, undefined]);
  });

  it('that refer to their memo, have several frames or are long pass unchanged in meaning', () => {
    const shared = dictOf({ x: 1 });
    const context = dictOf({ task_executor: dictOf({ f: 'm.f', a: new PyTuple([shared, shared]), k: new Map() }) });
    for (const size of [10, 300, 70_000, 200_000]) {
      const frame = encode(dictOf({ task_id: 5, context, buffer: new Uint8Array(size).fill(7), extra: 'kept' }));
      const body = head(frame);
      const plain = head(writeTask({ taskId: 6, buffer, context: new Map() }));
      assert.deepEqual(value(writeTaskBatch([stored(plain), stored(body), stored(plain)])), [
        value(writeTask({ taskId: 6, buffer, context: new Map() })),
        value(frame),
        value(writeTask({ taskId: 6, buffer, context: new Map() })),
      ]);
    }
  });

  it('alone in a message are the same whether it is put together now or when it leaves', () => {
    for (const size of [0, 10, 300, 70_000]) {
      const frame = writeTask({ taskId: 5, buffer: new Uint8Array(size).fill(7), context: new Map() });
      const { slab, offset, length } = stored(head(frame));
      let holders = 0;
      const place = { bytes: slab, hold: () => holders++, release: () => holders-- };
      const late = new LateTask(place, offset, length);
      assert.equal(holders, 1, 'its bytes must not change until it leaves');
      const target = Buffer.alloc(late.length + 5, 0xee);
      late.writeTo(target, 3);
      assert.equal(holders, 0);
      assert.deepEqual(target.subarray(3, -2), Buffer.from(writeTaskBatch([{ slab, offset, length }])));
      assert.deepEqual([...target.subarray(0, 3), ...target.subarray(-2)], [0xee, 0xee, 0xee, 0xee, 0xee]);
    }
  });

  it('with a readable id and a broken rest keep the id', () => {
    const frame = writeTask({ taskId: 8, buffer, context: new Map() });
    const cut = readTask(frame.subarray(0, frame.length - 4));
    sure(!cut.ok && cut.error.taskId === 8);
    const context = encode(dictOf({ task_id: 9, context: 5, buffer }));
    const wrong = readTask(context);
    sure(!wrong.ok && wrong.error.taskId === 9);
    const object = readTask(encode(dictOf({ task_id: 10, context: new Map(), buffer: new PyGlobal('os', 'system') })));
    sure(!object.ok && object.error.taskId === 10);
  });

  it('are completed for pools of an era that looks for other keys', () => {
    const spec = dictOf({ priority: 1 });
    const context = dictOf({ resource_spec: spec });
    const inContext = writeTask({ taskId: 1, buffer, context }, 'context');
    const inSpec = writeTask({ taskId: 1, buffer, context }, 'resource_spec');
    const bare = writeTask({ taskId: 1, buffer, context }, 'bare');
    const translate = (frame: Uint8Array, to: 'resource_spec' | 'context') => {
      const task = head(frame);
      return (value(writeTaskBatch([stored(task)], translation(task.envelope, to))) as PickleValue[])[0];
    };
    assert.deepEqual(field(translate(inContext, 'resource_spec'), 'resource_spec'), spec);
    assert.deepEqual(field(translate(inSpec, 'context'), 'context'), context);
    assert.deepEqual(field(translate(bare, 'resource_spec'), 'resource_spec'), new Map());
    assert.equal(translation('context', 'context'), undefined);
    assert.equal(translation('context', 'bare'), undefined);
  });
});

describe('items', () => {
  it('of results are written and read', () => {
    for (const isException of [true, false]) {
      const outcome = { taskId: 41, isException, bytes: new Uint8Array([48, 50, 10]) };
      const frame = writeOutcome(outcome);
      assert.deepEqual(readItem(frame), { kind: 'outcome', taskId: 41, frame });
      const read = readOutcome(frame);
      sure(read.ok);
      assert.deepEqual({ ...read.value, bytes: [...read.value.bytes] }, { ...outcome, bytes: [48, 50, 10] });
    }
  });

  it('of monitoring give their payload as a pickle of its own', () => {
    const type = new PyObject('call', new PyGlobal('parsl.monitoring.message_type', 'MessageType'), new PyTuple([1]));
    const payload = new PyTuple([type, dictOf({ run_id: 'r', task_id: 3, memory: 2 ** 40 })]);
    const frame = writeMonitoringItem(payload);
    const item = readItem(frame);
    sure(item.kind === 'monitoring');
    assert.deepEqual(value(item.frame), payload);
  });

  it('without result and exception keep the id they are about', () => {
    const item = readItem(encode(dictOf({ type: 'result', task_id: 7 })));
    sure(item.kind === 'unreadable' && item.taskId === 7);
  });

  it("that would end the result thread of Parsl's submitter are unreadable, or marked as bare", () => {
    const packed = Buffer.from('02\nN.');
    const good = [
      { type: 'result', task_id: 7, result: packed },
      { type: 'result', task_id: 7, exception: packed },
      // Values of Node functions have forms of their own, short and long.
      { type: 'result', task_id: 7, result: Buffer.from(toBytes(1)) },
      { type: 'result', task_id: 7, exception: Buffer.from(toBytes(new Map([['a', new Date(0)]]))) },
      { type: 'result', task_id: 7, result: packed, exception: 'said twice' },
      { type: 'result', task_id: 7, result: Buffer.from('some.module Serializer\nx') },
    ];
    const bad = [
      { type: 'result', task_id: 7, result: 'text' },
      { type: 'result', task_id: 7, result: 'text', exception: packed },
      { type: 'result', task_id: 7, exception: packed, result: null },
      { type: 'result', task_id: 7, result: new PyByteArray(packed) },
      { type: 'result', task_id: 7, exception: 5 },
    ];
    for (const fields of good) assert.equal(readItem(encode(dictOf(fields))).kind, 'outcome');
    for (const fields of bad) {
      const item = readItem(encode(dictOf(fields)));
      sure(item.kind === 'unreadable' && item.taskId === 7, JSON.stringify(fields));
    }
    for (const bare of ['no line feed', '', '\nx', `${'x'.repeat(1_000)}\nx`]) {
      const item = readItem(encode(dictOf({ type: 'result', task_id: 7, result: Buffer.from(bare) })));
      sure(item.kind === 'outcome' && item.isBare === true, bare);
    }
    // Of two equal keys the last one counts; a pickle may have them.
    const twice = Buffer.concat([encode(dictOf(good[0] as Record<string, PickleValue>)).subarray(0, -1)]);
    const last = Buffer.concat([twice, Buffer.from('8c06726573756c744e732e', 'hex')]);
    assert.equal(readItem(last).kind, 'unreadable');
  });
});

describe('managers', () => {
  it('register in both styles, and extensions are invisible unless there are any', () => {
    const plain = registration({ totalMemory: 2 ** 34 });
    for (const style of ['one-port', 'two-port'] as const) {
      const frame = writeManagerMessage({ type: 'registration', registration: plain }, style);
      const read = readManagerMessage([frame], style === 'one-port' ? 'single' : 'tasks');
      sure(read.ok && read.value.type === 'registration');
      assert.deepEqual(read.value.registration, plain);
      sure(!Buffer.from(frame).includes('chervil'));
    }
    const own = registration({ runtimes: ['node', 'python'], extensions: ['cancel', 'batch'] });
    const read = readManagerMessage([writeManagerMessage({ type: 'registration', registration: own })]);
    sure(read.ok && read.value.type === 'registration');
    assert.deepEqual(read.value.registration, own);
  });

  it('are told words in both styles', () => {
    for (const word of [
      { type: 'refusal', reason: 'wrong Parsl' },
      { type: 'cancel', taskIds: [1, 2] },
    ] as const) {
      const read = readInterchangeMessage(writeInterchangeWord(word, 'one-port'));
      sure(read.ok);
      assert.deepEqual(read.value, word);
    }
  });
});

describe('commands', () => {
  it('of all eras are understood', () => {
    const hold = { name: 'hold manager', manager: 'm1' } as const;
    assert.deepEqual(readCommand(writeCommand(hold)), hold);
    assert.deepEqual(readCommand(writeCommand(hold, 'HOLD_WORKER')), hold);
    assert.deepEqual(readCommand(encode('HOLD_MANAGER;m1')), hold);
    for (const name of ['worker binds', 'worker ports', 'outstanding', 'workers', 'managers', 'status'] as const) {
      assert.deepEqual(readCommand(writeCommand({ name })), { name });
    }
    assert.deepEqual(readCommand(writeCommand({ name: 'cancel', taskIds: [3] })), { name: 'cancel', taskIds: [3] });
    for (const odd of ['toString', '__proto__', 5, null, ['HOLD_MANAGER', 5], ['HOLD_MANAGER'], new Map()] as const) {
      assert.equal(readCommand(encode(odd as PickleValue)).name, 'unknown');
    }
  });

  it('are answered in forms the submitter reads back', () => {
    const ports = { single: 54_001, pair: [54_002, 54_003] as const };
    assert.equal(value(writeReply({ name: 'port' }, ports)), 54_001);
    assert.deepEqual(value(writeReply({ name: 'ports' }, ports)), new PyTuple([54_002, 54_003]));
    assert.equal(value(writeReply({ name: 'nothing' }, ports)), null);
    const line = {
      manager: 'm',
      blockId: '0',
      workerCount: 2,
      tasks: 1,
      idleSeconds: 0,
      isActive: true,
      parslVersion: 'x',
      pythonVersion: '3.11.7',
      isDraining: false,
    };
    const managers = readManagers(value(writeReply({ name: 'managers', managers: [line] }, ports)));
    sure(managers.ok);
    assert.deepEqual(managers.value, [line]);
  });

  it('for the status give the whole report', () => {
    const names = [
      'received',
      'queued',
      'leased',
      'answered',
      'results',
      'failures',
      'cancelled',
      'strayResults',
      'malformed',
      'duplicates',
      'managersRegistered',
      'managersRefused',
      'managersLost',
    ] as const;
    const counters = Object.fromEntries(names.map((name, at) => [name, at])) as Record<(typeof names)[number], number>;
    const report = {
      counters,
      managers: [],
      lanes: [{ runtime: 'python', readyManagers: 2 }],
      refusals: [{ manager: 'bad', reason: 'py', times: 3 }],
    };
    const read = readStatus(value(writeReply({ name: 'status', report }, { single: 1, pair: undefined })));
    sure(read.ok);
    assert.deepEqual(read.value, report);
  });
});

describe('the configuration', () => {
  const selector = new PyObject(
    'new',
    new PyGlobal('parsl.executors.high_throughput.manager_selector', 'BlockIdManagerSelector'),
    new PyTuple([]),
  );
  const base: Record<string, PickleValue> = {
    client_address: '127.0.0.1',
    client_ports: new PyTuple([55_001, 55_002, 55_003]),
    interchange_address: null,
    worker_port_range: new PyTuple([54_000, 55_000]),
    hub_address: '127.0.0.1',
    hub_zmq_port: null,
    heartbeat_threshold: 120,
    logdir: '/tmp/run',
    logging_level: 20,
    poll_period: 10,
    cert_dir: null,
    manager_selector: selector,
    run_id: 'r-1',
  };

  it('is read in the form of each era, which it tells as far as it can', () => {
    const era = (more: Record<string, PickleValue>) => {
      const read = readConfig(encode(dictOf({ ...base, ...more })));
      sure(read.ok);
      assert.equal(read.value.selector, 'block-id');
      return [read.value.eras.join(''), read.value.poolPorts, ...read.value.workerPorts];
    };
    assert.deepEqual(era({ worker_ports: null }), ['AB', 'two']);
    assert.deepEqual(era({ worker_ports: new PyTuple([1, 2]) }), ['AB', 'two', 1, 2]);
    // Of a pair 0 is any free port, to Parsl too, in its place; as the only port it is none, and the range counts.
    assert.deepEqual(era({ worker_ports: new PyTuple([0, 2]) }), ['AB', 'two', 0, 2]);
    assert.deepEqual(era({ worker_ports: new PyTuple([1, 0]) }), ['AB', 'two', 1, 0]);
    assert.deepEqual(era({ worker_ports: new PyTuple([0, 0]) }), ['AB', 'two', 0, 0]);
    assert.deepEqual(era({ worker_port: 50_000 }), ['CD', 'one', 50_000]);
    assert.deepEqual(era({ worker_port: null, _check_python_mismatch: true }), ['DEFG', 'one']);
    assert.deepEqual(era({ worker_port: 0, _check_python_mismatch: true, log_config: null }), ['GHI', 'one']);
  });

  it('names all faults at once', () => {
    const read = readConfig(encode(dictOf({ client_ports: 5 })));
    sure(!read.ok);
    assert.match(read.error, /client_ports .* client_address .* logdir/);
  });

  it('takes directories as text or as objects of pathlib', () => {
    for (const module of ['pathlib', 'pathlib._local']) {
      const logdir = new PyObject('call', new PyGlobal(module, 'PosixPath'), new PyTuple(['/', 'tmp', 'run']));
      const read = readConfig(encode(dictOf({ ...base, worker_port: null, logdir })));
      sure(read.ok, read.ok ? '' : read.error);
      assert.equal(read.value.logdir, '/tmp/run');
    }
  });

  it('takes over format and level of a log configuration', () => {
    const log = new PyObject('new', new PyGlobal('parsl.logconfigs.file', 'FileLogging'), new PyTuple([]));
    log.steps.push({ do: 'state', state: dictOf({ format_string: 'X %(message)s', level: 10 }) });
    const read = readConfig(encode(dictOf({ ...base, worker_port: null, logging_level: 20, log_config: log })));
    sure(read.ok);
    assert.deepEqual(read.value.log, { kind: 'file', level: 10, format: 'X %(message)s' });
  });

  it('knows the log kinds, and replaces selectors it does not know', () => {
    const logs = { FileLogging: 'file', JSONLogging: 'json', NoopLogging: 'none', Mine: 'unknown' } as const;
    for (const [name, kind] of Object.entries(logs)) {
      const log = new PyObject('new', new PyGlobal('parsl.logconfigs', name), new PyTuple([]));
      const other = new PyObject('new', new PyGlobal('mine', 'Selector'), new PyTuple([]));
      const read = readConfig(encode(dictOf({ ...base, worker_port: null, log_config: log, manager_selector: other })));
      sure(read.ok);
      assert.equal(read.value.log.kind, kind);
      assert.equal(read.value.selector, 'random');
      assert.equal(read.value.unknownSelector, 'Selector');
    }
  });

  it('written for a Python interchange reads back the same', () => {
    const read = readConfig(
      encode(dictOf({ ...base, worker_port: 1, log_config: null, _check_python_mismatch: false })),
    );
    sure(read.ok);
    const again = readConfig(writeConfig(read.value));
    sure(again.ok);
    assert.deepEqual({ ...again.value, hub: undefined }, { ...read.value, hub: undefined });
  });
});

it('releases tell their era, builds from the repository do not', () => {
  const eras = [
    '2024.09.02',
    '2024.10.21',
    '2025.06.30',
    '2025.09.15',
    '2025.09.22',
    '2025.10.06',
    '2026.01.05',
    '2026.07.27',
  ];
  assert.equal(eras.map(eraOfRelease).join(''), 'ABCDEFGH');
  assert.equal(eraOfRelease('1.3.0-dev'), undefined);
});

it('a record of a manager has the fields the monitoring database needs', () => {
  const frame = writeNodeInfo({
    runId: 'r',
    registration: registration(),
    taskIds: [1, 2],
    isActive: true,
    isDraining: false,
    heardAt: Date.UTC(2026, 1, 3),
    idleSince: undefined,
    at: Date.UTC(2026, 1, 3),
  });
  const read = value(frame);
  sure(read instanceof PyTuple);
  const needed = [
    'run_id',
    'hostname',
    'uid',
    'block_id',
    'cpu_count',
    'total_memory',
    'active',
    'worker_count',
    'python_v',
    'timestamp',
    'last_heartbeat',
  ];
  for (const key of needed) sure((field(read.items[1], key) ?? null) !== null, key);
});

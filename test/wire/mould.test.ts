import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Mould } from '#src/wire/messages/mould.js';
import { kind, mostPickleBytes, Skim } from '#src/wire/messages/skim.js';
import { readItem, readOutcome, readTask, writeOutcome, writeTask } from '#src/wire/messages.js';
import { encode, type PickleValue, PyFloat, PyGlobal } from '#src/wire/pickle.js';
import { seeded, sure, withSeed } from '../interchange/builders.ts';
import { captured, releases } from './vectors.ts';

const taskIdKey = Buffer.from('task_id');
const context: PickleValue = new Map([['resource_spec', new Map<PickleValue, PickleValue>([['priority', 3]])]]);
const task = (taskId: number, length: number, fill = 7): Uint8Array =>
  writeTask({ taskId, buffer: Buffer.alloc(length, fill), context });
const outcome = (taskId: number, length: number, isException = false): Uint8Array =>
  writeOutcome({ taskId, isException, bytes: Buffer.concat([Buffer.from('02\n'), Buffer.alloc(length, 1)]) });

/** A dict that names keys more than once, as no pickler makes it. */
function pickled(entries: readonly (readonly [string, number | string])[]): Buffer {
  const short = (opcode: string, text: string): string => `${opcode}${String.fromCharCode(text.length)}${text}`;
  let words = '\x80\x04}(';
  for (const [key, value] of entries) {
    words += short('\x8c', key);
    if (typeof value === 'number') words += `K${String.fromCharCode(value)}`;
    else words += short(key === 'type' ? '\x8c' : 'C', value);
  }
  return Buffer.from(`${words}u.`, 'latin1');
}

/** Where in a skimmed dict the number under `task_id` stands, and its last byte string. */
function places(skim: Skim): { number: number; bytes: number } | undefined {
  let number = -1;
  let bytes = -1;
  for (let entry = 0; entry < skim.count; entry++) {
    if (skim.keyIs(entry, taskIdKey)) number = entry;
    if (skim.valueKind(entry) === kind.bytes) bytes = entry;
  }
  return number >= 0 && bytes >= 0 ? { number, bytes } : undefined;
}

/** A mould of this message, where it lends itself to one. */
function mouldOf(frame: Uint8Array): Mould | undefined {
  const skim = new Skim();
  const mould = new Mould();
  const found = skim.read(frame) ? places(skim) : undefined;
  return found !== undefined && mould.learn(frame, skim, found.number, found.bytes) ? mould : undefined;
}

describe('a mould', () => {
  it('fits messages that differ in the id and in what is packed, of any width and length', () => {
    const mould = mouldOf(task(70_000, 150));
    sure(mould !== undefined);
    for (const taskId of [0, 255, 256, 65_535, 65_536, 2 ** 31 - 1, -1]) {
      for (const length of [0, 1, 150, 255, 256, 70_000]) {
        const frame = task(taskId, length);
        // Python's pickler puts long byte strings outside of its frames, and such a pickle is another form.
        if (!mould.fits(frame)) {
          assert.ok(length > 60_000, `${taskId}, ${length} bytes`);
          continue;
        }
        assert.equal(mould.number, taskId);
        assert.deepEqual(Buffer.from(frame.subarray(mould.start, mould.end)), Buffer.alloc(length, 7));
      }
    }
  });

  it('fits nothing that is cut, longer, of another kind, or announces what is not there', () => {
    const mould = mouldOf(outcome(70_000, 5));
    sure(mould !== undefined);
    const frame = Buffer.from(outcome(80_000, 5));
    assert.ok(mould.fits(frame));
    for (let length = 0; length < frame.length; length++)
      assert.ok(!mould.fits(frame.subarray(0, length)), `${length}`);
    assert.ok(!mould.fits(Buffer.concat([frame, Buffer.from('.')])));
    assert.ok(!mould.fits(outcome(80_000, 5, true)));
    assert.ok(!mould.fits(encode(new Map<PickleValue, PickleValue>([['type', 'result']]))));
    const boastful = Buffer.from(frame);
    boastful[3] = 0xff;
    assert.ok(!mould.fits(boastful), 'the FRAME of the pickle is longer than the pickle');
  });

  it('is learnt from a plain pickle alone: one dict, nothing behind it, its number before its bytes, small around them', () => {
    const usual = new Map<PickleValue, PickleValue>([
      ['task_id', 70_000],
      ['buffer', Buffer.alloc(20)],
    ]);
    const framed = Buffer.from(encode(usual));
    const bare = Buffer.concat([framed.subarray(0, 2), framed.subarray(11)]);
    assert.equal(framed[2], 0x95, 'it begins with a FRAME');
    for (const sound of [framed, bare]) assert.ok(mouldOf(sound)?.fits(sound));
    const inner = bare.indexOf('(') + 1;
    const inside = Buffer.concat([bare.subarray(0, inner), framed.subarray(2, 11), bare.subarray(inner)]);
    inside.writeUInt32LE(bare.length - inner, inner + 1);
    const unsuited: Record<string, Uint8Array> = {
      'bytes behind its STOP': Buffer.concat([framed, Buffer.from('.')]),
      'the bytes before the number': encode(new Map([...usual].reverse())),
      'a FRAME in its middle': inside,
      'a FRAME at its beginning, and one in its middle': Buffer.concat([framed.subarray(0, 11), inside.subarray(2)]),
      'an id that is a float': encode(new Map<PickleValue, PickleValue>([...usual, ['task_id', new PyFloat(7)]])),
      'an id of more than 31 bits': encode(new Map<PickleValue, PickleValue>([...usual, ['task_id', 2 ** 33]])),
      'a class': encode(new Map<PickleValue, PickleValue>([...usual, ['x', new PyGlobal('builtins', 'int')]])),
      'more around it than skimming costs': encode(
        new Map<PickleValue, PickleValue>([...usual, ['context', 'x'.repeat(600)]]),
      ),
    };
    for (const [what, frame] of Object.entries(unsuited)) {
      const skim = new Skim();
      assert.ok(skim.read(frame) && places(skim) !== undefined, `${what}: skimmed`);
      assert.equal(mouldOf(frame), undefined, what);
    }
    const large = encode(new Map<PickleValue, PickleValue>([...usual, ['context', 'x'.repeat(400)]]));
    assert.ok(mouldOf(large)?.fits(large));
  });

  it('gives way to another form when sixteen in a row did not fit, and not before', () => {
    const skim = new Skim();
    const mould = new Mould();
    const old = task(70_000, 10);
    const other = outcome(70_000, 10);
    const learn = (frame: Uint8Array): boolean => {
      assert.ok(skim.read(frame));
      const found = places(skim);
      sure(found !== undefined);
      return mould.learn(frame, skim, found.number, found.bytes);
    };
    assert.ok(learn(old));
    for (let round = 0; round < 3; round++) {
      for (let row = 0; row < 16; row++) assert.ok(!mould.fits(other) && !learn(other), `${round}, ${row}`);
      assert.ok(mould.fits(old), 'one that fits, and they are counted anew');
    }
    for (let row = 0; row < 16; row++) assert.ok(!mould.fits(other) && !learn(other));
    assert.ok(!mould.fits(other) && learn(other));
    assert.ok(mould.fits(other) && !mould.fits(old));
  });

  it('does not fit what is longer than the places that it is read with', () => {
    const mould = mouldOf(task(70_000, 300));
    sure(mould !== undefined);
    // A task with a buffer of that many more bytes, of which there are only those that are looked at.
    const stretched = (bytes: number): Uint8Array => {
      const frame = Buffer.from(task(70_000, 300));
      assert.ok(mould.fits(frame));
      const bufferEnd = mould.end;
      frame.writeUInt32LE(300 + bytes, mould.start - 4);
      return new Proxy(frame, {
        get(target, name) {
          if (name === 'length') return target.length + bytes;
          const at = Number(String(name));
          return target[at >= bufferEnd ? at - bytes : at];
        },
      });
    };
    const room = mostPickleBytes - task(70_000, 300).length;
    for (const [bytes, isFit] of [
      [0, true],
      [1_000_000, true],
      [room, true],
      [room + 1, false],
    ] as const)
      assert.equal(mould.fits(stretched(bytes)), isFit, `${bytes} bytes more`);
  });

  it('that has learnt nothing fits nothing', () => {
    for (const frame of [task(1, 3), outcome(1, 3), new Uint8Array(0), new Uint8Array(100)])
      assert.ok(!new Mould().fits(frame));
  });

  it('whatever it fits, it finds what skimming finds', () => {
    const samples = releases
      .flatMap((release) => captured(release).flatMap(({ frames }) => frames))
      .concat([task(1, 10), task(300, 10), task(70_000, 300), outcome(5, 5), outcome(70_000, 5, true)]);
    let fitting = 0;
    withSeed((seed) => {
      const random = seeded(seed);
      const below = (end: number): number => Math.floor(random() * end);
      for (const sample of samples) {
        const mould = mouldOf(sample);
        if (mould === undefined) continue;
        assert.ok(mould.fits(sample), 'at least what it was learnt from');
        const skim = new Skim();
        for (let round = 0; round < 500; round++) {
          const frame = Buffer.from(sample);
          for (let change = below(3); change >= 0; change--) frame[below(frame.length)] = below(256);
          const candidate = random() < 0.1 ? frame.subarray(0, below(frame.length)) : frame;
          if (!mould.fits(candidate)) continue;
          fitting++;
          assert.ok(skim.read(candidate));
          const found = places(skim);
          sure(found !== undefined);
          assert.equal(skim.valueNumber(found.number), mould.number);
          assert.equal(skim.valueStart(found.bytes), mould.start);
          assert.equal(skim.valueEnd(found.bytes), mould.end);
          assert.equal(skim.bodyAt, mould.bodyAt);
          assert.equal(skim.stopAt, candidate.length - 1);
          assert.ok(!skim.hasObjects && skim.frames <= 1);
        }
      }
    });
    assert.ok(fitting > 1_000, `only ${fitting} fitted`);
  });
});

describe('readers that keep a mould', () => {
  it('say of a task what the mould was learnt with, whatever was skimmed since', () => {
    const prior = (taskId: number, priority: number): Uint8Array =>
      writeTask({
        taskId,
        buffer: Buffer.alloc(20),
        context: new Map([['resource_spec', new Map([['priority', priority]])]]),
      });
    for (let turn = 0; turn < 20; turn++) readTask(prior(70_000 + turn, 1));
    for (let turn = 0; turn < 40; turn++) {
      const priority = turn % 3 === 0 ? 2 : 1;
      const read = readTask(prior(80_000 + turn, priority));
      sure(read.ok);
      assert.equal(read.value.priority, priority);
    }
  });

  it('take the last of two equal keys, in a mould too', () => {
    for (let turn = 0; turn < 80; turn++) {
      const last = turn < 40 ? 7 : turn;
      const ids = [
        ['task_id', turn],
        ['task_id', last],
      ] as const;
      const read = readTask(pickled([...ids, ['buffer', 'first'.repeat(turn % 3)], ['buffer', 'last']]));
      sure(read.ok);
      assert.equal(read.value.taskId, last);
      const buffers = [
        ['buffer', 'bytes'],
        ['buffer', turn],
      ] as const;
      assert.ok(!readTask(pickled([['task_id', turn], ...buffers])).ok, 'the last buffer is a number');
      const outcomes = [
        ['exception', 'x'],
        ['result', '02\ny'],
      ] as const;
      const frame = pickled([['type', 'result'], ...ids, ...outcomes]);
      assert.deepEqual(readItem(frame), { kind: 'outcome', taskId: last, frame });
      const both = pickled([['type', 'result'], ['task_id', turn], ...outcomes]);
      assert.deepEqual(
        readItem(both),
        { kind: 'outcome', taskId: turn, frame: both },
        'a result goes before an exception',
      );
    }
  });

  it('look whether a result is bare in its bytes alone', () => {
    for (let turn = 0; turn < 60; turn++) {
      const bytes = ['02\nx', '\nx', 'no feed', ''][turn % 4] as string;
      const frame = pickled([
        ['type', 'result'],
        ['task_id', turn],
        ['result', bytes],
        ['more\n', 1],
      ]);
      const expected = { kind: 'outcome', taskId: turn, frame, ...(turn % 4 === 0 ? {} : { isBare: true }) };
      assert.deepEqual(readItem(frame), expected, `${turn}`);
    }
  });

  it('write a task that refers to its memo anew each time', () => {
    const text = 'a text that comes twice';
    for (let turn = 0; turn < 40; turn++) {
      // MEMOIZE behind the first text, BINGET 0 in place of the second.
      const twice = `\x8c\x01a\x8c${String.fromCharCode(text.length)}${text}\x94\x8c\x01bh\x00`;
      const words = `\x80\x04}(\x8c\x07task_idK${String.fromCharCode(turn)}${twice}\x8c\x06bufferC\x01xu.`;
      const frame = Buffer.from(words, 'latin1');
      const read = readTask(frame);
      sure(read.ok);
      assert.equal(read.value.taskId, turn);
      assert.notEqual(read.value.bytes, frame);
      assert.ok(!Buffer.from(read.value.bytes).includes(Buffer.from('h\x00')));
    }
  });

  it('read messages that come in turns as they are', () => {
    withSeed((seed) => {
      const random = seeded(seed);
      const below = (end: number): number => Math.floor(random() * end);
      const priorities = [undefined, 1, 2];
      for (let round = 0; round < 20_000; round++) {
        const taskId = below([200, 60_000, 2_000_000][below(3)] as number);
        // Mostly the same form for a while, so that there is something to be wrong about.
        const form = Math.floor(round / 50) % 7;
        const priority = priorities[form % 3];
        const sent = writeTask({
          taskId,
          buffer: Buffer.alloc(below(400)),
          context: priority === undefined ? new Map() : new Map([['resource_spec', new Map([['priority', priority]])]]),
        });
        const read = readTask(sent);
        sure(read.ok);
        assert.equal(read.value.taskId, taskId);
        assert.equal(read.value.priority, priority);
        assert.equal(read.value.envelope, 'context');
        assert.equal(read.value.bytes[read.value.end], 0x2e);

        const frame = random() < 0.1 ? outcome(taskId, below(300), true) : outcome(taskId, below(300), form === 6);
        assert.deepEqual(readItem(frame), { kind: 'outcome', taskId, frame });
        const whole = readOutcome(frame);
        sure(whole.ok);
        assert.equal(whole.value.taskId, taskId);
        const bare = writeOutcome({ taskId, isException: false, bytes: Buffer.alloc(5) });
        assert.deepEqual(readItem(bare), { kind: 'outcome', taskId, frame: bare, isBare: true });
      }
    });
  });
});

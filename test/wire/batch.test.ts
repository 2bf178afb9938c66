import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  entry,
  isBatchable,
  isResultBatch,
  isTaskBatch,
  ResultGatherer,
  readRan,
  readResults,
  readTasks,
  TaskGatherer,
  writeTasks,
} from '#src/wire/messages/batch.js';
import { readItem, readOutcome, splitBatch } from '#src/wire/messages/item.js';
import { bodyOfBuffer, contextFragment, readContext, readTask, readTaskBatch } from '#src/wire/messages/task.js';
import { readPlaceNote, writeNote } from '#src/wire/notes.js';
import { decodePrefix, dict } from '#src/wire/pickle.js';
import { randomIntegers } from '../support/random.ts';

const context = contextFragment(dict({ runtime: 'node', resource_spec: dict({ priority: 3 }) }));
const buffers = [Buffer.alloc(0), Buffer.from('a'), Buffer.alloc(300, 7), Buffer.alloc(100_000, 8)];

function someTasks(): Uint8Array {
  const gatherer = new TaskGatherer();
  for (const [index, buffer] of buffers.entries()) gatherer.add(index, context, buffer, 0, buffer.length);
  return gatherer.take();
}

function someResults(): Uint8Array {
  const gatherer = new ResultGatherer();
  gatherer.add(1, entry.value, Buffer.from('02\nvalue'));
  gatherer.add(4_294_967_295, entry.exception, Buffer.from('02\nexception'));
  gatherer.add(3, entry.note, Buffer.from('..note..'), 2, 6);
  return gatherer.take();
}

describe('batches', () => {
  it('bring tasks as they were, with what they have in common', () => {
    const frame = someTasks();
    assert.equal(isTaskBatch(frame), true);
    const read = readTasks(frame);
    assert.ok(read.ok, 'it must be readable');
    const { ids, starts, ends } = read.value;
    assert.deepEqual(ids, [0, 1, 2, 3]);
    for (const [index, buffer] of buffers.entries())
      assert.deepEqual(Buffer.from(frame.subarray(starts[index], ends[index])), buffer);
    assert.deepEqual(readContext(read.value.context), { ok: true, value: { priority: 3, runtime: 'node' } });
  });

  it('of tasks become dicts for pools that read no batches', () => {
    for (const buffer of buffers) {
      const body = bodyOfBuffer(5, context, buffer);
      const pickle = Buffer.concat([Buffer.of(0x80, 4), body, Buffer.of(0x2e)]);
      const head = readTask(pickle);
      assert.ok(head.ok, 'an interchange must read it');
      assert.deepEqual(Buffer.from(head.value.bytes.subarray(head.value.start, head.value.end)), Buffer.from(body));
      assert.deepEqual([head.value.taskId, head.value.priority, head.value.runtime], [5, 3, 'node']);
      const decoded = decodePrefix(pickle);
      assert.ok(decoded.ok, 'a pool must read it');
      const tasks = readTaskBatch([decoded.value.value]);
      assert.ok(tasks.ok, 'it must be a task');
      assert.deepEqual(Buffer.from(tasks.value[0]?.buffer ?? []), buffer);
    }
  });

  it('are written for tasks that wait, one for each run of tasks with the same context', () => {
    const other = contextFragment(dict({ runtime: 'other' }));
    const slab = Buffer.from('abcdef');
    const task = (id: number, of: Uint8Array) => ({ id, slab, offset: id, length: 2, context: of });
    const frames = writeTasks([task(0, context), task(1, context), task(2, other)]);
    const read = frames.map((frame) => readTasks(frame));
    assert.deepEqual(
      read.map((one) => one.ok && one.value.ids),
      [[0, 1], [2]],
    );
  });

  it('bring results as they were, and split into items for those who read no batches', () => {
    const frame = someResults();
    assert.equal(isResultBatch(frame), true);
    const item = readItem(frame);
    assert.ok(item.kind === 'batch', 'it must be a batch');
    assert.deepEqual(item.batch.ids, [1, 4_294_967_295, 3]);
    const [value, exception, note] = splitBatch(item.batch);
    const first = readOutcome(value as Uint8Array);
    const second = readOutcome(exception as Uint8Array);
    assert.ok(first.ok && second.ok, 'they must be outcomes');
    assert.deepEqual([first.value.taskId, first.value.isException], [1, false]);
    assert.equal(Buffer.from(first.value.bytes).toString(), '02\nvalue');
    assert.deepEqual([second.value.taskId, second.value.isException], [4_294_967_295, true]);
    assert.equal(readItem(note as Uint8Array).kind, 'note');
  });

  it('say where and when a body ran, which those who read no batches do not get', () => {
    const gatherer = new ResultGatherer();
    const place = writeNote({ what: 'running', place: { host: 'here', worker: 'pool/3', block: '0' } });
    gatherer.addRan(7, entry.ranValue, 12.5, 2.25, place, Buffer.from('02\nvalue'));
    gatherer.addRan(8, entry.ranException, 0, 0, place, Buffer.from('02\nwrong'));
    const frame = gatherer.take();
    const read = readResults(frame);
    assert.ok(read.ok, 'it must be readable');
    const ran = readRan(read.value, 0);
    assert.deepEqual([ran.beganAgoMs, ran.tookMs], [12.5, 2.25]);
    assert.deepEqual(readPlaceNote(frame, ran.placeStart, ran.end), { host: 'here', worker: 'pool/3', block: '0' });
    assert.equal(Buffer.from(frame.subarray(ran.end, read.value.ends[0])).toString(), '02\nvalue');
    const [value, exception] = splitBatch(read.value).map((item) => readOutcome(item));
    assert.ok(value?.ok && exception?.ok, 'they must be outcomes');
    assert.deepEqual([value.value.taskId, value.value.isException], [7, false]);
    assert.equal(Buffer.from(value.value.bytes).toString(), '02\nvalue');
    assert.deepEqual([exception.value.taskId, exception.value.isException], [8, true]);
    for (let length = 1; length < frame.length; length++) {
      const cut = readResults(frame.subarray(0, length));
      if (cut.ok) for (const index of cut.value.ids.keys()) assert.ok(readRan(cut.value, index).end <= length);
      else assert.match(cut.error, /cut short/);
    }
    // A length that lies.
    const lying = Buffer.from(frame);
    lying.writeUInt16LE(60_000, 1 + 9 + 8);
    assert.equal(readResults(lying).ok, false);
  });

  it('that are cut short anywhere are told as such, or end with a whole entry', () => {
    for (const frame of [someTasks(), someResults()]) {
      const whole = (isTaskBatch(frame) ? readTasks(frame) : readResults(frame)) as ReturnType<typeof readResults>;
      assert.ok(whole.ok, 'whole it must be readable');
      for (let length = 1; length < Math.min(frame.length, 1_000); length++) {
        const cut = frame.subarray(0, length);
        const read = isTaskBatch(frame) ? readTasks(cut) : readResults(cut);
        if (read.ok)
          assert.ok(
            read.value.ends.every((end) => end <= length),
            'an entry beyond the end',
          );
        else assert.match(read.error, /cut short/);
      }
    }
  });

  it('of random bytes are read or told, and never throw', () => {
    const below = randomIntegers();
    for (let round = 0; round < 2_000; round++) {
      const frame = Buffer.from(Array.from({ length: below(40) + 1 }, () => below(256)));
      for (const mark of [0xe6, 0xe7]) {
        frame[0] = mark;
        const read = mark === 0xe6 ? readTasks(frame) : readResults(frame);
        if (read.ok)
          assert.ok(
            read.value.ends.every((end) => end <= frame.length),
            frame.toString('hex'),
          );
      }
    }
  });

  it('whose context leaves more on the stack than one dict are refused, since they would break a list of tasks', () => {
    const { length } = context;
    const open = Buffer.from(context);
    open[length - 1] = 0x7d;
    const bad = [open, Buffer.from('7d7d', 'hex'), Buffer.from('7d287d', 'hex'), context.subarray(0, length - 1)];
    for (const bytes of bad) assert.equal(readContext(bytes).ok, false, Buffer.from(bytes).toString('hex'));
    assert.equal(readContext(context).ok, true);
    assert.equal(readContext(Buffer.from('7d', 'hex')).ok, true);
  });

  it('have no room for ids that are not whole, negative or too large', () => {
    assert.deepEqual([0, 4_294_967_295, -1, 4_294_967_296, 0.5].map(isBatchable), [true, true, false, false, false]);
  });
});

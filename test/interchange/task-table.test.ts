// Where the interchange keeps its tasks, and their bytes.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Lane } from '#src/interchange/lane.js';
import { readyManagers } from '#src/interchange/selectors.js';
import { type Slab, TaskBytes, TaskRecord, TaskRecords } from '#src/interchange/task.js';
import { TaskTable } from '#src/interchange/task-table.js';
import { seeded, withSeed } from './builders.ts';

const lane = new Lane('python', readyManagers('random', Math.random));
const record = (id: number): TaskRecord => new TaskRecord(id, undefined, lane, undefined, 0, 0);

it('the table of tasks is a map from ids to tasks, whatever the ids are', () => {
  withSeed((seed) => {
    const random = seeded(seed);
    const below = (most: number): number => Math.floor(random() * most);
    const far = [0, -0, -1, -64, -65, 63, 64, 2 ** 31, -(2 ** 31), Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
    for (let round = 0; round < 20; round++) {
      const table = new TaskTable();
      const model = new Map<number, TaskRecord>();
      const somewhere = (): number => (below(4) === 0 ? (far[below(far.length)] as number) : below(300) - 100);
      for (let action = 0; action < 3_000; action++) {
        const id = somewhere();
        if (below(2) === 0) {
          const task = record(id);
          assert.equal(table.add(task), !model.has(id), 'a task does not take the place of another');
          if (!model.has(id)) model.set(id, task);
        } else {
          assert.equal(table.delete(id), model.delete(id));
        }
        const asked = somewhere();
        assert.equal(table.get(asked), model.get(asked));
        assert.equal(table.size, model.size);
      }
      for (const [id, task] of model) {
        assert.equal(table.get(id), task);
        assert.ok(table.delete(id));
      }
      assert.equal(table.size, 0);
    }
  });
});

it('the bytes of waiting tasks are kept, whatever part of a frame they are and whatever came and went meanwhile', () => {
  withSeed((seed) => {
    const random = seeded(seed);
    const below = (most: number): number => Math.floor(random() * most);
    const bytes = new TaskBytes();
    const slabs = new Set<Slab>();
    let stored = 0;
    const kept: { place: Slab; offset: number; wanted: Buffer; holders: number }[] = [];
    const check = ({ place, offset, wanted }: (typeof kept)[number]): void =>
      assert.deepEqual(Buffer.from(place.bytes.subarray(offset, offset + wanted.length)), wanted);
    for (let count = 0; count < 6_000; count++) {
      const length = [0, 1, 20, 33, 255, 5_000, 16_384, 16_385, 70_000][below(count % 50 === 0 ? 9 : 6)] as number;
      const before = [0, 11, 32, 33, 400][below(5)] as number;
      const behind = [0, 1, 40][below(3)] as number;
      const frame = Buffer.alloc(before + length + behind, below(256));
      const wanted = Buffer.from(frame.subarray(before, before + length));
      bytes.store(frame, before, before + length);
      const { place, offset } = bytes;
      // One that is on its way out is held once more.
      const holders = 1 + below(2);
      if (holders === 2) place.hold();
      kept.push({ place, offset, wanted, holders });
      if (length <= 16_384) slabs.add(place);
      stored += length;
      // It was a window on what a socket had read, where something else stands by now.
      frame.fill(0xee);
      while (kept.length > below(200)) {
        const gone = kept.splice(below(kept.length), 1)[0] as (typeof kept)[number];
        check(gone);
        for (let left = gone.holders; left > 0; left--) gone.place.release();
      }
    }
    kept.forEach(check);
    assert.ok(slabs.size * 65_536 < stored / 2, `${slabs.size} slabs for ${stored} bytes: none was used again`);
  });
});

it('a record is used again for another task, with nothing left of the one before', () => {
  const records = new TaskRecords();
  const bytes = new TaskBytes();
  bytes.store(new Uint8Array(40));
  const first = records.make(1, 7, lane, bytes.place, bytes.offset, 40, Uint8Array.of(1));
  first.state = 'answered';
  first.letGo();
  records.giveBack(first);
  const other = new Lane('node', readyManagers('random', Math.random));
  bytes.store(new Uint8Array(50));
  const second = records.make(2, undefined, other, bytes.place, bytes.offset, 50);
  assert.equal(second, first);
  const fresh = new TaskRecord(2, undefined, other, bytes.place, bytes.offset, 50);
  assert.deepEqual({ ...second }, { ...fresh });
});

// Where the interchange keeps its tasks, and their bytes.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Lane } from '#src/interchange/lane.js';
import { readyManagers } from '#src/interchange/selectors.js';
import { TaskBytes, TaskRecord } from '#src/interchange/task.js';
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

it('the bytes of waiting tasks are kept, whatever part of a frame they are', () => {
  withSeed((seed) => {
    const random = seeded(seed);
    const below = (most: number): number => Math.floor(random() * most);
    const bytes = new TaskBytes();
    const kept: { slab: Uint8Array; offset: number; wanted: Buffer }[] = [];
    for (let count = 0; count < 2_000; count++) {
      const length = [0, 1, 20, 33, 255, 5_000, 16_384, 16_385, 70_000][below(count % 50 === 0 ? 9 : 6)] as number;
      const before = [0, 11, 32, 33, 400][below(5)] as number;
      const behind = [0, 1, 40][below(3)] as number;
      const frame = Buffer.from(Array.from({ length: before + length + behind }, () => below(256)));
      const wanted = Buffer.from(frame.subarray(before, before + length));
      bytes.store(frame, before, before + length);
      kept.push({ slab: bytes.slab, offset: bytes.offset, wanted });
      // It was a window on what a socket had read, where something else stands by now.
      frame.fill(0xee);
    }
    for (const { slab, offset, wanted } of kept)
      assert.deepEqual(Buffer.from(slab.subarray(offset, offset + wanted.length)), wanted);
  });
});

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Lane } from '#src/interchange/lane.js';
import { TaskQueue } from '#src/interchange/queue.js';
import { readyManagers } from '#src/interchange/selectors.js';
import { runsBefore, TaskRecord } from '#src/interchange/task.js';
import { seeded, withSeed } from './builders.ts';

it('the queue gives tasks in the order of a sorted list, whatever comes and goes', () => {
  withSeed((seed) => {
    const random = seeded(seed);
    const lane = new Lane('python', readyManagers('random', random));
    for (let round = 0; round < 60; round++) {
      // In every sixth round more are cancelled than leave, so many that they are let go of.
      const isCancelling = round % 6 === 0;
      const queue = new TaskQueue();
      const model: TaskRecord[] = [];
      const priorities = [undefined, undefined, 1, 2.5, -3, round % 2 ? undefined : 7];
      for (let action = 0; action < (isCancelling ? 4_000 : 400); action++) {
        if (random() < 0.55) {
          const id = random() < 0.7 ? action : -action;
          const priority = priorities[Math.floor(random() * priorities.length)];
          const task = new TaskRecord(id, priority, lane, undefined, 0, 0);
          queue.push(task);
          model.push(task);
          model.sort((a, b) => (runsBefore(a, b) ? -1 : 1));
        } else if (random() < (isCancelling ? 0.95 : 0.2) && model.length > 0) {
          const [cancelled] = model.splice(Math.floor(random() * model.length), 1);
          if (cancelled) {
            cancelled.state = 'answered';
            queue.noteAnswered();
          }
        } else {
          assert.equal(queue.peek(), model[0]);
          assert.equal(queue.pop(), model.shift());
        }
      }
      while (model.length > 0) assert.equal(queue.pop(), model.shift());
      assert.equal(queue.pop(), undefined);
    }
  });
});

// A pool that does not read, and what waits for it meanwhile.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readOutcome, writeCommand, writeTask } from '#src/wire/messages.js';
import { FakePool, InterchangeRun, type OnTasks } from '../support/interchange-run.ts';

const context = new Map();
const given = 1_500;
const others = 5_000;
/** No two tasks carry the same, and {@link given} of them are more than the system takes for a pool that does not read. */
const payload = (taskId: number): Buffer => Buffer.alloc(10_000, `task ${taskId}, `);

it('tasks that wait for a pool that reads nothing are what they were, whatever other pools were given meanwhile', {
  timeout: 120_000,
}, async () => {
  const open = new Set<number>();
  let tell = (): void => {};
  let wanted = 0;
  const untilOpen = (count: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${open.size - count} tasks have no answer`)), 60_000);
      wanted = count;
      tell = () => {
        clearTimeout(late);
        resolve();
      };
      if (open.size <= count) tell();
    });
  await using run = await InterchangeRun.start({
    onResults: (frames) => {
      for (const frame of frames) {
        const outcome = readOutcome(frame);
        if (outcome.ok) open.delete(outcome.value.taskId);
      }
      if (open.size <= wanted) tell();
    },
  });
  const wrong: string[] = [];
  const finish: OnTasks = (ids, pool, tasks) => {
    for (const { taskId, buffer } of tasks) {
      if (!payload(Number(taskId)).equals(buffer)) wrong.push(`${pool.identity} got something else as task ${taskId}`);
    }
    for (const id of ids) pool.finish(id);
  };
  const submit = (taskId: number): void => {
    open.add(taskId);
    run.tasks.send([writeTask({ taskId, buffer: payload(taskId), context })]);
  };
  await using slow = new FakePool(run.port, 'slow', finish);
  slow.register(given);
  for (let managers = 0; managers === 0; ) {
    managers = ((await run.ask(writeCommand({ name: 'managers' }))) as unknown[]).length;
  }
  slow.pause();
  // One by one, so that each is a message of its own.
  for (let taskId = 0; taskId < given; taskId++) {
    submit(taskId);
    await run.ask(writeCommand({ name: 'managers' }));
  }
  await using quick = new FakePool(run.port, 'quick', finish);
  quick.register(1);
  for (let taskId = given; taskId < given + others; taskId++) submit(taskId);
  await untilOpen(given);
  slow.resume();
  await untilOpen(0);
  assert.deepEqual(wrong, []);
  assert.equal(slow.unread + quick.unread, 0);
});

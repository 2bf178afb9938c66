// Settling tasks: the only place where a task leaves the interchange's books. The core calls it for results, losses,
// cancellations and unreadable frames.
import { assert, InternalError } from '../base/assert.ts';
import type { Failure, InterchangeEffect } from './events.ts';
import type { Manager } from './managers.ts';
import { sayHolding, updateReady } from './schedule.ts';
import type { InterchangeState } from './state.ts';
import type { TaskRecord } from './task.ts';

/** Strikes a task off the books. Whoever calls this sends the answer. */
export function settle(state: InterchangeState, task: TaskRecord, now: number): void {
  const { counters } = state;
  if (!state.tasks.delete(task.id)) throw new InternalError(`task ${task.id} is settled twice`);
  const isInQueue = task.state === 'queued';
  if (isInQueue) counters.queued--;
  else {
    task.manager?.release(task, now);
    counters.leased--;
  }
  task.state = 'answered';
  task.letGo();
  if (isInQueue) task.lane.queue.noteAnswered();
  else state.records.giveBack(task);
  counters.answered++;
}

/** Settles a task with a failure made here. */
export function fail(
  state: InterchangeState,
  effects: InterchangeEffect[],
  task: TaskRecord,
  failure: Failure,
  now: number,
): void {
  settle(state, task, now);
  state.counters.failures++;
  effects.push({ do: 'fail', taskId: task.id, failure });
}

/** Takes a manager out of the table. Each task it held fails with `manager lost`. */
export function removeManager(
  state: InterchangeState,
  effects: InterchangeEffect[],
  manager: Manager,
  now: number,
): void {
  manager.isActive = false;
  updateReady(manager);
  state.managers.delete(manager);
  for (const lane of manager.lanes) lane.managers--;
  state.disconnected.delete(manager);
  state.leaving.delete(manager);
  const { hostname } = manager.registration;
  const failure: Failure = { kind: 'manager lost', manager: manager.peer, hostname, at: now };
  while (manager.firstTask !== undefined) fail(state, effects, manager.firstTask, failure, now);
  // What the log has added up of it is said now or never.
  if (state.logsDebug && manager.unsaid.came > 0) sayHolding(effects, manager, now);
}

/**
 * Throws unless `received = queued + leased + answered` and the books agree with the tables. Costs time in proportion
 * to everything: for tests.
 */
export function checkLaw(state: InterchangeState): void {
  const { received, queued, leased, answered } = state.counters;
  assert(
    received === queued + leased + answered,
    `${received} received, ${queued} + ${leased} + ${answered} accounted`,
  );
  assert(state.tasks.size === queued + leased, `${state.tasks.size} tasks in the table, ${queued} + ${leased} counted`);
  let held = 0;
  for (const manager of state.managers.values()) {
    held += manager.leased;
    assert(manager.leased <= manager.capacity, `${manager.name} holds ${manager.leased} of ${manager.capacity}`);
    assert(manager.taskIds().length === manager.leased, `${manager.name} lists other tasks than it counts`);
  }
  assert(held === leased, `managers hold ${held} tasks, ${leased} counted`);
}

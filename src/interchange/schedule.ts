// Giving out tasks: which task goes to which manager, and how many at once. The core calls `giveOut` at the end of each
// turn, and `updateReady` whenever something about a manager changed.
import { Wording } from '../base/log-text.ts';
import type { InterchangeEffect } from './events.ts';
import type { Lane } from './lane.ts';
import type { Manager } from './managers.ts';
import type { InterchangeState } from './state.ts';
import { runsBefore, type TaskRecord } from './task.ts';

const defaultBatchBytes = 8 * 1024 * 1024;

/** Brings the lanes' sets of ready managers up to date with `manager`. */
export function updateReady(manager: Manager): void {
  const isReady = canTake(manager);
  if (isReady === manager.isReady) return;
  manager.isReady = isReady;
  for (const lane of manager.lanes) {
    if (isReady) lane.ready.add(manager);
    else lane.ready.delete(manager);
  }
}

function canTake(manager: Manager): boolean {
  return (
    manager.isActive && !manager.isDraining && manager.disconnectedAt === undefined && manager.leased < manager.capacity
  );
}

/** Results of this manager came: {@link refill} will see to it, once all of them were seen. */
export function noteFreed(state: InterchangeState, manager: Manager): void {
  if (manager.isFreed) return;
  manager.isFreed = true;
  state.freed.push(manager);
}

/**
 * Gives the managers whose results came their next tasks. While tasks wait, most managers are full before and after, so
 * the sets of ready ones are not touched. Tasks that others stand ready for came in this turn: at its end the selector
 * says who gets them.
 */
export function refill(state: InterchangeState, now: number, effects: InterchangeEffect[]): void {
  for (let manager = state.freed.pop(); manager !== undefined; manager = state.freed.pop()) {
    manager.isFreed = false;
    if (canTake(manager) && manager.lanes.some(hasTasks) && !manager.lanes.some(hasChoice))
      fill(state, effects, manager);
    updateReady(manager);
    if (state.logsDebug) sayHolding(effects, manager, now);
  }
}

const hasTasks = (lane: Lane): boolean => lane.queue.peek() !== undefined;
const hasChoice = (lane: Lane): boolean => lane.ready.size > 0 && hasTasks(lane);

/** Sends queued tasks until either no task waits that a ready manager could run, or none such is ready. */
export function giveOut(state: InterchangeState, now: number, effects: InterchangeEffect[]): void {
  for (;;) {
    const lane = mostUrgentLane(state);
    const manager = lane?.ready.pick();
    if (manager === undefined) return;
    fill(state, effects, manager);
    updateReady(manager);
    if (state.logsDebug) sayHolding(effects, manager, now);
  }
}

/** Of a manager that stays as full as it was the log has one line at most in so many milliseconds. */
const quietMs = 100;

/**
 * One line for the results of a manager and the tasks that it gets for them: with every task comes one. While each result
 * makes room for the next task they would all be the same, so what came is added up until something else can be said.
 */
export function sayHolding(effects: InterchangeEffect[], manager: Manager, now: number): void {
  const { name, unsaid, said, leased, capacity } = manager;
  const { came, passedOn } = unsaid;
  const isAsBefore = said.leased === leased && said.capacity === capacity;
  if (isAsBefore && came === passedOn && now - said.at < quietMs) return;
  const results = came > 0 ? `Passed on ${passedOn} of ${came} results of manager ${name}; it` : `Manager ${name}`;
  const text = new Wording(`${results} now holds ${leased} of at most ${capacity} tasks`).with();
  unsaid.came = 0;
  unsaid.passedOn = 0;
  said.leased = leased;
  said.capacity = capacity;
  said.at = now;
  effects.push({ do: 'log', level: 'debug', text });
}

/** Among lanes with both tasks and ready managers, the one whose first task comes first. */
function mostUrgentLane(state: InterchangeState): Lane | undefined {
  let best: Lane | undefined;
  let first: TaskRecord | undefined;
  for (const lane of state.lanes.values()) {
    if (lane.ready.size === 0) continue;
    const task = lane.queue.peek();
    if (task === undefined) continue;
    if (first !== undefined && !runsBefore(task, first)) continue;
    best = lane;
    first = task;
  }
  return best;
}

/** Gives a manager all it can take, as Parsl does, cut into messages of bounded size. */
function fill(state: InterchangeState, effects: InterchangeEffect[], manager: Manager): void {
  const most = state.settings.batchBytes ?? defaultBatchBytes;
  const { counters } = state;
  let batch: TaskRecord[] | undefined;
  let bytes = 0;
  while (manager.leased < manager.capacity) {
    const task = takeFor(manager);
    if (task === undefined) break;
    if (batch !== undefined && bytes + task.length > most) {
      effects.push({ do: 'send tasks', manager, tasks: batch });
      batch = undefined;
      bytes = 0;
    }
    // A literal is as long as what is in it: one task, for a manager of one worker.
    if (batch === undefined) batch = [task];
    else batch.push(task);
    bytes += task.length;
    manager.lease(task);
    counters.queued--;
    counters.leased++;
  }
  if (batch !== undefined) effects.push({ do: 'send tasks', manager, tasks: batch });
  if (state.settings.isMonitored) mark(state, manager);
}

function takeFor(manager: Manager): TaskRecord | undefined {
  const { lanes } = manager;
  if (lanes.length === 1) return lanes[0]?.queue.pop();
  let best: Lane | undefined;
  let first: TaskRecord | undefined;
  for (const lane of lanes) {
    const task = lane.queue.peek();
    if (task === undefined || (first !== undefined && !runsBefore(task, first))) continue;
    best = lane;
    first = task;
  }
  return best?.queue.pop();
}

/** Notes that monitoring must hear of `manager`, once, at the end of the turn. */
export function mark(state: InterchangeState, manager: Manager): void {
  if (manager.isMarked) return;
  manager.isMarked = true;
  state.marked.push(manager);
}

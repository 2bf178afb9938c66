// Which worker gets which task, and how many ahead; and what a busy worker has not begun and an idle one could do. The core calls
// `dispatch` at the end of each turn.
import type { PoolEffect } from './events.ts';
import { aheadOf } from './prefetch.ts';
import { type PoolState, type PoolTask, requeue, type WorkerRecord } from './state.ts';

/** How long a body may keep others waiting behind it before they are taken to an idle worker, in milliseconds. */
export const patienceMs = 20;

/** Gives what waits to workers that have room. */
export function dispatch(state: PoolState, effects: PoolEffect[], now: number): void {
  for (;;) {
    const task = peek(state);
    if (task === undefined) break;
    const ahead = aheadOf(state.durations.slowestOf(task.head.functionKey));
    const worker = roomiest(state, ahead);
    if (worker === undefined) break;
    fill(state, effects, worker, ahead, now);
  }
  if (state.head === state.queue.length) {
    if (state.head > 0) state.queue = [];
    state.head = 0;
    balance(state, effects, now);
  } else if (state.head > 10_000 && state.head * 2 > state.queue.length) {
    state.queue = state.queue.slice(state.head);
    state.head = 0;
  }
}

/** The first task that is still wanted. */
function peek(state: PoolState): PoolTask | undefined {
  const { queue, tasks } = state;
  while (state.head < queue.length) {
    const task = queue[state.head] as PoolTask;
    // Cancelled tasks were answered, and stay in the queue until here.
    if (tasks.get(task.taskId) === task) return task;
    queue[state.head++] = undefined;
  }
  return undefined;
}

function roomiest(state: PoolState, ahead: number): WorkerRecord | undefined {
  let best: WorkerRecord | undefined;
  for (const worker of state.workers) {
    if (worker.state !== 'ready' || worker.held.size > ahead / 2) continue;
    if (best === undefined || worker.held.size < best.held.size) best = worker;
  }
  return best;
}

/** Gives a worker up to its share. */
function fill(state: PoolState, effects: PoolEffect[], worker: WorkerRecord, ahead: number, now: number): void {
  const waiting = state.queue.length - state.head;
  const share = Math.min(ahead, Math.max(1, Math.ceil(waiting / state.settings.workerCount))) - worker.held.size;
  if (worker.held.size === 0) {
    worker.movedAt = now;
    worker.frontAt = now;
  }
  for (let given = 0; given < Math.max(1, share); given++) {
    const task = peek(state);
    if (task === undefined || (given > 0 && aheadOf(state.durations.slowestOf(task.head.functionKey)) < ahead)) return;
    state.queue[state.head++] = undefined;
    task.worker = worker;
    task.ticket = worker.nextTicket++;
    worker.held.set(task.ticket, task);
    effects.push({ do: 'send job', rank: worker.rank, ticket: task.ticket, buffer: task.buffer });
  }
}

/** When idle workers should be given what others have not begun; infinite for never. */
export function balanceAt(state: PoolState): number {
  let at = Number.POSITIVE_INFINITY;
  for (const worker of state.workers) {
    if (worker.state === 'ready' && worker.held.size > 1) at = Math.min(at, worker.movedAt + patienceMs);
  }
  return at;
}

/** Nothing waits. If somebody is idle, and somebody else has kept jobs waiting for long, those are taken back. */
export function balance(state: PoolState, effects: PoolEffect[], now: number): void {
  if (!state.workers.some((worker) => worker.state === 'ready' && worker.held.size === 0)) return;
  const back: PoolTask[] = [];
  for (const worker of state.workers) {
    if (worker.state !== 'ready' || worker.held.size < 2 || now - worker.movedAt < patienceMs) continue;
    back.push(...takeBack(state, worker));
    // If it had begun everything, look again only after a while.
    worker.movedAt = now;
  }
  if (back.length === 0) return;
  requeue(state, back);
  dispatch(state, effects, now);
}

/** What the worker has not begun. Until it passed over all of them it gets nothing new. */
function takeBack(state: PoolState, worker: WorkerRecord): PoolTask[] {
  let from = 0;
  for (const ticket of worker.held.keys()) {
    from = ticket;
    break;
  }
  const to = worker.nextTicket - 1;
  const begun = state.settings.takeBack(worker.rank, from + 1, to);
  const back: PoolTask[] = [];
  for (const [ticket, task] of worker.held) if (ticket > begun && ticket > from) back.push(task);
  if (back.length > 0) {
    worker.state = 'passing';
    worker.passesUntil = to;
  }
  return back;
}

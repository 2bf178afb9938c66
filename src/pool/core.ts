// The decisions of a pool's manager, without sockets, processes, files or clock. The shell (shell.ts) feeds it events and carries out
// the effects.
//
//   interchange --tasks, words-->   +--------------------------+   --jobs, stops-->        workers, one process each,
//               <--results, beats-- |  step(state, event, now) |   <--results, deaths--    one body at a time
//                                   +--------------------------+
//
// A task is on the books from the event `tasks` to its one answer: `received = queued + held + answered`, always.
import { assert, assertNever, InternalError } from '../base/assert.ts';
import type { Result } from '../base/result.ts';
import { DeserializationError } from '../task/errors.ts';
import type { Runtime } from '../task/ports.ts';
import { isNodeCall, readCallHead } from '../wire/calls.ts';
import { isRunningNote } from '../wire/notes.ts';
import { readPythonJob } from '../wire/python/job.ts';
import { balance, balanceAt, dispatch } from './dispatch.ts';
import type { PoolEffect, PoolEvent, TaskIn } from './events.ts';
import { askAgain, hasCode, onCode } from './parking.ts';
import { capacityFor } from './prefetch.ts';
import { noteAt, noteRunning } from './running.ts';
import { log, markNoted, type PoolState, type PoolTask, type TaskHead, type WorkerRecord } from './state.ts';
import {
  nextLimit,
  onBegan,
  onCancel,
  onCommand,
  onGone,
  onJobEnded,
  onLimits,
  onLoading,
  onReady,
  onStopping,
} from './workers.ts';

export { createPool, type PoolState } from './state.ts';

/** After this the interchange's process is taken to be gone, when nobody listens at its address, in milliseconds. */
const refusedGraceMs = 1_000;

/**
 * Advances the pool by one event and appends what must be done to `effects`. The state changes in place. Tasks are given out and timers
 * set by the event `turn`: send it after every group of events, `timer` included.
 *
 * @param now milliseconds, never less than in the call before
 *
 * @example
 * const state = createPool(settings, now);
 * step(state, { type: 'tasks', tasks }, now, effects);
 * step(state, { type: 'turn' }, now, effects);
 */
export function step(state: PoolState, event: PoolEvent, now: number, effects: PoolEffect[]): PoolEffect[] {
  switch (event.type) {
    case 'tasks':
      state.heardAt = now;
      for (const task of event.tasks) onTask(state, effects, task);
      return effects;
    case 'job ended':
      onJobEnded(state, effects, workerOf(state, event.rank), event, now);
      return effects;
    case 'turn':
      onTurn(state, effects, now);
      return effects;
    case 'note': {
      const task = workerOf(state, event.rank).held.get(event.ticket);
      if (task === undefined || !state.isWelcome) return effects;
      if (!isRunningNote(event.bytes) || markNoted(state, task))
        effects.push({ do: 'note', taskId: task.taskId, bytes: event.bytes });
      return effects;
    }
    case 'job began':
      onBegan(workerOf(state, event.rank), event.ticket, now);
      return effects;
    case 'loading':
      onLoading(workerOf(state, event.rank), event.ticket, event.modules);
      return effects;
    case 'command began':
      onCommand(workerOf(state, event.rank), event.ticket);
      return effects;
    case 'job stopping':
      onStopping(workerOf(state, event.rank), event.ticket, now);
      return effects;
    case 'worker ready':
      onReady(workerOf(state, event.rank), now);
      return effects;
    case 'worker gone':
      onGone(state, effects, workerOf(state, event.rank), event.death, now);
      return effects;
    case 'cancel':
      state.heardAt = now;
      for (const taskId of event.taskIds) onCancel(state, effects, taskId, event.reason, now);
      return effects;
    case 'heartbeat':
      state.heardAt = now;
      return effects;
    case 'code':
      state.heardAt = now;
      onCode(state, effects, event.name, event.problem);
      return effects;
    case 'welcome':
      state.heardAt = now;
      state.isWelcome = true;
      state.isCapacityStale = true;
      return effects;
    case 'drained':
      leave(state, effects, 0, 'the interchange has nothing left for this pool');
      return effects;
    case 'refusal':
      leave(state, effects, 1, `the interchange refused this pool: ${event.reason}`);
      return effects;
    case 'misfit':
      leave(state, effects, 1, event.reason);
      return effects;
    case 'malformed':
      state.heardAt = now;
      log(state, effects, 'error', `A message of the interchange cannot be read: ${event.reason}`);
      return effects;
    case 'connected':
      onConnected(state, effects, now);
      return effects;
    case 'disconnected':
      onDisconnected(state, effects, event.isRefused, now);
      return effects;
    case 'stop':
      leave(state, effects, 0, event.reason);
      return effects;
    case 'timer':
      state.timerAt = Number.POSITIVE_INFINITY;
      onTimer(state, effects, now);
      return effects;
    default:
      return assertNever(event);
  }
}

function workerOf(state: PoolState, rank: number): WorkerRecord {
  const worker = state.workers[rank];
  if (worker === undefined) throw new InternalError(`there is no worker ${rank}`);
  return worker;
}

function onTask(state: PoolState, effects: PoolEffect[], given: TaskIn): void {
  const { taskId } = given;
  if (state.tasks.has(taskId)) {
    log(state, effects, 'error', `Task ${taskId} came again while it was not answered; dropped the second`);
    return;
  }
  state.counters.received++;
  const read = readJob(state.settings.runtime, given);
  if (!read.ok) {
    state.counters.answered++;
    const error = new DeserializationError(read.error);
    effects.push({ do: 'fail', taskId, error, isPython: !isNodeCall(given.buffer) });
    return;
  }
  const { buffer, head } = read.value;
  // An interchange that is not ours does not pass such things on.
  const isNoted = !head.isTold || !state.isWelcome;
  const task: PoolTask = {
    taskId,
    buffer,
    head,
    worker: undefined,
    ticket: 0,
    beganAt: undefined,
    loading: undefined,
    isCommand: false,
    isNoted,
    stop: undefined,
  };
  state.tasks.set(taskId, task);
  if (!isNoted) state.unnoted++;
  if (task.head.timeoutMs > 0) state.limited++;
  if (hasCode(state, effects, task)) state.queue.push(task);
}

function readJob(
  runtime: Runtime,
  { buffer, context }: TaskIn,
): Result<{ readonly buffer: Uint8Array; readonly head: TaskHead }> {
  if (runtime === 'node') {
    const head = readCallHead(buffer);
    if (!head.ok)
      return {
        ok: false,
        error: `This pool runs Node functions only, and the task is none: ${head.error}. With --python it has Python workers, too.`,
      };
    return { ok: true, value: { buffer, head: head.value } };
  }
  const job = readPythonJob(buffer, context);
  if (!job.ok) return { ok: false, error: `This pool runs Python functions only, and the task is none: ${job.error}.` };
  const { timeoutMs, functionKey, isTold, isChervil, bytes } = job.value;
  return {
    ok: true,
    value: { buffer: bytes, head: { kind: 'function', timeoutMs, functionKey, isTold, isPython: !isChervil } },
  };
}

function onConnected(state: PoolState, effects: PoolEffect[], now: number): void {
  state.heardAt = now;
  state.refusedSince = undefined;
  askAgain(state, effects);
  if (state.phase !== 'joining') return;
  state.phase = 'serving';
  state.lastHeartbeatAt = now;
  effects.push({ do: 'register' });
}

function onDisconnected(state: PoolState, effects: PoolEffect[], isRefused: boolean, now: number): void {
  if (state.phase === 'joining' || state.phase === 'leaving') return;
  if (isRefused) state.refusedSince ??= now;
  log(
    state,
    effects,
    'warning',
    isRefused ? 'Nobody listens at the address of the interchange' : 'The connection to the interchange broke',
  );
}

function onTimer(state: PoolState, effects: PoolEffect[], now: number): void {
  const { settings, phase } = state;
  if (phase === 'leaving') return;
  if (phase !== 'joining') {
    if (now >= state.lastHeartbeatAt + settings.heartbeatPeriodMs) {
      state.lastHeartbeatAt = now;
      effects.push({ do: 'heartbeat' });
    }
    if (phase === 'serving' && now >= drainAt(state)) {
      state.phase = 'draining';
      effects.push({ do: 'drain' });
      log(state, effects, 'info', 'The drain period is over: no more tasks, please');
    }
    if (now > state.heardAt + settings.heartbeatThresholdMs) {
      leave(state, effects, 0, `the interchange was not heard for ${Math.round((now - state.heardAt) / 1_000)} s`);
      return;
    }
    if (state.refusedSince !== undefined && now >= state.refusedSince + refusedGraceMs) {
      leave(state, effects, 0, 'the interchange is gone');
      return;
    }
  }
  onLimits(state, effects, now);
  if (state.unnoted > 0) noteRunning(state, effects, now);
  if (state.head === state.queue.length) balance(state, effects, now);
}

function drainAt({ settings, startedAt }: PoolState): number {
  return settings.drainAfterMs === undefined ? Number.POSITIVE_INFINITY : startedAt + settings.drainAfterMs;
}

function leave(state: PoolState, effects: PoolEffect[], exitCode: number, reason: string): void {
  if (state.phase === 'leaving') return;
  state.phase = 'leaving';
  effects.push({ do: 'end', exitCode, reason });
}

function onTurn(state: PoolState, effects: PoolEffect[], now: number): void {
  if (state.phase === 'leaving') return;
  dispatch(state, effects, now);
  if (state.isCapacityStale) {
    state.isCapacityStale = false;
    updateCapacity(state, effects);
  }
  const at = nextTimer(state);
  if (at >= state.timerAt) return;
  state.timerAt = at;
  effects.push({ do: 'timer', at });
}

function updateCapacity(state: PoolState, effects: PoolEffect[]): void {
  const { settings, durations } = state;
  if (!state.isWelcome || settings.prefetch !== 'auto' || state.phase !== 'serving') return;
  const capacity = capacityFor(settings.workerCount, durations.meanMs);
  // A step down waits for two: between two steps it would go to and fro.
  if (capacity <= state.capacity && capacity * 2 > state.capacity && capacity !== settings.workerCount) return;
  if (capacity === state.capacity) return;
  state.capacity = capacity;
  effects.push({ do: 'tell capacity', capacity });
}

/** When something must be looked at next. */
function nextTimer(state: PoolState): number {
  const { settings, phase } = state;
  let at = Number.POSITIVE_INFINITY;
  if (phase !== 'joining') {
    at = Math.min(
      state.lastHeartbeatAt + settings.heartbeatPeriodMs,
      state.heardAt + settings.heartbeatThresholdMs + 1,
    );
    if (phase === 'serving') at = Math.min(at, drainAt(state));
    if (state.refusedSince !== undefined) at = Math.min(at, state.refusedSince + refusedGraceMs);
  }
  for (const worker of state.workers) {
    if (worker.state === 'resting') at = Math.min(at, worker.startAt);
    else {
      if (state.limited > 0) at = Math.min(at, nextLimit(state, worker));
      if (state.unnoted > 0) at = Math.min(at, noteAt(worker));
    }
  }
  const isIdle =
    state.head === state.queue.length &&
    state.workers.some((worker) => worker.state === 'ready' && worker.held.size === 0);
  return isIdle ? Math.min(at, balanceAt(state)) : at;
}

/** Throws unless the books agree with the tables: for tests. */
export function checkLaw(state: PoolState): void {
  let held = 0;
  for (const worker of state.workers) held += worker.held.size;
  let queued = 0;
  for (let at = state.head; at < state.queue.length; at++) {
    const task = state.queue[at];
    if (task !== undefined && state.tasks.get(task.taskId) === task) queued++;
  }
  for (const task of state.parked) if (state.tasks.get(task.taskId) === task) queued++;
  const { received, answered } = state.counters;
  assert(
    received === queued + held + answered,
    `${received} received, but ${queued} queued, ${held} held, ${answered} answered`,
  );
  assert(
    state.tasks.size === queued + held,
    `${state.tasks.size} tasks on the books, but ${queued} queued and ${held} held`,
  );
}

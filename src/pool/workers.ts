// What workers report and how they end: results, timeouts, cancelled jobs, deaths. The core calls these; they answer for tasks, and say
// which workers are killed and started.
import { CancelledError, type TaskError, TimeoutError, WorkerLostError } from '../task/errors.ts';
import { loadingLimit } from '../task/limits.ts';
import type { Death, PoolEffect, PoolEvent } from './events.ts';
import { noteBegun } from './running.ts';
import { fail, log, type PoolState, type PoolTask, requeue, settle, type WorkerRecord } from './state.ts';

/** How much longer than its timeout a body may run before its worker is killed; commands are ended by the worker, with a grace. */
const slackMs = 20;
const commandSlackMs = 7_000;
/** How long a body that does not answer a stop may go on: a busy machine needs a while to ask; and one that said that it can stop. */
const graceMs = 300;
const stoppingGraceMs = 7_000;
const mostFailedStarts = 5;

export function onReady(worker: WorkerRecord, now: number): void {
  if (worker.state !== 'starting') return;
  worker.state = 'ready';
  worker.failedStarts = 0;
  worker.movedAt = now;
  worker.frontAt = now;
}

export function onJobEnded(
  state: PoolState,
  effects: PoolEffect[],
  worker: WorkerRecord,
  event: Extract<PoolEvent, { type: 'job ended' }>,
  now: number,
): void {
  const { ticket, how, bytes, tookMs, beganAt } = event;
  worker.movedAt = now;
  worker.frontAt = now;
  if (worker.state === 'passing' && ticket >= worker.passesUntil) worker.state = 'ready';
  const task = worker.held.get(ticket);
  if (how === 'passed over') {
    // It was taken back; unless the worker passed over a job of which we thought that it had begun.
    if (task !== undefined) requeue(state, [task]);
    return;
  }
  if (task !== undefined) {
    state.durations.note(task.head.functionKey, tookMs);
    state.isCapacityStale = true;
    settle(state, task);
    const ran = task.isNoted || beganAt === 0 ? undefined : { rank: worker.rank, beganAt, tookMs };
    effects.push({ do: 'result', taskId: task.taskId, isException: how !== 'value', ran, bytes });
  }
  if (how === 'abandoned') kill(effects, worker);
}

export function onBegan(worker: WorkerRecord, ticket: number, now: number): void {
  const task = worker.held.get(ticket);
  if (task === undefined) return;
  task.beganAt = now;
  worker.movedAt = now;
}

export function onLoading(worker: WorkerRecord, ticket: number, modules: readonly string[]): void {
  const task = worker.held.get(ticket);
  if (task !== undefined) task.loading = modules;
}

export function onCommand(worker: WorkerRecord, ticket: number): void {
  const task = worker.held.get(ticket);
  if (task !== undefined) task.isCommand = true;
}

/** The submitter does not want a task any more. What runs is asked to stop, and killed with its worker when it does not. */
export function onCancel(state: PoolState, effects: PoolEffect[], taskId: number, reason: string, now: number): void {
  const task = state.tasks.get(taskId);
  if (task === undefined || task.stop !== undefined) return;
  const error = new CancelledError(reason === '' ? undefined : reason);
  const { worker } = task;
  if (worker === undefined) {
    fail(state, effects, task, error);
    return;
  }
  if (task.head.timeoutMs === 0) state.limited++;
  task.stop = { error, at: now + graceMs };
  if (dropIfNotBegun(state, effects, task, worker)) return;
  effects.push({ do: 'stop job', rank: worker.rank, ticket: task.ticket, error });
}

export function onStopping(worker: WorkerRecord, ticket: number, now: number): void {
  const task = worker.held.get(ticket);
  if (task?.stop !== undefined) task.stop = { ...task.stop, at: now + stoppingGraceMs };
}

function dropIfNotBegun(state: PoolState, effects: PoolEffect[], task: PoolTask, worker: WorkerRecord): boolean {
  if (worker.state !== 'ready') return false;
  const { ticket } = task;
  if (state.settings.takeBack(worker.rank, ticket, ticket) >= ticket) return false;
  worker.state = 'passing';
  worker.passesUntil = ticket;
  fail(state, effects, task, (task.stop as { error: TaskError }).error);
  return true;
}

/** Kills the workers of bodies that ran over their time, or never began, or did not stop when asked. */
export function onLimits(state: PoolState, effects: PoolEffect[], now: number): void {
  for (const worker of state.workers) {
    if (worker.state === 'resting' && worker.startAt <= now && state.phase !== 'leaving') {
      worker.state = 'starting';
      effects.push({ do: 'start worker', rank: worker.rank });
    }
    if (state.limited === 0 || !canBeLimited(worker)) continue;
    const front = first(worker);
    for (const task of worker.held.values()) {
      if (limitOf(state, worker, task, task === front) > now) continue;
      if (task.stop !== undefined) {
        if (dropIfNotBegun(state, effects, task, worker)) continue;
        if (worker.state === 'passing' && task.beganAt === undefined && task !== first(worker)) {
          // Whether it began is known when the worker has passed over what was taken back before.
          task.stop = { ...task.stop, at: now + graceMs };
          continue;
        }
        const { error } = task.stop;
        log(
          state,
          effects,
          'info',
          `Worker ${worker.rank} is killed: task ${task.taskId} did not stop when it was cancelled`,
        );
        fail(state, effects, task, error);
      } else if (task.beganAt === undefined) {
        if (state.settings.begun(worker.rank) < task.ticket) {
          // It has not come to it: the worker is held up by something else.
          worker.frontAt = now;
          break;
        }
        failLoading(state, effects, worker, task);
      } else {
        log(
          state,
          effects,
          'info',
          `Worker ${worker.rank} is killed: task ${task.taskId} ran over its timeout of ${task.head.timeoutMs} ms`,
        );
        fail(state, effects, task, new TimeoutError(task.head.timeoutMs));
      }
      kill(effects, worker);
      break;
    }
  }
}

function failLoading(state: PoolState, effects: PoolEffect[], worker: WorkerRecord, task: PoolTask): void {
  const { timeoutMs } = task.head;
  const error = new TimeoutError(timeoutMs, {
    modules: task.loading ?? [],
    limitMs: loadingLimit(timeoutMs, state.settings.leastLoadingMs),
  });
  log(state, effects, 'info', `Worker ${worker.rank} is killed for task ${task.taskId}: ${error.message}`);
  fail(state, effects, task, error);
}

function first(worker: WorkerRecord): PoolTask | undefined {
  for (const task of worker.held.values()) return task;
  return undefined;
}

/** When it must be looked whether the worker is to be killed for something that it holds; infinite for never. */
export function nextLimit(state: PoolState, worker: WorkerRecord): number {
  let at = Number.POSITIVE_INFINITY;
  if (!canBeLimited(worker)) return at;
  const front = first(worker);
  for (const task of worker.held.values()) at = Math.min(at, limitOf(state, worker, task, task === front));
  return at;
}

/** Whether it runs anything, and will not be killed anyway. */
function canBeLimited({ state }: WorkerRecord): boolean {
  return state === 'ready' || state === 'passing';
}

/** When the task's worker is to be killed for it; infinite for never. */
function limitOf(state: PoolState, worker: WorkerRecord, task: PoolTask, isFront: boolean): number {
  const { timeoutMs } = task.head;
  if (task.stop !== undefined) return task.stop.at;
  if (timeoutMs === 0) return Number.POSITIVE_INFINITY;
  if (task.beganAt !== undefined) return task.beganAt + timeoutMs + (task.isCommand ? commandSlackMs : slackMs);
  // Of what is held only the first can be loading.
  if (!isFront) return Number.POSITIVE_INFINITY;
  return worker.frontAt + loadingLimit(timeoutMs, state.settings.leastLoadingMs) + slackMs;
}

function kill(effects: PoolEffect[], worker: WorkerRecord): void {
  if (worker.state === 'dying' || worker.state === 'resting') return;
  worker.state = 'dying';
  effects.push({ do: 'kill worker', rank: worker.rank });
}

/** A worker's process is gone. What it had begun is lost with it, what it had not goes to others, and it is started again. */
export function onGone(state: PoolState, effects: PoolEffect[], worker: WorkerRecord, death: Death, now: number): void {
  const wasKilled = worker.state === 'dying';
  const back: PoolTask[] = [];
  for (const [ticket, task] of worker.held) {
    if (ticket > death.begun) {
      back.push(task);
      continue;
    }
    state.counters.lost++;
    if (ticket === death.begun) noteBegun(state, effects, worker, ticket);
    fail(state, effects, task, task.stop?.error ?? lostError(state, worker, death, wasKilled));
  }
  requeue(state, back);
  worker.held.clear();
  const how = death.signal === null ? `exit code ${death.exitCode}` : `signal ${death.signal}`;
  if (!wasKilled)
    log(
      state,
      effects,
      'warning',
      `Worker ${worker.rank} ended by itself: ${how}, ${death.reason}. ${death.stderrTail}`,
    );
  const neverRan = worker.state === 'starting';
  worker.failedStarts = neverRan ? worker.failedStarts + 1 : 0;
  worker.nextTicket = 1;
  worker.state = 'resting';
  if (state.phase === 'leaving') return;
  if (worker.failedStarts >= mostFailedStarts) {
    state.phase = 'leaving';
    effects.push({
      do: 'end',
      exitCode: 1,
      reason: `worker ${worker.rank} cannot be started: ${how}. ${death.stderrTail}`,
    });
    return;
  }
  state.counters.restarts++;
  worker.startAt = neverRan ? now + 100 * 2 ** worker.failedStarts : now;
  if (worker.startAt > now) return;
  worker.state = 'starting';
  effects.push({ do: 'start worker', rank: worker.rank });
}

function lostError(state: PoolState, worker: WorkerRecord, death: Death, wasKilled: boolean): WorkerLostError {
  const { exitCode, signal, stderrTail } = death;
  const reason = wasKilled ? 'unknown' : death.reason;
  const detail = wasKilled
    ? 'The pool ended it because of another task.'
    : reason === 'memory'
      ? 'Give the task less to hold, or the worker more memory.'
      : reason === 'exit'
        ? state.settings.runtime === 'python'
          ? 'The body called sys.exit(), or ended its process.'
          : 'The body called process.exit().'
        : '';
  return new WorkerLostError({
    worker: `${state.settings.uid}/${worker.rank}`,
    host: state.settings.hostname,
    exitCode,
    signal,
    reason,
    detail,
    stderrTail,
  });
}

// The whole state of a pool's manager, in one place. Only the core's own files change it; the shell and tests read it.
import type { TaskError } from '../task/errors.ts';
import type { PoolEffect, PoolSettings } from './events.ts';
import { Durations } from './prefetch.ts';

/** What must be known of a task, in whatever language it is. */
export interface TaskHead {
  readonly kind: 'function' | 'bash';
  /** 0 is without limit. */
  readonly timeoutMs: number;
  readonly functionKey: number;
  /** Its submitter wants to know where and when its body runs. */
  readonly isTold: boolean;
  /** Its submitter reads Python's exceptions. */
  readonly isPython?: boolean;
}

/** A task that the pool answers for, until it did. */
export interface PoolTask {
  readonly taskId: number;
  /** What a worker gets of it. */
  readonly buffer: Uint8Array;
  readonly head: TaskHead;
  /** Where it is: a worker's rank and its ticket there. */
  worker: WorkerRecord | undefined;
  ticket: number;
  /** When its body began; only known for those with a timeout. */
  beganAt: number | undefined;
  /** Modules that are loaded before its body; only known for those with a timeout. */
  loading: readonly string[] | undefined;
  /** What runs of it is its command; only known for those with a timeout. */
  isCommand: boolean;
  /** Its submitter knows that it runs, or does not want to. */
  isNoted: boolean;
  /** Somebody wants it ended: why, and when patience ends. */
  stop: { readonly error: TaskError; readonly at: number } | undefined;
}

/** `starting` takes no jobs yet; `passing` passes over what was taken back; `dying` was killed; `resting` waits to be started again. */
export type WorkerState = 'starting' | 'ready' | 'passing' | 'dying' | 'resting';

export interface WorkerRecord {
  readonly rank: number;
  state: WorkerState;
  /** What it holds, oldest first: it runs them in this order. */
  readonly held: Map<number, PoolTask>;
  nextTicket: number;
  /** While `passing`: the last ticket that it will pass over. */
  passesUntil: number;
  /** When it last began to hold something or answered, in milliseconds. */
  movedAt: number;
  /** Since when the first of what it holds is the first, in milliseconds: it has not been at that for longer. */
  frontAt: number;
  /** When it was last looked whether it runs something that nobody knows of, in milliseconds. */
  lookedAt: number;
  /** Deaths in a row before it was ready. */
  failedStarts: number;
  /** While `resting`: when to start it again. */
  startAt: number;
}

export interface PoolState {
  readonly settings: PoolSettings;
  /** `joining` until the first connection; `leaving` runs nothing more. */
  phase: 'joining' | 'serving' | 'draining' | 'leaving';
  readonly startedAt: number;
  isWelcome: boolean;
  capacity: number;
  lastHeartbeatAt: number;
  /** When the interchange was last heard. */
  heardAt: number;
  /** Since when nobody listens where the interchange was. */
  refusedSince: number | undefined;
  /** Tasks that no worker has, in order; taken from `head` on. */
  queue: (PoolTask | undefined)[];
  head: number;
  /** Tasks whose code has not come yet. */
  parked: PoolTask[];
  /** Files of code that came, or were asked for. */
  readonly code: Map<string, 'asked' | 'here'>;
  /** Tasks that are not answered. */
  readonly tasks: Map<number, PoolTask>;
  readonly workers: readonly WorkerRecord[];
  readonly durations: Durations;
  /** `received = queued + held + answered`, always. */
  readonly counters: { received: number; answered: number; lost: number; restarts: number };
  timerAt: number;
  /** Unanswered tasks that have a timeout, or are to be stopped. */
  limited: number;
  /** Unanswered tasks of which is to be told that they run, and has not been. */
  unnoted: number;
  /** Workers have moved since capacity was last looked at. */
  isCapacityStale: boolean;
}

/** A manager that has done nothing yet. */
export function createPool(settings: PoolSettings, now: number): PoolState {
  const workers = Array.from(
    { length: settings.workerCount },
    (_, rank): WorkerRecord => ({
      rank,
      state: 'starting',
      held: new Map(),
      nextTicket: 1,
      passesUntil: 0,
      movedAt: now,
      frontAt: now,
      lookedAt: now,
      failedStarts: 0,
      startAt: now,
    }),
  );
  return {
    settings,
    phase: 'joining',
    startedAt: now,
    isWelcome: false,
    capacity: firstCapacity(settings),
    lastHeartbeatAt: now,
    heardAt: now,
    refusedSince: undefined,
    queue: [],
    head: 0,
    parked: [],
    code: new Map(),
    tasks: new Map(),
    workers,
    durations: new Durations(),
    counters: { received: 0, answered: 0, lost: 0, restarts: 0 },
    timerAt: Number.POSITIVE_INFINITY,
    limited: 0,
    unnoted: 0,
    isCapacityStale: false,
  };
}

/** What it may hold when it registers. */
export function firstCapacity({ workerCount, prefetch }: PoolSettings): number {
  return workerCount + (prefetch === 'auto' ? 0 : prefetch);
}

export function log(
  state: PoolState,
  effects: PoolEffect[],
  level: 'debug' | 'info' | 'warning' | 'error',
  text: string,
): void {
  if (level !== 'debug' || state.settings.isDebug) effects.push({ do: 'log', level, text });
}

/** Strikes a task off the books. Whoever calls this sends the answer. */
export function settle(state: PoolState, task: PoolTask): void {
  state.tasks.delete(task.taskId);
  task.worker?.held.delete(task.ticket);
  task.worker = undefined;
  state.counters.answered++;
  if (task.head.timeoutMs > 0 || task.stop !== undefined) state.limited--;
  if (!task.isNoted) state.unnoted--;
}

/** Its submitter knows from now on that it runs. @returns whether that is new to it */
export function markNoted(state: PoolState, task: PoolTask): boolean {
  if (task.isNoted) return false;
  task.isNoted = true;
  state.unnoted--;
  return true;
}

/** Settles a task with a failure made here. */
export function fail(state: PoolState, effects: PoolEffect[], task: PoolTask, error: TaskError): void {
  settle(state, task);
  effects.push({ do: 'fail', taskId: task.taskId, error, isPython: task.head.isPython === true });
}

/** Puts tasks before all others, as they were. */
export function requeue(state: PoolState, tasks: readonly PoolTask[]): void {
  if (tasks.length === 0) return;
  for (const task of tasks) {
    task.worker?.held.delete(task.ticket);
    task.worker = undefined;
    task.beganAt = undefined;
    task.loading = undefined;
    task.isCommand = false;
  }
  state.queue = [...tasks, ...state.queue.slice(state.head)];
  state.head = 0;
}

// Answers to commands. Every command gets exactly one answer, since the submitter's socket waits for it.
import { assertNever } from '../base/assert.ts';
import type { CancelAnswer, Command, CommandReply, ManagerLine, StatusReport } from '../wire/messages/command.ts';
import { fail } from './answer.ts';
import type { InterchangeEffect } from './events.ts';
import { mark, updateReady } from './schedule.ts';
import { loseBlock } from './silence.ts';
import { type InterchangeState, log } from './state.ts';

export function onCommand(
  state: InterchangeState,
  token: number,
  command: Command,
  now: number,
  effects: InterchangeEffect[],
): void {
  effects.push({ do: 'answer', token, reply: answerTo(state, command, now, effects) });
}

function answerTo(state: InterchangeState, command: Command, now: number, effects: InterchangeEffect[]): CommandReply {
  switch (command.name) {
    case 'worker binds':
      return { name: 'port' };
    case 'worker ports':
      return { name: 'ports' };
    case 'outstanding':
      return { name: 'number', value: state.counters.queued + state.counters.leased };
    case 'workers': {
      let value = 0;
      for (const manager of state.managers.values()) value += manager.registration.workerCount;
      return { name: 'number', value };
    }
    case 'connected blocks':
      return { name: 'texts', values: state.blocks };
    case 'managers':
      return { name: 'managers', managers: managerLines(state, now) };
    case 'managers packages': {
      const managers = Array.from(state.managers.values(), (manager) => ({
        manager: manager.name,
        packages: manager.registration.packages ?? new Map<string, string>(),
      }));
      return { name: 'packages', managers };
    }
    case 'hold manager':
      hold(state, command.manager, effects);
      return { name: 'nothing' };
    case 'cancel':
      state.isChervilSubmitter = true;
      return {
        name: 'cancelled',
        answers: command.taskIds.map((taskId) => cancel(state, taskId, command.reason ?? '', now, effects)),
      };
    case 'block ended':
      state.isChervilSubmitter = true;
      loseBlock(state, command.blockId, now, effects);
      return { name: 'nothing' };
    case 'extensions':
      state.isChervilSubmitter = true;
      return { name: 'texts', values: ['batch', 'files'] };
    case 'status':
      state.isChervilSubmitter = true;
      return { name: 'status', report: statusReport(state, now) };
    case 'unknown':
      log(state, effects, 'error', `Unknown command: ${command.shown}`);
      return { name: 'nothing' };
    default:
      return assertNever(command);
  }
}

function hold(state: InterchangeState, name: string, effects: InterchangeEffect[]): void {
  const manager = state.managers.named(name);
  if (manager === undefined) {
    log(state, effects, 'warning', `Cannot hold ${JSON.stringify(name)}: no such manager`);
    return;
  }
  manager.isActive = false;
  updateReady(manager);
  log(state, effects, 'info', `Manager ${manager.name} is held: it gets no more tasks and keeps its ${manager.leased}`);
  if (state.settings.isMonitored) mark(state, manager);
}

/** A queued task fails here and now; a running one is left to its manager, if that can stop tasks. */
function cancel(
  state: InterchangeState,
  taskId: number,
  reason: string,
  now: number,
  effects: InterchangeEffect[],
): CancelAnswer {
  const task = state.tasks.get(taskId);
  if (task === undefined) return 'unknown';
  if (task.manager === undefined) {
    fail(state, effects, task, { kind: 'cancelled' }, now);
    state.counters.cancelled++;
    return 'removed';
  }
  if (!task.manager.registration.extensions.includes('cancel')) return 'running';
  effects.push({ do: 'cancel task', manager: task.manager, taskId, reason });
  return 'asked';
}

function managerLines(state: InterchangeState, now: number): ManagerLine[] {
  return Array.from(state.managers.values(), (manager) => ({
    manager: manager.name,
    blockId: manager.registration.blockId,
    workerCount: manager.registration.workerCount,
    tasks: manager.leased,
    idleSeconds: manager.idleSince === undefined ? 0 : (now - manager.idleSince) / 1_000,
    isActive: manager.isActive,
    parslVersion: manager.registration.parslVersion,
    pythonVersion: manager.registration.pythonVersion,
    isDraining: manager.isDraining,
    // Parsl's pools say nothing of it, and their answers stay as Parsl has them.
    ...(manager.registration.extensions.length === 0 ? {} : { languages: manager.registration.runtimes }),
    ...(manager.doubt === undefined ? {} : { doubt: manager.doubt.reason }),
  }));
}

/** Everything there is to see, as plain data. */
export function statusReport(state: InterchangeState, now: number): StatusReport {
  return {
    counters: { ...state.counters },
    managers: managerLines(state, now),
    lanes: Array.from(state.lanes.values(), (lane) => ({ runtime: lane.runtime, readyManagers: lane.ready.size })),
    refusals: Array.from(state.refusals, ([manager, { reason, times }]) => ({ manager, reason, times })),
  };
}

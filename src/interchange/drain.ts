// Managers that leave in peace: on their own word, or (pools since 2026.10.19) at the time they named when they
// registered. The core calls it for drain requests and results, the timer for times.
import { removeManager } from './answer.ts';
import type { InterchangeEffect } from './events.ts';
import type { Manager } from './managers.ts';
import { rememberDrained } from './outsiders.ts';
import { updateReady } from './schedule.ts';
import { type InterchangeState, log } from './state.ts';

/** From now on this manager gets no tasks; once it holds none it is told to end. */
export function drain(state: InterchangeState, manager: Manager, now: number, effects: InterchangeEffect[]): void {
  state.leaving.delete(manager);
  manager.isDraining = true;
  log(state, effects, 'info', `Manager ${manager.name} drains; it still holds ${manager.leased} tasks`);
  if (manager.leased === 0) finishDrain(state, manager, now, effects);
  else updateReady(manager);
}

/** Tells a manager that drains and holds nothing to end. */
export function finishDrain(
  state: InterchangeState,
  manager: Manager,
  now: number,
  effects: InterchangeEffect[],
): void {
  removeManager(state, effects, manager, now);
  rememberDrained(state, manager.peer);
  effects.push({ do: 'reply', peer: manager.peer, style: manager.style, what: 'drained' });
  if (state.settings.isMonitored) effects.push({ do: 'record manager', manager, now });
  log(state, effects, 'info', `Manager ${manager.name} is drained`);
}

/** Remembers when a manager that just registered wants to drain, if it said so. */
export function planDrain(state: InterchangeState, manager: Manager): void {
  const at = drainAt(manager);
  if (at === Number.POSITIVE_INFINITY) return;
  state.leaving.add(manager);
  state.leavesFrom = Math.min(state.leavesFrom, at);
}

/** Drains every manager whose time has come. Looks at those with a time only when the first of them may be due. */
export function drainDue(state: InterchangeState, now: number, effects: InterchangeEffect[]): void {
  if (now < state.leavesFrom) return;
  state.leavesFrom = Number.POSITIVE_INFINITY;
  for (const manager of state.leaving) {
    const at = drainAt(manager);
    if (at <= now) drain(state, manager, now, effects);
    else state.leavesFrom = Math.min(state.leavesFrom, at);
  }
}

/** In milliseconds since the epoch, by the pool's clock, which is trusted as Parsl does. */
function drainAt(manager: Manager): number {
  const { drainTime } = manager.registration;
  return drainTime === undefined ? Number.POSITIVE_INFINITY : drainTime * 1_000;
}

// Noticing managers that are gone. Managers stand in the order in which they were last heard, so one timer for the
// first of them is enough, and an idle interchange wakes only when somebody may have been silent too long.
import { removeManager } from './answer.ts';
import { drainDue } from './drain.ts';
import type { InterchangeEffect } from './events.ts';
import type { Manager } from './managers.ts';
import { type InterchangeState, log } from './state.ts';
import { refuseUseless, unservedUntil } from './unserved.ts';

/**
 * How long the answer to a heartbeat may wait for others, in milliseconds: far less than a pool waits before it takes the
 * interchange for lost. Short thresholds are for tests, or for people in a hurry, and none waits there.
 */
export function patienceOfAnswers(heartbeatThresholdMs: number): number {
  return heartbeatThresholdMs < 20_000 ? 0 : 1_000;
}

/** Asks for a timer if the next deadline comes before the one that runs. */
export function setTimer(state: InterchangeState, effects: InterchangeEffect[]): void {
  const at = Math.max(nextDeadline(state), state.patientUntil);
  if (at >= state.timerAt) return;
  state.timerAt = at;
  effects.push({ do: 'timer', at });
}

/** Declares lost who has been silent, or without connection, for too long. */
export function onTimer(state: InterchangeState, now: number, effects: InterchangeEffect[]): void {
  const late = now - state.timerAt;
  const { heartbeatThresholdMs } = state.settings;
  state.timerAt = Number.POSITIVE_INFINITY;
  // A timer this late means that the interchange itself stood still (a suspended machine, a debugger): the managers'
  // heartbeats may wait unread in the sockets, so look again after these were seen.
  if (late > Math.max(1_000, heartbeatThresholdMs / 10)) {
    state.patientUntil = now + Math.min(10_000, heartbeatThresholdMs);
    log(
      state,
      effects,
      'warning',
      `The interchange stood still for ${Math.round(late)} ms; waiting before missing anybody`,
    );
    return;
  }
  drainDue(state, now, effects);
  if (now < state.patientUntil) return;
  refuseUseless(state, now, effects);
  for (let manager = state.managers.longestSilent; manager !== undefined; manager = state.managers.longestSilent) {
    if (now - manager.heardAt <= heartbeatThresholdMs) break;
    lose(state, effects, manager, now, `was not heard for ${Math.round(now - manager.heardAt)} ms`);
  }
  const grace = state.settings.disconnectGraceMs;
  if (grace === undefined) return;
  for (const manager of state.disconnected) {
    if (manager.disconnectedAt === undefined || now - manager.disconnectedAt <= grace) break;
    lose(state, effects, manager, now, `lost its connection ${Math.round(now - manager.disconnectedAt)} ms ago`);
  }
}

/** The job of a block is over: those of its managers whose connection broke do not come back, and neither do those whose breaks later. */
export function loseBlock(state: InterchangeState, blockId: string, now: number, effects: InterchangeEffect[]): void {
  state.endedBlocks.add(blockId);
  for (const manager of [...state.disconnected]) loseIfEnded(state, manager, now, effects);
}

/** Loses a manager without connection whose block is over. */
export function loseIfEnded(
  state: InterchangeState,
  manager: Manager,
  now: number,
  effects: InterchangeEffect[],
): void {
  if (state.endedBlocks.has(manager.registration.blockId))
    lose(state, effects, manager, now, 'lost its connection, and the job of whose block is over');
}

function lose(state: InterchangeState, effects: InterchangeEffect[], manager: Manager, now: number, why: string): void {
  const wasActive = manager.isActive;
  const { hostname, blockId } = manager.registration;
  state.counters.managersLost++;
  log(
    state,
    effects,
    'warning',
    `Lost manager ${manager.name} (block ${JSON.stringify(blockId)}, host ${JSON.stringify(hostname)}), which ${why}; ${manager.leased} tasks fail`,
  );
  removeManager(state, effects, manager, now);
  if (state.settings.isMonitored && wasActive) effects.push({ do: 'record manager', manager, now });
}

/** The first millisecond at which somebody could be missed, or wants to leave. */
function nextDeadline(state: InterchangeState): number {
  const { heartbeatThresholdMs, disconnectGraceMs } = state.settings;
  const silent = state.managers.longestSilent;
  const missedAt = silent === undefined ? Number.POSITIVE_INFINITY : silent.heardAt + heartbeatThresholdMs + 1;
  let at = Math.min(missedAt, state.leavesFrom, unservedUntil(state));
  if (disconnectGraceMs === undefined) return at;
  for (const manager of state.disconnected) {
    at = Math.min(at, (manager.disconnectedAt ?? 0) + disconnectGraceMs + 1);
    break;
  }
  return at;
}

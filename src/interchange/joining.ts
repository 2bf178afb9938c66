// Managers that come: who is let in, who is turned away, and who may stay until more is known. The core calls it for
// registrations, and when the submitter shows of which era it is.
import { type Envelope, erasSending, type PoolStyle } from '../wire/messages/era.ts';
import type { Registration } from '../wire/messages/manager.ts';
import { removeManager } from './answer.ts';
import { drain, planDrain } from './drain.ts';
import type { InterchangeEffect } from './events.ts';
import type { Lane } from './lane.ts';
import { Manager } from './managers.ts';
import { updateReady } from './schedule.ts';
import { type InterchangeState, laneOf, log, mostRefusals } from './state.ts';
import { findPayloadMismatch, judge, type Mismatch } from './versions.ts';

/** Takes a manager in, or turns it away. */
export function register(
  state: InterchangeState,
  peer: string,
  style: PoolStyle,
  registration: Registration,
  now: number,
  effects: InterchangeEffect[],
): void {
  const { counters, managers, settings, reference } = state;
  state.drained.delete(peer);
  const before = managers.get(peer);
  if (before !== undefined) {
    // A new process under an old name: what the old one held is gone.
    const text = `Manager ${before.name} registers again; ${before.leased} tasks of its first life are lost`;
    log(state, effects, 'warning', text);
    removeManager(state, effects, before, now);
  }
  const shared = managers.share(registration);
  const lanes = shared.runtimes
    .map((runtime) => laneOf(state, runtime))
    .filter((lane): lane is Lane => lane !== undefined);
  const capacity = Math.max(0, Math.min(Math.floor(shared.maxCapacity), mostCapacity));
  const manager = new Manager(peer, state.nextSerial++, style, shared, lanes, capacity, now);
  managers.add(manager);
  for (const lane of lanes) lane.managers++;
  const wasCertain = reference.trust === 'certain';
  const verdict = judge(settings.versions, reference, state.submitEras, shared, style);
  if (verdict.joins === 'never') {
    refuse(state, manager, verdict.mismatch, now, effects);
    return;
  }
  counters.managersRegistered++;
  state.blocks.push(shared.blockId);
  log(
    state,
    effects,
    'info',
    `Manager ${manager.name} registered: block ${JSON.stringify(shared.blockId)}, host ${JSON.stringify(shared.hostname)}, ${shared.workerCount} workers, ${capacity} tasks at most`,
  );
  if (verdict.joins === 'doubtfully') {
    manager.doubt = verdict.mismatch;
    log(state, effects, 'warning', `Manager ${manager.name} may be a stray one: ${verdict.mismatch.reason}`);
  }
  // Not with what happens later in this turn: the database counts this as a record of its own.
  if (settings.isMonitored) effects.push({ do: 'record manager', manager, now });
  if (shared.extensions.includes('welcome')) effects.push({ do: 'reply', peer, style, what: 'welcome' });
  planDrain(state, manager);
  updateReady(manager);
  if (!wasCertain && reference.trust === 'certain') dismissDoubtful(state, now, effects);
}

/** A node's workers and their prefetch are thousands at most; a peer that claims more does not get every task. */
export const mostCapacity = 1_000_000;

/** The submitter has shown its era: managers that cannot read its payloads, or it theirs, have to go. */
export function reconsider(
  state: InterchangeState,
  envelope: Envelope,
  now: number,
  effects: InterchangeEffect[],
): void {
  state.submitEras = erasSending(envelope, state.submitEras);
  for (const manager of [...state.managers.values()]) {
    const mismatch = findPayloadMismatch(state.submitEras, manager.registration, manager.style);
    if (mismatch !== undefined) refuse(state, manager, mismatch, now, effects);
  }
}

/** A manager has the versions that were thought right, so they are; those that differ finish what they have and go. */
function dismissDoubtful(state: InterchangeState, now: number, effects: InterchangeEffect[]): void {
  for (const manager of [...state.managers.values()]) {
    const { doubt } = manager;
    if (doubt === undefined) continue;
    if (manager.leased === 0) {
      refuse(state, manager, doubt, now, effects);
      continue;
    }
    note(state, manager, doubt, effects);
    drain(state, manager, now, effects);
  }
}

/** Turns a manager away, by name, and goes on, unless the policy is Parsl's own. Also for unserved.ts. */
export function refuse(
  state: InterchangeState,
  manager: Manager,
  mismatch: Mismatch,
  now: number,
  effects: InterchangeEffect[],
): void {
  const { settings } = state;
  if (settings.isMonitored) effects.push({ do: 'record manager', manager, now });
  removeManager(state, effects, manager, now);
  const reason = note(state, manager, mismatch, effects);
  // Without a word the pool would wait for its own threshold. The code for "drained" makes any pool end in peace.
  if (manager.registration.extensions.includes('refusal')) {
    effects.push({ do: 'explain refusal', peer: manager.peer, reason });
  } else {
    effects.push({ do: 'reply', peer: manager.peer, style: manager.style, what: 'drained' });
  }
  if (settings.versions.onMismatch === 'end' && mismatch.isVersion) {
    const failure = { kind: 'version mismatch', interchange: mismatch.expected, manager: mismatch.found } as const;
    effects.push({ do: 'fail', taskId: -1, failure });
    effects.push({ do: 'end', reason: `manager ${manager.name} has other versions: ${mismatch.reason}` });
    state.hasEnded = true;
  }
}

/** Names a refused manager in the log and in the status. */
function note(state: InterchangeState, manager: Manager, mismatch: Mismatch, effects: InterchangeEffect[]): string {
  const { refusals } = state;
  const { blockId, hostname } = manager.registration;
  const reason = `block ${JSON.stringify(blockId)} on ${JSON.stringify(hostname)}: ${mismatch.reason}`;
  const times = (refusals.get(manager.name)?.times ?? 0) + 1;
  refusals.delete(manager.name);
  refusals.set(manager.name, { reason, times });
  for (const oldest of refusals.keys()) {
    if (refusals.size <= mostRefusals) break;
    refusals.delete(oldest);
  }
  state.counters.managersRefused++;
  log(state, effects, 'error', `Refused manager ${manager.name}, ${reason}`);
  return reason;
}

// Tasks of Python's Parsl that none of the managers can run, because all of these run Node functions only: pools of Chervil that were started
// without --python. They are useless to such a submitter for ever, and it would wait without a word. So they are turned away after a
// few seconds, with the reason: as failed blocks, that is what Parsl shows. Submitters of Chervil see for themselves
// (executors/htex/unserved.ts), as they can use such pools. The core calls this at the end of each turn, and with its timer.
import type { InterchangeEffect } from './events.ts';
import { refuse } from './joining.ts';
import type { InterchangeState } from './state.ts';

/** Between looks: another pool may be about to come. */
const patienceMs = 5_000;

/** Notes since when tasks wait so. */
export function noteUnserved(state: InterchangeState, now: number): void {
  const lane = state.lanes.get('python');
  const isUnserved =
    lane !== undefined &&
    lane.managers === 0 &&
    state.managers.size > 0 &&
    !state.isChervilSubmitter &&
    lane.queue.peek() !== undefined;
  if (!isUnserved) state.unservedSince = undefined;
  else state.unservedSince ??= now;
}

/** When something must be done about it; infinite for never. */
export function unservedUntil({ unservedSince }: InterchangeState): number {
  return unservedSince === undefined ? Number.POSITIVE_INFINITY : unservedSince + patienceMs;
}

/** Turns away managers that none of the waiting tasks can go to, if that has been so for a while. */
export function refuseUseless(state: InterchangeState, now: number, effects: InterchangeEffect[]): void {
  if (now < unservedUntil(state)) return;
  const mismatch = {
    isVersion: false,
    reason:
      "it has no Python workers, and all tasks of this run are Python's, submitted by Parsl. Start the pool with --python=python3",
    expected: 'python',
    found: 'node',
  };
  for (const manager of [...state.managers.values()]) {
    // The Python workers of its node register beside it, in their own time; if they cannot, the pool ends as a whole.
    if (manager.registration.extensions.includes('sibling')) continue;
    refuse(state, manager, mismatch, now, effects);
  }
  state.unservedSince = now;
}

// Who is told that a body runs. A worker says so itself before a body that may take long; of a quick one it is told with its result, which
// is cheaper. A body of which quickness was expected, and which goes on, is found here by what its worker claimed last.
import type { PoolEffect } from './events.ts';
import { markNoted, type PoolState, type WorkerRecord } from './state.ts';

/** A worker that has not moved for so long has something that takes long, in milliseconds. */
const quietMs = 250;

/** When to look whether a worker runs something that nobody knows of; infinite for never. */
export function noteAt(worker: WorkerRecord): number {
  if (worker.state !== 'ready' && worker.state !== 'passing') return Number.POSITIVE_INFINITY;
  for (const task of worker.held.values())
    return task.isNoted ? Number.POSITIVE_INFINITY : Math.max(worker.movedAt, worker.lookedAt) + quietMs;
  return Number.POSITIVE_INFINITY;
}

/** Tells of bodies that run, of workers that have been quiet for a while. */
export function noteRunning(state: PoolState, effects: PoolEffect[], now: number): void {
  for (const worker of state.workers) {
    if (noteAt(worker) > now) continue;
    noteBegun(state, effects, worker, state.settings.begun(worker.rank));
    // If it has not begun, it is looked at again after another while.
    worker.lookedAt = now;
  }
}

/** Tells of what a worker has begun last, if that is not known. */
export function noteBegun(state: PoolState, effects: PoolEffect[], worker: WorkerRecord, ticket: number): void {
  const task = worker.held.get(ticket);
  if (task !== undefined && markNoted(state, task))
    effects.push({ do: 'note running', taskId: task.taskId, rank: worker.rank });
}

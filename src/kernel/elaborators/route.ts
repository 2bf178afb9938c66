// route: innermost. Chooses, among the executors that an app allows, the least loaded; another try may choose another.
import { ExecutorFailedError, UnsupportedError } from '../../task/errors.ts';
import { fail } from '../../task/outcome.ts';
import type { Executor } from '../../task/ports.ts';
import type { AppRecord } from '../app-record.ts';
import type { Kernel } from '../kernel.ts';
import { type Elaborator, go } from '../path.ts';

export function route(kernel: Kernel): Elaborator {
  const allowedFor = new WeakMap<AppRecord, readonly Executor[]>();

  /** Those that have workers for it, and can give it what it asks for. */
  const allowed = (app: AppRecord): readonly Executor[] => {
    let found = allowedFor.get(app);
    if (found === undefined) {
      found = kernel.executorsFor(app).filter((executor) => refusalOf(executor, app) === undefined);
      allowedFor.set(app, found);
    }
    return found;
  };

  return {
    name: 'route',
    accept({ record }) {
      const { body, resources } = record;
      if (resources === undefined || body.kind === 'join' || allowed(record).length > 0) return;
      const refusals = kernel.executorsFor(record).map((executor) => refusalOf(executor, record));
      throw new UnsupportedError(`${body.name}() cannot be called with these resources: ${refusals.join('; ')}.`);
    },
    enter(task) {
      if (task.record.body.kind === 'join') {
        task.executor = kernel.joinExecutor;
        return go;
      }
      const candidates = allowed(task.record);
      const only = candidates[0];
      if (candidates.length === 1 && only !== undefined && !kernel.brokenBy(only)) {
        task.executor = only;
        return go;
      }
      const lostOn = task.notes?.lostOn;
      let best: Executor | undefined;
      let bestLoad = Number.POSITIVE_INFINITY;
      for (const candidate of candidates) {
        if (kernel.brokenBy(candidate) !== undefined) continue;
        // One that lost a try of this task is taken only when there is no other.
        const load = candidate.load + (lostOn?.has(candidate) ? 1e9 : 0);
        if (load >= bestLoad) continue;
        best = candidate;
        bestLoad = load;
      }
      if (best === undefined) {
        const first = candidates[0] as Executor;
        const why = kernel.brokenBy(first);
        // A new error for each task, as each says which task it is about.
        const said = why instanceof ExecutorFailedError ? why.problem : why?.message;
        const error = new ExecutorFailedError(first.label, said ?? 'it is gone', why);
        return { do: 'answer', outcome: fail(error) };
      }
      task.executor = best;
      return go;
    },
    leave(task, outcome) {
      if (!outcome.ok && task.executor !== undefined) {
        const { code } = outcome.error as { code?: string };
        if (code === 'WORKER_LOST' || code === 'MANAGER_LOST' || code === 'EXECUTOR_FAILED') {
          const notes = task.note();
          notes.lostOn ??= new Set();
          notes.lostOn.add(task.executor);
        }
      }
      return go;
    },
  };
}

function refusalOf(executor: Executor, { resources }: AppRecord): string | undefined {
  return resources === undefined ? undefined : executor.refuses?.(resources);
}

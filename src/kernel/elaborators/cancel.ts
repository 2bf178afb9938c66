// cancel: ends tasks when an AbortSignal says so. However many tasks share a signal, it has one listener.
import { CancelledError } from '../../task/errors.ts';
import { fail } from '../../task/outcome.ts';
import type { Kernel } from '../kernel.ts';
import { type Elaborator, go } from '../path.ts';
import type { Task } from '../task.ts';

/** @param runSignal cancels every task of the run, also those called after it was aborted */
export function cancel(runSignal: AbortSignal | undefined): (kernel: Kernel) => Elaborator {
  return (kernel) => {
    const watched = new Map<AbortSignal, Set<Task>>();

    const listen = (signal: AbortSignal): Set<Task> => {
      const tasks = new Set<Task>();
      const onAbort = (): void => {
        watched.delete(signal);
        for (const task of [...tasks]) kernel.cancel(task, signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      watched.set(signal, tasks);
      forget.set(tasks, () => signal.removeEventListener('abort', onAbort));
      return tasks;
    };
    const forget = new Map<Set<Task>, () => void>();

    return {
      name: 'cancel',
      concerns: (app) => app.signal !== undefined || runSignal !== undefined,
      enter(task) {
        for (const signal of [task.record.signal, runSignal]) {
          if (signal === undefined) continue;
          if (signal.aborted) return { do: 'answer', outcome: fail(new CancelledError(signal.reason)) };
        }
        for (const signal of [task.record.signal, runSignal]) {
          if (signal !== undefined) (watched.get(signal) ?? listen(signal)).add(task);
        }
        return go;
      },
      leave(task) {
        for (const signal of [task.record.signal, runSignal]) {
          if (signal === undefined) continue;
          const tasks = watched.get(signal);
          tasks?.delete(task);
          if (tasks === undefined || tasks.size > 0) continue;
          watched.delete(signal);
          forget.get(tasks)?.();
          forget.delete(tasks);
        }
        return go;
      },
    };
  };
}

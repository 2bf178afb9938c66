// cancel: ends tasks when an AbortSignal says so. However many tasks share a signal, it has one listener.
import { CancelledError, withoutStack } from '../../task/errors.ts';
import { fail } from '../../task/outcome.ts';
import type { Kernel } from '../kernel.ts';
import { type Elaborator, go } from '../path.ts';
import type { Task } from '../task.ts';

/** The tasks of one signal, and how to listen to it no longer. */
interface Watch {
  readonly tasks: Set<Task>;
  readonly end: () => void;
}

/** @param runSignal cancels every task of the run, also those called after it was aborted */
export function cancel(runSignal: AbortSignal | undefined): (kernel: Kernel) => Elaborator {
  return (kernel) => {
    const watches = new Map<AbortSignal, Watch>();

    const watch = (signal: AbortSignal): Watch => {
      const tasks = new Set<Task>();
      const onAbort = (): void => {
        watches.delete(signal);
        kernel.cancelEach(tasks, signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const made = { tasks, end: () => signal.removeEventListener('abort', onAbort) };
      watches.set(signal, made);
      return made;
    };
    const signalsOf = (task: Task): AbortSignal[] =>
      [task.record.signal, runSignal].filter((signal) => signal !== undefined);

    return {
      name: 'cancel',
      concerns: (app) => app.signal !== undefined || runSignal !== undefined,
      enter(task) {
        const signals = signalsOf(task);
        const aborted = signals.find((signal) => signal.aborted);
        if (aborted !== undefined)
          return { do: 'answer', outcome: fail(withoutStack(() => new CancelledError(aborted.reason))) };
        for (const signal of signals) (watches.get(signal) ?? watch(signal)).tasks.add(task);
        return go;
      },
      leave(task) {
        for (const signal of signalsOf(task)) {
          const found = watches.get(signal);
          if (found === undefined) continue;
          found.tasks.delete(task);
          if (found.tasks.size > 0) continue;
          watches.delete(signal);
          found.end();
        }
        return go;
      },
    };
  };
}

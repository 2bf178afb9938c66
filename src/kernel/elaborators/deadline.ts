// deadline: ends a task that is not done so long after its call, wherever it is by then.
import { DeadlineError, withoutStack } from '../../task/errors.ts';
import { fail } from '../../task/outcome.ts';
import type { Kernel } from '../kernel.ts';
import { type Elaborator, go } from '../path.ts';

export function deadline(kernel: Kernel): Elaborator {
  return {
    name: 'deadline',
    concerns: (app) => app.deadlineMs > 0,
    enter(task) {
      const { deadlineMs } = task.record;
      task.note().clearDeadline = kernel.clock.after(deadlineMs, () => {
        kernel.interrupt(task, fail(withoutStack(() => new DeadlineError(deadlineMs))));
      });
      return go;
    },
    leave(task) {
      task.notes?.clearDeadline?.();
      return go;
    },
  };
}

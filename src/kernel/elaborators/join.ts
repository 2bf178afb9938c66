// join: the body of a join app gave futures; the task is done when they are. Stands between memo and retry: what the
// joined futures give is remembered, and their failures are not retried here, as each had its own tries.
import { inspect } from 'node:util';
import { Cell } from '../../task/cell.ts';
import { JoinError, JoinResultError, withoutStack } from '../../task/errors.ts';
import { Countdown, ForeignCell, isThenable, TaskFuture } from '../../task/future.ts';
import { fail, type Outcome, succeed } from '../../task/outcome.ts';
import { endedWith, type Kernel } from '../kernel.ts';
import { type Elaborator, go } from '../path.ts';
import type { Task } from '../task.ts';
import { failuresOf } from './dependencies.ts';

/** What an async body gave, with nothing left to join. */
export class JoinedValue {
  readonly value: unknown;
  constructor(value: unknown) {
    this.value = value;
  }
}

export function join(kernel: Kernel): Elaborator {
  return {
    name: 'join',
    concerns: (app) => app.body.kind === 'join',
    leave(task, outcome) {
      if (task.isInterrupted) {
        cancelChildren(kernel, task);
        return go;
      }
      if (!outcome.ok) return go;
      if (outcome.value instanceof JoinedValue) return { do: 'answer', outcome: succeed(outcome.value.value) };
      const joined = task.notes?.joins ?? begin(kernel, task, outcome.value);
      if (joined instanceof JoinResultError) return { do: 'answer', outcome: fail(joined) };
      const open = joined.filter((cell) => !cell.isSettled);
      if (open.length > 0)
        return { do: 'wait', for: open.length === 1 ? (open[0] as Cell) : new Countdown(open, false) };
      // Should its body run once more, it is about what that gives.
      task.note().joins = undefined;
      return { do: 'answer', outcome: gatherOutcome(joined, Array.isArray(outcome.value)) };
    },
  };
}

function begin(kernel: Kernel, task: Task, value: unknown): readonly Cell[] | JoinResultError {
  const cells = (Array.isArray(value) ? value : [value]).map(cellFor);
  const wrong = cells.findIndex((cell) => !(cell instanceof Cell));
  if (wrong >= 0) {
    const found = Array.isArray(value) ? `element ${wrong} of its list is` : 'it returned';
    return new JoinResultError(
      `The body of a join app must return a future or a list of futures, but ${found} ${inspect((cells[wrong] as Wrong).value, { depth: 1, breakLength: Number.POSITIVE_INFINITY })}.`,
    );
  }
  task.note().joins = cells as Cell[];
  kernel.transition(task, 'joining');
  return cells as Cell[];
}

class Wrong {
  readonly value: unknown;
  constructor(value: unknown) {
    this.value = value;
  }
}

function cellFor(value: unknown): Cell | Wrong {
  if (typeof value !== 'object' || value === null) return new Wrong(value);
  return TaskFuture.cellOf(value) ?? (isThenable(value) ? new ForeignCell(value) : new Wrong(value));
}

function gatherOutcome(cells: readonly Cell[], isList: boolean): Outcome {
  const failures = failuresOf(cells);
  if (failures !== undefined) return fail(withoutStack(() => new JoinError(failures)));
  const values = cells.map(({ outcome }) => (outcome?.ok ? outcome.value : undefined));
  return succeed(isList ? values : values[0]);
}

/** What the body of an interrupted join submitted serves nobody any more. */
function cancelChildren(kernel: Kernel, task: Task): void {
  const children = [...(task.notes?.children ?? [])];
  for (const child of children) child.observe();
  kernel.cancelEach(children, endedWith(task));
}

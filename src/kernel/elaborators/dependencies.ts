// dependencies: waits for the futures among the arguments, and puts their values in their place.
import type { Cell } from '../../task/cell.ts';
import { DependencyError, type NamedFailure, withoutStack } from '../../task/errors.ts';
import { Countdown } from '../../task/future.ts';
import { fail, type Outcome } from '../../task/outcome.ts';
import { substitute } from '../arguments.ts';
import { type Elaborator, go } from '../path.ts';

/** @param failFast a failed dependency fails the task at once, without waiting for the others */
export function dependencies(failFast: boolean): () => Elaborator {
  return () => ({
    name: 'dependencies',
    enter(task) {
      const awaited = task.dependencies;
      if (awaited === undefined) return go;
      if (Array.isArray(awaited)) {
        if (!isDecided(awaited, failFast)) return { do: 'wait', for: new Countdown(awaited, failFast) };
      } else if (!(awaited as Cell).isSettled) {
        return { do: 'wait', for: awaited as Cell };
      }
      const failures = failuresOf(Array.isArray(awaited) ? awaited : [awaited]);
      if (failures !== undefined)
        return { do: 'answer', outcome: fail(withoutStack(() => new DependencyError(failures))) };
      const substituted = substitute(task.args);
      task.args = substituted.args;
      task.plainArgs = substituted.isPlain;
      task.dependencies = undefined;
      return go;
    },
  });
}

function isDecided(cells: readonly Cell[], failFast: boolean): boolean {
  let allSettled = true;
  for (const { outcome } of cells) {
    if (outcome === undefined) allSettled = false;
    else if (failFast && !outcome.ok) return true;
  }
  return allSettled;
}

/** What failed of settled cells, each under its name; `undefined` when nothing did. */
export function failuresOf(cells: readonly Cell[]): NamedFailure[] | undefined {
  let failures: NamedFailure[] | undefined;
  for (const cell of cells) {
    const outcome = cell.outcome as Outcome | undefined;
    if (outcome === undefined || outcome.ok) continue;
    cell.observe();
    failures ??= [];
    failures.push({ error: outcome.error, description: cell.id >= 0 ? `task ${cell.id}` : 'a promise' });
  }
  return failures;
}

// wrap: what goes around the body, where it runs, in each try. Checks here that local input files are there by now.
import { existsSync } from 'node:fs';
import { FileNotFoundError } from '../../task/errors.ts';
import { fail } from '../../task/outcome.ts';
import type { Body, FunctionSource } from '../../task/ports.ts';
import { type Elaborator, go } from '../path.ts';

/** Join apps run here, and Python functions where there is no TypeScript. */
const takesWrappers: ReadonlySet<Body['kind']> = new Set(['function', 'bash']);

/** @param wrappers functions around every body, outermost first; each gets `next` and the facts of the task, and returns what `next()` gave */
export function wrap(wrappers: readonly FunctionSource[]): () => Elaborator {
  return () => ({
    name: 'wrap',
    enter(task) {
      for (const path of task.notes?.inputs ?? []) {
        if (!existsSync(path)) return { do: 'answer', outcome: fail(new FileNotFoundError(path, 'An argument')) };
      }
      if (wrappers.length > 0 && takesWrappers.has(task.record.body.kind)) task.note().wrappers = wrappers;
      return go;
    },
  });
}

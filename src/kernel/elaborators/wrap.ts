// wrap: what goes around the body, where it runs, in each try. Checks here that local input files are there by now.
import { existsSync } from 'node:fs';
import { FileNotFoundError, UnsupportedError } from '../../task/errors.ts';
import { fail } from '../../task/outcome.ts';
import type { Body, FunctionByReference, PythonFunction } from '../../task/ports.ts';
import { type Elaborator, go } from '../path.ts';
import type { Task } from '../task.ts';

/** A function around bodies, as the configuration has it; made by `wrapper()` and `pythonWrapper()`. */
export type Wrapper = NodeWrapper | PythonFunction;

export interface NodeWrapper extends FunctionByReference {
  /** Python functions run without it. Otherwise such a call is refused, as it cannot go around them. */
  readonly python?: 'skip';
}

/** Join apps run here, and a wrapper in TypeScript cannot go around a function in Python. */
const takesNodeWrappers: ReadonlySet<Body['kind']> = new Set(['function', 'bash']);

/** @param wrappers functions around every body of their language, outermost first; each gets `next` and the facts of the task, and returns what `next()` gave */
export function wrap(wrappers: readonly Wrapper[]): () => Elaborator {
  const python = wrappers.filter((one) => one.by === 'python');
  const given = wrappers.filter((one) => one.by === 'reference');
  const node = given.map(({ by, module, export: name }): FunctionByReference => ({ by, module, export: name }));
  const refusesPython = python.length === 0 && given.some((one) => one.python !== 'skip');
  return () => ({
    name: 'wrap',
    ...(refusesPython ? { accept: refusePython } : {}),
    enter(task) {
      for (const path of task.notes?.inputs ?? []) {
        if (!existsSync(path)) return { do: 'answer', outcome: fail(new FileNotFoundError(path, 'An argument')) };
      }
      const { kind } = task.record.body;
      if (node.length > 0 && takesNodeWrappers.has(kind)) task.note().wrappers = node;
      if (python.length > 0 && kind === 'python') task.note().pythonWrappers = python;
      return go;
    },
  });
}

function refusePython({ record }: Task): void {
  if (record.body.kind !== 'python') return;
  throw new UnsupportedError(
    `${record.name}() runs in Python, and \`wrap\` in the configuration has only functions in TypeScript, which cannot go around it. Add one for Python with pythonWrapper('module:function'), or let Python functions run without: wrapper(url, name, { python: 'skip' }).`,
  );
}

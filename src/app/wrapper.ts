// wrapper() and pythonWrapper(): functions that go around the body of every task, where it runs.
import type { NodeWrapper } from '../kernel/elaborators/wrap.ts';
import { AppDefinitionError } from '../task/errors.ts';
import type { PythonFunction } from '../task/ports.ts';
import { readPythonReference } from './python-app.ts';
import { readPythonText } from './python-text.ts';

/** Options of {@link wrapper}. */
export interface WrapperOptions {
  /** Let Python functions run without it. @default their calls throw, unless there is a `pythonWrapper()` too */
  readonly python?: 'skip';
}

/**
 * A function around every body, by reference, for `wrap` in the configuration. It is called with `next`, which runs the
 * body, and the facts of the task, and returns what `next()` gave (or something else in its place). It cannot go around Python
 * functions: {@link pythonWrapper} makes one that can.
 *
 * @throws AppDefinitionError for other options
 * @example
 * // timing.ts: export async function timed(next, task) { console.time(task.app); try { return await next(); } finally { console.timeEnd(task.app); } }
 * await using run = await load({ wrap: [wrapper(new URL('./timing.ts', import.meta.url), 'timed')] });
 */
export function wrapper(module: URL, name: string, options: WrapperOptions = {}): NodeWrapper {
  const { python, ...rest } = options;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined || (python !== undefined && python !== 'skip'))
    throw new AppDefinitionError(
      `wrapper() has the option { python: 'skip' } alone, not ${unknown === undefined ? `python: ${String(python)}` : unknown}.`,
    );
  return { by: 'reference', module: module.href, export: name, ...(python === undefined ? {} : { python }) };
}

/** What {@link pythonWrapper} is. */
export interface PythonWrapperMaker {
  /** A function of a module that workers can import, as `module:function`. */
  (reference: string): PythonFunction;
  /** A function given as text, with all that it needs. */
  source(text: string, options?: { readonly function?: string }): PythonFunction;
}

/**
 * A function in Python around every Python function, for `wrap` in the configuration: named in a module, or given as text. It is called
 * with `next`, which calls the body, and a dict with `id`, `try` and `app` of the task, and returns what `next()` gave (or something else
 * in its place).
 *
 * @throws AppDefinitionError for a reference or a text that cannot be one
 * @example
 * const timed = pythonWrapper.source(`
 *   import time
 *
 *   def timed(next, task):
 *       begin = time.monotonic()
 *       try:
 *           return next()
 *       finally:
 *           print(task['app'], time.monotonic() - begin)
 * `);
 * await using run = await load({ executors: [htex({ python: true })], wrap: [timed] });
 */
export const pythonWrapper: PythonWrapperMaker = Object.assign(
  (reference: string) => readPythonReference(reference, 'pythonWrapper'),
  {
    source: (text: string, options: { readonly function?: string } = {}): PythonFunction => ({
      by: 'python',
      module: undefined,
      ...readPythonText(text, options.function, 'pythonWrapper'),
    }),
  },
);

// wrapper(): names a function of a module that goes around the body of every task, where it runs.
import type { FunctionByReference } from '../task/ports.ts';

/**
 * A function around every body, by reference, for `wrap` in the configuration. It is called with `next`, which runs the
 * body, and the facts of the task, and returns what `next()` gave (or something else in its place).
 *
 * @example
 * // timing.ts: export async function timed(next, task) { console.time(task.app); try { return await next(); } finally { console.timeEnd(task.app); } }
 * await using run = await load({ wrap: [wrapper(new URL('./timing.ts', import.meta.url), 'timed')] });
 */
export function wrapper(module: URL, name: string): FunctionByReference {
  return { by: 'reference', module: module.href, export: name };
}

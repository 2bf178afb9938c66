// Keyword arguments for Python functions: a plain object with a mark, so that futures in it are found as anywhere else. Apps make
// them, and wire/python/call.ts takes them apart.

const mark = '~keywords';

/** Arguments by name, as the last argument of a call of a Python function. Made by {@link keywords}. */
export type Keywords<Values extends object = object> = Values & { readonly [mark]: true };

/**
 * Arguments by name, for the Python function that is called; they stand last. Futures may be among them.
 *
 * @example
 * const solve = pythonApp<(start: number[]) => number[]>('solver:solve');
 * const found = solve([0, 0], keywords({ tolerance: 1e-6 }));
 */
export function keywords<const Values extends object>(values: Values): Keywords<Values> {
  return { ...values, [mark]: true };
}

/** The names and values of keyword arguments; `undefined` for anything else. */
export function keywordsOf(value: unknown): [name: string, value: unknown][] | undefined {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, mark)) return undefined;
  return Object.entries(value).filter(([name]) => name !== mark);
}

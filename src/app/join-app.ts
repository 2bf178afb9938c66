// joinApp(): an app whose body calls other apps, and whose result is theirs.
import { TaskFuture } from '../task/future.ts';
import { bodyOf, checkFunction, makeApp } from './app.ts';
import { submit } from './call.ts';
import type { AppFunction, AppOptions, JoinAppOf, ParametersOf, Returning } from './types.ts';

/** Options of a join app: its body runs in this process, so there is no executor to choose, and no try to limit. */
export type JoinOptions<Args extends readonly unknown[] = readonly unknown[]> = Omit<
  AppOptions<Args>,
  'executors' | 'timeout' | 'resources'
>;

/**
 * Makes a join app: its body runs in this process, calls other apps, and returns a future or a list of futures; the task's
 * value is theirs. So the values of some tasks can decide which tasks come next. Nothing is held while it waits.
 *
 * @example
 * const add = app((a: number, b: number) => a + b);
 * const fibonacci = joinApp((n: number): Future<number> => (n < 2 ? add(n, 0) : add(fibonacci(n - 1), fibonacci(n - 2))));
 */
export function joinApp<Run extends AppFunction>(
  body: Run & Returning<Run, Joinable>,
  options: JoinOptions<ParametersOf<Run>> = {},
): JoinAppOf<Run> {
  checkFunction(body, 'joinApp');
  return makeApp<JoinAppOf<Run>>(
    bodyOf('join', body, options),
    options as object,
    (record, args) => new TaskFuture(submit(record, args).task),
  );
}

/** What the body of a join app may return: futures, or promises. */
export type Joinable = PromiseLike<unknown> | readonly PromiseLike<unknown>[];

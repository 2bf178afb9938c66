// `chervil/task`: what the body of an app can know of its task, and say about it.
import { AsyncLocalStorage } from 'node:async_hooks';
import { meeting, type TaskFacts } from './worker/facts.ts';

export type { TaskFacts } from './worker/facts.ts';

const here = meeting();
here.storage ??= new AsyncLocalStorage<TaskFacts>();

function facts(): TaskFacts {
  const found = here.storage?.getStore() ?? here.current;
  if (found === undefined)
    throw new Error("There is no task here: 'chervil/task' can be used in the body of an app only.");
  return found;
}

/**
 * The task whose body runs.
 *
 * @example
 * import { app } from 'chervil';
 * import { task } from 'chervil/task';
 * const slow = app(async (url: string) => (await fetch(url, { signal: task.signal })).text());
 */
export const task: TaskFacts & { /** The directory that the body runs in. */ readonly workdir: string } = {
  get id() {
    return facts().id;
  },
  get try() {
    return facts().try;
  },
  get app() {
    return facts().app;
  },
  get signal() {
    return facts().signal;
  },
  get workdir() {
    return process.cwd();
  },
  log(message) {
    facts().log(message);
  },
};

// Runs the bodies of join apps in this process, one after another, each in the scope of its own task. Parsl calls this
// executor `_parsl_internal`. Bodies are quick: they only call other apps, and hold nothing while those run.
import { withScope } from '../kernel/current.ts';
import { JoinedValue } from '../kernel/elaborators/join.ts';
import type { TaskAttempt } from '../kernel/task.ts';
import { AppError, ChervilError, JoinError, type TaskError } from '../task/errors.ts';
import { isThenable, TaskFuture } from '../task/future.ts';
import type { Attempt, Executor, ExecutorHost } from '../task/ports.ts';
import { failureFromThrown } from '../wire/failures.ts';

export class JoinExecutor implements Executor {
  readonly label = '_parsl_internal';
  readonly load = 0;
  #host: ExecutorHost | undefined;
  #queue: Attempt[] = [];

  async start(host: ExecutorHost): Promise<void> {
    this.#host = host;
  }

  submit(attempt: Attempt): void {
    if (this.#queue.push(attempt) === 1) queueMicrotask(() => this.#runAll());
  }

  /** A body that began is not stopped: what it gives is dropped, and what it submitted is cancelled by `join`. */
  stop(attempt: Attempt): void {
    attempt.note = stopped;
  }

  async close(): Promise<void> {}

  #runAll(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const attempt of queue) if (attempt.note !== stopped) this.#run(attempt as TaskAttempt);
  }

  #run(attempt: TaskAttempt): void {
    const host = this.#host as ExecutorHost;
    const { task, body, args } = attempt;
    const run = body.local as (...args: readonly unknown[]) => unknown;
    const isAsync = run.constructor.name === 'AsyncFunction';
    const failed = (thrown: unknown): void => host.answer(attempt, { ok: false, error: asFailure(thrown) });
    let value: unknown;
    try {
      value = withScope({ kernel: task.kernel, parent: task }, isAsync, () => run(...args));
    } catch (thrown) {
      failed(thrown);
      return;
    }
    if (value instanceof Promise && TaskFuture.cellOf(value) === undefined) {
      value.then((given) => {
        const isList = Array.isArray(given) && given.some(isThenable);
        host.answer(attempt, { ok: true, value: isList ? given : new JoinedValue(given) });
      }, failed);
    } else {
      host.answer(attempt, { ok: true, value });
    }
  }
}

const stopped = Symbol('stopped');

/** What an async body awaited in vain is the failure of a joined task; anything else is the body's own. */
function asFailure(thrown: unknown): TaskError {
  if (thrown instanceof ChervilError && thrown.task !== undefined) {
    return new JoinError([{ error: thrown, description: `task ${thrown.task.taskId}` }]);
  }
  return new AppError(failureFromThrown(thrown), thrown);
}

// An executor that starts with its first task: the Python workers of a run whose configuration names no executors. load() adds one.
import { CancelledError, ChervilError, ExecutorFailedError, type TaskError } from '../task/errors.ts';
import type { Attempt, Executor, ExecutorHost, Runtime } from '../task/ports.ts';

/** Wraps an executor that is made and started when it is needed, and costs nothing before. */
export class OnDemand implements Executor {
  readonly label: string;
  readonly runtimes: readonly Runtime[];
  readonly #make: () => Executor;
  #host: ExecutorHost | undefined;
  /** Given before it was started. */
  readonly #waiting = new Set<Attempt>();
  #starting: Promise<void> | undefined;
  #executor: Executor | undefined;
  #isStarted = false;
  /** Nothing is run any more, for this reason. */
  #end: TaskError | undefined;

  constructor(label: string, runtimes: readonly Runtime[], make: () => Executor) {
    this.label = label;
    this.runtimes = runtimes;
    this.#make = make;
  }

  get load(): number {
    return (this.#executor?.load ?? 0) + this.#waiting.size;
  }

  async start(host: ExecutorHost): Promise<void> {
    this.#host = host;
  }

  submit(attempt: Attempt): void {
    if (this.#isStarted) {
      this.#executor?.submit(attempt);
    } else if (this.#end !== undefined) {
      this.#host?.answer(attempt, { ok: false, error: this.#end });
    } else {
      this.#waiting.add(attempt);
      this.#starting ??= this.#begin();
    }
  }

  async #begin(): Promise<void> {
    const executor = this.#make();
    this.#executor = executor;
    try {
      await executor.start(this.#host as ExecutorHost);
    } catch (thrown) {
      const error =
        thrown instanceof ExecutorFailedError
          ? thrown
          : new ExecutorFailedError(this.label, (thrown as Error).message, thrown);
      this.#host?.failed(error);
      this.#refuse(error);
      return;
    }
    if (this.#end !== undefined) return;
    this.#isStarted = true;
    const attempts = [...this.#waiting];
    this.#waiting.clear();
    for (const attempt of attempts) executor.submit(attempt);
  }

  #refuse(error: TaskError): void {
    this.#end = error;
    for (const attempt of [...this.#waiting]) this.stop(attempt, error);
  }

  stop(attempt: Attempt, reason: unknown): void {
    if (this.#waiting.delete(attempt)) {
      const error = reason instanceof ChervilError ? (reason as unknown as TaskError) : new CancelledError(reason);
      this.#host?.answer(attempt, { ok: false, error });
    } else if (this.#isStarted) {
      this.#executor?.stop(attempt, reason);
    }
  }

  async close(): Promise<void> {
    this.#refuse(this.#end ?? new CancelledError('the executor was closed'));
    await this.#starting;
    await this.#executor?.close();
  }
}

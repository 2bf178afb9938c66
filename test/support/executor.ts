// An executor that keeps what it is given until a test says how each try ends.
import assert from 'node:assert/strict';
import { AppError, type TaskError } from '#src/task/errors.js';
import type { Answer, Attempt, Executor, ExecutorHost, Runtime } from '#src/task/ports.js';

export class FakeExecutor implements Executor {
  readonly label: string;
  load = 0;
  readonly runtimes: readonly Runtime[];
  /** Every try it was given, in order. */
  readonly given: Attempt[] = [];
  /** Tries it was told to stop, with the reason. */
  readonly stopped: { attempt: Attempt; reason: unknown }[] = [];
  /** Tries that are neither answered nor stopped. */
  readonly running = new Set<Attempt>();
  isClosed = false;
  /** Called for each try; may answer at once, or throw. */
  onSubmit: ((attempt: Attempt) => void) | undefined;
  onStop: ((attempt: Attempt) => void) | undefined;
  #host: ExecutorHost | undefined;

  constructor(label = 'fake', runtimes: readonly Runtime[] = ['node']) {
    this.label = label;
    this.runtimes = runtimes;
  }

  get host(): ExecutorHost {
    assert(this.#host, 'the executor was not started');
    return this.#host;
  }

  async start(host: ExecutorHost): Promise<void> {
    this.#host = host;
  }

  submit(attempt: Attempt): void {
    this.given.push(attempt);
    this.running.add(attempt);
    this.onSubmit?.(attempt);
  }

  stop(attempt: Attempt, reason: unknown): void {
    assert(this.running.delete(attempt), 'was told to stop what does not run');
    this.stopped.push({ attempt, reason });
    this.onStop?.(attempt);
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  /** The only try that runs. */
  get only(): Attempt {
    assert.equal(this.running.size, 1, `${this.running.size} tries run on ${this.label}`);
    return [...this.running][0] as Attempt;
  }

  answer(answer: Answer, attempt: Attempt = this.only): void {
    this.running.delete(attempt);
    this.host.answer(attempt, answer);
  }

  /** The try gives a value. */
  give(value: unknown, attempt: Attempt = this.only): void {
    this.answer({ ok: true, value }, attempt);
  }

  /** The try fails. */
  fail(error: TaskError = boom(), attempt: Attempt = this.only): void {
    this.answer({ ok: false, error }, attempt);
  }
}

/** The failure of an app that threw. */
export function boom(message = 'boom', name = 'Error'): AppError {
  return new AppError({ name, message, stack: '' }, new Error(message));
}

// What an executor is given by the kernel, as a fake that writes down everything it is told.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { TaskError } from '../task/errors.ts';
import type { Answer, Attempt, ExecutorHost, Place } from '../task/ports.ts';

/** A body started or ended. */
export interface Report {
  readonly attempt: Attempt;
  readonly what: 'running' | 'running_ended';
  readonly place: Place;
}

/**
 * An ExecutorHost for tests of executors.
 *
 * @example
 * const host = new FakeHost(directory);
 * await executor.start(host);
 * const attempt = attemptOf((n: number) => n + 1, [1]);
 * executor.submit(attempt);
 * assert.deepEqual(await host.answered(attempt), { ok: true, value: 2 });
 */
export class FakeHost implements ExecutorHost {
  readonly directory: string;
  readonly mark = randomUUID();
  /** Every answer, in the order in which they came. */
  readonly answers: { readonly attempt: Attempt; readonly answer: Answer }[] = [];
  readonly reports: Report[] = [];
  readonly outputs: { readonly attempt: Attempt; readonly stream: 'stdout' | 'stderr'; readonly text: string }[] = [];
  readonly failures: TaskError[] = [];
  /** Lines for the log: `warn threads-0 ended …`. */
  readonly lines: string[] = [];
  readonly #answers = new Map<Attempt, Answer[]>();
  readonly #waiting = new Set<() => void>();

  /** @param directory for the executor's own files; it must exist */
  constructor(directory: string) {
    this.directory = directory;
  }

  answer(attempt: Attempt, answer: Answer): void {
    this.answers.push({ attempt, answer });
    const known = this.#answers.get(attempt);
    if (known === undefined) this.#answers.set(attempt, [answer]);
    else known.push(answer);
    this.#onChange();
  }

  report(attempt: Attempt, what: 'running' | 'running_ended', place: Place): void {
    this.reports.push({ attempt, what, place });
    this.#onChange();
  }

  output(attempt: Attempt, stream: 'stdout' | 'stderr', text: string): void {
    this.outputs.push({ attempt, stream, text });
    this.#onChange();
  }

  failed(error: TaskError): void {
    this.failures.push(error);
    this.#onChange();
  }

  log(level: 'debug' | 'info' | 'warn' | 'error', message: string): void {
    this.lines.push(`${level} ${message}`);
    this.#onChange();
  }

  /** Every answer to an attempt: there should never be two. */
  answersTo(attempt: Attempt): readonly Answer[] {
    return this.#answers.get(attempt) ?? [];
  }

  /** The answer to an attempt, once it is there. */
  async answered(attempt: Attempt): Promise<Answer> {
    await this.until(() => this.#answers.has(attempt));
    return this.answersTo(attempt)[0] as Answer;
  }

  /** The value that an attempt was answered with; throws its error when it failed. */
  async value(attempt: Attempt): Promise<unknown> {
    const answer = await this.answered(attempt);
    if (!answer.ok) throw answer.error;
    return answer.value;
  }

  /** The error that an attempt was answered with. */
  async error(attempt: Attempt): Promise<TaskError> {
    const answer = await this.answered(attempt);
    assert.ok(!answer.ok, 'it succeeded');
    return answer.error;
  }

  /** Resolves when the body of a `watched` attempt has begun. */
  began(attempt: Attempt): Promise<void> {
    return this.until(() => this.reports.some((report) => report.attempt === attempt && report.what === 'running'));
  }

  /** Resolves when `isTrue` is, looking again whenever the executor has said something. */
  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  #onChange(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

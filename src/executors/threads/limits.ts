// The timeouts of one thread's bodies, seen from outside: bodies that wait end themselves in the thread, but one that computes
// without end reads no message and no timer, nor does a module that never finishes loading. One timer for all jobs that the thread holds.
import { loadingLimit } from '../../task/limits.ts';
import type { Attempt } from '../../task/ports.ts';

/** How much longer than its timeout a body may run before it is ended from outside, in milliseconds; a command is ended in the thread, with a grace. */
const slackMs = 5;
const commandSlackMs = 7_000;

/** What is known of a job that runs. */
export interface RunningJob {
  readonly attempt: Attempt | undefined;
  /** What it is at; a command after the function that gives it. */
  readonly at: 'loading' | 'body' | 'command';
  /** For how long: loading by itself, body and command together. */
  readonly forMs: number;
}

export class Limits {
  readonly #running: () => RunningJob;
  readonly #onOverrun: (attempt: Attempt, at: RunningJob['at']) => void;
  readonly #leastLoadingMs: number;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  /** The shortest limit among the jobs held; it is not raised when they end, so a look may be one too many. */
  #shortestMs = Number.POSITIVE_INFINITY;
  #count = 0;

  constructor(
    leastLoadingMs: number,
    running: () => RunningJob,
    onOverrun: (attempt: Attempt, at: RunningJob['at']) => void,
  ) {
    this.#leastLoadingMs = leastLoadingMs;
    this.#running = running;
    this.#onOverrun = onOverrun;
  }

  /** The thread now holds a job. It cannot overrun before its timeout is over, counted from now, whatever it is at. */
  add(attempt: Attempt): void {
    const limitMs = this.#limitOf(attempt, 'body');
    if (limitMs === Number.POSITIVE_INFINITY) return;
    this.#count++;
    this.#shortestMs = Math.min(this.#shortestMs, limitMs);
    this.#lookIn(limitMs);
  }

  /** The thread holds it no longer. */
  delete(attempt: Attempt): void {
    if (attempt.timeoutMs === 0) return;
    this.#count--;
    if (this.#count === 0) this.#shortestMs = Number.POSITIVE_INFINITY;
  }

  end(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #lookIn(ms: number): void {
    const dueAt = performance.now() + ms;
    if (dueAt >= this.#dueAt) return;
    this.end();
    this.#dueAt = dueAt;
    // Not what keeps the process alive: a thread that holds a job does.
    this.#timer = setTimeout(() => this.#look(), Math.min(ms, 2 ** 31 - 1)).unref();
  }

  #look(): void {
    this.#timer = undefined;
    this.#dueAt = Number.POSITIVE_INFINITY;
    if (this.#count === 0) return;
    const { attempt, at, forMs } = this.#running();
    const leftMs = attempt === undefined ? Number.POSITIVE_INFINITY : this.#limitOf(attempt, at) - forMs;
    if (attempt !== undefined && leftMs <= 0) this.#onOverrun(attempt, at);
    // Whatever begins next has its whole time before it.
    this.#lookIn(Math.max(1, Math.min(leftMs > 0 ? leftMs : Number.POSITIVE_INFINITY, this.#shortestMs)));
  }

  #limitOf({ timeoutMs }: Attempt, at: RunningJob['at']): number {
    if (timeoutMs === 0) return Number.POSITIVE_INFINITY;
    if (at === 'loading') return loadingLimit(timeoutMs, this.#leastLoadingMs) + slackMs;
    return timeoutMs + (at === 'command' ? commandSlackMs : slackMs);
  }
}

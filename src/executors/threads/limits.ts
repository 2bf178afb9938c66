// The timeouts of one thread's bodies, seen from outside: bodies that wait end themselves in the thread, but one that computes
// without end reads no message and no timer. One timer for all jobs that the thread holds.
import type { Attempt } from '../../task/ports.ts';

/** How much longer than its timeout a body may run before it is ended from outside, in milliseconds; a command is ended in the thread, with a grace. */
const slackMs = 5;
const commandSlackMs = 7_000;

/** What is known of a job that runs. */
export interface RunningJob {
  readonly attempt: Attempt | undefined;
  /** How long its body has run; minus infinity while that has not begun. */
  readonly forMs: number;
  /** It is a command. */
  readonly isCommand: boolean;
}

export class Limits {
  readonly #running: () => RunningJob;
  readonly #onOverrun: (attempt: Attempt) => void;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  /** The shortest limit among the jobs held; it is not raised when they end, so a look may be one too many. */
  #shortestMs = Number.POSITIVE_INFINITY;
  #count = 0;

  constructor(running: () => RunningJob, onOverrun: (attempt: Attempt) => void) {
    this.#running = running;
    this.#onOverrun = onOverrun;
  }

  /** The thread now holds a job. It cannot overrun before its timeout is over, counted from now. */
  add(attempt: Attempt): void {
    const limitMs = limitOf(attempt, false);
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
    const { attempt, forMs, isCommand } = this.#running();
    const leftMs = attempt === undefined ? Number.POSITIVE_INFINITY : limitOf(attempt, isCommand) - forMs;
    if (attempt !== undefined && leftMs <= 0) this.#onOverrun(attempt);
    // Whatever begins next has its whole time before it.
    this.#lookIn(Math.max(1, Math.min(leftMs > 0 ? leftMs : Number.POSITIVE_INFINITY, this.#shortestMs)));
  }
}

function limitOf({ timeoutMs }: Attempt, isCommand: boolean): number {
  return timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs + (isCommand ? commandSlackMs : slackMs);
}

// inline: runs bodies in this process, in the one thread that it has. For debugging, for tests, and for apps that only wait.
// What may cross, and how it arrives, is as with any other executor: values are copied, closures are refused.
import { hostname } from 'node:os';
import { CancelledError, ConfigError, type TaskError } from '../task/errors.ts';
import { leastLoadingMs } from '../task/limits.ts';
import type { Answer, Attempt, Executor, ExecutorHost, FunctionSource, Place } from '../task/ports.ts';
import { copyValue } from '../wire/copy.ts';
import { CommandReaper } from '../worker/groups.ts';
import { asTaskError, Run, stoppedError } from '../worker/runner.ts';

export interface InlineOptions<Label extends string = string> {
  /** Unique among the executors. @default 'inline' */
  readonly label?: Label;
  /** Bodies that may be under way at once; those that compute run one after another anyway. @default 100 */
  readonly max?: number;
}

/**
 * An executor that runs bodies in this process. A body that computes without end cannot be stopped here: use threads() for such.
 *
 * @example
 * await using run = await load({ executors: [inline()] });
 */
export function inline<const Label extends string = 'inline'>(
  options: InlineOptions<Label> = {},
): Executor & { readonly label: NoInfer<Label> } {
  const { label = 'inline' as Label, max = 100 } = options;
  if (!Number.isInteger(max) || max < 1) {
    throw new ConfigError('inline()', [
      { path: 'max', problem: `expected a whole number from 1 up, not ${String(max)}` },
    ]);
  }
  return new InlineExecutor(label, max);
}

/** The notes of an attempt: none while it is queued, then its job; `over` when nothing more is to be said about it. */
const over = Symbol('over');

/** An attempt that has begun. */
interface InlineJob {
  run: Run | undefined;
  /** Its arguments are being made ready, or its body runs. */
  isCounted: boolean;
}

export class InlineExecutor<Label extends string> implements Executor {
  readonly label: Label;
  readonly #max: number;
  readonly #leastLoadingMs: number;
  #host: ExecutorHost | undefined;
  #reaper: CommandReaper | undefined;
  #queue: (Attempt | undefined)[] = [];
  #head = 0;
  readonly #begun = new Set<Attempt>();
  #running = 0;
  #isScheduled = false;
  #isClosed = false;
  #whenQuiet: (() => void) | undefined;
  readonly #place: Place = { host: hostname(), worker: 'inline' };

  /** @param leastMs how long a task with a timeout may load what it needs at least */
  constructor(label: Label, max: number, leastMs: number = leastLoadingMs) {
    this.label = label;
    this.#max = max;
    this.#leastLoadingMs = leastMs;
  }

  get load(): number {
    return (this.#queue.length - this.#head + this.#running) / this.#max;
  }

  async start(host: ExecutorHost): Promise<void> {
    this.#host = host;
    this.#reaper = new CommandReaper(host.mark);
  }

  submit(attempt: Attempt): void {
    this.#queue.push(attempt);
    this.#schedule();
  }

  stop(attempt: Attempt, reason: unknown): void {
    const note = attempt.note as InlineJob | undefined | typeof over;
    if (note === over) return;
    if (note === undefined) {
      attempt.note = over;
      return;
    }
    note.run?.stop(stoppedError(reason));
    // A command is waited for, so that it is gone; a body that does not listen goes on, and nobody waits for it.
    if (attempt.body.kind !== 'bash') this.#forget(attempt, note);
  }

  /** Ends the commands that run, and answers everything. Bodies that do not listen go on as long as this process does. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const error = new CancelledError('its executor was closed');
    this.#runSome();
    for (const attempt of [...this.#begun]) {
      const note = attempt.note as InlineJob;
      note.run?.stop(error);
      if (attempt.body.kind !== 'bash' || note.run === undefined) this.#answer(attempt, note, { ok: false, error });
    }
    if (this.#begun.size > 0) {
      await new Promise<void>((resolve) => {
        this.#whenQuiet = resolve;
      });
    }
    await this.#reaper?.close();
  }

  #schedule(): void {
    if (this.#isScheduled || (this.#running >= this.#max && !this.#isClosed)) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#runSome();
    });
  }

  /** Runs what is queued, for a few milliseconds at most before it lets timers and sockets have their turn. */
  #runSome(): void {
    const until = performance.now() + 5;
    while (this.#head < this.#queue.length && (this.#running < this.#max || this.#isClosed)) {
      const attempt = this.#queue[this.#head] as Attempt;
      this.#queue[this.#head++] = undefined;
      if (attempt.note !== over) this.#begin(attempt);
      if (!this.#isClosed && (this.#head & 63) === 0 && performance.now() > until) break;
    }
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else {
      this.#schedule();
    }
  }

  #begin(attempt: Attempt): void {
    if (this.#isClosed) {
      attempt.note = over;
      this.#host?.answer(attempt, { ok: false, error: new CancelledError('its executor was closed') });
      return;
    }
    const note: InlineJob = { run: undefined, isCounted: true };
    attempt.note = note;
    this.#begun.add(attempt);
    this.#running++;
    if (attempt.plainArgs) {
      this.#run(attempt, note, attempt.args);
      return;
    }
    try {
      const args = attempt.args.map((arg, index) => copyValue(arg, `argument ${index} of ${attempt.body.name}()`));
      if (!args.some((arg) => arg instanceof Promise)) {
        this.#run(attempt, note, args);
        return;
      }
      Promise.all(args).then(
        (ready) => this.#run(attempt, note, ready),
        (thrown) => this.#answer(attempt, note, { ok: false, error: asTaskError(thrown) }),
      );
    } catch (thrown) {
      this.#answer(attempt, note, { ok: false, error: asTaskError(thrown) });
    }
  }

  #run(attempt: Attempt, note: InlineJob, args: readonly unknown[]): void {
    if (attempt.note === over) return;
    const host = this.#host as ExecutorHost;
    const { body, taskId, tryNumber, wrappers, files, timeoutMs } = attempt;
    const isBash = body.kind === 'bash';
    const run = new Run(
      { taskId, tryNumber, app: body.name, kind: isBash ? 'bash' : 'function', args, wrappers, files, timeoutMs },
      {
        mark: host.mark,
        leastLoadingMs: this.#leastLoadingMs,
        reaperFd: isBash ? this.#reaperFd() : undefined,
        log: (_, message) => host.output(attempt, 'stderr', `${message}\n`),
      },
    );
    note.run = run;
    if (attempt.watched) host.report(attempt, 'running', this.#place);
    try {
      // Its source is asked for also where the function is here: what could not be sent elsewhere is refused here too.
      // Python functions never come here: the kernel gives them to executors with workers for them.
      run.start(body.source as FunctionSource | undefined, body.local, (answer) =>
        this.#onAnswer(attempt, note, answer),
      );
    } catch (thrown) {
      this.#answer(attempt, note, { ok: false, error: asTaskError(thrown) });
    }
  }

  /** `undefined` where none can be started, as then no command can either. */
  #reaperFd(): number | undefined {
    try {
      return this.#reaper?.fd;
    } catch (thrown) {
      this.#host?.log('warn', `commands run unwatched: ${String(thrown)}`);
      return undefined;
    }
  }

  #onAnswer(attempt: Attempt, note: InlineJob, answer: Answer): void {
    const copy = answer.ok ? copyResult(answer.value) : answer;
    if (copy instanceof Promise) void copy.then((ready) => this.#answer(attempt, note, ready));
    else this.#answer(attempt, note, copy);
  }

  #answer(attempt: Attempt, note: InlineJob, answer: Answer): void {
    const isWanted = attempt.note !== over;
    this.#forget(attempt, note);
    if (!isWanted) return;
    if (attempt.watched && note.run !== undefined) this.#host?.report(attempt, 'running_ended', this.#place);
    this.#host?.answer(attempt, answer);
  }

  #forget(attempt: Attempt, note: InlineJob): void {
    attempt.note = over;
    this.#begun.delete(attempt);
    if (note.isCounted) this.#running--;
    note.isCounted = false;
    if (this.#begun.size === 0) this.#whenQuiet?.();
    if (this.#head < this.#queue.length) this.#schedule();
  }
}

/** The answer as it would arrive from elsewhere; later, when an instance must be made again by its own class. */
function copyResult(value: unknown): Answer | Promise<Answer> {
  const failed = (thrown: unknown): Answer => ({ ok: false, error: asTaskError(thrown) as TaskError });
  try {
    const copy = copyValue(value, 'the result');
    return copy instanceof Promise
      ? copy.then((ready): Answer => ({ ok: true, value: ready }), failed)
      : { ok: true, value: copy };
  } catch (thrown) {
    return failed(thrown);
  }
}

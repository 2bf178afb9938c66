// inline: runs bodies in this process, in the one thread that it has. For debugging, for tests, and for apps that only wait.
// What may cross, and how it arrives, is as with any other executor: values are copied, closures are refused.
import { hostname } from 'node:os';
import type { TaskError } from '../task/errors.ts';
import type { Answer, Attempt, Executor, ExecutorHost, Place } from '../task/ports.ts';
import { copyValue } from '../wire/copy.ts';
import { CommandReaper } from '../worker/groups.ts';
import { asTaskError, type Job, Run, stoppedError } from '../worker/runner.ts';

export interface InlineOptions<Label extends string = string> {
  /** Unique among the executors. @default 'inline' */
  readonly label?: Label;
  /** Bodies that may be under way at once; those that compute run one after another anyway. @default 100 */
  readonly max?: number;
}

/** An executor that runs bodies in this process. A body that computes without end cannot be stopped here: use threads() for such. */
export function inline<const Label extends string = 'inline'>(
  options: InlineOptions<Label> = {},
): Executor & { readonly label: NoInfer<Label> } {
  return new InlineExecutor(options.label ?? ('inline' as Label), options.max ?? 100);
}

class InlineExecutor<Label extends string> implements Executor {
  readonly label: Label;
  readonly #max: number;
  #host: ExecutorHost | undefined;
  #reaper: CommandReaper | undefined;
  #queue: (Attempt | undefined)[] = [];
  #head = 0;
  /** Tries that take a place. */
  readonly #running = new Set<Attempt>();
  #isScheduled = false;
  readonly #place: Place = { host: hostname(), worker: 'inline' };

  constructor(label: Label, max: number) {
    this.label = label;
    this.#max = max;
  }

  get load(): number {
    return (this.#queue.length - this.#head + this.#running.size) / this.#max;
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
    const { note } = attempt;
    if (!(note instanceof Run)) {
      attempt.note = dropped;
      return;
    }
    note.stop(stoppedError(reason));
    // A body that does not listen may wait for ever: it must not take the place of others meanwhile.
    this.#running.delete(attempt);
    if (this.#head < this.#queue.length) this.#schedule();
  }

  async close(): Promise<void> {
    await this.#reaper?.close();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#running.size >= this.#max) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#runSome();
    });
  }

  /** Runs what is queued, for a few milliseconds at most before it lets timers and sockets have their turn. */
  #runSome(): void {
    const until = performance.now() + 5;
    while (this.#head < this.#queue.length && this.#running.size < this.#max) {
      const attempt = this.#queue[this.#head] as Attempt;
      this.#queue[this.#head++] = undefined;
      if (attempt.note !== dropped) this.#run(attempt);
      if ((this.#head & 63) === 0 && performance.now() > until) break;
    }
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else {
      this.#schedule();
    }
  }

  #run(attempt: Attempt): void {
    const host = this.#host as ExecutorHost;
    let args = attempt.args;
    if (!attempt.plainArgs) {
      try {
        args = args.map((arg, index) => copyValue(arg, `argument ${index}`));
      } catch (error) {
        host.answer(attempt, { ok: false, error: asTaskError(error) });
        return;
      }
    }
    const { body } = attempt;
    const job: Job = {
      taskId: attempt.taskId,
      tryNumber: attempt.tryNumber,
      app: body.name,
      kind: body.kind === 'bash' ? 'bash' : 'function',
      args,
      wrappers: attempt.wrappers,
      files: attempt.files,
      timeoutMs: attempt.timeoutMs,
    };
    const run = new Run(job, {
      mark: host.mark,
      reaperFd: body.kind === 'bash' ? this.#reaper?.fd : undefined,
      log: (_, message) => host.output(attempt, 'stderr', `${message}\n`),
    });
    attempt.note = run;
    if (attempt.watched) host.report(attempt, 'running', this.#place);
    this.#running.add(attempt);
    run.start(body.source, body.local, (answer) => {
      this.#running.delete(attempt);
      if (attempt.watched) host.report(attempt, 'running_ended', this.#place);
      host.answer(attempt, copyAnswer(answer));
      if (this.#head < this.#queue.length) this.#schedule();
    });
  }
}

const dropped = Symbol('dropped');

function copyAnswer(answer: Answer): Answer {
  if (
    !answer.ok ||
    ((typeof answer.value !== 'object' || answer.value === null) &&
      typeof answer.value !== 'function' &&
      typeof answer.value !== 'symbol')
  ) {
    return answer;
  }
  try {
    return { ok: true, value: copyValue(answer.value, 'the result') };
  } catch (error) {
    return { ok: false, error: error as TaskError };
  }
}

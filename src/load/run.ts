// A run: what load() gives. It holds the kernel and everything that was started for it, and ends all of that again.
import { join } from 'node:path';
import type { LogFile } from '../base/log-file.ts';
import { showDuration } from '../base/time.ts';
import { ambientKernel, setAmbient, withScope } from '../kernel/current.ts';
import type { FailureLedger } from '../kernel/elaborators/observe.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { MemoStore } from '../kernel/memo/store.ts';
import type { Monitor } from '../monitoring/monitor.ts';
import type { TaskEvent } from '../task/channels.ts';
import type { TaskError } from '../task/errors.ts';
import type { StateCounts } from '../task/state.ts';
import { EventStream, type RunEvents } from './events.ts';

/** Where a run stands. */
export interface RunSummary {
  /** Tasks submitted so far. */
  readonly total: number;
  /** Tasks that are not settled. */
  readonly live: number;
  /** How many tasks are in each state. */
  readonly byState: Readonly<StateCounts>;
  /** Results that came from the memo or a checkpoint. */
  readonly memoized: number;
}

/** A task that failed while nobody looked at its future. */
export interface UnseenFailure {
  readonly id: number;
  readonly app: string;
  readonly error: TaskError;
}

export interface RunParts {
  readonly kernel: Kernel;
  readonly directory: string;
  readonly exit: 'wait' | 'cancel';
  readonly ledger: FailureLedger;
  readonly memo: MemoStore | undefined;
  readonly log: LogFile | undefined;
  readonly monitor: Monitor | undefined;
  /** Undone last to first when the run ends. */
  readonly undo: (() => void | Promise<void>)[];
}

const nagEveryMs = 10_000;

/** A loaded run. `await using run = await load()` closes it at the end of the scope. */
export class Run implements AsyncDisposable {
  /** Unique, also beyond this machine. */
  readonly id: string;
  /** Its run directory, absolute. */
  readonly directory: string;
  readonly #parts: RunParts;
  readonly #startedAt = Date.now();
  #closing: Promise<void> | undefined;
  #isClosed = false;
  #stage: string | undefined;
  #endNag = (): void => {};
  readonly #streams = new Set<EventStream<TaskEvent>>();

  /** @internal */
  constructor(parts: RunParts) {
    this.#parts = parts;
    this.id = parts.kernel.run;
    this.directory = parts.directory;
  }

  summary(): RunSummary {
    const { kernel } = this.#parts;
    return { total: kernel.total, live: kernel.live, byState: { ...kernel.counts }, memoized: kernel.counts.memo_done };
  }

  /**
   * Every change of a task's state from now on, until the run closes. A slow reader loses the oldest, and is told how many
   * in `dropped`; memory does not grow.
   *
   * @example
   * for await (const event of run.events()) if (event.state === 'failed') console.error(event.error?.message);
   */
  events(): RunEvents {
    const stream = new EventStream<TaskEvent>(
      (listener) => this.#parts.kernel.listen(listener),
      () => this.#streams.delete(stream),
    );
    if (this.#isClosed) stream.end();
    else this.#streams.add(stream);
    return stream;
  }

  /**
   * Names what the program is about to do: apps called from here on belong to this stage, in the progress line and in the
   * monitoring database.
   *
   * @example
   * await using run = await load({ monitoring: true });
   * run.stage('align');
   */
  stage(name: string): void {
    this.#stage = name;
    this.#parts.monitor?.stage(name);
  }

  /** The stage that was named last. */
  get currentStage(): string | undefined {
    return this.#stage;
  }

  /** Process id of what writes the monitoring database, if the run has one. */
  get monitorPid(): number | undefined {
    return this.#parts.monitor?.writerPid;
  }

  /** Calls `body` with this run as the one that apps are called on, also in everything asynchronous that it starts. */
  enter<Value>(body: () => Value): Value {
    return withScope({ kernel: this.#parts.kernel, parent: undefined }, true, body);
  }

  /** Cancels every task that is not settled. The run stays open. */
  cancel(reason?: unknown): void {
    this.#parts.kernel.cancelAll(reason ?? 'the run was cancelled');
  }

  /** Resolves when no task is left unsettled, also of those called meanwhile. It does not close the run. */
  async wait(): Promise<void> {
    const { kernel } = this.#parts;
    do {
      await kernel.whenIdle();
      // What awaits a future may call further apps as soon as it settles.
      await new Promise((resolve) => setImmediate(resolve));
    } while (kernel.live > 0);
  }

  /** Writes remembered results to the checkpoint now. @returns how many were written */
  checkpoint(): number {
    return this.#parts.memo?.checkpoint() ?? 0;
  }

  /** Failed tasks whose future nobody has looked at up to now. */
  unseenFailures(): UnseenFailure[] {
    return this.#parts.ledger.unseen().tasks.map((task) => ({
      id: task.id,
      app: task.app,
      error: task.outcome?.ok === false ? (task.outcome.error as TaskError) : (undefined as never),
    }));
  }

  /**
   * Waits for the tasks (or cancels them: `exit: 'cancel'`), ends everything that the run started, and names failures that
   * nobody looked at. Called by `await using`. A second call waits for the first.
   */
  close(options: { readonly exit?: 'wait' | 'cancel' } = {}): Promise<void> {
    this.#closing ??= this.#close(options.exit ?? this.#parts.exit);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(exit: 'wait' | 'cancel'): Promise<void> {
    const { kernel, undo, log, memo } = this.#parts;
    if (exit === 'cancel') {
      kernel.refuseCalls();
      kernel.cancelAll('the run was closed');
    }
    this.#endNag = kernel.clock.after(nagEveryMs, () => this.#nag());
    try {
      await this.wait();
    } finally {
      this.#endNag();
    }
    const steps: (() => unknown)[] = [
      () => kernel.close(),
      () => this.#reportUnseen(),
      () => memo?.close(),
      () => this.#logSummary(log),
      () => {
        this.#isClosed = true;
        for (const stream of [...this.#streams]) stream.end();
      },
      ...undo.splice(0).reverse(),
      () => this.#parts.monitor?.close(),
      () => {
        if (ambientKernel() === kernel) setAmbient(undefined);
      },
      () => log?.close(),
    ];
    const problems: unknown[] = [];
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        // What one step leaves behind must not keep the others from tidying up.
        problems.push(error);
      }
    }
    if (problems.length > 0)
      throw problems.length === 1 ? problems[0] : new AggregateError(problems, 'The run did not close well.');
  }

  #nag(): void {
    const { kernel } = this.#parts;
    const { live } = kernel;
    const oldest = [...kernel.liveTasks()]
      .slice(-3)
      .map((task) => task.describe())
      .reverse();
    process.stderr.write(
      `chervil: waiting for ${live} ${live === 1 ? 'task' : 'tasks'}; Ctrl-C cancels (${oldest.join('; ')}${live > 3 ? '; …' : ''})\n`,
    );
    this.#endNag = kernel.clock.after(nagEveryMs, () => this.#nag());
  }

  #reportUnseen(): void {
    const { tasks, beyond } = this.#parts.ledger.unseen();
    if (tasks.length === 0) return;
    const count = tasks.length + beyond;
    const shown = tasks.slice(0, 5).map((task) => {
      const error = task.outcome?.ok === false ? (task.outcome.error as TaskError) : undefined;
      return `  ${error?.shortMessage ?? `task ${task.id} (${task.app})`}`;
    });
    const more =
      count > shown.length ? `\n  and ${count - shown.length} more; see ${join(this.directory, 'chervil.log')}` : '';
    process.stderr.write(
      `chervil: ${count} ${count === 1 ? 'task' : 'tasks'} failed and nobody looked:\n${shown.join('\n')}${more}\n`,
    );
    for (const task of tasks)
      if (task.outcome?.ok === false)
        this.#parts.log?.write(`unseen failure: ${(task.outcome.error as TaskError).stack ?? ''}\n`);
  }

  #logSummary(log: LogFile | undefined): void {
    if (log === undefined) return;
    const { counts, lateAnswers, total } = this.#parts.kernel;
    log.write(
      `${new Date().toISOString()} info summary of ${total} tasks after ${showDuration(Date.now() - this.#startedAt)}\n`,
    );
    for (const [state, count] of Object.entries(counts)) log.write(`  tasks in state ${state}: ${count}\n`);
    if (lateAnswers > 0) log.write(`  answers that came too late: ${lateAnswers}\n`);
  }
}

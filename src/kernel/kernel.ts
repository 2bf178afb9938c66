// The kernel: takes calls, walks tasks along their paths, hands tries to executors, and settles futures.
//
//   submit -> [observe ... route] -> executor        one loop moves tasks; nothing recurses, whatever the chain
//   settle <- [observe ... route] <- answer          interrupts (cancel, deadline, close) come from outside the path
//
// What happens to a task on the way is the elaborators' business (elaborators/), never the loop's.
import { assert, assertNever } from '../base/assert.ts';
import type { Clock } from '../base/time.ts';
import type { Waitable, Waiter } from '../task/cell.ts';
import { channels, type TaskEvent } from '../task/channels.ts';
import { CancelledError, ChervilError, ClosedError, DependencyError, ExecutorFailedError, type TaskError, UnknownExecutorError } from '../task/errors.ts';
import { fail, type Outcome, succeed } from '../task/outcome.ts';
import type { Answer, Attempt, Executor, ExecutorHost, Place } from '../task/ports.ts';
import { noCounts, type StateCounts, type TaskState } from '../task/state.ts';
import type { AppRecord } from './app-record.ts';
import type { Elaborator, ElaboratorMaker } from './path.ts';
import { type Call, Task, TaskAttempt } from './task.ts';

export interface KernelOptions {
  /** Id of the run: every event carries it. */
  readonly run: string;
  readonly executors: readonly Executor[];
  /** Runs the bodies of join apps, in this process. */
  readonly joinExecutor: Executor;
  /** Look for futures at any depth of the arguments. */
  readonly searchesDeep: boolean;
  /** The path, outermost first. */
  readonly path: readonly ElaboratorMaker[];
  readonly clock: Clock;
  /** Where executors may leave files. */
  readonly directoryOf: (executor: Executor) => string;
  /** CHERVIL_RUN of every process of the run. */
  readonly mark: string;
  readonly log: ExecutorHost['log'];
}

/** Called for each change of state, after the counters are right. */
export type TaskListener = (event: TaskEvent) => void;

export class Kernel {
  readonly run: string;
  readonly clock: Clock;
  readonly executors: readonly Executor[];
  readonly joinExecutor: Executor;
  readonly log: ExecutorHost['log'];
  /** How many tasks are in each state. */
  readonly counts: StateCounts = noCounts();
  /** Answers that came after their task no longer waited for them. */
  lateAnswers = 0;
  readonly #options: KernelOptions;
  /** Futures are found in arguments at any depth. */
  readonly searchesDeep: boolean;
  readonly #elaborators: readonly Elaborator[];
  readonly #paths = new Map<AppRecord, readonly Elaborator[]>();
  readonly #broken = new Map<Executor, TaskError>();
  readonly #listeners = new Set<TaskListener>();
  #nextId = 0;
  #live = 0;
  #first: Task | undefined;
  #ready: Task[] = [];
  #isDraining = false;
  #isClosed = false;
  #idleWaiters: (() => void)[] = [];

  constructor(options: KernelOptions) {
    this.#options = options;
    this.run = options.run;
    this.clock = options.clock;
    this.executors = options.executors;
    this.joinExecutor = options.joinExecutor;
    this.log = options.log;
    this.searchesDeep = options.searchesDeep;
    this.#elaborators = options.path.map((make) => make(this));
  }

  /** Starts every executor; when one fails to start, those already started are closed again. */
  async start(): Promise<void> {
    const started: Executor[] = [];
    try {
      for (const executor of [this.joinExecutor, ...this.executors]) {
        started.push(executor);
        await executor.start(this.#hostFor(executor));
      }
    } catch (error) {
      await Promise.allSettled(started.reverse().map((executor) => executor.close()));
      throw error;
    }
  }

  /** Tasks that are not settled. */
  get live(): number {
    return this.#live;
  }

  /** Tasks submitted so far. */
  get total(): number {
    return this.#nextId;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Makes a task of a call and sends it on its way, as far as it goes at once. */
  submit(call: Call): Task {
    const { record, parent } = call;
    if (this.#isClosed) throw new ClosedError(`The run is closed, so ${record.name}() cannot be called on it any more.`);
    const task = new Task(this, this.#nextId, record, this.#paths.get(record) ?? this.#planPath(record), call);
    this.#nextId++;
    this.#link(task);
    this.counts.pending++;
    if (this.isWatched) this.#publish(task, undefined, 'pending', undefined);
    if (parent !== undefined) {
      const notes = parent.note();
      notes.children ??= new Set();
      notes.children.add(task);
    }
    this.#walk(task);
    return task;
  }

  #planPath(record: AppRecord): readonly Elaborator[] {
    for (const label of record.executors ?? []) {
      if (this.executors.some((executor) => executor.label === label)) continue;
      const known = this.executors.map((executor) => `'${executor.label}'`).join(', ');
      throw new UnknownExecutorError(`${record.name} names the executor '${label}', but this run has ${known}.`);
    }
    const path = this.#elaborators.filter((one) => one.concerns?.(record) ?? true);
    this.#paths.set(record, path);
    return path;
  }

  /** Goes on with a task that waits no longer. */
  wake(task: Task): void {
    const ready = this.#ready;
    ready.push(task);
    if (this.#isDraining) return;
    this.#isDraining = true;
    try {
      // `ready` grows while it is walked; what is done is cut off now and then, so that it stays short.
      for (let next = 0; next < ready.length; next++) {
        this.#walk(ready[next] as Task);
        if (next >= 4095 && next * 2 >= ready.length) {
          ready.splice(0, next + 1);
          next = -1;
        }
      }
    } finally {
      ready.length = 0;
      this.#isDraining = false;
    }
  }

  /** Walks one task until it waits, runs or is settled. */
  #walk(task: Task): void {
    const { path } = task;
    while (task.outcome === undefined) {
      if (task.isDown) {
        if (task.place === path.length) {
          this.#launch(task);
          return;
        }
        const elaborator = path[task.place] as Elaborator;
        if (elaborator.enter === undefined) {
          task.place++;
          continue;
        }
        let step: ReturnType<NonNullable<Elaborator['enter']>>;
        try {
          step = elaborator.enter(task);
        } catch (error) {
          this.#turnRound(task, fail(this.#asTaskError(error, elaborator)), task.place);
          continue;
        }
        switch (step.do) {
          case 'go':
            task.place++;
            task.isInside = false;
            break;
          case 'wait':
            if (this.#wait(task, step.for)) return;
            break;
          case 'answer':
            this.#turnRound(task, step.outcome, task.place - 1);
            break;
          case 'again':
            assert(false, `${elaborator.name} said 'again' on the way down`);
            break;
          default:
            assertNever(step, 'step');
        }
      } else {
        if (task.place < 0) {
          this.#settle(task);
          return;
        }
        const elaborator = path[task.place] as Elaborator;
        if (elaborator.leave === undefined) {
          task.place--;
          continue;
        }
        let step: ReturnType<NonNullable<Elaborator['leave']>>;
        try {
          step = elaborator.leave(task, task.result as Outcome);
        } catch (error) {
          task.result = fail(this.#asTaskError(error, elaborator));
          task.place--;
          continue;
        }
        switch (step.do) {
          case 'go':
            task.place--;
            break;
          case 'wait':
            if (this.#wait(task, step.for)) return;
            break;
          case 'answer':
            task.result = step.outcome;
            task.place--;
            break;
          case 'again':
            this.#tryAgain(task, step.afterMs);
            if (task.waiting !== undefined) return;
            break;
          default:
            assertNever(step, 'step');
        }
      }
    }
  }

  /** True when the task now waits. */
  #wait(task: Task, what: Waitable): boolean {
    if (what.isSettled) return false;
    task.waiting = what;
    task.isInside = task.isDown;
    what.attach(task);
    return true;
  }

  #turnRound(task: Task, outcome: Outcome, place: number): void {
    task.result = outcome;
    task.isDown = false;
    task.isInside = false;
    task.place = place;
  }

  /** Down again from the place of the elaborator that asked, at once or after a while. */
  #tryAgain(task: Task, afterMs: number): void {
    const result = task.result as Outcome;
    this.transition(task, 'fail_retryable', result.ok ? undefined : (result.error as TaskError));
    const down = (): void => {
      task.result = undefined;
      task.isDown = true;
      task.place++;
      task.tryNumber++;
      this.transition(task, 'pending');
    };
    if (afterMs <= 0) {
      down();
      return;
    }
    const delay = new Delay(this.clock, afterMs, down);
    task.waiting = delay;
    delay.attach(task);
  }

  #launch(task: Task): void {
    const executor = task.executor as Executor;
    const attempt = new TaskAttempt(task, this.isWatched);
    task.attempt = attempt;
    this.transition(task, 'launched');
    const broken = this.#broken.get(executor);
    if (broken !== undefined) {
      this.#onAnswer(attempt, { ok: false, error: broken });
      return;
    }
    try {
      executor.submit(attempt);
    } catch (error) {
      this.#onAnswer(attempt, { ok: false, error: this.#asTaskError(error, executor) });
    }
  }

  #onAnswer(given: Attempt, answer: Answer): void {
    const { task } = given as TaskAttempt;
    if (task.attempt !== given) {
      this.lateAnswers++;
      return;
    }
    task.attempt = undefined;
    this.#turnRound(task, answer.ok ? succeed(answer.value) : fail(answer.error), task.path.length - 1);
    this.wake(task);
  }

  /**
   * Ends a task from outside the path: what it waits for is let go, what runs is stopped, and it goes up from where it
   * stands, so that every elaborator that it entered is left.
   * @returns false when it was settled, or on its way up with an interrupt already
   */
  interrupt(task: Task, outcome: Outcome): boolean {
    if (task.outcome !== undefined || task.isInterrupted) return false;
    task.isInterrupted = true;
    const { waiting, attempt, executor } = task;
    const isIdle = waiting !== undefined || attempt !== undefined;
    task.result = outcome;
    if (!isIdle) {
      // It is being walked or about to be: turn it round where it stands.
      if (task.isDown) this.#turnRound(task, outcome, task.isInside ? task.place : task.place - 1);
      return true;
    }
    if (waiting !== undefined) {
      waiting.detach(task);
      task.waiting = undefined;
      // It stands in the elaborator that made it wait, and leaves that one too.
      this.#turnRound(task, outcome, task.place);
    }
    if (attempt !== undefined) {
      task.attempt = undefined;
      this.#turnRound(task, outcome, task.path.length - 1);
      executor?.stop(attempt, outcome.ok ? undefined : outcome.error);
    }
    this.wake(task);
    return true;
  }

  /** Settles a task as cancelled, with what its body submitted if it is a join. */
  cancel(task: Task, reason: unknown): boolean {
    const error = reason instanceof CancelledError ? reason : new CancelledError(reason);
    return this.interrupt(task, fail(error));
  }

  /** Cancels every task that is not settled. */
  cancelAll(reason: unknown): void {
    for (const task of this.liveTasks()) this.cancel(task, reason);
  }

  #settle(task: Task): void {
    const outcome = task.result as Outcome;
    if (outcome.ok) {
      this.transition(task, task.isMemoized ? 'memo_done' : 'exec_done');
    } else {
      const error = outcome.error as TaskError;
      this.transition(task, error instanceof DependencyError ? 'dep_fail' : 'failed', error);
    }
    task.parent?.notes?.children?.delete(task);
    this.#unlink(task);
    task.args = none;
    task.notes = undefined;
    task.result = undefined;
    task.dependencies = undefined;
    task.settle(outcome);
    if (this.#live === 0) {
      for (const resolve of this.#idleWaiters.splice(0)) resolve();
    }
  }

  /** Moves a task to a state, counts it, and tells whoever listens. */
  transition(task: Task, state: TaskState, error?: TaskError, place?: Place): void {
    const from = task.state;
    this.counts[from]--;
    this.counts[state]++;
    task.state = state;
    if (this.isWatched) this.#publish(task, from, state, error, place);
  }

  /** Somebody wants to know of every change. */
  get isWatched(): boolean {
    return this.#listeners.size > 0 || channels.task.hasSubscribers;
  }

  /** Calls `listener` for every change of state from now on. The returned function ends that. */
  listen(listener: TaskListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #publish(task: Task, from: TaskState | undefined, state: TaskState, error?: TaskError, place?: Place): void {
    const { dependencies, notes } = task;
    const event: TaskEvent = {
      run: this.run,
      id: task.id,
      app: task.app,
      from,
      state,
      tryNumber: task.tryNumber,
      time: this.clock.now(),
      executor: task.executor?.label,
      error,
      parent: task.parent?.id,
      dependencies: from === undefined && dependencies !== undefined ? [dependencies].flat().map((cell) => cell.id) : undefined,
      joins: state === 'joining' ? notes?.joins?.map((cell) => cell.id) : undefined,
      memoKey: notes?.memoKey,
      place,
    };
    for (const listener of this.#listeners) listener(event);
    if (channels.task.hasSubscribers) channels.task.publish(event);
  }

  /** Why an executor can run nothing any more, if so. */
  brokenBy(executor: Executor): TaskError | undefined {
    return this.#broken.get(executor);
  }

  /** Every task that is not settled, oldest last. */
  *liveTasks(): Generator<Task> {
    let task = this.#first;
    while (task !== undefined) {
      const { next } = task;
      yield task;
      task = next;
    }
  }

  /** Resolves when no task is left unsettled. */
  whenIdle(): Promise<void> {
    if (this.#live === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Takes no more calls, cancels what is left, and closes the executors. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.cancelAll('the run was closed');
    const closed = await Promise.allSettled([...this.executors, this.joinExecutor].map((executor) => executor.close()));
    for (const one of closed) if (one.status === 'rejected') this.log('error', `closing an executor failed: ${String(one.reason)}`);
    assert(this.#live === 0, `${this.#live} tasks were left unsettled when the kernel closed`);
  }

  #hostFor(executor: Executor): ExecutorHost {
    return {
      directory: this.#options.directoryOf(executor),
      mark: this.#options.mark,
      answer: (attempt, answer) => this.#onAnswer(attempt, answer),
      report: (given, what, place) => {
        const { task } = given as TaskAttempt;
        if (task.attempt === given) this.transition(task, what, undefined, place);
      },
      output: (given, stream, text) => {
        const { task } = given as TaskAttempt;
        if (channels.output.hasSubscribers) {
          channels.output.publish({ run: this.run, id: task.id, app: task.app, stream, text });
        }
      },
      failed: (error) => this.#broken.set(executor, error),
      log: (level, message) => this.log(level, `${executor.label}: ${message}`),
    };
  }

  /** An elaborator or executor that threw fails the task that it was asked about, and no other. */
  #asTaskError(error: unknown, by: { name?: string; label?: string }): TaskError {
    if (error instanceof ChervilError) return error as unknown as TaskError;
    const where = by.name ?? by.label ?? 'kernel';
    this.log('error', `${where} threw: ${error instanceof Error ? error.stack : String(error)}`);
    return new ExecutorFailedError(where, error instanceof Error ? error.message : String(error), error);
  }

  #link(task: Task): void {
    task.next = this.#first;
    if (this.#first !== undefined) this.#first.previous = task;
    this.#first = task;
    this.#live++;
  }

  #unlink(task: Task): void {
    if (task.previous !== undefined) task.previous.next = task.next;
    else this.#first = task.next;
    if (task.next !== undefined) task.next.previous = task.previous;
    task.next = undefined;
    task.previous = undefined;
    this.#live--;
  }
}

const none: readonly unknown[] = [];

/** A while, as something to wait for. */
class Delay implements Waitable {
  isSettled = false;
  #waiter: Waiter | undefined;
  readonly #cancel: () => void;

  constructor(clock: Clock, ms: number, before: () => void) {
    this.#cancel = clock.after(ms, () => {
      this.isSettled = true;
      before();
      this.#waiter?.onSettled(this);
    });
  }

  attach(waiter: Waiter): void {
    this.#waiter = waiter;
  }

  detach(): void {
    this.#waiter = undefined;
    this.#cancel();
  }
}

// The kernel: takes calls, walks tasks along their paths, hands tries to executors, and settles futures.
//
//   submit -> [observe ... route] -> executor        one loop moves tasks; nothing recurses, whatever the chain
//   settle <- [observe ... route] <- answer          interrupts (cancel, deadline, close) come from outside the path
//
// What happens to a task on the way is the elaborators' business (elaborators/), never the loop's.
import { inspect } from 'node:util';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/time.ts';
import type { Waitable, Waiter } from '../task/cell.ts';
import { channels, type TransitionListener } from '../task/channels.ts';
import {
  CancelledError,
  ChervilError,
  ClosedError,
  DependencyError,
  ElaboratorError,
  ExecutorFailedError,
  type TaskError,
  UnknownExecutorError,
  UnsupportedError,
  withoutStack,
} from '../task/errors.ts';
import { Failure, fail, type Outcome, Success, succeed } from '../task/outcome.ts';
import type { Answer, Attempt, Executor, ExecutorHost, ExecutorWatch, Place } from '../task/ports.ts';
import { canRun, runtimeOf } from '../task/runtime.ts';
import { isFinal, noCounts, type StateCounts, type TaskState } from '../task/state.ts';
import type { AppRecord } from './app-record.ts';
import { LiveTasks } from './live-tasks.ts';
import type { Elaborator, ElaboratorMaker, Step } from './path.ts';
import { Publisher, type TaskListener } from './publisher.ts';
import { type Call, type Plan, Task, TaskAttempt } from './task.ts';

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
  /** Hears what executors tell of themselves; `undefined` for nobody. */
  readonly watchOf?: (executor: Executor) => ExecutorWatch | undefined;
}

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
  /** Weakly: options of their own for each call make a record for each call. */
  readonly #plans = new WeakMap<AppRecord, Plan>();
  readonly #broken = new Map<Executor, TaskError>();
  readonly #publisher: Publisher;
  readonly #live = new LiveTasks();
  #nextId = 0;
  #ready: Task[] = [];
  #isDraining = false;
  #isClosed = false;

  constructor(options: KernelOptions) {
    this.#options = options;
    this.run = options.run;
    this.clock = options.clock;
    this.executors = options.executors;
    this.joinExecutor = options.joinExecutor;
    this.log = options.log;
    this.searchesDeep = options.searchesDeep;
    this.#publisher = new Publisher(options.run, (thrown) => this.#logThrown('a listener', thrown));
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
    return this.#live.count;
  }

  /** Tasks submitted so far. */
  get total(): number {
    return this.#nextId;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Makes a task of a call and sends it on its way, as far as it goes at once. Throws a UsageError when it cannot be one. */
  submit(call: Call): Task {
    const { record, parent } = call;
    if (this.#isClosed)
      throw new ClosedError(`The run is closed, so ${record.name}() cannot be called on it any more.`);
    const plan = this.#plans.get(record) ?? this.#plan(record);
    const task = new Task(plan, this.#nextId, call);
    for (const elaborator of plan.accepting) elaborator.accept?.(task);
    this.#nextId++;
    this.#live.add(task);
    this.counts.pending++;
    if (parent !== undefined) this.#adopt(task, parent);
    if (this.isWatched) this.#publisher.publish(task, undefined, 'pending', this.clock.now());
    this.#walk(task);
    return task;
  }

  #plan(record: AppRecord): Plan {
    for (const label of record.executors ?? []) {
      if (this.executors.some((executor) => executor.label === label)) continue;
      const known = this.executors.map((executor) => `'${executor.label}'`).join(', ');
      throw new UnknownExecutorError(
        `${record.name} names the executor '${label}', but this run has ${known}. Name one of these, or add it to the configuration.`,
      );
    }
    this.#checkRuntime(record);
    const path = this.#elaborators.filter((one) => one.concerns?.(record) ?? true);
    const plan: Plan = { kernel: this, record, path, accepting: path.filter((one) => one.accept !== undefined) };
    this.#plans.set(record, plan);
    return plan;
  }

  /** The executors that an app allows, and that have workers for it. */
  executorsFor({ executors, body }: AppRecord): readonly Executor[] {
    const runtime = runtimeOf(body);
    return this.executors.filter(
      (executor) => (executors?.includes(executor.label) ?? true) && canRun(executor, runtime),
    );
  }

  #checkRuntime(record: AppRecord): void {
    const { name, body, executors } = record;
    if (body.kind === 'join' || this.executorsFor(record).length > 0) return;
    const runtime = runtimeOf(body);
    const allowed = this.executors.filter(({ label }) => executors?.includes(label) ?? true);
    const able = this.executors.filter((executor) => canRun(executor, runtime)).map(({ label }) => `'${label}'`);
    const [language, hint] =
      runtime === 'python'
        ? ['Python', 'Add one that has: htex({ python: true }).']
        : ['TypeScript', 'Add one that has: threads().'];
    const list = allowed.map(({ label }) => `'${label}'`).join(', ');
    throw new UnsupportedError(
      `${name}() runs in ${language}, and ${list} ${allowed.length === 1 ? 'has' : 'have'} no workers for that. ${able.length > 0 ? `Allow it on ${able.join(', ')}.` : hint}`,
    );
  }

  #adopt(task: Task, parent: Task): void {
    if (parent.isInterrupted) {
      // The body of a join that was cancelled goes on calling apps: nobody wants what they give.
      task.observe();
      this.cancel(task, endedWith(parent));
    } else if (parent.outcome === undefined) {
      const notes = parent.note();
      notes.children ??= new Set();
      notes.children.add(task);
    }
  }

  /** Goes on with a task that waits no longer. */
  wake(task: Task): void {
    this.#ready.push(task);
    if (!this.#isDraining) this.#drain();
  }

  #drain(): void {
    const ready = this.#ready;
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

  /** Walks one task until it waits, runs or is settled. Never throws: what is done wrong on the way is the task's failure. */
  #walk(task: Task): void {
    const { path } = task;
    while (task.outcome === undefined) {
      if (task.isDown) {
        if (task.place === path.length) {
          if (this.#launch(task)) return;
          continue;
        }
        const elaborator = path[task.place] as Elaborator;
        if (elaborator.enter === undefined) {
          task.place++;
          continue;
        }
        const { place } = task;
        let step: Step;
        try {
          step = elaborator.enter(task);
          if (this.#waits(task, step, true)) return;
        } catch (error) {
          // It is left too: it may have begun something.
          const outcome = task.isInterrupted ? (task.result as Outcome) : fail(this.#asTaskError(error, elaborator));
          this.#turnRound(task, outcome, place);
          continue;
        }
        if (task.isInterrupted) {
          // From within the hook.
          this.#turnRound(task, task.result as Outcome, step.do === 'answer' ? place - 1 : place);
        } else if (step.do === 'go') {
          task.place++;
          task.isInside = false;
        } else if (step.do === 'answer') {
          this.#turnRound(task, step.outcome, place - 1);
        } else if (step.do === 'again') {
          const problem = "it said 'again' on the way down, where there is no try to repeat";
          this.log('error', `${elaborator.name}: ${problem}`);
          this.#turnRound(task, fail(new ElaboratorError(elaborator.name, problem)), place - 1);
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
        const wasInterrupted = task.isInterrupted;
        let step: Step;
        try {
          step = elaborator.leave(task, task.result as Outcome);
          if (this.#waits(task, step, false)) return;
        } catch (error) {
          task.result = fail(this.#asTaskError(error, elaborator));
          task.place--;
          continue;
        }
        if (step.do === 'again') {
          if (this.#tryAgain(task, step.afterMs)) return;
        } else if (step.do !== 'wait') {
          if (step.do === 'answer' && task.isInterrupted === wasInterrupted) task.result = step.outcome;
          task.place--;
        }
      }
    }
  }

  /** True when the task now waits for what the step says. Throws when the step is none. */
  #waits(task: Task, step: Step, isDown: boolean): boolean {
    switch (step?.do) {
      case 'go':
      case 'again':
        return false;
      case 'answer':
        if (!(step.outcome instanceof Success) && !(step.outcome instanceof Failure)) {
          throw new TypeError('its answer has no outcome that succeed() or fail() made');
        }
        return false;
      case 'wait': {
        const what = step.for;
        if (what.isSettled || (isDown && task.isInterrupted)) return false;
        task.waiting = what;
        task.isInside = isDown;
        try {
          what.attach(task);
        } catch (error) {
          task.waiting = undefined;
          throw error;
        }
        return true;
      }
      default:
        throw new TypeError(`it must say go, wait, answer or again, not ${inspect(step, { depth: 0 })}`);
    }
  }

  #turnRound(task: Task, outcome: Outcome, place: number): void {
    task.result = outcome;
    task.isDown = false;
    task.isInside = false;
    task.place = place;
  }

  /** Down again from the place of the elaborator that asked, at once or after a while: true when it waits for that. */
  #tryAgain(task: Task, afterMs: number): boolean {
    const result = task.result as Outcome;
    if (!task.isInterrupted)
      this.transition(task, 'fail_retryable', result.ok ? undefined : (result.error as TaskError));
    if (task.isInterrupted) {
      task.place--;
      return false;
    }
    if (afterMs <= 0) {
      this.#goDown(task);
      return false;
    }
    const delay = new Delay(this.clock, afterMs);
    task.waiting = delay;
    delay.attach({
      waitsFor: () => task.waiting === delay,
      onSettled: () => {
        task.waiting = undefined;
        this.#goDown(task);
        this.wake(task);
      },
    });
    return true;
  }

  #goDown(task: Task): void {
    task.result = undefined;
    task.isDown = true;
    task.isInside = false;
    task.place++;
    task.tryNumber++;
    this.transition(task, 'pending');
  }

  /** False when the task did not go to its executor, and is on its way up already. */
  #launch(task: Task): boolean {
    const { executor } = task;
    if (executor === undefined) {
      this.#turnRound(
        task,
        fail(new ExecutorFailedError('none', 'no elaborator of the path chose one')),
        task.path.length - 1,
      );
      return false;
    }
    const now = this.isWatched ? this.clock.now() : 0;
    this.transition(task, 'launched', undefined, undefined, now);
    // Whoever heard of that may have interrupted it.
    if (!task.isDown) return false;
    const attempt = new TaskAttempt(task, this.isWatched, now);
    task.attempt = attempt;
    try {
      executor.submit(attempt);
    } catch (error) {
      this.#onAnswer(attempt, { ok: false, error: this.#asTaskError(error, executor) });
    }
    return true;
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
    if (task.outcome !== undefined || task.isInterrupted || isFinal(task.state)) return false;
    task.isInterrupted = true;
    const { waiting, attempt, executor } = task;
    task.result = outcome;
    if (task.isDown) this.#turnRound(task, outcome, task.isInside ? task.place : lastEntered(task));
    // Otherwise it is being walked, or about to be.
    if (waiting === undefined && attempt === undefined) return true;
    if (waiting !== undefined) {
      task.waiting = undefined;
      waiting.detach(task);
    }
    if (attempt !== undefined) {
      task.attempt = undefined;
      try {
        executor?.stop(attempt, outcome.ok ? undefined : outcome.error);
      } catch (error) {
        this.#logThrown(executor?.label ?? 'executor', error);
      }
    }
    this.wake(task);
    return true;
  }

  /** Settles a task as cancelled, with what its body submitted if it is a join. */
  cancel(task: Task, reason: unknown): boolean {
    return this.interrupt(task, fail(withoutStack(() => new CancelledError(reason))));
  }

  /** Cancels many: each because of `reason`, none because of another. */
  cancelEach(tasks: Iterable<Task>, reason: unknown): void {
    const all = [...tasks];
    if (this.#isDraining) {
      for (const task of all) this.cancel(task, reason);
      return;
    }
    // Nothing is walked until every one is interrupted.
    this.#isDraining = true;
    for (const task of all) this.cancel(task, reason);
    this.#drain();
  }

  /** Cancels every task that is not settled. */
  cancelAll(reason: unknown): void {
    this.cancelEach(this.liveTasks(), reason);
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
    this.#live.delete(task);
    task.args = none;
    const { files } = task;
    task.notes = files === undefined ? undefined : { files };
    task.result = undefined;
    task.dependencies = undefined;
    task.settle(outcome);
    this.#live.tellIfNone();
  }

  /** Moves a task to a state, counts it, and tells whoever listens: that it happened at this time, if not now. */
  transition(task: Task, state: TaskState, error?: TaskError, place?: Place, at?: number): void {
    const from = task.state;
    this.counts[from]--;
    this.counts[state]++;
    task.state = state;
    if (this.isWatched) this.#publisher.publish(task, from, state, at ?? this.clock.now(), error, place);
  }

  /** Somebody wants to know of every change. */
  get isWatched(): boolean {
    return this.#publisher.isWatched;
  }

  /** Calls `listener` with an event for every change of state from now on. The returned function ends that. */
  listen(listener: TaskListener): () => void {
    return this.#publisher.listen(listener);
  }

  /** As `listen`, for one who needs no event. */
  observe(observer: TransitionListener): () => void {
    return this.#publisher.observe(observer);
  }

  /** Why an executor can run nothing any more, if so. */
  brokenBy(executor: Executor): TaskError | undefined {
    return this.#broken.get(executor);
  }

  /** Every task that is not settled, oldest last. */
  liveTasks(): Iterable<Task> {
    return this.#live;
  }

  /** Resolves when no task is left unsettled. */
  whenIdle(): Promise<void> {
    return this.#live.whenNone();
  }

  /** From now on calls are refused with a ClosedError. */
  refuseCalls(): void {
    this.#isClosed = true;
  }

  /** Takes no more calls, cancels what is left, and closes the executors. */
  async close(): Promise<void> {
    this.refuseCalls();
    this.cancelAll('the run was closed');
    const closed = await Promise.allSettled(
      [...this.executors, this.joinExecutor].map(async (executor) => executor.close()),
    );
    for (const one of closed)
      if (one.status === 'rejected') this.log('error', `closing an executor failed: ${String(one.reason)}`);
    // Own elaborators may have something to finish.
    await this.whenIdle();
    assert(this.live === 0, `${this.live} tasks were left unsettled when the kernel closed`);
  }

  #hostFor(executor: Executor): ExecutorHost {
    return {
      directory: this.#options.directoryOf(executor),
      mark: this.#options.mark,
      watch: this.#options.watchOf?.(executor),
      answer: (attempt, answer) => this.#onAnswer(attempt, answer),
      report: (given, what, place, at) => {
        const attempt = given as TaskAttempt;
        const { task } = attempt;
        if (task.attempt !== attempt) return;
        const { state } = task;
        if (state === 'launched' || (what === 'running_ended' && state === 'running'))
          this.transition(task, what, undefined, place, attempt.reckon(this.clock.now(), at));
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
  #asTaskError(error: unknown, by: Elaborator | Executor): TaskError {
    if (error instanceof ChervilError) return error as unknown as TaskError;
    const where = 'label' in by ? by.label : by.name;
    this.#logThrown(where, error);
    const message = error instanceof Error ? error.message : String(error);
    return 'label' in by ? new ExecutorFailedError(where, message, error) : new ElaboratorError(where, message, error);
  }

  #logThrown(where: string, error: unknown): void {
    this.log('error', `${where} threw: ${error instanceof Error ? error.stack : String(error)}`);
  }
}

const none: readonly unknown[] = [];

/** The place of the innermost elaborator that a task has entered, on its way down. One without `enter` counts as soon as it is next. */
function lastEntered(task: Task): number {
  let { place } = task;
  while (place < task.path.length && task.path[place]?.enter === undefined) place++;
  return place - 1;
}

/** Why the tasks of an interrupted join are cancelled. */
export function endedWith(parent: Task): string {
  return `task ${parent.id} (${parent.app}), which called it, was ended`;
}

/** A while, as something to wait for. */
class Delay implements Waitable {
  isSettled = false;
  #waiter: Waiter | undefined;
  readonly #cancel: () => void;

  constructor(clock: Clock, ms: number) {
    this.#cancel = clock.after(ms, () => {
      this.isSettled = true;
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

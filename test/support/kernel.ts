// Builds a kernel whose world is fake: clock, executors, log. Every change of state that it publishes is checked.
import assert from 'node:assert/strict';
import type { AppRecord } from '#src/kernel/app-record.js';
import { gather } from '#src/kernel/arguments.js';
import { cancel } from '#src/kernel/elaborators/cancel.js';
import { deadline } from '#src/kernel/elaborators/deadline.js';
import { dependencies } from '#src/kernel/elaborators/dependencies.js';
import { join } from '#src/kernel/elaborators/join.js';
import { FailureLedger, type MapStack, observe } from '#src/kernel/elaborators/observe.js';
import { retry } from '#src/kernel/elaborators/retry.js';
import { route } from '#src/kernel/elaborators/route.js';
import { timeout } from '#src/kernel/elaborators/timeout.js';
import { wrap } from '#src/kernel/elaborators/wrap.js';
import { Kernel } from '#src/kernel/kernel.js';
import type { ElaboratorMaker } from '#src/kernel/path.js';
import type { Task } from '#src/kernel/task.js';
import type { TaskEvent } from '#src/task/channels.js';
import type { TaskError } from '#src/task/errors.js';
import { TaskFuture } from '#src/task/future.js';
import { isFinal, mayFollow, type TaskState } from '#src/task/state.js';
import { FakeClock } from './clock.ts';
import { FakeExecutor } from './executor.ts';

/** The record of an app, with nothing set but what a test says. */
export function appRecord(over: Partial<AppRecord> = {}): AppRecord {
  const name = over.name ?? 'simulate';
  return {
    name,
    body: { kind: 'function', name, source: undefined, local: undefined },
    retry: undefined,
    timeoutMs: 0,
    deadlineMs: 0,
    memo: undefined,
    executors: undefined,
    resources: undefined,
    signal: undefined,
    stdout: undefined,
    stderr: undefined,
    label: undefined,
    ...over,
  };
}

export function joinRecord(over: Partial<AppRecord> = {}): AppRecord {
  const name = over.name ?? 'fork';
  return appRecord({ name, body: { kind: 'join', name, source: undefined, local: undefined }, ...over });
}

export interface TestKernelOptions {
  readonly mapStack?: MapStack;
  /** @default one, 'fake' */
  readonly executors?: readonly FakeExecutor[];
  /** @default all but files and memo */
  readonly path?: readonly ElaboratorMaker[];
  /** Put into the default path before the elaborator of that name. */
  readonly before?: Readonly<Record<string, ElaboratorMaker>>;
  readonly signal?: AbortSignal;
  readonly failFast?: boolean;
  /** Nobody listens to events: the kernel's quiet way. @default true */
  readonly watched?: boolean;
}

export class TestKernel {
  readonly clock = new FakeClock();
  readonly executor: FakeExecutor;
  readonly executors: readonly FakeExecutor[];
  readonly joins = new FakeExecutor('_parsl_internal');
  readonly ledger = new FailureLedger();
  readonly kernel: Kernel;
  readonly events: TaskEvent[] = [];
  readonly lines: string[] = [];
  readonly #states = new Map<number, TaskState>();

  constructor(options: TestKernelOptions = {}) {
    this.executors = options.executors ?? [new FakeExecutor()];
    this.executor = this.executors[0] as FakeExecutor;
    const standard: [string, ElaboratorMaker][] = [
      ['observe', observe(this.ledger, options.mapStack)],
      ['cancel', cancel(options.signal)],
      ['deadline', deadline],
      ['dependencies', dependencies(options.failFast ?? false)],
      ['join', join],
      ['retry', retry(undefined)],
      ['timeout', timeout],
      ['wrap', wrap([])],
      ['route', route],
    ];
    const path = standard.flatMap(([name, maker]) => [
      ...(options.before?.[name] ? [options.before[name]] : []),
      maker,
    ]);
    this.kernel = new Kernel({
      run: 'test',
      executors: this.executors,
      joinExecutor: this.joins,
      searchesDeep: true,
      path: options.path ?? path,
      clock: this.clock,
      directoryOf: () => '/nowhere',
      mark: 'test',
      log: (level, message) => void this.lines.push(`${level} ${message}`),
    });
    if (options.watched ?? true) this.kernel.listen((event) => this.#onEvent(event));
  }

  #onEvent(event: TaskEvent): void {
    this.events.push(event);
    const { id, from, state } = event;
    assert.equal(this.#states.get(id), from, `task ${id} came from another state`);
    if (from !== undefined) {
      assert((mayFollow[from] as readonly TaskState[]).includes(state), `task ${id}: ${state} may not follow ${from}`);
    }
    this.#states.set(id, state);
  }

  /** Calls an app. Futures and promises may stand among the arguments. */
  call(record: AppRecord = appRecord(), args: readonly unknown[] = [], parent?: Task): Task {
    const gathered = gather(args, true);
    return this.kernel.submit({
      record,
      args: gathered.args,
      plainArgs: gathered.plainArgs,
      dependencies: gathered.dependencies,
      inputs: gathered.inputs,
      outputs: gathered.outputs?.map(([, file]) => file.path),
      parent,
    });
  }

  /** The states that a task went through. */
  statesOf(task: Task): TaskState[] {
    return this.events.filter(({ id }) => id === task.id).map(({ state }) => state);
  }

  /** All is over: no task lives, no timer waits, no executor runs anything, nothing was logged, the counts are right. */
  nothingElse(expected: { lateAnswers?: number; lines?: readonly RegExp[] } = {}): void {
    const { kernel } = this;
    assert.equal(kernel.live, 0, 'tasks are left');
    assert.deepEqual([...kernel.liveTasks()], []);
    assert.equal(this.clock.waiting, 0, 'timers are left');
    for (const executor of [...this.executors, this.joins])
      assert.equal(executor.running.size, 0, `${executor.label} still runs something`);
    assert.equal(kernel.lateAnswers, expected.lateAnswers ?? 0, 'late answers');
    const lines = expected.lines ?? [];
    assert.equal(this.lines.length, lines.length, `logged: ${this.lines.join('\n')}`);
    for (const [index, pattern] of lines.entries()) assert.match(this.lines[index] as string, pattern);
    let counted = 0;
    for (const [state, count] of Object.entries(kernel.counts)) {
      assert(count >= 0, `${count} tasks in ${state}`);
      assert(isFinal(state as TaskState) || count === 0, `${count} tasks are left in ${state}`);
      counted += count;
    }
    assert.equal(counted, kernel.total, 'every task is counted once');
    for (const [id, state] of this.#states) assert(isFinal(state), `task ${id} ended as ${state}`);
  }
}

/** A started kernel in a fake world. */
export async function testKernel(options: TestKernelOptions = {}): Promise<TestKernel> {
  const test = new TestKernel(options);
  await test.kernel.start();
  return test;
}

/** A future of a task, as users have it. */
export function futureOf<Value = unknown>(task: Task): TaskFuture<Value> {
  return new TaskFuture<Value>(task);
}

/** The value of a settled task. */
export function resultOf(task: Task): unknown {
  assert(task.outcome, `task ${task.id} is not settled: ${task.describe()}`);
  assert(task.outcome.ok, `task ${task.id} failed: ${task.outcome.ok ? '' : String(task.outcome.error)}`);
  return task.outcome.value;
}

/** The error of a settled task. */
export function errorOf(task: Task): TaskError {
  assert(task.outcome, `task ${task.id} is not settled: ${task.describe()}`);
  assert(!task.outcome.ok, `task ${task.id} succeeded`);
  return task.outcome.error as TaskError;
}

// The record of one task: where it stands on its path, and nothing that could be had elsewhere. A million may wait at once,
// so what few tasks need (retries, memo keys, files, timers) is kept in `notes`, made on demand by the elaborators.
import { Cell, type Waitable, type Waiter } from '../task/cell.ts';
import type { TaskView } from '../task/channels.ts';
import type { TaskError } from '../task/errors.ts';
import type { FutureSource } from '../task/future.ts';
import type { Outcome } from '../task/outcome.ts';
import type { Attempt, Body, CommandFiles, Executor, FunctionSource, PythonFunction } from '../task/ports.ts';
import type { TaskState } from '../task/state.ts';
import type { AppRecord } from './app-record.ts';
import type { Kernel } from './kernel.ts';
import type { Elaborator } from './path.ts';

/** A call of an app, as the kernel takes it. */
export interface Call {
  readonly record: AppRecord;
  readonly args: readonly unknown[];
  /** Every argument is a primitive. */
  readonly plainArgs: boolean;
  /** What it waits for before it can run. */
  readonly dependencies: Cell | readonly Cell[] | undefined;
  /** Local files among the arguments, as paths. */
  readonly inputs: readonly string[] | undefined;
  /** Outputs among the arguments, as paths. */
  readonly outputs: readonly string[] | undefined;
  /** The join task whose body made the call. */
  readonly parent: Task | undefined;
}

/** What the tasks of one app in one run have in common. */
export interface Plan {
  readonly kernel: Kernel;
  readonly record: AppRecord;
  /** Elaborators that they pass, in order. */
  readonly path: readonly Elaborator[];
  /** Those that are asked in the call itself. */
  readonly accepting: readonly Elaborator[];
}

/** What elaborators keep about a task, each under its own names. */
export interface TaskNotes {
  /** retry */
  spent?: number;
  losses?: number;
  failures?: TaskError[];
  /** deadline */
  clearDeadline?: () => void;
  /** The join task whose body submitted it. */
  parent?: Task;
  /** wrap: local files among the arguments, and functions that go around the body. */
  inputs?: readonly string[];
  wrappers?: readonly FunctionSource[];
  pythonWrappers?: readonly PythonFunction[];
  /** files: outputs among the arguments, and where the output of a command goes. */
  outputs?: readonly string[];
  files?: CommandFiles;
  /** memo */
  memoKey?: string;
  /** timeout */
  timeoutMs?: number;
  /** join */
  joins?: readonly Cell[] | undefined;
  children?: Set<Task>;
  /** route: executors that lost a try of this task. */
  lostOn?: Set<Executor>;
}

export class Task extends Cell implements Waiter, FutureSource, TaskView {
  readonly id: number;
  readonly #plan: Plan;
  args: readonly unknown[];
  /** What it waits for before it can run. */
  dependencies: Cell | readonly Cell[] | undefined;
  /** Index into `path`; `path.length` is the executor. */
  place = 0;
  state: TaskState = 'pending';
  /** Tries begun before this one. */
  tryNumber = 0;
  waiting: Waitable | undefined = undefined;
  /** The try that runs, if one does. */
  attempt: TaskAttempt | undefined = undefined;
  executor: Executor | undefined = undefined;
  /** What it goes back up with. */
  result: Outcome | undefined = undefined;
  notes: TaskNotes | undefined = undefined;
  /** Neighbours in the kernel's list of live tasks. */
  next: Task | undefined = undefined;
  previous: Task | undefined = undefined;

  constructor(plan: Plan, id: number, call: Call) {
    super();
    this.#plan = plan;
    this.id = id;
    this.args = call.args;
    this.dependencies = call.dependencies;
    this.flags = call.plainArgs ? down | plain : down;
    if (call.parent !== undefined) this.note().parent = call.parent;
    if (call.inputs !== undefined) this.note().inputs = call.inputs;
    if (call.outputs !== undefined) this.note().outputs = call.outputs;
  }

  get kernel(): Kernel {
    return this.#plan.kernel;
  }

  get record(): AppRecord {
    return this.#plan.record;
  }

  /** Elaborators that it passes, in order. */
  get path(): readonly Elaborator[] {
    return this.#plan.path;
  }

  get isDown(): boolean {
    return (this.flags & down) !== 0;
  }
  set isDown(is: boolean) {
    this.flags = is ? this.flags | down : this.flags & ~down;
  }

  /** It waits, or waited, in the `enter` of the elaborator where it stands: that one is left too. */
  get isInside(): boolean {
    return (this.flags & inside) !== 0;
  }
  set isInside(is: boolean) {
    this.flags = is ? this.flags | inside : this.flags & ~inside;
  }

  /** Every argument is a primitive. */
  get plainArgs(): boolean {
    return (this.flags & plain) !== 0;
  }
  set plainArgs(is: boolean) {
    this.flags = is ? this.flags | plain : this.flags & ~plain;
  }

  /** Cancelled, past its deadline, or closed: no more tries. */
  get isInterrupted(): boolean {
    return (this.flags & interrupted) !== 0;
  }
  set isInterrupted(is: boolean) {
    this.flags = is ? this.flags | interrupted : this.flags & ~interrupted;
  }

  /** Its outcome was remembered, not computed. */
  get isMemoized(): boolean {
    return (this.flags & memoized) !== 0;
  }
  set isMemoized(is: boolean) {
    this.flags = is ? this.flags | memoized : this.flags & ~memoized;
  }

  /** The join task whose body submitted it; not known any more once it is settled. */
  get parent(): Task | undefined {
    return this.notes?.parent;
  }

  /** Where the output of its command goes; kept after it settled. */
  get files(): CommandFiles | undefined {
    return this.notes?.files;
  }

  get app(): string {
    return this.record.name;
  }

  get body(): Body {
    return this.record.body;
  }

  get isMemoizable(): boolean {
    return this.record.memo !== undefined;
  }

  get inputs(): readonly string[] | undefined {
    return this.notes?.inputs;
  }

  get needs(): readonly number[] | undefined {
    return idsOf(this.dependencies);
  }

  get joined(): readonly number[] | undefined {
    return idsOf(this.notes?.joins);
  }

  get memoKey(): string | undefined {
    return this.notes?.memoKey;
  }

  cancel(reason: unknown): boolean {
    return this.kernel.cancel(this, reason);
  }

  waitsFor(what: Waitable): boolean {
    return this.waiting === what;
  }

  onSettled(by: Waitable): void {
    if (this.waiting !== by) return;
    this.waiting = undefined;
    this.kernel.wake(this);
  }

  /** The notes, made now if there are none. */
  note(): TaskNotes {
    this.notes ??= {};
    return this.notes;
  }

  /** In words: `task 41 (simulate) waits in dependencies`. */
  describe(): string {
    const where = this.attempt
      ? `runs on ${this.executor?.label}`
      : this.waiting
        ? `waits in ${this.path[this.place]?.name}`
        : `is in ${this.path[this.place]?.name ?? 'the kernel'}`;
    return `task ${this.id} (${this.record.name}) ${where}`;
  }
}

/** Ids of the tasks among what is waited for; promises of others have none. */
function idsOf(cells: Cell | readonly Cell[] | undefined): number[] | undefined {
  return cells === undefined ? undefined : [cells].flat().flatMap(({ id }) => (id >= 0 ? [id] : []));
}

// Bits of `flags`; bit 0 is the cell's.
const down = 2;
const inside = 4;
const plain = 8;
const interrupted = 16;
const memoized = 32;

const noWrappers: readonly FunctionSource[] = [];

/** When this program began to make tasks. */
const epoch = Date.now();

/** One try of a task, as its executor sees it. A late answer carries an old one, and is known by that. */
export class TaskAttempt implements Attempt {
  readonly task: Task;
  readonly tryNumber: number;
  readonly watched: boolean;
  note: unknown = undefined;
  /** When it was told of last, in whole milliseconds after `epoch`: small numbers need no memory of their own. 0 when nobody is told. */
  #toldMs: number;

  constructor(task: Task, watched: boolean, launchedAt: number) {
    this.task = task;
    this.tryNumber = task.tryNumber;
    this.watched = watched;
    this.#toldMs = watched ? Math.ceil(launchedAt - epoch) : 0;
  }

  /** When it happened, of what its executor tells now and may have reckoned back: not before what was told already. */
  reckon(now: number, at = now): number {
    const when = Math.max(epoch + this.#toldMs, Math.min(at, now));
    // Upwards, and never beyond `now`, which is whole.
    this.#toldMs = Math.ceil(when - epoch);
    return when;
  }

  get taskId(): number {
    return this.task.id;
  }
  get body(): Body {
    return this.task.record.body;
  }
  get args(): readonly unknown[] {
    return this.task.args;
  }
  get plainArgs(): boolean {
    return this.task.plainArgs;
  }
  get timeoutMs(): number {
    return this.task.notes?.timeoutMs ?? 0;
  }
  get files(): CommandFiles | undefined {
    return this.task.files;
  }
  get wrappers(): readonly FunctionSource[] {
    return this.task.notes?.wrappers ?? noWrappers;
  }
  get pythonWrappers(): readonly PythonFunction[] | undefined {
    return this.task.notes?.pythonWrappers;
  }
  get resources(): Readonly<Record<string, unknown>> | undefined {
    return this.task.record.resources;
  }
}

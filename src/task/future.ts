// What a call of an app gives at once. Futures are native promises, so that `await` and Promise.all() need no promises of their
// own between: with a million tasks, that is most of what awaiting them costs.
import { inspect } from 'node:util';
import { Cell, type Waitable, type Waiter } from './cell.ts';
import { AppError, ChervilError, type TaskError } from './errors.ts';
import { fail, type Outcome, succeed } from './outcome.ts';
import type { TaskState } from './state.ts';

/**
 * The result of a task that may not be done yet. It was submitted when the app was called; `await` it, or pass it to
 * another app where its value goes. It rejects with a {@link TaskError}.
 *
 * @example
 * const sum = add(1, 2); // a Future<number>
 * console.log(sum.id, sum.state, await sum);
 */
export interface Future<Value> extends Promise<Value> {
  /** The task's number, from 0, in order of the calls. */
  readonly id: number;
  readonly state: TaskState;
  /** The app's name. */
  readonly app: string;
  /** A future of something made from the value, here in this process. It makes no task. A throwing `change` fails the new future. */
  map<Changed>(change: (value: Value) => Changed): Future<Awaited<Changed>>;
  /** A future of one property or element of the value. It makes no task, and fails if there is none. */
  get<Key extends keyof Value>(key: Key): Future<Value[Key]>;
  /**
   * Settles the task as cancelled: what runs is stopped, and what depends on it fails with a DependencyError.
   * @returns false when it was settled already
   */
  cancel(reason?: unknown): boolean;
}

/** What a future's cell offers beyond waiting. Tasks are such, and derived futures. */
export interface FutureSource {
  readonly app: string;
  readonly state: TaskState;
  cancel(reason: unknown): boolean;
}

type Resolve = (value: unknown) => void;

// One function for every future, where a closure for each would be made a million times: what it is given is taken at once.
let given: Resolve | undefined;
function takeResolve(resolve: Resolve): void {
  given = resolve;
}

/**
 * A failure that nobody looks at is told at the end of the run, and must not end the process: so the promise of a failed cell
 * is rejected only once somebody looks. Native code that takes a promise (`await`, Promise.all, Promise.resolve) reads its
 * `constructor` first, and goes by `then` otherwise: both tell.
 */
export class TaskFuture<Value> extends Promise<Value> implements Future<Value> {
  readonly #cell: Cell & FutureSource;
  /** Ends the promise; `undefined` once it has. */
  #resolve: Resolve | undefined;

  /** What `then` gives is a promise like any other. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  static {
    // Promise, so that native code takes a future as it is. A class that extends this one must not have a `constructor` of its own.
    Object.defineProperty(TaskFuture.prototype, 'constructor', {
      configurable: true,
      get(this: object) {
        if (#cell in this) (this as TaskFuture<unknown>).#observe();
        return Promise;
      },
    });
  }

  constructor(cell: Cell & FutureSource) {
    super(takeResolve as ConstructorParameters<typeof Promise<Value>>[0]);
    this.#cell = cell;
    this.#resolve = given;
    if (cell.isSettled) this.onSettled();
    else if (!cell.tellFirst(this)) cell.attach({ onSettled: () => this.onSettled(), waitsFor: () => true });
  }

  /** @internal The cell says that it is settled. */
  onSettled(): void {
    const { outcome, isObserved } = this.#cell;
    if (outcome?.ok || isObserved) this.#end(outcome as Outcome);
  }

  #observe(): void {
    const { outcome } = this.#cell;
    this.#cell.observe();
    if (this.#resolve !== undefined && outcome !== undefined) this.#end(outcome);
  }

  #end(outcome: Outcome): void {
    const resolve = this.#resolve as Resolve;
    this.#resolve = undefined;
    if (outcome.ok) {
      resolve(outcome.value);
      return;
    }
    const { error } = outcome;
    // The way to reject without keeping a second function for each future.
    resolve({ then: (_: Resolve, reject: (error: unknown) => void) => reject(error) });
    // Who looks hears of it by what `then` gave to them.
    super.then(undefined, ignore);
  }

  /** @internal The cell behind a future, or `undefined` for anything else. */
  static cellOf(value: object): (Cell & FutureSource) | undefined {
    return #cell in value ? value.#cell : undefined;
  }

  get id(): number {
    return this.#cell.id;
  }

  get app(): string {
    return this.#cell.app;
  }

  get state(): TaskState {
    return this.#cell.state;
  }

  override get [Symbol.toStringTag](): string {
    return 'Future';
  }

  override then<Fulfilled = Value, Rejected = never>(
    onFulfilled?: ((value: Value) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((error: TaskError) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    this.#observe();
    return super.then(onFulfilled, onRejected);
  }

  map<Changed>(change: (value: Value) => Changed): Future<Awaited<Changed>> {
    return new TaskFuture<Awaited<Changed>>(derive(this.#cell, change as (value: unknown) => unknown));
  }

  get<Key extends keyof Value>(key: Key): Future<Value[Key]> {
    return new TaskFuture<Value[Key]>(derive(this.#cell, (value) => pick(value, key)));
  }

  cancel(reason?: unknown): boolean {
    return this.#cell.cancel(reason);
  }

  [inspect.custom](depth: number, options: object): string {
    const { id, app, state, outcome } = this.#cell;
    const end =
      outcome === undefined
        ? ''
        : outcome.ok
          ? `: ${inspect(outcome.value, { ...options, depth })}`
          : `: ${inspectError(outcome.error)}`;
    return `Future(task ${id}, ${app}, ${state}${end})`;
  }
}

function ignore(): void {
  // Told elsewhere.
}

function inspectError(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : inspect(error);
}

function pick(value: unknown, key: PropertyKey): unknown {
  if ((typeof value !== 'object' || value === null) && typeof value !== 'string') {
    throw new TypeError(`the value has no '${String(key)}': it is ${value === null ? 'null' : typeof value}`);
  }
  if (!(key in Object(value))) throw new TypeError(`the value has no '${String(key)}'`);
  return (value as Record<PropertyKey, unknown>)[key];
}

/** The cell of `change` applied to the value of `source`, once that is there. */
export function derive(source: Cell & FutureSource, change: (value: unknown) => unknown): Cell & FutureSource {
  return new DerivedCell(source, change);
}

class DerivedCell extends Cell implements Waiter, FutureSource {
  readonly #source: Cell & FutureSource;
  #change: ((value: unknown) => unknown) | undefined;

  constructor(source: Cell & FutureSource, change: (value: unknown) => unknown) {
    super();
    this.#source = source;
    this.#change = change;
    if (source.isSettled) this.onSettled();
    else source.attach(this);
  }

  get id(): number {
    return this.#source.id;
  }

  override get source(): Cell {
    return this.#source.source;
  }

  get app(): string {
    return this.#source.app;
  }

  get state(): TaskState {
    return this.#source.state;
  }

  cancel(reason: unknown): boolean {
    return this.#source.cancel(reason);
  }

  /** The failure of the task is this future's failure: whoever looks at this one has seen it. */
  override observe(): void {
    super.observe();
    this.#source.observe();
  }

  waitsFor(): boolean {
    return this.outcome === undefined;
  }

  onSettled(): void {
    const outcome = this.#source.outcome as Outcome;
    const change = this.#change as (value: unknown) => unknown;
    this.#change = undefined;
    if (!outcome.ok) {
      this.settle(outcome);
      return;
    }
    let changed: unknown;
    try {
      changed = change(outcome.value);
    } catch (error) {
      this.settle(fail(changeFailed(error)));
      return;
    }
    if (!isThenable(changed)) {
      this.settle(succeed(changed));
      return;
    }
    const given = TaskFuture.cellOf(changed) ?? new ForeignCell(changed);
    given.observe();
    const pass = (): void => {
      const { outcome: later } = given;
      this.settle(later?.ok ? later : fail(changeFailed(later?.error)));
    };
    if (given.isSettled) pass();
    else given.attach({ waitsFor: () => true, onSettled: pass });
  }
}

/** The failure of a task stays what it is; anything else is the change's own. */
function changeFailed(thrown: unknown): TaskError {
  if (thrown instanceof ChervilError && thrown.task !== undefined) return thrown as unknown as TaskError;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  return new AppError({ name: error.name, message: error.message, stack: error.stack ?? '' }, thrown);
}

/** Anything with a `then`: a future, or a promise that is not ours. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

/** Under this, something that can be awaited and is no future of a task names the task that it comes from, as the output of a command does. */
export const comesFrom: unique symbol = Symbol('the task that this comes from');

export interface ComesFrom {
  readonly [comesFrom]: Cell & FutureSource;
}

/** What can be awaited and is no future, as something to wait for: a promise of others, or what comes from a task. */
export class ForeignCell extends Cell implements FutureSource {
  readonly #source: (Cell & FutureSource) | undefined;

  constructor(promise: PromiseLike<unknown> & Partial<ComesFrom>) {
    super();
    try {
      const source = promise[comesFrom];
      if (source instanceof Cell) this.#source = source;
      promise.then(
        (value) => this.settle(succeed(value)),
        (error) => this.settle(fail(error)),
      );
    } catch (error) {
      this.settle(fail(error));
    }
  }

  /** -1 for a promise that comes from no task. */
  get id(): number {
    return this.#source?.id ?? -1;
  }

  override get source(): Cell {
    return this.#source?.source ?? this;
  }

  get app(): string {
    return this.#source?.app ?? 'a promise';
  }

  get state(): TaskState {
    if (this.#source !== undefined) return this.#source.state;
    return this.outcome === undefined ? 'pending' : this.outcome.ok ? 'exec_done' : 'failed';
  }

  cancel(reason: unknown): boolean {
    return this.#source?.cancel(reason) ?? false;
  }
}

/** Waits for several cells at once. It is settled when the last of them is, or, `failFast`, when one fails. */
export class Countdown implements Waitable, Waiter {
  #left: number;
  #waiter: Waiter | undefined;
  #isOver = false;
  readonly #failFast: boolean;
  readonly #cells: readonly Cell[];

  constructor(cells: readonly Cell[], failFast: boolean) {
    this.#cells = cells;
    this.#failFast = failFast;
    this.#left = 0;
    for (const cell of cells) {
      if (cell.isSettled) {
        if (failFast && !cell.outcome?.ok) this.#isOver = true;
        continue;
      }
      this.#left++;
      cell.attach(this);
    }
    if (this.#left === 0) this.#isOver = true;
  }

  get isSettled(): boolean {
    return this.#isOver;
  }

  attach(waiter: Waiter): void {
    this.#waiter = waiter;
  }

  detach(): void {
    this.#waiter = undefined;
    this.#turnAway();
  }

  /** Nothing is kept by those that are not settled. */
  #turnAway(): void {
    this.#isOver = true;
    if (this.#left > 0) for (const cell of this.#cells) if (!cell.isSettled) cell.detach(this);
  }

  waitsFor(): boolean {
    return !this.#isOver;
  }

  onSettled(by: Waitable): void {
    this.#left--;
    if (this.#isOver) return;
    if (this.#left > 0 && !(this.#failFast && by instanceof Cell && by.outcome?.ok === false)) return;
    this.#turnAway();
    this.#waiter?.onSettled(this);
  }
}

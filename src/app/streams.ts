// Results as they come: asCompleted() for futures that there are, stream() for more calls than should wait at once.
import type { Waitable } from '../task/cell.ts';
import { AppDefinitionError, type TaskError } from '../task/errors.ts';
import { type Future, isThenable, TaskFuture } from '../task/future.ts';
import type { App, Arg } from './types.ts';

/** A future that is settled, and how. The future itself stands in a property, as `for await` would await it. */
export type Completed<Value> =
  | { readonly future: Future<Value>; readonly ok: true; readonly value: Value }
  | { readonly future: Future<Value>; readonly ok: false; readonly error: TaskError };

/**
 * Yields futures as they settle, whichever is first. A failed one is yielded too, never thrown.
 *
 * @example
 * for await (const done of asCompleted(parts)) {
 *   if (done.ok) console.log(done.value);
 *   else console.error(done.error.code);
 * }
 */
export async function* asCompleted<One extends Future<unknown>>(
  futures: Iterable<One>,
): AsyncGenerator<Completed<Awaited<One>>, void, undefined> {
  const queue = new Arrivals<Completed<Awaited<One>>>();
  let left = 0;
  for (const future of futures) {
    left++;
    whenSettled(future as unknown as Future<Awaited<One>>, (completed) => queue.push(completed));
  }
  for (; left > 0; left--) yield queue.hasAny ? queue.take() : await queue.next();
}

/** Calls back when a future settles: without a promise, which would cost more than the rest. */
function whenSettled<Value>(future: Future<Value>, callback: (completed: Completed<Value>) => void): void {
  const cell = TaskFuture.cellOf(future);
  if (cell === undefined) {
    Promise.resolve(future).then(
      (value) => callback({ future, ok: true, value }),
      (error) => callback({ future, ok: false, error }),
    );
    return;
  }
  cell.observe();
  const tell = (): void => {
    const { outcome } = cell;
    if (outcome?.ok) callback({ future, ok: true, value: outcome.value as Value });
    else callback({ future, ok: false, error: outcome?.error as TaskError });
  };
  if (cell.isSettled) tell();
  else cell.attach({ onSettled: tell, waitsFor: (_: Waitable) => true });
}

/** What has arrived, for one reader. */
class Arrivals<Item> {
  #items: (Item | undefined)[] = [];
  #head = 0;
  #waiting: ((item: Item) => void) | undefined;

  get hasAny(): boolean {
    return this.#head < this.#items.length;
  }

  push(item: Item): void {
    if (this.#waiting === undefined) {
      this.#items.push(item);
      return;
    }
    const resolve = this.#waiting;
    this.#waiting = undefined;
    resolve(item);
  }

  take(): Item {
    const item = this.#items[this.#head] as Item;
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  next(): Promise<Item> {
    if (this.hasAny) return Promise.resolve(this.take());
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }
}

/** Options of {@link stream}. */
export interface StreamOptions {
  /** Calls that may be under way, or done and not yet taken, at once: memory never holds more. @default 1000 */
  readonly ahead?: number;
  /** Results in the order of the source, or as they come. @default true */
  readonly ordered?: boolean;
  /** A failed call ends the loop with its error, or is yielded as a {@link Completed}, as then every call is. @default 'throw' */
  readonly onError?: 'throw' | 'yield';
}

/**
 * Calls an app once for each element of a source, which may be endless, and yields the results. Only `ahead` calls are under
 * way at a time. Leaving the loop cancels them. A call that throws ends the loop with what it threw.
 *
 * @example
 * let sum = 0;
 * for await (const n of stream(square, numbers(), { ahead: 1000 })) sum += n;
 */
export function stream<Element, Value>(
  app: App<readonly [Element], Value> | ((element: Arg<Element>) => Future<Value>),
  source: Iterable<Element> | AsyncIterable<Element>,
  options?: StreamOptions & { readonly onError?: 'throw' },
): AsyncGenerator<Value, void, undefined>;
export function stream<Element, Value>(
  app: App<readonly [Element], Value> | ((element: Arg<Element>) => Future<Value>),
  source: Iterable<Element> | AsyncIterable<Element>,
  options: StreamOptions & { readonly onError: 'yield' },
): AsyncGenerator<Completed<Value>, void, undefined>;
export function stream<Element, Value>(
  app: (element: Arg<Element>) => Future<Value>,
  source: Iterable<Element> | AsyncIterable<Element>,
  options: StreamOptions = {},
): AsyncGenerator<Value | Completed<Value>, void, undefined> {
  const { ahead = 1000, ordered = true, onError = 'throw' } = options;
  if (typeof source !== 'object' && typeof source !== 'string')
    throw new AppDefinitionError(`stream() needs a source that can be iterated, not ${String(source)}.`);
  if (!Number.isInteger(ahead) || ahead < 1)
    throw new AppDefinitionError(`stream() needs 'ahead' as a whole number from 1 up, not ${String(ahead)}.`);
  if (onError !== 'throw' && onError !== 'yield')
    throw new AppDefinitionError(`stream() needs 'onError' as 'throw' or 'yield', not ${String(onError)}.`);
  return generate(app, source, ahead, ordered, onError);
}

async function* generate<Element, Value>(
  app: (element: Arg<Element>) => Future<Value>,
  source: Iterable<Element> | AsyncIterable<Element>,
  ahead: number,
  ordered: boolean,
  onError: 'throw' | 'yield',
): AsyncGenerator<Value | Completed<Value>, void, undefined> {
  const elements = new Elements(source);
  const underWay = new Set<Future<Value>>();
  /** Results that nobody took yet, by the number of their call; in order, they wait there for those before them. */
  const results = new Map<number, Completed<Value>>();
  const arrived = new Arrivals<number>();
  let called = 0;
  let taken = 0;
  let wake: (() => void) | undefined;
  const onNews = (): void => wake?.();

  const call = (element: Element): void => {
    const future = app(element as Arg<Element>);
    const number = called++;
    underWay.add(future);
    whenSettled(future, (completed) => {
      underWay.delete(future);
      results.set(number, completed);
      if (!ordered) arrived.push(number);
      onNews();
    });
  };
  const next = (): Completed<Value> | undefined => {
    const number = ordered ? taken : arrived.hasAny ? arrived.take() : undefined;
    const completed = number === undefined ? undefined : results.get(number);
    if (completed !== undefined) results.delete(number as number);
    return completed;
  };

  try {
    for (;;) {
      while (called - taken < ahead && elements.pull(onNews)) call(elements.take());
      const completed = next();
      if (completed !== undefined) {
        taken++;
        if (onError === 'yield') yield completed;
        else if (completed.ok) yield completed.value;
        else throw completed.error;
        continue;
      }
      if (elements.isOver && taken === called) return;
      // For a result, or for an element of a slow source, whichever comes first.
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      wake = undefined;
    }
  } finally {
    for (const future of underWay) future.cancel('the stream was left');
    await elements.leave();
  }
}

/** The elements of a source, asked for one at a time, without waiting for one that is slow. */
class Elements<Element> {
  readonly #iterator: Iterator<Element> | AsyncIterator<Element>;
  #given: IteratorResult<Element> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #isAsked = false;
  isOver = false;

  constructor(source: Iterable<Element> | AsyncIterable<Element>) {
    this.#iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  /** True when there is an element to take now; otherwise `onNews` is called when there may be. Throws what the source throws. */
  pull(onNews: () => void): boolean {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#given === undefined && !this.#isAsked && !this.isOver) this.#ask(onNews);
    if (this.#given?.done) {
      this.isOver = true;
      this.#given = undefined;
    }
    return this.#given !== undefined;
  }

  /** The element that is there. */
  take(): Element {
    const { value } = this.#given as IteratorYieldResult<Element>;
    this.#given = undefined;
    return value;
  }

  #ask(onNews: () => void): void {
    let given: IteratorResult<Element> | PromiseLike<IteratorResult<Element>>;
    try {
      given = this.#iterator.next();
    } catch (error) {
      // A source that threw is over, and is not told to end.
      this.isOver = true;
      throw error;
    }
    if (!isThenable(given)) {
      this.#given = given;
      return;
    }
    this.#isAsked = true;
    given.then(
      (result) => {
        this.#isAsked = false;
        this.#given = result;
        onNews();
      },
      (error) => {
        this.isOver = true;
        this.#failure = { error };
        onNews();
      },
    );
  }

  /** Tells the source that no more is wanted. One that is still busy with an element hears of it, and is not waited for. */
  async leave(): Promise<void> {
    if (this.isOver) return;
    const left = this.#iterator.return?.();
    if (!isThenable(left)) return;
    if (this.#isAsked) left.then(undefined, () => {});
    else await left;
  }
}

// Results as they come: asCompleted() for futures that there are, stream() for more calls than should wait at once.
import type { Waitable } from '../task/cell.ts';
import { AppDefinitionError, type TaskError } from '../task/errors.ts';
import { type Future, TaskFuture } from '../task/future.ts';
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
export async function* asCompleted<Value>(
  futures: Iterable<Future<Value>>,
): AsyncGenerator<Completed<Value>, void, undefined> {
  const queue = new Arrivals<Completed<Value>>();
  let left = 0;
  for (const future of futures) {
    left++;
    whenSettled(future, (completed) => queue.push(completed));
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
 * way at a time. Leaving the loop cancels them.
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
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  const underWay = new Set<Future<Value>>();
  const inOrder: (Completed<Value> | undefined)[] = [];
  const arrived = new Arrivals<Completed<Value>>();
  // In order, a result waits in its slot until those before it were taken: `ahead` counts it until then.
  let first = 0;
  let next = 0;
  let taken = 0;
  let sourceIsOver = false;
  let wake: (() => void) | undefined;

  const call = (element: Element): void => {
    const future = app(element as Arg<Element>);
    const slot = next++;
    underWay.add(future);
    whenSettled(future, (completed) => {
      underWay.delete(future);
      if (ordered) {
        inOrder[slot - first] = completed;
        if (slot === taken) wake?.();
      } else {
        arrived.push(completed);
      }
    });
  };

  try {
    for (;;) {
      while (!sourceIsOver && next - taken < ahead) {
        const given = iterator.next();
        const result = given instanceof Promise ? await given : given;
        if (result.done) sourceIsOver = true;
        else call(result.value);
        // A slow source must not hold back results that are there.
        if (given instanceof Promise && (ordered ? inOrder[taken - first] !== undefined : arrived.hasAny)) break;
      }
      if (sourceIsOver && taken === next) return;
      let completed: Completed<Value>;
      if (ordered) {
        while (inOrder[taken - first] === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          wake = undefined;
        }
        completed = inOrder[taken - first] as Completed<Value>;
        inOrder[taken - first] = undefined;
      } else {
        completed = arrived.hasAny ? arrived.take() : await arrived.next();
      }
      taken++;
      if (taken - first >= 1024) {
        inOrder.splice(0, taken - first);
        first = taken;
      }
      if (onError === 'yield') yield completed;
      else if (completed.ok) yield completed.value;
      else throw completed.error;
    }
  } finally {
    for (const future of underWay) future.cancel('the stream was left');
    if (!sourceIsOver) await iterator.return?.();
  }
}

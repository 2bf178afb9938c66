// A bounded stream of events for `for await`: a slow reader loses the oldest, and is told, but memory never grows.

/** Events as they come. */
export interface RunEvents<Event = import('../task/channels.ts').TaskEvent> extends AsyncIterableIterator<Event> {
  /** How many events the reader was too slow for. */
  readonly dropped: number;
}

const capacity = 10_000;

export class EventStream<Event> implements RunEvents<Event> {
  dropped = 0;
  readonly #stopListening: () => void;
  readonly #onEnd: () => void;
  #queue: Event[] = [];
  #head = 0;
  readonly #waiting: ((result: IteratorResult<Event>) => void)[] = [];
  #isOver = false;

  /** @param onEnd called once, when it ends */
  constructor(listen: (listener: (event: Event) => void) => () => void, onEnd: () => void = () => {}) {
    this.#onEnd = onEnd;
    this.#stopListening = listen((event) => this.#onEvent(event));
  }

  #onEvent(event: Event): void {
    const resolve = this.#waiting.shift();
    if (resolve !== undefined) {
      resolve({ value: event, done: false });
      return;
    }
    this.#queue.push(event);
    if (this.#queue.length - this.#head > capacity) {
      this.#head++;
      this.dropped++;
    }
    if (this.#head > capacity) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }

  next(): Promise<IteratorResult<Event>> {
    if (this.#head < this.#queue.length) {
      const value = this.#queue[this.#head++] as Event;
      return Promise.resolve({ value, done: false });
    }
    if (this.#isOver) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<Event>> {
    this.end();
    this.#queue = [];
    this.#head = 0;
    return Promise.resolve({ value: undefined, done: true });
  }

  /** No more events; what is queued can still be read. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopListening();
    for (const resolve of this.#waiting.splice(0)) resolve({ value: undefined, done: true });
    this.#onEnd();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

// Tells whoever wants to know that a task changed its state: observers, who are cheap, and listeners and the channel, for whom an event
// is made. The kernel owns one, and calls it after its counters are right.
import { channels, type TaskEvent, type TransitionListener } from '../task/channels.ts';
import type { TaskError } from '../task/errors.ts';
import type { Place } from '../task/ports.ts';
import type { TaskState } from '../task/state.ts';
import type { Task } from './task.ts';

/** Called for each change of state, after the counters are right. */
export type TaskListener = (event: TaskEvent) => void;

export class Publisher {
  readonly #run: string;
  readonly #onThrown: (thrown: unknown) => void;
  readonly #listeners = new Set<TaskListener>();
  readonly #observers = new Set<TransitionListener>();

  /** @param onThrown hears what a listener threw: that must not disturb what happens */
  constructor(run: string, onThrown: (thrown: unknown) => void) {
    this.#run = run;
    this.#onThrown = onThrown;
  }

  /** Somebody wants to know of every change: ask before publishing. */
  get isWatched(): boolean {
    return this.#observers.size > 0 || this.#wantsEvents;
  }

  get #wantsEvents(): boolean {
    return this.#listeners.size > 0 || channels.task.hasSubscribers;
  }

  listen(listener: TaskListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  observe(observer: TransitionListener): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  /** @param at milliseconds since the epoch */
  publish(
    task: Task,
    from: TaskState | undefined,
    state: TaskState,
    at: number,
    error?: TaskError,
    place?: Place,
  ): void {
    for (const observer of this.#observers) {
      try {
        observer(task, from, state, at, error, place);
      } catch (thrown) {
        this.#onThrown(thrown);
      }
    }
    if (!this.#wantsEvents) return;
    const event: TaskEvent = {
      run: this.#run,
      id: task.id,
      app: task.app,
      from,
      state,
      tryNumber: task.tryNumber,
      time: at,
      executor: task.executor?.label,
      error,
      parent: task.parent?.id,
      dependencies: from === undefined ? task.needs : undefined,
      joins: state === 'joining' ? task.joined : undefined,
      memoKey: task.memoKey,
      place,
    };
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (thrown) {
        this.#onThrown(thrown);
      }
    }
    if (channels.task.hasSubscribers) channels.task.publish(event);
  }
}

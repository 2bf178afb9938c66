// The tasks of a run that are not settled: a list through the tasks themselves, so that it costs no memory of its own, their
// number, and who waits until there are none. The kernel puts them in and takes them out.
import type { Task } from './task.ts';

export class LiveTasks {
  #count = 0;
  #newest: Task | undefined;
  #waiting: (() => void)[] = [];

  get count(): number {
    return this.#count;
  }

  add(task: Task): void {
    task.next = this.#newest;
    if (this.#newest !== undefined) this.#newest.previous = task;
    this.#newest = task;
    this.#count++;
  }

  /** Takes out a task that is in; its end is told with {@link tellIfNone}, when its future is settled too. */
  delete(task: Task): void {
    if (task.previous !== undefined) task.previous.next = task.next;
    else this.#newest = task.next;
    if (task.next !== undefined) task.next.previous = task.previous;
    task.next = undefined;
    task.previous = undefined;
    this.#count--;
  }

  tellIfNone(): void {
    if (this.#count > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Resolves when there is none. */
  whenNone(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Each, oldest last. One may be taken out while it is looked at. */
  *[Symbol.iterator](): Generator<Task> {
    let task = this.#newest;
    while (task !== undefined) {
      const { next } = task;
      yield task;
      task = next;
    }
  }
}

// Something that happens once, as a thing to wait for by one waiter: a turn that comes, a record that reached the disk.
import type { Waitable, Waiter } from '../task/cell.ts';

export class Signal implements Waitable {
  isSettled = false;
  #waiter: Waiter | undefined;

  attach(waiter: Waiter): void {
    this.#waiter = waiter;
  }

  detach(): void {
    this.#waiter = undefined;
  }

  /** It happened. */
  come(): void {
    this.isSettled = true;
    this.#waiter?.onSettled(this);
  }
}

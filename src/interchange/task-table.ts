// Every unanswered task by its id. Submitters number their tasks one after the other, so tasks stand in pages of
// neighbours: half the memory of a Map with an entry for each, and what was looked up last is mostly the page wanted next.
import type { TaskRecord } from './task.ts';

const slotsPerPage = 64;

interface Page {
  readonly slots: (TaskRecord | undefined)[];
  taken: number;
}

/** Whole numbers to tasks. Any ids will do; those that lie far apart cost a page each. */
export class TaskTable {
  readonly #pages = new Map<number, Page>();
  #size = 0;
  #lastKey = Number.NaN;
  #lastPage: Page | undefined;

  /** How many tasks there are. */
  get size(): number {
    return this.#size;
  }

  get(id: number): TaskRecord | undefined {
    const key = Math.floor(id / slotsPerPage);
    return this.#page(key)?.slots[id - key * slotsPerPage];
  }

  /** @returns false when there is one with that id, and then nothing is changed */
  add(task: TaskRecord): boolean {
    const key = Math.floor(task.id / slotsPerPage);
    const at = task.id - key * slotsPerPage;
    let page = this.#page(key);
    if (page === undefined) {
      page = { slots: new Array(slotsPerPage).fill(undefined), taken: 0 };
      this.#pages.set(key, page);
      this.#lastKey = key;
      this.#lastPage = page;
    } else if (page.slots[at] !== undefined) return false;
    page.slots[at] = task;
    page.taken++;
    this.#size++;
    return true;
  }

  /** @returns whether there was one */
  delete(id: number): boolean {
    const key = Math.floor(id / slotsPerPage);
    const at = id - key * slotsPerPage;
    const page = this.#page(key);
    if (page?.slots[at] === undefined) return false;
    page.slots[at] = undefined;
    this.#size--;
    if (--page.taken === 0) {
      this.#pages.delete(key);
      this.#lastKey = Number.NaN;
      this.#lastPage = undefined;
    }
    return true;
  }

  #page(key: number): Page | undefined {
    if (key === this.#lastKey) return this.#lastPage;
    const page = this.#pages.get(key);
    if (page !== undefined) {
      this.#lastKey = key;
      this.#lastPage = page;
    }
    return page;
  }
}

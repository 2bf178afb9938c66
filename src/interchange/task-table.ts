// Every unanswered task by its id. Submitters number their tasks one after the other, so tasks stand in pages of
// neighbours: half the memory of a Map with an entry for each, and what was looked up last is mostly the page wanted next.
import type { TaskRecord } from './task.ts';

const slotsPerPage = 64;

interface Page {
  readonly key: number;
  readonly slots: (TaskRecord | undefined)[];
  taken: number;
}

/** Whole numbers to tasks. Any ids will do; those that lie far apart cost a page each, of half a kilobyte. */
export class TaskTable {
  readonly #pages = new Map<number, Page>();
  #size = 0;
  /** The page that was looked up last. It stays when it gets empty: where one task follows the other it is wanted again at once. */
  #last: Page | undefined;

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
    const page = this.#page(key) ?? this.#newPage(key);
    if (page.slots[at] !== undefined) return false;
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
    page.taken--;
    this.#size--;
    return true;
  }

  #page(key: number): Page | undefined {
    if (this.#last?.key === key) return this.#last;
    const page = this.#pages.get(key);
    if (page !== undefined) this.#turnTo(page);
    return page;
  }

  #newPage(key: number): Page {
    const page: Page = { key, slots: new Array(slotsPerPage).fill(undefined), taken: 0 };
    this.#pages.set(key, page);
    this.#turnTo(page);
    return page;
  }

  #turnTo(page: Page): void {
    if (this.#last?.taken === 0) this.#pages.delete(this.#last.key);
    this.#last = page;
  }
}

// A binary heap over one array. Whoever needs "the smallest next" and nothing else (task queues, selectors, deadlines) owns one.

/**
 * A binary min-heap: `push` and `pop` in O(log n), `peek` in O(1). Equal items come out in no particular order.
 *
 * @example
 * const heap = new Heap<number>((a, b) => a < b);
 * heap.push(3); heap.push(1);
 * heap.pop(); // 1
 */
export class Heap<Item> {
  readonly #items: Item[] = [];
  readonly #isBefore: (a: Item, b: Item) => boolean;

  /** @param isBefore - whether `a` must leave the heap before `b`; a strict order. */
  constructor(isBefore: (a: Item, b: Item) => boolean) {
    this.#isBefore = isBefore;
  }

  /** How many items it holds. */
  get size(): number {
    return this.#items.length;
  }

  /** The item that leaves next, or `undefined` when the heap is empty. */
  peek(): Item | undefined {
    return this.#items[0];
  }

  push(item: Item): void {
    this.#items.push(item);
    this.#rise(item, this.#items.length - 1);
  }

  /** Forgets the items for which `isKept` is false. O(n log n) at most. */
  keep(isKept: (item: Item) => boolean): void {
    const items = this.#items;
    let size = 0;
    // Every item before `size` is in its place, as if it had just been pushed.
    for (let at = 0; at < items.length; at++) {
      const item = items[at] as Item;
      if (isKept(item)) this.#rise(item, size++);
    }
    items.length = size;
  }

  /** Puts an item in the place `at`, the first that is free, or above it. */
  #rise(item: Item, at: number): void {
    const items = this.#items;
    const isBefore = this.#isBefore;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = items[above] as Item;
      if (!isBefore(item, parent)) break;
      items[at] = parent;
      at = above;
    }
    items[at] = item;
  }

  /** Takes the smallest item out, or gives `undefined` when there is none. */
  pop(): Item | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    const size = items.length;
    if (size === 0 || last === undefined) return first;
    const isBefore = this.#isBefore;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= size) break;
      if (below + 1 < size && isBefore(items[below + 1] as Item, items[below] as Item)) below++;
      const child = items[below] as Item;
      if (!isBefore(child, last)) break;
      items[at] = child;
      at = below;
    }
    items[at] = last;
    return first;
  }
}

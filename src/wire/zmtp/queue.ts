// A first-in first-out queue whose every step costs the same, however long it is. Holds messages that wait to be sent.

/** A queue; taking from the front moves an index, and the array is cut only now and then. */
export class Queue<Item> {
  #items: Item[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  shift(): Item | undefined {
    if (this.#head >= this.#items.length) return undefined;
    // Setting the length to 0 gives memory back that the next message wants again, and one message is the usual case.
    if (this.#items.length === 1) return this.#items.pop();
    const item = this.#items[this.#head];
    // The slot must let go of the message, which may be large.
    this.#items[this.#head] = undefined as Item;
    this.#head++;
    if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head >= 1_024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Takes all items out. */
  takeAll(): Item[] {
    const items = this.#head === 0 ? this.#items : this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    return items;
  }

  /** Puts `items` before all others, in their order. */
  prepend(items: readonly Item[]): void {
    if (items.length > 0) this.#items = [...items, ...this.takeAll()];
  }
}

// Numbers memo keys 0, 1, 2, … in the order they come, in about 60 bytes a key. Used for the index of checkpoints, where a
// Map of a million keys would take several times that, and give the garbage collector a million objects to look at.
import { createHash } from 'node:crypto';

const wordsPerKey = 8;

/** A set of keys, each with its number. */
export class KeyTable {
  #size = 0;
  /** The keys by number, eight words each. */
  #keys = new Uint32Array(64 * wordsPerKey);
  /** Open addressing: number + 1, or 0 where nothing is. */
  #slots = new Int32Array(128);
  readonly #asked = new Uint32Array(wordsPerKey);
  readonly #askedBytes = Buffer.from(this.#asked.buffer);

  get size(): number {
    return this.#size;
  }

  /** The number of `key`, or -1. */
  find(key: string): number {
    this.#ask(key);
    return this.#slots[this.#slot()]! - 1;
  }

  /** The number of `key`, which gets the next one if it is new. */
  add(key: string): number {
    this.#ask(key);
    let slot = this.#slot();
    if (this.#slots[slot] !== 0) return this.#slots[slot]! - 1;
    if ((this.#size + 1) * 3 > this.#slots.length * 2) {
      this.#grow();
      slot = this.#slot();
    }
    const number = this.#size++;
    if (this.#keys.length < this.#size * wordsPerKey) {
      const larger = new Uint32Array(Math.ceil((this.#size * 3) / 2) * wordsPerKey);
      larger.set(this.#keys);
      this.#keys = larger;
    }
    this.#keys.set(this.#asked, number * wordsPerKey);
    this.#slots[slot] = number + 1;
    return number;
  }

  /** A memo key is 32 bytes in hex; any other text is hashed to as many. */
  #ask(key: string): void {
    if (key.length === 64 && this.#askedBytes.write(key, 'hex') === 32) return;
    createHash('sha256').update(key).digest().copy(this.#askedBytes);
  }

  /** Where the asked key is, or would be. */
  #slot(): number {
    const mask = this.#slots.length - 1;
    // Keys are hashes: any of their words will do.
    for (let slot = this.#asked[0]! & mask; ; slot = (slot + 1) & mask) {
      const number = this.#slots[slot]! - 1;
      if (number < 0 || this.#isAsked(number)) return slot;
    }
  }

  #isAsked(number: number): boolean {
    const first = number * wordsPerKey;
    for (let word = 0; word < wordsPerKey; word++) if (this.#keys[first + word] !== this.#asked[word]) return false;
    return true;
  }

  #grow(): void {
    this.#slots = new Int32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let number = 0; number < this.#size; number++) {
      let slot = this.#keys[number * wordsPerKey]! & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = number + 1;
    }
  }
}

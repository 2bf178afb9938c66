// Which manager gets the next batch. A lane owns one set of ready managers; the scheduler asks it for one at a time.
// Parsl orders all ready managers on each turn and takes them from the end; picking one at a time gives the same
// choice without looking at the others.
import { Heap } from '../base/heap.ts';
import type { Manager } from './managers.ts';

/** The managers that could take a task now, and the rule by which one of them is picked. */
export interface ReadyManagers {
  readonly size: number;
  add(manager: Manager): void;
  delete(manager: Manager): void;
  /** The manager to serve next; it stays in the set. `undefined` when the set is empty. */
  pick(): Manager | undefined;
}

/** The names of Parsl's two manager selectors. */
export type SelectorName = 'random' | 'block-id';

/**
 * A new, empty set with the rule `name`.
 *
 * @param random - numbers in [0, 1), from a seeded source where decisions must repeat
 */
export function readyManagers(name: SelectorName, random: () => number): ReadyManagers {
  return selectors[name](random);
}

const selectors = {
  random: (random) => new RandomReady(random),
  'block-id': () => new BlockIdReady(),
} as const satisfies Record<SelectorName, (random: () => number) => ReadyManagers>;

/** Any of them, evenly: spreads the load, and is Parsl's default. */
class RandomReady implements ReadyManagers {
  readonly #list: Manager[] = [];
  readonly #place = new Map<Manager, number>();
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  get size(): number {
    return this.#list.length;
  }

  add(manager: Manager): void {
    if (this.#place.has(manager)) return;
    this.#place.set(manager, this.#list.length);
    this.#list.push(manager);
  }

  delete(manager: Manager): void {
    const place = this.#place.get(manager);
    if (place === undefined) return;
    this.#place.delete(manager);
    const last = this.#list.pop();
    if (last === undefined || last === manager) return;
    this.#list[place] = last;
    this.#place.set(last, place);
  }

  pick(): Manager | undefined {
    return this.#list[Math.floor(this.#random() * this.#list.length)];
  }
}

/** So few managers that have left the set may stay in the heap. */
const fewGone = 64;

/**
 * The highest block id first, compared as text as Parsl does ("9" before "10"): the other blocks run empty and can be
 * scaled in. Leaving the set is only noted; the heap forgets such managers when they come to its top, or when they are most of
 * what it holds.
 */
class BlockIdReady implements ReadyManagers {
  readonly #members = new Set<Manager>();
  readonly #inHeap = new Set<Manager>();
  readonly #heap = new Heap<Manager>(hasLaterBlock);

  get size(): number {
    return this.#members.size;
  }

  add(manager: Manager): void {
    this.#members.add(manager);
    if (this.#inHeap.has(manager)) return;
    this.#inHeap.add(manager);
    this.#heap.push(manager);
  }

  delete(manager: Manager): void {
    const members = this.#members;
    members.delete(manager);
    const inHeap = this.#inHeap;
    if (inHeap.size <= 2 * members.size + fewGone) return;
    this.#heap.keep((one) => members.has(one));
    inHeap.clear();
    for (const member of members) inHeap.add(member);
  }

  pick(): Manager | undefined {
    for (;;) {
      const manager = this.#heap.peek();
      if (manager === undefined || this.#members.has(manager)) return manager;
      this.#heap.pop();
      this.#inHeap.delete(manager);
    }
  }
}

function hasLaterBlock(a: Manager, b: Manager): boolean {
  const first = a.registration.blockId;
  const second = b.registration.blockId;
  // The order of arrival decides within a block, so that a run with the same events repeats.
  return first === second ? a.serial < b.serial : first > second;
}

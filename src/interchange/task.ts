// A task inside the interchange: one small record from its arrival to its answer. The core makes them; the queue orders
// them; the batch writer copies their bytes out.
import { Buffer } from 'node:buffer';
import type { Lane } from './lane.ts';
import type { Manager } from './managers.ts';

/**
 * Where a task stands. `queued` waits for a manager; `leased` was sent to one; `answered` is settled and only kept
 * until the queue has skipped it.
 */
export type TaskState = 'queued' | 'leased' | 'answered';

/**
 * One unanswered task. Its bytes lie in a shared slab, so that a million queued tasks are a million of these and not
 * two million. {@link TaskRecords} makes them, and makes another task of one that was answered: nobody may hold on to it
 * beyond that.
 */
export class TaskRecord {
  id: number;
  /** Lower runs earlier; `undefined` runs last. */
  priority: number | undefined;
  lane: Lane;
  /** Where its bytes are, until {@link letGo}. */
  place: Slab | undefined;
  offset: number;
  length: number;
  /** Of a task that came in a batch; its bytes are then its buffer alone. */
  context: Uint8Array | undefined;
  state: TaskState = 'queued';
  /** The manager that holds the lease, and its neighbours in that manager's list. */
  manager: Manager | undefined = undefined;
  previous: TaskRecord | undefined = undefined;
  next: TaskRecord | undefined = undefined;

  constructor(
    id: number,
    priority: number | undefined,
    lane: Lane,
    place: Slab | undefined,
    offset: number,
    length: number,
    context?: Uint8Array,
  ) {
    this.id = id;
    this.priority = priority;
    this.lane = lane;
    this.place = place;
    this.offset = offset;
    this.length = length;
    this.context = context;
  }

  /** The bytes in which its own lie. */
  get slab(): Uint8Array | undefined {
    return this.place?.bytes;
  }

  /** Its bytes are no longer needed. */
  letGo(): void {
    this.place?.release();
    this.place = undefined;
  }
}

/** So many records at most wait for another task: two megabytes. */
const mostSpares = 16_384;

/**
 * Makes the records of tasks, of those that were answered where there are some: what lives as long as a task waits would
 * otherwise be moved twice by the garbage collector before it dies.
 */
export class TaskRecords {
  readonly #spares: TaskRecord[] = [];

  /** The record of a task that has just come. */
  make(
    id: number,
    priority: number | undefined,
    lane: Lane,
    place: Slab,
    offset: number,
    length: number,
    context?: Uint8Array,
  ): TaskRecord {
    const task = this.#spares.pop();
    if (task === undefined) return new TaskRecord(id, priority, lane, place, offset, length, context);
    task.id = id;
    task.priority = priority;
    task.lane = lane;
    task.place = place;
    task.offset = offset;
    task.length = length;
    task.context = context;
    task.state = 'queued';
    return task;
  }

  /** Takes the record of a task back that was answered, and that no queue and no list of a manager holds. */
  giveBack(task: TaskRecord): void {
    task.context = undefined;
    if (this.#spares.length < mostSpares) this.#spares.push(task);
  }
}

/** The order of the queue: lowest priority number first, none last, then the lowest task id. */
export function runsBefore(a: TaskRecord, b: TaskRecord): boolean {
  const first = a.priority;
  const second = b.priority;
  if (first === second) return a.id < b.id;
  if (second === undefined) return true;
  if (first === undefined) return false;
  return first < second;
}

const slabBytes = 64 * 1024;
/** So many slabs at most wait for other tasks: four megabytes. */
const mostSpareSlabs = 64;
/** Making a view costs as much as copying so few bytes one by one, or as keeping so few more. */
const fewBytes = 32;

/** Bytes for tasks, of as many tasks as fit. Whoever needs them holds them, and releases them once. */
export class Slab {
  readonly bytes: Uint8Array;
  readonly #home: TaskBytes | undefined;
  #holders = 1;

  /** Held by who makes it. Where there is a `home`, it gets the slab back from the last holder. */
  constructor(bytes: Uint8Array, home?: TaskBytes) {
    this.bytes = bytes;
    this.#home = home;
  }

  hold(): void {
    this.#holders++;
  }

  /** Of a holder that never does nothing worse comes than that the slab is not used again. */
  release(): void {
    this.#holders--;
    if (this.#holders === 0) this.#home?.giveBack(this);
  }
}

/**
 * Keeps the bytes of queued tasks, packed in slabs of 64 KiB: a received frame is a window on a chunk the socket read,
 * with other frames in it, and one waiting task must not keep all of that alive. When its last task has gone, a slab is used
 * again: as much as passes through it would otherwise make the garbage collector look at everything several times a second.
 */
export class TaskBytes {
  readonly #spares: Slab[] = [];
  #current = new Slab(new Uint8Array(0));
  #used = 0;

  /** Where the bytes stored last are; held for whoever had them stored. */
  place: Slab = this.#current;
  offset = 0;

  /** Copies `bytes`, or a part of them; read `place` and `offset` afterwards. Large tasks get a slab of their own. */
  store(bytes: Uint8Array, from = 0, to: number = bytes.length): void {
    const length = to - from;
    if (length > slabBytes / 4) {
      // Not `slice` of a Buffer, which would be a view.
      this.place = new Slab(Uint8Array.prototype.slice.call(bytes, from, to));
      this.offset = 0;
      return;
    }
    const isNearlyWhole = bytes.length - length <= fewBytes;
    const needed = isNearlyWhole ? bytes.length : length;
    if (this.#used + needed > this.#current.bytes.length) this.#beginSlab();
    const slab = this.#current.bytes;
    if (isNearlyWhole) slab.set(bytes, this.#used);
    else if (length > fewBytes) slab.set(bytes.subarray(from, to), this.#used);
    else for (let at = from, put = this.#used; at < to; ) slab[put++] = bytes[at++] as number;
    this.#current.hold();
    this.place = this.#current;
    this.offset = isNearlyWhole ? this.#used + from : this.#used;
    this.#used += needed;
  }

  /** Takes a slab back that nobody holds. */
  giveBack(slab: Slab): void {
    if (this.#spares.length < mostSpareSlabs) this.#spares.push(slab);
  }

  #beginSlab(): void {
    this.#current.release();
    const spare = this.#spares.pop();
    spare?.hold();
    this.#current = spare ?? new Slab(new Uint8Array(Buffer.allocUnsafeSlow(slabBytes).buffer), this);
    this.#used = 0;
  }
}

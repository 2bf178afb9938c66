// The memory that the executor and one of its threads share: who has each job, which one runs and since when, and small results.
// So a job that has not begun can be taken back, and a result can be had, while the thread is busy and reads no message.
//
//   waiting -> running -> done      the thread claims, runs, is done; the result is here, or is being sent
//   waiting -> takenBack            the executor took it back; the thread passes it over, and says so
import { assert } from '../../base/assert.ts';

/** Jobs that a thread may hold at once. */
export const slotCount = 256;

/** The longest text that is kept here, in UTF-16 units. */
const textUnits = 40;

const claim = {
  waiting: 0,
  running: 1,
  takenBack: 2,
  done: 3,
  undefined: 4,
  null: 5,
  true: 6,
  false: 7,
  number: 8,
  text: 9,
} as const;

const runningCell = slotCount;
const aliveCell = slotCount + 1;
const commandCell = slotCount + 2;
const readingCell = slotCount + 3;
const int32Count = slotCount + 4;
const float64Count = slotCount + 2;

/** Milliseconds of a clock that all threads of this process share, and that never jumps. */
export function threadTime(): number {
  return performance.now() + offsetMs;
}

const offsetMs = ((): number => {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1e6 - performance.now();
})();

/** One view of the memory; each end makes its own. */
export class Slots {
  readonly memory: SharedArrayBuffer;
  /** Results that are numbers, lengths of texts; then when the job that runs began, and when its body did. */
  readonly #numbers: Float64Array;
  /** Claims of the slots; then the slot that runs (plus 1), whether the thread ever came to life, whether a command runs, and whether a parcel is read. */
  readonly #cells: Int32Array;
  readonly #texts: Uint16Array;

  constructor(memory?: SharedArrayBuffer) {
    this.memory = memory ?? new SharedArrayBuffer(8 * float64Count + 4 * int32Count + 2 * slotCount * textUnits);
    this.#numbers = new Float64Array(this.memory, 0, float64Count);
    this.#cells = new Int32Array(this.memory, 8 * float64Count, int32Count);
    this.#texts = new Uint16Array(this.memory, 8 * float64Count + 4 * int32Count);
  }

  /* The thread's side */

  /** The thread's program runs. */
  live(): void {
    Atomics.store(this.#cells, aliveCell, 1);
  }

  /** Shows that the thread reads what it was sent, which may take long. */
  read<Result>(reading: () => Result): Result {
    Atomics.store(this.#cells, readingCell, 1);
    try {
      return reading();
    } finally {
      Atomics.store(this.#cells, readingCell, 0);
    }
  }

  /** Takes a job to run it. False when it was taken back. */
  begin(slot: number, time: number): boolean {
    if (Atomics.compareExchange(this.#cells, slot, claim.waiting, claim.running) !== claim.waiting) return false;
    this.#numbers[slotCount] = time;
    this.#numbers[slotCount + 1] = Number.POSITIVE_INFINITY;
    Atomics.store(this.#cells, commandCell, 0);
    Atomics.store(this.#cells, runningCell, slot + 1);
    return true;
  }

  /** All that the job needs is loaded, and its body begins. */
  beginBody(time: number): void {
    this.#numbers[slotCount + 1] = time;
  }

  /** The body is a command from now on. */
  beginCommand(): void {
    Atomics.store(this.#cells, commandCell, 1);
  }

  /** Whether `finish` keeps a value here. What it does not keep must be sent before another job begins. */
  keeps(value: unknown): boolean {
    switch (typeof value) {
      case 'undefined':
      case 'boolean':
      case 'number':
        return true;
      case 'string':
        return value.length <= textUnits;
      default:
        return value === null;
    }
  }

  /** The job has run. */
  finish(slot: number, isKept: boolean, value: unknown): void {
    const now = isKept ? this.#keep(slot, value) : claim.done;
    Atomics.store(this.#cells, runningCell, 0);
    Atomics.store(this.#cells, slot, now);
  }

  #keep(slot: number, value: unknown): number {
    switch (typeof value) {
      case 'undefined':
        return claim.undefined;
      case 'boolean':
        return value ? claim.true : claim.false;
      case 'number':
        this.#numbers[slot] = value;
        return claim.number;
      case 'string': {
        const at = slot * textUnits;
        for (let index = 0; index < value.length; index++) this.#texts[at + index] = value.charCodeAt(index);
        this.#numbers[slot] = value.length;
        return claim.text;
      }
      default:
        assert(value === null, 'a result was kept that cannot be');
        return claim.null;
    }
  }

  /* The executor's side */

  /** Whether the thread's program ever ran. */
  get wasAlive(): boolean {
    return Atomics.load(this.#cells, aliveCell) === 1;
  }

  /** Jobs have run here, but none runs, and none is read. */
  get isQuiet(): boolean {
    if (this.runningSlot >= 0 || Atomics.load(this.#cells, readingCell) === 1) return false;
    return (this.#numbers[slotCount] as number) > 0;
  }

  /** The job is about to be sent. */
  offer(slot: number): void {
    Atomics.store(this.#cells, slot, claim.waiting);
  }

  /** Takes back a job. False when the thread has begun it. */
  takeBack(slot: number): boolean {
    return Atomics.compareExchange(this.#cells, slot, claim.waiting, claim.takenBack) === claim.waiting;
  }

  isRunning(slot: number): boolean {
    return Atomics.load(this.#cells, slot) === claim.running;
  }

  /** The thread took the job, whatever became of it. */
  wasBegun(slot: number): boolean {
    const now = Atomics.load(this.#cells, slot);
    return now !== claim.waiting && now !== claim.takenBack;
  }

  /** The slot of the job that runs, or -1. */
  get runningSlot(): number {
    return Atomics.load(this.#cells, runningCell) - 1;
  }

  /** How long the job that runs has been here, with what was loaded for it, in milliseconds; 0 when none runs. */
  get runningMs(): number {
    return this.runningSlot < 0 ? 0 : threadTime() - (this.#numbers[slotCount] as number);
  }

  /** What the job that runs is at, and for how long, in milliseconds. */
  get phase(): { readonly at: 'loading' | 'body' | 'command'; readonly forMs: number } {
    const { bodyMs } = this;
    if (bodyMs === Number.NEGATIVE_INFINITY) return { at: 'loading', forMs: this.runningMs };
    return { at: Atomics.load(this.#cells, commandCell) === 1 ? 'command' : 'body', forMs: bodyMs };
  }

  /** The same of its body; minus infinity while that has not begun, or nobody needs to know. */
  get bodyMs(): number {
    return this.runningSlot < 0 ? 0 : threadTime() - (this.#numbers[slotCount + 1] as number);
  }

  /** A result that is kept here. */
  result(slot: number): { readonly value: unknown } | undefined {
    switch (Atomics.load(this.#cells, slot)) {
      case claim.undefined:
        return { value: undefined };
      case claim.null:
        return { value: null };
      case claim.true:
        return { value: true };
      case claim.false:
        return { value: false };
      case claim.number:
        return { value: this.#numbers[slot] };
      case claim.text: {
        const at = slot * textUnits;
        return { value: String.fromCharCode(...this.#texts.subarray(at, at + (this.#numbers[slot] as number))) };
      }
      default:
        return undefined;
    }
  }
}

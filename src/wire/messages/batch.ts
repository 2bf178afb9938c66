// Many tasks or many results in one frame, between Chervil peers that have agreed on it (extension `batch`). A frame costs what it
// costs: to cut out, to seal, to pass on; and a pickle costs more than the few bytes that it says. No pickle begins like these.
//
//   tasks    0xe6 | length of context u16 | context, pickled without header and STOP | each: id u32 | length u32 | buffer
//   results  0xe7 | each: id u32 | what u8 | length u32 | bytes
//            of what 3 and 4 the bytes begin with: ms since it began f32 | ms that it took f32 | length of place u16 | place
//
// Numbers are little endian. The submitter, the interchange and pools all write and read them.
import type { Result } from '../../base/result.ts';
import { FrameTail } from '../frame-tail.ts';
import type { StoredBody } from './task.ts';

const marks = { tasks: 0xe6, results: 0xe7 } as const;

/**
 * What an entry of a batch of results is: the bytes of a value, of an exception, or of a note about a task that goes on; or of a value
 * or an exception behind where and when the body ran, as notes.ts has it, if nothing was told of that before.
 */
export const entry = { value: 0, exception: 1, note: 2, ranValue: 3, ranException: 4 } as const;

/** Whether an entry begins with where and when its body ran. */
export function hasRun(what: number): boolean {
  return what === entry.ranValue || what === entry.ranException;
}

/** Whether the bytes of such an entry are an exception. */
export function isExceptionEntry(what: number): boolean {
  return what === entry.exception || what === entry.ranException;
}

/** What stands before the bytes of an entry that says where and when its body ran. */
export interface RanHead {
  /** How long before it was sent, in milliseconds: clocks differ from machine to machine. */
  readonly beganAgoMs: number;
  readonly tookMs: number;
  /** Where in the frame the place stands, as a note has it. */
  readonly placeStart: number;
  /** Where it ends, and the bytes begin. */
  readonly end: number;
}

/** Reads what stands before the bytes of entry `index`, for which {@link hasRun} holds. */
export function readRan({ frame, starts }: Entries, index: number): RanHead {
  const start = starts[index] as number;
  const placeStart = start + ranBytes;
  const end = placeStart + u16(frame, placeStart - 2);
  for (let at = 0; at < 8; at++) numberBytes[at] = frame[start + at] as number;
  return {
    beganAgoMs: numbers.getFloat32(0, true),
    tookMs: numbers.getFloat32(4, true),
    placeStart,
    end,
  };
}

const ranBytes = 10;
const numberBytes = new Uint8Array(8);
const numbers = new DataView(numberBytes.buffer);

/** Whether a task's id fits into a batch. Those of Chervil's submitters do; others travel alone. */
export function isBatchable(taskId: number): boolean {
  return taskId >>> 0 === taskId;
}

const mostContext = 0xffff;

export function isTaskBatch(frame: Uint8Array): boolean {
  return frame[0] === marks.tasks;
}

export function isResultBatch(frame: Uint8Array): boolean {
  return frame[0] === marks.results;
}

/** Where the entries of a batch lie in its frame: entry `n` from `starts[n]` up to `ends[n]`. */
export interface Entries {
  readonly frame: Uint8Array;
  readonly ids: readonly number[];
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

/** A batch of tasks that have one context. */
export interface TaskBatch extends Entries {
  /** Pickled without header and STOP. A view of the frame. */
  readonly context: Uint8Array;
}

/** A batch of results; `whats` are numbers of {@link entry}. */
export interface ResultBatch extends Entries {
  readonly whats: readonly number[];
}

/** Gathers tasks into frames. */
export class TaskGatherer {
  readonly #tail = new FrameTail();
  #context: Uint8Array | undefined;

  get length(): number {
    return this.#tail.length;
  }

  /** Whether a task with this context can be added: it is the one of the tasks that were added before. */
  fits(context: Uint8Array): boolean {
    return (this.#context === undefined || this.#context === context) && context.length <= mostContext;
  }

  add(taskId: number, context: Uint8Array, source: Uint8Array, from: number, to: number): void {
    const tail = this.#tail;
    if (this.#context === undefined) {
      this.#context = context;
      tail.u8(marks.tasks);
      tail.u16(context.length);
      tail.bytes(context, 0, context.length);
    }
    tail.u32(taskId);
    tail.u32(to - from);
    tail.bytes(source, from, to);
  }

  /** The frame of all that was added. */
  take(): Uint8Array {
    this.#context = undefined;
    return this.#tail.take();
  }
}

/** Gathers results into frames. */
export class ResultGatherer {
  readonly #tail = new FrameTail();

  get length(): number {
    return this.#tail.length;
  }

  add(taskId: number, what: number, source: Uint8Array, from = 0, to: number = source.length): void {
    const tail = this.#tail;
    if (tail.length === 0) tail.u8(marks.results);
    tail.u32(taskId);
    tail.u8(what);
    tail.u32(to - from);
    tail.bytes(source, from, to);
  }

  /** One of `ranValue` or `ranException`. */
  addRan(
    taskId: number,
    what: number,
    beganAgoMs: number,
    tookMs: number,
    place: Uint8Array,
    source: Uint8Array,
  ): void {
    const tail = this.#tail;
    if (tail.length === 0) tail.u8(marks.results);
    tail.u32(taskId);
    tail.u8(what);
    tail.u32(ranBytes + place.length + source.length);
    tail.f32(beganAgoMs);
    tail.f32(tookMs);
    tail.u16(place.length);
    tail.bytes(place, 0, place.length);
    tail.bytes(source, 0, source.length);
  }

  /** The frame of all that was added. */
  take(): Uint8Array {
    return this.#tail.take();
  }
}

/** Reads a batch of tasks. Never throws. */
export function readTasks(frame: Uint8Array): Result<TaskBatch> {
  const contextEnd = 3 + ((frame[1] as number) | ((frame[2] as number) << 8));
  if (!(contextEnd <= frame.length)) return { ok: false, error: 'a batch of tasks that is cut short' };
  const ids: number[] = [];
  const starts: number[] = [];
  const ends: number[] = [];
  for (let at = contextEnd; at < frame.length; ) {
    const start = at + 8;
    const end = start + (start <= frame.length ? u32(frame, at + 4) : 0);
    if (end > frame.length) return { ok: false, error: 'a batch of tasks that is cut short' };
    ids.push(u32(frame, at));
    starts.push(start);
    ends.push(end);
    at = end;
  }
  return { ok: true, value: { frame, context: frame.subarray(3, contextEnd), ids, starts, ends } };
}

/** Reads a batch of results. Never throws. */
export function readResults(frame: Uint8Array): Result<ResultBatch> {
  const ids: number[] = [];
  const whats: number[] = [];
  const starts: number[] = [];
  const ends: number[] = [];
  for (let at = 1; at < frame.length; ) {
    const start = at + 9;
    const end = start + (start <= frame.length ? u32(frame, at + 5) : 0);
    if (end > frame.length) return { ok: false, error: 'a batch of results that is cut short' };
    const what = frame[at + 4] as number;
    if (hasRun(what) && start + ranBytes + (start + ranBytes <= end ? u16(frame, start + ranBytes - 2) : 0) > end)
      return { ok: false, error: 'a batch of results that is cut short' };
    if (what > entry.ranException) return { ok: false, error: `a batch of results with an entry of kind ${what}` };
    ids.push(u32(frame, at));
    whats.push(what);
    starts.push(start);
    ends.push(end);
    at = end;
  }
  return { ok: true, value: { frame, ids, whats, starts, ends } };
}

/** The frames that give these stored tasks, all of them once out of a batch, to a pool that reads batches. */
export function writeTasks(tasks: readonly (StoredBody & { readonly id: number })[]): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (const { id, context, slab, offset, length } of tasks) {
    if (slab === undefined || context === undefined) continue;
    if (!gatherer.fits(context)) frames.push(gatherer.take());
    gatherer.add(id, context, slab, offset, offset + length);
  }
  if (gatherer.length > 0) frames.push(gatherer.take());
  return frames;
}

const gatherer = new TaskGatherer();

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

function u32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

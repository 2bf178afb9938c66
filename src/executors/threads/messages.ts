// What passes between the executor and one of its threads: flat arrays, many jobs to a message, as a message costs more than
// what is in it. Beside the messages, both see the claims of the jobs, so that a job that has not begun can be taken back.
import type { MessagePort } from 'node:worker_threads';
import type { CommandFiles, FunctionSource } from '../../task/ports.ts';

/** Jobs that a thread may hold at once. */
export const slotCount = 256;

/** Who has the job in a slot. */
export const claim = {
  /** It waits in the thread's queue; either side may take it. */
  waiting: 0,
  /** The thread runs it. */
  running: 1,
  /** The executor took it back; the thread passes it over. */
  takenBack: 2,
  /** The thread has run it; its result is on the way. */
  done: 3,
} as const;

/** Index of the cell that says which slot runs (plus 1; 0 for none); the claims of the slots stand before it. */
export const runningCell = slotCount;

/** What a thread is started with. */
export interface ThreadData {
  readonly port: MessagePort;
  /** Int32: the claims of the slots, then the slot that runs. */
  readonly cells: SharedArrayBuffer;
  /** Float64: when the body that runs began, in milliseconds since the Unix epoch. */
  readonly since: SharedArrayBuffer;
  readonly mark: string;
}

/** What only some jobs have. */
export interface JobExtra {
  readonly tryNumber: number;
  readonly timeoutMs: number;
  /** Say when it begins. */
  readonly watched: boolean;
  readonly files: CommandFiles | undefined;
  readonly wrappers: readonly FunctionSource[];
  /** The arguments are encoded (wire/values). */
  readonly isEncoded: boolean;
}

/** A function that the thread will need, before the first job with it. */
export interface FunctionEntry {
  readonly index: number;
  readonly source: FunctionSource;
  readonly app: string;
  readonly kind: 'function' | 'bash';
}

/** Executor to thread. `jobs` is flat: slot, function, task id, arguments, extra. */
export type ToThread =
  | { readonly jobs: readonly unknown[]; readonly functions: readonly FunctionEntry[] | undefined; readonly reaperFd: number | undefined }
  | { readonly stop: number; readonly error: unknown };

/** Fields of a job in `jobs`. */
export const jobStride = 5;

/** What a result is. */
export const resultKind = {
  failure: 0,
  value: 1,
  encoded: 2,
  /** A failure whose body goes on: the thread must be ended. */
  abandoned: 3,
  /** It had been taken back: only its slot is free again. */
  passedOver: 4,
} as const;

/** Fields of a result in `results`: slot, kind, value or failure data, milliseconds. */
export const resultStride = 4;

/** Thread to executor. */
export interface FromThread {
  readonly results?: readonly unknown[];
  /** Flat: slot, stream, text. */
  readonly output?: readonly unknown[];
  /** A watched job began. */
  readonly began?: number;
  /** The command of the job in this slot runs as this group. */
  readonly group?: readonly [slot: number, group: number | undefined];
  /** The job in this slot was asked to stop, and can. */
  readonly stopping?: number;
}

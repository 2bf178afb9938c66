// What passes between the executor and one of its threads: flat arrays, many jobs to a message, as a message costs more than
// what is in it. What both must see at once, without messages, is in slots.ts.
import type { MessagePort } from 'node:worker_threads';
import type { CommandFiles, FunctionSource } from '../../task/ports.ts';

/** What a thread is started with. */
export interface ThreadData {
  readonly port: MessagePort;
  /** What may take long to read comes here, and is told of on the other. */
  readonly parcels: MessagePort;
  /** Of its slots (slots.ts). */
  readonly memory: SharedArrayBuffer;
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

/** Jobs, and what is needed to run them. */
export interface JobsMessage {
  /** Flat: slot, function, task id, arguments, extra. */
  readonly jobs: readonly unknown[];
  readonly functions: readonly FunctionEntry[] | undefined;
  readonly reaperFd: number | undefined;
}

/**
 * Executor to thread. `stop`: the job in this slot shall end if it can, for this reason. `parcel`: a JobsMessage lies in `parcels`,
 * and may take long to read; so the thread can show that it reads before it does.
 */
export type ToThread = JobsMessage | { readonly stop: number; readonly error: unknown } | { readonly parcel: true };

/** Fields of a job in `jobs`. */
export const jobStride = 5;

/** What a result is. */
export const resultKind = {
  failure: 0,
  value: 1,
  encoded: 2,
  /** A failure whose body goes on: the thread must be ended, and runs nothing more. */
  abandoned: 3,
  /** It had been taken back: only its slot is free again. */
  passedOver: 4,
  /** No result yet: a watched job began, and may take long. */
  began: 5,
} as const;

/** Fields of a result in `results`: slot, kind, value or failure data, milliseconds. */
export const resultStride = 4;

/** Thread to executor. */
export interface FromThread {
  readonly results?: readonly unknown[];
  /** Flat: slot, stream, text. */
  readonly output?: readonly unknown[];
  /** The command of the job in this slot runs as this group; `undefined`: it ended. */
  readonly group?: readonly [slot: number, group: number | undefined];
  /** The job in this slot was asked to stop, and can. */
  readonly stopping?: number;
  /** These modules are loaded for the job in this slot, which has a timeout. */
  readonly loading?: readonly [slot: number, modules: readonly string[]];
}

/** Fields of a piece of output. */
export const outputStride = 3;

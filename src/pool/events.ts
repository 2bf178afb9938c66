// What can happen to a pool's manager, and what it can want: the two unions between the pure core and its shell.
import type { TaskError } from '../task/errors.ts';
import type { Runtime } from '../task/ports.ts';
import type { PickleValue } from '../wire/pickle.ts';

/** How a worker process ended. */
export interface Death {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** `memory` when its heap was full or the kernel's killer took it. */
  readonly reason: 'memory' | 'exit' | 'crash' | 'unknown';
  readonly stderrTail: string;
  /** The ticket of the job that it began last; 0 for none. */
  readonly begun: number;
}

/** A task as it came from the interchange. */
export interface TaskIn {
  readonly taskId: number;
  readonly buffer: Uint8Array;
  /** What its submitter says about it beside the buffer. */
  readonly context: PickleValue;
}

/** How a job ended on its worker. */
export type JobEnd = 'value' | 'failure' | 'abandoned' | 'passed over';

/** Something that happened. Workers go by their rank. `turn` ends a group of events. */
export type PoolEvent =
  | { readonly type: 'tasks'; readonly tasks: readonly TaskIn[] }
  /** The submitter does not want these any more. */
  | { readonly type: 'cancel'; readonly taskIds: readonly number[]; readonly reason: string }
  /** The interchange answered a heartbeat. */
  | { readonly type: 'heartbeat' }
  /** The interchange is Chervil's: it understands changes of capacity, and notes. */
  | { readonly type: 'welcome' }
  /** A file of code came and was kept; or, with a `problem`, it cannot be had. */
  | { readonly type: 'code'; readonly name: string; readonly problem: string | undefined }
  /** Nothing is left for us: leave. */
  | { readonly type: 'drained' }
  | { readonly type: 'refusal'; readonly reason: string }
  /** This pool is not one that the interchange would take, so it does not register. */
  | { readonly type: 'misfit'; readonly reason: string }
  /** A message that cannot be read. */
  | { readonly type: 'malformed'; readonly reason: string }
  | { readonly type: 'connected' }
  /** The connection broke; or, `isRefused`, nobody listens there any more. */
  | { readonly type: 'disconnected'; readonly isRefused: boolean }
  | { readonly type: 'worker ready'; readonly rank: number }
  | {
      readonly type: 'job ended';
      readonly rank: number;
      readonly ticket: number;
      readonly how: JobEnd;
      readonly tookMs: number;
      /** Milliseconds since the epoch; 0: nobody wants to know. */
      readonly beganAt: number;
      readonly bytes: Uint8Array;
    }
  | { readonly type: 'job began'; readonly rank: number; readonly ticket: number }
  /** Before the body of a job these modules are loaded. */
  | { readonly type: 'loading'; readonly rank: number; readonly ticket: number; readonly modules: readonly string[] }
  /** The function of a bash job gave its command. */
  | { readonly type: 'command began'; readonly rank: number; readonly ticket: number }
  /** The job was asked to stop, and says that it can. */
  | { readonly type: 'job stopping'; readonly rank: number; readonly ticket: number }
  | { readonly type: 'note'; readonly rank: number; readonly ticket: number; readonly bytes: Uint8Array }
  | { readonly type: 'worker gone'; readonly rank: number; readonly death: Death }
  /** Somebody stops the pool: a signal. */
  | { readonly type: 'stop'; readonly reason: string }
  | { readonly type: 'timer' }
  | { readonly type: 'turn' };

/** Where and when a body ran. */
export interface Ran {
  readonly rank: number;
  /** Milliseconds since the epoch. */
  readonly beganAt: number;
  readonly tookMs: number;
}

/** What the shell must do, in order, before the next event. */
export type PoolEffect =
  | { readonly do: 'register' }
  | { readonly do: 'heartbeat' }
  | { readonly do: 'drain' }
  | { readonly do: 'ask for code'; readonly name: string }
  | { readonly do: 'tell capacity'; readonly capacity: number }
  | { readonly do: 'start worker'; readonly rank: number }
  /** With its whole process group, at once. */
  | { readonly do: 'kill worker'; readonly rank: number }
  | { readonly do: 'send job'; readonly rank: number; readonly ticket: number; readonly buffer: Uint8Array }
  | { readonly do: 'stop job'; readonly rank: number; readonly ticket: number; readonly error: TaskError }
  | {
      readonly do: 'result';
      readonly taskId: number;
      readonly isException: boolean;
      /** When and how long its body ran on which worker, if that is wanted and was not told before. */
      readonly ran: Ran | undefined;
      readonly bytes: Uint8Array;
    }
  /** A failure made here; `isPython` when the submitter of the task reads Python's exceptions. */
  | { readonly do: 'fail'; readonly taskId: number; readonly error: TaskError; readonly isPython: boolean }
  | { readonly do: 'note'; readonly taskId: number; readonly bytes: Uint8Array }
  /** The note that a body runs on this worker, which has not said so itself. */
  | { readonly do: 'note running'; readonly taskId: number; readonly rank: number }
  | { readonly do: 'timer'; readonly at: number }
  | { readonly do: 'log'; readonly level: 'debug' | 'info' | 'warning' | 'error'; readonly text: string }
  | { readonly do: 'end'; readonly exitCode: number; readonly reason: string };

/** What the core must know, and the one question that it may ask. Times are in milliseconds. */
export interface PoolSettings {
  readonly uid: string;
  readonly hostname: string;
  /** What its workers run. */
  readonly runtime: Runtime;
  readonly workerCount: number;
  /** Tasks to hold beyond one for each worker; `auto`: as many as their length suggests. */
  readonly prefetch: number | 'auto';
  readonly heartbeatPeriodMs: number;
  readonly heartbeatThresholdMs: number;
  /** From the start to the drain request; `undefined`: none. */
  readonly drainAfterMs: number | undefined;
  /** How long a task with a timeout may load what it needs at least. */
  readonly leastLoadingMs: number;
  readonly isDebug: boolean;
  /** Takes back what this worker has not begun up to `to`. @returns the last ticket it had begun. In tests: a model of it. */
  readonly takeBack: (rank: number, from: number, to: number) => number;
  /** The ticket of the job that this worker began last; 0 for none. */
  readonly begun: (rank: number) => number;
}

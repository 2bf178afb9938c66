// An app as the kernel knows it: its body and its options, checked and in one shape. Made by app/, one for each set of options.
import type { Duration } from '../base/time.ts';
import type { TaskError } from '../task/errors.ts';
import type { Body } from '../task/ports.ts';
import type { MemoOption } from './elaborators/memo.ts';

/** What a retry policy is told beside the error. */
export interface RetryContext {
  readonly taskId: number;
  readonly app: string;
  /** Tries made so far, 1 after the first. */
  readonly tries: number;
  /** Cost so far, without this failure. */
  readonly spent: number;
  readonly args: readonly unknown[];
}

/** Whether and when a failed try is followed by another. */
export interface RetryPolicy {
  /** Failures cost this much in all before the task fails. With a cost of 1 each it is the number of retries. @default 0 */
  readonly budget?: number;
  /** What a failure costs; `Infinity` ends it. Default: 1; what no retry can mend costs `Infinity`. */
  readonly cost?: (error: TaskError, context: RetryContext) => number;
  /** Milliseconds (or a Duration) before try number `tries + 1`. @default 0 */
  readonly delay?: Duration | ((tries: number) => number);
  /** Losses of workers and managers that are free of cost before they count. @default 0 */
  readonly losses?: number;
}

/** Where an output stream of a command goes, as users say it. */
export type StreamOption =
  | string
  | URL
  | { readonly path: string | URL; readonly mode?: 'append' | 'truncate' }
  | 'inherit'
  | typeof AUTO_LOGNAME;

/** A file in the run directory, named after the task: `task_logs/0000/task_0041_simulate.stdout`. */
export const AUTO_LOGNAME: unique symbol = Symbol.for('chervil.AUTO_LOGNAME') as never;

/** The options of an app, normalized. */
export interface AppRecord {
  readonly name: string;
  readonly body: Body;
  readonly retry: RetryPolicy | undefined;
  readonly timeoutMs: number;
  readonly deadlineMs: number;
  readonly memo: MemoOption | undefined;
  /** Labels of the executors that may run it; `undefined`: any. */
  readonly executors: readonly string[] | undefined;
  readonly resources: Readonly<Record<string, unknown>> | undefined;
  readonly signal: AbortSignal | undefined;
  readonly stdout: StreamOption | undefined;
  readonly stderr: StreamOption | undefined;
  /** Becomes part of automatic log names. */
  readonly label: string | undefined;
}

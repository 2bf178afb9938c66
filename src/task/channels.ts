// The names under which things are published on node:diagnostics_channel, in one table. Logs, database, progress line and
// dashboard are listeners. Nothing is built for a channel that nobody listens to.
import { type Channel, channel } from 'node:diagnostics_channel';
import type { TaskError } from './errors.ts';
import type { Outcome } from './outcome.ts';
import type { Body, CommandFiles, Place } from './ports.ts';
import type { TaskState } from './state.ts';

/** A task changed its state. */
export interface TaskEvent {
  /** Id of the run. */
  readonly run: string;
  readonly id: number;
  readonly app: string;
  /** `undefined`: the task is new. */
  readonly from: TaskState | undefined;
  readonly state: TaskState;
  /** 0 for the first try. */
  readonly tryNumber: number;
  /** Milliseconds since the Unix epoch. */
  readonly time: number;
  /** Label of the executor, once one is chosen. */
  readonly executor: string | undefined;
  /** Why, for `failed`, `dep_fail` and `fail_retryable`. */
  readonly error: TaskError | undefined;
  /** The join task whose body called it. */
  readonly parent: number | undefined;
  /** Ids of the tasks that it waits for; only when it is new. */
  readonly dependencies: readonly number[] | undefined;
  /** Ids of the tasks that it joins; only for `joining`. */
  readonly joins: readonly number[] | undefined;
  readonly memoKey: string | undefined;
  /** Where it runs; only for `running` and `running_ended`. */
  readonly place: Place | undefined;
}

/** What a listener inside the run may see of the task beside the event; only during the call. */
export interface TaskView {
  readonly args: readonly unknown[];
  /** What it goes back up with; with a final state its outcome. */
  readonly result: Outcome | undefined;
  readonly body: Body;
  /** Whether its app asks for memoization. */
  readonly isMemoizable: boolean;
  /** Local files among the arguments, as paths. */
  readonly inputs: readonly string[] | undefined;
  readonly files: CommandFiles | undefined;
}

/** Text that the body of a task printed. */
export interface OutputEvent {
  readonly run: string;
  readonly id: number;
  readonly app: string;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/** A run began or ended. */
export interface RunEvent {
  readonly run: string;
  readonly what: 'started' | 'closed';
  readonly directory: string;
  readonly time: number;
}

/** Every channel, by what it carries. */
export const channels = {
  task: channel('chervil:task') as Channel<TaskEvent, TaskEvent>,
  output: channel('chervil:output') as Channel<OutputEvent, OutputEvent>,
  run: channel('chervil:run') as Channel<RunEvent, RunEvent>,
};

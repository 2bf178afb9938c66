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

/** What one inside the run may see of a task that changes its state; only during the call. */
export interface TaskView {
  readonly id: number;
  readonly app: string;
  /** 0 for the first try. */
  readonly tryNumber: number;
  /** Where it goes, once that is chosen. */
  readonly executor: { readonly label: string } | undefined;
  /** The join task whose body called it. */
  readonly parent: { readonly id: number } | undefined;
  /** Ids of the tasks that it waits for, when it is new. */
  readonly needs: readonly number[] | undefined;
  /** Ids of the tasks that it joins, when it is `joining`. */
  readonly joined: readonly number[] | undefined;
  readonly memoKey: string | undefined;
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

/**
 * Hears of every change of a task's state; nothing is made for it, unlike for an event.
 *
 * @param from `undefined`: the task is new
 * @param at milliseconds since the epoch
 * @param error why, for `failed`, `dep_fail` and `fail_retryable`
 * @param place where it runs, for `running` and `running_ended`
 */
export type TransitionListener = (
  task: TaskView,
  from: TaskState | undefined,
  state: TaskState,
  at: number,
  error: TaskError | undefined,
  place: Place | undefined,
) => void;

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

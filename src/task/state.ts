// The states of a task, which are Parsl's, and the table of what may follow what. The kernel alone moves tasks.

/**
 * Every state, with Parsl's number. A cancelled task is `failed` with an error of code `CANCELLED`.
 * `running` and `running_ended` are reported by workers and seen by monitoring.
 */
export const taskStates = {
  pending: 0,
  running: 2,
  exec_done: 3,
  failed: 4,
  dep_fail: 5,
  launched: 7,
  fail_retryable: 8,
  memo_done: 9,
  joining: 10,
  running_ended: 11,
} as const;

/** Where a task is in its life. Final are `exec_done`, `memo_done`, `failed` and `dep_fail`. */
export type TaskState = keyof typeof taskStates;

/**
 * What may follow what. A final state is followed by nothing. `exec_done` without `launched` is an answer that an elaborator
 * of the user's gave in place of the executor.
 */
export const mayFollow = {
  pending: ['launched', 'exec_done', 'memo_done', 'failed', 'dep_fail', 'fail_retryable'],
  launched: ['running', 'running_ended', 'exec_done', 'joining', 'fail_retryable', 'failed', 'dep_fail'],
  running: ['running_ended', 'exec_done', 'joining', 'fail_retryable', 'failed', 'dep_fail'],
  running_ended: ['exec_done', 'joining', 'fail_retryable', 'failed', 'dep_fail'],
  joining: ['exec_done', 'fail_retryable', 'failed', 'dep_fail'],
  fail_retryable: ['pending', 'exec_done', 'failed'],
  exec_done: [],
  memo_done: [],
  failed: [],
  dep_fail: [],
} as const satisfies Record<TaskState, readonly TaskState[]>;

/** The states that may follow `State`. */
export type NextState<State extends TaskState> = (typeof mayFollow)[State][number];

/** The states that nothing follows. */
export type FinalState = { [State in TaskState]: NextState<State> extends never ? State : never }[TaskState];

/** Whether nothing follows `state`. */
export function isFinal(state: TaskState): state is FinalState {
  return mayFollow[state].length === 0;
}

/** How many tasks are in each state. */
export type StateCounts = Record<TaskState, number>;

/** All zero. */
export function noCounts(): StateCounts {
  return {
    pending: 0,
    running: 0,
    exec_done: 0,
    failed: 0,
    dep_fail: 0,
    launched: 0,
    fail_retryable: 0,
    memo_done: 0,
    joining: 0,
    running_ended: 0,
  };
}

// What the page calls Parsl's states, and their colours, which app.css has for light and dark. Used by every page.
import type { Counts, RunStatus, State } from '../src/dashboard/api.ts';

interface Look {
  readonly label: string;
  readonly meaning: string;
}

export const looks: Readonly<Record<State, Look>> = {
  pending: { label: 'Waiting', meaning: 'for dependencies, or to be launched' },
  launched: { label: 'Queued', meaning: 'handed to an executor, not started yet' },
  running: { label: 'Running', meaning: 'on a worker' },
  running_ended: { label: 'Ending', meaning: 'the worker is through, the result is on its way' },
  joining: { label: 'Joining', meaning: 'waits for the tasks that its body made' },
  fail_retryable: { label: 'Will retry', meaning: 'a try failed, another follows' },
  exec_done: { label: 'Done', meaning: 'ran and succeeded' },
  memo_done: { label: 'Remembered', meaning: 'the result was known from before' },
  failed: { label: 'Failed', meaning: 'and no try is left' },
  dep_fail: { label: 'Dependency failed', meaning: 'never ran: a task that it needs failed' },
};

/** From what is over to what is to come: the order of bars. */
export const barOrder: readonly State[] = [
  'exec_done',
  'memo_done',
  'failed',
  'dep_fail',
  'running_ended',
  'running',
  'joining',
  'fail_retryable',
  'launched',
  'pending',
];

export const runLooks: Readonly<Record<RunStatus, { label: string; tone: string }>> = {
  running: { label: 'Running', tone: 'running' },
  succeeded: { label: 'Succeeded', tone: 'exec_done' },
  failed: { label: 'Has failures', tone: 'failed' },
  silent: { label: 'No sign of life', tone: 'fail_retryable' },
};

export function total(counts: Counts): number {
  let sum = 0;
  for (const count of Object.values(counts)) sum += count;
  return sum;
}

export function sum(counts: Counts, ...states: State[]): number {
  return states.reduce((all, state) => all + (counts[state] ?? 0), 0);
}

/** The colour of a state as CSS has it now: for canvases. */
export function colourOf(state: string): string {
  return css(`--state-${state}`);
}

export function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// The log of a run: what is told to it, and each change of a task's state where that is wanted.
import { LogFile } from '../base/log-file.ts';
import type { TaskEvent } from '../task/channels.ts';
import type { ExecutorHost } from '../task/ports.ts';

const levels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof levels)[number];

export interface RunLog {
  readonly file: LogFile | undefined;
  readonly write: ExecutorHost['log'];
}

/** @param level what is less is left out; `false`: no file at all */
export function openRunLog(path: string, level: LogLevel | false): RunLog {
  if (level === false) return { file: undefined, write: () => {} };
  const file = new LogFile(path);
  const least = levels.indexOf(level);
  return {
    file,
    write: (of, message) => {
      if (levels.indexOf(of) >= least) file.write(`${new Date().toISOString()} ${of} ${message}\n`);
    },
  };
}

/** One line for a change of state. */
export function stateLine(event: TaskEvent): string {
  const { id, app, from, state, executor, tryNumber, error } = event;
  const on = executor === undefined ? '' : ` on ${executor}`;
  const why = error === undefined ? '' : `: ${error.shortMessage}`;
  if (from === undefined) {
    const waits = event.dependencies?.length ? `waits for ${event.dependencies.join(', ')}` : 'waits for nothing';
    return `task ${id} submitted for app ${app}, ${waits}`;
  }
  return `task ${id} (${app}) changing state from ${from} to ${state}, try ${tryNumber}${on}${why}`;
}

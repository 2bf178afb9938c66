// files: decides where the output of a command goes, and which files it has to make. Local files need no staging.
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { AppDefinitionError } from '../../task/errors.ts';
import { fileUrl } from '../../task/file.ts';
import type { CommandFiles, StreamTarget } from '../../task/ports.ts';
import { AUTO_LOGNAME, type StreamOption } from '../app-record.ts';
import type { Elaborator } from '../path.ts';
import type { Task } from '../task.ts';

/** What a function that names output files is told. */
export interface AutoLogname {
  readonly taskId: number;
  readonly app: string;
  readonly label: string | undefined;
  readonly stream: 'stdout' | 'stderr';
}

/** Gives the path for a stream that asks for an automatic name. */
export type NameLog = (task: AutoLogname) => string;

/** `task_logs/0000/task_0041_simulate.stdout`: at most 10,000 tasks a directory. */
export function logNamesIn(runDirectory: string): NameLog {
  return ({ taskId, app, label, stream }) => {
    const group = String(Math.floor(taskId / 10_000)).padStart(4, '0');
    const name = [String(taskId).padStart(4, '0'), app, label].filter((part) => part !== undefined).join('_');
    return join(runDirectory, 'task_logs', group, `task_${name.replaceAll(/[^\w.-]/g, '-')}.${stream}`);
  };
}

export function files(nameLog: NameLog): () => Elaborator {
  const target = (
    task: Task,
    stream: 'stdout' | 'stderr',
    option: StreamOption | undefined,
  ): StreamTarget | undefined => {
    if (option === 'inherit') return undefined;
    if (option === undefined || option === AUTO_LOGNAME) {
      const { id: taskId, app, record } = task;
      const path: unknown = nameLog({ taskId, app, label: record.label, stream });
      if (typeof path !== 'string' || path === '') {
        throw new AppDefinitionError(
          `nameLog must give a path for the ${stream} of task ${taskId} (${app}), not ${inspect(path)}. Check nameLog in the configuration.`,
        );
      }
      return { path: resolve(path), mode: 'append' };
    }
    const { path, mode = 'append' } =
      typeof option === 'object' && 'path' in option ? option : { path: option as string | URL };
    return { path: fileURLToPath(fileUrl(path)), mode };
  };

  return () => ({
    name: 'files',
    concerns: (app) => app.body.kind === 'bash',
    // In the call, so that what nameLog throws is thrown there, and a relative path is taken from where that was.
    accept(task) {
      const { stdout, stderr } = task.record;
      const chosen: CommandFiles = {
        stdout: target(task, 'stdout', stdout),
        stderr: target(task, 'stderr', stderr),
        outputs: task.notes?.outputs ?? [],
      };
      task.note().files = chosen;
    },
  });
}

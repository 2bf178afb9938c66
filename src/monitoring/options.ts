// The option `monitoring` of load(): its type and its check.
import { type Duration, parseDuration } from '../base/time.ts';

/** What is kept of a run, and where. */
export interface MonitoringOptions {
  /**
   * A path of a SQLite file, or `postgres://user@host/name`; several runs may share one. `sqlite:///path` is understood, too.
   * @default 'monitoring.db' in `runDir`
   */
  readonly database?: string;
  /** How often it is measured what tasks use: CPU, memory, files, children. `false`: never. @default false */
  readonly resources?: Duration | false;
  /** Keep arguments and results in short, up to 200 characters. @default true */
  readonly values?: boolean;
  /** What the run is called. @default the name of the program's file */
  readonly name?: string;
  /** @default when the run began */
  readonly version?: string;
  /** Bytes of events that may wait on disk; then the run is slowed down. @default 1 GiB */
  readonly queueBytes?: number;
}

const known = ['database', 'resources', 'values', 'name', 'version', 'queueBytes'];

/** Calls `problem` with a path and what is wrong there, for each thing that is. */
export function checkMonitoring(given: unknown, problem: (path: string, text: string) => void): void {
  if (given === undefined || typeof given === 'boolean') return;
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    problem('monitoring', `expected true, false or { ${known.join(', ')} }, not ${JSON.stringify(given)}`);
    return;
  }
  const { database, resources, values, name, version, queueBytes } = given as Record<string, unknown>;
  for (const key of Object.keys(given))
    if (!known.includes(key)) problem(`monitoring.${key}`, `unknown; known are ${known.join(', ')}`);
  for (const [key, value] of Object.entries({ database, name, version })) {
    if (value !== undefined && (typeof value !== 'string' || value === ''))
      problem(`monitoring.${key}`, `expected a text, not ${JSON.stringify(value)}`);
  }
  if (
    typeof database === 'string' &&
    /^\w+(?:\+\w+)?:\/\//.test(database) &&
    !/^(?:sqlite|file|postgres)/.test(database)
  )
    problem(
      'monitoring.database',
      `expected a path, or a URL that begins with postgres://, not ${database.replace(/:\/\/.*/, '://…')}`,
    );
  if (resources !== undefined && resources !== false && (parseDuration(resources) ?? 0) < 100)
    problem(
      'monitoring.resources',
      `expected a duration of at least 100 ms such as '10s', or false, not ${JSON.stringify(resources)}`,
    );
  if (values !== undefined && typeof values !== 'boolean')
    problem('monitoring.values', `expected true or false, not ${JSON.stringify(values)}`);
  if (queueBytes !== undefined && !(typeof queueBytes === 'number' && queueBytes >= 2 ** 20))
    problem(
      'monitoring.queueBytes',
      `expected a number of bytes, at least ${2 ** 20}, not ${JSON.stringify(queueBytes)}`,
    );
}

// The configuration of a run: its type, its defaults, and the check that finds everything wrong with it at once.
import { checkRetry, Problems, show } from '../app/check.ts';
import type { Duration } from '../base/time.ts';
import type { RetryPolicy } from '../kernel/app-record.ts';
import type { NameLog } from '../kernel/elaborators/files.ts';
import type { Wrapper } from '../kernel/elaborators/wrap.ts';
import type { ElaboratorMaker } from '../kernel/path.ts';
import { checkMonitoring, type MonitoringOptions } from '../monitoring/options.ts';
import type { Executor } from '../task/ports.ts';

/** When results are written to the run's checkpoint. */
export type CheckpointWhen = 'task_exit' | 'periodic' | 'exit' | 'manual';

/** Remembered results on disk. */
export interface CheckpointConfig {
  /**
   * `task_exit`: before the task's future settles. `periodic`: every `period`. `exit`: when the run closes.
   * `manual`: when `run.checkpoint()` is called.
   * @default 'task_exit'
   */
  readonly when?: CheckpointWhen;
  /** For `periodic`. @default '30s' */
  readonly period?: Duration;
  /** Which earlier runs are answered from: all of the run directory, the last, none, or run directories by path. @default 'all' */
  readonly load?: 'all' | 'last' | 'none' | readonly string[];
}

/** An elaborator of the user's own, and the name of the one that it stands before. */
export interface ExtraElaborator {
  readonly before: ElaboratorName;
  readonly make: ElaboratorMaker;
}

/** The path of a task, outermost first. */
export const elaboratorNames = [
  'observe',
  'cancel',
  'deadline',
  'files',
  'dependencies',
  'memo',
  'join',
  'retry',
  'timeout',
  'wrap',
  'route',
] as const;
export type ElaboratorName = (typeof elaboratorNames)[number];

/** How a run is set up. Everything has a default. */
export interface Config<Executors extends readonly Executor[] = readonly Executor[]> {
  /** Where tasks run. Labels must differ. @default [threads()] */
  readonly executors?: Executors;
  /** Directory of run directories, `000`, `001`, … @default 'runinfo' */
  readonly runDir?: string;
  /** Retries of apps that have no policy of their own. @default 0 */
  readonly retry?: number | RetryPolicy;
  /** `false` turns memoization off for every app. @default true */
  readonly memo?: boolean;
  /** Keep the results of memoized apps on disk. @default none */
  readonly checkpoint?: CheckpointConfig;
  /** Look for futures at any depth of the arguments, or only among the arguments and their elements. @default 'deep' */
  readonly dependencies?: 'deep' | 'shallow';
  /** Fail a task as soon as one of its dependencies failed, or when all are settled, so that its error names every one. @default false */
  readonly failFast?: boolean;
  /** At the end of the scope: wait for tasks that are not done, or cancel them. @default 'wait' */
  readonly exit?: 'wait' | 'cancel';
  /** Names the files of AUTO_LOGNAME. @default `RUN_DIR/task_logs/0000/task_0041_app.stdout` */
  readonly nameLog?: NameLog;
  /**
   * Functions around the body of every task, where it runs; outermost first. Made by `wrapper(url, name)`, and for Python functions by
   * `pythonWrapper('module:function')`.
   */
  readonly wrap?: readonly Wrapper[];
  /** Elaborators of your own in the path of every task. */
  readonly elaborators?: readonly ExtraElaborator[];
  /** What is written to the run's log: each change of a task's state with 'debug'. `false`: no log. @default 'info' */
  readonly log?: 'debug' | 'info' | 'warn' | 'error' | false;
  /** Ctrl-C cancels the run and cleans up; a second one ends the process at once. @default true */
  readonly signals?: boolean;
  /** Show what bodies print on this terminal, with the name of their task. It goes to the run's task log in any case. @default false */
  readonly echo?: boolean;
  /** Keep in a database what happens: `true` for `monitoring.db` in `runDir`. See docs/monitoring.md. @default false */
  readonly monitoring?: boolean | MonitoringOptions;
}

const known: readonly (keyof Config)[] = [
  'executors',
  'runDir',
  'retry',
  'memo',
  'checkpoint',
  'dependencies',
  'failFast',
  'exit',
  'nameLog',
  'wrap',
  'elaborators',
  'log',
  'signals',
  'echo',
  'monitoring',
];

/**
 * A configuration, checked where it is made: a ConfigError lists everything that is wrong.
 *
 * @example
 * export default defineConfig({ executors: [threads({ max: 4 })], retry: 2 });
 */
export function defineConfig<const Executors extends readonly Executor[]>(
  config: Config<Executors> & { readonly executors: Executors },
): Config<Executors> & { readonly executors: Executors };
export function defineConfig(config: Config & { readonly executors?: never }): Config;
export function defineConfig(config: Config): Config {
  checkConfig(config);
  return config;
}

/** Throws a ConfigError with every problem. */
export function checkConfig(config: unknown): asserts config is Config {
  const problems = new Problems();
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    problems.add('config', `expected an object, not ${Array.isArray(config) ? 'a list' : show(config)}`);
    problems.throwIfAny('The configuration');
    return;
  }
  const given = config as { readonly [Key in keyof Config]: unknown };
  problems.unknownKeys(given, known, '');
  checkExecutors(given.executors, problems);
  if (given.runDir !== undefined && (typeof given.runDir !== 'string' || given.runDir === '')) {
    problems.add('runDir', `expected a path, not ${show(given.runDir)}`);
  }
  checkRetry(given.retry, 'retry', problems);
  problems.oneOf(given.dependencies, 'dependencies', ['deep', 'shallow']);
  problems.oneOf(given.exit, 'exit', ['wait', 'cancel']);
  problems.oneOf(given.log, 'log', ['debug', 'info', 'warn', 'error', false]);
  for (const key of ['memo', 'failFast', 'signals', 'echo'] as const) problems.oneOf(given[key], key, [true, false]);
  if (given.nameLog !== undefined && typeof given.nameLog !== 'function')
    problems.add('nameLog', `expected a function, not ${show(given.nameLog)}`);
  checkCheckpoint(given.checkpoint, problems);
  checkMonitoring(given.monitoring, (path, text) => problems.add(path, text));
  checkList(given.wrap, 'wrap', problems, (one, path) => {
    const by = (one as { by?: unknown } | null)?.by;
    if (by !== 'reference' && by !== 'python')
      problems.add(
        path,
        "expected wrapper(new URL('./module.ts', import.meta.url), 'name') or pythonWrapper('module:function')",
      );
  });
  checkList(given.elaborators, 'elaborators', problems, (one, path) => {
    const { before, make } = (one ?? {}) as Partial<ExtraElaborator>;
    if (before === undefined) problems.add(`${path}.before`, `missing; expected one of ${elaboratorNames.join(', ')}`);
    else problems.oneOf(before, `${path}.before`, elaboratorNames);
    if (typeof make !== 'function') problems.add(`${path}.make`, 'expected a function (kernel) => elaborator');
  });
  problems.throwIfAny('The configuration');
}

function checkList(
  value: unknown,
  path: string,
  problems: Problems,
  check: (one: unknown, path: string) => void,
): void {
  if (value === undefined) return;
  if (!Array.isArray(value)) problems.add(path, `expected a list, not ${show(value)}`);
  else for (const [index, one] of value.entries()) check(one, `${path}[${index}]`);
}

function checkExecutors(value: unknown, problems: Problems): void {
  if (value === undefined) return;
  if (!Array.isArray(value)) {
    problems.add('executors', `expected a list such as [threads()], not ${show(value)}`);
    return;
  }
  if (value.length === 0) problems.add('executors', 'an empty list can run nothing; leave it out for [threads()]');
  const labels = new Map<string, number>();
  value.forEach((one: Partial<Executor> | null, index) => {
    const path = `executors[${index}]`;
    if (typeof one !== 'object' || one === null || typeof one.submit !== 'function' || typeof one.label !== 'string') {
      problems.add(path, `expected an executor, such as threads() or inline(), not ${show(one)}`);
      return;
    }
    const first = labels.get(one.label);
    if (first !== undefined)
      problems.add(
        `${path}.label`,
        `'${one.label}' is the label of executors[${first}] already; give one of them another`,
      );
    else if (one.label === '' || one.label === '_parsl_internal' || /[^\w.-]/.test(one.label)) {
      problems.add(
        `${path}.label`,
        `${show(one.label)} cannot be a label: letters, digits, '.', '_' and '-' can, and '_parsl_internal' is taken`,
      );
    }
    labels.set(one.label, first ?? index);
  });
}

function checkCheckpoint(value: unknown, problems: Problems): void {
  if (value === undefined) return;
  if (typeof value !== 'object' || value === null) {
    problems.add('checkpoint', `expected { when, period, load }, not ${show(value)}`);
    return;
  }
  const { when, period, load } = value as Record<keyof CheckpointConfig, unknown>;
  problems.unknownKeys(value, ['when', 'period', 'load'], 'checkpoint');
  problems.oneOf(when, 'checkpoint.when', ['task_exit', 'periodic', 'exit', 'manual']);
  problems.duration(period, 'checkpoint.period');
  if (period !== undefined && when !== 'periodic')
    problems.add('checkpoint.period', "only makes sense with when: 'periodic'");
  if (Array.isArray(load)) {
    load.forEach((one, index) => {
      if (typeof one !== 'string') problems.add(`checkpoint.load[${index}]`, `expected a path, not ${show(one)}`);
    });
  } else problems.oneOf(load, 'checkpoint.load', ['all', 'last', 'none']);
}

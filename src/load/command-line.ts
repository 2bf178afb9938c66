// Where load() and the command line meet: `chervil run --config FILE` gives a configuration to programs that have none, and
// wants to know of every run that is loaded. They meet under a registered symbol, as the program may use another copy of
// this package than the one whose `chervil` was started.
import type { Config } from './config.ts';
import type { Run } from './run.ts';

/** What the command line wants of load(). */
export interface CommandLine {
  /** What is used where the program's own configuration says nothing: all of it, when load() is called without any. */
  readonly base?: Config | (() => Config | Promise<Config>);
  /** What is used whatever the program says. */
  readonly over?: Config;
  /** Called with each run once it is loaded. */
  onLoaded?(run: Run): void;
}

const place = Symbol.for('chervil.run.config');

/** Set by `chervil run` before it imports the program. */
export function setCommandLine(given: CommandLine | undefined): void {
  (globalThis as unknown as Record<symbol, CommandLine | undefined>)[place] = given;
}

/** What the command line wants, if there is one. */
export function commandLine(): CommandLine | undefined {
  return (globalThis as unknown as Record<symbol, CommandLine | undefined>)[place];
}

/** The program's configuration with that of the command line below it and above it. */
export async function mergedWithCommandLine(own: Config): Promise<Config> {
  const given = commandLine();
  if (given === undefined) return own;
  const base = typeof given.base === 'function' ? await given.base() : given.base;
  return { ...base, ...own, ...given.over };
}

// Run directories: runinfo/000, 001, … Each run makes its own when it is loaded; checkpoints are looked for in them.
import { mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { makeDirectory } from '../base/directory.ts';
import { ConfigError } from '../task/errors.ts';

/** The directory of one run. */
export interface RunDirectory {
  /** Absolute. */
  readonly path: string;
  readonly number: number;
}

/**
 * Makes the directory of a new run: one above the highest number in `base`, at least three digits. Of runs that start at
 * once each gets its own. Throws ConfigError if it cannot be made.
 *
 * @example
 * createRunDirectory(); // { path: '/home/ada/project/runinfo/000', number: 0 }
 */
export function createRunDirectory(base = 'runinfo'): RunDirectory {
  const parent = resolve(base);
  try {
    makeDirectory(parent);
    for (let number = (numbered(parent).at(-1)?.number ?? -1) + 1; ; number++) {
      const path = join(parent, String(number).padStart(3, '0'));
      if (make(path)) return { path, number };
    }
  } catch (error) {
    const problem = `no run directory can be made in ${parent}: ${error instanceof Error ? error.message : String(error)}`;
    const failure = new ConfigError('The configuration', [{ path: 'runDir', problem }]);
    failure.cause = error;
    throw failure;
  }
}

/** The run directories in `base`, oldest first: 999 before 1000. None if there is no such directory. */
export function runDirectories(base = 'runinfo'): RunDirectory[] {
  try {
    return numbered(resolve(base));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Everything in `parent` whose name is a number; what is not a run, such as a database, is left out. */
function numbered(parent: string): RunDirectory[] {
  return readdirSync(parent)
    .filter((name) => /^\d{1,15}$/.test(name))
    .map((name) => ({ path: join(parent, name), number: Number(name) }))
    .sort((left, right) => left.number - right.number || (left.path < right.path ? -1 : 1));
}

/** False if somebody else was faster. */
function make(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

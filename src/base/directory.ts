// Making a directory whose path a user gave. Used where logs, databases and runs are kept.
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a directory, and those above it that are missing; one that is there is left as it is. Throws if it cannot be made.
 *
 * Not `mkdirSync(path, { recursive: true })`: where a file system has no place for it and says ENOENT, although the
 * directory above is there, that tries again for ever, and no signal ends it. `/proc` is such a file system.
 */
export function makeDirectory(path: string): void {
  try {
    makeOne(path);
  } catch (error) {
    const above = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || above === path) throw error;
    makeDirectory(above);
    makeOne(path);
  }
}

function makeOne(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    // Whatever the reason: a read-only file system gives another one for what is there already.
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
  }
}

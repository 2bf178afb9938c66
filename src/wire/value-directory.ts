// The directory of a run's large values (value-files.ts): made by the submit side, and removed by it. Whoever else ends finds out whether
// the owner is gone, and then removes it; so does the next run.
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const prefix = 'chervil-values-';

/** Makes a directory for the values of this process, and removes those of processes that are gone. */
export function makeValueDirectory(label: string): string {
  const root = statSync('/dev/shm', { throwIfNoEntry: false })?.isDirectory() === true ? '/dev/shm' : tmpdir();
  for (const name of readdirSync(root)) if (name.startsWith(prefix)) removeIfOrphaned(join(root, name));
  const random = Math.floor(Math.random() * 2 ** 40).toString(36);
  const owner = `${process.pid}-${startOf(process.pid)}-${pidNamespace()}`;
  const directory = join(root, `${prefix}${owner}-${label.replace(/\W/g, '_')}-${random}`);
  mkdirSync(directory, { mode: 0o700 });
  return directory;
}

/**
 * Whether the values there can be read and written here: the directory's name is made up for one run, so no other has it. A process of
 * another user sees that it is there, and no more.
 */
export function seesValues(directory: string | undefined): directory is string {
  if (directory === undefined) return false;
  try {
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    return true;
  } catch {
    // On another machine, or another user's.
    return false;
  }
}

/** Removes a directory of values whose process is gone. Any part of a run may call it when it ends. */
export function removeIfOrphaned(directory: string): void {
  const found = /^chervil-values-(\d+)-(\d+)-(\d+)-/.exec(basename(directory));
  // Containers may share the memory, and number their processes each for itself: of the others' nothing is known here.
  if (found === null || found[3] !== pidNamespace() || startOf(Number(found[1])) === found[2]) return;
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {
    // Somebody else's, or removed by another at the same time.
  }
}

/** In whose numbers processes are told apart here; 0 where that is not known. */
function pidNamespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    // No Linux.
    return '0';
  }
}

/** When a process started, as the system counts; 0 where that is not known, and empty when there is none. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A process that has ended is still listed until its parent has heard of it.
    return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? '');
  } catch {
    // No such process, or no /proc.
  }
  try {
    process.kill(pid, 0);
    return '0';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? '0' : '';
  }
}

// The directory of a run's large values (value-files.ts): made by the submit side, and removed by it. Whoever else ends finds out whether
// the owner is gone, and then removes it; so does whatever starts on this machine afterwards, a run or a pool.
//
//   chervil-values-PID-START-NAMESPACE-LABEL-RANDOM/lock     a named pipe that the owner has open to read: who opens it to write finds out
//                                                             whether somebody reads, from any container that shares the memory
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

const prefix = 'chervil-values-';
const memoryRoot = '/dev/shm';
const lockName = 'lock';
/** What belongs to another container, and nobody has open, is removed when nothing has changed in it for so long. */
const abandonedMs = 3 * 86_400_000;

/** The directory of this process. */
export interface ValueDirectory {
  readonly path: string;
  remove(): void;
}

/** Makes a directory for the values of this process, and removes those of processes that are gone. */
export function makeValueDirectory(label: string): ValueDirectory {
  removeOrphans();
  const random = Math.floor(Math.random() * 2 ** 40).toString(36);
  const owner = `${process.pid}-${startOf(process.pid)}-${pidNamespace()}`;
  const path = join(rootOf(), `${prefix}${owner}-${label.replace(/\W/g, '_')}-${random}`);
  mkdirSync(path, { mode: 0o700 });
  const lock = holdLock(path);
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true });
      if (lock !== undefined) closeSync(lock);
    },
  };
}

/** Removes the directories of processes that are gone, of this user and on this machine. Never throws. */
export function removeOrphans(): void {
  let root: string;
  let names: string[];
  try {
    root = rootOf();
    names = readdirSync(root);
  } catch {
    // Whoever wants to make something there will say so.
    return;
  }
  for (const name of names) if (name.startsWith(prefix)) removeIfOrphaned(join(root, name));
}

function rootOf(): string {
  return statSync(memoryRoot, { throwIfNoEntry: false })?.isDirectory() === true ? memoryRoot : tmpdir();
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
  if (found === null) return;
  const [, pid, start, namespace] = found as unknown as [string, string, string, string];
  try {
    const stats = lstatSync(directory);
    // Others see to theirs, also when this is the superuser.
    if (!stats.isDirectory() || stats.uid !== process.getuid?.()) return;
    const isGone = namespace === pidNamespace() ? isGoneHere(Number(pid), start) : isAbandoned(directory, stats);
    if (isGone) rmSync(directory, { recursive: true, force: true });
  } catch {
    // Removed by another at the same time.
  }
}

function isGoneHere(pid: number, start: string): boolean {
  const now = startOf(pid);
  // '0': there is such a process, and no telling since when.
  return now !== start && now !== '0';
}

/**
 * Whether the process of another container is gone. Containers that share the memory number their processes each for itself, but a pipe
 * is the same from everywhere, as long as it is in memory: a file system of several machines knows only the readers of its own.
 */
function isAbandoned(directory: string, { mtimeMs }: Stats): boolean {
  return dirname(directory) === memoryRoot && Date.now() - mtimeMs > abandonedMs && isUnlocked(directory);
}

/** @returns what is to be closed; `undefined` where there is no such thing, and then no other container removes the directory */
function holdLock(directory: string): number | undefined {
  if (dirname(directory) !== memoryRoot) return undefined;
  const path = join(directory, lockName);
  const made = spawnSync('mkfifo', ['-m', '600', path], { stdio: 'ignore', timeout: 5_000 });
  if (made.status !== 0) return undefined;
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    // Out of descriptors: what comes next will say so. Without a pipe that can be opened nobody takes this for abandoned.
    rmSync(path, { force: true });
    return undefined;
  }
}

function isUnlocked(directory: string): boolean {
  try {
    closeSync(openSync(join(directory, lockName), constants.O_WRONLY | constants.O_NONBLOCK));
    return false;
  } catch (error) {
    // ENXIO: nobody reads. Anything else says nothing.
    return (error as NodeJS.ErrnoException).code === 'ENXIO';
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

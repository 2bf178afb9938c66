// A watcher for what a run has started: a small bash process beside ours that waits on a pipe. When we are gone, for whatever reason,
// the pipe ends, and it kills every process group that it was told of and every process that carries the run's mark.
//
//   this process ──(pipe: "+ GROUP", "- GROUP")──> reaper (own session, ignores TERM, INT, HUP)
//      └─ commands (own groups, marked; they do not have the pipe)
//
// The main thread of a process that runs commands starts one and shares its descriptor with its worker threads.
import { type ChildProcess, spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { assert } from './assert.ts';
import { signalGroup } from './processes.ts';

/** A running reaper. */
export interface Reaper {
  /** Where {@link registerGroup} writes. Every thread of this process can use it, until `close`. */
  readonly fd: number;
  /** Process id of the reaper itself. */
  readonly pid: number;
  /** Settles when the reaper has ended, by `close` or because somebody killed it: then groups are no longer watched. */
  readonly ended: Promise<void>;
  /**
   * Kills at once what is left of the run on this machine, and ends the reaper. Commands must have been ended before, politely, and
   * threads that use `fd` be gone. Can be called again.
   */
  close(): Promise<void>;
}

/**
 * Starts a reaper for everything with `CHERVIL_RUN=<mark>` in its environment. Two reapers with different marks know nothing of one
 * another. It does not keep this process alive, and this process itself is never killed by it. Call it in the main thread: the pipe
 * belongs to the thread that made it.
 *
 * @param variable another variable than CHERVIL_RUN, for a process that must not end others of the same run
 * @throws Error when it cannot be started
 *
 * @example
 * const reaper = startReaper(mark);
 * registerGroup(reaper.fd, child.pid);
 * await reaper.close();
 */
export function startReaper(mark: string, variable = 'CHERVIL_RUN'): Reaper {
  assert(/^[\w.:-]+$/.test(mark) && /^\w+$/.test(variable), `not a mark for a reaper: ${variable}=${mark}`);
  let failure: Error | undefined;
  const child = spawn('/bin/bash', ['--norc', '-c', script, 'chervil-reaper', `${variable}=${mark}`], {
    detached: true,
    cwd: '/',
    // Without the mark, so that it never finds itself, nor is found by the reaper of a run that this one is part of.
    env: { PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' },
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.on('error', (error) => {
    failure = error;
  });
  const { pid } = child;
  if (pid === undefined) {
    const why = failure?.message ?? 'no process could be started with /bin/bash';
    throw new Error(
      `Cannot start the watcher for commands: ${why}. It needs /bin/bash, a free process and free descriptors.`,
    );
  }
  const pipe = keepPipe(child);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.unref();
  return {
    fd: descriptorOf(pipe),
    pid,
    ended,
    async close() {
      // The end of the pipe is the sign to reap; the process is waited for.
      child.ref();
      pipe.destroy();
      await ended;
    },
  };
}

/** Tells the reaper of a process group that was started. One short write, which does not wait. */
export function registerGroup(fd: number, group: number): void {
  assert(group > 1, `not a process group: ${group}`);
  send(fd, `+ ${group}\n`);
}

/**
 * Tells the reaper that the first process of a group has ended. If others of the group go on, in the background, it stays registered;
 * it is taken back as soon as a later call finds it gone, so that its number can be used again by others.
 */
export function releaseGroup(fd: number, group: number): void {
  let gone = '';
  const look = (left: number): void => {
    leftovers.delete(left);
    if (signalGroup(left, 0)) leftovers.add(left);
    else gone += `- ${left}\n`;
  };
  look(group);
  // A few, so that the call stays short; those that were looked at go to the end.
  if (leftovers.size > 0) for (const left of [...leftovers].slice(0, 8)) if (left !== group) look(left);
  if (gone) send(fd, gone);
}

/** Groups of this thread that went on after their first process had ended. Mostly empty. */
const leftovers = new Set<number>();

function send(fd: number, line: string): void {
  for (let tries = 0; tries < 100; tries++) {
    try {
      writeSync(fd, line);
      return;
    } catch (error) {
      // The pipe is full when the machine is very busy: wait a little. If the reaper is gone (EPIPE), `ended` tells its owner.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(pause, 0, 0, 1);
    }
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * Takes the pipe from the child. Node closes a child's stdin when the child ends; another file could then get its number, while
 * threads still write there.
 */
function keepPipe(child: ChildProcess): Socket {
  const pipe = child.stdin as Socket; // 'pipe' makes a Socket of it
  child.stdin = null;
  pipe.on('error', () => {
    // Only `destroy` is ever called on it.
  });
  pipe.unref();
  return pipe;
}

/** Node has no public name for the descriptor of a pipe; its own handle has it, on every system but Windows. It is close-on-exec. */
function descriptorOf(pipe: Socket): number {
  const fd = (pipe as Socket & { _handle?: { fd?: unknown } })._handle?.fd;
  assert(typeof fd === 'number' && fd >= 0, 'the pipe to the reaper has no descriptor');
  return fd;
}

// bash 3.2 can run it. `$PPID` is the process that started it, as it was then. A mark is looked for until two looks in a row found
// nothing: between fork and exec a process has the environment of its parent, and is not found.
const script = `
trap '' TERM INT HUP QUIT PIPE
owner=$PPID
while read -r sign group; do
  case $group in '' | *[!0-9]* | 0* | 1) continue ;; esac
  case $sign in
    +) groups_[group]=1 ;;
    -) unset "groups_[$group]" ;;
  esac
done
flags=-lszxF
printf 'a\\0' | grep -qzxF a 2>/dev/null || flags=-lsF
marked() {
  local entry
  cd /proc 2>/dev/null || return
  for entry in $(grep $flags -e "$1" -- [0-9]*/environ 2>/dev/null); do
    entry=\${entry%/environ}
    [ "$entry" = "$owner" ] || [ "$entry" = $$ ] || echo "$entry"
  done
}
quiet=0
for ((round = 0; round < 250 && quiet < 2; round++)); do
  for group in "\${!groups_[@]}"; do
    kill -KILL -- "-$group" 2>/dev/null || unset "groups_[$group]"
  done
  found=$(marked "$1")
  if [ -n "$found" ]; then
    quiet=0
    kill -KILL $found 2>/dev/null
  else
    quiet=$((quiet + 1))
  fi
  [ $quiet -lt 2 ] && sleep 0.02
done
exit 0
`;

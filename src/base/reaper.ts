// A watcher for what a run has started: a small bash process beside ours that waits for the end of a pipe. When we are gone, for
// whatever reason, it kills every process group that is registered and every process that carries the run's mark.
//
//   this process ──(pipe, nothing is ever sent)──> reaper (own session, ignores TERM, INT, HUP)
//      │  └──(table: one byte for each group)──────────┘ reads it when the pipe has ended
//      └─ commands (own groups, marked; they have neither pipe nor table)
//
// The main thread of a process that runs commands starts one and shares the table's descriptor with its worker threads. The table is
// a file without a name rather than lines in the pipe: to wake another process for each command costs more than all the rest.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from './assert.ts';
import { signalGroup } from './processes.ts';

/** A running reaper. */
export interface Reaper {
  /** The table: for {@link registerGroup} and {@link releaseGroup}, in every thread of this process, until `close`. */
  readonly fd: number;
  /** Process id of the reaper itself. */
  readonly pid: number;
  /** Settles when the reaper has ended, by `close` or because somebody killed it: then nothing is watched any more. */
  readonly ended: Promise<void>;
  /**
   * Kills at once what is left of the run on this machine, and ends the reaper. Commands must have been ended before, politely, and
   * threads that use `fd` be gone. Can be called again.
   */
  close(): Promise<void>;
}

/**
 * Starts a reaper for everything with `CHERVIL_RUN=<mark>` in its environment. Two reapers with different marks know nothing of one
 * another. It does not keep this process alive, and this process itself is never killed by it. Call it in the main thread: a pipe
 * ends with the thread that made it.
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
  const table = openTable();
  const child = spawn('/bin/bash', ['--norc', '-c', script, 'chervil-reaper', `${variable}=${mark}`], {
    detached: true,
    cwd: '/',
    // Without the mark, so that it never finds itself, nor is found by the reaper of a run that this one is part of.
    env: { PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' },
    stdio: ['pipe', 'ignore', 'ignore', table.readFd],
  });
  closeSync(table.readFd);
  const { pid, stdin } = child;
  child.on('error', () => {
    // Told below: without a pid it was not started.
  });
  if (pid === undefined || stdin === null) {
    closeSync(table.fd);
    throw new Error(
      'Cannot start the watcher for commands. It needs /bin/bash, one more process and a few descriptors.',
    );
  }
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.unref();
  // 'pipe' makes a Socket of it, which keeps a process alive unless it is told not to.
  (stdin as Socket).unref();
  let closing: Promise<void> | undefined;
  return {
    fd: table.fd,
    pid,
    ended,
    close() {
      closing ??= (async () => {
        // The end of the pipe is the sign to reap; the reaper is waited for.
        child.ref();
        stdin.destroy();
        await ended;
        closeSync(table.fd);
      })();
      return closing;
    },
  };
}

/** Tells the reaper of a process group that was started. It costs a write of one byte. */
export function registerGroup(fd: number, group: number): void {
  assert(group > 1, `not a process group: ${group}`);
  set(fd, group, '+');
}

/**
 * Tells the reaper that the first process of a group has ended. If others of the group go on, in the background, it stays registered;
 * it is taken back as soon as a later call finds it gone, so that its number can be used again by others.
 */
export function releaseGroup(fd: number, group: number): void {
  releaseIfGone(fd, group);
  // A few of the others, so that the call stays short.
  if (leftovers.size > 0) for (const left of [...leftovers].slice(0, 8)) releaseIfGone(fd, left);
}

/** Groups of this thread that went on after their first process had ended; who was looked at goes to the end. Mostly empty. */
const leftovers = new Set<number>();

function releaseIfGone(fd: number, group: number): void {
  leftovers.delete(group);
  if (signalGroup(group, 0)) leftovers.add(group);
  else set(fd, group, '\0');
}

function set(fd: number, group: number, sign: '+' | '\0'): void {
  try {
    writeSync(fd, sign, group);
  } catch {
    // A full disk must not end a command that has begun: on Linux its mark finds it, too.
  }
}

/** The byte at the place of a group's number is `+` while it is registered. Only what was written takes space. */
function openTable(): { fd: number; readFd: number } {
  const path = join(tmpdir(), `chervil-${randomUUID()}.groups`);
  const fd = openSync(path, 'wx+', 0o600);
  try {
    return { fd, readFd: openSync(path, 'r') };
  } finally {
    unlinkSync(path);
  }
}

// bash 3.2 can run it. `$PPID` is the process that started it, as it was then. Marked processes are looked for until two looks in a
// row found nothing: between fork and exec a process still has the environment of its parent.
const script = `
trap '' TERM INT HUP QUIT
owner=$PPID
while read -r line; do :; done
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
for group in $(grep -abo + <&3 2>/dev/null); do
  group=\${group%%:*}
  [ "$group" -gt 1 ] && kill -KILL -- "-$group" 2>/dev/null
done
quiet=0
for ((round = 0; round < 250 && quiet < 2; round++)); do
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

// Ending processes that we started: by their group, and by a mark in their environment, which also finds what left its group.
// worker/bash.ts ends commands with it; whoever owns worker threads ends what a terminated thread left running.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { assert } from './assert.ts';

/** Variables of the environment that a process must all have, such as `{ CHERVIL_RUN: 'x7f3', CHERVIL_TASK: '41.0' }`. */
export type Marks = Readonly<Record<string, string>>;

/** What shall end. At least one of the two. */
export interface Processes {
  /** A process group: the pid of its first process. */
  readonly group?: number | undefined;
  /** Processes with these variables, wherever they are. Only Linux can tell; elsewhere it is left to `group`. */
  readonly marks?: Marks | undefined;
}

/** How to end them. */
export interface EndOptions {
  /** Milliseconds between SIGTERM and SIGKILL. 0: SIGKILL at once. @default 500 */
  readonly graceMs?: number;
  /** Milliseconds after SIGKILL in which they must be gone; a process that hangs in a device can take longer. @default 5000 */
  readonly limitMs?: number;
}

/**
 * Ends processes: SIGTERM, a short while, SIGKILL, and again for what appeared meanwhile. True when nothing is left, false when
 * something still was there after `limitMs`. Never rejects. Returns early when all of them go early.
 *
 * @example
 * await endProcesses({ group: child.pid, marks: { CHERVIL_RUN: mark, CHERVIL_TASK: '41.0' } });
 */
export async function endProcesses(processes: Processes, options: EndOptions = {}): Promise<boolean> {
  const { graceMs = 500, limitMs = 5_000 } = options;
  const end = performance.now() + graceMs + limitMs;
  if (graceMs > 0) {
    const marked = await signalAll(processes, 'SIGTERM');
    // SIGTERM waits for a stopped process to go on; who is stopped shall have the chance to end in order, too.
    if (processes.group !== undefined) signalGroup(processes.group, 'SIGCONT');
    await areGoneWithin(graceMs, processes.group, marked);
  }
  // A process can fork while we look: what was forked is found the next time.
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    const marked = await signalAll(processes, 'SIGKILL');
    if (marked.length === 0 && (processes.group === undefined || !isGroupAlive(processes.group))) return true;
    if (performance.now() > end) return false;
    await delay(pauseMs);
  }
}

/** Sends a signal to a process group. False if there is no such group, or none of it is ours. */
export function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  // 0 and 1 would mean our own group and every process there is.
  assert(Number.isSafeInteger(group) && group > 1, `not a process group: ${group}`);
  return signalProcess(-group, signal);
}

/**
 * Pids of the processes of this user whose environment has all the marks, as they were when their program started. Our own is never
 * among them. Empty where there is no /proc.
 */
export async function findMarked(marks: Marks): Promise<number[]> {
  const wanted = Object.entries(marks).map(([name, value]) => `\0${name}=${value}\0`);
  assert(wanted.length > 0, 'processes without a mark are not ours');
  const found: number[] = [];
  for (const [pid, environment] of await environments()) {
    if (wanted.every((mark) => environment.includes(mark))) found.push(pid);
  }
  return found;
}

async function signalAll({ group, marks }: Processes, signal: NodeJS.Signals): Promise<number[]> {
  if (group !== undefined) signalGroup(group, signal);
  const marked = marks === undefined ? [] : await findMarked(marks);
  return marked.filter((pid) => signalProcess(pid, signal));
}

function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    // ESRCH: it is gone, which is what we want. EPERM: it took another user's rights, and nobody but the superuser can end it.
    return false;
  }
}

async function areGoneWithin(limitMs: number, group: number | undefined, pids: readonly number[]): Promise<void> {
  const end = performance.now() + limitMs;
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    const isLeft = (group !== undefined && signalGroup(group, 0)) || pids.some((pid) => signalProcess(pid, 0));
    const leftMs = end - performance.now();
    if (!isLeft || leftMs <= 0) return;
    await delay(Math.min(pauseMs, leftMs));
  }
}

/** Zombies do not count: in a container nobody may ever collect them. */
function isGroupAlive(group: number): boolean {
  if (!signalGroup(group, 0)) return false;
  let isLinux = false;
  for (const entry of processEntries()) {
    isLinux = true;
    // pid (name) state parent group …, and the name can have any character.
    const fields = readProcess(entry, 'stat')
      ?.replace(/^.*\) /s, '')
      .split(' ', 3);
    if (fields && Number(fields[2]) === group && fields[0] !== 'Z' && fields[0] !== 'X') return true;
  }
  return !isLinux;
}

let scan: Promise<Map<number, string>> | undefined;

/** Environments of all processes that we may read, variables between NULs. Who asks in the same turn of the loop shares one look. */
function environments(): Promise<Map<number, string>> {
  scan ??= turn().then(() => {
    scan = undefined;
    return readEnvironments();
  });
  return scan;
}

async function readEnvironments(): Promise<Map<number, string>> {
  const all = new Map<number, string>();
  for (const [index, entry] of processEntries().entries()) {
    // On a node with thousands of processes others get a turn in between.
    if (index % 256 === 255) await turn();
    const pid = Number(entry);
    const environment = pid === process.pid ? undefined : readProcess(entry, 'environ');
    if (environment) all.set(pid, `\0${environment}\0`);
  }
  return all;
}

function processEntries(): string[] {
  if (process.platform !== 'linux') return [];
  try {
    return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  } catch {
    // No /proc here: as on other systems, groups have to do.
    return [];
  }
}

function readProcess(pid: string, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    // Ended meanwhile, or another user's.
    return undefined;
  }
}

// What processes use, with all their children, from /proc: for the samples of monitoring. Nothing elsewhere than on Linux.
import { readdirSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';

/** What a process and its children used since it began. */
export interface ProcessUsage {
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly residentBytes: number;
  readonly virtualBytes: number;
  readonly memoryPercent: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly voluntarySwitches: number;
  readonly involuntarySwitches: number;
  readonly children: number;
  /** In words, as Parsl has it: `running`, `sleeping`, … */
  readonly status: string;
  /** The processor that it ran on last. */
  readonly cpu: string;
}

/** The processes of this machine at one moment. */
export interface ProcessTable {
  /** All that descend from `pid`, without itself. */
  descendants(pid: number): number[];
  /** `undefined`: there is no such process any more. */
  usage(pid: number): ProcessUsage | undefined;
}

/** Clock ticks of a second; every Linux that Node.js runs on has 100 for programs. */
const ticks = 100;
const pageBytes = 4096;

const statuses: Readonly<Record<string, string>> = {
  R: 'running',
  S: 'sleeping',
  D: 'disk-sleep',
  T: 'stopped',
  t: 'tracing-stop',
  Z: 'zombie',
  I: 'idle',
};

/** Looks once at all processes. */
export function processTable(): ProcessTable {
  const stats = new Map<number, readonly string[]>();
  const children = new Map<number, number[]>();
  for (const entry of processEntries()) {
    const stat = fieldsOf(Number(entry));
    if (stat === undefined) continue;
    const pid = Number(entry);
    const parent = Number(stat[1]);
    stats.set(pid, stat);
    const others = children.get(parent);
    if (others === undefined) children.set(parent, [pid]);
    else others.push(pid);
  }
  const descendants = (pid: number): number[] => {
    const found = [...(children.get(pid) ?? [])];
    for (let next = 0; next < found.length; next++) found.push(...(children.get(found[next] as number) ?? []));
    return found;
  };
  return {
    descendants,
    usage: (pid) => {
      const own = stats.get(pid);
      if (own === undefined) return undefined;
      const below = descendants(pid).flatMap((child) => {
        const stat = stats.get(child);
        return stat === undefined ? [] : ([[child, stat]] as const);
      });
      return summed(pid, own, below);
    },
  };
}

/** What one process used, without looking at its children: cheaper. */
export function ownUsage(pid: number): ProcessUsage | undefined {
  const stat = fieldsOf(pid);
  return stat === undefined ? undefined : summed(pid, stat, []);
}

function summed(
  pid: number,
  own: readonly string[],
  below: readonly (readonly [number, readonly string[]])[],
): ProcessUsage {
  // Counted from behind the name: state parent … utime(11) stime(12) cutime(13) cstime(14) … vsize(20) rss(21) … processor(36).
  const total = { user: 0, system: 0, resident: 0, virtual: 0, read: 0, write: 0, voluntary: 0, involuntary: 0 };
  for (const [one, stat] of [[pid, own] as const, ...below]) {
    total.user += Number(stat[11]) + Number(stat[13]);
    total.system += Number(stat[12]) + Number(stat[14]);
    total.virtual += Number(stat[20]);
    total.resident += Number(stat[21]) * pageBytes;
    const io = read(one, 'io');
    total.read += numberAfter(io, 'rchar:');
    total.write += numberAfter(io, 'wchar:');
    const status = read(one, 'status');
    total.voluntary += numberAfter(status, '\nvoluntary_ctxt_switches:');
    total.involuntary += numberAfter(status, 'nonvoluntary_ctxt_switches:');
  }
  return {
    userSeconds: total.user / ticks,
    systemSeconds: total.system / ticks,
    residentBytes: total.resident,
    virtualBytes: total.virtual,
    memoryPercent: (total.resident / totalmem()) * 100,
    readBytes: total.read,
    writeBytes: total.write,
    voluntarySwitches: total.voluntary,
    involuntarySwitches: total.involuntary,
    children: below.length,
    status: statuses[own[0] as string] ?? String(own[0]),
    cpu: own[36] ?? '',
  };
}

/** Without what was used before: for a process that does one thing after another. */
export function usageSince(now: ProcessUsage, before: ProcessUsage): ProcessUsage {
  const since = (
    key: 'userSeconds' | 'systemSeconds' | 'readBytes' | 'writeBytes' | 'voluntarySwitches' | 'involuntarySwitches',
  ) => Math.max(0, now[key] - before[key]);
  return {
    ...now,
    userSeconds: since('userSeconds'),
    systemSeconds: since('systemSeconds'),
    readBytes: since('readBytes'),
    writeBytes: since('writeBytes'),
    voluntarySwitches: since('voluntarySwitches'),
    involuntarySwitches: since('involuntarySwitches'),
  };
}

function fieldsOf(pid: number): string[] | undefined {
  // pid (name) state parent …, and the name can have any character.
  return read(pid, 'stat')
    ?.replace(/^.*\) /s, '')
    .split(' ');
}

function numberAfter(text: string | undefined, name: string): number {
  const at = text?.indexOf(name) ?? -1;
  return at < 0 ? 0 : Number.parseInt((text as string).slice(at + name.length), 10) || 0;
}

function processEntries(): string[] {
  if (process.platform !== 'linux') return [];
  try {
    return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  } catch {
    return []; // No /proc here.
  }
}

function read(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return undefined; // Ended meanwhile, or another user's.
  }
}

// CPU time of the processes that this one started, and of theirs, from /proc. Where there is none (macOS) it counts as 0.
import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second, whatever the kernel's own clock. */
const microsPerTick = 10_000;

/** Of all descendants that live, and of those that ended and were waited for. Microseconds. */
export function childCpuMicros(): number {
  let entries: string[];
  try {
    entries = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return 0; // No Linux: only this process and its threads are counted.
  }
  const children = new Map<number, Times[]>();
  let own: Times | undefined;
  for (const entry of entries) {
    const times = timesOf(Number(entry));
    if (times === undefined) continue;
    if (times.pid === process.pid) own = times;
    const siblings = children.get(times.parent);
    if (siblings === undefined) children.set(times.parent, [times]);
    else siblings.push(times);
  }
  let ticks = own?.waitedFor ?? 0;
  const open = [...(children.get(process.pid) ?? [])];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    ticks += next.itself + next.waitedFor;
    open.push(...(children.get(next.pid) ?? []));
  }
  return ticks * microsPerTick;
}

interface Times {
  readonly pid: number;
  readonly parent: number;
  readonly itself: number;
  readonly waitedFor: number;
}

function timesOf(pid: number): Times | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined; // It ended meanwhile.
  }
  // The second field is the program's name in parentheses, which may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const field = (index: number): number => Number(fields[index] ?? 0);
  return { pid, parent: field(1), itself: field(11) + field(12), waitedFor: field(13) + field(14) };
}

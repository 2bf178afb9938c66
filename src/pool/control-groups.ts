// What the control group of this process leaves it: cores and memory, as containers and batch systems limit them. Both versions of
// control groups, and every group above ours, because the narrowest of them counts. resources.ts and child.ts call it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Infinite where there is no limit. */
export interface GroupLimits {
  readonly cores: number;
  /** What may still be taken, in bytes. */
  readonly memoryBytes: number;
}

/**
 * The limits of the groups that this process is in.
 *
 * @param root of the file system; tests have one of their own
 */
export function groupLimits(root = '/'): GroupLimits {
  let cores = Number.POSITIVE_INFINITY;
  let memoryBytes = Number.POSITIVE_INFINITY;
  for (const directory of directoriesOf(root, 'cpu')) cores = Math.min(cores, coresIn(directory));
  for (const directory of directoriesOf(root, 'memory')) memoryBytes = Math.min(memoryBytes, memoryIn(directory));
  return { cores, memoryBytes };
}

/** How often the kernel's killer has struck in our group, as far as that can be read. */
export function oomKills(root = '/'): number {
  for (const directory of directoriesOf(root, 'memory')) {
    const text = read(join(directory, 'memory.events')) ?? read(join(directory, 'memory.oom_control'));
    const found = /^oom_kill (\d+)$/m.exec(text ?? '')?.[1];
    if (found !== undefined) return Number(found);
  }
  return 0;
}

/** Where the limits of a controller may stand: our own group first, then those above it. */
function directoriesOf(root: string, controller: 'cpu' | 'memory'): string[] {
  const mounted = join(root, 'sys/fs/cgroup');
  const found: string[] = [];
  for (const line of (read(join(root, 'proc/self/cgroup')) ?? '0::/').split('\n')) {
    const [number, names, ...rest] = line.split(':');
    const path = rest.join(':');
    if (number === '0' && names === '') found.push(...upward(mounted, path), ...upward(join(mounted, 'unified'), path));
    else if (names?.split(',').includes(controller)) found.push(...upward(join(mounted, controller), path));
  }
  return found;
}

/** In a container the path is often that of the host, and only the top is there: what is missing says nothing. */
function upward(top: string, path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..');
  return Array.from({ length: parts.length + 1 }, (_, up) => join(top, ...parts.slice(0, parts.length - up)));
}

function coresIn(directory: string): number {
  const [quota, period] = read(join(directory, 'cpu.max'))?.split(/\s/) ?? [
    read(join(directory, 'cpu.cfs_quota_us')),
    read(join(directory, 'cpu.cfs_period_us')),
  ];
  const cores = Number(quota) / Number(period);
  return cores > 0 ? cores : Number.POSITIVE_INFINITY;
}

function memoryIn(directory: string): number {
  const limit = Number(read(join(directory, 'memory.max')) ?? read(join(directory, 'memory.limit_in_bytes')));
  // The first version says a number beyond all memory for no limit.
  if (!(limit > 0 && limit < 2 ** 60)) return Number.POSITIVE_INFINITY;
  const used = Number(read(join(directory, 'memory.current')) ?? read(join(directory, 'memory.usage_in_bytes')) ?? 0);
  // Files that were read count as used, and are given up as soon as somebody needs the memory.
  const files = /^(?:total_)?inactive_file (\d+)$/m.exec(read(join(directory, 'memory.stat')) ?? '')?.[1];
  return Math.max(0, limit - Math.max(0, used - Number(files ?? 0)));
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    // Not there: the other version of control groups, a group above a container, or no Linux.
    return undefined;
  }
}

// How many workers a node can have: cores and memory, as limits of containers and batch systems leave them. And which cores and
// accelerators each of them gets.
import { readFileSync } from 'node:fs';
import { availableParallelism, freemem } from 'node:os';
import { type GroupLimits, groupLimits } from './control-groups.ts';

/** What a node offers. */
export interface NodeResources {
  readonly cores: number;
  readonly memoryGigabytes: number;
}

/** Cores and available memory of this node; PARSL_CORES and PARSL_MEMORY_GB say otherwise. */
export function nodeResources(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  limits: GroupLimits = groupLimits(),
): NodeResources {
  const cores = Number(environment['PARSL_CORES']);
  const memory = Number(environment['PARSL_MEMORY_GB']);
  return {
    cores:
      Number.isInteger(cores) && cores > 0
        ? cores
        : Math.max(1, Math.min(availableParallelism(), Math.floor(limits.cores))),
    memoryGigabytes: memory > 0 ? memory : Math.round((Math.min(freemem(), limits.memoryBytes) / 2 ** 30) * 10) / 10,
  };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    // Not there: the other version of control groups, or no Linux.
    return undefined;
  }
}

/** What is asked for each worker. */
export interface WorkerNeeds {
  readonly coresPerWorker: number;
  readonly memoryPerWorker: number | undefined;
  readonly maxWorkers: number;
  readonly accelerators: readonly string[];
}

/** The number of workers: the least of what cores, memory, accelerators and the limit allow. */
export function workerCount(node: NodeResources, needs: WorkerNeeds): number {
  const byCores = Math.floor(node.cores / needs.coresPerWorker);
  const byMemory =
    needs.memoryPerWorker === undefined
      ? Number.POSITIVE_INFINITY
      : Math.floor(node.memoryGigabytes / needs.memoryPerWorker);
  const byAccelerators = needs.accelerators.length > 0 ? needs.accelerators.length : Number.POSITIVE_INFINITY;
  return Math.min(needs.maxWorkers, byCores, byMemory, byAccelerators);
}

/**
 * The variables by which libraries find the accelerators of a worker. With more workers than NVIDIA devices (which then should run a
 * Multi-Process Service) neighbours share one.
 *
 * @param accelerators one name for each worker
 * @param workers how many workers there are
 * @param devices how many NVIDIA devices there are; 0 when nobody knows
 */
export function acceleratorEnvironment(
  accelerators: readonly string[],
  rank: number,
  workers: number = accelerators.length,
  devices = 0,
): Record<string, string> {
  const name = accelerators[rank];
  if (name === undefined) return {};
  const perDevice = devices > 0 ? Math.floor(workers / devices) : 0;
  const isShared = perDevice > 1 && /^\d+$/.test(name);
  return {
    CUDA_VISIBLE_DEVICES: isShared ? String(Math.min(devices - 1, Math.floor(Number(name) / perDevice))) : name,
    ROCR_VISIBLE_DEVICES: name,
    ZE_AFFINITY_MASK: name,
    ZE_ENABLE_PCI_ID_DEVICE_ORDER: '1',
  };
}

/** The variables by which libraries find the cores of a worker. */
export function affinityEnvironment(cores: readonly number[] | undefined): Record<string, string> {
  if (cores === undefined) return {};
  const list = cores.join(',');
  return {
    OMP_NUM_THREADS: String(cores.length),
    GOMP_CPU_AFFINITY: list,
    KMP_AFFINITY: `explicit,proclist=[${list}]`,
  };
}

/**
 * The cores of each worker; `undefined` for no affinity.
 *
 * @param mode `none`, `block`, `block-reverse`, `alternating`, or `list:0-3:4,5` with an entry for each worker
 * @throws RangeError for a mode that there is not, or a list of another length
 */
export function coresOfWorkers(
  mode: string,
  available: readonly number[],
  count: number,
): (readonly number[])[] | undefined {
  const ranks = Array.from({ length: count }, (_, rank) => rank);
  const sorted = [...available].sort((a, b) => a - b);
  const each = Math.floor(sorted.length / count);
  const form = mode.toLowerCase();
  if (form === 'none') return undefined;
  if (form.startsWith('list:')) {
    const lists = form.slice(5).split(':').map(readCores);
    if (lists.length !== count)
      throw new RangeError(
        `The affinity ${mode} has ${lists.length} entries for ${count} workers; it needs one for each.`,
      );
    return lists;
  }
  if (form !== 'block' && form !== 'block-reverse' && form !== 'alternating') {
    throw new RangeError(
      `The affinity must be one of none, block, block-reverse, alternating or list:…, and is ${mode}.`,
    );
  }
  if (each < 1)
    throw new RangeError(`There are ${count} workers for ${sorted.length} cores, too many for the affinity ${mode}.`);
  switch (form) {
    case 'block':
      return ranks.map((rank) => sorted.slice(rank * each, (rank + 1) * each));
    case 'block-reverse':
      return ranks.map((rank) => sorted.slice((count - 1 - rank) * each, (count - rank) * each));
    default:
      return ranks.map((rank) => sorted.filter((_, index) => index % count === rank).slice(0, each));
  }
}

/** `0-3,8` as numbers. */
function readCores(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (match === null) throw new RangeError(`"${part}" is no core: write 4, or 0-3.`);
    const from = Number(match[1]);
    const to = Number(match[2] ?? match[1]);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

/** The cores that this process may use. */
export function availableCores(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(read('/proc/self/status') ?? '')?.[1];
  return list === undefined ? Array.from({ length: availableParallelism() }, (_, core) => core) : readCores(list);
}

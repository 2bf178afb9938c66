// The command line of a worker pool: the flags of Parsl's process_worker_pool.py, and a few of ours.
import { randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import type { Result } from '../base/result.ts';
import { leastLoadingMs } from '../task/limits.ts';

/** What a pool is told. Times are in milliseconds. */
export interface PoolArguments {
  readonly addresses: readonly string[];
  readonly port: number;
  readonly certDir: string | undefined;
  readonly logDir: string;
  readonly uid: string;
  readonly blockId: string;
  readonly coresPerWorker: number;
  readonly memoryPerWorker: number | undefined;
  readonly maxWorkers: number;
  readonly prefetch: number | 'auto';
  readonly heartbeatPeriodMs: number;
  readonly heartbeatThresholdMs: number;
  readonly drainAfterMs: number | undefined;
  readonly probeTimeoutMs: number;
  /** How long a task with a timeout may load what it needs at least. */
  readonly leastLoadingMs: number;
  readonly affinity: string;
  readonly accelerators: readonly string[];
  /** Node workers at most; 0 for none. */
  readonly nodeWorkers: number;
  /** The Python workers; `undefined` for none. */
  readonly python: PythonArguments | undefined;
  /** Between samples of what tasks use; 0: none are taken. */
  readonly sampleMs: number;
  readonly isDebug: boolean;
  /** The directory in which the submitter keeps large values. It may be another machine's. */
  readonly values: string | undefined;
  /** From so many bytes on a result is kept there. */
  readonly valuesFrom: number;
  /** Options of Node for the workers. */
  readonly nodeArguments: readonly string[];
}

/** The Python workers of a pool, and how it is known to Parsl's interchange. */
export interface PythonArguments {
  readonly interpreter: string;
  readonly maxWorkers: number;
  /** Directories where modules are looked for first. */
  readonly path: readonly string[];
}

export const usage = `chervil worker-pool -a ADDRESS[,ADDRESS…] -P PORT --cert_dir DIR|None [options]
  -l, --logdir DIR               logs go to DIR/block-B/UID                  (process_worker_pool_logs)
  -u, --uid TEXT                 name of this pool                           (random)
  -b, --block_id TEXT            block that it is part of
  -c, --cores_per_worker N       cores for each worker                       (1)
  -m, --mem_per_worker N         gigabytes for each worker, or None          (None)
      --max_workers_per_node N   workers at most, or inf                     (inf)
  -p, --prefetch_capacity N      tasks to hold beyond one for each worker; auto: by their length (0)
      --hb_period, --hb_threshold SECONDS                                    (30, 120)
      --drain_period SECONDS     ask for no more tasks after this, or None   (None)
      --address_probe_timeout S  for finding an address that works           (30)
      --loading_limit SECONDS    a task with a timeout may load its modules so long, or as long as its timeout  (60)
      --cpu-affinity MODE        none, block, block-reverse, alternating, list:0-3:4,5 (none)
      --available-accelerators N…                                            (none)
      --node_workers N           Node workers at most; 0 for none            (max_workers_per_node)
      --python PROGRAM           start Python workers with this interpreter; Parsl's interchange knows the pool by it
      --python_workers N         Python workers at most                      (max_workers_per_node)
      --python_path DIR          where modules are looked for first; may be repeated
      --values DIR, --values_from N  where large values are kept, and how large ones (8192 bytes)
      --node-option TEXT         an option of Node for the workers; may be repeated
      --sample SECONDS           tell monitoring what tasks use, so often   (0: never)
  -d, --debug                    log more`;

const options = {
  addresses: { type: 'string', short: 'a' },
  port: { type: 'string', short: 'P' },
  cert_dir: { type: 'string' },
  logdir: { type: 'string', short: 'l', default: 'process_worker_pool_logs' },
  logconf: { type: 'string', short: 'L' },
  uid: { type: 'string', short: 'u' },
  block_id: { type: 'string', short: 'b' },
  cores_per_worker: { type: 'string', short: 'c', default: '1' },
  mem_per_worker: { type: 'string', short: 'm', default: 'None' },
  max_workers_per_node: { type: 'string', default: 'inf' },
  prefetch_capacity: { type: 'string', short: 'p', default: '0' },
  hb_period: { type: 'string', default: '30' },
  hb_threshold: { type: 'string', default: '120' },
  drain_period: { type: 'string', default: 'None' },
  address_probe_timeout: { type: 'string', default: '30' },
  loading_limit: { type: 'string', default: String(leastLoadingMs / 1_000) },
  poll: { type: 'string', default: '10' },
  'cpu-affinity': { type: 'string', default: 'none' },
  'available-accelerators': { type: 'boolean' },
  enable_mpi_mode: { type: 'boolean' },
  'mpi-launcher': { type: 'string' },
  node_workers: { type: 'string' },
  values: { type: 'string' },
  values_from: { type: 'string', default: '8192' },
  python: { type: 'string' },
  python_workers: { type: 'string' },
  python_path: { type: 'string', multiple: true },
  'node-option': { type: 'string', multiple: true },
  sample: { type: 'string', default: '0' },
  debug: { type: 'boolean', short: 'd' },
} as const;

/** Reads the arguments; the error names everything that is wrong with them. */
export function readPoolArguments(args: readonly string[]): Result<PoolArguments> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    return { ok: false, error: (error as Error).message };
  }
  const { values, positionals } = parsed;
  const faults: string[] = [];
  const number = (name: keyof typeof options, least: number): number => {
    const text = values[name] as string | undefined;
    const value = text === 'inf' ? Number.POSITIVE_INFINITY : Number(text);
    if (text !== undefined && text !== '' && value >= least) return value;
    faults.push(`--${name} must be a number from ${least}, and is ${text ?? 'missing'}`);
    return least;
  };
  const optional = (name: keyof typeof options, least: number): number | undefined =>
    values[name] === 'None' ? undefined : number(name, least);
  const addresses = (values.addresses ?? '').split(',').filter((one) => one !== '');
  if (addresses.length === 0) faults.push('--addresses needs at least one IP address');
  for (const address of addresses)
    if (isIP(address) === 0) faults.push(`--addresses takes IP addresses, and "${address}" is none`);
  if (values.cert_dir === undefined) faults.push('--cert_dir is missing; None for no encryption');
  if (values.enable_mpi_mode) faults.push('--enable_mpi_mode is not supported by this pool');
  const uid = values.uid ?? randomUUID().slice(-12);
  if (!/^[A-Za-z0-9._-]{1,255}$/.test(uid)) faults.push('--uid may have letters, digits, ".", "_" and "-" only');
  const port = number('port', 1);
  const maxWorkers = number('max_workers_per_node', 1);
  const nodeWorkers = values.node_workers === undefined ? maxWorkers : number('node_workers', 0);
  if (nodeWorkers === 0 && values.python === undefined) faults.push('--node_workers=0 leaves no worker; add --python');
  const drain = optional('drain_period', 0);
  const value: PoolArguments = {
    addresses,
    port,
    certDir: values.cert_dir === 'None' ? undefined : values.cert_dir,
    logDir: values.logdir,
    uid,
    blockId: values.block_id ?? 'None',
    coresPerWorker: number('cores_per_worker', 0.001),
    memoryPerWorker: optional('mem_per_worker', 0.001),
    maxWorkers,
    nodeWorkers,
    python:
      values.python === undefined
        ? undefined
        : {
            interpreter: values.python,
            maxWorkers: values.python_workers === undefined ? maxWorkers : number('python_workers', 1),
            path: values.python_path ?? [],
          },
    prefetch: values.prefetch_capacity === 'auto' ? 'auto' : number('prefetch_capacity', 0),
    heartbeatPeriodMs: number('hb_period', 0.01) * 1_000,
    heartbeatThresholdMs: number('hb_threshold', 0.01) * 1_000,
    drainAfterMs: drain === undefined ? undefined : drain * 1_000,
    probeTimeoutMs: number('address_probe_timeout', 0.01) * 1_000,
    leastLoadingMs: number('loading_limit', 0.01) * 1_000,
    affinity: values['cpu-affinity'],
    accelerators: positionals,
    sampleMs: number('sample', 0) * 1_000,
    isDebug: values.debug === true,
    nodeArguments: values['node-option'] ?? [],
    values: values.values,
    valuesFrom: number('values_from', 1),
  };
  if (positionals.length > 0 && !values['available-accelerators'])
    faults.push(`what is meant by ${positionals.join(' ')}?`);
  return faults.length === 0 ? { ok: true, value } : { ok: false, error: faults.join('; ') };
}

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
}

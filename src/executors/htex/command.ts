// The command line of a pool, as an executor gives it to its provider: Parsl's flags, and ours.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SettledPython } from './options.ts';

const program = fileURLToPath(new URL('../../pool/start.js', import.meta.url));

/** What of the executor a pool must know. Times are in milliseconds. */
export interface PoolCommandParts {
  readonly addresses: readonly string[];
  readonly port: number;
  readonly certDir: string | undefined;
  readonly logDirectory: string;
  readonly blockId: string;
  readonly debug: boolean;
  readonly coresPerWorker: number;
  readonly memoryPerWorker: number | undefined;
  readonly maxWorkersPerNode: number | undefined;
  readonly prefetch: number | 'auto';
  readonly heartbeatPeriodMs: number;
  readonly heartbeatThresholdMs: number;
  readonly drainPeriodMs: number | undefined;
  readonly addressProbeTimeoutMs: number;
  readonly cpuAffinity: string;
  readonly accelerators: readonly string[];
  readonly python: SettledPython | undefined;
  readonly nodeWorkers: number | undefined;
  readonly nodesPerBlock: number;
  /** Workers load modules as this process does. */
  readonly hasLoaders: boolean;
  /** Between samples of what tasks use; 0: none are taken. */
  readonly sampleMs?: number;
  /** Where large values are kept; `undefined`: nowhere. */
  readonly values?: { readonly directory: string; readonly from: number } | undefined;
}

/**
 * The command as one text for a shell. A template may have Parsl's placeholders, which become what Parsl makes of them; `{command}` for the
 * whole usual command; `{flags}` for its flags alone, as Parsl's process_worker_pool.py takes them too; `{node}` for this program of Node,
 * `{pool}` for the program of a pool, `{arguments}` for all that follows it in the usual command, and `{node_options}`. Other braces stay as they are, so that shell and awk keep theirs.
 *
 * @example
 * launchCommand('srun -N {nodes_per_block} {command}', parts);
 */
export function launchCommand(template: string, parts: PoolCommandParts): string {
  const parsls = parslValues(parts);
  const ours = { ...parsls, ...ourValues(parts) };
  const values: Readonly<Record<string, string>> = {
    ...parsls,
    command: filled(usual, ours),
    arguments: filled(ownArguments, ours),
    flags: filled(flags, parsls),
  };
  return filled(template, values);
}

/** Words that are empty leave two spaces, which mean nothing to a shell. */
function filled(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(/(?<!\$)\{\{(\w+)\}\}|(?<!\$)\{(\w+)\}/g, (whole, doubled?: string, single?: string) => {
    const name = (doubled ?? single) as string;
    return Object.hasOwn(values, name) ? (values[name] as string) : whole;
  });
}

const commonFlags = [
  '{debug} {max_workers_per_node} -a {addresses} -p {prefetch_capacity} -c {cores_per_worker} -m {mem_per_worker}',
  '--port={worker_port} --cert_dir {cert_dir} --logdir={logdir} --block_id={block_id} --hb_period={heartbeat_period}',
  '--hb_threshold={heartbeat_threshold} --drain_period={drain_period} {address_probe_timeout_string}',
  '--cpu-affinity {cpu_affinity}',
].join(' ');
/** Accelerators take all that follows, so they come last. */
const flags = `${commonFlags} {available_accelerators}`;
const ownArguments = `${commonFlags} {workers} {node_options} {available_accelerators}`;
const usual = `{node} {pool} ${ownArguments}`;

/** What Parsl's own pools do not take: parts of a second, and a prefetch that finds its own number. */
function ourValues(parts: PoolCommandParts): Readonly<Record<string, string>> {
  const seconds = (ms: number): string => String(ms / 1_000);
  const { python, nodeWorkers } = parts;
  const workers = [
    ...(parts.values === undefined ? [] : [`--values=${parts.values.directory}`, `--values_from=${parts.values.from}`]),
    ...(nodeWorkers === undefined ? [] : [`--node_workers=${nodeWorkers}`]),
    ...((parts.sampleMs ?? 0) > 0 ? [`--sample=${seconds(parts.sampleMs ?? 0)}`] : []),
    ...(python === undefined ? [] : [`--python=${python.interpreter}`]),
    ...(python?.workers === undefined ? [] : [`--python_workers=${python.workers}`]),
    ...(python?.path ?? []).map((directory) => `--python_path=${resolve(directory)}`),
  ];
  return {
    workers: workers.map(quoted).join(' '),
    prefetch_capacity: String(parts.prefetch),
    heartbeat_period: seconds(parts.heartbeatPeriodMs),
    heartbeat_threshold: seconds(parts.heartbeatThresholdMs),
    drain_period: parts.drainPeriodMs === undefined ? 'None' : seconds(parts.drainPeriodMs),
    address_probe_timeout_string: `--address_probe_timeout=${seconds(parts.addressProbeTimeoutMs)}`,
  };
}

function parslValues(parts: PoolCommandParts): Readonly<Record<string, string>> {
  const seconds = (ms: number): string => String(Math.max(1, Math.ceil(ms / 1_000)));
  const accelerators = parts.accelerators.map(quoted).join(' ');
  return {
    node: quoted(process.execPath),
    pool: quoted(program),
    node_options: (parts.hasLoaders ? loaderArguments() : [])
      .map((argument) => quoted(`--node-option=${argument}`))
      .join(' '),
    debug: parts.debug ? '--debug' : '',
    max_workers_per_node:
      parts.maxWorkersPerNode === undefined ? '' : `--max_workers_per_node=${parts.maxWorkersPerNode}`,
    addresses: parts.addresses.join(','),
    prefetch_capacity: parts.prefetch === 'auto' ? '0' : String(parts.prefetch),
    cores_per_worker: String(parts.coresPerWorker),
    mem_per_worker: String(parts.memoryPerWorker ?? 'None'),
    poll_period: '10',
    worker_port: String(parts.port),
    cert_dir: quoted(parts.certDir ?? 'None'),
    logdir: quoted(parts.logDirectory),
    logconf: 'None',
    block_id: quoted(parts.blockId),
    heartbeat_period: seconds(parts.heartbeatPeriodMs),
    heartbeat_threshold: seconds(parts.heartbeatThresholdMs),
    drain_period: parts.drainPeriodMs === undefined ? 'None' : seconds(parts.drainPeriodMs),
    address_probe_timeout_string: `--address_probe_timeout=${seconds(parts.addressProbeTimeoutMs)}`,
    cpu_affinity: quoted(parts.cpuAffinity),
    enable_mpi_mode: '',
    mpi_launcher: 'mpiexec',
    accelerators,
    available_accelerators: accelerators === '' ? '' : `--available-accelerators ${accelerators}`,
    nodes_per_block: String(parts.nodesPerBlock),
  };
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Options of this process's Node that say how modules are loaded: workers load them in the same way. */
function loaderArguments(): string[] {
  const kept: string[] = [];
  const { execArgv } = process;
  for (let at = 0; at < execArgv.length; at++) {
    const argument = execArgv[at] as string;
    if (
      !/^(?:--import|--require|-r|--loader|--experimental-loader|--conditions|-C|--experimental-|--enable-source-maps|--no-)/.test(
        argument,
      )
    )
      continue;
    if (/^--experimental-test|^--no-warnings/.test(argument)) continue;
    kept.push(argument);
    const takesValue = /^(?:--import|--require|-r|--loader|--experimental-loader|--conditions|-C)$/.test(argument);
    if (takesValue && at + 1 < execArgv.length) kept.push(execArgv[++at] as string);
  }
  return kept;
}

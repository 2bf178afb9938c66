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
}

/** The command as one text for a shell. */
export function poolCommand(parts: PoolCommandParts): string {
  const { python, nodeWorkers } = parts;
  return text([
    process.execPath,
    program,
    ...flags(parts, String(parts.prefetch), (ms) => String(ms / 1_000)),
    ...(nodeWorkers === undefined ? [] : [`--node_workers=${nodeWorkers}`]),
    ...(python === undefined ? [] : [`--python=${python.interpreter}`]),
    ...(python?.workers === undefined ? [] : [`--python_workers=${python.workers}`]),
    ...(python?.path ?? []).map((directory) => `--python_path=${resolve(directory)}`),
    ...loaderArguments().map((argument) => `--node-option=${argument}`),
    ...accelerators(parts),
  ]);
}

/** The flags alone, as Parsl's process_worker_pool.py takes them too: whole seconds, and a number to prefetch. */
export function poolFlags(parts: PoolCommandParts): string {
  const prefetch = parts.prefetch === 'auto' ? '0' : String(parts.prefetch);
  return text([...flags(parts, prefetch, (ms) => String(Math.max(1, Math.ceil(ms / 1_000)))), ...accelerators(parts)]);
}

function flags(parts: PoolCommandParts, prefetch: string, seconds: (ms: number) => string): string[] {
  return [
    ...(parts.debug ? ['--debug'] : []),
    ...(parts.maxWorkersPerNode === undefined ? [] : [`--max_workers_per_node=${parts.maxWorkersPerNode}`]),
    '-a',
    parts.addresses.join(','),
    '-p',
    prefetch,
    '-c',
    String(parts.coresPerWorker),
    '-m',
    String(parts.memoryPerWorker ?? 'None'),
    `--port=${parts.port}`,
    '--cert_dir',
    parts.certDir ?? 'None',
    `--logdir=${parts.logDirectory}`,
    `--block_id=${parts.blockId}`,
    `--hb_period=${seconds(parts.heartbeatPeriodMs)}`,
    `--hb_threshold=${seconds(parts.heartbeatThresholdMs)}`,
    `--drain_period=${parts.drainPeriodMs === undefined ? 'None' : seconds(parts.drainPeriodMs)}`,
    `--address_probe_timeout=${seconds(parts.addressProbeTimeoutMs)}`,
    '--cpu-affinity',
    parts.cpuAffinity,
  ];
}

/** They take all that follows, so they come last. */
function accelerators(parts: PoolCommandParts): string[] {
  return parts.accelerators.length === 0 ? [] : ['--available-accelerators', ...parts.accelerators];
}

function text(words: readonly string[]): string {
  return words.map(quoted).join(' ');
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

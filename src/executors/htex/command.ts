// The command line of a pool, as an executor gives it to its provider: Parsl's flags, and ours.
import { fileURLToPath } from 'node:url';

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
}

/** The command as one text for a shell. */
export function poolCommand(parts: PoolCommandParts): string {
  const seconds = (ms: number): string => String(ms / 1_000);
  const words = [
    process.execPath,
    program,
    ...(parts.debug ? ['--debug'] : []),
    ...(parts.maxWorkersPerNode === undefined ? [] : [`--max_workers_per_node=${parts.maxWorkersPerNode}`]),
    '-a',
    parts.addresses.join(','),
    '-p',
    String(parts.prefetch),
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
    ...loaderArguments().map((argument) => `--node-option=${argument}`),
    ...(parts.accelerators.length === 0 ? [] : ['--available-accelerators', ...parts.accelerators]),
  ];
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

// The options of htex(), with Parsl's meaning and defaults, and their check: everything that is wrong is said at once.
import { isIP } from 'node:net';
import { type Duration, parseDuration } from '../../base/time.ts';
import { ConfigError, type ConfigProblem } from '../../task/errors.ts';
import type { Runtime } from '../../task/ports.ts';
import type { BundleSettings } from './bundle.ts';

/** A range of ports; the second one is not in it any more. */
export type PortRange = readonly [from: number, to: number];

/** The Python workers of a node. */
export interface PythonSettings {
  /** A command or a path, where the workers run. @default 'python3' */
  readonly interpreter?: string;
  /** At most so many on one node. @default as `maxWorkersPerNode` */
  readonly workers?: number;
  /** Directories where modules are looked for before all others. @default the working directory */
  readonly path?: readonly string[];
}

/** What a provider says of its blocks. */
export interface BlockShape {
  readonly nodesPerBlock: number;
  /** Cores of each node, where they are known. */
  readonly coresPerNode?: number;
  /** Gigabytes of each node, where they are known. */
  readonly memoryPerNode?: number;
}

/** What htex() can be told. `Provider` and `BlockErrorHandler` are those of blocks/. */
export interface HtexSettings<Label extends string, Provider, BlockErrorHandler> {
  /** Unique among the executors. @default 'htex' */
  readonly label?: Label;
  /** Where blocks come from. @default local() */
  readonly provider?: Provider;
  /** Blocks at the start, at least, and at most. With `{ init: 0, max: 0 }` pools are started by hand; the log has the command. @default { init: 1, min: 0, max: 1 } */
  readonly blocks?: { readonly init?: number; readonly min?: number; readonly max?: number };
  /** Slots for each task, 0 to 1: 1 starts blocks until every task has a worker, 0 at most one block. @default 1 */
  readonly parallelism?: number;
  /** When blocks are started and ended. @default 'simple' */
  readonly strategy?: 'none' | 'simple' | 'htex-auto-scale';
  /** How long blocks may be idle before they are ended. @default '2m' */
  readonly maxIdle?: Duration;
  /** How often the strategy looks. @default '5s' */
  readonly strategyPeriod?: Duration;
  /** What failed blocks mean. @default simpleBlockErrors: all have failed, as many as were started first */
  readonly onBlockError?: BlockErrorHandler;
  /** Cores for each worker; below 1 several share one. @default 1 */
  readonly coresPerWorker?: number;
  /** Gigabytes for each worker. @default no limit */
  readonly memoryPerWorker?: number;
  /** Workers of one node, at most. @default as many as cores, memory and accelerators allow */
  readonly maxWorkersPerNode?: number;
  /**
   * Python workers, for Python functions: the interpreter, how many on one node, and directories that modules are looked for in first.
   * `true` is `python3`, and as many workers as there are of Node. @default none
   */
  readonly python?: boolean | string | PythonSettings;
  /** Node workers of one node, at most; 0 for Python workers alone. @default as `maxWorkersPerNode` */
  readonly nodeWorkers?: number;
  /** `none`, `block`, `block-reverse`, `alternating`, or `list:0-3:4,5` with an entry for each worker. @default 'none' */
  readonly cpuAffinity?: string;
  /** Names of the accelerators of a node, one for each worker, or how many there are. @default none */
  readonly accelerators?: number | readonly string[];
  /** Tasks that a pool holds beyond one for each worker. `auto`: 0 for long tasks, many for short ones. Parsl's default is 0. @default 'auto' */
  readonly prefetch?: number | 'auto';
  /** @default '30s' */
  readonly heartbeatPeriod?: Duration;
  /** How long a silent pool or interchange is waited for. @default '120s' */
  readonly heartbeatThreshold?: Duration;
  /** A pool asks for no more tasks after this. @default never */
  readonly drainPeriod?: Duration;
  /** IP address for pools, where the interchange then listens alone. @default the loopback address for blocks on this machine, else all */
  readonly address?: string;
  /** Between this process and the interchange. @default '127.0.0.1' */
  readonly loopbackAddress?: string;
  /** Port for pools. @default one of the range */
  readonly workerPort?: number;
  /** @default [54000, 55000] */
  readonly workerPortRange?: PortRange;
  /** Of the three ports between this process and the interchange. @default [55000, 56000] */
  readonly interchangePortRange?: PortRange;
  /** How long a pool looks for an address that works. @default '30s' */
  readonly addressProbeTimeout?: Duration;
  /** Where the logs of pools and workers go. @default the executor's directory in the run directory */
  readonly workerLogDirectory?: string;
  /** Which pool gets tasks first: any, or that of the highest block, so that others run empty. @default 'random' */
  readonly managerSelector?: 'random' | 'block-id';
  /** Encrypt and authenticate all connections (CURVE). @default true */
  readonly encrypted?: boolean;
  /**
   * From how many bytes on arguments and results travel as files in the memory of this machine, where both ends see them; `false` for
   * never. @default 8192
   */
  readonly largeValues?: number | false;
  /** Log more, in interchange and pools. @default false */
  readonly debug?: boolean;
  /** The interchange ended by itself: fail what is outstanding, or start it again and send that again (it may then run twice). @default 'fail' */
  readonly onInterchangeLost?: 'fail' | 'resend';
  /**
   * Workers cannot read the files of this program: functions travel with the modules that they need, bundled into one file, once to each
   * pool. @default false
   */
  readonly bundle?: boolean | BundleSettings;
  /** The program and arguments of another interchange, such as `['interchange.py']`: Parsl's, of 2026.05.18 or later. @default Chervil's own */
  readonly interchangeCommand?: readonly string[];
  /**
   * The command of a pool: a text with `{command}` for the whole usual one, or `process_worker_pool.py {flags}` for Parsl's own pools, or
   * with any of Parsl's placeholders. @default '{command}'
   */
  readonly launchCommand?: string;
}

/** The Python workers, with their defaults. */
export interface SettledPython {
  readonly interpreter: string;
  readonly workers: number | undefined;
  readonly path: readonly string[];
}

/** The options, checked and complete. */
export type Settled<Settings> = Required<
  Omit<
    Settings,
    | 'memoryPerWorker'
    | 'maxWorkersPerNode'
    | 'drainPeriod'
    | 'address'
    | 'workerPort'
    | 'workerLogDirectory'
    | 'interchangeCommand'
    | 'bundle'
    | 'python'
    | 'nodeWorkers'
    | DurationKey
    | 'accelerators'
    | 'blocks'
  >
> & {
  readonly memoryPerWorker: number | undefined;
  readonly maxWorkersPerNode: number | undefined;
  readonly drainPeriodMs: number | undefined;
  readonly address: string | undefined;
  readonly workerPort: number | undefined;
  readonly workerLogDirectory: string | undefined;
  readonly interchangeCommand: readonly string[] | undefined;
  readonly bundle: BundleSettings | undefined;
  readonly accelerators: readonly string[];
  readonly runtimes: readonly Runtime[];
  readonly python: SettledPython | undefined;
  readonly nodeWorkers: number | undefined;
  readonly blocks: { readonly init: number; readonly min: number; readonly max: number };
  readonly maxIdleMs: number;
  readonly strategyPeriodMs: number;
  readonly heartbeatPeriodMs: number;
  readonly heartbeatThresholdMs: number;
  readonly addressProbeTimeoutMs: number;
};

type DurationKey =
  | 'maxIdle'
  | 'strategyPeriod'
  | 'heartbeatPeriod'
  | 'heartbeatThreshold'
  | 'addressProbeTimeout'
  | 'drainPeriod';

type AnySettings = HtexSettings<string, unknown, unknown>;

const known: Record<keyof AnySettings, true> = {
  label: true,
  provider: true,
  blocks: true,
  parallelism: true,
  strategy: true,
  maxIdle: true,
  strategyPeriod: true,
  onBlockError: true,
  coresPerWorker: true,
  memoryPerWorker: true,
  maxWorkersPerNode: true,
  cpuAffinity: true,
  python: true,
  nodeWorkers: true,
  accelerators: true,
  prefetch: true,
  heartbeatPeriod: true,
  heartbeatThreshold: true,
  drainPeriod: true,
  address: true,
  loopbackAddress: true,
  workerPort: true,
  workerPortRange: true,
  interchangePortRange: true,
  addressProbeTimeout: true,
  workerLogDirectory: true,
  managerSelector: true,
  encrypted: true,
  largeValues: true,
  debug: true,
  onInterchangeLost: true,
  interchangeCommand: true,
  bundle: true,
  launchCommand: true,
};

/**
 * Fills in the defaults.
 *
 * @throws ConfigError that names everything that is wrong
 */
export function settleHtex<Provider, Handler>(
  options: HtexSettings<string, Provider, Handler>,
  defaults: { readonly provider: () => Provider; readonly onBlockError: Handler },
): Settled<HtexSettings<string, Provider, Handler>> {
  const problems: ConfigProblem[] = [];
  const add = (path: string, expected: string, value: unknown): void => {
    problems.push({
      path,
      problem: `expected ${expected}, not ${typeof value === 'string' ? `'${value}'` : String(JSON.stringify(value) ?? value)}`,
    });
  };
  const number = (
    path: string,
    value: unknown,
    least: number,
    isWhole: boolean,
    most = Number.POSITIVE_INFINITY,
  ): void => {
    if (value === undefined) return;
    const isGood =
      typeof value === 'number' &&
      value >= least &&
      value <= most &&
      (!isWhole || Number.isInteger(value) || value === Number.POSITIVE_INFINITY);
    if (!isGood)
      add(
        path,
        `a ${isWhole ? 'whole ' : ''}number from ${least}${most === Number.POSITIVE_INFINITY ? ' up' : ` to ${most}`}`,
        value,
      );
  };
  const duration = (path: keyof AnySettings, fallback: Duration): number => {
    const value = options[path];
    const ms = parseDuration(value ?? fallback);
    if (ms !== undefined && ms > 0) return ms;
    add(path, "milliseconds or a duration such as '90s' or '5m'", value);
    return 1;
  };
  const oneOf = (path: keyof AnySettings, allowed: readonly unknown[]): void => {
    const value = options[path];
    if (value !== undefined && !allowed.includes(value))
      add(path, allowed.map((one) => (typeof one === 'string' ? `'${one}'` : String(one))).join(' or '), value);
  };
  const address = (path: 'address' | 'loopbackAddress'): void => {
    const value = options[path];
    if (value !== undefined && (typeof value !== 'string' || isIP(value) === 0)) add(path, 'an IP address', value);
  };
  const range = (path: 'workerPortRange' | 'interchangePortRange'): void => {
    const value: unknown = options[path];
    if (value === undefined) return;
    const [from, to] = Array.isArray(value) ? (value as number[]) : [];
    const isGood =
      Number.isInteger(from) &&
      Number.isInteger(to) &&
      (from as number) > 0 &&
      (to as number) <= 65_536 &&
      (from as number) < (to as number);
    if (!isGood) add(path, 'two ports, the second one above the first', value);
  };
  for (const key of Object.keys(options))
    if (!Object.hasOwn(known, key))
      problems.push({ path: key, problem: `unknown option; there are ${Object.keys(known).join(', ')}` });
  const { init = 1, min = 0, max = Math.max(1, init) } = options.blocks ?? {};
  number('blocks.init', init, 0, true);
  number('blocks.min', min, 0, true);
  number('blocks.max', max, 0, true);
  if (min > max || init > max)
    problems.push({ path: 'blocks', problem: `init (${init}) and min (${min}) must not be above max (${max})` });
  number('parallelism', options.parallelism, 0, false, 1);
  number('coresPerWorker', options.coresPerWorker, 0.001, false);
  number('memoryPerWorker', options.memoryPerWorker, 0.001, false);
  number('maxWorkersPerNode', options.maxWorkersPerNode, 1, true);
  number('nodeWorkers', options.nodeWorkers, 0, true);
  const python = settlePython(options.python, problems);
  if (options.nodeWorkers === 0 && python === undefined)
    problems.push({ path: 'nodeWorkers', problem: '0 leaves no worker at all; add python: true' });
  number('workerPort', options.workerPort, 1, true, 65_535);
  if (options.largeValues !== false) number('largeValues', options.largeValues, 1, true);
  if (options.prefetch !== 'auto') number('prefetch', options.prefetch, 0, true);
  oneOf('strategy', ['none', 'simple', 'htex-auto-scale']);
  oneOf('managerSelector', ['random', 'block-id']);
  oneOf('onInterchangeLost', ['fail', 'resend']);
  oneOf('encrypted', [true, false]);
  oneOf('debug', [true, false]);
  address('address');
  address('loopbackAddress');
  range('workerPortRange');
  range('interchangePortRange');
  const { cpuAffinity = 'none', accelerators = [] } = options;
  if (!/^(?:none|block|block-reverse|alternating|list:[\d,:-]+)$/i.test(String(cpuAffinity)))
    add('cpuAffinity', 'none, block, block-reverse, alternating or list:…', cpuAffinity);
  const names =
    typeof accelerators === 'number' ? Array.from({ length: accelerators }, (_, index) => String(index)) : accelerators;
  const settled = {
    label: options.label ?? 'htex',
    provider: options.provider ?? defaults.provider(),
    blocks: { init, min, max },
    parallelism: options.parallelism ?? 1,
    strategy: options.strategy ?? 'simple',
    onBlockError: options.onBlockError ?? defaults.onBlockError,
    coresPerWorker: options.coresPerWorker ?? 1,
    memoryPerWorker: options.memoryPerWorker,
    maxWorkersPerNode: options.maxWorkersPerNode,
    cpuAffinity,
    accelerators: names,
    python,
    nodeWorkers: options.nodeWorkers,
    runtimes: [
      ...(options.nodeWorkers === 0 ? [] : ['node' as const]),
      ...(python === undefined ? [] : ['python' as const]),
    ],
    prefetch: options.prefetch ?? 'auto',
    drainPeriodMs: options.drainPeriod === undefined ? undefined : duration('drainPeriod', 0),
    address: options.address,
    loopbackAddress: options.loopbackAddress ?? '127.0.0.1',
    workerPort: options.workerPort,
    workerPortRange: options.workerPortRange ?? [54_000, 55_000],
    interchangePortRange: options.interchangePortRange ?? [55_000, 56_000],
    workerLogDirectory: options.workerLogDirectory,
    managerSelector: options.managerSelector ?? 'random',
    encrypted: options.encrypted ?? true,
    largeValues: options.largeValues ?? 8_192,
    debug: options.debug ?? false,
    onInterchangeLost: options.onInterchangeLost ?? 'fail',
    interchangeCommand: options.interchangeCommand,
    bundle: settleBundle(options, problems),
    launchCommand: options.launchCommand ?? '{command}',
    maxIdleMs: duration('maxIdle', '2m'),
    strategyPeriodMs: duration('strategyPeriod', '5s'),
    heartbeatPeriodMs: duration('heartbeatPeriod', '30s'),
    heartbeatThresholdMs: duration('heartbeatThreshold', '120s'),
    addressProbeTimeoutMs: duration('addressProbeTimeout', '30s'),
  } as const;
  if (problems.length > 0) throw new ConfigError('htex()', problems);
  return settled;
}

function settleBundle(options: AnySettings, problems: ConfigProblem[]): BundleSettings | undefined {
  const { bundle, interchangeCommand } = options;
  if (bundle === undefined || bundle === false) return undefined;
  if (interchangeCommand !== undefined)
    problems.push({ path: 'bundle', problem: "Parsl's interchange cannot carry it; leave interchangeCommand out" });
  if (bundle === true) return {};
  const { external = [], ...others } = (
    typeof bundle === 'object' ? (bundle ?? { wrong: bundle }) : { wrong: bundle }
  ) as BundleSettings;
  if (Object.keys(others).length > 0 || !Array.isArray(external) || external.some((one) => typeof one !== 'string'))
    problems.push({ path: 'bundle', problem: 'expected true, or { external: [names of packages] }' });
  return { external };
}

function settlePython(given: unknown, problems: ConfigProblem[]): SettledPython | undefined {
  if (given === undefined || given === false) return undefined;
  const settings = given === true ? {} : typeof given === 'string' ? { interpreter: given } : given;
  const add = (path: string, problem: string): void => void problems.push({ path, problem });
  if (typeof settings !== 'object' || settings === null) {
    add('python', `expected true, an interpreter or { interpreter, workers, path }, not ${String(given)}`);
    return undefined;
  }
  const { interpreter = 'python3', workers, path = [], ...others } = settings as PythonSettings;
  for (const key of Object.keys(others)) add(`python.${key}`, 'unknown option; there are interpreter, workers, path');
  if (typeof interpreter !== 'string' || interpreter === '')
    add('python.interpreter', `expected a command or a path, not ${String(interpreter)}`);
  if (workers !== undefined && (!Number.isInteger(workers) || workers < 1))
    add('python.workers', `expected a whole number from 1 up, not ${String(workers)}`);
  if (!Array.isArray(path) || path.some((one) => typeof one !== 'string'))
    add('python.path', `expected a list of directories, not ${String(path)}`);
  return { interpreter, workers, path };
}

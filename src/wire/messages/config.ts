// The configuration a submitter writes to its interchange's standard input: one pickled dict. Read by the interchange's
// shell, written by the submitter that starts a Python interchange.
import { join } from 'node:path';
import type { Result } from '../../base/result.ts';
import {
  decodePrefix,
  encode,
  field,
  type PickleLimits,
  type PickleValue,
  PyGlobal,
  PyObject,
  PyTuple,
  toNumber,
} from '../pickle.ts';
import type { Era } from './era.ts';

/** What an interchange is told at its start. */
export interface InterchangeConfig {
  /** IP literal where the submitter bound its three sockets. */
  readonly clientAddress: string;
  readonly clientPorts: readonly [tasks: number, results: number, command: number];
  /** IP literal to listen on for pools; `undefined`: all interfaces. */
  readonly interchangeAddress: string | undefined;
  /** Whether the submitter's pools use one port, or a task and a result port (before 2025.06.30). */
  readonly poolPorts: 'one' | 'two';
  /** Fixed port or ports for pools; empty: free ones out of the range. */
  readonly workerPorts: readonly number[];
  /** The upper bound is exclusive. */
  readonly workerPortRange: readonly [from: number, to: number];
  /** Where monitoring listens, if it does. */
  readonly hub: { readonly address: string; readonly port: number } | undefined;
  readonly heartbeatThresholdMs: number;
  readonly logdir: string;
  readonly isDebug: boolean;
  readonly certDir: string | undefined;
  readonly selector: 'random' | 'block-id';
  /** A selector class we do not know, replaced by `random`. */
  readonly unknownSelector: string | undefined;
  readonly runId: string | undefined;
  readonly log: LogChoice;
  readonly checksVersions: boolean;
  /** The eras whose submitters write a configuration of this form. */
  readonly eras: readonly Era[];
}

/**
 * Which log a submitter wants: text lines, JSON lines, none. `unknown` names a class we do not know. Lines below
 * `level`, one of Python's numbers (10 debug, 20 info, 30 warning, 40 error), are not wanted; `format` is a format
 * string of Python's logging.
 */
export type LogChoice =
  | { readonly kind: 'file'; readonly level: number; readonly format?: string }
  | { readonly kind: 'json'; readonly level: number }
  | { readonly kind: 'none' }
  | { readonly kind: 'unknown'; readonly level: number; readonly name: string };

const configLimits: Partial<PickleLimits> = { maxBytes: 16 * 1024 * 1024, maxDepth: 100 };

/**
 * Reads the configuration of any era. Python wants every key of its own release; here a missing key has its default,
 * apart from those nothing works without. All faults are named at once.
 */
export function readConfig(bytes: Uint8Array): Result<InterchangeConfig> {
  const decoded = decodePrefix(bytes, configLimits);
  if (!decoded.ok) return { ok: false, error: `the configuration on standard input is ${decoded.error.message}` };
  return checkConfig(decoded.value.value);
}

/**
 * The same configuration as JSON, with the same keys; lists stand for tuples, and `manager_selector` and `log_config`
 * are the names of Parsl's classes.
 */
export function readConfigJson(source: string): Result<InterchangeConfig> {
  try {
    const value: unknown = JSON.parse(source);
    return checkConfig(fromJson(value));
  } catch (error) {
    // Only JSON.parse throws here.
    return { ok: false, error: `the configuration is no JSON: ${(error as Error).message}` };
  }
}

function fromJson(value: unknown): PickleValue {
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value === 'object' && value !== null) {
    return new Map(Object.entries(value).map(([key, item]): [PickleValue, PickleValue] => [key, fromJson(item)]));
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
}

function checkConfig(config: PickleValue): Result<InterchangeConfig> {
  if (!(config instanceof Map)) return { ok: false, error: 'the configuration is no dict' };
  const faults: string[] = [];
  const clientPorts = numbers(config.get('client_ports'));
  if (clientPorts.length !== 3) faults.push('client_ports must be three ports');
  const clientAddress = text(config.get('client_address'));
  if (clientAddress === undefined) faults.push('client_address must be an IP address');
  const logdir = pathText(config.get('logdir'));
  if (logdir === undefined) faults.push('logdir must be a directory');
  const poolPorts = config.has('worker_ports') ? 'two' : 'one';
  const given = config.get(poolPorts === 'two' ? 'worker_ports' : 'worker_port');
  const workerPorts = numbers(given instanceof PyTuple || Array.isArray(given) ? given : new PyTuple([given ?? 0]));
  const range = numbers(config.get('worker_port_range'));
  const hubAddress = text(config.get('hub_address'));
  const hubPort = toNumber(config.get('hub_zmq_port'));
  const selector = className(config.get('manager_selector'));
  const level = toNumber(config.get('logging_level')) ?? 20;
  const [tasks = 0, results = 0, command = 0] = clientPorts;
  if (clientAddress === undefined || logdir === undefined || faults.length > 0) {
    return { ok: false, error: `the configuration is wrong: ${faults.join('; ')}` };
  }
  return {
    ok: true,
    value: {
      clientAddress,
      clientPorts: [tasks, results, command],
      interchangeAddress: text(config.get('interchange_address')),
      poolPorts,
      workerPorts: workerPorts.filter((port) => port !== 0),
      workerPortRange: [range[0] ?? 54_000, range[1] ?? 55_000],
      hub: hubAddress !== undefined && hubPort !== undefined ? { address: hubAddress, port: hubPort } : undefined,
      heartbeatThresholdMs: (toNumber(config.get('heartbeat_threshold')) ?? 120) * 1_000,
      logdir,
      isDebug: level <= 10,
      certDir: pathText(config.get('cert_dir')),
      selector: selector === 'BlockIdManagerSelector' ? 'block-id' : 'random',
      unknownSelector: selector === undefined || selector in knownSelectors ? undefined : selector,
      runId: text(config.get('run_id')),
      log: logChoice(config.get('log_config'), level),
      checksVersions: config.get('_check_python_mismatch') !== false,
      eras: erasOfConfig(config),
    },
  };
}

const knownSelectors = { RandomManagerSelector: true, BlockIdManagerSelector: true } as const;

function text(value: PickleValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** A path as text, or as an object of Python's pathlib: its class, called with the path's parts. */
function pathText(value: PickleValue | undefined): string | undefined {
  if (!(value instanceof PyObject) || !(value.callee instanceof PyGlobal)) return text(value);
  const parts = value.args.items.filter((part): part is string => typeof part === 'string');
  const isPath = /^pathlib(\.|$)/.test(value.callee.module) && parts.length === value.args.items.length;
  return isPath && parts.length > 0 ? join(...parts) : undefined;
}

function numbers(value: PickleValue | undefined): number[] {
  const items = value instanceof PyTuple ? value.items : Array.isArray(value) ? value : [];
  return items.map((item) => toNumber(item)).filter((item): item is number => item !== undefined);
}

/** The name of the class an object was made from. */
function className(value: PickleValue | undefined): string | undefined {
  if (typeof value === 'string') return value;
  if (!(value instanceof PyObject)) return undefined;
  // Protocols below 2 make objects by calling copyreg._reconstructor(class, ...).
  const made =
    value.callee instanceof PyGlobal && value.callee.name === '_reconstructor' ? value.args.items[0] : value.callee;
  return made instanceof PyGlobal ? made.name : 'an object made by no class';
}

/** @param usual - the level where the choice names none */
function logChoice(value: PickleValue | undefined, usual: number): LogChoice {
  const name = className(value);
  const level = toNumber(attribute(value, 'level')) ?? usual;
  const format = attribute(value, 'format_string');
  switch (name) {
    case undefined:
    case 'FileLogging':
      return { kind: 'file', level, ...(typeof format === 'string' && format.length <= 4_096 ? { format } : {}) };
    case 'JSONLogging':
      return { kind: 'json', level };
    case 'NoopLogging':
      return { kind: 'none' };
    default:
      return { kind: 'unknown', level: usual, name };
  }
}

/** An attribute of a pickled object that has no reduction of its own: its state is the dict of them. */
function attribute(value: PickleValue | undefined, name: string): PickleValue | undefined {
  return value instanceof PyObject ? field(value.state ?? null, name) : undefined;
}

/** Between 2025.09.15 and 2026.05.18 the form did not change; only tasks tell more then. */
function erasOfConfig(config: PickleValue): readonly Era[] {
  if (field(config, 'worker_ports') !== undefined) return ['A', 'B'];
  if (field(config, 'log_config') !== undefined) return ['G', 'H', 'I'];
  return field(config, '_check_python_mismatch') === undefined ? ['C', 'D'] : ['D', 'E', 'F', 'G'];
}

/** The configuration for a Python interchange of 2026.05.18 or later: exactly the keys it takes. */
export function writeConfig(config: InterchangeConfig & { readonly pollPeriodMs?: number }): Uint8Array {
  const selectorName = config.selector === 'block-id' ? 'BlockIdManagerSelector' : 'RandomManagerSelector';
  const selectorClass = new PyGlobal('parsl.executors.high_throughput.manager_selector', selectorName);
  return encode(
    new Map<PickleValue, PickleValue>([
      ['client_address', config.clientAddress],
      ['client_ports', new PyTuple([...config.clientPorts])],
      ['interchange_address', config.interchangeAddress ?? null],
      ['worker_port', config.workerPorts[0] ?? null],
      ['worker_port_range', new PyTuple([...config.workerPortRange])],
      ['hub_address', config.hub?.address ?? config.clientAddress],
      ['hub_zmq_port', config.hub?.port ?? null],
      ['heartbeat_threshold', Math.max(1, Math.ceil(config.heartbeatThresholdMs / 1_000))],
      ['logdir', config.logdir],
      ['logging_level', config.isDebug ? 10 : 20],
      ['poll_period', config.pollPeriodMs ?? 10],
      ['cert_dir', config.certDir ?? null],
      ['manager_selector', new PyObject('new', selectorClass, new PyTuple([]))],
      ['run_id', config.runId ?? null],
      ['log_config', null],
      ['_check_python_mismatch', config.checksVersions],
    ]),
  );
}

// The configuration a submitter writes to its interchange's standard input: one pickled dict. Read by the interchange's
// shell, written by the submitter that starts a Python interchange.
import { isIP } from 'node:net';
import { join } from 'node:path';
import { nearest } from '../../base/nearest.ts';
import type { Result } from '../../base/result.ts';
import {
  decodePrefix,
  encode,
  field,
  type PickleLimits,
  type PickleValue,
  PyFloat,
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
  /** Fixed port or ports for pools, of a pair also 0 for any free port; empty: free ones out of the range. */
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
  return checkConfig(decoded.value.value, false);
}

/**
 * The same configuration as JSON, with the same keys; lists stand for tuples, and `manager_selector` and `log_config`
 * are the names of Parsl's classes. People write it, so that nothing in it may be unknown.
 */
export function readConfigJson(source: string): Result<InterchangeConfig> {
  try {
    const value: unknown = JSON.parse(source);
    return checkConfig(fromJson(value), true);
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

/**
 * @param isByHand - written by a person: then nothing in it may be unknown. A later Parsl may add keys and classes.
 */
function checkConfig(config: PickleValue, isByHand: boolean): Result<InterchangeConfig> {
  if (!(config instanceof Map)) return { ok: false, error: 'the configuration is no dict' };
  const faults: string[] = [];
  /** A value of a wrong type must not count as a missing one: without its directory a run would not be encrypted. */
  const take = <Value>(
    key: string,
    read: (value: PickleValue | undefined) => Value | undefined,
    what: string,
    isNeeded = false,
  ): Value | undefined => {
    const given = config.get(key);
    const value = read(given);
    const isMissing = given === undefined || given === null;
    if (value === undefined && (isNeeded || !isMissing))
      faults.push(`${key} must be ${what}${isMissing ? '' : `, and is ${show(given)}`}`);
    return value;
  };
  const clientPorts = take('client_ports', ports(3), 'three ports', true);
  const clientAddress = take('client_address', address, 'an IP address or a host name', true);
  const logdir = take('logdir', pathText, 'a directory', true);
  const interchangeAddress = take('interchange_address', address, 'an IP address, a host name or null');
  const poolPorts = config.has('worker_ports') ? 'two' : 'one';
  const workerPorts =
    poolPorts === 'two'
      ? take('worker_ports', ports(2), 'two ports or null')
      : take('worker_port', ports(1), 'a port or null');
  const range = take('worker_port_range', portRange, 'two ports, the first below the second');
  const hubAddress = take('hub_address', address, 'an IP address, a host name or null');
  const hubPort = take('hub_zmq_port', ports(1), 'a port or null');
  const threshold = take('heartbeat_threshold', positive, 'a number of seconds above 0');
  const level = take('logging_level', toNumberOf, 'a number') ?? 20;
  const certDir = take('cert_dir', pathText, 'a directory or null');
  const checksVersions = take('_check_python_mismatch', truth, 'true or false') ?? true;
  const runId = take('run_id', text, 'a text or null');
  const selector = className(config.get('manager_selector'));
  if (isByHand) {
    take('manager_selector', oneOf(selectorNames), selectorNames.join(' or '));
    take('log_config', oneOf(logNames), `${logNames.join(', ')} or null`);
    for (const key of config.keys()) if (!isKnown(key)) faults.push(unknownKey(key));
  }
  if (clientAddress === undefined || logdir === undefined || clientPorts === undefined || faults.length > 0) {
    return { ok: false, error: `the configuration is wrong: ${faults.join('; ')}` };
  }
  const [tasks = 0, results = 0, command = 0] = clientPorts;
  return {
    ok: true,
    value: {
      clientAddress,
      clientPorts: [tasks, results, command],
      interchangeAddress,
      poolPorts,
      workerPorts: poolPorts === 'one' && workerPorts?.[0] === 0 ? [] : (workerPorts ?? []),
      workerPortRange: range ?? [54_000, 55_000],
      hub:
        hubAddress !== undefined && hubPort?.[0] !== undefined ? { address: hubAddress, port: hubPort[0] } : undefined,
      heartbeatThresholdMs: (threshold ?? 120) * 1_000,
      logdir,
      isDebug: level <= 10,
      certDir,
      selector: selector === 'BlockIdManagerSelector' ? 'block-id' : 'random',
      unknownSelector: selector === undefined || selector in knownSelectors ? undefined : selector,
      runId,
      log: logChoice(config.get('log_config'), level),
      checksVersions,
      eras: erasOfConfig(config),
    },
  };
}

/** Every key that Parsl has had. */
const knownKeys = [
  'client_address',
  'client_ports',
  'interchange_address',
  'worker_port',
  'worker_ports',
  'worker_port_range',
  'hub_address',
  'hub_zmq_port',
  'heartbeat_threshold',
  'logdir',
  'logging_level',
  'poll_period',
  'cert_dir',
  'manager_selector',
  'run_id',
  'log_config',
  '_check_python_mismatch',
] as const;

function isKnown(key: PickleValue): boolean {
  return (knownKeys as readonly PickleValue[]).includes(key);
}

function unknownKey(key: PickleValue): string {
  const meant = typeof key === 'string' ? nearest(key, knownKeys) : undefined;
  return `${typeof key === 'string' ? key : show(key)} is no key${meant === undefined ? '' : `; did you mean ${meant}?`}`;
}

/** A value in a message: short, on one line. */
function show(value: PickleValue | undefined): string {
  const plain = (item: PickleValue | undefined): string => {
    if (typeof item === 'string') return JSON.stringify(item.length > 60 ? `${item.slice(0, 60)}…` : item);
    if (Array.isArray(item) || item instanceof PyTuple) {
      const items = item instanceof PyTuple ? item.items : item;
      return `[${items.slice(0, 4).map(plain).join(', ')}${items.length > 4 ? ', …' : ''}]`;
    }
    if (item === null || typeof item === 'number' || typeof item === 'bigint' || typeof item === 'boolean')
      return String(item);
    return item instanceof PyFloat ? String(item.value) : 'something else';
  };
  return plain(value);
}

/** An address of a machine: an IP address, or a name, which Parsl does not use. */
function address(value: PickleValue | undefined): string | undefined {
  return typeof value === 'string' && (isIP(value) !== 0 || /^[\w-]+(\.[\w-]+)*$/.test(value)) ? value : undefined;
}

/** Reads so many ports; one may stand alone. */
function ports(count: number): (value: PickleValue | undefined) => number[] | undefined {
  return (value) => {
    const items = value instanceof PyTuple ? value.items : Array.isArray(value) ? value : [value];
    const found = items.map((item) => (item === undefined ? undefined : toNumber(item)));
    const areRight = found.every((port) => port !== undefined && Number.isInteger(port) && port >= 0 && port <= 65_535);
    return areRight && found.length === count ? (found as number[]) : undefined;
  };
}

/** The upper bound is exclusive, and may be one more than the last port. */
function portRange(value: PickleValue | undefined): readonly [number, number] | undefined {
  const items = value instanceof PyTuple ? value.items : Array.isArray(value) ? value : [];
  const [from, to] = items.map((item) => toNumber(item));
  if (items.length !== 2 || !Number.isInteger(from) || !Number.isInteger(to)) return undefined;
  return (from as number) >= 1 && (from as number) < (to as number) && (to as number) <= 65_536
    ? [from as number, to as number]
    : undefined;
}

function positive(value: PickleValue | undefined): number | undefined {
  const number = toNumberOf(value);
  return number !== undefined && number > 0 && Number.isFinite(number) ? number : undefined;
}

function toNumberOf(value: PickleValue | undefined): number | undefined {
  return value === undefined || typeof value === 'boolean' ? undefined : toNumber(value);
}

function truth(value: PickleValue | undefined): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined;
}

function oneOf(names: readonly string[]): (value: PickleValue | undefined) => string | undefined {
  return (value) => (typeof value === 'string' && names.includes(value) ? value : undefined);
}

const selectorNames = ['RandomManagerSelector', 'BlockIdManagerSelector'];
const logNames = ['FileLogging', 'JSONLogging', 'NoopLogging'];
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

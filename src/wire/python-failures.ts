// What went wrong in Python, as plain data: reads the exception objects that Python pools, workers and interchanges send. Called on
// decoded `exception` payloads, and on results, since apps send their exceptions as results. Nothing of Python is needed to read them.
//
// Three forms are met: Parsl's wrapper (class, value, traceback and cause side by side), a bare exception, and an exception pickled with
// tblib's support, which carries traceback and cause itself. Classes are named, never looked up; an exception whose class pickles itself
// in its own way keeps its type and attributes, and its arguments are those of its maker.
import type { Result } from '../base/result.ts';
import { pythonRepr, pythonText } from './pickle/repr.ts';
import { field, isGlobal, type PickleValue, type PyDict, PyGlobal, PyObject, PyTuple, toNumber } from './pickle.ts';

/** A line of a Python traceback. */
export interface PythonFrame {
  readonly file: string;
  readonly line: number;
  readonly function: string;
}

/** What kind of failure it is: of the task itself, or one that the machinery around it reports. */
export type PythonFailureKind =
  | { readonly kind: 'raised' }
  | {
      readonly kind: 'managerLost';
      readonly manager: string;
      readonly hostname: string;
      readonly timestamp: number | undefined;
    }
  | { readonly kind: 'workerLost'; readonly worker: number; readonly hostname: string }
  | { readonly kind: 'versionMismatch'; readonly interchangeVersion: string; readonly managerVersion: string };

/** A Python exception. */
export interface PythonFailure {
  readonly about: PythonFailureKind;
  /** The class: `ValueError`, `simulation.Diverged`; built-in ones without a module. */
  readonly type: string;
  /** What `str(exception)` gives, as far as that can be known without the class. At most 50,000 characters. */
  readonly message: string;
  readonly args: readonly PickleValue[];
  /** Attributes beyond the arguments. */
  readonly attributes: PyDict;
  /** Outermost call first; empty if no traceback was sent. Of a long one the 100 outermost and the 100 innermost. */
  readonly frames: readonly PythonFrame[];
  /** How many frames were left out after the first 100. */
  readonly framesLeftOut: number;
  /** Of `raise … from …`. At most 20 in a row. */
  readonly cause: PythonFailure | undefined;
  /** All of it as Python would print it, causes first. */
  readonly text: string;
}

const keptFrames = 100;
const longestTraceback = 10_000;
const longestChain = 20;
const longestName = 300;
const longestMessage = 50_000;

/** Whether a task's result is in truth its exception: Parsl's apps return theirs in a wrapper. */
export function isRemoteException(value: PickleValue | undefined): boolean {
  return value instanceof PyObject && isGlobal(value.callee, 'parsl.app.errors', 'RemoteExceptionWrapper');
}

/**
 * Reads an exception object.
 *
 * @returns a sentence instead, if the value is none (a number, a list)
 * @example
 * const failure = readPythonFailure(value);
 * if (failure.ok) log(failure.value.text);
 */
export function readPythonFailure(value: PickleValue): Result<PythonFailure> {
  const failure = readFailure(value, longestChain);
  if (failure !== undefined) return { ok: true, value: failure };
  return { ok: false, error: `the peer reported a failure, but not as an exception: ${pythonRepr(value)}` };
}

/** What an exception object says before it is put into words. */
interface Parts {
  readonly type: string;
  readonly args: readonly PickleValue[];
  readonly attributes: PyDict;
  readonly traceback: PickleValue | undefined;
  readonly cause: PickleValue | undefined;
}

function readFailure(value: PickleValue | undefined, chainLeft: number): PythonFailure | undefined {
  const parts = partsOf(value);
  if (parts === undefined || chainLeft === 0) return undefined;
  const { type, args, attributes } = parts;
  const about = kindOf(type, args, attributes);
  const message = cut(messageOf(type, args, about), longestMessage);
  const { frames, leftOut } = framesOf(parts.traceback);
  const cause = readFailure(parts.cause, chainLeft - 1);
  const failure = { about, type, message, args, attributes, frames, framesLeftOut: leftOut, cause };
  return { ...failure, text: textOf(failure) };
}

function partsOf(value: PickleValue | undefined): Parts | undefined {
  if (!(value instanceof PyObject)) return undefined;
  if (isRemoteException(value)) {
    const bare = partsOf(field(value.state, 'e_value'));
    const type = className(field(value.state, 'e_type')) ?? bare?.type;
    if (type === undefined) return undefined;
    return {
      type,
      args: bare?.args ?? [],
      attributes: bare?.attributes ?? new Map(),
      traceback: field(value.state, 'e_traceback') ?? bare?.traceback,
      cause: field(value.state, 'cause') ?? bare?.cause,
    };
  }
  const attributes = value.state instanceof Map ? value.state : new Map();
  if (isGlobal(value.callee, 'tblib.pickling_support') && value.callee.name.startsWith('unpickle_exception')) {
    // (class, arguments or attributes, cause, traceback, …): all else is of no use to a reader.
    const [maker, given, cause, traceback] = value.args.items;
    const type = className(maker);
    const args = given instanceof PyTuple ? given.items : given instanceof Map ? field(given, 'args') : undefined;
    const items = args instanceof PyTuple ? args.items : (args as PickleValue[] | undefined);
    if (type === undefined) return undefined;
    return { type, args: items ?? [], attributes: given instanceof Map ? given : attributes, traceback, cause };
  }
  const type = className(value.callee);
  return type === undefined
    ? undefined
    : { type, args: value.args.items, attributes, traceback: undefined, cause: undefined };
}

/** The name of a class, however it was pickled: by name, by dill's look-up of a built-in one, or by value. */
function className(value: PickleValue | undefined): string | undefined {
  const name = fullClassName(value);
  return name === undefined ? undefined : cut(name, longestName);
}

function fullClassName(value: PickleValue | undefined): string | undefined {
  if (value instanceof PyGlobal) return value.module === 'builtins' ? value.name : `${value.module}.${value.name}`;
  if (!(value instanceof PyObject) || !isGlobal(value.callee, 'dill._dill')) return undefined;
  const [first, second, , fields] = value.args.items;
  if (value.callee.name === '_load_type') return typeof first === 'string' ? first : undefined;
  if (value.callee.name !== '_create_type' || typeof second !== 'string') return undefined;
  const module = field(fields, '__module__');
  return typeof module === 'string' ? `${module}.${second}` : second;
}

const machinery = 'parsl.executors.high_throughput.errors.';

function kindOf(type: string, args: readonly PickleValue[], attributes: PyDict): PythonFailureKind {
  const get = (name: string, position: number): PickleValue | undefined => attributes.get(name) ?? args[position];
  switch (type) {
    case `${machinery}ManagerLost`: {
      const timestamp = toNumber(attributes.get('tstamp'));
      return {
        kind: 'managerLost',
        manager: nameText(get('manager_id', 0)),
        hostname: nameText(get('hostname', 1)),
        timestamp,
      };
    }
    case `${machinery}WorkerLost`:
      return {
        kind: 'workerLost',
        worker: toNumber(get('worker_id', 0)) ?? -1,
        hostname: nameText(get('hostname', 1)),
      };
    case `${machinery}VersionMismatch`:
      return {
        kind: 'versionMismatch',
        interchangeVersion: nameText(get('interchange_version', 0)),
        managerVersion: nameText(get('manager_version', 1)),
      };
    default:
      return { kind: 'raised' };
  }
}

/** A name that may come as bytes. */
function nameText(value: PickleValue | undefined): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  return value === undefined ? 'unknown' : pythonText(value);
}

const systemErrors = new Set([
  ...[
    'OSError',
    'IOError',
    'EnvironmentError',
    'BlockingIOError',
    'ChildProcessError',
    'ConnectionError',
    'BrokenPipeError',
  ],
  ...[
    'ConnectionAbortedError',
    'ConnectionRefusedError',
    'ConnectionResetError',
    'FileExistsError',
    'FileNotFoundError',
  ],
  ...[
    'InterruptedError',
    'IsADirectoryError',
    'NotADirectoryError',
    'PermissionError',
    'ProcessLookupError',
    'TimeoutError',
  ],
]);

function messageOf(type: string, args: readonly PickleValue[], about: PythonFailureKind): string {
  switch (about.kind) {
    case 'managerLost':
      return `manager ${about.manager} on ${about.hostname} was lost, with the task`;
    case 'workerLost':
      return `worker ${about.worker} on ${about.hostname} was lost, with the task`;
    case 'versionMismatch':
      return `the manager has ${about.managerVersion}, the interchange ${about.interchangeVersion}`;
    case 'raised':
  }
  const [first, second, third] = args;
  if (first === undefined) return '';
  if (systemErrors.has(type) && second !== undefined) {
    const path = third === undefined || third === null ? '' : `: ${pythonRepr(third)}`;
    return `[Errno ${pythonRepr(first)}] ${pythonText(second)}${path}`;
  }
  if (args.length > 1) return pythonRepr(new PyTuple([...args]));
  return type === 'KeyError' ? pythonRepr(first) : pythonText(first);
}

function framesOf(traceback: PickleValue | undefined): { frames: PythonFrame[]; leftOut: number } {
  const frames: PythonFrame[] = [];
  let count = 0;
  let at = traceback;
  while (at instanceof PyObject && count < longestTraceback) {
    // As an object with attributes, or as a call with (frame, line, next).
    const { state, args } = at;
    const code = stateOf(field(stateOf(field(state, 'tb_frame') ?? args.items[0]), 'f_code'));
    const line: number = toNumber(field(state, 'tb_lineno') ?? args.items[1]) ?? 0;
    frames.push({ file: shortText(field(code, 'co_filename')), line, function: shortText(field(code, 'co_name')) });
    if (frames.length > 2 * keptFrames) frames.splice(keptFrames, 1);
    count++;
    at = state === undefined ? args.items[2] : field(state, 'tb_next');
  }
  return { frames, leftOut: count - frames.length };
}

function stateOf(value: PickleValue | undefined): PickleValue | undefined {
  return value instanceof PyObject ? value.state : undefined;
}

function shortText(value: PickleValue | undefined): string {
  return typeof value === 'string' ? cut(value, longestName) : '?';
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}...` : text;
}

function textOf(failure: Omit<PythonFailure, 'text'>): string {
  const { type, message, attributes, frames, framesLeftOut, cause } = failure;
  const lines: string[] = [];
  if (cause !== undefined) {
    lines.push(cause.text, '', 'The above exception was the direct cause of the following exception:', '');
  }
  if (frames.length > 0) lines.push('Traceback (most recent call last):');
  for (const [index, frame] of frames.entries()) {
    if (framesLeftOut > 0 && index === keptFrames) lines.push(`  ... ${framesLeftOut} more frames ...`);
    lines.push(`  File "${frame.file}", line ${frame.line}, in ${frame.function}`);
  }
  lines.push(message === '' ? type : `${type}: ${message}`);
  const notes = attributes.get('__notes__');
  if (Array.isArray(notes)) for (const note of notes.slice(0, 20)) lines.push(cut(pythonText(note), longestName));
  return lines.join('\n');
}

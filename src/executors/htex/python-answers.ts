// What came back for a Python function: its value, or its failure, from workers of ours (plain data) and from Parsl's (its wrapper of an
// exception). For answers.ts.
import {
  AppError,
  CancelledError,
  DeserializationError,
  ExecutorFailedError,
  FunctionNotFoundError,
  ManagerLostError,
  type RemoteError,
  SerializationError,
  type TaskError,
  WorkerLostError,
} from '../../task/errors.ts';
import type { Answer, Attempt, PythonFunction } from '../../task/ports.ts';
import { errorFromRemote } from '../../wire/failures.ts';
import { decodePrefix, field, type PickleValue } from '../../wire/pickle.ts';
import { fromPython } from '../../wire/python/from-python.ts';
import { isRemoteException, type PythonFailure, readPythonFailure } from '../../wire/python-failures.ts';

/** What of a try must be known to read what came of it. */
export type Asked = Pick<Attempt, 'body' | 'pythonWrappers'>;

/** A payload of Parsl's: serializer id, line feed, pickle. */
export function isPythonPayload(bytes: Uint8Array): boolean {
  return bytes[0] === 0x30 || bytes[0] === 0x43;
}

/** The value of a Python function; or its failure, which Parsl's apps give as if it were their value. */
export function pythonAnswer(bytes: Uint8Array, label: string, asked: Asked): Answer {
  const { body } = asked;
  const decoded = decodePayload(bytes);
  if (!decoded.ok)
    return {
      ok: false,
      error: new DeserializationError(`The result of ${body.name}() cannot be read: ${decoded.error.message}`),
    };
  const { value } = decoded.value;
  if (isRemoteException(value)) return { ok: false, error: pythonError(bytes, label, asked) };
  try {
    return { ok: true, value: fromPython(value, `the result of ${body.name}()`) };
  } catch (thrown) {
    if (thrown instanceof SerializationError) return { ok: false, error: thrown };
    throw thrown;
  }
}

/** The error of a failure in Python, or of what Parsl's machinery reports. */
export function pythonError(bytes: Uint8Array, label: string, asked: Asked | undefined): TaskError {
  const decoded = decodePayload(bytes);
  if (!decoded.ok) return new DeserializationError(`The task failed, and how cannot be read: ${decoded.error.message}`);
  const { value } = decoded.value;
  const own = field(value, 'chervil_failure');
  if (own !== undefined) return ownError(own, asked);
  const read = readPythonFailure(value);
  if (!read.ok) return new DeserializationError(`The task failed, and how cannot be read: ${read.error}`);
  const { about, type, message } = read.value;
  switch (about.kind) {
    case 'managerLost':
      return new ManagerLostError(about.manager, about.hostname);
    case 'versionMismatch':
      return new ExecutorFailedError(
        label,
        `versions differ: interchange ${about.interchangeVersion}, manager ${about.managerVersion}`,
      );
    case 'workerLost':
      return new WorkerLostError({ worker: String(about.worker), host: about.hostname });
    case 'raised': {
      if (message.startsWith('This task was cancelled')) return new CancelledError();
      const lost =
        type === 'ModuleNotFoundError'
          ? functionsOf(asked).find(({ module }) => namesPart(message, module))
          : undefined;
      if (lost !== undefined) return missing(lost, `${type}: ${message}`, 'that worker', []);
      return appError(remoteOf(read.value));
    }
    default:
      return about satisfies never;
  }
}

function decodePayload(bytes: Uint8Array): ReturnType<typeof decodePrefix> {
  return decodePrefix(bytes.subarray(bytes.indexOf(0x0a) + 1));
}

/** A function that a worker loads by its name; `around` what, if it is a wrapper. */
interface NamedFunction {
  readonly module: string;
  readonly name: string;
  readonly around?: string;
}

/** What a worker loads for a try, but for what came as text. */
function functionsOf(asked: Asked | undefined): NamedFunction[] {
  if (asked === undefined) return [];
  const { body, pythonWrappers = [] } = asked;
  const { module, name } = body.source as PythonFunction;
  const wrappers = pythonWrappers.map((wrapper) => ({ ...wrapper, around: body.name }));
  return [{ module, name }, ...wrappers].filter((one): one is NamedFunction => one.module !== undefined);
}

/** Whether Python says that it does not find the module, or a package that it is in: not one that the module imports. */
function namesPart(message: string, module: string): boolean {
  const named = /'([\w.]+)'/.exec(message)?.[1];
  return named !== undefined && `${module}.`.startsWith(`${named}.`);
}

function remoteOf({ type, message, text, cause, args, attributes }: PythonFailure): RemoteError {
  return {
    name: withoutOwnModules(type),
    message,
    stack: withoutOwnModules(text),
    fields: { args: plainOf(args as PickleValue[]), ...(plainOf(attributes) as object) },
    ...(cause === undefined ? {} : { cause: remoteOf(cause) }),
  };
}

/** Data as it is here; what is none is left away. */
function plainOf(value: PickleValue): unknown {
  try {
    return fromPython(value, 'a field of an exception');
  } catch {
    // An instance of a class: the exception is told without it.
    return Array.isArray(value) ? [] : {};
  }
}

/** As worker.py writes it. */
function ownError(told: PickleValue, asked: Asked | undefined): TaskError {
  const unsendable = field(told, 'unsendable');
  if (unsendable !== undefined)
    return new SerializationError(
      `the result of ${asked?.body.name ?? 'a Python function'}()`,
      `${String(unsendable)}. Return plain data.`,
    );
  const remote = ownRemote(told);
  const place = field(told, 'loading');
  // What cannot be loaded is not said of a function that came as text, and failed by itself.
  const lost = functionsOf(asked).find(
    ({ module, name }) => module === field(place, 'module') && name === field(place, 'name'),
  );
  if (place === undefined || lost === undefined) return appError(remote);
  const path = field(place, 'path');
  const where = `${String(field(place, 'python'))} on ${String(field(place, 'host'))}`;
  return missing(lost, `${remote.name}: ${remote.message}`, where, Array.isArray(path) ? path.map(String) : [], remote);
}

function missing(
  { module, name, around }: NamedFunction,
  said: string,
  where: string,
  path: readonly string[],
  remote?: RemoteError,
): FunctionNotFoundError {
  const looked = path.length === 0 ? '' : ` It looked in ${path.join(', ')}.`;
  const which =
    around === undefined
      ? `the function of the module ${module}`
      : `the function ${name} of the module ${module}, which \`wrap\` puts around ${around}()`;
  return new FunctionNotFoundError(
    `python:${module}`,
    `${where} cannot load ${which}: ${said}.${looked} Name the directory that has it: htex({ python: { path: ['…'] } }), or install it there.`,
    remote === undefined ? undefined : errorFromRemote(remote),
  );
}

function ownRemote(told: PickleValue): RemoteError {
  const text = (key: string): string => {
    const value = field(told, key);
    return typeof value === 'string' ? value : '';
  };
  const cause = field(told, 'cause');
  return {
    name: text('type'),
    message: text('message'),
    stack: withoutOwnModules(text('text')),
    fields: {
      args: plainOf(field(told, 'args') ?? []),
      ...(plainOf(field(told, 'attributes') ?? new Map()) as object),
    },
    ...(cause === undefined ? {} : { cause: ownRemote(cause) }),
  };
}

/** Classes of a function that came as text have a module that nobody named. */
function withoutOwnModules(text: string): string {
  return text.replaceAll(/\bpythonApp_\w+\./g, '');
}

function appError(remote: RemoteError): AppError {
  return new AppError(remote, errorFromRemote(remote));
}

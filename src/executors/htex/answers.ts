// What came back for a task, as the kernel wants it: values and failures of Node workers, and the failures that the interchange makes.
import {
  AppError,
  CancelledError,
  DeserializationError,
  ExecutorFailedError,
  ManagerLostError,
  SerializationError,
  type TaskError,
  WorkerLostError,
} from '../../task/errors.ts';
import type { Answer, Body } from '../../task/ports.ts';
import { errorFromRemote, failureFromData } from '../../wire/failures.ts';
import type { Outcome } from '../../wire/messages/item.ts';
import { decodePrefix } from '../../wire/pickle.ts';
import { fromPython } from '../../wire/python/from-python.ts';
import { isRemoteException, readPythonFailure } from '../../wire/python-failures.ts';
import { fromBytes } from '../../wire/values.ts';

/** The answer of an outcome; a promise only if a class must be loaded for its value. Never throws, never rejects. */
export function answerOf(outcome: Outcome, label: string, body?: Body): Answer | Promise<Answer> {
  const { bytes, isException } = outcome;
  try {
    if (!isException && body?.kind === 'python') return pythonAnswer(bytes, label, body.name);
    if (isException && isPython(bytes)) return { ok: false, error: pythonError(bytes, label) };
    const value = fromBytes(bytes);
    if (isException) return value instanceof Promise ? value.then(failure, unreadable) : failure(value);
    return value instanceof Promise
      ? value.then((ready): Answer => ({ ok: true, value: ready }), unreadable)
      : { ok: true, value };
  } catch (thrown) {
    return unreadable(thrown);
  }
}

function failure(data: unknown): Answer {
  return { ok: false, error: failureFromData(data) };
}

function unreadable(thrown: unknown): Answer {
  if (thrown instanceof DeserializationError) return { ok: false, error: thrown };
  const message = `The result of the task cannot be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  return { ok: false, error: new DeserializationError(message, { cause: thrown }) };
}

/** A payload of Parsl's: serializer id, line feed, pickle. */
function isPython(bytes: Uint8Array): boolean {
  return bytes[0] === 0x30 || bytes[0] === 0x43;
}

/** The value of a Python function; or its failure, which Parsl's apps give as if it were their value. */
function pythonAnswer(bytes: Uint8Array, label: string, app: string): Answer {
  const decoded = decodePrefix(bytes.subarray(bytes.indexOf(0x0a) + 1));
  if (!decoded.ok)
    return {
      ok: false,
      error: new DeserializationError(`The result of ${app}() cannot be read: ${decoded.error.message}`),
    };
  const { value } = decoded.value;
  if (isRemoteException(value)) return { ok: false, error: pythonError(bytes, label) };
  try {
    return { ok: true, value: fromPython(value, `the result of ${app}()`) };
  } catch (thrown) {
    if (thrown instanceof SerializationError) return { ok: false, error: thrown };
    throw thrown;
  }
}

function pythonError(bytes: Uint8Array, label: string): TaskError {
  const decoded = decodePrefix(bytes.subarray(bytes.indexOf(0x0a) + 1));
  if (!decoded.ok) return new DeserializationError(`The task failed, and how cannot be read: ${decoded.error.message}`);
  const read = readPythonFailure(decoded.value.value);
  if (!read.ok) return new DeserializationError(`The task failed, and how cannot be read: ${read.error}`);
  const { about, type, message, text } = read.value;
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
      const remote = { name: type, message, stack: text };
      return new AppError(remote, errorFromRemote(remote));
    }
    default:
      return about satisfies never;
  }
}

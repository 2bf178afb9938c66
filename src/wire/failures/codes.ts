// The failure of a task as data, and again: one row for each code. Workers, pools and executors answer with them.
import {
  AppError,
  BadStreamError,
  BashExitError,
  BashNoCommandError,
  CancelledError,
  DeadlineError,
  DeserializationError,
  ExecutorFailedError,
  FileNotFoundError,
  FunctionNotFoundError,
  JoinResultError,
  ManagerLostError,
  MemoCycleError,
  MemoKeyError,
  MissingOutputsError,
  type RemoteError,
  SerializationError,
  StagingError,
  type TaskError,
  TimeoutError,
  UnsupportedError,
  WorkerLostError,
} from '../../task/errors.ts';
import { decodeWithoutInstances } from '../values/decode.ts';
import { encodeFailure } from '../values/encode.ts';
import { hide } from '../values/thrown.ts';
import { Details } from './details.ts';
import { errorFromRemote, failureFromThrown, isRemote } from './remote.ts';

/** How the failures of one code cross: what of their own they have, and how one is made of it. */
interface Row<Failure extends TaskError> {
  readonly details: (error: Failure) => Record<string, unknown>;
  /** Message, stack and cause are set afterwards. */
  readonly make: (details: Details) => Failure;
}

const nothing = (): Record<string, unknown> => ({});

/** `as text`: made by the kernel alone, of other tasks' failures. If it crosses at all, then as an AppError that tells of it. */
const rows = {
  APP_ERROR: {
    details: ({ remote }) => ({ remote }),
    make: (details) => {
      const remote = details.remote('remote');
      return new AppError(remote, errorFromRemote(remote));
    },
  },
  BASH_EXIT: {
    details: ({ exitCode, signal, command, stderrTail }) => ({ exitCode, signal, command, stderrTail }),
    make: (details) =>
      new BashExitError({
        exitCode: details.numberOrNull('exitCode'),
        signal: details.textOrNull('signal'),
        command: details.text('command'),
        stderrTail: details.text('stderrTail'),
      }),
  },
  BASH_NO_COMMAND: { details: nothing, make: () => new BashNoCommandError() },
  MISSING_OUTPUTS: {
    details: ({ missing }) => ({ missing }),
    make: (details) => new MissingOutputsError(details.texts('missing')),
  },
  BAD_STREAM: {
    details: ({ path }) => ({ path }),
    make: (details) => new BadStreamError('a stream', details.text('path'), undefined),
  },
  TIMEOUT: {
    details: ({ timeoutMs, loading }) => ({ timeoutMs, isLoading: loading !== undefined, modules: loading ?? [] }),
    make: (details) =>
      new TimeoutError(
        details.number('timeoutMs'),
        details.isTrue('isLoading') ? { modules: details.texts('modules'), limitMs: 0 } : undefined,
      ),
  },
  DEADLINE: {
    details: ({ deadlineMs }) => ({ deadlineMs }),
    make: (details) => new DeadlineError(details.number('deadlineMs')),
  },
  CANCELLED: { details: nothing, make: () => new CancelledError() },
  DEPENDENCY: 'as text',
  JOIN: 'as text',
  ELABORATOR: 'as text',
  JOIN_RESULT: { details: nothing, make: () => new JoinResultError() },
  WORKER_LOST: {
    details: ({ worker, host, exitCode, signal, reason, stderrTail }) => ({
      worker,
      host,
      exitCode,
      signal,
      reason,
      stderrTail,
    }),
    make: (details) =>
      new WorkerLostError({
        worker: details.text('worker'),
        host: details.text('host'),
        exitCode: details.numberOrNull('exitCode'),
        signal: details.textOrNull('signal'),
        reason: details.oneOf('reason', ['memory', 'exit', 'crash', 'unknown'], 'unknown'),
        stderrTail: details.text('stderrTail'),
      }),
  },
  MANAGER_LOST: {
    details: ({ manager, host }) => ({ manager, host }),
    make: (details) => new ManagerLostError(details.text('manager'), details.text('host')),
  },
  EXECUTOR_FAILED: {
    details: ({ executor, problem }) => ({ executor, problem }),
    make: (details) => new ExecutorFailedError(details.text('executor'), details.text('problem')),
  },
  SERIALIZATION: {
    details: ({ path }) => ({ path }),
    make: (details) => new SerializationError(details.text('path'), ''),
  },
  DESERIALIZATION: { details: nothing, make: () => new DeserializationError() },
  FUNCTION_NOT_FOUND: {
    details: ({ module }) => ({ module }),
    make: (details) => new FunctionNotFoundError(details.text('module'), ''),
  },
  FILE_NOT_FOUND: {
    details: ({ path }) => ({ path }),
    make: (details) => new FileNotFoundError(details.text('path'), ''),
  },
  STAGING: { details: ({ url }) => ({ url }), make: (details) => new StagingError(details.text('url'), '') },
  MEMO_KEY: { details: nothing, make: () => new MemoKeyError() },
  MEMO_CYCLE: { details: nothing, make: () => new MemoCycleError() },
  RETRY_POLICY: 'as text',
  UNSUPPORTED: { details: nothing, make: () => new UnsupportedError() },
} satisfies { readonly [Code in TaskError['code']]: Row<Extract<TaskError, { readonly code: Code }>> | 'as text' };

/**
 * A failure as data that structured clone, and `toBytes`, carry. Never throws: a cause or field that cannot be sent is
 * replaced by a text. Which task it is about (`task`) stays behind: the kernel knows that.
 */
export function failureToData(error: TaskError): unknown {
  const row = rows[error.code] as Row<never> | 'as text' | undefined; // An error of another version may have any code.
  if (row === undefined || row === 'as text') return dataOf('APP_ERROR', error, { remote: failureFromThrown(error) });
  return dataOf(error.code, error, (row as unknown as Row<TaskError>).details(error));
}

/**
 * The failure again. Never throws. A code that is not known here, of a newer Chervil, gives an AppError with its text;
 * data that is no failure at all gives a DeserializationError.
 */
export function failureFromData(data: unknown): TaskError {
  try {
    return read(new Details(decodeWithoutInstances(data)));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `The task failed, and so did reading how: ${why} Do both ends run the same version of Chervil?`;
    return new DeserializationError(message, { cause });
  }
}

function dataOf(code: string, error: TaskError, details: Record<string, unknown>): unknown {
  // The cause of an AppError is its `remote` once more.
  const cause = code === 'APP_ERROR' || error.cause === undefined ? undefined : failureFromThrown(error).cause;
  const texts = { failure: 1, code, name: error.name, message: error.message, stack: error.stack ?? '' };
  try {
    return encodeFailure({ ...texts, cause, details });
  } catch {
    // Something changed between its check and now. What happened is in the texts.
    return { ...texts, details: { remote: texts } };
  }
}

function read(data: Details): TaskError {
  if (data.number('failure') === 0) throw new TypeError('it is not marked as a failure.');
  const code = data.text('code');
  const row = Object.hasOwn(rows, code) ? rows[code as TaskError['code']] : 'as text';
  const message = data.text('message');
  const stack = data.text('stack');
  if (row === 'as text') {
    const remote: RemoteError = { name: data.text('name') || code, message, stack, code };
    return new AppError(remote, errorFromRemote(remote));
  }
  const error: TaskError = row.make(data.part('details'));
  // The peer's own text: its version may know better.
  hide(error, 'message', message);
  if (stack !== '') hide(error, 'stack', stack);
  const cause = data.cause('cause');
  if (cause !== undefined) {
    const value = isRemote(cause) ? errorFromRemote(cause) : cause.value;
    hide(error, 'cause', value);
  }
  return error;
}

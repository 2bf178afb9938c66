// Every error of Chervil, told apart by `code`. Futures reject with a TaskError; calls and load() throw a UsageError.
// An error from afar travels as RemoteError data, is rebuilt here, and keeps its origin in `remote` and `cause`.

/** An error as plain data: what a worker sends back of an error it caught. */
export interface RemoteError {
  /** Class name, such as `RangeError`, or Python's `ValueError`. */
  readonly name: string;
  readonly message: string;
  /** The stack where it was thrown, with the user's own source lines where they are known. */
  readonly stack: string;
  /** The error's own `code`, such as `ENOENT`. */
  readonly code?: string | number;
  /** Its further own fields, as values. */
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly cause?: RemoteError | { readonly value: unknown };
  /** The members of an AggregateError. */
  readonly errors?: readonly RemoteError[];
}

/** Which task an error is about. Filled in by the kernel when the task settles. */
export interface TaskPlace {
  readonly taskId: number;
  readonly app: string;
  /** Tries begun, 1 for the first. */
  readonly tries: number;
  readonly executor?: string;
}

/** What all of Chervil's errors share. */
export abstract class ChervilError extends Error {
  abstract readonly code: string;
  /** The task it is about, once known. */
  task?: TaskPlace;

  /** The first sentence alone: enough for a log line. */
  get shortMessage(): string {
    return /^.*?[.!?](?=\s|$)|^.*/.exec(this.message)?.[0] ?? this.message;
  }
}

/**
 * Makes an error without a stack: for those that tell of other errors, or of somebody's wish. The kernel's own frames would
 * explain nothing, and a hundred thousand tasks that fail because of one would pay for them.
 */
export function withoutStack<Made extends ChervilError>(make: () => Made): Made {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** The app's own code threw. `cause` is the error, rebuilt; `remote` is it as data. */
export class AppError extends ChervilError {
  override readonly name = 'AppError';
  readonly code = 'APP_ERROR';
  readonly remote: RemoteError;
  constructor(remote: RemoteError, cause: unknown) {
    super(`${remote.name}: ${remote.message}`, { cause });
    this.remote = remote;
    if (remote.stack) this.stack = `AppError: ${remote.stack}`;
  }
}

/** The command of a bash app ended with another exit code than 0, or by a signal. */
export class BashExitError extends ChervilError {
  override readonly name = 'BashExitError';
  readonly code = 'BASH_EXIT';
  /** 127: command not found; 126: not executable; `null`: ended by `signal`. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly command: string;
  /** The last lines of stderr, where Chervil has them. */
  readonly stderrTail: string;
  constructor(details: { exitCode: number | null; signal: string | null; command: string; stderrTail: string }) {
    const how =
      details.exitCode === null ? `was ended by ${details.signal}` : `ended with exit code ${details.exitCode}`;
    const hint =
      details.exitCode === 127 ? ' (command not found)' : details.exitCode === 126 ? ' (not executable)' : '';
    const tail = details.stderrTail ? `\n${details.stderrTail}` : '';
    super(`The command ${how}${hint}: ${details.command}${tail}`);
    this.exitCode = details.exitCode;
    this.signal = details.signal;
    this.command = details.command;
    this.stderrTail = details.stderrTail;
  }
}

/** The function of a bash app returned something that is no command. */
export class BashNoCommandError extends ChervilError {
  override readonly name = 'BashNoCommandError';
  readonly code = 'BASH_NO_COMMAND';
}

/** A task ended well, but files that it declared as outputs are not there. */
export class MissingOutputsError extends ChervilError {
  override readonly name = 'MissingOutputsError';
  readonly code = 'MISSING_OUTPUTS';
  readonly missing: readonly string[];
  constructor(missing: readonly string[]) {
    super(
      `The task ended without making its outputs: ${missing.join(', ')}. Check the paths that the command writes to.`,
    );
    this.missing = missing;
  }
}

/** A file for stdout or stderr could not be opened. */
export class BadStreamError extends ChervilError {
  override readonly name = 'BadStreamError';
  readonly code = 'BAD_STREAM';
  readonly path: string;
  constructor(stream: string, path: string, cause: unknown) {
    super(`Cannot open ${path} for ${stream}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.path = path;
  }
}

/**
 * One try took longer than its `timeout`, counted from the start of the body; or what the body needs was not loaded within that, or a
 * minute if that is longer. What ran was killed.
 */
export class TimeoutError extends ChervilError {
  override readonly name = 'TimeoutError';
  readonly code = 'TIMEOUT';
  readonly timeoutMs: number;
  /** The modules that did not finish loading, none if that is not known; `undefined` when the body had begun. */
  readonly loading: readonly string[] | undefined;
  /** @param loading modules that did not finish loading, and how long that could take */
  constructor(timeoutMs: number, loading?: { readonly modules: readonly string[]; readonly limitMs: number }) {
    super(
      loading === undefined
        ? `The try took longer than its timeout of ${timeoutMs} ms and was stopped.`
        : loadingMessage(loading.modules, loading.limitMs),
    );
    this.timeoutMs = timeoutMs;
    this.loading = loading?.modules;
  }
}

function loadingMessage(modules: readonly string[], limitMs: number): string {
  const what = modules.length === 0 ? 'What the body needs' : modules.join(' and ');
  const who =
    modules.length === 0
      ? 'a module, the class of an argument, or the text of a Python function,'
      : modules.length === 1
        ? 'it, or a module that it imports,'
        : 'one of them, or a module that they import,';
  return `${what} did not finish loading within ${limitMs} ms, so the try was stopped before its body began. Does ${who} wait or compute without end at its top level? If it only needs longer, give the app a timeout of more than ${limitMs} ms.`;
}

/** The task was not done within its `deadline`, counted from the call. */
export class DeadlineError extends ChervilError {
  override readonly name = 'DeadlineError';
  readonly code = 'DEADLINE';
  readonly deadlineMs: number;
  constructor(deadlineMs: number) {
    super(`The task was not done within its deadline of ${deadlineMs} ms.`);
    this.deadlineMs = deadlineMs;
  }
}

/** The task was cancelled: by `future.cancel`, by a signal, or because the run closed. `cause` is the reason given. */
export class CancelledError extends ChervilError {
  override readonly name = 'CancelledError';
  readonly code = 'CANCELLED';
  constructor(given?: unknown) {
    // One such error may be the reason for many tasks, and each has its own.
    const reason = given instanceof CancelledError ? given.cause : given;
    const why = reason instanceof Error ? reason.message : reason === undefined ? '' : String(reason);
    super(
      why ? `The task was cancelled: ${why}` : 'The task was cancelled.',
      reason === undefined ? {} : { cause: reason },
    );
  }
}

/** One thing that failed, and its description, such as `task 17`. */
export interface NamedFailure {
  readonly error: unknown;
  readonly description: string;
}

/** How a failure came to a task that did nothing wrong. */
interface Way {
  readonly chain: readonly string[];
  /** Of the whole chain, also those that are only told by number. */
  readonly links: number;
  readonly root: unknown;
  /** What a message about it says. */
  readonly text: string;
  /** The part of `text` that does not change when the chain grows: one string for a hundred thousand errors. */
  readonly end: string;
}

/** What DependencyError and JoinError share: other tasks failed, and this one because of them. */
abstract class PropagatedError extends ChervilError {
  /** Every direct failure. */
  readonly failures: readonly NamedFailure[];
  /** The first error that is not itself a consequence. Also `cause`. */
  readonly rootCause: unknown;
  /** From the nearest failure to the root: `['task 11', 'task 9']`. */
  readonly chain: readonly string[];
  readonly #links: number;
  readonly #end: string;
  constructor(what: string, failures: readonly NamedFailure[]) {
    const { error, description } = failures[0] as NamedFailure;
    const nearest = failures.length > 1 ? `${description} (+ others)` : description;
    const way = error instanceof PropagatedError ? error.#longer(nearest) : begun(nearest, error);
    super(`${what}, by way of ${way.text}`, { cause: way.root });
    this.failures = failures;
    this.rootCause = way.root;
    this.chain = way.chain;
    this.#links = way.links;
    this.#end = way.end;
  }

  /** The way from here on to somebody for whom this error's task is the nearest that failed. */
  #longer(nearest: string): Way {
    const { chain: known, rootCause: root } = this;
    const links = this.#links + 1;
    if (links <= longest) {
      const chain = [nearest, ...known];
      return { chain, links, root, text: chain.join(' <- ') + this.#end, end: this.#end };
    }
    // It would repeat itself in every message: its middle is told by number. Written out, as spread arrays are slower and
    // larger, and each of a hundred thousand errors keeps one.
    const [a, b, c] = known as [string, string, string];
    const [x, y, z] = known.slice(-3) as [string, string, string];
    const between = `… ${links - 7} more …`;
    const end = links === longest + 1 ? ` <- ${x} <- ${y} <- ${z}${this.#end}` : this.#end;
    const text = `${[nearest, a, b, c].join(' <- ')} <- ${between}${end}`;
    return { chain: [nearest, a, b, c, between, x, y, z], links, root, text, end };
  }
}

/** Links of a chain that is told as a whole. */
const longest = 20;

function begun(nearest: string, root: unknown): Way {
  const end = `: ${root instanceof Error ? `${root.name}: ${root.message}` : String(root)}`;
  return { chain: [nearest], links: 1, root, text: nearest + end, end };
}

/** The task never ran, because something that it depends on failed. */
export class DependencyError extends PropagatedError {
  override readonly name = 'DependencyError';
  readonly code = 'DEPENDENCY';
  constructor(failures: readonly NamedFailure[]) {
    super('A dependency failed', failures);
  }
}

/** A join app's body ran, but futures that it returned failed: `failures` has every one. */
export class JoinError extends PropagatedError {
  override readonly name = 'JoinError';
  readonly code = 'JOIN';
  constructor(failures: readonly NamedFailure[]) {
    super('A joined task failed', failures);
  }
}

/** The body of a join app returned something else than a future or a list of futures. */
export class JoinResultError extends ChervilError {
  override readonly name = 'JoinResultError';
  readonly code = 'JOIN_RESULT';
}

/** The worker that ran the task died. It costs the task one try. */
export class WorkerLostError extends ChervilError {
  override readonly name = 'WorkerLostError';
  readonly code = 'WORKER_LOST';
  readonly worker: string;
  readonly host: string;
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** Why, as far as known: `'memory'` when a memory limit or the kernel's killer is behind it. */
  readonly reason: 'memory' | 'exit' | 'crash' | 'unknown';
  /** The last lines that the worker wrote to stderr. */
  readonly stderrTail: string;
  constructor(details: {
    worker: string;
    host: string;
    exitCode?: number | null;
    signal?: string | null;
    reason?: 'memory' | 'exit' | 'crash' | 'unknown';
    stderrTail?: string;
    detail?: string;
  }) {
    const how = details.signal
      ? `killed by ${details.signal}`
      : details.exitCode != null
        ? `ended with exit code ${details.exitCode}`
        : 'ended';
    const why = details.reason === 'memory' ? ', out of memory' : '';
    const more = details.detail ? ` ${details.detail}` : '';
    const tail = details.stderrTail ? `\n${details.stderrTail}` : '';
    super(`Lost with worker ${details.worker} on ${details.host}: ${how}${why}.${more}${tail}`);
    this.worker = details.worker;
    this.host = details.host;
    this.exitCode = details.exitCode ?? null;
    this.signal = details.signal ?? null;
    this.reason = details.reason ?? 'unknown';
    this.stderrTail = details.stderrTail ?? '';
  }
}

/** The manager that held the task is gone: killed, cut off, or its block ended. */
export class ManagerLostError extends ChervilError {
  override readonly name = 'ManagerLostError';
  readonly code = 'MANAGER_LOST';
  readonly manager: string;
  readonly host: string;
  constructor(manager: string, host: string) {
    super(`Lost with manager ${manager} on ${host}, which was not heard of any more.`);
    this.manager = manager;
    this.host = host;
  }
}

/** The executor can run nothing any more, or never could. */
export class ExecutorFailedError extends ChervilError {
  override readonly name = 'ExecutorFailedError';
  readonly code = 'EXECUTOR_FAILED';
  readonly executor: string;
  /** The message without the executor. */
  readonly problem: string;
  constructor(executor: string, problem: string, cause?: unknown) {
    super(`Executor '${executor}' cannot run tasks: ${problem}`, cause === undefined ? {} : { cause });
    this.executor = executor;
    this.problem = problem;
  }
}

/** A value that cannot be sent: thrown by the call for an argument, and the task's failure for a result. */
export class SerializationError extends ChervilError {
  override readonly name = 'SerializationError';
  readonly code = 'SERIALIZATION';
  /** Where in the value: `argument 0 .options.callback`. */
  readonly path: string;
  constructor(path: string, problem: string, cause?: unknown) {
    super(`Cannot send ${path}: ${problem}`, cause === undefined ? {} : { cause });
    this.path = path;
  }
}

/** A value or function that arrived could not be rebuilt. */
export class DeserializationError extends ChervilError {
  override readonly name = 'DeserializationError';
  readonly code = 'DESERIALIZATION';
}

/** An app's module cannot be imported, or has no such export. */
export class FunctionNotFoundError extends ChervilError {
  override readonly name = 'FunctionNotFoundError';
  readonly code = 'FUNCTION_NOT_FOUND';
  readonly module: string;
  constructor(module: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.module = module;
  }
}

/** A file that a task needs is not there. */
export class FileNotFoundError extends ChervilError {
  override readonly name = 'FileNotFoundError';
  readonly code = 'FILE_NOT_FOUND';
  readonly path: string;
  constructor(path: string, where: string) {
    super(
      `${where} names ${path}, which does not exist. Check the path; if another task makes it, pass that task's output instead.`,
    );
    this.path = path;
  }
}

/** A file that no staging provider can bring. */
export class StagingError extends ChervilError {
  override readonly name = 'StagingError';
  readonly code = 'STAGING';
  readonly url: string;
  constructor(url: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.url = url;
  }
}

/** The memo key of a call could not be computed. */
export class MemoKeyError extends ChervilError {
  override readonly name = 'MemoKeyError';
  readonly code = 'MEMO_KEY';
}

/** A memoized call would wait for the call that it is part of. */
export class MemoCycleError extends ChervilError {
  override readonly name = 'MemoCycleError';
  readonly code = 'MEMO_CYCLE';
}

/** The user's retry policy threw. `cause` is what it threw, `original` the failure that it was asked about. */
export class RetryPolicyError extends ChervilError {
  override readonly name = 'RetryPolicyError';
  readonly code = 'RETRY_POLICY';
  readonly original: unknown;
  constructor(cause: unknown, original: unknown) {
    super(`The retry policy threw: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.original = original;
  }
}

/** An elaborator threw, or said something that it cannot say. Chervil's own do neither: this is about one from the configuration. */
export class ElaboratorError extends ChervilError {
  override readonly name = 'ElaboratorError';
  readonly code = 'ELABORATOR';
  readonly elaborator: string;
  constructor(elaborator: string, problem: string, cause?: unknown) {
    super(`The elaborator '${elaborator}' went wrong: ${problem}`, cause === undefined ? {} : { cause });
    this.elaborator = elaborator;
  }
}

/** Something that a call asks for and its executor cannot do. */
export class UnsupportedError extends ChervilError {
  override readonly name = 'UnsupportedError';
  readonly code = 'UNSUPPORTED';
}

/** Everything that a future can reject with. `switch (error.code)` narrows it. */
export type TaskError =
  | AppError
  | BashExitError
  | BashNoCommandError
  | MissingOutputsError
  | BadStreamError
  | TimeoutError
  | DeadlineError
  | CancelledError
  | DependencyError
  | JoinError
  | JoinResultError
  | WorkerLostError
  | ManagerLostError
  | ExecutorFailedError
  | SerializationError
  | DeserializationError
  | FunctionNotFoundError
  | FileNotFoundError
  | StagingError
  | MemoKeyError
  | MemoCycleError
  | RetryPolicyError
  | ElaboratorError
  | UnsupportedError;

/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** Where: `executors[0].max`. */
  readonly path: string;
  readonly problem: string;
}

/** A configuration with everything that is wrong with it. Thrown where it is made. */
export class ConfigError extends ChervilError {
  override readonly name = 'ConfigError';
  readonly code = 'CONFIG';
  readonly problems: readonly ConfigProblem[];
  constructor(what: string, problems: readonly ConfigProblem[]) {
    const list = problems.map(({ path, problem }) => `\n  ${path}: ${problem}`).join('');
    super(`${what} has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:${list}`);
    this.problems = problems;
  }
}

/** An app was called while nothing is loaded. */
export class NoRunError extends ChervilError {
  override readonly name = 'NoRunError';
  readonly code = 'NO_RUN';
}

/** `load()` was called while another ambient run is loaded. */
export class AlreadyLoadedError extends ChervilError {
  override readonly name = 'AlreadyLoadedError';
  readonly code = 'ALREADY_LOADED';
}

/** An app was called on a run that is closed. */
export class ClosedError extends ChervilError {
  override readonly name = 'ClosedError';
  readonly code = 'CLOSED';
}

/** An app names an executor that the run does not have. */
export class UnknownExecutorError extends ChervilError {
  override readonly name = 'UnknownExecutorError';
  readonly code = 'UNKNOWN_EXECUTOR';
}

/** A function cannot be sent by value. */
export class ClosureError extends ChervilError {
  override readonly name = 'ClosureError';
  readonly code = 'CLOSURE';
}

/** An app was defined or called in a way that cannot work. */
export class AppDefinitionError extends ChervilError {
  override readonly name = 'AppDefinitionError';
  readonly code = 'APP_DEFINITION';
}

/** A checkpoint that was asked for cannot be read. */
export class CheckpointError extends ChervilError {
  override readonly name = 'CheckpointError';
  readonly code = 'CHECKPOINT';
}

/** Everything that a call, a definition or `load()` can throw. */
export type UsageError =
  | ConfigError
  | NoRunError
  | AlreadyLoadedError
  | ClosedError
  | UnknownExecutorError
  | ClosureError
  | AppDefinitionError
  | CheckpointError
  | SerializationError
  | FunctionNotFoundError
  | UnsupportedError;

// Runs the body of a task, here in this thread: loads its function, puts the wrappers around it, and, for a bash app, runs
// the command that the function gives. Used by every executor, in whatever process or thread it has its workers.

import { systemClock } from '../base/time.ts';
import { Command } from '../task/command.ts';
import {
  AppError,
  BashNoCommandError,
  CancelledError,
  ChervilError,
  type TaskError,
  TimeoutError,
} from '../task/errors.ts';
import { loadingLimit } from '../task/limits.ts';
import type { Answer, CommandFiles, FunctionSource } from '../task/ports.ts';
import { errorFromRemote, failureFromThrown } from '../wire/failures.ts';
import { loadFunction, modulesOf } from '../wire/functions.ts';
import { modulesLoading } from '../wire/loading.ts';
import { runCommand } from './bash.ts';
import { meeting, type TaskFacts } from './facts.ts';

/** What is to be run. */
export interface Job {
  readonly taskId: number;
  readonly tryNumber: number;
  readonly app: string;
  readonly kind: 'function' | 'bash';
  readonly args: readonly unknown[];
  readonly wrappers: readonly FunctionSource[];
  readonly files: CommandFiles | undefined;
  /** Milliseconds; 0 is without limit. Counted here for what does not block the thread. */
  readonly timeoutMs: number;
}

/** What the runner needs of the place where it runs. */
export interface RunnerHost {
  /** CHERVIL_RUN for commands. */
  readonly mark: string;
  /** Descriptor of the reaper; asked for only when there is a command. */
  readonly reaperFd: number | undefined;
  /** How long a job with a timeout may load what it needs at least, in milliseconds; only where nobody ends that from outside. */
  readonly leastLoadingMs?: number;
  /** The function of a job with a timeout gave its command. Until then the job is ended like a function; a command has a while to end. */
  onCommand?(job: Job): void;
  /** The job's command runs as this process group; `undefined`: it ended. */
  onGroup?(job: Job, group: number | undefined): void;
  log(job: Job, message: string): void;
}

// biome-ignore lint/complexity/noBannedTypes: any function of the user
type AnyFunction = Function;

/** One run of one job. It can be stopped while it runs. */
export class Run implements TaskFacts {
  readonly job: Job;
  readonly #host: RunnerHost;
  #controller: AbortController | undefined;
  #isOver = false;
  #isBodyRunning = false;
  #stopCommand: ((error: TaskError) => void) | undefined;
  #endTimer: (() => void) | undefined;
  /** When its body began, on the clock of `performance.now()`; only known where there is a timeout. */
  #bodyAt = 0;
  /** Answers; set from `start` on. */
  #finish: ((answer: Answer) => void) | undefined;
  #hasBegun = false;

  constructor(job: Job, host: RunnerHost) {
    this.job = job;
    this.#host = host;
  }

  get id(): number {
    return this.job.taskId;
  }
  get try(): number {
    return this.job.tryNumber;
  }
  get app(): string {
    return this.job.app;
  }
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }
  log(message: string): void {
    this.#host.log(this.job, message);
  }

  /** Whether stopping it can work without ending the thread: it runs a command, or its body listens to the signal. */
  get canStop(): boolean {
    return this.#stopCommand !== undefined || this.#controller !== undefined;
  }

  /** It was answered, by its timeout or its stop, while its body goes on: only the end of its thread ends that. */
  get isAbandoned(): boolean {
    return this.#isOver && this.#isBodyRunning;
  }

  /** Ends a command's process group; tells a body that listens. */
  stop(error: TaskError): void {
    if (this.#isOver) return;
    // What it needs is being loaded still: the body never runs.
    if (!this.#hasBegun) this.#finish?.({ ok: false, error });
    this.#stopCommand?.(error);
    this.#controller?.abort(error);
  }

  /**
   * Runs it. `done` is called once, at once if the body is synchronous.
   * @param given the function itself, where it is in this process already
   * @param onBegin called when all is loaded, and the body begins
   */
  start(
    source: FunctionSource | undefined,
    given: AnyFunction | undefined,
    done: (answer: Answer) => void,
    onBegin?: () => void,
  ): void {
    const finish = (answer: Answer): void => {
      if (this.#isOver) return;
      this.#isOver = true;
      this.#endTimer?.();
      done(answer);
    };
    this.#finish = finish;
    const failed = (thrown: unknown): void => finish({ ok: false, error: asTaskError(thrown) });
    const call = (body: AnyFunction, wrappers: readonly AnyFunction[]): void => {
      let value: unknown;
      if (this.job.timeoutMs > 0) this.#bodyAt = performance.now();
      onBegin?.();
      try {
        value = this.#call(body, wrappers);
      } catch (thrown) {
        failed(thrown);
        return;
      }
      if (isThenable(value)) {
        this.#limit(finish);
        this.#isBodyRunning = true;
        value.then(
          (later) => {
            this.#isBodyRunning = false;
            this.#conclude(later, finish);
          },
          (thrown) => {
            this.#isBodyRunning = false;
            failed(thrown);
          },
        );
      } else {
        this.#conclude(value, finish);
      }
    };
    let loaded: AnyFunction | Promise<AnyFunction>;
    try {
      loaded = given ?? loadFunction(source as FunctionSource);
    } catch (thrown) {
      failed(thrown);
      return;
    }
    if (loaded instanceof Promise || this.job.wrappers.length > 0) {
      this.#limitLoading(finish, given === undefined ? source : undefined);
      Promise.all([loaded, ...this.job.wrappers.map(loadFunction)]).then(([body, ...wrappers]) => {
        if (!this.#isOver) call(body as AnyFunction, wrappers);
      }, failed);
    } else {
      call(loaded, []);
    }
  }

  #call(body: AnyFunction, wrappers: readonly AnyFunction[]): unknown {
    this.#hasBegun = true;
    this.#endTimer?.();
    const { args } = this.job;
    const here = meeting();
    const before = here.current;
    here.current = this;
    let run = (): unknown => body(...args);
    for (let index = wrappers.length - 1; index >= 0; index--) {
      const next = run;
      const wrapper = wrappers[index] as AnyFunction;
      run = () => wrapper(next, { id: this.id, try: this.try, app: this.app });
    }
    try {
      return here.storage === undefined ? run() : here.storage.run(this, run);
    } finally {
      here.current = before;
    }
  }

  /** What waits while it is loaded can be overtaken here, too. */
  #limitLoading(finish: (answer: Answer) => void, source: FunctionSource | undefined): void {
    const { timeoutMs } = this.job;
    const { leastLoadingMs } = this.#host;
    if (timeoutMs === 0 || leastLoadingMs === undefined) return;
    const limitMs = loadingLimit(timeoutMs, leastLoadingMs);
    this.#endTimer = systemClock.after(limitMs, () => {
      // Others may be loading something, too.
      const own = new Set([...(source === undefined ? [] : [source]), ...this.job.wrappers].flatMap(modulesOf));
      const modules = modulesLoading().filter((module) => own.has(module));
      finish({ ok: false, error: new TimeoutError(timeoutMs, { modules, limitMs }) });
    });
  }

  /** A body that waits can be overtaken by its timeout here; one that computes is ended from outside. */
  #limit(finish: (answer: Answer) => void): void {
    const { timeoutMs } = this.job;
    if (timeoutMs === 0) return;
    this.#endTimer = systemClock.after(timeoutMs, () => {
      const error = new TimeoutError(timeoutMs);
      this.#controller?.abort(error);
      finish({ ok: false, error });
    });
  }

  #conclude(value: unknown, finish: (answer: Answer) => void): void {
    if (this.#isOver) return;
    if (this.job.kind === 'function') {
      finish({ ok: true, value });
      return;
    }
    if (!(value instanceof Command) && typeof value !== 'string') {
      const found = value === undefined ? 'nothing' : value === null ? 'null' : `a value of type ${typeof value}`;
      const error = new BashNoCommandError(
        `The function of the bash app ${this.app} must return the command, as sh\`…\` or a string, but it gave ${found}. Is a return missing?`,
      );
      finish({ ok: false, error });
      return;
    }
    this.#endTimer?.();
    const { timeoutMs } = this.job;
    // Told before it is looked what is left: whoever ends the body from outside has not done so, or nothing is started.
    if (timeoutMs > 0) this.#host.onCommand?.(this.job);
    const leftMs = timeoutMs > 0 ? timeoutMs - (performance.now() - this.#bodyAt) : Number.POSITIVE_INFINITY;
    if (leftMs <= 0) {
      finish({ ok: false, error: new TimeoutError(timeoutMs) });
      return;
    }
    const abort = new AbortController();
    this.#stopCommand = (error) => abort.abort(error);
    const host = this.#host;
    runCommand({
      command: value,
      files: this.job.files ?? { stdout: undefined, stderr: undefined, outputs: [] },
      timeoutMs,
      leftMs,
      signal: abort.signal,
      mark: host.mark,
      taskId: this.job.taskId,
      tryNumber: this.job.tryNumber,
      reaperFd: host.reaperFd,
      onStart: (group) => host.onGroup?.(this.job, group),
      onEnd: () => host.onGroup?.(this.job, undefined),
    }).then(finish, (thrown) => finish({ ok: false, error: asTaskError(thrown) }));
  }
}

/** A TaskError of Chervil's own is kept; anything else is the app's. */
export function asTaskError(thrown: unknown): TaskError {
  if (thrown instanceof ChervilError && ownCodes.has(thrown.code)) return thrown as unknown as TaskError;
  const remote = failureFromThrown(thrown);
  return new AppError(remote, thrown instanceof Error ? thrown : errorFromRemote(remote));
}

// What loading, wrapping and commands throw themselves. An app that throws such an error of another run is an app that threw.
const ownCodes: ReadonlySet<string> = new Set([
  'FUNCTION_NOT_FOUND',
  'DESERIALIZATION',
  'SERIALIZATION',
  'BAD_STREAM',
  'BASH_EXIT',
  'MISSING_OUTPUTS',
  'TIMEOUT',
] satisfies TaskError['code'][]);

/** The failure of something that was stopped on request. */
export function stoppedError(reason: unknown): TaskError {
  return reason instanceof ChervilError ? (reason as unknown as TaskError) : new CancelledError(reason);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  try {
    return typeof (value as { then?: unknown }).then === 'function';
  } catch {
    // Reading it throws: it is no promise, and is refused as a result.
    return false;
  }
}

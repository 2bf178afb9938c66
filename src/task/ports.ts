// The ports between the kernel and the world: what an executor is given, and what it answers with.
import type { TaskError } from './errors.ts';

/** How a function travels: a module and the name of its export, or its text with what it captured. Plain data. */
export type FunctionSource = FunctionByReference | FunctionByValue;

export interface FunctionByReference {
  readonly by: 'reference';
  /** URL of the module, `file:` mostly. */
  readonly module: string;
  readonly export: string;
}

/** The text of one function or class, and what the names in it stand for. */
export interface FunctionText {
  /** Its name; empty for most arrow functions. */
  readonly name: string;
  /** One expression that gives it. */
  readonly code: string;
  /** Its free names: each stands for a key of `functions`, `captures` or `imports`, which share one set of keys. */
  readonly uses: Readonly<Record<string, string>>;
  /** Where it stands (from 1), for stack traces and for resolving `import()`. */
  readonly origin: { readonly url: string; readonly line: number; readonly column: number };
}

/** A name that a function imports. */
export interface ImportedName {
  /** `node:fs`, an absolute URL, or a package's specifier, resolved as `from` would. */
  readonly module: string;
  /** URL of the module that has the import. */
  readonly from: string;
  /** `default`, `*` for the namespace, `module.exports` for `require()`, `import.meta` for that of `from`. */
  readonly export: string;
  /** `json` for `import … with { type: 'json' }`. */
  readonly type?: string;
}

export interface FunctionByValue {
  readonly by: 'value';
  /** Hash of everything below: two functions with the same key do the same. */
  readonly key: string;
  /** Which of `functions` it is. */
  readonly main: string;
  /** It, and the functions and classes that it uses; each stands behind those that are needed to make it. */
  readonly functions: Readonly<Record<string, FunctionText>>;
  /** A record of the values that they captured, encoded as one value (see wire/values): what they share stays shared. */
  readonly captures: unknown;
  readonly imports: Readonly<Record<string, ImportedName>>;
}

/** A function in Python: named in a module, or as text. Plain data. */
export interface PythonFunction {
  readonly by: 'python';
  /** Importable where the task runs; `undefined`: the function stands in `code`. */
  readonly module: string | undefined;
  /** Its name; `Class.method` for what stands in a class. */
  readonly name: string;
  readonly code: string | undefined;
}

/** What a worker must have to run a body. */
export type Runtime = 'node' | 'python';

/** Where the output of a command goes. `text`: a file that Chervil reads back for `future.stdout`. */
export interface StreamTarget {
  readonly path: string;
  readonly mode: 'append' | 'truncate';
}

/** What runs: fixed for an app. */
export interface Body {
  readonly kind: 'function' | 'bash' | 'join' | 'python';
  /** The app's name. */
  readonly name: string;
  /** A PythonFunction for `python`, nothing for `join`. */
  readonly source: FunctionSource | PythonFunction | undefined;
  /** The user's own function, for executors in this process. */
  // biome-ignore lint/complexity/noBannedTypes: any function of the user
  readonly local: Function | undefined;
}

/** What a command needs beside its arguments. */
export interface CommandFiles {
  readonly stdout: StreamTarget | undefined;
  readonly stderr: StreamTarget | undefined;
  /** Paths that must exist when the command has ended. */
  readonly outputs: readonly string[];
}

/** One try of one task, as an executor sees it. */
export interface Attempt {
  readonly taskId: number;
  /** 0 for the first try. */
  readonly tryNumber: number;
  readonly body: Body;
  /** Ready values: no futures in them. */
  readonly args: readonly unknown[];
  /** True when every argument is a primitive: nothing to check, nothing to encode. */
  readonly plainArgs: boolean;
  /** Functions that go around the body, outermost first; each is called with `next` and the facts of the task. */
  readonly wrappers: readonly FunctionSource[];
  /** The same in Python, around a body in Python: one list for all tries of a run. */
  readonly pythonWrappers?: readonly PythonFunction[] | undefined;
  /** Milliseconds that the body may run; 0 is without limit. */
  readonly timeoutMs: number;
  readonly files: CommandFiles | undefined;
  readonly resources: Readonly<Record<string, unknown>> | undefined;
  /** Somebody wants to know when the body starts. */
  readonly watched: boolean;
  /** Free for the executor. */
  note: unknown;
}

/** How a try ended. */
export type Answer = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: TaskError };

/** Where a body runs. */
export interface Place {
  readonly host: string;
  readonly worker: string;
  readonly block?: string;
}

/** What an executor tells of itself to monitoring. Times are milliseconds since the epoch. */
export type ExecutorNews =
  /** What it is, as plain data: told at the start, and when it changes. */
  | { readonly what: 'facts'; readonly kind: string; readonly facts: Readonly<Record<string, unknown>> }
  | {
      readonly what: 'standing';
      readonly outstanding: number;
      readonly queued?: number;
      readonly workers?: number;
      readonly busy?: number;
      readonly managers?: number;
      readonly blocks?: number;
    }
  /** `status` in Parsl's words: PENDING, RUNNING, COMPLETED, SCALED_IN, … `detail`: the end of what the job wrote to stderr. */
  | {
      readonly what: 'block';
      readonly block: string;
      readonly status: string;
      readonly job?: string | undefined;
      readonly reason?: string | undefined;
      readonly detail?: string | undefined;
    }
  | {
      readonly what: 'manager';
      readonly manager: string;
      readonly at: number;
      readonly host: string;
      readonly block: string | null;
      readonly workers: number;
      readonly busy: number | null;
      readonly cpus: number | null;
      readonly memoryBytes: number | null;
      readonly isActive: boolean;
      readonly heartbeatAt: number | null;
      readonly runtime: string | null;
      readonly version: string | null;
      readonly reason: string | null;
    }
  /** What a try used so far, in the columns of the table `samples`. */
  | {
      readonly what: 'sample';
      readonly attempt: Attempt;
      readonly columns: Readonly<Record<string, string | number | null>>;
    };

/** Somebody keeps what executors tell of themselves. */
export interface ExecutorWatch {
  /** Milliseconds between samples of what tasks use; 0: none are wanted. */
  readonly sampleMs: number;
  tell(news: ExecutorNews): void;
}

/** What the kernel offers to an executor. */
export interface ExecutorHost {
  /** Directory of this executor in the run directory; it exists. */
  readonly directory: string;
  /** A mark that every process started for this run carries in its environment as CHERVIL_RUN. */
  readonly mark: string;
  /** Says how a try ended: exactly once for each. A second answer is counted and dropped. */
  answer(attempt: Attempt, answer: Answer): void;
  /**
   * Says that a body started or ended, for attempts that are `watched`.
   *
   * @param at milliseconds since the epoch; it may be reckoned back, and counts as no earlier than what was told before. @default now
   */
  report(attempt: Attempt, what: 'running' | 'running_ended', place: Place, at?: number): void;
  /** Text that a body printed. */
  output(attempt: Attempt, stream: 'stdout' | 'stderr', text: string): void;
  /** The executor can run nothing any more: further attempts fail at once with this. */
  failed(error: TaskError): void;
  /** Monitoring, where the run has some. */
  readonly watch?: ExecutorWatch | undefined;
  /** A line for the run's log. */
  log(level: 'debug' | 'info' | 'warn' | 'error', message: string): void;
}

/**
 * Runs tries. Contract:
 * `start` returns when tries can be given; `submit` never throws and never blocks, and every try is answered exactly once;
 * `stop` ends a try as soon as it can (its answer then hardly matters, and the kernel no longer waits for it);
 * `close` ends everything that it started, answers what is left, and returns when nothing of it is left.
 */
export interface Executor {
  /** Unique in a run. */
  readonly label: string;
  /** Tries that it holds, over the number that it can run at once. Below 1 something is idle. `route` takes the lowest. */
  readonly load: number;
  /** What it can run; the kernel gives it nothing else. @default ['node'] */
  readonly runtimes?: readonly Runtime[];
  start(host: ExecutorHost): Promise<void>;
  /** Why it cannot give these resources to a task; `undefined`: it can. Asked in the call. Without it an executor takes any. */
  refuses?(resources: Readonly<Record<string, unknown>>): string | undefined;
  submit(attempt: Attempt): void;
  stop(attempt: Attempt, reason: unknown): void;
  close(): Promise<void>;
}

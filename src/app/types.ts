// The types of apps: what goes in where, and what comes out, all inferred from the user's own function.
import type { Duration } from '../base/time.ts';
import type { RetryPolicy, StreamOption } from '../kernel/app-record.ts';
import type { MemoOption } from '../kernel/elaborators/memo.ts';
import type { File, Output } from '../task/file.ts';
import type { Future } from '../task/future.ts';

/** What is never searched for futures. */
type Leaf =
  | string
  | number
  | bigint
  | boolean
  | symbol
  | null
  | undefined
  | Date
  | RegExp
  | URL
  | File
  | Error
  | ArrayBuffer
  | ArrayBufferView
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | ((...args: never[]) => unknown);

/** What may be passed where a `Value` is wanted: the value, a future of it, or, at any depth, futures of its parts. */
export type Arg<Value> = Value | PromiseLike<Value> | Nested<Value>;

/** A copy arrives, so what cannot be changed may be passed as well. */
type Nested<Value> = Value extends Leaf
  ? Value
  : Value extends object
    ? { readonly [Key in keyof Value]: Arg<Value[Key]> }
    : Value;

/** The parameters of an app, by those of its function. */
export type ArgsOf<Args extends readonly unknown[]> = { [Index in keyof Args]: Arg<Args[Index]> };

/** Options of an app. Fixed when the app is made; `.with()` gives the same app with others. */
export interface AppOptions<Args extends readonly unknown[] = readonly unknown[], Label extends string = string> {
  /** How the app is called in logs, errors and monitoring. @default the name of the function, or of the variable that holds the app */
  readonly name?: string;
  /** Retries: how many, or a policy. @default the config's `retry` */
  readonly retry?: number | RetryPolicy;
  /** Limit of one try, from the start of the body. What runs longer is killed, and the try fails with TIMEOUT. @default none */
  readonly timeout?: Duration;
  /** Limit of the task as a whole, from the call. @default none */
  readonly deadline?: Duration;
  /**
   * Remember results: equal calls are computed once, and, with a checkpoint, once for all runs. A function gives the key of
   * a call in place of its arguments.
   * @default false
   */
  readonly memo?: boolean | ((...args: Args) => unknown) | MemoOption;
  /** Labels of the executors that may run it. @default 'all' */
  readonly executors?: 'all' | readonly Label[];
  /** For executors that place tasks by need, such as `{ priority: 1 }`. Checked by the executor. */
  readonly resources?: Readonly<Record<string, unknown>>;
  /** Cancels the tasks of this app when it is aborted. */
  readonly signal?: AbortSignal;
}

/** Options of a bash app. */
export interface BashOptions<Args extends readonly unknown[] = readonly unknown[], Label extends string = string>
  extends AppOptions<Args, Label> {
  /**
   * Where the command's output goes: a path (appended to), `{ path, mode: 'truncate' }`, `'inherit'`, or AUTO_LOGNAME.
   * @default AUTO_LOGNAME, a file in the run directory, which `future.stdout` reads
   */
  readonly stdout?: StreamOption;
  readonly stderr?: StreamOption;
  /** Becomes part of automatic log names. */
  readonly label?: string;
}

interface AppBase<Args extends readonly unknown[]> {
  /** How the app is called in logs and errors. */
  readonly appName: string;
  /** How its function is sent: `by value, 212 bytes, captures { n: 7 }` or `by reference, file:///…#count`. */
  readonly sent: string;
  /** @internal Only for types. */
  readonly '~args'?: Args;
}

/** A function as an app: calling it submits a task and gives a future at once. */
export interface App<Args extends readonly unknown[], Value> extends AppBase<Args> {
  (...args: ArgsOf<Args>): Future<Value>;
  /** The same app with other options. */
  with(options: AppOptions<Args>): App<Args, Value>;
  /** One task for each element, as the first argument; all are submitted at once. For endless sources use `stream`. */
  map(elements: Iterable<Arg<Args[0]>>, ...rest: RestArgs<Args>): Future<Value>[];
}

type RestArgs<Args extends readonly unknown[]> = Args extends readonly [unknown?, ...infer Rest] ? ArgsOf<Rest> : never;

/** The app of a function. */
export type AppOf<Run> = Run extends (...args: infer Args) => infer Value ? App<Args, Awaited<Value>> : never;

/**
 * The function that an app is made of. The constraint is so wide that it says nothing about parameters: a parameter with a
 * default value then has the type of that, and one without a type takes nothing.
 */
// biome-ignore lint/complexity/noBannedTypes: see above
export type AppFunction = Function;

/** `Run`, if it returns what it must; otherwise what it should be, which it is not. */
export type Returning<Run, Wanted> = Run extends (...args: never[]) => Wanted ? Run : (...args: never[]) => Wanted;

/** The parameters of a function. */
export type ParametersOf<Run> = Run extends (...args: infer Args) => unknown ? Args : never;

/** The value of a join app, by what its body returns: a future, or a list of them (or, from an async body, any value). */
export type Joined<Returned> = Returned extends readonly unknown[]
  ? Each<Returned>
  : Returned extends Future<infer Value>
    ? Value
    : Awaited<Returned> extends infer Given extends readonly unknown[]
      ? Each<Given>
      : Awaited<Returned>;

/** What a join app is of its body. */
export type JoinAppOf<Run> = Run extends (...args: infer Args) => infer Returned ? App<Args, Joined<Returned>> : never;

type Each<List extends readonly unknown[]> = { -readonly [Index in keyof List]: Awaited<List[Index]> };

/** Output of a command: its text once the task is done, and its file at once. */
export interface StreamText extends PromiseLike<string> {
  /** The file that it goes to; `undefined` when it is inherited. */
  readonly path: string | undefined;
}

type OutputKeys<Value> = { [Key in keyof Value]-?: Value[Key] extends Output ? Key : never }[keyof Value];
type UnionToIntersection<Union> = (Union extends unknown ? (one: Union) => void : never) extends (
  all: infer All,
) => void
  ? All
  : never;
type OutputsOfArg<Value> = Value extends Leaf | readonly unknown[]
  ? // biome-ignore lint/complexity/noBannedTypes: nothing to add
    {}
  : Value extends object
    ? { readonly [Key in OutputKeys<Value>]: Future<File> }
    : // biome-ignore lint/complexity/noBannedTypes: nothing to add
      {};

/** The outputs of a call: one for each property of an argument, or argument by position, whose type is `Output`. */
export type OutputsOf<Args extends readonly unknown[]> =
  UnionToIntersection<
    | OutputsOfArg<Args[number]>
    | { readonly [Index in Exclude<OutputKeys<Args>, keyof (readonly unknown[])>]: Future<File> }
  > extends infer All
    ? { readonly [Key in keyof All]: All[Key] }
    : never;

/** The future of a bash app: 0 when the command succeeded. */
export interface BashFuture<Outputs> extends Future<number> {
  /** The command's standard output. Awaiting it waits for the task, and rejects as it does. */
  readonly stdout: StreamText;
  readonly stderr: StreamText;
  /** The files that the command makes, each as a future that another app can take. */
  readonly outputs: Outputs;
}

/** A function that gives a command, as an app. */
export interface BashApp<Args extends readonly unknown[]> extends AppBase<Args> {
  (...args: ArgsOf<Args>): BashFuture<OutputsOf<Args>>;
  with(options: BashOptions<Args>): BashApp<Args>;
  map(elements: Iterable<Arg<Args[0]>>, ...rest: RestArgs<Args>): BashFuture<OutputsOf<Args>>[];
}

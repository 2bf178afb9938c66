// pythonApp(): a Python function as an app, named in a module or given as text. It runs on executors with Python workers.
import { AppDefinitionError } from '../task/errors.ts';
import type { Future } from '../task/future.ts';
import { derive, TaskFuture } from '../task/future.ts';
import type { Keywords } from '../task/keywords.ts';
import type { Body, PythonFunction } from '../task/ports.ts';
import { makeApp } from './app.ts';
import { submit } from './call.ts';
import { readPythonText } from './python-text.ts';
import { checked, type StandardSchema, type ValueOf } from './schema.ts';
import type { AppOptions, ArgsOf, ParametersOf } from './types.ts';

/** A Python function of which no type was told. */
export type AnyPythonFunction = (...args: unknown[]) => unknown;

/** A Python function as an app: calling it submits a task and gives a future at once. */
export interface PythonApp<Args extends readonly unknown[], Value> {
  (...args: ArgsOf<Args>): Future<Value>;
  /** With arguments by name at the end. */
  (...args: [...Beginnings<Required<ArgsOf<Args>>>, Keywords]): Future<Value>;
  /** How the app is called in logs and errors. */
  readonly appName: string;
  /** How its function is sent: `Python, signals.fft:spectrum` or `Python by value, 212 bytes`. */
  readonly sent: string;
  /** The same app with other options. */
  with(options: AppOptions<Args>): PythonApp<Args, Value>;
  /** One task for each element, as the first argument; all are submitted at once. */
  map(elements: Iterable<unknown>, ...rest: readonly unknown[]): Future<Value>[];
}

/** A list of arguments, and every shorter one that it begins with. */
type Beginnings<Args extends readonly unknown[]> = Args extends readonly []
  ? []
  : Args extends readonly [...infer Before, unknown]
    ? Args | Beginnings<Before>
    : Args;

/** The app of a Python function with this type. */
export type PythonAppOf<Run> = PythonApp<
  ParametersOf<Run>,
  Run extends (...args: never[]) => infer Value ? Awaited<Value> : never
>;

/** Options of {@link pythonApp} with a schema in place of a type. */
export interface PythonOptions<Schema extends StandardSchema> extends AppOptions {
  /** Checks the value, and tells its type: a Standard Schema, as zod, valibot and arktype make them. */
  readonly returns: Schema;
}

/** Options of {@link pythonApp}.source. */
export interface PythonSourceOptions<Args extends readonly unknown[] = readonly unknown[]> extends AppOptions<Args> {
  /** Which function of the text is the app. @default the one that there is */
  readonly function?: string;
}

/** What {@link pythonApp} is. */
export interface PythonAppMaker {
  /** A function of a module that workers can import, as `module:function`; its value is checked by a schema. */
  <Schema extends StandardSchema>(
    reference: string,
    options: PythonOptions<Schema>,
  ): PythonApp<unknown[], ValueOf<Schema>>;
  /** A function of a module that workers can import, as `module:function`. */
  <Run = AnyPythonFunction>(reference: string, options?: AppOptions<ParametersOf<Run>>): PythonAppOf<Run>;
  /** A function given as text; its value is checked by a schema. */
  source<Schema extends StandardSchema>(
    text: string,
    options: PythonSourceOptions & PythonOptions<Schema>,
  ): PythonApp<unknown[], ValueOf<Schema>>;
  /** A function given as text, with all that it needs: imports, other functions. Indentation that all lines share is removed. */
  source<Run = AnyPythonFunction>(text: string, options?: PythonSourceOptions<ParametersOf<Run>>): PythonAppOf<Run>;
}

/**
 * Makes an app of a Python function. Its type is told, as Python does not say it; without one, arguments and value are unknown.
 * Arguments by name stand in `keywords({ … })` at the end. It needs an executor with Python workers: `htex({ python: true })`, or,
 * without executors in the configuration, one that starts with the first call.
 *
 * @throws AppDefinitionError for a reference or a text that cannot be one
 * @example
 * const spectrum = pythonApp<(samples: number[], rate: number) => { peak: number; power: number[] }>('signals.fft:spectrum');
 * const half = pythonApp.source<(x: number) => number>(`
 *   def half(x):
 *       return x / 2
 * `);
 */
export const pythonApp: PythonAppMaker = Object.assign(
  (reference: string, options: Given = {}) => make(readPythonReference(reference, 'pythonApp'), options),
  {
    source(text: string, options: Given & { readonly function?: string } = {}) {
      const { function: wanted, ...rest } = options;
      return make({ by: 'python', module: undefined, ...readPythonText(text, wanted, 'pythonApp') }, rest);
    },
  },
);

/** Options of all forms. */
type Given = AppOptions<never[]> & { readonly returns?: StandardSchema };

function make(source: PythonFunction, { returns, ...options }: Given): never {
  const name = source.name.slice(source.name.lastIndexOf('.') + 1);
  const body: Body = { kind: 'python', name: options.name ?? name, source, local: undefined };
  if (returns !== undefined && typeof (returns as Partial<StandardSchema>)?.['~standard']?.validate !== 'function')
    throw new AppDefinitionError(
      `The option returns of ${body.name}() must be a schema, as zod, valibot and arktype make them.`,
    );
  // What it is is told by the caller: its type, or that of its schema.
  return makeApp<never>(body, options, (record, args) => {
    const { task } = submit(record, args);
    if (returns === undefined) return new TaskFuture(task);
    return new TaskFuture(derive(task, (value) => checked(returns, value, `the value of ${record.name}()`)));
  });
}

/**
 * A function named as `module:function`.
 *
 * @param maker what wants it, for messages
 * @throws AppDefinitionError for anything else
 */
export function readPythonReference(reference: unknown, maker: 'pythonApp' | 'pythonWrapper'): PythonFunction {
  const match = typeof reference === 'string' ? /^([^\W\d][\w.]*):([^\W\d][\w.]*)$/u.exec(reference) : null;
  if (match !== null) return { by: 'python', module: match[1], name: match[2] as string, code: undefined };
  const given = typeof reference === 'string' ? `'${reference}'` : String(reference);
  const hint = /\bdef\s/.test(given)
    ? `For a function given as text write ${maker}.source(\`…\`).`
    : `Write it as in ${maker}('signals.fft:spectrum').`;
  throw new AppDefinitionError(`${maker}() needs the name of a function as module:function, not ${given}. ${hint}`);
}

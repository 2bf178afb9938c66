// app(): a function as an app, sent by value. apps(): the functions of a module as apps, sent by reference.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { AppRecord } from '../kernel/app-record.ts';
import { AppDefinitionError, FunctionNotFoundError } from '../task/errors.ts';
import { type Future, TaskFuture } from '../task/future.ts';
import type { Body, FunctionSource } from '../task/ports.ts';
import { submit } from './call.ts';
import { capture, describeSource } from './capture.ts';
import { nameOf } from './name.ts';
import { recordOf } from './options.ts';
import type { AppFunction, AppOf, AppOptions, BashOptions, ParametersOf, Returning } from './types.ts';

// biome-ignore lint/complexity/noBannedTypes: any function of the user
type AnyFunction = Function;

/**
 * Makes an app of a function. Calling it submits a task and gives a future at once; futures may stand among the arguments.
 * The function is sent **by value**: its text, with the constants and functions that it uses. What it cannot take along is
 * refused at its first call, with a ClosureError. For functions of a module prefer {@link apps}.
 *
 * @example
 * const add = app((a: number, b: number) => a + b);
 * await using run = await load();
 * console.log(await add(add(1, 2), 3)); // 6
 */
export function app<Run extends AppFunction>(
  run: Run & Returning<Run, unknown>,
  options: AppOptions<ParametersOf<Run>> = {},
): AppOf<Run> {
  checkFunction(run, 'app');
  return makeApp<AppOf<Run>>(
    bodyOf('function', run, options),
    options,
    (record, args) => new TaskFuture(submit(record, args).task),
  );
}

/**
 * The exported functions of a module as apps, sent **by reference**: workers import the module. Types come from
 * `import type * as tasks`; only functions are apps.
 *
 * @example
 * import type * as tasks from './tasks.ts';
 * const { count, merge } = apps<typeof tasks>(new URL('./tasks.ts', import.meta.url));
 */
export function apps<Module>(url: URL | string, options: AppOptions = {}): ModuleApps<Module> {
  const module = moduleUrl(url);
  const made = new Map<string, unknown>();
  return new Proxy({} as ModuleApps<Module> & object, {
    get(_, name) {
      if (typeof name !== 'string' || name === 'then') return undefined;
      let one = made.get(name);
      if (one === undefined) {
        const body = referenceBody('function', module, name, options);
        one = makeApp(body, options, (record, args) => new TaskFuture(submit(record, args).task));
        made.set(name, one);
      }
      return one;
    },
  });
}

/** The apps of a module's functions, by name. */
export type ModuleApps<Module> = {
  readonly [Name in keyof Module as Module[Name] extends (...args: never[]) => unknown ? Name : never]: AppOf<
    Module[Name]
  >;
};

function moduleUrl(url: URL | string): string {
  if (!(url instanceof URL) && !/^[a-z][a-z0-9+.-]+:/i.test(String(url))) {
    throw new AppDefinitionError(
      `apps() needs the URL of a module, not '${String(url)}': write apps<typeof tasks>(new URL('./tasks.ts', import.meta.url)).`,
    );
  }
  const { href, protocol } = new URL(url);
  if (protocol === 'file:' && !existsSync(fileURLToPath(href))) {
    throw new FunctionNotFoundError(
      href,
      `There is no module ${fileURLToPath(href)}. Check the path that apps() was given.`,
    );
  }
  return href;
}

export function checkFunction(run: unknown, maker: string): void {
  if (typeof run === 'function') return;
  throw new AppDefinitionError(
    `${maker}() needs a function, not ${run === null ? 'null' : typeof run}: write ${maker}((x: number) => x + 1).`,
  );
}

/** A body by value: its source is captured at the first call, when everything that it uses is there. */
export function bodyOf(kind: Body['kind'], run: AnyFunction, options: { readonly name?: string }): Body {
  let source: FunctionSource | undefined;
  let name: string | undefined = options.name;
  return {
    kind,
    local: run,
    get name() {
      name ??= nameOf(run);
      return name;
    },
    get source() {
      if (kind === 'join') return undefined;
      source ??= capture(run);
      return source;
    },
  };
}

function referenceBody(kind: Body['kind'], module: string, name: string, options: { readonly name?: string }): Body {
  return { kind, name: options.name ?? name, local: undefined, source: { by: 'reference', module, export: name } };
}

/** Makes the callable of an app: checked options, `with`, `map`, `sent`. */
export function makeApp<Made>(
  body: Body,
  options: BashOptions<never[]>,
  call: (record: AppRecord, args: readonly unknown[]) => Future<unknown>,
): Made {
  let record: AppRecord | undefined;
  if (Object.keys(options).length > 0) record = recordOf(body, options);
  const run = (...args: unknown[]): Future<unknown> => {
    if (record === undefined) record = recordOf(body, options);
    return call(record, args);
  };
  const made = Object.assign(run, {
    with: (others: BashOptions<never[]>) =>
      makeApp<Made>(others.name === undefined ? body : renamed(body, others.name), { ...options, ...others }, call),
    map: (elements: Iterable<unknown>, ...rest: unknown[]) => Array.from(elements, (element) => run(element, ...rest)),
  });
  Object.defineProperties(made, {
    name: { get: () => body.name },
    appName: { get: () => body.name },
    sent: { get: () => (body.source === undefined ? 'not sent: runs in this process' : describeSource(body.source)) },
    [Symbol.for('chervil.app.function')]: { value: body.local },
  });
  return made as unknown as Made;
}

function renamed(body: Body, name: string): Body {
  return Object.defineProperty(Object.create(body) as Body, 'name', { value: name });
}

// Functions, worker side: from what travelled to something that can be called, by value or by reference.
// Called by whatever runs tasks (worker, threads, inline). The submit side is app/capture.ts.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { hostname } from 'node:os';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { compileFunction, constants } from 'node:vm';
import { ChervilError, DeserializationError, FunctionNotFoundError } from '../task/errors.ts';
import type {
  FunctionByReference,
  FunctionByValue,
  FunctionSource,
  FunctionText,
  ImportedName,
} from '../task/ports.ts';
import { moduleUrl } from './code-names.ts';
import { noteLoading, whileLoading } from './loading.ts';
import { importing, isNative, registerTypeScript } from './typescript.ts';
import { decodeValue } from './values.ts';

/** Property of an app's wrapper that holds the user's own function. */
const appFunctionKey = Symbol.for('chervil.app.function');

const loaded = new Map<string, CallableFunction | Promise<CallableFunction>>();

/**
 * The function that a source stands for. Each is made once in a thread: its captured values are shared by the calls in
 * that thread. Answers at once when it can (the second time always), with a promise when something must be imported.
 * @throws FunctionNotFoundError if a module cannot be imported or has no such function
 * @throws DeserializationError if a text cannot be made a function again
 * @example
 * const add = await loadFunction({ by: 'reference', module: 'file:///tasks.js', export: 'add' });
 */
export function loadFunction(source: FunctionSource): CallableFunction | Promise<CallableFunction> {
  const key = source.by === 'value' ? source.key : `${source.module}#${source.export}`;
  const known = loaded.get(key);
  if (known) return known;
  const made = source.by === 'value' ? makeFunction(source) : importFunction(source);
  loaded.set(key, made);
  if (made instanceof Promise) {
    made.then(
      (fn) => loaded.set(key, fn),
      () => loaded.delete(key), // A later try may find the module.
    );
  }
  return made;
}

/** The modules that must be loaded for a function, by the names that loading.ts has for them. */
export function modulesOf(source: FunctionSource): string[] {
  if (source.by === 'reference') return [moduleUrl(source.module)];
  return Object.values(source.imports).map(({ module }) => moduleUrl(module));
}

/**
 * Hash of a local module's text: two runs with the same hash run the same function by reference. What it imports is not
 * looked at. Cached until size or time of the file changes.
 * @throws FunctionNotFoundError if the module is no local file that can be read
 */
export function moduleHash(url: string): string {
  let path: string;
  let size: number;
  let mtimeMs: number;
  try {
    path = fileURLToPath(url);
    ({ size, mtimeMs } = statSync(path));
  } catch (error) {
    throw new FunctionNotFoundError(
      url,
      `Cannot read ${url}, whose text is part of a memo key: ${textOf(error)}`,
      error,
    );
  }
  const known = hashes.get(url);
  if (known && known.size === size && known.mtimeMs === mtimeMs) return known.hash;
  const hash = createHash('sha256').update(readFileSync(path)).digest('hex');
  hashes.set(url, { size, mtimeMs, hash });
  return hash;
}

const hashes = new Map<string, { size: number; mtimeMs: number; hash: string }>();

/* By reference */

async function importFunction({ module, export: name }: FunctionByReference): Promise<CallableFunction> {
  const found = await importModule({ module, from: import.meta.url, export: name });
  if (!Object.hasOwn(found, name)) {
    const others = Object.keys(found);
    const list = others.length > 0 ? `It exports ${others.join(', ')}` : 'It exports nothing';
    throw new FunctionNotFoundError(module, `${module} has no export "${name}". ${list}.`);
  }
  const value = found[name];
  if (typeof value !== 'function') {
    throw new FunctionNotFoundError(
      module,
      `"${name}" of ${module} is no function but ${typeName(value)}. Export a function under that name.`,
    );
  }
  const own: unknown = Reflect.get(value, appFunctionKey);
  return (typeof own === 'function' ? own : value) as CallableFunction;
}

/* By value */

/** A function text that was compiled, and the names in it that have no value yet. */
interface Compiled {
  readonly value: unknown;
  readonly set: (...values: unknown[]) => void;
  readonly missing: Set<string>;
}

function makeFunction(source: FunctionByValue): CallableFunction | Promise<CallableFunction> {
  const values = new Map<string, unknown>([
    ['__name', giveName],
    ['__coverage', () => uncounted],
  ]);
  // A copy, because decoding uses the data up. Its values come later only if a class must be imported for them.
  const captures = decodeValue(structuredClone(source.captures));
  const imports = Object.entries(source.imports).map(async ([key, imported]) => {
    values.set(key, await importName(imported));
  });
  // What such a body imports when it is called is not seen here.
  if (!isNative && Object.values(source.functions).some(({ code }) => /\bimport\s*\(.*\.[cm]?tsx?\b/.test(code)))
    imports.push(registerTypeScript());
  if (!(captures instanceof Promise) && imports.length === 0) return assemble(source, captures, values);
  return Promise.all([captures, ...imports]).then(([captures]) => assemble(source, captures, values));
}

/** Makes the functions in their order; whatever uses a later one is told of it as soon as that is made. */
function assemble(
  { functions, main }: FunctionByValue,
  captures: unknown,
  values: Map<string, unknown>,
): CallableFunction {
  for (const [key, value] of Object.entries(captures as object)) values.set(key, value);
  const unfinished: { text: FunctionText; compiled: Compiled }[] = [];
  for (const [key, text] of Object.entries(functions)) {
    const compiled = compile(text, values);
    values.set(key, compiled.value);
    if (compiled.missing.size > 0) unfinished.push({ text, compiled });
    for (const { text, compiled } of unfinished) {
      if (!compiled.missing.delete(key)) continue;
      compiled.set(...Object.values(text.uses).map((used) => values.get(used)));
    }
  }
  const made = values.get(main);
  if (typeof made !== 'function') throw new DeserializationError(`The function by value holds no function "${main}".`);
  return made as CallableFunction;
}

/**
 * Compiles one text. Its free names are parameters of the function around it, and there is a second function that can set
 * them, for those whose values come later: so functions may use each other, each with file and line of its own.
 */
function compile(text: FunctionText, values: ReadonlyMap<string, unknown>): Compiled {
  const names = Object.keys(text.uses);
  const set = names.length > 0 ? `function () { [${names.join(', ')}] = arguments; }` : '() => {}';
  // A member of a literal gives its name to an arrow function; parentheses keep a comment at the end harmless.
  const [prefix, suffix] = text.name
    ? [`{ ${JSON.stringify(text.name)}: (`, `\n) }[${JSON.stringify(text.name)}]`]
    : ['(', '\n)'];
  const before = `'use strict'; return [${prefix}`;
  const code = `${before}${text.code}${suffix}, ${set}];`;
  const { url, line, column } = text.origin;
  silenceLoaderWarning();
  try {
    const make = compileFunction(code, names, {
      filename: url || 'chervil:function',
      lineOffset: line - 1,
      columnOffset: column - 1 - before.length,
      importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    });
    const keys = Object.values(text.uses);
    const [value, set] = make(...keys.map((key) => values.get(key))) as [unknown, Compiled['set']];
    return { value, set, missing: new Set(keys.filter((key) => !values.has(key))) };
  } catch (error) {
    const where = url ? ` from ${url}:${line}` : '';
    throw new DeserializationError(`Cannot make ${text.name || 'the function'}${where}: ${textOf(error)}`, {
      cause: error,
    });
  }
}

/** Loaders put calls of this into function texts, so that functions keep their names. */
function giveName(target: object, name: string): object {
  return Object.defineProperty(target, 'name', { value: name, configurable: true });
}

/** Stands for the counters that coverage tools put into texts: any member is it again, and adding to it does nothing. */
const uncounted: object = new Proxy(
  {},
  {
    get: (_, key) => (key === Symbol.toPrimitive ? () => 0 : uncounted),
    set: () => true,
  },
);

/* Imports */

async function importName(imported: ImportedName): Promise<unknown> {
  const { module, from, export: name } = imported;
  switch (name) {
    case 'import.meta':
      return metaOf(module);
    case 'require':
      return createRequire(module);
    case 'module.exports':
      return requireModule(module, from);
    default:
  }
  const found = await importModule(imported);
  if (name === '*') return found;
  if (!Object.hasOwn(found, name)) {
    throw new FunctionNotFoundError(
      module,
      `${module} has no export "${name}", which ${from} imports. It exports ${Object.keys(found).join(', ')}.`,
    );
  }
  return found[name];
}

function requireModule(module: string, from: string): unknown {
  const done = noteLoading(module);
  try {
    return createRequire(from)(module.startsWith('file:') ? fileURLToPath(module) : module);
  } finally {
    done();
  }
}

/** Imports as the module `from` would, whatever the working directory is. */
async function importModule({ module: name, from, type }: ImportedName): Promise<Record<string, unknown>> {
  const module = moduleUrl(name);
  silenceLoaderWarning();
  const load = compileFunction('return (module, options) => import(module, options)', [], {
    filename: `${from}#import`, // No part of that file: coverage tools must not take it for one.
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })() as (module: string, options?: object) => Promise<Record<string, unknown>>;
  try {
    return await whileLoading(module, () =>
      importing(module, () => load(module, type === undefined ? undefined : { with: { type } })),
    );
  } catch (error) {
    if (error instanceof ChervilError) throw error;
    throw new FunctionNotFoundError(module, explainImport(module, from, error), error);
  }
}

function explainImport(module: string, from: string, error: unknown): string {
  const { code } = error as { code?: unknown };
  if (module.startsWith('file:') && code === 'ERR_MODULE_NOT_FOUND' && !existsSync(fileURLToPath(module))) {
    return `${module} does not exist on ${hostname()}. Workers import a module from the same path as the program: put it on a file system that they share, or send the function by value with app().`;
  }
  if (code === 'ERR_MODULE_NOT_FOUND') {
    return `Cannot import ${module} on ${hostname()}: ${textOf(error)}. Install what it needs where the worker runs${/^(file|node):/.test(module) ? '' : `, so that ${from} can import it`}.`;
  }
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION') {
    return `Cannot import ${module}: this worker (Node.js ${process.versions.node}) cannot load such a file. Use .ts, .js or .mjs, or compile the module.`;
  }
  const name = error instanceof Error ? `${error.name}: ` : '';
  return `${module} failed while it was imported: ${name}${textOf(error)}`;
}

function metaOf(url: string): Record<string, unknown> {
  const path = url.startsWith('file:') ? fileURLToPath(url) : undefined;
  const resolve = (specifier: string): string => {
    if (/^\.{0,2}\//.test(specifier)) return new URL(specifier, url).href;
    if (URL.canParse(specifier)) return specifier;
    const found = createRequire(url).resolve(specifier);
    return found.startsWith('/') || /^[a-z]:\\/i.test(found) ? pathToFileURL(found).href : found;
  };
  return {
    url,
    resolve,
    ...(path === undefined
      ? {}
      : { filename: path, dirname: fileURLToPath(new URL('.', url)).replace(/(.)[\\/]$/, '$1') }),
  };
}

let isSilenced = false;

/**
 * The first `import()` of such a function makes Node.js warn that the constant above is experimental. That first one is
 * made here, of a module that is loaded already, while the warning goes nowhere; Node.js gives it only once.
 */
function silenceLoaderWarning(): void {
  if (isSilenced) return;
  isSilenced = true;
  const load = compileFunction("return import('node:module')", [], {
    filename: import.meta.url,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const { emitWarning } = process;
  process.emitWarning = ((warning: unknown, ...rest: unknown[]) => {
    if (String(warning).includes('USE_MAIN_CONTEXT_DEFAULT_LOADER')) return;
    Reflect.apply(emitWarning, process, [warning, ...rest]);
  }) as typeof emitWarning;
  try {
    (load() as Promise<unknown>).catch(() => {}); // Its only purpose was the warning.
  } finally {
    process.emitWarning = emitWarning;
  }
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return `${/^[aeiou]/.test(typeof value) ? 'an' : 'a'} ${typeof value}`.replace(/^an? undefined$/, 'undefined');
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message.split('\n')[0]!.replace(/\.$/, '') : String(error);
}

// Functions by value, submit side: from a function object to plain data that any worker can make it of again.
// app.ts calls `capture` at an app's first submission, never earlier: variables must have their values by then.
import { createHash } from 'node:crypto';
import { serialize } from 'node:v8';
import type { FunctionByValue, FunctionSource, PythonFunction } from '../task/ports.ts';
import { decodeValue } from '../wire/values.ts';
import { type Collection, collect } from './capture/collect.ts';
import { openInspection } from './capture/inspect.ts';
import { findCallable, readScript } from './capture/script.ts';
import { compiledMark } from './capture/source-map.ts';
import { encodeCaptures } from './capture/value.ts';

export { mapStack } from './capture/source-map.ts';

const sources = new WeakMap<CallableFunction, FunctionByValue>();

/**
 * Makes a function ready to travel by value: its text, copies of the data that it captured, the functions and classes it
 * uses (by value too), and what it imports. About a millisecond (the first of a module: some ten); later calls with the
 * same function give the same answer at once, so that what it captured stays as it was at the first.
 * @throws ClosureError saying what cannot be sent, where it stands, and what to do instead
 * @example
 * const factor = 7;
 * capture((n: number) => n * factor).captures; // { factor: 7 }, encoded
 */
export function capture(fn: CallableFunction): FunctionByValue {
  const known = sources.get(fn);
  if (known) return known;
  const inspection = openInspection();
  let collection: Collection;
  try {
    collection = collect(fn, inspection);
  } finally {
    inspection.close();
  }
  const { main, functions, captures, imports } = collection;
  const content = { main, functions, captures: encodeCaptures(captures), imports };
  const source: FunctionByValue = { by: 'value', key: hash(content), ...content };
  sources.set(fn, source);
  return source;
}

/**
 * The name of the variable that holds the app made of a nameless function, or undefined if that is not to be seen in its
 * source.
 * @example
 * const inside = app((points: number) => points / 2); // declaredName of that arrow function is 'inside'
 */
export function declaredName(fn: CallableFunction): string | undefined {
  const inspection = openInspection();
  try {
    const closure = inspection.closureOf(fn);
    if (closure === undefined) return undefined;
    const script = readScript(inspection.scriptText(closure.scriptId));
    const callable = findCallable(script, closure, Function.prototype.toString.call(fn));
    return callable && script.declaredNames.get(callable.node.start);
  } catch {
    return undefined; // A name is a comfort only; what is wrong with the source is told when it is sent.
  } finally {
    inspection.close();
  }
}

/**
 * What decides about the results of a function by value: its texts, and what they captured and import. For memo keys:
 * unlike `key` it leaves out where the function stands, so that moving it in its file makes no other function of it.
 * The same in every run of the same program.
 */
export function identityOf(source: FunctionByValue): string {
  const { main, functions, captures, imports } = source;
  const texts = Object.entries(functions).map(([key, { name, code, uses }]) => [key, name, code, uses]);
  return hash([main, texts, captures, Object.entries(imports)]);
}

/**
 * How a function is sent, in one line.
 * @example
 * describeSource(capture((n: number) => n * 7)); // 'by value, 12 bytes'
 * describeSource({ by: 'reference', module: 'file:///tasks.ts', export: 'count' }); // 'by reference, file:///tasks.ts#count'
 */
export function describeSource(source: FunctionSource | PythonFunction): string {
  if (source.by === 'python') {
    const { module, name, code = '' } = source;
    return module === undefined ? `Python by value, ${Buffer.byteLength(code)} bytes` : `Python, ${module}:${name}`;
  }
  if (source.by === 'reference') return `by reference, ${source.module}#${source.export}`;
  const texts = Object.values(source.functions);
  const bytes = texts.reduce((sum, { code }) => sum + Buffer.byteLength(code), 0);
  const captured = decodeValue(structuredClone(source.captures));
  const captures = Object.entries(captured instanceof Promise ? {} : (captured as object)).map(
    ([name, value]) => `${name}: ${show(value)}`,
  );
  const helpers = Object.keys(source.functions).filter((name) => name !== source.main);
  const imports = Object.entries(source.imports).map(
    ([name, { module }]) => `${name} from ${module.replace(compiledMark, '')}`,
  );
  return [
    `by value, ${bytes} bytes`,
    captured instanceof Promise && 'with captures',
    captures.length > 0 && `captures { ${captures.join(', ')} }`,
    helpers.length > 0 && `with ${helpers.join(', ')}`,
    imports.length > 0 && `imports ${imports.join(', ')}`,
  ]
    .filter((part) => part !== false)
    .join(', ');
}

function hash(content: unknown): string {
  return createHash('sha256').update(serialize(content)).digest('hex').slice(0, 32);
}

/** A value in at most 40 letters. */
function show(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Map || value instanceof Set) return `${value.constructor.name}(${value.size})`;
  const text =
    typeof value === 'object' && value !== null
      ? JSON.stringify(value)
      : typeof value === 'string'
        ? JSON.stringify(value)
        : String(value);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}

// One script of the running program, parsed once: finds the function that stands at a place, and names places for people.
// Called by collect.ts.
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'acorn';
import type { Closure, ScriptText } from './inspect.ts';
import { type Analysis, analyse, type Callable } from './scope.ts';
import { keepSourceMap, originalPlace, type SourcePlace } from './source-map.ts';

export interface Script extends Analysis, ScriptText {
  /** True if positions in it must be mapped to be the user's. */
  readonly isCompiled: boolean;
  /** Offsets where lines begin. */
  readonly lineStarts: readonly number[];
}

const parsed = new Map<string, Script>();

/**
 * Parses a script and finds its variables.
 * @throws SyntaxError if it has syntax that the parser does not know.
 */
export function readScript(text: ScriptText): Script {
  const known = parsed.get(text.id);
  if (known) return known;
  const program = parse(text.source, {
    ecmaVersion: 'latest',
    sourceType: text.isModule ? 'module' : 'commonjs',
    allowSuperOutsideMethod: true,
  });
  const lineStarts = [0];
  for (let at = text.source.indexOf('\n'); at >= 0; at = text.source.indexOf('\n', at + 1)) lineStarts.push(at + 1);
  const isCompiled = keepSourceMap(text.url, text.sourceMapUrl);
  const script = { ...text, ...analyse(program, text.source), isCompiled, lineStarts };
  parsed.set(text.id, script);
  return script;
}

/** The function or class in the source that a function object was made from: same text, at the place that V8 names. */
export function findCallable(script: Script, closure: Closure, text: string): Callable | undefined {
  const at = (script.lineStarts[closure.line] ?? 0) + closure.column;
  return script.callables.find(
    ({ start, end }) =>
      start <= at && at <= end && end - start === text.length && script.source.slice(start, end) === text,
  );
}

/** Line and column, from 1, of an offset in the script as it runs. */
export function placeOf(script: Script, offset: number): SourcePlace {
  let low = 0;
  let high = script.lineStarts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((script.lineStarts[middle] ?? 0) <= offset) low = middle;
    else high = middle;
  }
  return { url: script.url, line: low + 1, column: offset - (script.lineStarts[low] ?? 0) + 1 };
}

/** A place as it stands in messages: `pi.ts:4`, by the user's own file and line. */
export function describePlace(script: Script, offset: number): string {
  const { url, line } = originalPlace(placeOf(script, offset));
  return `${describeUrl(url)}:${line}`;
}

/** The path of a module as a person would write it: relative to the working directory where it is inside of that. */
export function describeUrl(url: string): string {
  if (!url.startsWith('file:')) return url === '' ? '<anonymous>' : url;
  const path = fileURLToPath(url);
  const short = relative(process.cwd(), path);
  return short === '' || short.startsWith('..') ? path : short;
}

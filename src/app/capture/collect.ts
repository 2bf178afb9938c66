// Collects what a function needs to run elsewhere: the texts of itself and of the functions it uses, values, imports.
// Called by capture.ts. What cannot be sent is refused here, with the way that leads to it.
import type { AnyNode } from 'acorn';
import { ClosureError } from '../../task/errors.ts';
import type { FunctionText, ImportedName } from '../../task/ports.ts';
import { globalName } from './global.ts';
import { importOf } from './imports.ts';
import type { Closure, Inspection } from './inspect.ts';
import { assignedAgain, type Callable, type Reference, type Scope, type Variable } from './scope.ts';
import { describePlace, findCallable, placeOf, readScript, type Script } from './script.ts';
import { compiledMark } from './source-map.ts';
import { isPlainHolder, memberPath, problemOf } from './value.ts';

/** Property of an app's wrapper that holds the user's function. Apps cannot be called inside of tasks. */
export const appFunctionKey: unique symbol = Symbol.for('chervil.app.function') as never;

/** What was found. The order of `functions` is the order in which they can be made. */
export interface Collection {
  readonly main: string;
  readonly functions: Record<string, FunctionText>;
  readonly captures: Record<string, unknown>;
  readonly imports: Record<string, ImportedName>;
}

/** A function text on its way: which of its names must be there when it is made, and which only when it is called. */
interface Part {
  readonly text: FunctionText;
  readonly atOnce: Set<string>;
}

/** Names that loaders put into function texts; workers have them. */
const loaderNames = new Set(['__name']);

/** A variable as a function sees it. */
interface Sight {
  readonly script: Script;
  readonly scopes: Closure['scopes'];
  /** Way to the function: `inside() -> helper()`. */
  readonly way: string;
}

/**
 * Collects a function and all that it uses.
 * @throws ClosureError naming the first thing that cannot be sent
 */
export function collect(fn: CallableFunction, inspection: Inspection): Collection {
  const parts = new Map<string, Part>();
  const captures: Record<string, unknown> = {};
  const imports: Record<string, ImportedName> = {};
  const keys = new Map<unknown, string>();
  const taken = new Set<string>();

  const name = fn.name || 'main';
  const main = addFunction(fn, name, fn.name ? `${fn.name}()` : '');
  return { main, functions: inOrder(parts, main), captures, imports };

  function addFunction(value: CallableFunction, name: string, givenWay: string): string {
    const known = keys.get(value);
    if (known) return known;
    if (appFunctionKey in value) {
      refuse(givenWay, 'it is an app, and a task cannot call apps', 'Call the plain function instead, or use joinApp().');
    }
    const text = Function.prototype.toString.call(value);
    if (/\{\s*\[native code\]\s*\}\s*$/.test(text)) return addNative(value, name, givenWay);
    const closure = inspection.closureOf(value);
    if (closure === undefined) refuse(givenWay, 'its source is not known', adviceModule);
    const script = openScript(closure, givenWay);
    const callable = findCallable(script, closure, text);
    if (callable === undefined) refuse(givenWay, `its text was not found in ${script.url}`, adviceModule);
    const way = givenWay || `The function at ${describePlace(script, callable.start)}`;
    checkOwnProperties(value, callable, way);
    const key = takeKey(name);
    keys.set(value, key);
    const { code, start } = codeOf(callable, script, value.name, way);
    const uses: Record<string, string> = {};
    const atOnce = new Set<string>();
    const place = placeOf(script, start);
    const url = script.isCompiled ? script.url + compiledMark : script.url;
    parts.set(key, { text: { name: value.name, code, uses, origin: { ...place, url } }, atOnce });
    const sight: Sight = { script, scopes: closure.scopes, way };
    for (const reference of freeReferences(script, callable)) {
      const target = uses[reference.name] ?? addVariable(reference, callable, value, sight);
      if (target === undefined) continue;
      uses[reference.name] = target;
      if (isNeededAtOnce(reference.scope, callable)) atOnce.add(target);
    }
    if (usesImportMeta(script, callable)) {
      uses['import_meta'] = addImport('import_meta', { module: script.url, from: script.url, export: 'import.meta' });
    }
    return key;
  }

  /** What the name stands for: a key, or undefined where the name is a global. */
  function addVariable(
    reference: Reference,
    callable: Callable,
    value: CallableFunction,
    sight: Sight,
  ): string | undefined {
    const { name, variable } = reference;
    const { script, way } = sight;
    if (variable === undefined) return addUndeclared(reference, callable, sight);
    const from = `${way} uses ${JSON.stringify(name)} from ${describePlace(script, variable.start)}`;
    if (variable.kind === 'import') return addImport(name, importOf(variable, script.url) as ImportedName);
    if (loaderNames.has(name) && variable.scope.parent === undefined) return name;
    if (variable.kind === 'arguments') refuse(`${way} uses "arguments" of the function around it`, '', 'Take what it needs into a const, or declare the arrow function with parameters (...args).');
    const again = assignedAgain(variable);
    if (again) {
      refuse(
        from,
        `it is assigned again at ${describePlace(script, again.start)}, and a copy would not follow`,
        `Pass it as an argument, or copy it into a const first.`,
      );
    }
    const imported = importOf(variable, script.url);
    if (imported) return addImport(name, imported);
    if (/^import_\w+$/.test(name) && script.source.includes('require(')) {
      refuse(from, 'the loader has made it of an import, for CommonJS', 'Put "type": "module" into package.json, or move the function to a module and use apps().');
    }
    return addValue(readVariable(name, variable, value, sight, from), name, from, way, describePlace(script, variable.start));
  }

  /** A name that the script does not declare: a variable around the script (CommonJS), a global, or nothing at all. */
  function addUndeclared(reference: Reference, callable: Callable, sight: Sight): string | undefined {
    const { name } = reference;
    const { script, scopes, way } = sight;
    const from = `${way} uses ${JSON.stringify(name)}`;
    const around = scopes.find(({ isGlobal, values }) => !isGlobal && Object.hasOwn(values, name));
    if (around) {
      if (name === 'require') return addImport(name, { module: script.url, from: script.url, export: 'require' });
      return addValue(around.values[name], name, from, way, '');
    }
    if (name in globalThis) return undefined;
    const all = script.references.filter((other) => other.name === name && isInside(other, callable.node));
    if (all.some(({ inTypeof }) => inTypeof)) return undefined; // The function asks whether there is one.
    refuse(`${from} at ${describePlace(script, reference.start)}`, `free variable ${JSON.stringify(name)} is not defined anywhere`, 'Declare it, import it, or make it a parameter.');
  }

  function readVariable(
    name: string,
    variable: Variable,
    value: CallableFunction,
    { scopes }: Sight,
    from: string,
  ): unknown {
    const scope = scopes.find(({ isGlobal, values }) => !isGlobal && Object.hasOwn(values, name));
    if (scope === undefined) {
      // V8 keeps no variable for the class after `extends`.
      const base: unknown = Object.getPrototypeOf(value);
      if (typeof base === 'function' && base !== Function.prototype && base.name === name) return base;
      refuse(from, 'its value cannot be read any more', adviceModule);
    }
    let found: unknown;
    let isEarly = false;
    try {
      found = scope.values[name];
    } catch {
      isEarly = true; // Node 24 says so, Node 20 gives undefined.
    }
    if (isEarly || (found === undefined && cannotBeUndefined(variable))) {
      refuse(from, 'it has no value yet', 'Call the app after that line has run.');
    }
    return found;
  }

  /** `from` says what holds the value; `place` is where a variable was declared. */
  function addValue(value: unknown, name: string, from: string, way: string, place: string): string {
    if (typeof value === 'function') {
      const described = `${value.name || name}()${place && value.name !== name ? ` from ${place}` : ''}`;
      return addFunction(value, name, `${way} -> ${described}`);
    }
    if (typeof value === 'symbol') {
      const expression = globalName(value);
      if (expression) return addExpression(value, name, expression);
    }
    if (isPlainHolder(value) && holdsFunctions(value)) return addHolder(value, name, from, way, place);
    const problem = problemOf(value);
    if (problem) {
      const held = problem.path === '' ? from : from.replace(/"( from [^"]*)?$/, `${problem.path.replaceAll('"', "'")}"$1`);
      refuse(`${held} (${problem.what})`, problem.why, advicePass);
    }
    const identity = typeof value === 'object' && value !== null ? value : `${typeof value} ${String(value)} ${name}`;
    const known = keys.get(identity);
    if (known) return known;
    const key = takeKey(name);
    keys.set(identity, key);
    captures[key] = value;
    return key;
  }

  /** An object or array with functions in it travels as the text of a literal. */
  function addHolder(
    holder: Record<string, unknown> | unknown[],
    name: string,
    from: string,
    way: string,
    place: string,
  ): string {
    const known = keys.get(holder);
    if (known) return known;
    const key = takeKey(name);
    keys.set(holder, key);
    const uses: Record<string, string> = {};
    const isList = Array.isArray(holder);
    const members = Object.entries(Object.getOwnPropertyDescriptors(holder)).filter(([member]) => !(isList && member === 'length'));
    const texts = members.map(([member, property], index) => {
      const inner = from.replace(/"( from [^"]*)?$/, `${memberPath(member, isList).replaceAll('"', "'")}"$1`);
      if (property.get || property.set) refuse(`${inner} (a getter)`, 'a copy would have its value of now only', advicePass);
      const local = `$${index}`;
      uses[local] = addValue(property.value, /^[\w$]+$/.test(member) && !isList ? member : `${name}_${index}`, inner, way, place);
      return isList ? local : `[${JSON.stringify(member)}]: ${local}`;
    });
    const code = isList ? `[${texts.join(', ')}]` : `({ ${texts.join(', ')} })`;
    parts.set(key, { text: { name: '', code, uses, origin: nowhere }, atOnce: new Set(Object.values(uses)) });
    return key;
  }

  function addNative(value: CallableFunction, name: string, way: string): string {
    const expression = globalName(value);
    if (expression) return addExpression(value, name, expression);
    const what = value.name ? `${way || `${value.name}()`} ` : `${way || 'The function'} `;
    if (value.name.startsWith('bound ')) {
      refuse(what.trimEnd(), 'it is a bound function, and what it is bound to cannot be read', 'Write an arrow function instead of .bind().');
    }
    refuse(what.trimEnd(), 'it is a native function, which has no source', 'Write an arrow function that calls it.');
  }

  function addExpression(value: unknown, name: string, code: string): string {
    const known = keys.get(value);
    if (known) return known;
    const key = takeKey(name);
    keys.set(value, key);
    parts.set(key, { text: { name: '', code, uses: {}, origin: nowhere }, atOnce: new Set() });
    return key;
  }

  function addImport(name: string, imported: ImportedName): string {
    const identity = `import ${JSON.stringify([imported.module, imported.from, imported.export, imported.type])}`;
    const known = keys.get(identity);
    if (known) return known;
    const key = takeKey(name);
    keys.set(identity, key);
    imports[key] = imported;
    return key;
  }

  function takeKey(name: string): string {
    let key = name === '__proto__' || loaderNames.has(name) ? `$${name}` : name;
    for (let number = 2; taken.has(key); number++) key = `${name}$${number}`;
    taken.add(key);
    return key;
  }

  function openScript(closure: Closure, way: string): Script {
    const text = inspection.scriptText(closure.scriptId);
    const described = way || 'The function';
    if (text.url.startsWith('node:')) {
      refuse(described, `it is a function of Node.js itself (${text.url})`, 'Import it inside of the function, or write an arrow function that calls it.');
    }
    try {
      return readScript(text);
    } catch (error) {
      throw new ClosureError(`${described} cannot be sent: ${text.url} cannot be parsed. ${adviceModule}`, { cause: error });
    }
  }
}

const nowhere = { url: '', line: 1, column: 1 };
const adviceModule = 'Move the function to a module and use apps().';
const advicePass = 'Pass it as an argument, or move the function to a module and use apps().';

function refuse(what: string, why: string, advice: string): never {
  const uses = / uses "/.test(what);
  const sentence = uses ? (why ? `${what}: ${why}` : what) : `${what || 'The function'} cannot be sent: ${why}`;
  throw new ClosureError(`${sentence}. ${advice}`);
}

/** References inside of a callable to variables outside of it. */
function freeReferences(script: Script, { node }: Callable): Reference[] {
  return script.references.filter(
    (reference) => isInside(reference, node) && !(reference.variable && isRangeInside(reference.variable.scope, node)),
  );
}

function isInside({ start }: { start: number }, range: { start: number; end: number }): boolean {
  return start >= range.start && start < range.end;
}

function isRangeInside(inner: { start: number; end: number }, outer: { start: number; end: number }): boolean {
  return inner.start >= outer.start && inner.end <= outer.end;
}

function usesImportMeta(script: Script, { node }: Callable): boolean {
  return script.contexts.some((context) => context.what === 'import.meta' && isInside(context, node));
}

/** True for names that a class needs when it is made: its base, static fields and blocks, computed names. */
function isNeededAtOnce(from: Scope, { kind, node }: Callable): boolean {
  if (kind !== 'class') return false;
  for (let scope: Scope | undefined = from; scope && isRangeInside(scope, node); scope = scope.parent) {
    if (scope.kind === 'function' || scope.kind === 'arrow' || scope.kind === 'field') return false;
  }
  return true;
}

/** One expression that gives the function, and where its text begins in the script. */
function codeOf(callable: Callable, script: Script, name: string, way: string): { code: string; start: number } {
  const { node, kind } = callable;
  for (const { what, name: word, start, home } of script.contexts) {
    if (!isInside({ start }, node) || what === 'import.meta') continue;
    if (what === 'private' && !(home && isRangeInside(home, node))) {
      refuse(way, `it uses ${word}, a private member of its class`, 'Send the class and make the object in the task, not its method.');
    }
    const isOwn = home !== undefined && isRangeInside(home, node);
    if (what === 'super' && (!isOwn || (home?.start === node.start && kind !== 'class'))) {
      refuse(way, 'it uses "super", which belongs to its object or class', 'Send the class and make the object in the task, not its method.');
    }
    if ((what === 'this' || what === 'new.target') && !isOwn) {
      refuse(way, `it is an arrow function that uses "${word}" of the function around it`, `Take what it needs into a const, and use that instead of "${word}".`);
    }
  }
  let start = callable.start;
  let prefix = '';
  let suffix = '';
  if (kind === 'method') {
    const method = node as { async?: boolean; generator?: boolean; start: number };
    const key = JSON.stringify(name.replace(/^[gs]et /, ''));
    prefix = `({ ${method.async ? 'async ' : ''}${method.generator ? '*' : ''}[${key}]`;
    suffix = ` })[${key}]`;
    start = method.start;
  }
  let text = script.source.slice(start, callable.end);
  for (const context of script.contexts) {
    if (context.what !== 'import.meta' || !isInside(context, node)) continue;
    // Eleven letters for eleven, so that columns stay.
    const from = context.start - start;
    const to = context.end - start;
    text = text.slice(0, from) + 'import_meta'.padEnd(to - from) + text.slice(to);
  }
  return { code: prefix + text + suffix, start };
}

/** A function that carries properties would lose them silently. */
function checkOwnProperties(value: CallableFunction, { node, kind }: Callable, way: string): void {
  const expected = new Set<PropertyKey>(['length', 'name', 'prototype', 'arguments', 'caller']);
  if (kind === 'class') {
    const members = (node as { body: { body: readonly AnyNode[] } }).body.body;
    // Static blocks and computed names may make any property.
    if (members.some((member) => member.type === 'StaticBlock' && !isLoaderBlock(member))) return;
    for (const member of members) {
      if (!('static' in member) || !member.static) continue;
      if (member.computed) return;
      const { key } = member;
      expected.add(key.type === 'Identifier' ? key.name : 'value' in key ? String(key.value) : '');
    }
  } else if (typeof value.prototype === 'object' && value.prototype !== null) {
    const own = Reflect.ownKeys(value.prototype).find((key) => key !== 'constructor');
    if (own !== undefined) refuse(way, `its prototype has ${String(own)}, which would be lost`, 'Write it as a class.');
  }
  const own = Reflect.ownKeys(value).find((key) => !expected.has(key));
  if (own !== undefined) {
    refuse(way, `it has a property ${String(own)}, which would be lost`, adviceModule);
  }
}

/** esbuild names classes in a static block: `static { __name(this, "C") }`. */
function isLoaderBlock(block: { body: readonly AnyNode[] }): boolean {
  const [first] = block.body;
  if (block.body.length !== 1 || first?.type !== 'ExpressionStatement') return false;
  const { expression } = first;
  return expression.type === 'CallExpression' && expression.callee.type === 'Identifier' && loaderNames.has(expression.callee.name);
}

/** True for a variable whose first value is surely not undefined: finding undefined means that it has none yet. */
function cannotBeUndefined({ kind, declaration }: Variable): boolean {
  if (kind === 'class') return true;
  if (declaration.type !== 'VariableDeclarator' || declaration.id.type !== 'Identifier' || kind === 'var') return false;
  switch (declaration.init?.type) {
    case 'Literal':
    case 'TemplateLiteral':
    case 'ObjectExpression':
    case 'ArrayExpression':
    case 'NewExpression':
    case 'ArrowFunctionExpression':
    case 'FunctionExpression':
    case 'ClassExpression':
    case 'BinaryExpression':
      return true;
    default:
      return false;
  }
}

function holdsFunctions(value: unknown, seen: Set<unknown> = new Set()): boolean {
  if (typeof value === 'function') return true;
  if (!isPlainHolder(value) || seen.has(value)) return false;
  seen.add(value);
  return Object.values(Object.getOwnPropertyDescriptors(value)).some((property) => holdsFunctions(property.value, seen));
}

/** Puts every part behind those that it needs at once. */
function inOrder(parts: ReadonlyMap<string, Part>, main: string): Record<string, FunctionText> {
  const ordered: Record<string, FunctionText> = {};
  const begun = new Set<string>();
  const place = (key: string): void => {
    const part = parts.get(key);
    if (part === undefined || begun.has(key)) return;
    begun.add(key);
    for (const needed of part.atOnce) {
      if (needed !== key && begun.has(needed) && !Object.hasOwn(ordered, needed) && part.text.origin === nowhere) {
        refuse(`${main}() uses ${JSON.stringify(needed)}`, 'it holds functions and itself', advicePass);
      }
      place(needed);
    }
    ordered[key] = part.text;
    for (const used of Object.values(part.text.uses)) place(used);
  };
  place(main);
  return ordered;
}

// Collects what a function needs to run elsewhere: the texts of itself and of the functions it uses, values, imports.
// Called by capture.ts. What cannot be sent is refused here, with the way that leads to it.
import { ClosureError } from '../../task/errors.ts';
import type { FunctionText, ImportedName } from '../../task/ports.ts';
import { globalName } from './global.ts';
import { importOf } from './imports.ts';
import type { Closure, Inspection } from './inspect.ts';
import { adviceApp, adviceModule, advicePass, problemApp, refuse, refuseValue } from './refusal.ts';
import { assignedAgain, type Callable, type Reference, type Scope, type Variable } from './scope.ts';
import { describePlace, findCallable, placeOf, readScript, type Script } from './script.ts';
import { compiledMark } from './source-map.ts';
import { checkOwnProperties, codeOf, isInside, isRangeInside, loaderName, loaderNames } from './text.ts';
import { getterProblem, holdsFunctions, isPlainHolder, isThenable, memberPath, problemOf } from './value.ts';

/** Property of an app's wrapper that holds the user's function. Apps cannot be called inside of tasks. */
const appFunctionKey = Symbol.for('chervil.app.function');

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

/** A variable as a function sees it. */
interface Sight {
  readonly script: Script;
  readonly scopes: Closure['scopes'];
  /** Way to the function: `inside() -> helper()`. */
  readonly way: string;
}

/** Something that a function captured, or a member of that. */
interface Seen {
  readonly name: string;
  /** Beginning with a variable: `config.hooks[0]`. */
  readonly path: string;
  /** Way to the function that uses it. */
  readonly way: string;
  /** Where the variable is declared. */
  readonly place: string;
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

  const main = addFunction(fn, nameOf(fn), '');
  return { main, functions: inOrder(parts, main), captures, imports };

  function addFunction(value: CallableFunction, name: string, givenWay: string, declaredAt = ''): string {
    const known = keys.get(value);
    if (known) return known;
    const called = givenWay || (name ? `${name}()` : 'The function');
    const described = declaredAt ? `${called} from ${declaredAt}` : called;
    if (appFunctionKey in value) refuse(described, problemApp, adviceApp);
    const text = Function.prototype.toString.call(value);
    if (/\{\s*\[native code\]\s*\}\s*$/.test(text)) return addNative(value, name, described);
    const closure = inspection.closureOf(value);
    if (closure === undefined) refuse(described, 'its source is not known', adviceModule);
    const script = openScript(closure, described);
    const callable = findCallable(script, closure, text);
    if (callable === undefined) refuse(described, `its text was not found in ${script.url}`, adviceModule);
    const ownName = nameOf(value) || (script.declaredNames.get(callable.node.start) ?? '');
    const at = describePlace(script, callable.start);
    const way = givenWay || (ownName ? `${ownName}()` : `The function at ${at}`);
    const where = ownName || givenWay ? `${way} at ${at}` : way;
    checkOwnProperties(value, callable, where);
    const key = takeKey(name || ownName || 'main');
    keys.set(value, key);
    const { code, start } = codeOf(callable, script, nameOf(value), where);
    const uses: Record<string, string> = {};
    const atOnce = new Set<string>();
    const place = placeOf(script, start);
    const url = script.isCompiled ? script.url + compiledMark : script.url;
    parts.set(key, { text: { name: ownName, code, uses, origin: { ...place, url } }, atOnce });
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
    if (variable.kind === 'import') {
      const found = tryRead(sight, name);
      if (typeof found === 'function' && appFunctionKey in found) refuse(from, problemApp, adviceApp);
      return addImport(name, importOf(variable, script.url) as ImportedName);
    }
    const provided = loaderName(name, variable, script);
    if (provided) return provided;
    if (variable.kind === 'arguments')
      refuse(
        `${way} uses "arguments" of the function around it`,
        '',
        'Take what it needs into a const, or declare the arrow function with parameters (...args).',
      );
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
      refuse(
        from,
        'the loader has made it of an import, for CommonJS',
        'Put "type": "module" into package.json, or move the function to a module and use apps().',
      );
    }
    const place = describePlace(script, variable.start);
    return addValue(readVariable(name, variable, value, sight, from), { name, path: name, way, place });
  }

  /** A name that the script does not declare: a variable around the script (CommonJS), a global, or nothing at all. */
  function addUndeclared(reference: Reference, callable: Callable, sight: Sight): string | undefined {
    const { name } = reference;
    const { script, scopes, way } = sight;
    const from = `${way} uses ${JSON.stringify(name)}`;
    const around = scopes.find(({ isGlobal, values }) => !isGlobal && Object.hasOwn(values, name));
    if (around) {
      if (name === 'require') return addImport(name, { module: script.url, from: script.url, export: 'require' });
      return addValue(around.values[name], { name, path: name, way, place: script.url });
    }
    if (name in globalThis) return undefined;
    const all = script.references.filter((other) => other.name === name && isInside(other, callable.node));
    if (all.some(({ inTypeof }) => inTypeof)) return undefined; // The function asks whether there is one.
    refuse(
      `${from} at ${describePlace(script, reference.start)}`,
      `free variable ${JSON.stringify(name)} is not defined anywhere`,
      'Declare it, import it, or make it a parameter.',
    );
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

  /** What a name or a member stands for. */
  function addValue(value: unknown, seen: Seen): string {
    if (typeof value === 'function') return addFunction(value, seen.name, `${seen.way} -> ${seen.name}()`, seen.place);
    if (typeof value === 'symbol') {
      const expression = globalName(value);
      if (expression) return addExpression(value, seen.name, expression);
      refuseValue(seen, seen.path, 'it is a unique symbol, and a copy would be another one. Use Symbol.for().');
    }
    if (isPlainHolder(value) && !isThenable(value) && holdsFunctions(value)) return addHolder(value, seen);
    const found = problemOf(value, seen.path);
    if (found) refuseValue(seen, found.path, found.problem);
    const isObject = typeof value === 'object' && value !== null;
    const primitive = Object.is(value, -0) ? '-0' : String(value);
    const identity = isObject ? value : `${typeof value} ${primitive} ${seen.name}`;
    const known = keys.get(identity);
    if (known) return known;
    const key = takeKey(seen.name);
    keys.set(identity, key);
    captures[key] = value;
    return key;
  }

  /** An object or array with functions in it travels as the text of a literal. */
  function addHolder(holder: Record<string, unknown> | unknown[], seen: Seen): string {
    const known = keys.get(holder);
    if (known) return known;
    const key = takeKey(seen.name);
    keys.set(holder, key);
    const uses: Record<string, string> = {};
    const isList = Array.isArray(holder);
    const members = Object.entries(Object.getOwnPropertyDescriptors(holder));
    const texts = members.map(([member, property], index) => {
      if (isList && member === 'length') return '';
      const path = `${seen.path}${memberPath(member, isList)}`;
      if (property.get || property.set) refuseValue(seen, path, getterProblem);
      const name = /^[A-Za-z_$][\w$]*$/.test(member) && !isList ? member : `${seen.name}_${index}`;
      uses[`$${index}`] = addValue(property.value, { ...seen, path, name });
      return `[${JSON.stringify(member)}]: $${index}, `;
    });
    const literal = `{ ${texts.join('')} }`;
    const code = isList ? `Object.assign([], ${literal})` : `(${literal})`;
    parts.set(key, { text: { name: '', code, uses, origin: nowhere }, atOnce: new Set(Object.values(uses)) });
    return key;
  }

  function addNative(value: CallableFunction, name: string, way: string): string {
    const expression = globalName(value);
    if (expression) return addExpression(value, name, expression);
    if (nameOf(value).startsWith('bound ')) {
      refuse(
        way,
        'it is a bound function, and what it is bound to cannot be read',
        'Write an arrow function instead of .bind().',
      );
    }
    refuse(way, 'it is a native function, which has no source', 'Write an arrow function that calls it.');
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
    let key = name === '__proto__' || name === '__coverage' || loaderNames.has(name) ? `$${name}` : name;
    for (let number = 2; taken.has(key); number++) key = `${name}$${number}`;
    taken.add(key);
    return key;
  }

  function openScript(closure: Closure, way: string): Script {
    const text = inspection.scriptText(closure.scriptId);
    if (text.url.startsWith('node:')) {
      refuse(
        way,
        `it is a function of Node.js itself (${text.url})`,
        'Import it inside of the function, or write an arrow function that calls it.',
      );
    }
    try {
      return readScript(text);
    } catch (error) {
      throw new ClosureError(`${way || 'The function'} cannot be sent: ${text.url} cannot be parsed. ${adviceModule}`, {
        cause: error,
      });
    }
  }
}

/** A class may have a static member `name` that is anything. */
function nameOf(fn: CallableFunction): string {
  const name: unknown = fn.name;
  return typeof name === 'string' ? name : '';
}

const nowhere = { url: '', line: 1, column: 1 };

/** The value of a name where it has one. */
function tryRead({ scopes }: Sight, name: string): unknown {
  try {
    return scopes.find(({ isGlobal, values }) => !isGlobal && Object.hasOwn(values, name))?.values[name];
  } catch {
    return undefined; // Not initialised yet.
  }
}

/** References inside of a callable to variables outside of it. */
function freeReferences(script: Script, { node }: Callable): Reference[] {
  return script.references.filter(
    (reference) => isInside(reference, node) && !(reference.variable && isRangeInside(reference.variable.scope, node)),
  );
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

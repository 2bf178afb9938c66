// Which name means which variable, in one script: variables, references, writes, and uses of `this` and `#names`.
// Called by script.ts, once per script; the rules about what may be sent stand in collect.ts.
import type { AnyNode, Pattern, Program } from 'acorn';

type FunctionNode = Extract<AnyNode, { params: unknown }>;
type ClassNode = Extract<AnyNode, { superClass?: unknown }>;

/** A range of source in which variables live. */
export interface Scope {
  readonly parent: Scope | undefined;
  readonly start: number;
  readonly end: number;
  /**
   * `function` has its own `this`, `arrow` has not; `field` and `static` are the initialisers and blocks of a class,
   * with their own `this`, of which `static` runs when the class is made; `loop` runs its inside many times.
   */
  readonly kind: 'program' | 'function' | 'arrow' | 'field' | 'static' | 'class' | 'block' | 'loop';
  readonly variables: Map<string, Variable>;
}

/** A place that gives a variable a value after its declaration. */
export interface Write {
  readonly start: number;
  readonly scope: Scope;
  /** `X || (X = {})`, with which compilers open a TypeScript enum or namespace. */
  readonly opensEnum: boolean;
}

export interface Variable {
  readonly name: string;
  readonly kind: 'import' | 'const' | 'let' | 'var' | 'function' | 'class' | 'parameter' | 'self' | 'arguments';
  readonly start: number;
  readonly scope: Scope;
  /** The declarator, import specifier, function or class that declares it. */
  readonly declaration: AnyNode;
  /** The import declaration, for `import`. */
  readonly importedBy?: AnyNode;
  /** The head of a `for (let …; test; update)`: its writes make a new variable each time round. */
  readonly loopHead?: { readonly from: number; readonly to: number };
  hasInitialValue: boolean;
  readonly writes: Write[];
}

export interface Reference {
  readonly name: string;
  readonly start: number;
  readonly scope: Scope;
  readonly inTypeof: boolean;
  variable: Variable | undefined;
}

/** `this`, `super`, `new.target` or a private name, and the source range that gives it its meaning. */
export interface Context {
  readonly what: 'this' | 'super' | 'new.target' | 'private' | 'import.meta';
  readonly name: string;
  readonly start: number;
  readonly end: number;
  /** Undefined: the script itself. */
  readonly home: { readonly start: number; readonly end: number } | undefined;
}

/** A function or class in the source, with the range that its `toString()` gives. */
export interface Callable {
  readonly node: FunctionNode | ClassNode;
  readonly kind: 'function' | 'method' | 'class';
  readonly start: number;
  readonly end: number;
}

export interface Analysis {
  readonly references: readonly Reference[];
  readonly contexts: readonly Context[];
  readonly callables: readonly Callable[];
  /** For functions given to a call: the variable or property that holds what the call gives. By the function's start. */
  readonly declaredNames: ReadonlyMap<number, string>;
}

/**
 * Finds all variables and what refers to them.
 * @param program the parsed script
 * @param source its text
 */
export function analyse(program: Program, source: string): Analysis {
  const references: Reference[] = [];
  const writes: { write: Write; name: string }[] = [];
  const contexts: Context[] = [];
  const callables: Callable[] = [];
  const declaredNames = new Map<number, string>();
  visit(program, scopeOf(program, 'program', undefined));
  for (const reference of references) reference.variable = lookUp(reference.scope, reference.name);
  for (const { write, name } of writes) lookUp(write.scope, name)?.writes.push(write);
  return { references, contexts, callables, declaredNames };

  function visit(node: AnyNode, scope: Scope): void {
    switch (node.type) {
      case 'Identifier':
        refer(node, scope, false);
        return;
      case 'ThisExpression':
        contexts.push({ what: 'this', name: 'this', start: node.start, end: node.end, home: homeOf(scope) });
        return;
      case 'Super':
        contexts.push({ what: 'super', name: 'super', start: node.start, end: node.end, home: homeOf(scope) });
        return;
      case 'MetaProperty': {
        const what = node.meta.name === 'import' ? 'import.meta' : 'new.target';
        contexts.push({ what, name: what, start: node.start, end: node.end, home: homeOf(scope) });
        return;
      }
      case 'PrivateIdentifier':
        contexts.push({
          what: 'private',
          name: `#${node.name}`,
          start: node.start,
          end: node.end,
          home: classOf(scope, `#${node.name}`),
        });
        return;
      case 'FunctionDeclaration':
        if (node.id) declare(scope, node.id.name, 'function', node.id.start, node, true);
        visitFunction(node, scope, 'function', node.start, node.end);
        return;
      case 'FunctionExpression':
      case 'ArrowFunctionExpression':
        visitFunction(node, scope, 'function', node.start, node.end);
        return;
      case 'ClassDeclaration':
        if (node.id) declare(scope, node.id.name, 'class', node.id.start, node, true);
        visitClass(node, scope);
        return;
      case 'ClassExpression':
        visitClass(node, scope);
        return;
      case 'VariableDeclaration':
        for (const declarator of node.declarations) {
          const kind = node.kind === 'var' ? 'var' : node.kind === 'let' ? 'let' : 'const';
          visitPattern(declarator.id, scope, (name, start) => {
            declare(scope, name, kind, start, declarator, declarator.init != null);
          });
          if (!declarator.init) continue;
          if (declarator.id.type === 'Identifier') nameArguments(declarator.init, declarator.id.name);
          visit(declarator.init, scope);
        }
        return;
      case 'ImportDeclaration':
        for (const specifier of node.specifiers) {
          const variable = declare(scope, specifier.local.name, 'import', specifier.local.start, specifier, true);
          Object.assign(variable, { importedBy: node });
        }
        return;
      case 'ExportNamedDeclaration':
        if (node.declaration) visit(node.declaration, scope);
        return;
      case 'ExportAllDeclaration':
      case 'BreakStatement':
      case 'ContinueStatement':
        return;
      case 'LabeledStatement':
        visit(node.body, scope);
        return;
      case 'AssignmentExpression':
        visitTarget(node.left, scope);
        visit(node.right, scope);
        return;
      case 'UpdateExpression':
        visitTarget(node.argument as Pattern, scope);
        return;
      case 'UnaryExpression':
        if (node.operator === 'typeof' && node.argument.type === 'Identifier') refer(node.argument, scope, true);
        else visit(node.argument, scope);
        return;
      case 'LogicalExpression':
        visit(node.left, scope);
        visitOpening(node.left, node.right, scope);
        return;
      case 'MemberExpression':
        visit(node.object, scope);
        if (node.computed || node.property.type === 'PrivateIdentifier') visit(node.property, scope);
        return;
      case 'Property':
        if (node.computed) visit(node.key, scope);
        if (node.method || node.kind !== 'init') {
          visitFunction(node.value as FunctionNode, scope, 'method', node.start, node.end);
        } else {
          if (node.key.type === 'Identifier' && !node.computed) nameArguments(node.value, node.key.name);
          visit(node.value, scope);
        }
        return;
      case 'ForStatement': {
        const loop = scopeOf(node, 'loop', scope);
        if (node.init) visit(node.init, loop);
        const head = { from: node.init?.end ?? node.start, to: node.body.start };
        for (const variable of loop.variables.values()) Object.assign(variable, { loopHead: head });
        if (node.test) visit(node.test, loop);
        if (node.update) visit(node.update, loop);
        visit(node.body, loop);
        return;
      }
      case 'ForInStatement':
      case 'ForOfStatement': {
        const loop = scopeOf(node, 'loop', scope);
        if (node.left.type === 'VariableDeclaration') {
          visit(node.left, loop);
          for (const variable of loop.variables.values()) variable.hasInitialValue = true;
          if (node.left.kind === 'var') {
            const target = node.left.declarations[0];
            if (target) visitPattern(target.id, loop, (name, start) => addWrite(name, start, loop, false));
          }
        } else visitTarget(node.left, loop);
        visit(node.right, scope);
        visit(node.body, loop);
        return;
      }
      case 'WhileStatement':
      case 'DoWhileStatement':
        visitChildren(node, scopeOf(node, 'loop', scope));
        return;
      case 'BlockStatement':
      case 'SwitchStatement':
        visitChildren(node, scopeOf(node, 'block', scope));
        return;
      case 'CatchClause': {
        const inner = scopeOf(node, 'block', scope);
        if (node.param) {
          visitPattern(node.param, inner, (name, start) => declare(inner, name, 'parameter', start, node, true));
        }
        visitChildren(node.body, inner);
        return;
      }
      default:
        visitChildren(node, scope);
    }
  }

  /** In `const inside = app(fn, options).with(…)`, the name of `fn` is `inside`. */
  function nameArguments(value: AnyNode, name: string): void {
    let call = value;
    while (call.type === 'CallExpression') {
      for (const argument of call.arguments) if ('params' in argument) declaredNames.set(argument.start, name);
      if (call.callee.type !== 'MemberExpression') return;
      call = call.callee.object;
    }
  }

  function visitChildren(node: AnyNode, scope: Scope): void {
    for (const child of Object.values(node)) {
      if (Array.isArray(child)) {
        for (const one of child) if (isNode(one)) visit(one, scope);
      } else if (isNode(child)) visit(child, scope);
    }
  }

  function visitFunction(node: FunctionNode, scope: Scope, kind: Callable['kind'], start: number, end: number): void {
    callables.push({ node, kind, start, end });
    let outer = scope;
    if (node.type === 'FunctionExpression' && node.id) {
      outer = scopeOf(node, 'block', scope);
      declare(outer, node.id.name, 'self', node.id.start, node, true);
    }
    const isArrow = node.type === 'ArrowFunctionExpression';
    const inner = scopeOf(node, isArrow ? 'arrow' : 'function', outer);
    if (!isArrow) declare(inner, 'arguments', 'arguments', node.start, node, true);
    for (const parameter of node.params) {
      visitPattern(parameter, inner, (name, at) => declare(inner, name, 'parameter', at, node, true));
    }
    // The body shares the scope of the parameters: a body that declares a parameter's name anew means the same here.
    if (node.body.type === 'BlockStatement') visitChildren(node.body, inner);
    else visit(node.body, inner);
  }

  function visitClass(node: ClassNode, scope: Scope): void {
    callables.push({ node, kind: 'class', start: node.start, end: node.end });
    const inner = scopeOf(node, 'class', scope);
    if (node.type === 'ClassExpression' && node.id) declare(inner, node.id.name, 'self', node.id.start, node, true);
    for (const member of node.body.body) {
      if ('key' in member && member.key.type === 'PrivateIdentifier') {
        declare(inner, `#${member.key.name}`, 'self', member.key.start, node, true);
      }
    }
    if (node.superClass) visit(node.superClass, inner);
    for (const member of node.body.body) {
      if (member.type === 'StaticBlock') {
        visitChildren(member, scopeOf(member, 'static', inner));
        continue;
      }
      if (member.computed) visit(member.key, inner);
      if (member.type === 'MethodDefinition') {
        const skip = member.static
          ? (/^static(?:\s|\/\*[\s\S]*?\*\/|\/\/.*\n)*/.exec(source.slice(member.start))?.[0].length ?? 0)
          : 0;
        visitFunction(member.value, inner, 'method', member.start + skip, member.end);
      } else if (member.value) {
        visit(member.value, scopeOf(member, member.static ? 'static' : 'field', inner));
      }
    }
  }

  /** Visits a pattern that declares names. */
  function visitPattern(pattern: Pattern, scope: Scope, declareName: (name: string, start: number) => void): void {
    switch (pattern.type) {
      case 'Identifier':
        declareName(pattern.name, pattern.start);
        return;
      case 'ObjectPattern':
        for (const property of pattern.properties) {
          if (property.type === 'RestElement') visitPattern(property.argument, scope, declareName);
          else {
            if (property.computed) visit(property.key, scope);
            visitPattern(property.value, scope, declareName);
          }
        }
        return;
      case 'ArrayPattern':
        for (const element of pattern.elements) if (element) visitPattern(element, scope, declareName);
        return;
      case 'RestElement':
        visitPattern(pattern.argument, scope, declareName);
        return;
      case 'AssignmentPattern':
        visitPattern(pattern.left, scope, declareName);
        visit(pattern.right, scope);
        return;
      default:
        visit(pattern, scope);
    }
  }

  /** Visits what an assignment writes to. */
  function visitTarget(target: Pattern, scope: Scope): void {
    if (target.type === 'MemberExpression') {
      visit(target, scope);
      return;
    }
    visitPattern(target, scope, (name, start) => {
      references.push({ name, start, scope, inTypeof: false, variable: undefined });
      addWrite(name, start, scope, false);
    });
  }

  /** The right side of `X || …`: when it is `(X = {})`, that is the beginning of a compiled enum. */
  function visitOpening(left: AnyNode, right: AnyNode, scope: Scope): void {
    const opens =
      left.type === 'Identifier' &&
      right.type === 'AssignmentExpression' &&
      right.left.type === 'Identifier' &&
      right.left.name === left.name &&
      right.right.type === 'ObjectExpression' &&
      right.right.properties.length === 0;
    if (opens) {
      references.push({ name: left.name, start: right.start, scope, inTypeof: false, variable: undefined });
      addWrite(left.name, right.start, scope, true);
    } else visit(right, scope);
  }

  function addWrite(name: string, start: number, scope: Scope, opensEnum: boolean): void {
    writes.push({ name, write: { start, scope, opensEnum } });
  }

  function refer(node: { name: string; start: number }, scope: Scope, inTypeof: boolean): void {
    references.push({ name: node.name, start: node.start, scope, inTypeof, variable: undefined });
  }

  function declare(
    from: Scope,
    name: string,
    kind: Variable['kind'],
    start: number,
    declaration: AnyNode,
    hasInitialValue: boolean,
  ): Variable {
    let scope = from;
    if (kind === 'var') while (!ownsVars(scope) && scope.parent) scope = scope.parent;
    const known = scope.variables.get(name);
    // Only `var` and sloppy functions can be declared twice. The second value is a write; so is each turn of a loop.
    const repeats = kind === 'var' && hasInitialValue && isInLoop(from, scope);
    if (known !== undefined && known.kind !== 'arguments') {
      if (hasInitialValue) addWrite(name, start, from, false);
      return known;
    }
    const variable: Variable = { name, kind, start, scope, declaration, hasInitialValue, writes: [] };
    scope.variables.set(name, variable);
    if (repeats) addWrite(name, start, from, false);
    return variable;
  }
}

/**
 * The place where a variable is assigned again after its first value, or undefined if its value stays.
 * A `let x;` with one later assignment in the same function, outside of loops, has its first value there.
 */
export function assignedAgain(variable: Variable): Write | undefined {
  const head = variable.loopHead;
  const own = functionOf(variable.scope);
  const writes = variable.writes.filter(({ start, scope, opensEnum }) => {
    if (opensEnum) return functionOf(scope) !== own;
    return !(head && variable.kind === 'let' && start >= head.from && start < head.to);
  });
  const [first] = writes;
  if (first === undefined) return undefined;
  if (!variable.hasInitialValue && writes.length === 1 && !isInLoop(first.scope, variable.scope)) {
    if (functionOf(first.scope) === own) return undefined;
  }
  return first;
}

function scopeOf(node: { start: number; end: number }, kind: Scope['kind'], parent: Scope | undefined): Scope {
  return { parent, start: node.start, end: node.end, kind, variables: new Map() };
}

function lookUp(from: Scope, name: string): Variable | undefined {
  for (let scope: Scope | undefined = from; scope; scope = scope.parent) {
    const found = scope.variables.get(name);
    if (found) return found;
  }
  return undefined;
}

function ownsVars(scope: Scope): boolean {
  return scope.kind === 'function' || scope.kind === 'arrow' || scope.kind === 'static' || scope.kind === 'program';
}

function functionOf(from: Scope): Scope {
  let scope = from;
  while (!ownsVars(scope) && scope.parent) scope = scope.parent;
  return scope;
}

function isInLoop(from: Scope, to: Scope): boolean {
  for (let scope: Scope | undefined = from; scope && scope !== to; scope = scope.parent) {
    if (scope.kind === 'loop') return true;
  }
  return false;
}

function homeOf(from: Scope): Scope | undefined {
  for (let scope: Scope | undefined = from; scope; scope = scope.parent) {
    if (scope.kind === 'function' || scope.kind === 'field' || scope.kind === 'static') return scope;
  }
  return undefined;
}

function classOf(from: Scope, name: string): Scope | undefined {
  return lookUp(from, name)?.scope;
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

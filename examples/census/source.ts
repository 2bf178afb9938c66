// What one source file says of itself: lines, functions, imports. Uses nothing of Chervil.
import { type ParserPlugin, parse } from '@babel/parser';

export interface LongestFunction {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  readonly lines: number;
}

export interface SourceReport {
  readonly lines: number;
  readonly functions: number;
  readonly longest: LongestFunction | undefined;
  /** Modules that it imports by name, each once; its own files are not among them. */
  readonly imports: readonly string[];
  /** Why it could not be read as a program, if so. */
  readonly problem: string | undefined;
}

/** A node of the syntax tree, as far as it matters here. */
interface Node {
  readonly type: string;
  readonly loc?: { readonly start: { readonly line: number }; readonly end: { readonly line: number } };
  readonly [field: string]: unknown;
}

const functionTypes: ReadonlySet<string> = new Set([
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
  'ObjectMethod',
  'ClassMethod',
  'ClassPrivateMethod',
]);

/** Parses a text. A text that is no program is a report with a `problem`, not an error. */
export function readSource(text: string, file: string): SourceReport {
  const lines = text === '' ? 0 : text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  let program: Node;
  try {
    program = parse(text, {
      sourceType: 'unambiguous',
      allowReturnOutsideFunction: true,
      errorRecovery: true,
      plugins: pluginsFor(file),
    }) as unknown as Node;
  } catch (error) {
    return { lines, functions: 0, longest: undefined, imports: [], problem: (error as Error).message };
  }
  let functions = 0;
  let longest: LongestFunction | undefined;
  const imports = new Set<string>();
  // No recursion: generated sources nest deeper than the stack.
  const open: { node: Node; parent: Node | undefined }[] = [{ node: program, parent: undefined }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { node, parent } = next;
    if (functionTypes.has(node.type) && node.loc !== undefined) {
      functions++;
      const { start, end } = node.loc;
      const length = end.line - start.line + 1;
      if (longest === undefined || length > longest.lines)
        longest = { name: nameOf(node, parent), file, line: start.line, lines: length };
    }
    const imported = importOf(node);
    if (imported !== undefined && !imported.startsWith('.') && !imported.startsWith('/'))
      imports.add(moduleName(imported));
    for (const key in node) {
      if (
        key === 'loc' ||
        key === 'leadingComments' ||
        key === 'trailingComments' ||
        key === 'innerComments' ||
        key === 'tokens' ||
        key === 'comments' ||
        key === 'errors'
      )
        continue;
      const value = node[key];
      if (Array.isArray(value)) {
        for (const one of value) if (isNode(one)) open.push({ node: one, parent: node });
      } else if (isNode(value)) {
        open.push({ node: value, parent: node });
      }
    }
  }
  return { lines, functions, longest, imports: [...imports], problem: undefined };
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}

function pluginsFor(file: string): ParserPlugin[] {
  const plugins: ParserPlugin[] = ['decorators', 'explicitResourceManagement', 'importAttributes'];
  if (/\.d\.[cm]?ts$/.test(file)) plugins.push(['typescript', { dts: true }]);
  else if (/\.[cm]?tsx?$/.test(file)) plugins.push('typescript');
  // `<T>x` is a cast in .ts, and an element elsewhere.
  if (!/\.[cm]?ts$/.test(file)) plugins.push('jsx');
  return plugins;
}

function nameOf(node: Node, parent: Node | undefined): string {
  for (const at of [node['id'], node['key'], parent?.['id'], parent?.['key'], parent?.['left']]) {
    if (!isNode(at)) continue;
    const name =
      at.type === 'Identifier'
        ? at['name']
        : at.type === 'MemberExpression'
          ? (at['property'] as Node)['name']
          : (at['value'] ?? (at['id'] as Node | undefined)?.['name']);
    if (typeof name === 'string' || typeof name === 'number') return String(name);
  }
  return '(nameless)';
}

function importOf(node: Node): string | undefined {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
    case 'ImportExpression':
      return textOf(node['source']);
    case 'CallExpression': {
      const { callee, arguments: given } = node as unknown as { callee: Node; arguments: readonly Node[] };
      const isImport = callee.type === 'Import' || (callee.type === 'Identifier' && callee['name'] === 'require');
      return isImport && given.length === 1 ? textOf(given[0]) : undefined;
    }
    default:
      return undefined;
  }
}

function textOf(node: unknown): string | undefined {
  return isNode(node) && node.type === 'StringLiteral' ? (node['value'] as string) : undefined;
}

/** `@babel/types/lib/x.js` is of `@babel/types`, `fs/promises` of `node:fs`. */
function moduleName(specifier: string): string {
  const parts = specifier.replace(/^node:/, '').split('/');
  const name = specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] as string);
  return specifier.startsWith('node:') || builtins.has(name) ? `node:${name}` : name;
}

const builtins: ReadonlySet<string> = new Set(process.getBuiltinModule('node:module').builtinModules);

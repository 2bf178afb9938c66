// What a name that a module imports is sent as: which module, and which of its exports.
// Called by collect.ts for each variable; knows import statements, require(), and what vitest makes of imports.
import { existsSync } from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { AnyNode, Expression } from 'acorn';
import type { ImportedName } from '../../task/ports.ts';
import type { Variable } from './scope.ts';

/** What the variable imports, or undefined if it is no import. `url` is that of the module where it stands. */
export function importOf(variable: Variable, url: string): ImportedName | undefined {
  const { declaration, importedBy } = variable;
  if (importedBy?.type === 'ImportDeclaration') {
    const type = importedBy.attributes?.find(({ key }) => nameOf(key) === 'type')?.value.value;
    return {
      module: resolveSpecifier(String(importedBy.source.value), url),
      from: url,
      export: exportOf(declaration),
      ...(typeof type === 'string' ? { type } : {}),
    };
  }
  if (declaration.type !== 'VariableDeclarator' || declaration.id.type !== 'Identifier' || !declaration.init)
    return undefined;
  const call = unwrap(declaration.init);
  if (call?.type !== 'CallExpression' || call.callee.type !== 'Identifier') return undefined;
  const [first] = call.arguments;
  if (first?.type !== 'Literal' || typeof first.value !== 'string') return undefined;
  switch (call.callee.name) {
    case 'require':
      return isBuiltin(first.value)
        ? { module: resolveSpecifier(first.value, url), from: url, export: 'module.exports' }
        : { module: pathToFileURL(createRequire(url).resolve(first.value)).href, from: url, export: 'module.exports' };
    case '__vite_ssr_import__':
      return { module: resolveVitePath(first.value, url), from: url, export: '*' };
    default:
      return undefined;
  }
}

/** Absolute where it can be said without knowing the conditions of the loader; a package's name is resolved by the worker. */
function resolveSpecifier(specifier: string, url: string): string {
  if (isBuiltin(specifier)) return specifier.startsWith('node:') ? specifier : `node:${specifier}`;
  if (/^\.{0,2}\//.test(specifier)) return new URL(specifier, url).href;
  return specifier;
}

/** Vite writes paths from the root of the project, or `/@fs/` and the whole path. */
function resolveVitePath(specifier: string, url: string): string {
  if (specifier.startsWith('/@fs/')) return pathToFileURL(specifier.slice(4)).href;
  if (!specifier.startsWith('/')) return resolveSpecifier(specifier, url);
  return pathToFileURL(existsSync(specifier) ? specifier : `${process.cwd()}${specifier}`).href;
}

function exportOf(specifier: AnyNode): string {
  switch (specifier.type) {
    case 'ImportSpecifier':
      return nameOf(specifier.imported);
    case 'ImportNamespaceSpecifier':
      return '*';
    default:
      return 'default';
  }
}

function nameOf(node: { type: string; name?: string; value?: unknown }): string {
  return node.type === 'Identifier' ? (node.name ?? '') : String(node.value);
}

/** Leaves `await` aside, and esbuild's `__toESM(…)`. */
function unwrap(expression: Expression): Expression | undefined {
  if (expression.type === 'AwaitExpression') return unwrap(expression.argument);
  return expression;
}

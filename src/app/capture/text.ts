// From a function in its script to one expression that gives the same function anywhere.
// Called by collect.ts. Refuses what would mean something else there: `this` from outside, `super`, private members.
import type { AnyNode } from 'acorn';
import { adviceModule, refuse } from './refusal.ts';
import type { Callable, Variable } from './scope.ts';
import type { Script } from './script.ts';

/** Names that loaders put into function texts; workers have them. */
export const loaderNames = new Set(['__name']);

/** What a name of the loader is on workers, or undefined for the user's own names. */
export function loaderName(name: string, variable: Variable, script: Script): string | undefined {
  if (loaderNames.has(name) && variable.scope.parent === undefined) return name;
  // Istanbul counts what runs by `cov_1abc().s[0]++`; what runs elsewhere is not counted.
  const isCounter = /^cov_\w+$/.test(name) && variable.kind === 'function';
  if (isCounter && /__\w*coverage__/i.test(script.source)) return '__coverage';
  return undefined;
}

/** True if something begins inside of a range. */
export function isInside({ start }: { start: number }, range: { start: number; end: number }): boolean {
  return start >= range.start && start < range.end;
}

/** True if a range lies in another, or is the same. */
export function isRangeInside(inner: { start: number; end: number }, outer: { start: number; end: number }): boolean {
  return inner.start >= outer.start && inner.end <= outer.end;
}

/** One expression that gives the function, and where its text begins in the script. */
export function codeOf(callable: Callable, script: Script, name: string, way: string): { code: string; start: number } {
  const { node, kind } = callable;
  for (const { what, name: word, start, home } of script.contexts) {
    if (!isInside({ start }, node) || what === 'import.meta') continue;
    if (what === 'private' && !(home && isRangeInside(home, node))) {
      refuse(
        way,
        `it uses ${word}, a private member of its class`,
        'Send the class and make the object in the task, not its method.',
      );
    }
    const isOwn = home !== undefined && isRangeInside(home, node);
    if (what === 'super' && (!isOwn || (home?.start === node.start && kind !== 'class'))) {
      refuse(
        way,
        'it uses "super", which belongs to its object or class',
        'Send the class and make the object in the task, not its method.',
      );
    }
    if ((what === 'this' || what === 'new.target') && !isOwn) {
      refuse(
        way,
        `it is an arrow function that uses "${word}" of the function around it`,
        `Take what it needs into a const, and use that instead of "${word}".`,
      );
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
export function checkOwnProperties(value: CallableFunction, { node, kind }: Callable, way: string): void {
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
  return (
    expression.type === 'CallExpression' &&
    expression.callee.type === 'Identifier' &&
    loaderNames.has(expression.callee.name)
  );
}

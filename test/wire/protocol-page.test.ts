import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from '@babel/parser';

const folder = fileURLToPath(new URL('../../src/wire/messages/', import.meta.url));
const page = readFileSync(fileURLToPath(new URL('../../docs/protocol.md', import.meta.url)), 'utf8');
/** Files without messages of their own. */
const tools = new Set(['mould.ts', 'plain.ts', 'scalar.ts', 'skim.ts']);

interface Syntax {
  readonly type: string;
  readonly [name: string]: unknown;
}

/** Every node below, itself included. */
function* nodes(value: unknown): Generator<Syntax> {
  if (Array.isArray(value)) for (const item of value) yield* nodes(item);
  else if (typeof value === 'object' && value !== null && 'type' in value) {
    yield value as Syntax;
    for (const [name, child] of Object.entries(value)) if (name !== 'loc') yield* nodes(child);
  }
}

const programs = readdirSync(folder)
  .filter((name) => !tools.has(name))
  .map((name) => ({
    name,
    body: parse(readFileSync(folder + name, 'utf8'), { sourceType: 'module', plugins: ['typescript'] }).program
      .body as unknown as Syntax[],
  }));

/** Each exported type with what its description must name: fields, and the words that tell its cases apart. */
function* types(): Generator<{ file: string; name: string; words: ReadonlySet<string> }> {
  for (const { name: file, body } of programs) {
    for (const statement of body) {
      const declaration = statement['declaration'] as Syntax | undefined;
      if (declaration?.type !== 'TSInterfaceDeclaration' && declaration?.type !== 'TSTypeAliasDeclaration') continue;
      const words = new Set<string>();
      for (const node of nodes(declaration)) {
        if (node.type === 'TSPropertySignature') {
          const { name } = node['key'] as { name: string };
          // The field that tells the cases apart is named by their words.
          if (!['do', 'kind'].includes(name)) words.add(name);
        }
        if (node.type === 'TSLiteralType') words.add(String((node['literal'] as { value: unknown }).value));
      }
      yield { file, name: (declaration['id'] as { name: string }).name, words };
    }
  }
}

/** Functions whose text argument is a key of a dict on the wire. */
const takesKey = new Set([
  'field',
  'get',
  'has',
  'text',
  'optionalText',
  'count',
  'prepareText',
  'ascii',
  'list',
  'attribute',
  'set',
  'className',
]);

/** The keys that readers look for and writers write. */
function keysOf(body: readonly Syntax[]): Set<string> {
  const keys = new Set<string>();
  for (const node of nodes(body)) {
    if (node.type === 'CallExpression') {
      const callee = node['callee'] as { name?: string; property?: { name?: string } };
      const name = callee.name ?? callee.property?.name ?? '';
      for (const argument of node['arguments'] as Syntax[]) {
        if (takesKey.has(name) && argument.type === 'StringLiteral') keys.add(String(argument['value']));
        if ((name === 'dict' || name === 'texts') && argument.type === 'ObjectExpression') {
          for (const property of argument['properties'] as Syntax[]) {
            if (property.type === 'ObjectProperty') keys.add((property['key'] as { name: string }).name);
          }
        }
      }
    }
  }
  return keys;
}

/** The text below a heading that names this type, up to the next heading; or its row or cell in a table of types. */
function section(name: string): string | undefined {
  const heading = page.split(/^(?=#{2,3} )/m).find((part) => part.startsWith(`### \`${name}\``));
  if (heading !== undefined) return heading;
  return page.split(/^(?=## )/m).find((part) => part.includes(`\`${name}\``));
}

/** Everything in backticks, also what stands in a larger piece of code. */
function namesIn(text: string): Set<string> {
  const names = new Set<string>();
  for (const [, code = ''] of text.matchAll(/`([^`\n]+)`/g)) {
    names.add(code);
    for (const word of code.match(/\w+/g) ?? []) names.add(word);
  }
  return names;
}

describe('the page about the protocol', () => {
  it('names every type of message, each field and each case of it', () => {
    const missing: string[] = [];
    for (const { file, name, words } of types()) {
      const text = section(name);
      if (text === undefined) {
        missing.push(`${name} (${file})`);
        continue;
      }
      const names = namesIn(text);
      for (const word of words) if (!names.has(word)) missing.push(`${name}: ${word} (${file})`);
    }
    assert.deepEqual(missing, []);
  });

  it('names every key that is read or written', () => {
    const names = namesIn(page);
    const missing = programs.flatMap(({ name, body }) =>
      [...keysOf(body)].filter((key) => !names.has(key)).map((key) => `${key} (${name})`),
    );
    assert.deepEqual(missing, []);
  });

  it('has no section about a type that is gone', () => {
    const known = new Set(Array.from(types(), ({ name }) => name));
    const sections = Array.from(page.matchAll(/^### `(\w+)`/gm), ([, name = '']) => name);
    assert.deepEqual(
      sections.filter((name) => !known.has(name)),
      [],
    );
  });
});

// The folders of src/ and their arrows, which only point down. ARCHITECTURE.md has the picture; this is its table.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = join(dirname(dirname(fileURLToPath(import.meta.url))), 'src');

/** What each folder may import besides itself. Files directly in src/ are faces of the whole, and may import everything. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  task: ['base'],
  wire: ['task', 'base'],
  // Each of these could be rewritten in another language.
  worker: ['wire', 'task', 'base'],
  interchange: ['wire', 'task', 'base'],
  pool: ['wire', 'task', 'base'],
  // Blocks know nothing of executors: an executor that runs on blocks scales them through their ports.
  blocks: ['wire', 'task', 'base'],
  // Siblings, which never import one another.
  executors: ['blocks', 'worker', 'wire', 'task', 'base'],
  staging: ['wire', 'task', 'base'],
  monitoring: ['wire', 'task', 'base'],
  dashboard: ['monitoring', 'task', 'base'],
  // The kernel sees the world only through the ports in task/.
  kernel: ['task', 'base'],
  app: ['kernel', 'wire', 'task', 'base'],
  load: ['app', 'kernel', 'executors', 'staging', 'monitoring', 'blocks', 'wire', 'task', 'base'],
  testing: ['load', 'app', 'kernel', 'executors', 'staging', 'monitoring', 'blocks', 'worker', 'wire', 'task', 'base'],
  cli: [
    'testing',
    'dashboard',
    'load',
    'app',
    'kernel',
    'executors',
    'staging',
    'monitoring',
    'blocks',
    'interchange',
    'pool',
    'worker',
    'wire',
    'task',
    'base',
  ],
};

/** Files in one folder that stand beside one another like folders: what is on the left never imports what is on the right. */
const siblings: readonly (readonly [string, readonly string[]])[] = [['executors', ['inline', 'threads', 'htex']]];

interface Import {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly target: string;
}

function* filesIn(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesIn(path);
    else if (entry.name.endsWith('.ts')) yield path;
  }
}

/** Every import of a file of ours: static, of types only, re-exported, dynamic, or `import('…')` in a type. */
function importsOf(path: string): Import[] {
  const found: Import[] = [];
  const source = readFileSync(path, 'utf8').replaceAll(/^\s*(?:\*|\/\/).*$/gm, '');
  for (const match of source.matchAll(
    /(?:^(?:import|export)\s[^;'"`]*?\bfrom\s+|^import\s+|\bimport\s*\(\s*)'(\.{1,2}\/[^']+)'/gm,
  )) {
    const line = source.slice(0, match.index).split('\n').length;
    const target = relative(root, join(dirname(path), match[1] as string));
    found.push({ file: relative(root, path), line, text: match[0].replaceAll(/\s+/g, ' '), target });
  }
  return found;
}

const imports = [...filesIn(root)].flatMap(importsOf);
const folderOf = (path: string): string | undefined =>
  path.includes('/') ? path.slice(0, path.indexOf('/')) : undefined;

test('the test sees the imports that there are', () => {
  assert(imports.length > 200, `${imports.length} imports`);
  assert(imports.some(({ file, target }) => file === 'kernel/kernel.ts' && target === 'task/ports.ts'));
});

test('every folder of src/ has its place in the picture', () => {
  const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const unknown = folders.map(({ name }) => name).filter((name) => mayImport[name] === undefined);
  assert.deepEqual(unknown, [], 'give each of these a row in mayImport, and a place in ARCHITECTURE.md');
});

test('the picture has no circle: each folder imports only what stands below it', () => {
  const order = Object.keys(mayImport);
  const below = (name: string, seen: readonly string[] = []): void => {
    assert(!seen.includes(name), `a circle: ${[...seen, name].join(' > ')}`);
    for (const next of mayImport[name] ?? []) below(next, [...seen, name]);
  };
  for (const name of order) below(name);
});

test('arrows only point down', () => {
  const wrong: string[] = [];
  for (const { file, line, text, target } of imports) {
    const from = folderOf(file);
    const to = folderOf(target);
    if (from === undefined || from === to) continue;
    if (to !== undefined && mayImport[from]?.includes(to)) continue;
    wrong.push(`src/${file}:${line}: ${from} may not import ${to ?? 'the face of the whole'}\n    ${text}`);
  }
  assert.equal(wrong.length, 0, `\n${wrong.join('\n')}`);
});

test('siblings never import one another', () => {
  const wrong: string[] = [];
  for (const [folder, names] of siblings) {
    const siblingOf = (path: string): string | undefined =>
      names.find((name) => path === `${folder}/${name}.ts` || path.startsWith(`${folder}/${name}/`));
    for (const { file, line, text, target } of imports) {
      const from = siblingOf(file);
      const to = siblingOf(target);
      if (from !== undefined && to !== undefined && from !== to)
        wrong.push(`src/${file}:${line}: ${from} and ${to} are siblings\n    ${text}`);
    }
  }
  assert.equal(wrong.length, 0, `\n${wrong.join('\n')}`);
});

test('imports of what runs make no circle of files', () => {
  const graph = new Map<string, string[]>();
  for (const { file, text, target } of imports) {
    if (/^(?:import|export) type\b/.test(text) || /import\('/.test(text)) continue;
    graph.set(file, [...(graph.get(file) ?? []), target]);
  }
  const done = new Set<string>();
  const visit = (file: string, above: readonly string[]): void => {
    const at = above.indexOf(file);
    assert(at < 0, `a circle: ${[...above.slice(Math.max(at, 0)), file].join(' > ')}`);
    if (done.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...above, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
});

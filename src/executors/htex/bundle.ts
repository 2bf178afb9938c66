// Functions for workers that cannot read the program's files: esbuild makes one file of a module and all that it imports. A function by
// reference goes with the file of its module, a function by value with one of what it imports. functions.ts sends them.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type AnyNode, type ImportExpression, parseExpressionAt } from 'acorn';
import type { BuildOptions, buildSync } from 'esbuild';
import { SerializationError } from '../../task/errors.ts';
import type {
  FunctionByReference,
  FunctionByValue,
  FunctionSource,
  FunctionText,
  ImportedName,
} from '../../task/ports.ts';
import { codeModule, packageModule } from '../../wire/code-names.ts';
import type { CodeFile } from '../../wire/messages/code.ts';

/** How functions are bundled. */
export interface BundleSettings {
  /** Packages that are installed where the workers are, and stay out of the bundle: native ones, for instance. `chervil` always is one. */
  readonly external?: readonly string[];
}

/** A function that needs no file of the program any more. */
export interface Bundled<Source extends FunctionSource = FunctionSource> {
  readonly source: Source;
  /** What it needs beside itself. */
  readonly files: readonly CodeFile[];
}

export class Bundler {
  readonly #settings: BundleSettings;
  readonly #modules = new Map<string, CodeFile>();
  readonly #functions = new Map<string, Bundled>();

  constructor(settings: BundleSettings) {
    this.#settings = settings;
  }

  /**
   * The function as it is sent. Bundling takes some hundredths of a second, once for each module.
   *
   * @param what it is, for errors
   * @throws SerializationError with esbuild's words
   */
  bundled(source: FunctionSource, what: string): Bundled {
    if (source.by === 'reference') return this.#byReference(source, what);
    const known = this.#functions.get(source.key) ?? this.#byValue(source, what);
    this.#functions.set(source.key, known);
    return known;
  }

  #byReference(source: FunctionByReference, what: string): Bundled {
    const own = packageModule(source.module);
    if (own !== undefined) return { source: { ...source, module: own }, files: [] };
    if (!source.module.startsWith('file:')) return { source, files: [] };
    let file = this.#modules.get(source.module);
    if (file === undefined) {
      const path = fileURLToPath(source.module);
      file = this.#build({ entryPoints: [path], absWorkingDir: dirname(path) }, what);
      this.#modules.set(source.module, file);
    }
    return { source: { ...source, module: codeModule(file.name) }, files: [file] };
  }

  #byValue(source: FunctionByValue, what: string): Bundled<FunctionByValue> {
    const entries = new Entries();
    const functions = Object.fromEntries(
      Object.entries(source.functions).map(([key, text]) => [key, this.#withoutImports(text, entries)]),
    );
    for (const [key, imported] of Object.entries(source.imports)) entries.add(key, imported);
    const files: CodeFile[] = [];
    const imports: Record<string, ImportedName> = { ...source.imports };
    for (const [from, lines] of entries.byOrigin) {
      const contents = lines.map(({ line }) => line).join('\n');
      const file = this.#build({ stdin: { contents, resolveDir: dirname(fileURLToPath(from)), loader: 'js' } }, what);
      files.push(file);
      for (const { key, name } of lines) imports[key] = { module: codeModule(file.name), from, export: name };
    }
    if (files.length === 0) return { source, files };
    // It does the same as before, and yet is another text for workers that have both.
    return { source: { ...source, functions, imports, key: `${source.key}-bundled` }, files };
  }

  /** `import('./other.ts')` with a text in it becomes a call of what is bundled; with anything else it is left to the worker. */
  #withoutImports(text: FunctionText, entries: Entries): FunctionText {
    const found = importsIn(text.code);
    if (found.length === 0 || !text.origin.url.startsWith('file:')) return text;
    let { code } = text;
    const uses: Record<string, string> = { ...text.uses };
    // From the end, so that positions stay true.
    for (const { start, end, specifier } of found.reverse()) {
      const imported = { module: specifier, from: plainUrl(text.origin.url), export: 'import()' };
      const key = `import(${specifier})${entries.count}`;
      if (!entries.add(key, imported)) continue;
      const name = `__chervil_import${entries.count}`;
      uses[name] = key;
      code = `${code.slice(0, start)}${name}()${code.slice(end)}`;
    }
    return { ...text, code, uses };
  }

  #build(options: BuildOptions, what: string): CodeFile {
    const { external = [] } = this.#settings;
    try {
      const { outputFiles } = esbuild()({
        ...options,
        bundle: true,
        platform: 'node',
        format: 'esm',
        target: 'node20',
        keepNames: true,
        write: false,
        logLevel: 'silent',
        external: ['chervil', 'chervil/*', ...external.flatMap((name) => [name, `${name}/*`])],
        // CommonJS modules in the bundle ask for Node's own modules in this way.
        banner: {
          js: "import { createRequire as __chervilRequire } from 'node:module';\nconst require = __chervilRequire(import.meta.url);",
        },
      });
      const bytes = outputFiles?.[0]?.contents ?? new Uint8Array(0);
      const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 27);
      return { name: `${hash}.mjs`, bytes };
    } catch (thrown) {
      throw new SerializationError(what, `it cannot be bundled: ${wordsOf(thrown)}`, thrown);
    }
  }
}

/** What the bundles of one function's imports export, a bundle for each module that they were imported in. */
class Entries {
  readonly byOrigin = new Map<string, { readonly key: string; readonly name: string; readonly line: string }[]>();
  count = 0;

  /** False for what needs no bundle, or is none of a module. */
  add(key: string, { module, from: origin, export: exported }: ImportedName): boolean {
    const from = plainUrl(origin);
    if (module.startsWith('node:') || !from.startsWith('file:')) return false;
    if (exported === 'import.meta' || exported === 'require') return false;
    const name = `import${this.count++}`;
    const specifier = JSON.stringify(module.startsWith('file:') ? fileURLToPath(module) : module);
    const lines = this.byOrigin.get(from) ?? [];
    lines.push({ key, name, line: lineFor(name, specifier, exported) });
    this.byOrigin.set(from, lines);
    return true;
  }
}

function lineFor(name: string, specifier: string, exported: string): string {
  switch (exported) {
    case '*':
      return `export * as ${name} from ${specifier};`;
    case 'module.exports':
      return `export const ${name} = require(${specifier});`;
    case 'import()':
      return `export const ${name} = () => import(${specifier});`;
    default:
      return `export { ${/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(exported) ? exported : JSON.stringify(exported)} as ${name} } from ${specifier};`;
  }
}

/** Loaders add queries and marks of their own. */
function plainUrl(url: string): string {
  return url.replace(/[?#].*$/, '');
}

interface FoundImport {
  readonly start: number;
  readonly end: number;
  readonly specifier: string;
}

function importsIn(code: string): FoundImport[] {
  if (!/\bimport\s*\(/.test(code)) return [];
  const found: FoundImport[] = [];
  const look = (node: unknown): void => {
    if (Array.isArray(node)) for (const each of node) look(each);
    else if (typeof node === 'object' && node !== null && 'type' in node) {
      if ((node as AnyNode).type === 'ImportExpression') {
        const { start, end, source } = node as ImportExpression;
        if (source.type === 'Literal' && typeof source.value === 'string')
          found.push({ start: start - 1, end: end - 1, specifier: source.value });
      }
      for (const child of Object.values(node)) look(child);
    }
  };
  try {
    look(parseExpressionAt(`(${code}\n)`, 0, { ecmaVersion: 'latest' }));
  } catch {
    // No expression by itself, such as a method: its imports are left to the worker, which says what it does not find.
    return [];
  }
  return found.sort((a, b) => a.start - b.start);
}

let build: typeof buildSync | undefined;

/** Loaded only where something is bundled. */
function esbuild(): typeof buildSync {
  build ??= (createRequire(import.meta.url)('esbuild') as { buildSync: typeof buildSync }).buildSync;
  return build;
}

function wordsOf(thrown: unknown): string {
  const { errors } = thrown as {
    errors?: readonly {
      readonly text: string;
      readonly location: { readonly file: string; readonly line: number } | null;
    }[];
  };
  if (errors === undefined || errors.length === 0) return thrown instanceof Error ? thrown.message : String(thrown);
  const shown = errors.slice(0, 3).map(({ text, location }) => {
    const hint = /\.node"?/.test(text)
      ? ' (name its package in bundle.external, and install it where the workers are)'
      : '';
    return `${location === null ? '' : `${location.file}:${location.line}: `}${text}${hint}`;
  });
  return shown.join('; ');
}

// TypeScript for modules that this thread imports. Node.js 24 reads it by itself, but for what has no meaning without
// compiling (enum, namespace, .tsx); older ones need tsx. A thread registers tsx when its first such module comes, and not
// before: it takes 0.1-0.4 s on Node.js 20, and a thread that only runs functions by value never needs it. Threads do not
// inherit it: on Node.js 20 tsx leaves every thread but the main one alone, whatever stands in process.execArgv.
// Called by functions.ts, where tasks run, and by the command line for the user's program.
import { existsSync, readFileSync } from 'node:fs';
import { register as registerHooks } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { isMainThread } from 'node:worker_threads';

/** Whether this Node.js runs TypeScript, `await using` too, without help. */
export const isNative: boolean =
  Boolean((process.features as { typescript?: unknown }).typescript) && canParse('{ using nothing = null; }');

/**
 * Imports with `load`, after whatever is needed to import TypeScript was done.
 *
 * @param url what `load` imports, if that is known
 */
export async function importing<Found>(url: string, load: () => Promise<Found>): Promise<Found> {
  // Node.js 20 remembers that an import failed, so there it has to be known before.
  if (!isNative && isTypeScript(url)) await registerTypeScript();
  try {
    return await load();
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (!isNative || typeof code !== 'string' || !needsCompiler.has(code)) throw error;
    await registerTypeScript();
    return load();
  }
}

/** What Node.js says of TypeScript that it cannot run by leaving out the types. */
const needsCompiler: ReadonlySet<string> = new Set(['ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX', 'ERR_UNKNOWN_FILE_EXTENSION']);

/** Whether a module of this name is TypeScript. */
export function isTypeScript(url: string): boolean {
  return /\.[cm]?tsx?(?:[?#]|$)/.test(url);
}

interface Place {
  registering?: Promise<void>;
}
/** Copies of this package share one registration in a thread. */
const place = Symbol.for('chervil.typescript');

/** Makes tsx load the TypeScript that this thread imports from now on. Once; a second call waits for the first. */
export function registerTypeScript(): Promise<void> {
  const here = globalThis as unknown as Record<symbol, Place | undefined>;
  here[place] ??= {};
  const found = here[place];
  found.registering ??= register();
  return found.registering;
}

async function register(): Promise<void> {
  const loaders = `${process.execArgv.join(' ')} ${process.env['NODE_OPTIONS'] ?? ''}`;
  if (isMainThread && /\btsx\b/.test(loaders)) return;
  const [esm, cjs] = await Promise.all([import('tsx/esm/api'), import('tsx/cjs/api')]);
  esm.register();
  cjs.register();
  // After tsx's, so that it is asked first, and sees what tsx says.
  registerHooks(import.meta.url);
}

/* What follows runs in the thread that Node.js has for loader hooks. */

interface Resolved {
  readonly url: string;
  readonly format?: string | null;
}

/**
 * A file without "type" in its package.json is an ES module when it is written as one: tsx would make a CommonJS module of
 * it, which can have no `await` at its top. Node.js 24 decides the same way.
 */
export async function resolve(
  specifier: string,
  context: unknown,
  next: (specifier: string, context: unknown) => Promise<Resolved>,
): Promise<Resolved> {
  const resolved = await next(specifier, context);
  const { url, format } = resolved;
  // tsx adds a query of its own to what it takes for CommonJS, on older versions of Node.js also to the path.
  const plain = url.replace(/(?:%3[Ff][^?]*)?\?(?:[^#]*)tsx-commonjs[^#]*/, '');
  if (format?.startsWith('module') || !plain.startsWith('file:') || !/\.tsx?$/.test(plain)) return resolved;
  return isModuleWithoutType(fileURLToPath(plain)) ? { ...resolved, url: plain, format: 'module' } : resolved;
}

function isModuleWithoutType(path: string): boolean {
  return (
    !hasType(dirname(path)) &&
    /^\s*(?:import\b(?!\s*\()|export\b|(?:const\s.*=\s*)?await\b)/m.test(readFileSync(path, 'utf8'))
  );
}

/** Whether the nearest package.json has a "type". */
function hasType(directory: string): boolean {
  const manifest = join(directory, 'package.json');
  if (existsSync(manifest)) {
    try {
      return (JSON.parse(readFileSync(manifest, 'utf8')) as { type?: unknown }).type !== undefined;
    } catch {
      return true; // Not ours to judge: Node.js will say what is wrong with it.
    }
  }
  const parent = dirname(directory);
  return parent !== directory && hasType(parent);
}

function canParse(code: string): boolean {
  try {
    new Script(code);
    return true;
  } catch {
    return false;
  }
}

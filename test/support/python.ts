// Python environments for tests that speak with real Python peers. Any test file may ask for one; several test
// processes may ask for the same one at the same time.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

/** Which environment: its folder's name under `.cache/python/`, and what `pip install` puts in it. */
export interface PythonWish {
  readonly name: string;
  readonly packages: readonly string[];
}

/** The interpreter's path, or a sentence about why there is none. */
export type PythonEnvironment = { readonly python: string } | { readonly missing: string };

const cacheFolder = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), '.cache', 'python');
const stepLimitMs = 600_000;
const failureIsRememberedMs = 600_000;
const known = new Map<string, Promise<PythonEnvironment>>();

/**
 * Makes (once) the virtual environment `.cache/python/<name>` and says where its interpreter is.
 * The base interpreter is `python3`, or what the environment variable CHERVIL_PYTHON names.
 * A failure is remembered for ten minutes, so that a machine without a package index does not wait once per test file.
 *
 * @example
 * const environment = await pythonEnvironment({ name: 'pyzmq', packages: ['pyzmq'] });
 * if ('python' in environment) spawn(environment.python, ['-c', 'import zmq']);
 */
export function pythonEnvironment(wish: PythonWish): Promise<PythonEnvironment> {
  const id = JSON.stringify(wish);
  let environment = known.get(id);
  if (environment === undefined) {
    environment = prepare(wish);
    known.set(id, environment);
  }
  return environment;
}

/**
 * As {@link pythonEnvironment}, for use in a test: skips it with one line when there is no environment,
 * or throws when CHERVIL_REQUIRE=1. Returns the interpreter's path; `undefined` means: return from the test now.
 *
 * @example
 * const python = await pythonOrSkip(t, { name: 'pyzmq', packages: ['pyzmq'] });
 * if (python === undefined) return;
 */
export async function pythonOrSkip(t: TestContext, wish: PythonWish): Promise<string | undefined> {
  const environment = await pythonEnvironment(wish);
  if ('python' in environment) return environment.python;
  if (process.env['CHERVIL_REQUIRE'] === '1') throw new Error(environment.missing);
  t.skip(environment.missing);
  return undefined;
}

async function prepare(wish: PythonWish): Promise<PythonEnvironment> {
  const folder = join(cacheFolder, wish.name);
  const python = join(folder, 'bin', 'python');
  await mkdir(cacheFolder, { recursive: true });
  if (await isComplete(folder, wish)) return { python };
  const release = await lock(`${folder}.lock`);
  try {
    if (await isComplete(folder, wish)) return { python };
    const before = await rememberedFailure(folder, wish);
    if (before !== undefined) return { missing: before };
    const missing = await build(folder, python, wish);
    if (missing === undefined) return { python };
    await writeFile(
      failureFile(folder),
      JSON.stringify({ at: Date.now(), base: baseInterpreter(), packages: wish.packages, missing }),
    );
    return { missing };
  } finally {
    await release();
  }
}

/** The sentence about what is missing, or `undefined` when all went well. */
async function build(folder: string, python: string, wish: PythonWish): Promise<string | undefined> {
  const base = baseInterpreter();
  await rm(folder, { recursive: true, force: true });
  const made = await run(base, ['-m', 'venv', folder]);
  if (made !== undefined) return `No Python environment: ${base} -m venv failed (${made}).`;
  if (wish.packages.length > 0) {
    const installed = await run(python, [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      ...wish.packages,
    ]);
    if (installed !== undefined)
      return `No Python environment: pip install ${wish.packages.join(' ')} failed (${installed}).`;
  }
  // Order matters: the list of packages is the mark of completion, so it comes last and in one step.
  await writeFile(`${completionFile(folder)}.new`, packageList(wish));
  await rename(`${completionFile(folder)}.new`, completionFile(folder));
  await rm(failureFile(folder), { force: true });
  return undefined;
}

const baseInterpreter = (): string => process.env['CHERVIL_PYTHON'] ?? 'python3';
const completionFile = (folder: string): string => join(folder, 'packages.json');
const failureFile = (folder: string): string => `${folder}.missing`;
const packageList = (wish: PythonWish): string => `${JSON.stringify(wish.packages)}\n`;

async function isComplete(folder: string, wish: PythonWish): Promise<boolean> {
  return (await readText(completionFile(folder))) === packageList(wish);
}

async function rememberedFailure(folder: string, wish: PythonWish): Promise<string | undefined> {
  const text = await readText(failureFile(folder));
  if (text === undefined) return undefined;
  const failure = JSON.parse(text) as { at: number; base: string; packages: readonly string[]; missing: string };
  const isSame =
    failure.base === baseInterpreter() && JSON.stringify(failure.packages) === JSON.stringify(wish.packages);
  return isSame && Date.now() - failure.at < failureIsRememberedMs ? failure.missing : undefined;
}

/** Takes the lock directory; the returned function gives it back. A lock whose process is gone is taken over. */
async function lock(path: string): Promise<() => Promise<void>> {
  const until = Date.now() + 2 * stepLimitMs;
  for (;;) {
    try {
      await mkdir(path);
      await writeFile(join(path, 'pid'), String(process.pid));
      return () => rm(path, { recursive: true, force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = await readText(join(path, 'pid'));
    if (holder !== undefined && holder !== '' && !isAlive(Number(holder))) {
      // Renaming first: of two who find the lock abandoned only one moves it away, and neither removes a new lock.
      const aside = `${path}.${process.pid}`;
      await rename(path, aside).then(
        () => rm(aside, { recursive: true, force: true }),
        () => undefined,
      );
      continue;
    }
    if (Date.now() > until)
      throw new Error(`${path} is held by process ${holder ?? 'unknown'} for too long; remove it if that is wrong.`);
    // A directory lock has no event to wait for; this is the one place that looks again and again.
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** `undefined` when the command ended with status 0, otherwise its last words. */
function run(command: string, commandArguments: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child: ChildProcess = spawn(command, commandArguments, { stdio: ['ignore', 'ignore', 'pipe'] });
    let words = '';
    const limit = setTimeout(() => child.kill('SIGKILL'), stepLimitMs);
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-4_000);
    });
    child.once('error', (error) => {
      clearTimeout(limit);
      resolve(error.message);
    });
    child.once('close', (status, signal) => {
      clearTimeout(limit);
      resolve(status === 0 ? undefined : words.trim().split('\n').at(-1) || `ended with ${status ?? signal}`);
    });
  });
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    // Not there yet, or just going away: both mean "nothing to read".
    return undefined;
  }
}

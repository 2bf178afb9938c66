// Real Parsl for tests: one virtual environment a release, and Python programs run to their end in it with Chervil's
// interchange in place of interchange.py. The tests in test/parsl/, scripts/test-parsl*.js and the bench use it.
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type PythonEnvironment, type PythonWish, pythonEnvironment, pythonOrSkip } from './python.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The newest release of Parsl that Chervil was tested with, and the newest of the oldest era. */
export const newestRelease = '2026.10.26';
export const oldestRelease = '2024.9.2';

/** One release of each era of the protocol, oldest first; see src/wire/messages/era.ts. */
export const eraReleases = [
  ['A', oldestRelease],
  ['B', '2025.6.23'],
  ['C', '2025.6.30'],
  ['D', '2025.9.15'],
  ['E', '2025.9.22'],
  ['F', '2025.12.8'],
  ['G', '2026.7.20'],
  ['H', '2026.9.28'],
  ['I', newestRelease],
] as const;

/** What to install for a release. Only the newest one is used with monitoring, which needs a database library. */
export function parslWish(release: string, more: readonly string[] = []): PythonWish {
  const extra = release === newestRelease ? '[monitoring]' : '';
  const suffix = more.length > 0 ? '-tests' : '';
  return { name: `parsl-${release}${suffix}`, packages: [`parsl${extra}==${release}`, ...more] };
}

/** The environment of a release, made if it is missing; with `more` packages it is one of its own. */
export function parslEnvironment(release: string, more: readonly string[] = []): Promise<PythonEnvironment> {
  return pythonEnvironment(parslWish(release, more));
}

/** As {@link parslEnvironment}, but skips the test when there is none; fails it under CHERVIL_REQUIRE=1. */
export function parslOrSkip(t: TestContext, release: string): Promise<string | undefined> {
  return pythonOrSkip(t, parslWish(release));
}

/** The command that starts Chervil's interchange: through the command line where that is built. */
export function interchangeCommand(...more: string[]): string[] {
  const bin = join(root, 'bin', 'chervil.js');
  if (existsSync(bin)) return [process.execPath, bin, 'interchange', ...more];
  return [process.execPath, join(root, 'dist', 'interchange', 'start.js'), ...more];
}

/** A Python program that ran to its end. */
export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What {@link ParslRun} starts. */
export interface ParslProgram {
  /** The interpreter of the release's environment. */
  readonly python: string;
  /** A file under test/parsl/programs/. */
  readonly program: string;
  readonly args?: readonly string[];
  /** Added to the environment. */
  readonly variables?: Readonly<Record<string, string>>;
}

/**
 * A running Python program in a directory of its own. Whatever it leaves behind is ended when it is disposed of: its
 * pools make process groups of their own, but all its processes work in its directory.
 *
 * @example
 * await using run = new ParslRun({ python, program: 'workflow.py' });
 * const { status, stdout } = await run.ended;
 */
export class ParslRun implements AsyncDisposable {
  readonly directory: string;
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';
  readonly #lines: { wanted: RegExp; tell: (line: string) => void }[] = [];

  constructor({ python, program, args = [], variables = {} }: ParslProgram) {
    this.directory = mkdtempSync(join(tmpdir(), 'chervil-parsl-'));
    const path = [dirname(python), process.env['PATH'] ?? ''].join(':');
    this.child = spawn(python, [join(root, 'test', 'parsl', 'programs', program), ...args], {
      cwd: this.directory,
      env: {
        ...process.env,
        PATH: path,
        PYTHONUNBUFFERED: '1',
        CHERVIL_INTERCHANGE: JSON.stringify(interchangeCommand()),
        // Workers import what the program itself defines.
        PYTHONPATH: join(root, 'test', 'parsl', 'programs'),
        ...variables,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#onText(text));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-20_000);
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('exit', (status, signal) => {
        // Children that outlive it would keep the pipes open, so the end of the pipes is not waited for.
        setImmediate(() => resolve({ status, signal, stdout: this.#stdout, stderr: this.#stderr }));
      });
    });
  }

  /** The first line of its output, past or to come, that matches; rejects when it ends without one. */
  line(wanted: RegExp): Promise<string> {
    const before = this.#stdout.split('\n').find((line) => wanted.test(line));
    if (before !== undefined) return Promise.resolve(before);
    return Promise.race([
      new Promise<string>((tell) => this.#lines.push({ wanted, tell })),
      this.ended.then(({ status, stdout, stderr }) => {
        throw new Error(`it ended with ${status} and never wrote ${wanted}:\n${stdout}\n${stderr}`);
      }),
    ]);
  }

  #onText(text: string): void {
    this.#stdout += text;
    const lines = this.#stdout.split('\n');
    for (const waiting of this.#lines) {
      const found = lines.find((line) => waiting.wanted.test(line));
      if (found !== undefined) waiting.tell(found);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended.catch(() => undefined);
    endWhoWorksIn(this.directory);
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Kills every process whose working directory is `directory`: what a Python pool leaves when it is killed. */
export function endWhoWorksIn(directory: string): number {
  let ended = 0;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || entry === String(process.pid)) continue;
    try {
      const place = readlinkSync(`/proc/${entry}/cwd`);
      if (place !== directory && !place.startsWith(`${directory}/`)) continue;
      process.kill(Number(entry), 'SIGKILL');
      ended++;
    } catch {
      // It ended meanwhile, or is not ours to see.
    }
  }
  return ended;
}

/** A directory with an `interchange.py` that becomes Chervil's, to stand first in PATH. */
export function interchangeOnPath(parent: string): string {
  const directory = join(parent, 'chervil-on-path');
  mkdirSync(directory, { recursive: true });
  const script = join(directory, 'interchange.py');
  const words = interchangeCommand().map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  writeFileSync(script, `#!/bin/sh\nexec ${words.join(' ')}\n`);
  chmodSync(script, 0o755);
  return directory;
}

// The command `chervil` as a process of its own, for tests: started in a directory of its own, and ended with the test.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const fixtures = fileURLToPath(new URL('../fixtures/cli/', import.meta.url));
const bin = join(root, 'bin', 'chervil.js');

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves as soon as one of the streams has this text. */
  until(text: string): Promise<void>;
}

/** A new directory that is gone after the test. */
export function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-cli-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Runs `chervil args` to its end. */
export function chervil(t: TestContext, args: readonly string[], cwd = scratch(t)): Promise<Ended> {
  return start(t, process.execPath, [bin, ...args], cwd).ended;
}

/** The command line of `chervil args`, for programs that start it themselves. */
export function commandLine(args: readonly string[]): string[] {
  return [process.execPath, bin, ...args];
}

export function start(t: TestContext, program: string, args: readonly string[], cwd = scratch(t)): Started {
  // The options of the test runner's process are not those of the command.
  const { NODE_OPTIONS: _, NODE_V8_COVERAGE: __, NODE_TEST_CONTEXT: ___, ...env } = process.env;
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  let look = (): void => {};
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk;
      look();
    });
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, ...text }));
  });
  t.after(() => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  });
  const until = (wanted: string): Promise<void> =>
    new Promise((resolve, reject) => {
      look = () => {
        if (text.stdout.includes(wanted) || text.stderr.includes(wanted)) resolve();
      };
      look();
      void ended.then(() => reject(new Error(`it ended without "${wanted}":\n${text.stdout}\n${text.stderr}`)));
    });
  return { child, ended, until };
}

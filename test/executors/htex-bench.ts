// Htex executors with a fake host, for tests: started, given to a body, closed, and held to leave no process.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Htex, type HtexOptions, htex } from '#src/executors/htex.js';
import type { Attempt, Executor } from '#src/task/ports.js';
import { attemptOf, FakeHost } from '#src/testing/index.js';

/** Runs `body` with an executor of two workers, unless the options say otherwise. */
export async function onHost(
  options: HtexOptions,
  body: (executor: Htex, host: FakeHost) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-htex-'));
  const host = new FakeHost(directory);
  const executor = htex({ maxWorkersPerNode: 2, coresPerWorker: 0.5, ...options });
  try {
    await executor.start(host);
    await body(executor, host);
  } finally {
    await executor.close();
    assert.deepEqual(marked(host.mark), []);
    rmSync(directory, { recursive: true });
  }
}

export function submit(executor: Executor, body: CallableFunction, args: readonly unknown[] = []): Attempt {
  const attempt = attemptOf(body, args);
  executor.submit(attempt);
  return attempt;
}

/** Processes of an executor's run, zombies not counted. */
export function marked(mark: string): { pid: number; command: string }[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      if (!readFileSync(`/proc/${entry}/environ`, 'latin1').includes(`CHERVIL_EXECUTOR=${mark}.`)) return [];
      return [{ pid: Number(entry), command: readFileSync(`/proc/${entry}/cmdline`, 'latin1').replaceAll('\0', ' ') }];
    } catch {
      // It ended meanwhile.
      return [];
    }
  });
}

/** Looks again and again: for what nobody tells. The test's own limit ends it. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Ends all processes of a run with this program: our own children only. */
export function killMarked(mark: string, program: string): void {
  signalMarked(mark, program, 'SIGKILL');
}

export function signalMarked(mark: string, program: string, signal: NodeJS.Signals): void {
  for (const { pid, command } of marked(mark)) if (command.includes(program)) process.kill(pid, signal);
}

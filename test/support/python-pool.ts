// A pool of real Parsl for an executor of ours: started with the command that the executor writes to the log of its run.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** What the log of a run says to start a pool with: ours, or Parsl's own. */
export async function poolCommandOf(runDirectory: string, whose: 'ours' | "Parsl's", blockId: string): Promise<string> {
  const path = join(runDirectory, 'chervil.log');
  const wanted = whose === 'ours' ? /: pools are started with: (.*)/ : /: pools of Python's Parsl: (.*)/;
  // Log files are written in the background, and tell nobody when.
  for (let tries = 0; tries < 1_000; tries++) {
    const found = existsSync(path) ? wanted.exec(readFileSync(path, 'utf8'))?.[1] : undefined;
    if (found !== undefined) return found.replaceAll('{block_id}', blockId);
    await pause(20);
  }
  throw new Error(`${path} has no command for ${whose} pools`);
}

/** A pool in a process group of its own, ended when it is disposed of. */
export class HandStartedPool implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  stderr = '';

  /** @param python interpreter of an environment whose programs come first in PATH */
  constructor(command: string, python: string, variables: Readonly<Record<string, string>> = {}, cwd?: string) {
    const path = `${dirname(python)}:${process.env['PATH'] ?? ''}`;
    this.child = spawn('/bin/bash', ['-c', `exec ${command}`], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
      cwd,
      env: { ...process.env, PATH: path, ...variables },
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-20_000);
    });
    this.ended = new Promise((resolve) => this.child.once('exit', resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid } = this.child;
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      try {
        if (pid !== undefined) process.kill(-pid, signal);
      } catch {
        return; // Nothing is left of it.
      }
      await Promise.race([this.ended, pause(3_000, undefined, { ref: false })]);
    }
  }
}

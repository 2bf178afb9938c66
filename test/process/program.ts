// Runs a fixture as the real process that a user would start, and finds whatever it left behind.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endProcesses, findMarked } from '#src/base/processes.js';

export interface Program {
  readonly child: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }>;
  /** Resolves when it has printed this. */
  printed(text: string): Promise<void>;
}

export interface Stage {
  readonly directory: string;
  start(
    fixture: string,
    args: readonly string[],
    options?: { readonly cwd?: string; readonly flags?: readonly string[] },
  ): Program;
  /** Asserts that nothing that was started is left. */
  nothingLeft(): Promise<void>;
}

/** TypeScript where Node has none of its own. */
export const typescriptFlags = (process.features as { typescript?: unknown }).typescript
  ? []
  : ['--import', import.meta.resolve('tsx')];

/** A directory, and programs started in it; whatever happens, nothing of them outlives the test. */
export async function onStage(body: (stage: Stage) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-process-'));
  const marks = { CHERVIL_STAGE: randomUUID() };
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
  try {
    await body({
      directory,
      start(fixture, args, { cwd = directory, flags = typescriptFlags } = {}) {
        const path = fixture.includes('/')
          ? fixture
          : fileURLToPath(new URL(`../fixtures/programs/${fixture}`, import.meta.url));
        const child = spawn(process.execPath, [...flags, path, ...args], {
          cwd,
          env: { ...environment, ...marks },
          stdio: ['ignore', 'pipe', 'pipe'],
        });
        const output = { stdout: '', stderr: '' };
        for (const stream of ['stdout', 'stderr'] as const) {
          child[stream]?.setEncoding('utf8').on('data', (text: string) => {
            output[stream] += text;
          });
        }
        return {
          child,
          output,
          ended: new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal, ...output }))),
          async printed(text) {
            while (!output.stdout.includes(text) && !output.stderr.includes(text)) {
              assert.equal(child.exitCode, null, `it ended before it printed ${text}: ${output.stderr}`);
              await Promise.race([
                ...[child.stdout, child.stderr].map(
                  (stream) => new Promise((resolve) => stream?.once('data', resolve)),
                ),
                new Promise((resolve) => child.once('close', resolve)),
              ]);
            }
          },
        };
      },
      async nothingLeft() {
        // What was killed may take a moment to be gone.
        const end = performance.now() + 20_000;
        let left = await findMarked(marks);
        while (left.length > 0 && performance.now() < end) {
          await delay(20);
          left = await findMarked(marks);
        }
        assert.deepEqual(left, [], 'processes were left');
      },
    });
  } finally {
    await endProcesses({ marks }, { graceMs: 0 });
    rmSync(directory, { recursive: true, force: true });
  }
}

// Loads runs for behaviour tests: quiet, in a directory of their own that is removed, and closed at the end of the test.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type Config, inline, type LoadOptions, load, type Run } from '#src/index.js';

const directory = mkdtempSync(join(tmpdir(), 'chervil-test-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let made = 0;

/** A new empty directory. */
export function freshDirectory(): string {
  return join(directory, String(made++));
}

/** A run on `inline`, unless the test says otherwise. */
export function testRun(config: Config = {}, options: LoadOptions = {}): Promise<Run> {
  return load({ executors: [inline()], runDir: freshDirectory(), signals: false, ...config }, options);
}

/** Runs `body` in a run that is closed afterwards. */
export async function inRun<Value>(
  config: Config,
  body: (run: Run) => Promise<Value>,
  options: LoadOptions = {},
): Promise<Value> {
  const run = await testRun(config, options);
  try {
    return await body(run);
  } finally {
    await run.close();
  }
}

/** What is written to stderr while `body` runs. */
export async function stderrOf(body: () => Promise<unknown>): Promise<string> {
  const { stderr } = process;
  const { write } = stderr;
  let text = '';
  stderr.write = ((chunk: string) => {
    text += chunk;
    return true;
  }) as typeof write;
  try {
    await body();
  } finally {
    stderr.write = write;
  }
  return text;
}

// One executor on the bench: started with a fake host, closed at the end, and held to the law that each try is answered once.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Attempt, Executor, FunctionByReference } from '../../task/ports.ts';
import { type AttemptOptions, attemptOf, referenceTo } from '../attempt.ts';
import { FakeHost } from '../host.ts';

export interface Bench {
  readonly host: FakeHost;
  readonly executor: Executor;
  /** Removed at the end. */
  readonly directory: string;
  /** Makes an attempt of a function (by value), or of a body in bodies.ts (by reference), and submits it. */
  submit(
    body: CallableFunction | BodyName | FunctionByReference,
    args?: readonly unknown[],
    options?: AttemptOptions,
  ): Attempt;
  /** Asks the executor to stop an attempt, whose answer is not waited for from then on. */
  stop(attempt: Attempt): void;
}

export type BodyName = keyof typeof import('../bodies.ts');

const module = new URL('../bodies.js', import.meta.url);
export const reference = (name: BodyName): FunctionByReference => referenceTo(module, name);

/** Runs `body` with a started executor, and closes that, whatever happens. */
export async function onBench(make: () => Executor, body: (bench: Bench) => Promise<void>): Promise<void> {
  const directory = temporary();
  const host = new FakeHost(directory);
  const executor = make();
  const submitted: Attempt[] = [];
  const stopped = new Set<Attempt>();
  await executor.start(host);
  try {
    await body({
      host,
      executor,
      directory,
      submit(of, args, options) {
        const attempt = attemptOf(typeof of === 'string' ? reference(of) : of, args, options);
        submitted.push(attempt);
        executor.submit(attempt);
        return attempt;
      },
      stop(attempt) {
        stopped.add(attempt);
        executor.stop(attempt, new Error('no longer wanted'));
      },
    });
  } finally {
    await executor.close();
    rmSync(directory, { recursive: true, force: true });
  }
  for (const attempt of submitted) {
    const count = host.answersTo(attempt).length;
    assert.ok(
      count === 1 || (count === 0 && stopped.has(attempt)),
      `task ${attempt.taskId} (${attempt.body.name}) was answered ${count} times`,
    );
  }
  assert.equal(executor.load, 0, 'a closed executor holds nothing');
}

export function temporary(): string {
  return mkdtempSync(join(tmpdir(), 'chervil-conformance-'));
}

/** The text of a file, once it is there and has `least` characters. */
export async function fileText(directory: string, name: string, least = 1): Promise<string> {
  const watcher = watch(directory);
  try {
    for (;;) {
      const changed = new Promise<void>((resolve) => watcher.once('change', () => resolve()));
      const text = await readFile(join(directory, name), 'utf8').catch(() => '');
      if (text.length >= least) return text;
      await changed;
    }
  } finally {
    watcher.close();
  }
}

// What never finishes loading, for a task with a timeout: it ends, and is named.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { htex } from '#src/executors/htex.js';
import { InlineExecutor } from '#src/executors/inline.js';
import { ThreadPool } from '#src/executors/threads/pool.js';
import type { TimeoutError } from '#src/task/errors.js';
import type { Executor } from '#src/task/ports.js';
import { type Bench, onBench } from '#src/testing/conformance/bench.js';
import { referenceTo } from '#src/testing/index.js';

const limit = { timeout: 120_000 };
const timeoutMs = 50;
const loadingMs = 700;

const executors: readonly { readonly name: string; readonly make: () => Executor; readonly kills: boolean }[] = [
  {
    name: 'threads',
    make: () => new ThreadPool({ label: 'threads', max: 2, memoryMegabytes: undefined, leastLoadingMs: loadingMs }),
    kills: true,
  },
  {
    name: 'htex',
    make: () => htex({ maxWorkersPerNode: 2, coresPerWorker: 0.5, launchCommand: limited }),
    kills: true,
  },
  { name: 'inline', make: () => new InlineExecutor('inline', 10, loadingMs), kills: false },
];
const limited = `{command} --loading_limit ${loadingMs / 1_000}`;

function module(directory: string, name: string, code: string): string {
  const path = join(directory, name);
  writeFileSync(path, code);
  return pathToFileURL(path).href;
}

async function fails({ host }: Bench, attempt: ReturnType<Bench['submit']>, url: string): Promise<void> {
  const error = (await host.error(attempt)) as TimeoutError;
  assert.equal(error.code, 'TIMEOUT');
  assert.equal(error.timeoutMs, timeoutMs);
  assert.deepEqual(error.loading, [url]);
  assert.ok(error.message.startsWith(`${url} did not finish loading within ${loadingMs} ms`), error.message);
  assert.match(error.message, /at its top level.*a timeout of more than/);
}

for (const { name, make, kills } of executors) {
  const ways = kills ? ['waits', 'computes'] : ['waits'];
  for (const way of ways) {
    test(
      `${name}: a module that ${way} without end at its top level fails a task with a timeout, and is named`,
      limit,
      () =>
        onBench(make, async (bench) => {
          const { submit, host, directory } = bench;
          const line = way === 'waits' ? 'await new Promise(() => {});' : 'for (;;);';
          const url = module(directory, `${way}.mjs`, `${line}\nexport const never = () => 1;\n`);
          await fails(bench, submit(referenceTo(url, 'never'), [], { timeoutMs }), url);
          assert.equal(await host.value(submit('add', [1, 2])), 3);
        }),
    );
  }

  test(`${name}: a wrapper whose module never finishes loading is named, and not the body`, limit, () =>
    onBench(make, async (bench) => {
      const url = module(
        bench.directory,
        'around.mjs',
        'await new Promise(() => {});\nexport const around = () => 1;\n',
      );
      await fails(bench, bench.submit('add', [1, 2], { timeoutMs, wrappers: [referenceTo(url, 'around')] }), url);
      assert.equal(await bench.host.value(bench.submit('add', [1, 2])), 3);
    }),
  );

  test(`${name}: loading may take longer than the timeout, and as long as that if it is long`, limit, () =>
    onBench(make, async ({ submit, host, directory }) => {
      const wait = (ms: number): string => `await new Promise((resolve) => setTimeout(resolve, ${ms}));\n`;
      const quick = module(directory, 'quick.mjs', `${wait(100)}export const one = () => 1;\n`);
      assert.equal(await host.value(submit(referenceTo(quick, 'one'), [], { timeoutMs })), 1);
      const slow = module(directory, 'slow.mjs', `${wait(loadingMs + 300)}export const one = () => 1;\n`);
      assert.equal(await host.value(submit(referenceTo(slow, 'one'), [], { timeoutMs: 60_000 })), 1);
    }),
  );
}

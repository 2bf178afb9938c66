// Chervil's executor and pools with Parsl's own interchange between them: how the parts begin, end and fail. The matrix has the rest.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type HtexOptions, htex } from '#src/executors/htex.js';
import type { Executor } from '#src/task/ports.js';
import { attemptOf, FakeHost } from '#src/testing/index.js';
import { newestRelease, parslOrSkip } from '../support/parsl.ts';
import { pythonOrSkip } from '../support/python.ts';

const limit = { timeout: 90_000 };

describe("Parsl's own interchange, under Chervil's executor", () => {
  it('is lost like any other: its tasks fail by name', limit, (t) =>
    onHost(t, {}, async (executor, host) => {
      await host.value(submit(executor, one));
      const waiting = submit(executor, wait);
      process.kill(interchangeOf(process.pid), 'SIGKILL');
      const error = await host.error(waiting);
      assert.equal(error.code, 'EXECUTOR_FAILED');
      assert.match(error.message, /interchange was killed by SIGKILL/);
    }),
  );

  it('is started again when it is lost, if the executor is told to send tasks again', limit, (t) =>
    onHost(t, { onInterchangeLost: 'resend' }, async (executor, host) => {
      await host.value(submit(executor, one));
      process.kill(interchangeOf(process.pid), 'SIGKILL');
      assert.equal(await host.value(submit(executor, one)), 1);
    }),
  );

  it('fails the start in its own words when it cannot start', limit, async (t) => {
    const python = await parslOrSkip(t, newestRelease);
    // An environment without Parsl.
    const other = await pythonOrSkip(t, { name: 'pyzmq', packages: ['pyzmq'] });
    if (python === undefined || other === undefined) return;
    await using place = new Place();
    const executor = htex({ interchangeCommand: [other, join(dirname(python), 'interchange.py')] });
    const host = new FakeHost(place.path);
    await assert.rejects(executor.start(host), /exit code 1: Traceback.*ModuleNotFoundError/s);
    await executor.close();
    assert.deepEqual(marked(host.mark), []);
  });

  it('drains a pool of Chervil when its time has come, and the pool ends', limit, (t) =>
    onHost(t, { drainPeriod: '1s', strategy: 'none' }, async (executor, host, directory) => {
      assert.equal(await host.value(submit(executor, one)), 1);
      while (marked(host.mark, 'pool/start.js').length > 0) await pause(50);
      assert.match(textOf(join(directory, 'submit_scripts', 'block-0.err')), /nothing left for this pool/);
    }),
  );

  it(
    'is not joined by a pool whose Python has no Parsl: the pool says so, and how to name another',
    limit,
    async (t) => {
      const other = await pythonOrSkip(t, { name: 'pyzmq', packages: ['pyzmq'] });
      if (other === undefined) return;
      await onHost(t, { python: other }, async (executor, host) => {
        const error = await host.error(submit(executor, one));
        assert.equal(error.code, 'EXECUTOR_FAILED');
        assert.match(error.message, /has no Parsl; name the interpreter of the interchange with --python/);
      });
    },
  );

  it(
    'ends its run when a pool with another version comes, and the executor fails with both versions',
    limit,
    async (t) => {
      const python = await parslOrSkip(t, newestRelease);
      if (python === undefined) return;
      await using place = new Place();
      const other = join(place.path, 'python3');
      writeFileSync(other, `#!/bin/sh\necho '{"version":"3.1.4","parsl":"2020.01.01","packages":{}}'\n`);
      chmodSync(other, 0o755);
      const executor = htex({
        maxWorkersPerNode: 1,
        coresPerWorker: 0.1,
        interchangeCommand: [python, join(dirname(python), 'interchange.py')],
        launchCommand: `PATH=${place.path}:$PATH {command}`,
      });
      const host = new FakeHost(place.path);
      await executor.start(host);
      try {
        const error = await host.error(submit(executor, one));
        assert.equal(error.code, 'EXECUTOR_FAILED');
        assert.match(error.message, /versions differ: .*parsl\.v=2026\..*py\.v=3\.1 parsl\.v=2020\.01\.01/);
      } finally {
        await executor.close();
      }
    },
  );

  it('cannot stop a task: one that is cancelled is said to go on', limit, (t) =>
    onHost(t, {}, async (executor, host) => {
      await host.value(submit(executor, one));
      const waiting = submit(executor, wait);
      executor.stop(waiting, new Error('no longer wanted'));
      await host.until(() => host.lines.some((line) => line.includes('cannot stop a task')));
    }),
  );

  it('ends when the program is killed, and so does all that was with it', limit, async (t) => {
    const python = await parslOrSkip(t, newestRelease);
    if (python === undefined) return;
    await using place = new Place();
    const program = fileURLToPath(new URL('../fixtures/htex-program.mjs', import.meta.url));
    const child = spawn(process.execPath, [program, place.path, 'endless', python], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [mark] = (await once(createInterface(child.stdout), 'line')) as [string];
    try {
      const interchange = interchangeOf(child.pid as number);
      child.kill('SIGKILL');
      while (marked(mark).length > 0 || isAlive(interchange)) await pause(50);
    } finally {
      for (const { pid } of marked(mark)) process.kill(pid, 'SIGKILL');
    }
  });
});

const wait = (): Promise<never> => new Promise(() => setInterval(() => {}, 1_000));
const one = (): number => 1;

function submit(executor: Executor, body: CallableFunction) {
  const attempt = attemptOf(body, []);
  executor.submit(attempt);
  return attempt;
}

async function onHost(
  t: TestContext,
  options: HtexOptions,
  body: (executor: Executor, host: FakeHost, directory: string) => Promise<void>,
): Promise<void> {
  const python = await parslOrSkip(t, newestRelease);
  if (python === undefined) return;
  await using place = new Place();
  const host = new FakeHost(place.path);
  const executor = htex({
    maxWorkersPerNode: 1,
    coresPerWorker: 0.1,
    heartbeatPeriod: '1s',
    python,
    interchangeCommand: [python, join(dirname(python), 'interchange.py')],
    ...options,
  });
  await executor.start(host);
  try {
    await body(executor, host, place.path);
  } finally {
    await executor.close();
    assert.deepEqual(marked(host.mark), []);
  }
}

/** A directory for a while. */
class Place implements AsyncDisposable {
  readonly path = mkdtempSync(join(tmpdir(), 'chervil-interop-'));

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.path, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The interchange that a process has started. It gives itself another title, and so loses its marks. */
function interchangeOf(parent: number): number {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const [, ppid] = textOf(`/proc/${entry}/stat`)
        .replace(/^.*\) /, '')
        .split(' ');
      if (Number(ppid) === parent && /HTEX interchange|interchange\.py/.test(textOf(`/proc/${entry}/cmdline`)))
        return Number(entry);
    } catch {
      // It ended meanwhile.
    }
  }
  throw new Error(`process ${parent} has no interchange`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function textOf(path: string): string {
  return readFileSync(path, 'utf8');
}

/** Processes that carry the mark of a run and have `program` in their command. */
function marked(mark: string, program = ''): { pid: number; command: string }[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      if (!readFileSync(`/proc/${entry}/environ`, 'latin1').includes(`CHERVIL_EXECUTOR=${mark}.`)) return [];
      const command = readFileSync(`/proc/${entry}/cmdline`, 'latin1').replaceAll('\0', ' ');
      return command.includes(program) ? [{ pid: Number(entry), command }] : [];
    } catch {
      // It ended meanwhile.
      return [];
    }
  });
}

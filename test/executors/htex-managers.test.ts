// What can be asked and told of the pools of a running htex executor; with real processes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { local, wrappedLauncher } from '#src/index.js';
import { attemptOf } from '#src/testing/index.js';
import { onHost, submit, until } from './htex-bench.ts';

const limit = { timeout: 60_000 };
const chervil = fileURLToPath(new URL('../../bin/chervil.js', import.meta.url));

test('an executor tells its pools, their packages and its blocks, and pools can be held', limit, () =>
  onHost({ blocks: { init: 2, max: 2 }, maxWorkersPerNode: 1 }, async (executor, host) => {
    await until(async () => (await executor.managers()).length === 2);
    const lines = await executor.managers();
    assert.deepEqual(
      lines
        .map(({ blockId, workerCount, tasks, isActive, isDraining }) => ({
          blockId,
          workerCount,
          tasks,
          isActive,
          isDraining,
        }))
        .sort((a, b) => Number(a.blockId) - Number(b.blockId)),
      ['0', '1'].map((blockId) => ({ blockId, workerCount: 1, tasks: 0, isActive: true, isDraining: false })),
    );
    for (const { manager } of lines) assert.ok((await executor.packages()).get(manager)?.has('chervil'), manager);
    assert.deepEqual([...(await executor.connectedBlocks())].sort(), ['0', '1']);
    assert.deepEqual(
      executor.blocks().map(({ id, state, job }) => ({ id, state, hasJob: job !== undefined })),
      ['0', '1'].map((id) => ({ id, state: 'pending', hasJob: true })),
    );
    const waiting = submit(executor, whereAmI);
    await host.answered(waiting);
    await executor.holdBlock('0');
    const places = Array.from({ length: 20 }, () => submit(executor, whereAmI));
    for (const place of places) assert.equal(await host.value(place), '1');
    const [other] = (await executor.managers()).filter(({ blockId }) => blockId === '1');
    await executor.hold(other?.manager ?? '');
    assert.deepEqual(
      (await executor.managers()).map(({ isActive }) => isActive),
      [false, false],
    );
  }),
);

test('tasks with a lower priority number run earlier, those without one last, and equal ones in order', limit, () =>
  onHost({ maxWorkersPerNode: 1, prefetch: 0 }, async (executor, host) => {
    const first = submit(executor, wait);
    await host.began(first);
    const order: (number | undefined)[] = [];
    const given = [undefined, 7, 1, undefined, 1, 0.5, -3];
    const attempts = given.map((priority, index) => {
      const attempt = { ...submitLater(index), ...(priority === undefined ? {} : { resources: { priority } }) };
      executor.submit(attempt);
      return attempt;
    });
    executor.stop(first, 'enough');
    for (const attempt of attempts) await host.answered(attempt);
    for (const { attempt, answer } of host.answers)
      if (attempt !== first && answer.ok) order.push(answer.value as number);
    assert.deepEqual(order, [6, 5, 2, 4, 1, 0, 3]);
  }),
);

test('without blocks pools are started by hand, with the command that is told', limit, () =>
  onHost({ blocks: { init: 0, max: 0 }, address: '127.0.0.1' }, async (executor, host) => {
    const early = submit(executor, whereAmI);
    assert.ok(
      host.lines.some((line) => line.includes(executor.poolCommand())),
      'the command stands in the log',
    );
    const pool = spawn('/bin/bash', ['-c', `exec ${executor.poolCommand('mine')}`], {
      stdio: 'ignore',
      env: { ...process.env, CHERVIL_EXECUTOR: `${host.mark}.htex` },
    });
    assert.equal(await host.value(early), 'mine');
    assert.deepEqual(executor.blocks(), []);
    pool.kill('SIGTERM');
    const [exitCode] = await once(pool, 'exit');
    assert.equal(exitCode, 0);
  }),
);

test('the command worker-pool of chervil takes the same flags', limit, () =>
  onHost({ blocks: { init: 0, max: 0 }, address: '127.0.0.1' }, async (executor, host) => {
    const command = executor.poolCommand('cli').replace(/\S+pool\/start\.js/, `'${chervil}' worker-pool`);
    const pool = spawn('/bin/bash', ['-c', `exec ${command}`], { stdio: 'ignore' });
    assert.equal(await host.value(submit(executor, whereAmI)), 'cli');
    pool.kill('SIGTERM');
    assert.deepEqual(await once(pool, 'exit'), [0, null]);
  }),
);

test(
  'blocks are started for waiting tasks, ended when they are idle, never while they work, and started again',
  limit,
  () =>
    onHost(
      {
        blocks: { init: 0, min: 0, max: 3 },
        maxWorkersPerNode: 1,
        strategy: 'htex-auto-scale',
        strategyPeriod: 50,
        maxIdle: 100,
        prefetch: 0,
        provider: local({ pollMs: 50 }),
      },
      async (executor, host) => {
        const states = (): string[] => executor.blocks().map(({ state }) => state);
        assert.deepEqual(states(), []);
        const long = submit(executor, wait);
        const others = Array.from({ length: 8 }, () => submit(executor, brief, [100]));
        await host.began(long);
        for (const attempt of others) await host.value(attempt);
        // Two of the three were idle for a while; the one that works stays.
        await until(async () => states().filter((state) => state === 'scaled-in').length === 2);
        const [only, ...more] = (await executor.managers()).filter(({ isActive }) => isActive);
        assert.deepEqual([only?.tasks, more.length], [1, 0]);
        assert.equal(states().length, 3, 'never more than three');
        assert.equal(host.answersTo(long).length, 0);
        executor.stop(long, 'enough');
        await until(async () => states().every((state) => state === 'scaled-in'));
        assert.equal(await host.value(submit(executor, whereAmI)), '3');
      },
    ),
);

test('of several addresses a pool takes one at which the interchange answers', limit, () =>
  onHost({ blocks: { init: 0, max: 0 }, address: '127.0.0.1' }, async (executor, host) => {
    const command = executor.poolCommand().replace('-a 127.0.0.1', '-a 127.0.0.9,127.0.0.1,127.0.0.8');
    const pool = spawn('/bin/bash', ['-c', `exec ${command}`], { stdio: 'ignore' });
    assert.equal(await host.value(submit(executor, whereAmI)), 'by-hand');
    pool.kill('SIGTERM');
    await once(pool, 'exit');
  }),
);

test(
  'a pool asks for no more tasks after its drain period, ends those it has, and leaves; another block follows',
  limit,
  () =>
    onHost({ drainPeriod: 600, strategyPeriod: 100, provider: local({ pollMs: 100 }) }, async (executor, host) => {
      const long = submit(executor, brief, [1_500]);
      await host.began(long);
      await until(async () => (await executor.managers()).some(({ isDraining, tasks }) => isDraining && tasks === 1));
      assert.equal(await host.value(long), '0');
      await until(async () => executor.blocks()[0]?.state === 'completed');
      assert.notEqual(await host.value(submit(executor, whereAmI)), '0');
    }),
);

test('a worker knows its rank, its pool, its block and its accelerator, and what workerInit set', limit, () =>
  onHost(
    { accelerators: ['3', '5'], provider: local({ workerInit: 'export FROM_INIT="a b"' }) },
    async (executor, host) => {
      const seen = new Map<string, Record<string, string | undefined>>();
      await until(async () => {
        const all = Array.from({ length: 4 }, () => submit(executor, variables));
        for (const attempt of all) {
          const found = (await host.value(attempt)) as Record<string, string>;
          seen.set(found['PARSL_WORKER_RANK'] ?? '', found);
        }
        return seen.size === 2;
      });
      for (const [rank, name] of [
        ['0', '3'],
        ['1', '5'],
      ] as const) {
        const { PARSL_WORKER_POOL_ID: pool, ...others } = seen.get(rank) ?? {};
        assert.ok(pool, 'a name of the pool');
        assert.deepEqual(others, {
          PARSL_WORKER_RANK: rank,
          PARSL_WORKER_COUNT: '2',
          PARSL_WORKER_BLOCK_ID: '0',
          CUDA_VISIBLE_DEVICES: name,
          ROCR_VISIBLE_DEVICES: name,
          ZE_AFFINITY_MASK: name,
          ZE_ENABLE_PCI_ID_DEVICE_ORDER: '1',
          FROM_INIT: 'a b',
        });
      }
    },
  ),
);

/** What each worker sees, by its rank, in a run whose pools find this program as `nvidia-smi`. */
async function devicesSeen(accelerators: number | string[], nvidiaSmi: string, logged?: RegExp): Promise<string[]> {
  const bin = mkdtempSync(join(tmpdir(), 'chervil-bin-'));
  writeFileSync(join(bin, 'nvidia-smi'), `#!/bin/sh\n${nvidiaSmi}\n`, { mode: 0o755 });
  const seen = new Map<string, string>();
  try {
    const provider = local({ workerInit: `export PATH='${bin}':"$PATH"` });
    const options = { accelerators, provider, coresPerWorker: 0.01, maxWorkersPerNode: 10 };
    await onHost(options, async (executor, host) => {
      const count = typeof accelerators === 'number' ? accelerators : accelerators.length;
      await until(async () => {
        const all = Array.from({ length: count }, () => submit(executor, variables));
        for (const attempt of all) {
          const found = (await host.value(attempt)) as Record<string, string>;
          seen.set(
            found['PARSL_WORKER_RANK'] ?? '',
            `${found['CUDA_VISIBLE_DEVICES']} ${found['ROCR_VISIBLE_DEVICES']}`,
          );
        }
        return seen.size === count;
      });
      const block = join(host.directory, 'block-0');
      const logs = (): string[] =>
        readdirSync(block)
          .map((pool) => join(block, pool, 'manager.log'))
          .filter((path) => existsSync(path));
      const log = (): string =>
        logs()
          .map((path) => readFileSync(path, 'utf8'))
          .join('');
      // Logs are written in the background.
      if (logged === undefined) assert.doesNotMatch(log(), /accelerators/);
      else await until(() => logged.test(log()));
    });
  } finally {
    rmSync(bin, { recursive: true });
  }
  return [...seen.keys()].sort().map((rank) => seen.get(rank) ?? '');
}

const twoDevices = `test "$1" = -L || exit 3
echo "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)"
echo "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-0f1e2d3c-d33d-2b2c-524d-9e3d8d2b8a78)"`;

test('with more accelerators than NVIDIA devices neighbouring workers share one', limit, async () => {
  assert.deepEqual(await devicesSeen(5, twoDevices), ['0 0', '0 1', '1 2', '1 3', '1 4']);
  assert.deepEqual(await devicesSeen(2, twoDevices), ['0 0', '1 1']);
  const named = await devicesSeen(['GPU-5d5b', '1', '2', '3'], twoDevices);
  assert.deepEqual(named, ['GPU-5d5b GPU-5d5b', '0 1', '1 2', '1 3'], 'a name that is no number is left as it is');
});

test(
  'where nvidia-smi fails or prints nonsense, workers get their names, and the log of the manager says why',
  limit,
  async () => {
    for (const [program, said] of [
      [
        'echo "NVIDIA-SMI has failed because it could not communicate with the driver."; exit 9',
        'ended with exit code 9: NVIDIA-SMI has failed',
      ],
      ['echo "No devices were found"', 'names no device: No devices were found'],
    ] as const) {
      const logged = new RegExp(
        ` warning Workers get the accelerators by their names, none shared: nvidia-smi -L ${said}`,
      );
      assert.deepEqual(await devicesSeen(3, program, logged), ['0 0', '1 1', '2 2']);
    }
  },
);

test('a wrapped launcher starts the pool behind another command, with every word of both', limit, () =>
  onHost(
    { maxWorkersPerNode: 1, provider: local({ launcher: wrappedLauncher(`env 'FROM_INIT=it is "wrapped"'`) }) },
    async (executor, host) => {
      const seen = (await host.value(submit(executor, variables))) as Record<string, string>;
      assert.equal(seen['FROM_INIT'], 'it is "wrapped"');
      assert.match(readFileSync(join(host.directory, 'submit_scripts', 'block-0.sh'), 'utf8'), /\nenv 'FROM_INIT=/);
    },
  ),
);

test('variables of a task are there while it runs, and removed after it', limit, () =>
  onHost({ maxWorkersPerNode: 1 }, async (executor, host) => {
    const given = { ...submitLater(0, priorityVariable), resources: { priority: 4 } };
    executor.submit(given);
    assert.equal(await host.value(given), '4');
    assert.equal(await host.value(submit(executor, priorityVariable)), undefined);
  }),
);

test('with an affinity each worker keeps to its own cores, with all of its threads', limit, () =>
  onHost({ cpuAffinity: 'list:0:0' }, async (executor, host) => {
    assert.deepEqual(await host.value(submit(executor, cores)), ['0', '1', '0', 'explicit,proclist=[0]']);
  }),
);

test('a worker that takes too much memory says so when it is lost', limit, () =>
  onHost({ provider: local({ workerInit: 'export NODE_OPTIONS=--max-old-space-size=60' }) }, async (executor, host) => {
    const error = await host.error(submit(executor, eat));
    assert.equal(error.code, 'WORKER_LOST');
    assert.match(error.message, /out of memory\. Give the task less to hold/);
    assert.match(error.message, new RegExp(`on ${hostname()}`));
    assert.equal(await host.value(submit(executor, whereAmI)), '0');
  }),
);

test('a task that runs is cancelled, and one that waits never runs', limit, () =>
  onHost({ maxWorkersPerNode: 1 }, async (executor, host) => {
    const running = submit(executor, wait);
    await host.began(running);
    const queued = submit(executor, wait);
    executor.stop(queued, 'not this');
    executor.stop(running, 'nor that');
    for (const attempt of [queued, running]) assert.equal((await host.error(attempt)).code, 'CANCELLED');
    assert.equal(await host.value(submit(executor, whereAmI)), '0');
  }),
);

function submitLater(index: number, body: CallableFunction = same) {
  return attemptOf(body, [index]);
}

const same = (n: number): number => n;
const whereAmI = (): string | undefined => process.env['PARSL_WORKER_BLOCK_ID'];
const brief = async (ms: number): Promise<string | undefined> => {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return process.env['PARSL_WORKER_BLOCK_ID'];
};
const wait = (): Promise<never> => new Promise(() => setInterval(() => {}, 1_000));
const priorityVariable = (): string | undefined => process.env['PARSL_PRIORITY'];
const variables = (): Record<string, string | undefined> =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^(?:PARSL_WORKER_|CUDA_|ROCR_|ZE_|FROM_INIT)/.test(name)),
  );
const cores = async (): Promise<(string | undefined)[]> => {
  const { readFileSync } = await import('node:fs');
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  const { env } = process;
  return [list, env['OMP_NUM_THREADS'], env['GOMP_CPU_AFFINITY'], env['KMP_AFFINITY']];
};
const eat = (): number => {
  const held: number[][] = [];
  for (;;) held.push(new Array(10_000).fill(held.length));
};

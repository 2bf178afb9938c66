// What becomes of an htex executor's processes, and of its tasks, when some of them are killed; with real processes.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { local } from '#src/blocks/local.js';
import { type HtexOptions, htex } from '#src/executors/htex.js';
import { load } from '#src/index.js';
import { attemptOf, FakeHost } from '#src/testing/index.js';
import { killMarked, marked, onHost, signalMarked, submit, until } from './htex-bench.ts';

const limit = { timeout: 60_000 };

test('the death of the interchange fails every outstanding task by name, and later ones too', limit, () =>
  onHost({}, async (executor, host) => {
    const waiting = [submit(executor, wait), submit(executor, wait)];
    await host.began(waiting[0] as (typeof waiting)[number]);
    kill(host, 'interchange/start.js');
    for (const attempt of waiting) {
      const error = await host.error(attempt);
      assert.equal(error.code, 'EXECUTOR_FAILED');
      assert.match(error.message, /interchange was killed by SIGKILL/);
    }
    assert.equal((await host.error(submit(executor, wait))).code, 'EXECUTOR_FAILED');
    assert.equal(host.failures.length, 1);
  }),
);

test("with onInterchangeLost: 'resend' its tasks are sent again, to new pools", limit, () =>
  onHost({ onInterchangeLost: 'resend' }, async (executor, host) => {
    await host.value(submit(executor, one));
    const many = Array.from({ length: 20 }, () => submit(executor, brief));
    await host.began(many[0] as (typeof many)[number]);
    kill(host, 'interchange/start.js');
    for (const attempt of many) assert.equal(await host.value(attempt), 'brief');
    for (const attempt of many) assert.equal(host.answersTo(attempt).length, 1);
  }),
);

test('what was cancelled when the interchange dies is not run again by the next one', limit, () =>
  onHost({ onInterchangeLost: 'resend', maxWorkersPerNode: 1 }, async (executor, host) => {
    const path = join(host.directory, 'begun');
    const running = submit(executor, beginsAndWaits, [path]);
    await host.began(running);
    // It is there still, and hears nothing.
    signalMarked(host.mark, 'interchange/start.js', 'SIGSTOP');
    executor.stop(running, new Error('enough'));
    const queued = submit(executor, beginsAndWaits, [path]);
    executor.stop(queued, new Error('enough'));
    kill(host, 'interchange/start.js');
    for (const attempt of [running, queued]) {
      assert.equal((await host.error(attempt)).code, 'CANCELLED');
      assert.equal(host.answersTo(attempt).length, 1);
    }
    assert.equal(await host.value(submit(executor, one)), 1);
    assert.equal(readFileSync(path, 'utf8'), 'begun\n');
  }),
);

test('a large result that was on its way when the interchange died leaves no file behind', limit, () =>
  onHost({ onInterchangeLost: 'resend', maxWorkersPerNode: 1 }, async (executor, host) => {
    const root = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    const mine = readdirSync(root).find((name) => name.startsWith(`chervil-values-${process.pid}-`)) ?? 'none';
    const results = (): string[] => readdirSync(join(root, mine)).filter((name) => name.startsWith('r-'));
    const attempt = submit(executor, large);
    await host.began(attempt);
    signalMarked(host.mark, 'interchange/start.js', 'SIGSTOP');
    await until(() => results().length > 0);
    kill(host, 'interchange/start.js');
    assert.equal(((await host.value(attempt)) as Uint8Array).length, 1_000_000);
    assert.deepEqual(results(), []);
  }),
);

test('a killed worker costs its task one try, is told with its signal, and is started again', limit, () =>
  onHost({}, async (executor, host) => {
    const waiting = submit(executor, wait);
    await host.began(waiting);
    kill(host, 'worker/main.js');
    const error = await host.error(waiting);
    assert.equal(error.code, 'WORKER_LOST');
    assert.match(error.message, /killed by SIGKILL/);
    assert.equal(await host.value(submit(executor, one)), 1);
  }),
);

test(
  'a try that is ended, by its timeout or by its stop, takes with it every process that its body had started',
  limit,
  () =>
    onHost({ maxWorkersPerNode: 1 }, async (executor, host) => {
      const started = (): unknown[] =>
        marked(host.mark).filter(({ command }) => /^(?:sleep|setsid sleep) 1234/.test(command));
      const slow = attemptOf(startsAndComputes, [], { timeoutMs: 3_000 });
      executor.submit(slow);
      await until(() => started().length === 2);
      assert.equal((await host.error(slow)).code, 'TIMEOUT');
      await until(() => started().length === 0);
      const unwanted = submit(executor, startsAndComputes);
      await until(() => started().length === 2);
      executor.stop(unwanted, 'enough');
      await until(() => started().length === 0);
      assert.equal(await host.value(submit(executor, one)), 1);
    }),
);

test('a killed pool costs its tasks one try each, and another block takes its place', limit, () =>
  onHost({}, async (executor, host) => {
    const waiting = submit(executor, wait);
    await host.began(waiting);
    kill(host, 'pool/start.js');
    const error = await host.error(waiting);
    assert.equal(error.code, 'MANAGER_LOST');
    assert.equal(await host.value(submit(executor, one)), 1);
  }),
);

test('a worker that is stopped ends with its pool', limit, (t) => {
  if (spawnSync('setpriv', ['--pdeathsig', 'KILL', '--', 'true']).status !== 0) {
    t.skip('for want of setpriv, which comes with util-linux');
    return;
  }
  return onHost({}, async (executor, host) => {
    assert.equal(await host.value(submit(executor, one)), 1);
    const workers = marked(host.mark).filter(({ command }) => command.includes('worker/main.js'));
    assert(workers.length > 0, 'there are no workers');
    signalMarked(host.mark, 'worker/main.js', 'SIGSTOP');
    kill(host, 'pool/start.js');
    await until(() => !marked(host.mark).some(({ pid }) => workers.some((worker) => worker.pid === pid)));
  });
});

test('an interchange that ends while it is started again is started once more', limit, () => {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-htex-'));
  const start = fileURLToPath(new URL('../../dist/interchange/start.js', import.meta.url));
  // The second and the third one end at once.
  const command = `echo x >> ${directory}/lives; lives=$(wc -l < ${directory}/lives); [ $lives = 2 ] && exit 5; [ $lives = 3 ] && exit 6; exec ${process.execPath} ${start}`;
  return onHost(
    { onInterchangeLost: 'resend', interchangeCommand: ['/bin/bash', '-c', command] },
    async (executor, host) => {
      await host.value(submit(executor, one));
      killMarked(host.mark, 'interchange/start.js');
      assert.equal(await host.value(submit(executor, one)), 1);
      assert.equal(executor.blocks().length, 2, 'its pools were started once again, and no more');
    },
  ).finally(() => rmSync(directory, { recursive: true }));
});

test(
  'an interchange that is stopped and does not answer is ended after the heartbeat threshold, and its tasks sent again',
  limit,
  () =>
    onHost({ onInterchangeLost: 'resend', heartbeatPeriod: 300, heartbeatThreshold: 1_500 }, async (executor, host) => {
      await host.value(submit(executor, one));
      signalMarked(host.mark, 'interchange/start.js', 'SIGSTOP');
      assert.equal(await host.value(submit(executor, one)), 1);
      assert.ok(
        host.lines.some((line) => line.includes('the interchange did not answer for 1.5 s and was ended')),
        host.lines.join('\n'),
      );
    }),
);

test(
  'a pool that is stopped loses its tasks after the heartbeat threshold, and another block takes its place',
  limit,
  () =>
    onHost(
      { heartbeatPeriod: 300, heartbeatThreshold: 1_500, strategyPeriod: 200, provider: local({ pollMs: 200 }) },
      async (executor, host) => {
        const waiting = submit(executor, wait);
        await host.began(waiting);
        signalMarked(host.mark, 'pool/start.js', 'SIGSTOP');
        assert.equal((await host.error(waiting)).code, 'MANAGER_LOST');
        assert.equal(await host.value(submit(executor, one)), 1);
        assert.equal(executor.blocks()[0]?.state, 'cancelled');
      },
    ),
);

test('a pool that never comes fails the executor with the words of its block', limit, () =>
  onHost({ launchCommand: 'echo no such module >&2; exit 3' }, async (executor, host) => {
    const error = await host.error(submit(executor, one));
    assert.equal(error.code, 'EXECUTOR_FAILED');
    assert.match(error.message, /exit code 3; no such module/);
  }),
);

test('what keeps the interchange from starting reaches load() at once, in its own words', limit, async () => {
  const { createServer } = await import('node:net');
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const cases: { readonly options: HtexOptions; readonly says: RegExp }[] = [
    { options: { workerPort: port }, says: /interchange .*EADDRINUSE|in use/s },
    { options: { address: '203.0.113.7' }, says: /interchange .*203\.0\.113\.7|EADDRNOTAVAIL/s },
    { options: { interchangeCommand: ['/no/such/program'] }, says: /could not be started: .*ENOENT/ },
    {
      options: { interchangeCommand: ['/bin/bash', '-c', 'echo no licence >&2; exit 7'] },
      says: /exit code 7: no licence/,
    },
  ];
  try {
    for (const { options, says } of cases) {
      const directory = mkdtempSync(join(tmpdir(), 'chervil-htex-'));
      try {
        await assert.rejects(
          load({ executors: [htex(options)], runDir: directory, signals: false }),
          (error: Error) => {
            assert.equal((error as { code?: string }).code, 'EXECUTOR_FAILED');
            assert.match(error.message, says);
            return true;
          },
        );
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    }
  } finally {
    taken.close();
  }
});

test('an interchange that cannot start fails the start, at once and in its own words', limit, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-htex-'));
  const executor = htex({ interchangeCommand: ['/bin/bash', '-c', 'echo no room here >&2; exit 4'] });
  const host = new FakeHost(directory);
  try {
    await assert.rejects(executor.start(host), /EXECUTOR_FAILED|exit code 4: no room here/);
  } finally {
    await executor.close();
    assert.deepEqual(marked(host.mark), []);
    rmSync(directory, { recursive: true });
  }
});

for (const [what, victims] of [
  ['its program', []],
  ['its program and the interchange', ['interchange/start.js']],
  ['its program, the interchange and the pool', ['interchange/start.js', 'pool/start.js']],
] as const) {
  test(`nothing is left when ${what} is killed, though its workers compute without end`, limit, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'chervil-htex-'));
    const program = fileURLToPath(new URL('../fixtures/htex-program.mjs', import.meta.url));
    const child = spawn(process.execPath, [program, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface(child.stdout);
    const [mark] = (await once(lines, 'line')) as [string];
    try {
      assert.ok(marked(mark).length >= 4, 'an interchange, a pool and two workers');
      child.kill('SIGKILL');
      for (const victim of victims) killMarked(mark, victim);
      await until(() => marked(mark).length === 0);
    } finally {
      for (const { pid } of marked(mark)) process.kill(pid, 'SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

test('a program that is done ends by itself, though its run was not closed', limit, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-htex-'));
  const program = fileURLToPath(new URL('../fixtures/htex-program.mjs', import.meta.url));
  const child = spawn(process.execPath, [program, directory, 'quick'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout);
  const [mark] = (await once(lines, 'line')) as [string];
  const [exitCode] = (await once(child, 'exit')) as [number | null];
  assert.equal(exitCode, 0);
  assert.deepEqual(marked(mark), []);
  rmSync(directory, { recursive: true, force: true });
});

const wait = (): Promise<never> => new Promise(() => setInterval(() => {}, 1_000));
const large = (): Promise<Uint8Array> =>
  new Promise((resolve) => setTimeout(() => resolve(new Uint8Array(1_000_000)), 500));
const beginsAndWaits = async (path: string): Promise<void> => {
  const { appendFileSync } = await import('node:fs');
  appendFileSync(path, 'begun\n');
  await new Promise(() => setInterval(() => {}, 1_000));
};
/** One process in the group of the worker, and one in a session of its own. */
const startsAndComputes = async (): Promise<void> => {
  const { spawn: start } = await import('node:child_process');
  start('sleep', ['1234'], { stdio: 'ignore' });
  start('sleep', ['1234.5'], { stdio: 'ignore', detached: true });
  for (;;) Math.sqrt(2);
};
const one = (): number => 1;
const brief = (): Promise<string> => new Promise((resolve) => setTimeout(() => resolve('brief'), 50));

function kill(host: FakeHost, program: string): void {
  killMarked(host.mark, program);
}

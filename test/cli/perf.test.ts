import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { curve } from '#src/cli/perf.js';
import { childCpuMicros } from '#src/cli/process-tree.js';
import { chervil, fixtures, scratch } from './command.ts';

const fields = [
  'executor',
  'tasks',
  'argBytes',
  'submitSeconds',
  'seconds',
  'tasksPerSecond',
  'cpuMicrosPerTask',
  'p50Ms',
  'p90Ms',
  'p99Ms',
  'bytesPerPending',
];

describe('chervil perf', { concurrency: false }, () => {
  for (const executor of ['inline', 'threads']) {
    test(`measures ${executor} at the sizes that were asked for, as JSON lines and nothing else`, async (t) => {
      const directory = scratch(t);
      const { code, stdout, stderr } = await chervil(
        t,
        ['perf', '--config', executor, '--iterate', '20,300', '--argsize', '100', '--json'],
        directory,
      );
      assert.equal(stderr, '');
      assert.equal(code, 0);
      const lines = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      assert.deepEqual(
        lines.map(({ tasks }) => tasks),
        [20, 300],
      );
      for (const line of lines) {
        assert.deepEqual(Object.keys(line).sort(), [...fields].sort());
        assert.equal(line['executor'], executor);
        assert.equal(line['argBytes'], 100);
        for (const field of ['submitSeconds', 'seconds', 'tasksPerSecond', 'cpuMicrosPerTask'])
          assert.ok((line[field] as number) > 0, field);
        for (const field of ['p50Ms', 'p99Ms', 'bytesPerPending']) assert.equal(line[field], null);
      }
      assert.deepEqual(readdirSync(directory), []);
    });
  }

  test('measures tasks one at a time', async (t) => {
    const { stdout } = await chervil(t, ['perf', '--latency', '50', '--json']);
    const { tasks, p50Ms, p90Ms, p99Ms } = JSON.parse(stdout) as Record<string, number>;
    assert.equal(tasks, 50);
    assert.ok(
      (p50Ms as number) > 0 && (p50Ms as number) <= (p90Ms as number) && (p90Ms as number) <= (p99Ms as number),
    );
  });

  test('measures the memory of tasks that wait', async (t) => {
    const { stdout } = await chervil(t, ['perf', '--config', 'inline', '--pending', '20000', '--json']);
    const { tasks, bytesPerPending } = JSON.parse(stdout) as Record<string, number>;
    assert.equal(tasks, 20_000);
    assert.ok((bytesPerPending as number) > 50, `${bytesPerPending}`);
  });

  test('writes a table, and the same to a CSV file', async (t) => {
    const directory = scratch(t);
    const { stdout } = await chervil(
      t,
      ['perf', '--config', 'inline', '--iterate', '10,20', '--csv', 'out.csv'],
      directory,
    );
    assert.match(stdout, /^executor inline, .*\n +tasks .*\n +10 .*\n +20 .*\n$/);
    const [head, ...rows] = readFileSync(join(directory, 'out.csv'), 'utf8').trim().split('\n');
    assert.equal(head?.startsWith('executor,tasks,argBytes,'), true);
    assert.deepEqual(
      rows.map((row) => row.split(',').slice(0, 3).join()),
      ['inline,10,0', 'inline,20,0'],
    );
  });

  test('takes its executor from a config file', async (t) => {
    const { stdout } = await chervil(t, ['perf', '--config', join(fixtures, 'config.ts'), '--iterate', '10', '--json']);
    assert.equal((JSON.parse(stdout) as { executor: string }).executor, 'here');
  });

  for (const [args, said] of [
    [['--config', 'no-such.ts'], /there is no config file .*no-such\.ts/],
    [['--iterate', '10,x'], /--iterate takes 'estimate', 'exponential', or numbers/],
    [['--time', '0'], /--time.* must be a number above 0/],
    [['--latency', '1.5'], /--latency.* must be a whole number/],
    [
      ['--iterate', '5', '--config', 'inline', '--csv', 'no/such/folder.csv'],
      /--csv: cannot write no\/such\/folder\.csv/,
    ],
  ] as const) {
    test(`refuses ${args.join(' ')} and says why`, async (t) => {
      const { code, stderr } = await chervil(t, ['perf', ...args]);
      assert.match(stderr, said);
      assert.doesNotMatch(stderr, /\n {4}at /);
      assert.equal(code, 1);
    });
  }
});

/** A machine that runs `rate` tasks a second, and takes a second to begin. */
async function sizesOf(mode: 'estimate' | 'exponential' | number[], seconds: number, rate: number): Promise<number[]> {
  const sizes: number[] = [];
  const measure = async (tasks: number) => {
    sizes.push(tasks);
    const took = 1 + tasks / rate;
    return { ...none, tasks, seconds: took, tasksPerSecond: tasks / took };
  };
  for await (const _ of curve(mode, seconds, measure));
  return sizes;
}
const none = {
  submitSeconds: null,
  cpuMicrosPerTask: null,
  p50Ms: null,
  p90Ms: null,
  p99Ms: null,
  bytesPerPending: null,
};

test('estimate begins with 10 tasks and ends when a size took three quarters of the time', async () => {
  assert.deepEqual(await sizesOf('estimate', 10, 100), [10, 90, 473, 825]);
});

test('estimate measures two sizes at least', async () => {
  assert.deepEqual(await sizesOf('estimate', 0.5, 100), [10, 4]);
});

test('exponential doubles until a size took the time', async () => {
  assert.deepEqual(await sizesOf('exponential', 3, 100), [10, 20, 40, 80, 160, 320]);
});

test('the CPU time of child processes is counted, while they run and when they have ended', {
  skip: process.platform === 'linux' ? false : 'for want of /proc',
}, async () => {
  const before = childCpuMicros();
  const child = spawn('/bin/sh', ['-c', 'n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done; echo done; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const during = childCpuMicros();
  assert.ok(during > before, `${during} > ${before}`);
  child.stdin.end('\n');
  await once(child, 'close');
  assert.ok(childCpuMicros() >= during);
});

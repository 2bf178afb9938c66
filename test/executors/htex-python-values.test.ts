// Large values of Python functions: through files where submitter and worker are Chervil's on one machine, by themselves elsewhere.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { htex, keywords, pythonApp } from '#src/index.js';
import { newestRelease, parslOrSkip } from '../support/parsl.ts';
import { pythonOrSkip } from '../support/python.ts';
import { HandStartedPool, poolCommandOf } from '../support/python-pool.ts';
import { inRun } from '../support/run.ts';

const only = (more: object = {}) =>
  htex({ python: true, nodeWorkers: 0, maxWorkersPerNode: 1, coresPerWorker: 0.5, encrypted: false, ...more });

/** Gives its arguments back, and the names of the files that are there meanwhile. */
const echo = pythonApp.source<(...values: unknown[]) => [unknown[], Record<string, unknown>, string[] | null]>(`
    import os

    def echo(*values, **named):
        directory = os.environ.get('CHERVIL_VALUES')
        return list(values), named, None if directory is None else os.listdir(directory)
`);

const bytes = Buffer.alloc(1_000_000, 7);
const values: readonly (readonly [string, unknown])[] = [
  ['bytes', bytes],
  ['a text', 'x'.repeat(300_000)],
  ['a text of all kinds of characters, and half of one', `é€😀${'ü'.repeat(100_000)}\ud83d`],
  ['a list of them', [bytes, 'y'.repeat(70_000), [bytes.subarray(0, 70_000), 1.5, null]]],
  ['many small ones', Array.from({ length: 20_000 }, (_, index) => index)],
  ['an object', { deep: { bytes, list: ['z'.repeat(9_000)] } }],
];

/** The directory of values of this process. */
function directoryOfValues(): string {
  const root = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const [name, ...others] = readdirSync(root).filter((one) => one.startsWith(`chervil-values-${process.pid}-`));
  assert.ok(name !== undefined && others.length === 0, 'there must be one directory');
  return join(root, name);
}

const resultsIn = (directory: string): string[] => readdirSync(directory).filter((name) => name.startsWith('r-'));

describe('large values of Python functions', () => {
  it('go through files in the memory of the machine, as arguments and as results, and are what they were', async () => {
    const makes = pythonApp.source<(bytes: number) => Buffer>('def makes(n):\n    return b"x" * n\n');
    await inRun({ executors: [only()] }, async () => {
      const directory = directoryOfValues();
      for (const [what, value] of values) {
        const [[given], named, files] = await echo(value, keywords({ by: value }));
        assert.deepEqual(given, value, what);
        assert.deepEqual(named, { by: value }, what);
        const ofArguments = files?.filter((name) => !name.startsWith('r-') && name !== 'lock');
        assert.equal(ofArguments?.length, 1, `${what}: its arguments are in a file`);
      }
      assert.deepEqual((await echo(1))[0], [1]);
      // A file is made and removed: nothing else changes the directory.
      utimesSync(directory, 0, 0);
      assert.equal((await makes(8_000)).length, 8_000);
      assert.equal(statSync(directory).mtimeMs, 0, 'a small result makes no file');
      assert.equal((await makes(1_000_000)).length, 1_000_000);
      assert.notEqual(statSync(directory).mtimeMs, 0, 'a large result makes a file');
      assert.deepEqual(resultsIn(directory), []);
    });
  });

  it('can be numpy arrays', async (t) => {
    const numpy = await pythonOrSkip(t, { name: 'numpy', packages: ['numpy'] });
    if (numpy === undefined) return;
    const twice = pythonApp.source<(xs: Float64Array) => [Float64Array, Float64Array[], Float32Array]>(`
      def twice(xs):
          xs *= 2  # It is the task's own, and can be written to.
          return [xs, xs[:300_000].reshape(3, 100_000)[:, ::2], xs.astype('f4')]
    `);
    await inRun({ executors: [only({ python: numpy })] }, async () => {
      const numbers = Float64Array.from({ length: 400_000 }, (_, index) => index / 8);
      const [doubled, rows, single] = await twice(numbers);
      assert.deepEqual(
        doubled,
        numbers.map((x) => x * 2),
      );
      assert.deepEqual([rows.length, rows[1]?.length, rows[1]?.[1]], [3, 50_000, 100_002 / 4]);
      assert.deepEqual(single, Float32Array.from(doubled));
    });
  });

  it('travel by themselves to a pool of real Parsl, and with largeValues: false', async (t) => {
    await inRun({ executors: [only({ largeValues: false })] }, async () => {
      for (const [what, value] of values) assert.deepEqual(await echo(value), [[value], {}, null], what);
    });
    const python = await parslOrSkip(t, newestRelease);
    if (python === undefined) return;
    await inRun({ executors: [only({ blocks: { init: 0, max: 0 } })] }, async (run) => {
      await using pool = new HandStartedPool(await poolCommandOf(run.directory, "Parsl's", '7'), python);
      for (const [what, value] of values)
        assert.deepEqual(await echo(value), [[value], {}, null], `${what}: ${pool.stderr}`);
    });
  });

  it('leave nothing behind when a worker or its pool dies while it writes one, and the next try gets its arguments', async () => {
    const dies = pythonApp.source<(path: string, isPool: boolean, bytes: Buffer) => unknown>(`
      import os, time

      class Bomb:
          def __init__(self, path, is_pool):
              self.path = path
              self.is_pool = is_pool

          def __reduce__(self):
              with open(self.path, 'w') as file:
                  file.write(' '.join(os.listdir(os.environ['CHERVIL_VALUES'])))
              os.kill(os.getppid() if self.is_pool else os.getpid(), 9)
              time.sleep(1_000)

      def dies(path, is_pool, data):
          return [data, 'again'] if os.path.exists(path) else [data, Bomb(path, is_pool)]
    `);
    const waits = pythonApp<(seconds: number) => null>('time:sleep');
    await inRun({ executors: [only({ maxWorkersPerNode: 2 })] }, async (run) => {
      for (const isPool of [false, true]) {
        // Something is outstanding all the time, so that nobody tidies up because of quiet.
        const other = waits.with({ retry: 1 })(1_000);
        try {
          const path = join(run.directory, `bomb ${isPool}`);
          assert.deepEqual(await dies.with({ retry: 1 })(path, isPool, bytes), [bytes, 'again']);
          const names = readFileSync(path, 'utf8').split(' ');
          assert.ok(
            names.some((name) => name.startsWith('r-')),
            `it had begun a file: ${names}`,
          );
          assert.deepEqual(resultsIn(directoryOfValues()), []);
        } finally {
          other.cancel();
        }
        await assert.rejects(other, { code: 'CANCELLED' });
      }
    });
  });

  it('leave nothing behind when their task is cancelled, runs over its timeout, or loses its pool', async () => {
    const slow = pythonApp.source<(path: string, seconds: number) => Buffer>(`
      import os, time

      def slow(path, seconds):
          with open(path + '.new', 'w') as file:
              file.write(str(os.getppid()))
          os.rename(path + '.new', path)
          time.sleep(seconds)
          return b'x' * 1_000_000
    `);
    const begun = async (path: string): Promise<number> => {
      while (!existsSync(path)) await pause(10);
      return Number(readFileSync(path, 'utf8'));
    };
    await inRun({ executors: [only()] }, async (run) => {
      const directory = directoryOfValues();
      // It ends by itself before its worker would be killed: its result comes, and nobody waits for it.
      const first = slow(join(run.directory, 'first'), 0.1);
      await begun(join(run.directory, 'first'));
      first.cancel();
      await assert.rejects(first, { code: 'CANCELLED' });
      const second = slow(join(run.directory, 'second'), 1_000);
      await begun(join(run.directory, 'second'));
      second.cancel();
      await assert.rejects(second, { code: 'CANCELLED' });
      await assert.rejects(slow.with({ timeout: 300 })(join(run.directory, 'third'), 1_000), { code: 'TIMEOUT' });
      const fourth = slow.with({ retry: 1 })(join(run.directory, 'fourth'), 0.5);
      process.kill(await begun(join(run.directory, 'fourth')), 'SIGKILL');
      assert.equal((await fourth).length, 1_000_000);
      assert.deepEqual(resultsIn(directory), []);
    });
  });

  it('that cannot be pickled fail as small ones do, and leave nothing behind', async () => {
    const odd = pythonApp.source<() => unknown>('def odd():\n    return [b"x" * 1_000_000, lambda: 1]\n');
    await inRun({ executors: [only()] }, async () => {
      await assert.rejects(odd(), { code: 'SERIALIZATION' });
      assert.deepEqual(resultsIn(directoryOfValues()), []);
    });
  });

  it('are taken out of the call by a worker only from its own directory', async () => {
    const reads = pythonApp.source<(name: string) => string>(`
      import struct, sys

      def reads(name):
          values = sys.modules['chervil_worker'].worker.values
          try:
              return str(values.read(struct.pack('<BBd', 0xE3, len(name), 5) + name.encode()))
          except Exception as error:
              return type(error).__name__
    `);
    await inRun({ executors: [only()] }, async () => {
      assert.equal(await reads('../../etc/hostname'), 'FileNotFoundError');
    });
  });
});

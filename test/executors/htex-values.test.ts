import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LargeValues } from '#src/executors/htex/values.js';
import { app, htex, load } from '#src/index.js';
import { removeIfOrphaned, removeOrphans, seesValues } from '#src/wire/value-directory.js';
import { isReference, ValueFiles } from '#src/wire/value-files.js';
import { cutUp, putTogether } from '#src/wire/values/pieces.js';
import { until } from './htex-bench.ts';

const root = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const place = mkdtempSync(join(tmpdir(), 'chervil-large-'));
after(() => rmSync(place, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));

/** The directories of values that a process of this id made. */
const directoriesOf = (pid: number | undefined): string[] =>
  readdirSync(root)
    .filter((name) => name.startsWith(`chervil-values-${pid}-`))
    .map((name) => join(root, name));

const numbers = Float64Array.from({ length: 40_000 }, (_, index) => index / 3);
const values: readonly (readonly [string, unknown])[] = [
  ['a typed array', numbers],
  ['a Buffer', Buffer.alloc(200_000, 7)],
  ['an array of both', [numbers, Buffer.alloc(70_000, 1), 'and', { more: 1 }]],
  ['a text', 'x'.repeat(100_000)],
  ['an object that holds much', { deep: { numbers, list: Array.from({ length: 30_000 }, (_, index) => index) } }],
  ['a Map', new Map([['numbers', numbers]])],
];

describe('large values', () => {
  it('go through files in the memory of the machine, as arguments and as results, and are what they were', async () => {
    await using run = await load({ executors: [htex({ maxWorkersPerNode: 1, encrypted: false })], runDir: place });
    const echo = app((value: unknown) => value, { name: 'echo' });
    const [directory] = directoriesOf(process.pid);
    assert.ok(directory !== undefined, 'there must be a directory');
    const before = statSync(directory).mtimeMs;
    for (const [what, value] of values) assert.deepEqual(await echo(value), value, what);
    assert.ok(statSync(directory).mtimeMs > before, 'no file was made');
    await run.close();
    assert.deepEqual(directoriesOf(process.pid), []);
  });

  it('that share their memory still do', async () => {
    await using _run = await load({ executors: [htex({ maxWorkersPerNode: 1, encrypted: false })], runDir: place });
    const areOne = app(
      (first: Uint8Array, second: Float64Array) => {
        first[0] = 99;
        return [first.buffer === second.buffer, second.buffer.byteLength];
      },
      { name: 'areOne' },
    );
    const memory = new ArrayBuffer(80_000);
    assert.deepEqual(await areOne(new Uint8Array(memory), new Float64Array(memory)), [true, 80_000]);
  });

  it('are given to pools that do not see the files', async () => {
    await using _run = await load({
      executors: [htex({ maxWorkersPerNode: 1, encrypted: false, launchCommand: '{node} {pool} {flags}' })],
      runDir: place,
    });
    const sees = app((value: unknown) => [value, process.env['CHERVIL_VALUES'] ?? 'nothing'], { name: 'sees' });
    for (const [what, value] of values) assert.deepEqual(await sees(value), [value, 'nothing'], what);
  });

  it('are there for the next try when a worker was killed', async () => {
    await using _run = await load({
      executors: [htex({ maxWorkersPerNode: 1, encrypted: false })],
      runDir: place,
    });
    const mark = join(place, 'was-here');
    const diesOnce = app(
      async (value: Float64Array, path: string) => {
        const { existsSync: has, writeFileSync: write } = await import('node:fs');
        if (!has(path)) {
          write(path, '');
          process.kill(process.pid, 'SIGKILL');
        }
        return value;
      },
      { name: 'diesOnce', retry: 1 },
    );
    assert.deepEqual(await diesOnce(numbers, mark), numbers);
  });

  it('travel by themselves with largeValues: false', async () => {
    await using _run = await load({
      executors: [htex({ maxWorkersPerNode: 1, encrypted: false, largeValues: false })],
      runDir: place,
    });
    assert.deepEqual(directoriesOf(process.pid), []);
    const echo = app((value: unknown) => value, { name: 'echo' });
    assert.deepEqual(await echo(numbers), numbers);
  });

  it('that travel by themselves hold up neither their own way nor the timeout of the body behind them', async () => {
    await using _run = await load({
      executors: [htex({ maxWorkersPerNode: 1, encrypted: false, largeValues: false, prefetch: 4 })],
      runDir: place,
    });
    const makes = app((bytes: number) => Buffer.allocUnsafe(bytes), { name: 'makes' });
    const computes = app(
      (isEndless: boolean) => {
        while (isEndless) Math.sqrt(2);
      },
      { name: 'computes', timeout: 500 },
    );
    // Functions that were quick so far: their worker gets the next call before it is done with this one.
    for (let runs = 0; runs < 5; runs++) await Promise.all([makes(1), computes(false)]);
    const large = makes(30_000_000);
    const endless = computes(true);
    await assert.rejects(endless, { code: 'TIMEOUT' });
    assert.equal((await large).length, 30_000_000);
  });

  it('are removed when their program is killed', async () => {
    const program = join(place, 'killed.mjs');
    writeFileSync(
      program,
      `import { app, htex, load } from ${JSON.stringify(fileURLToPath(new URL('../../dist/index.js', import.meta.url)))};
      await load({ executors: [htex({ maxWorkersPerNode: 1, encrypted: false })], runDir: ${JSON.stringify(place)} });
      const wait = app(() => new Promise(() => { setInterval(() => {}, 1000); }), { name: 'wait' });
      const waits = wait(new Uint8Array(1e6));
      console.log('there');
      await waits;`,
    );
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
    assert.equal(directoriesOf(child.pid).length, 1);
    child.kill('SIGKILL');
    const until = Date.now() + 30_000;
    while (directoriesOf(child.pid).length > 0 && Date.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(directoriesOf(child.pid), []);
  });
});

describe('the directory of large values', () => {
  const ofValues = JSON.stringify(new URL('../../dist/wire/value-directory.js', import.meta.url).href);

  const apart = ['--pid', '--fork', '--mount-proc'];
  /** Why no process can be started that numbers processes in its own way, as in a container; `undefined` where one can. */
  const noContainer = (): string | undefined => {
    const { status, stderr, error } = spawnSync('unshare', [...apart, 'true'], { encoding: 'utf8' });
    return status === 0 ? undefined : `for want of a namespace of processes: ${error?.message ?? stderr}`;
  };

  it('takes no more memory than the values that are kept there, whatever its files held before', () => {
    const kept = new LargeValues('spare', 1_000);
    try {
      const bytes = (): number =>
        readdirSync(kept.directory).reduce((sum, name) => sum + statSync(join(kept.directory, name)).size, 0);
      for (let id = 0; id < 8; id += 2) {
        kept.write(id, [new Uint8Array(1_000_000)], 'it');
        kept.release(id, true);
        kept.write(id + 1, [new Uint8Array(2_000)], 'it');
      }
      assert.ok(bytes() < 20_000, `${bytes()} bytes for four values of 2000`);
    } finally {
      kept.close();
    }
  });

  it('is not removed by who numbers processes in another way, as a container that shares the memory', (t) => {
    const missing = noContainer();
    if (missing !== undefined) {
      t.skip(missing);
      return;
    }
    const kept = new LargeValues('shared', 1_000);
    try {
      const look = `import { removeIfOrphaned } from ${ofValues}; removeIfOrphaned(${JSON.stringify(kept.directory)}); console.log('looked');`;
      const alone = [...apart, process.execPath, '--input-type=module', '-e', look];
      const { stdout, stderr } = spawnSync('unshare', alone, { encoding: 'utf8' });
      assert.equal(stdout, 'looked\n', stderr);
      assert.ok(existsSync(kept.directory), 'it was removed');
    } finally {
      kept.close();
    }
  });

  const make = `import { makeValueDirectory } from ${ofValues}; console.log(makeValueDirectory('gone').path); setInterval(() => {}, 1_000);`;
  const maker = ['--input-type=module', '-e', make];

  /** The directory of a process, which goes on; or nothing, if the program is not to be had here. */
  const madeBy = async (program: string, args: readonly string[]) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.on('error', () => {});
    let said = '';
    child.stderr.on('data', (text) => {
      said += text;
    });
    const lines = createInterface(child.stdout);
    const [directory] = (await Promise.race([once(lines, 'line'), once(lines, 'close')])) as [string?];
    const kill = async (): Promise<void> => {
      child.kill('SIGKILL');
      await ended;
    };
    return { directory, kill, said: () => said };
  };
  const age = (directory: string): void => {
    const then = Date.now() / 1_000 - 10 * 86_400;
    utimesSync(directory, then, then);
  };

  it('is removed by anybody else when its process is gone', async () => {
    const { directory = '', kill } = await madeBy(process.execPath, maker);
    age(directory);
    removeIfOrphaned(directory);
    assert.ok(existsSync(directory), 'it was removed under its process');
    await kill();
    removeIfOrphaned(directory);
    assert.ok(!existsSync(directory));
  });

  it('is removed by the next run and by the next pool of this machine, when all of its run was killed', async () => {
    const first = await madeBy(process.execPath, maker);
    await first.kill();
    const kept = new LargeValues('next', 1_000);
    assert.ok(!existsSync(first.directory ?? '/'), 'it is left after the start of a run');
    kept.close();
    assert.ok(!existsSync(kept.directory));

    const second = await madeBy(process.execPath, maker);
    await second.kill();
    const pool = fileURLToPath(new URL('../../dist/pool/start.js', import.meta.url));
    const flags = ['-a', '127.0.0.1', '-P', '1', '--cert_dir', 'None', '--address_probe_timeout', '0.05', '-l', place];
    const { stderr } = spawnSync(process.execPath, [pool, ...flags], { encoding: 'utf8' });
    assert.ok(!existsSync(second.directory ?? '/'), `it is left after the start of a pool: ${stderr}`);
  });

  it('is removed from outside of a container when that is gone, and days have passed', async (t) => {
    const missing = root === '/dev/shm' ? noContainer() : 'for want of /dev/shm, which containers may share';
    if (missing !== undefined) {
      t.skip(missing);
      return;
    }
    const { directory, kill, said } = await madeBy('unshare', [...apart, '--kill-child', process.execPath, ...maker]);
    assert.ok(directory !== undefined, said());
    removeOrphans();
    age(directory);
    removeOrphans();
    assert.ok(existsSync(directory), 'it was removed, and its process is there');
    await kill();
    utimesSync(directory, Date.now() / 1_000, Date.now() / 1_000);
    removeOrphans();
    assert.ok(existsSync(directory), 'no days have passed');
    await until(() => {
      age(directory);
      removeOrphans();
      return !existsSync(directory);
    });
  });

  it('of an unknown process is left alone when nothing tells whether that is there', () => {
    const directory = join(root, 'chervil-values-1-1-1-unknown-test');
    mkdirSync(directory);
    try {
      age(directory);
      removeOrphans();
      assert.ok(existsSync(directory));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('is none that can be seen for another user of the machine', (t) => {
    const kept = new LargeValues('mine', 1_000);
    try {
      assert.ok(seesValues(kept.directory));
      assert.ok(!seesValues(`${kept.directory}-other`));
      if (process.getuid?.() !== 0) {
        t.skip('only the superuser can be somebody else');
        return;
      }
      const look = `import { seesValues } from ${ofValues}; console.log(seesValues(${JSON.stringify(kept.directory)}));`;
      const other = { encoding: 'utf8', uid: 65_534, gid: 65_534, cwd: '/' } as const;
      const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', look], other);
      assert.equal(stdout, 'false\n', stderr);
    } finally {
      kept.close();
    }
  });
});

describe('references to values', () => {
  it('lead to no file outside of their directory', () => {
    const directory = mkdtempSync(join(place, 'files-'));
    const files = new ValueFiles(join(directory, 'inside'));
    writeFileSync(join(directory, 'secret'), 'secret');
    const name = '../secret';
    const reference = Buffer.concat([Buffer.of(0xe3, name.length), Buffer.alloc(8), Buffer.from(name)]);
    reference.writeDoubleLE(6, 2);
    assert.equal(isReference(reference), true);
    assert.throws(() => files.read(reference), /cannot be read/);
    files.drop(reference);
    assert.ok(existsSync(join(directory, 'secret')), 'it must not be removed');
  });

  it('that are cut short or made up are refused', () => {
    const directory = mkdtempSync(join(place, 'files-'));
    const files = new ValueFiles(directory);
    const reference = files.write(() => 'one', [numbers, 1], 'it', 1_000);
    assert.equal(isReference(reference), true);
    assert.deepEqual(files.read(reference), [numbers, 1]);
    for (let length = 1; length < reference.length; length++)
      assert.throws(() => files.read(reference.subarray(0, length)), { code: 'DESERIALIZATION' }, `${length} bytes`);
    writeFileSync(join(directory, 'one'), 'short');
    assert.throws(() => files.read(reference), /cut short/);
  });

  it('are made for large typed arrays without a copy of them', () => {
    const cut = cutUp(['a', numbers, 2]);
    assert.ok(cut !== undefined, 'it must be cut up');
    assert.equal(cut.parts[0]?.buffer, numbers.buffer);
    const whole = putTogether(cut.plan, (bytes) => (cut.parts[0] as Uint8Array).slice(0, bytes).buffer as ArrayBuffer);
    assert.deepEqual(whole, ['a', numbers, 2]);
    for (const other of [[1, 2], 'text', new Map(), [numbers, new Map()], [numbers, numbers], { numbers }, null])
      assert.equal(cutUp(other), undefined);
  });
});

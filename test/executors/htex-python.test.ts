// Python functions on htex: on workers of our own, and on pools of real Parsl.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import {
  type AppError,
  app,
  channels,
  type FunctionNotFoundError,
  htex,
  keywords,
  type OutputEvent,
  pythonApp,
  pythonWrapper,
  type TimeoutError,
  type WorkerLostError,
  wrapper,
} from '#src/index.js';
import { newestRelease, parslOrSkip } from '../support/parsl.ts';
import { pythonOrSkip } from '../support/python.ts';
import { HandStartedPool, poolCommandOf } from '../support/python-pool.ts';
import { freshDirectory, inRun } from '../support/run.ts';

const halves = pythonApp.source<(x: number) => number>(`
    count = 0

    def halves(x, by=2):
        global count
        count += 1
        if x < 0:
            raise ValueError(f'{x} is negative')
        return x / by
`);
const hypot = pythonApp<(x: number, y: number) => number>('math:hypot');

describe("a pool of real Parsl, under Chervil's interchange", () => {
  for (const encrypted of [false, true]) {
    it(`runs Python functions called from TypeScript, encrypted: ${encrypted}`, async (t) => {
      const python = await parslOrSkip(t, newestRelease);
      if (python === undefined) return;
      const executor = htex({
        blocks: { init: 0, max: 0 },
        python: true,
        nodeWorkers: 0,
        encrypted,
        maxWorkersPerNode: 1,
      });
      await inRun({ executors: [executor] }, async (run) => {
        await using pool = new HandStartedPool(await poolCommandOf(run.directory, "Parsl's", '7'), python);
        const futures = [halves(3), halves(5, keywords({ by: 10 })), hypot(3, hypot(0, 4))];
        assert.deepEqual(await Promise.all(futures), [1.5, 0.5, 5], pool.stderr);
        await assert.rejects(halves(-1), (error: AppError) => {
          assert.equal(error.code, 'APP_ERROR');
          assert.equal(error.remote.name, 'ValueError');
          assert.equal(error.remote.message, '-1 is negative');
          assert.match(error.remote.stack, /Traceback.*<pythonApp halves \w+>", line 7, in halves/s);
          return true;
        });
      });
    });
  }
});

describe('functions in Python around Python functions', () => {
  const around = pythonWrapper.source(`
    def around(next, task):
        try:
            return ['around', task['app'], task['try'], next()]
        except ValueError as error:
            return ['caught', task['id'], str(error)]
  `);
  const directory = freshDirectory();
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    join(directory, 'outermost.py'),
    'async def outer(next, task):\n    value = next()\n    return ["outer", await value if hasattr(value, "__await__") else value]\n',
  );
  const later = pythonApp.source<(x: number) => number>('async def later(x):\n    return x + 1\n');
  const own = () => htex({ python: { path: [directory] }, nodeWorkers: 0, maxWorkersPerNode: 1 });

  it('get the body and the facts of the task, outermost first, and give its value', async () => {
    const wrap = [pythonWrapper('outermost:outer'), around];
    await inRun({ executors: [own()], wrap }, async () => {
      assert.deepEqual(await halves(3), ['outer', ['around', 'halves', 0, 1.5]]);
      assert.deepEqual(await halves(5, keywords({ by: 10 })), ['outer', ['around', 'halves', 0, 0.5]]);
      assert.deepEqual(await halves(-1), ['outer', ['caught', 2, '-1 is negative']]);
      const large = pythonApp.source<(x: Buffer) => unknown>('def large(x):\n    return x\n');
      const bytes = Buffer.alloc(300_000, 3);
      assert.deepEqual(await large(bytes), ['outer', ['around', 'large', 0, bytes]]);
    });
    await inRun({ executors: [own()], wrap: [pythonWrapper('outermost:outer')] }, async () => {
      assert.deepEqual(await later(1), ['outer', 2]);
      await assert.rejects(halves(-1), { code: 'APP_ERROR', message: /-1 is negative/ });
    });
  });

  it('whose module is missing are named themselves, and not the body', async () => {
    const missing = (what: RegExp) => (error: FunctionNotFoundError) => {
      assert.equal(error.code, 'FUNCTION_NOT_FOUND');
      assert.equal(error.module, 'python:nowhere.around');
      assert.match(error.message, what);
      assert.match(
        error.message,
        /cannot load the function outer of the module nowhere\.around, which `wrap` puts around \w+\(\): /,
      );
      return true;
    };
    const wrap = [pythonWrapper('outermost:outer'), pythonWrapper('nowhere.around:outer')];
    await inRun({ executors: [own()], wrap }, async () => {
      await assert.rejects(hypot(3, 4), missing(/No module named 'nowhere'/));
      await assert.rejects(halves(3), missing(/No module named 'nowhere'/));
    });
    await inRun({ executors: [own()], wrap: [pythonWrapper('outermost:nothing')] }, () =>
      assert.rejects(hypot(3, 4), { code: 'FUNCTION_NOT_FOUND', module: 'python:outermost', message: /nothing/ }),
    );
    await inRun({ executors: [own()], wrap: [pythonWrapper('outermost:outer')] }, () =>
      assert.rejects(pythonApp('nosuch:run')(), { code: 'FUNCTION_NOT_FOUND', module: 'python:nosuch' }),
    );
  });

  it('leave every name to the arguments of the body', async () => {
    const named = pythonApp.source<() => unknown>('def named(**named):\n    return named\n');
    const names = { task: 1, body: 2, call: 3, next: 4, func: 5, self: 6, args: 7 };
    await inRun({ executors: [own()], wrap: [around] }, async () => {
      assert.deepEqual(await named(keywords(names)), ['around', 'named', 0, names]);
    });
  });

  it('go along to a pool of real Parsl', async (t) => {
    const python = await parslOrSkip(t, newestRelease);
    if (python === undefined) return;
    const executor = htex({ blocks: { init: 0, max: 0 }, python: true, nodeWorkers: 0, maxWorkersPerNode: 1 });
    await inRun({ executors: [executor], wrap: [around] }, async (run) => {
      await using pool = new HandStartedPool(await poolCommandOf(run.directory, "Parsl's", '7'), python);
      assert.deepEqual(await halves(3), ['around', 'halves', 0, 1.5], pool.stderr);
    });
    const other = htex({ blocks: { init: 0, max: 0 }, python: true, nodeWorkers: 0, maxWorkersPerNode: 1 });
    await inRun({ executors: [other], wrap: [pythonWrapper('nowhere:outer')] }, async (run) => {
      await using pool = new HandStartedPool(await poolCommandOf(run.directory, "Parsl's", '7'), python);
      const missing = {
        code: 'FUNCTION_NOT_FOUND',
        module: 'python:nowhere',
        message: /the function outer of .*`wrap`/,
      };
      await assert.rejects(hypot(3, 4), missing, pool.stderr);
      await assert.rejects(halves(3), missing, pool.stderr);
    });
  });

  it('must be given, where there are functions in TypeScript around the rest', async () => {
    const timed = wrapper(new URL('../run/wrappers.ts', import.meta.url), 'plusOne');
    await inRun({ executors: [own()], wrap: [timed] }, async () => {
      assert.throws(() => halves(3), { code: 'UNSUPPORTED', message: /pythonWrapper/ });
    });
    const skipping = wrapper(new URL('../run/wrappers.ts', import.meta.url), 'plusOne', { python: 'skip' });
    await inRun({ executors: [own()], wrap: [skipping] }, async () => assert.equal(await halves(3), 1.5));
    assert.throws(() => wrapper(new URL('file:///a.ts'), 'b', { python: 'no' as never }), {
      code: 'APP_DEFINITION',
    });
    assert.throws(() => pythonWrapper('no name'), { message: /pythonWrapper\('signals\.fft:spectrum'\)/ });
    assert.throws(() => pythonWrapper.source('x = 1'), { message: /^pythonWrapper\.source\(\) needs/ });
  });
});

describe("workers of our own, under Parsl's interchange", () => {
  it('of both languages run what either gets: that interchange does not know what a pool runs', async (t) => {
    const python = await parslOrSkip(t, newestRelease);
    if (python === undefined) return;
    const executor = htex({
      interchangeCommand: [join(dirname(python), 'python'), join(dirname(python), 'interchange.py')],
      python,
      maxWorkersPerNode: 1,
      coresPerWorker: 0.5,
    });
    const triple = app((x: number) => x * 3);
    await inRun({ executors: [executor] }, async () => {
      const calls = Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? triple(n) : hypot(n, 0)));
      assert.deepEqual(
        await Promise.all(calls),
        calls.map((_, n) => (n % 2 === 0 ? n * 3 : n)),
      );
      await assert.rejects(halves(-1), { code: 'APP_ERROR' });
    });
  });
});

describe('workers of our own', () => {
  const both = () => htex({ python: true, maxWorkersPerNode: 1, coresPerWorker: 0.5 });
  const only = (more: object = {}) =>
    htex({ python: true, nodeWorkers: 0, maxWorkersPerNode: 1, coresPerWorker: 0.5, ...more });

  it('run Python and TypeScript functions on one executor, and results go from one to the other', async () => {
    const double = app((x: number) => x * 2);
    await inRun({ executors: [both()] }, async () => {
      assert.equal(await double(halves(double(3))), 6);
      assert.deepEqual(await Promise.all([halves(1), double(1), hypot(3, 4)]), [0.5, 2, 5]);
    });
  });

  it('tell what was raised: class, message, arguments, attributes, causes, and a traceback with its lines', async () => {
    const raises = pythonApp.source(`
      class Odd(Exception):
          pass

      def raises(x):
          error = Odd(f'{x} is odd', x)
          error.code = 'E_ODD'
          raise error from KeyError('k')
    `);
    await inRun({ executors: [only()] }, async () => {
      await assert.rejects(raises(3), (error: AppError) => {
        const { name, message, fields, cause, stack } = error.remote;
        assert.deepEqual([name, message], ['Odd', "('3 is odd', 3)"]);
        assert.deepEqual(fields, { args: ['3 is odd', 3], code: 'E_ODD' });
        assert.equal((cause as AppError['remote']).name, 'KeyError');
        assert.match(stack, /KeyError: 'k'.*direct cause.*line 7, in raises\n {4}raise error from KeyError.*\nOdd: /s);
        assert.doesNotMatch(stack, /worker\.py/);
        return true;
      });
    });
  });

  it('survive the death of one: its task is told how it ended and its last words, others run', async () => {
    const dies = pythonApp.source<(how: string) => number>(`
      import os, sys

      def dies(how):
          if how == 'exit':
              sys.exit(7)
          if how == 'kill':
              os.kill(os.getpid(), 9)
          if how == 'crash':
              os.kill(os.getpid(), 11)
          return os.getpid()
    `);
    await inRun({ executors: [only()] }, async () => {
      const before = await dies('no');
      await assert.rejects(dies('exit'), { code: 'WORKER_LOST', exitCode: 7 });
      await assert.rejects(dies('kill'), { code: 'WORKER_LOST', signal: 'SIGKILL' });
      await assert.rejects(dies('crash'), (error: WorkerLostError) => {
        assert.equal(error.signal, 'SIGSEGV');
        assert.match(error.stderrTail, /Segmentation fault.*line \d+ in dies/s);
        return true;
      });
      assert.notEqual(await dies('no'), before);
    });
  });

  it('are killed with all that they started when a try runs over its timeout or is cancelled', async () => {
    const waits = pythonApp.source<(path: string) => number>(`
      import os, subprocess, time

      def waits(path):
          child = subprocess.Popen(['sleep', '1000'])
          with open(path + '.new', 'w') as file:
              file.write(f'{os.getpid()} {child.pid}')
          os.rename(path + '.new', path)
          time.sleep(1000)
    `);
    const directory = freshDirectory();
    mkdirSync(directory, { recursive: true });
    await inRun({ executors: [only()] }, async () => {
      const one = join(directory, 'one');
      await assert.rejects(waits.with({ timeout: '1s' })(one), { code: 'TIMEOUT' });
      await isGone(await pidsIn(one));
      const two = join(directory, 'two');
      const future = waits(two);
      const pids = await pidsIn(two);
      future.cancel('enough');
      await assert.rejects(future, { code: 'CANCELLED' });
      await isGone(pids);
    });
  });

  it('count a timeout from the start of the body, not from when its module is imported', async () => {
    const slow = pythonApp.source<(seconds: number) => number>(`
      import time

      time.sleep(1)

      def slow(seconds):
          time.sleep(seconds)
          return seconds
    `);
    await inRun({ executors: [only()] }, async () => {
      assert.equal(await slow.with({ timeout: 500 })(0), 0);
      await assert.rejects(slow.with({ timeout: 500 })(1_000), { code: 'TIMEOUT' });
    });
  });

  it('see what workers of Node see in their environment, and variables of a task for as long as it runs', async () => {
    const environment = pythonApp.source<() => Record<string, string>>(`
      import os

      NAMES = ('PARSL_', 'CUDA_', 'ROCR_', 'ZE_', 'OMP_')

      def environment():
          return {name: value for name, value in os.environ.items() if name.startswith(NAMES)}
    `);
    await inRun({ executors: [only({ accelerators: ['7'], cpuAffinity: 'list:0' })] }, async () => {
      const { PARSL_WORKER_POOL_ID: pool, ...others } = await environment.with({ resources: { priority: 4 } })();
      assert.ok(pool, 'a name of the pool');
      const always = {
        PARSL_WORKER_RANK: '0',
        PARSL_WORKER_COUNT: '1',
        PARSL_WORKER_BLOCK_ID: '0',
        CUDA_VISIBLE_DEVICES: '7',
        ROCR_VISIBLE_DEVICES: '7',
        ZE_AFFINITY_MASK: '7',
        ZE_ENABLE_PCI_ID_DEVICE_ORDER: '1',
        OMP_NUM_THREADS: '1',
      };
      assert.deepEqual(others, { ...always, PARSL_PRIORITY: '4' });
      assert.deepEqual(await environment(), { ...always, PARSL_WORKER_POOL_ID: pool });
    });
  });

  it('look for modules in the directories that were named, and say where they looked', async () => {
    const directory = freshDirectory();
    mkdirSync(join(directory, 'signals'), { recursive: true });
    writeFileSync(join(directory, 'signals', '__init__.py'), '');
    writeFileSync(
      join(directory, 'signals', 'fft.py'),
      'class Box:\n    @staticmethod\n    def peak(xs):\n        return max(xs)\n',
    );
    await inRun({ executors: [only({ python: { path: [directory] } })] }, async () => {
      assert.equal(await pythonApp<(xs: number[]) => number>('signals.fft:Box.peak')([1, 3, 2]), 3);
      for (const [reference, what] of [
        ['nosuch.module:run', /No module named 'nosuch'/],
        ['signals.fft:nosuch', /nosuch/],
      ] as const)
        await assert.rejects(pythonApp(reference)(), (error: FunctionNotFoundError) => {
          assert.equal(error.code, 'FUNCTION_NOT_FOUND');
          assert.match(error.message, what);
          assert.ok(error.message.includes(directory), error.message);
          assert.match(error.message, /python: \{ path/);
          return true;
        });
    });
  });

  it('end a task with a timeout whose function never finishes loading, and name its module', async () => {
    const directory = freshDirectory();
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'endless.py'), 'while True:\n    pass\n');
    const launchCommand = '{command} --loading_limit 1';
    await inRun({ executors: [only({ python: { path: [directory] }, launchCommand })] }, async () => {
      await assert.rejects(pythonApp('endless:run', { timeout: '50ms' })(), (error: TimeoutError) => {
        assert.equal(error.code, 'TIMEOUT');
        assert.deepEqual(error.loading, ['python:endless']);
        assert.match(error.message, /python:endless did not finish loading within 1000 ms/);
        return true;
      });
      const text = pythonApp.source('while True:\n    pass\n\ndef run():\n    pass\n', { timeout: '50ms' });
      await assert.rejects(text(), {
        code: 'TIMEOUT',
        message: /What the body needs did not finish loading/,
        loading: [],
      });
      assert.equal(await hypot(3, 4), 5);
    });
  });

  it('give typed arrays and get numpy arrays where numpy is', async (t) => {
    const numpy = await pythonOrSkip(t, { name: 'numpy', packages: ['numpy'] });
    if (numpy === undefined) return;
    const scale = pythonApp.source<(xs: Float64Array, by: number) => Float64Array>(
      'def scale(xs, by):\n    return xs * by',
    );
    await inRun({ executors: [only({ python: numpy })] }, async () => {
      assert.deepEqual(await scale(new Float64Array([1, 2.5]), 2), new Float64Array([2, 5]));
      const large = new Float64Array(200_000).map((_, index) => index);
      assert.equal((await scale(large, 3))[199_999], 599_997);
    });
  });

  it('run coroutine functions to their end', async () => {
    const later = pythonApp.source<(x: number) => number>(`
      import asyncio

      async def later(x):
          await asyncio.sleep(0.01)
          return x + 1
    `);
    await inRun({ executors: [only()] }, async () => assert.equal(await later(1), 2));
  });

  it('pass on what bodies print, with the task that it is of', async () => {
    const says = pythonApp.source<(x: string) => null>(`
      import sys

      def says(x):
          print('out', x)
          print('err', x, file=sys.stderr)
    `);
    const texts: string[] = [];
    const listen = (message: unknown): void => {
      const event = message as OutputEvent;
      texts.push(`${event.stream} ${event.id} ${event.text}`);
    };
    channels.output.subscribe(listen);
    try {
      await inRun({ executors: [only()] }, () => Promise.all([says('a'), says('b')]));
    } finally {
      channels.output.unsubscribe(listen);
    }
    assert.deepEqual(texts.sort(), ['stderr 0 err a\n', 'stderr 1 err b\n', 'stdout 0 out a\n', 'stdout 1 out b\n']);
  });

  it('are managers of their own, known by the versions of their interpreter', async () => {
    const executor = both();
    await inRun({ executors: [executor] }, async () => {
      await Promise.all([halves(1), app(() => 1)()]);
      const lines = await executor.managers();
      const seen = lines
        .map(({ languages, pythonVersion }) => `${languages?.join()} ${pythonVersion.split('.')[0]}`)
        .sort();
      assert.deepEqual(seen, [`node node-${process.versions.node.split('.')[0]}`, 'python 3']);
      assert.equal(new Set(lines.map(({ blockId }) => blockId)).size, 1);
    });
  });

  it('end with their pool, however it went, while an extension holds the interpreter or they are stopped', async () => {
    const holds = pythonApp.source<(path: string, how: string) => null>(`
      import os, re, signal

      def holds(path, how):
          with open(path + '.new', 'w') as file:
              file.write(f'{os.getpid()} {os.getppid()}')
          os.rename(path + '.new', path)
          if how == 'stopped':
              os.kill(os.getpid(), signal.SIGSTOP)
          re.match('(a+)+b', 'a' * 64)
    `);
    const directory = freshDirectory();
    mkdirSync(directory, { recursive: true });
    for (const how of ['busy', 'stopped']) {
      await inRun({ executors: [only()] }, async () => {
        const lost = holds(join(directory, how), how);
        const [worker, pool] = await pidsIn(join(directory, how));
        process.kill(pool as number, 'SIGKILL');
        await isGone([worker as number, pool as number]);
        lost.cancel();
        await assert.rejects(lost);
      });
    }
  });

  it('an interpreter that is not there fails the executor, with what was tried', async () => {
    await inRun({ executors: [only({ python: '/nowhere/python3' })] }, async () => {
      await assert.rejects(hypot(3, 4), {
        code: 'EXECUTOR_FAILED',
        message: /No Python was found; tried \/nowhere\/python3/,
      });
    });
  });
});

/** The ids that a body wrote, once the file is there. */
async function pidsIn(path: string): Promise<number[]> {
  for (;;) {
    if (existsSync(path)) return readFileSync(path, 'utf8').split(' ').map(Number);
    await pause(20);
  }
}

/** Waits until none of these processes runs any more. */
async function isGone(pids: readonly number[]): Promise<void> {
  for (const pid of pids) while (isAlive(pid)) await pause(20);
}

function isAlive(pid: number): boolean {
  try {
    // Killed, and not yet taken note of by its parent.
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

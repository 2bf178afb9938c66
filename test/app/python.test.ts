// Python apps, as far as they go without Python: how they are made, what they say of themselves, and where they can run.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { htex, inline, keywords, load, pythonApp, type StandardSchema, threads } from '#src/index.js';
import { freshDirectory, inRun } from '../support/run.ts';

describe('a Python app', () => {
  it('of a module has the name of its function, and says how it is sent', () => {
    const spectrum = pythonApp('signals.fft:spectrum');
    assert.equal(spectrum.appName, 'spectrum');
    assert.equal(spectrum.sent, 'Python, signals.fft:spectrum');
    assert.equal(pythonApp('shapes:Box.area').appName, 'area');
    assert.equal(pythonApp('shapes:Box.area', { name: 'box-area' }).appName, 'box-area');
  });

  it('given as text has the name of the one function at its margin', () => {
    const half = pythonApp.source(`
      import math

      class Box:
          def inner(self):
              pass

      async def half(x):
          return x / 2
    `);
    assert.equal(half.appName, 'half');
    assert.match(half.sent, /^Python by value, \d+ bytes$/);
  });

  it('given as text with several functions is told which one', () => {
    const text = 'def a():\n    pass\ndef b():\n    pass\n';
    assert.equal(pythonApp.source(text, { function: 'b' }).appName, 'b');
    assert.throws(() => pythonApp.source(text), { code: 'APP_DEFINITION', message: /functions a, b.*function: 'b'/ });
    assert.throws(() => pythonApp.source(text, { function: 'c' }), { code: 'APP_DEFINITION', message: /function c/ });
    assert.throws(() => pythonApp.source('x = 1'), { code: 'APP_DEFINITION', message: /no `def`/ });
  });

  it('cannot be made of what is no reference, and is told the right form', () => {
    for (const wrong of ['signals', 'signals:', ':f', 'a b:c', '', 7 as unknown as string])
      assert.throws(() => pythonApp(wrong), { code: 'APP_DEFINITION', message: /module:function/ });
    assert.throws(() => pythonApp('def f(x): return x'), { code: 'APP_DEFINITION', message: /pythonApp\.source/ });
  });

  it('takes the options of other apps, checked where it is made', () => {
    assert.throws(() => pythonApp('math:hypot', { timeout: 'soon' as never }), { code: 'CONFIG', message: /timeout/ });
    assert.throws(() => pythonApp('math:hypot').with({ stdout: 'x' } as never)(), { code: 'CONFIG' });
  });
});

describe('where a Python app can run', () => {
  const hypot = pythonApp<(a: number, b: number) => number>('math:hypot');

  it('an executor without Python workers is refused in the call, with what would do', async () => {
    await inRun({ executors: [threads({ max: 1 }), inline()] }, async () => {
      assert.throws(() => hypot(3, 4), {
        code: 'UNSUPPORTED',
        message:
          /hypot\(\) runs in Python, and 'threads', 'inline' have no workers for that\. .*htex\(\{ python: true \}\)/,
      });
    });
  });

  it('the executors of the run that could are named', async () => {
    const python = htex({ label: 'py', python: true, nodeWorkers: 0, maxWorkersPerNode: 1, coresPerWorker: 0.5 });
    await inRun({ executors: [inline(), python] }, async () => {
      assert.throws(() => hypot.with({ executors: ['inline'] })(3, 4), {
        code: 'UNSUPPORTED',
        message: /Allow it on 'py'/,
      });
      assert.equal(await hypot(3, 4), 5);
    });
  });

  it('without executors in the configuration Python workers start with the first call', async () => {
    const run = await load({ runDir: freshDirectory(), signals: false });
    try {
      assert.equal(await hypot(3, hypot(0, 4)), 5);
    } finally {
      await run.close();
    }
  });

  it('and the run closes as well while they are being started', async () => {
    const run = await load({ runDir: freshDirectory(), signals: false });
    const future = hypot(3, 4);
    future.cancel('enough');
    await assert.rejects(future, { code: 'CANCELLED' });
    await run.close();
  });

  it('nodeWorkers: 0 leaves TypeScript to others, and wrong settings of Python are told', async () => {
    assert.throws(() => htex({ nodeWorkers: 0 }), { code: 'CONFIG', message: /nodeWorkers/ });
    assert.throws(() => htex({ python: { interpreter: '', workers: 0, paths: [] } as never }), {
      code: 'CONFIG',
      message: /python\.paths.*python\.interpreter.*python\.workers/s,
    });
  });
});

describe('calls of a Python app', () => {
  const python = () => htex({ python: true, nodeWorkers: 0, maxWorkersPerNode: 1, coresPerWorker: 0.5 });

  it('take futures and keyword arguments, are tried again, and are mapped', async () => {
    const power = pythonApp.source<(x: number, to?: number) => number>('def power(x, to=2):\n    return x ** to\n');
    const flaky = pythonApp.source<() => number>(
      'seen = []\n\ndef flaky():\n    seen.append(1)\n    assert len(seen) > 2\n    return len(seen)\n',
      {
        retry: 2,
      },
    );
    await inRun({ executors: [python()] }, async () => {
      assert.equal(await power(power(2), keywords({ to: power(2, 1) })), 16);
      assert.deepEqual(await Promise.all(power.map([1, 2, 3])), [1, 4, 9]);
      assert.equal(await flaky(), 3);
    });
  });

  it('are remembered by the text of the function, or the name of its module', async () => {
    const text = (by: number): string =>
      `count = 0\n\ndef counts(x, more=0):\n    global count\n    count += ${by}\n    return count\n`;
    const counts = pythonApp.source<(x: number) => number>(text(1), { memo: true });
    const others = pythonApp.source<(x: number) => number>(text(10), { memo: true });
    await inRun({ executors: [python()] }, async () => {
      assert.equal(await counts(1), 1);
      assert.equal(await counts(1), 1);
      assert.equal(await counts(2), 2);
      assert.equal(await counts(2, keywords({ more: 1 })), 3);
      assert.equal(await counts(2, keywords({ more: 1 })), 3);
      assert.equal(await others(1), 10);
      const clock = pythonApp<() => bigint>('time:monotonic_ns', { memo: true });
      assert.equal(await clock(), await clock());
    });
  });

  it('are checked by a schema, which tells their type as well', async () => {
    const numberOf: StandardSchema<number> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) =>
          typeof value === 'number'
            ? { value: value + 1 }
            : { issues: [{ message: 'no number', path: ['peak', { key: 0 }] }] },
      },
    };
    const same = pythonApp.source('def same(x):\n    return x\n', { returns: numberOf });
    assert.throws(() => pythonApp('a:b', { returns: 7 as never }), { code: 'APP_DEFINITION', message: /returns/ });
    await inRun({ executors: [python()] }, async () => {
      const value: number = await same.with({ retry: 1 })(1);
      assert.equal(value, 2);
      await assert.rejects(same('a'), {
        message: /the value of same\(\) is not what its schema says: \.peak\.0: no number/,
      });
    });
  });

  it('fail for arguments that Python has no place for', async () => {
    const same = pythonApp.source<(x: unknown) => unknown>('def same(x):\n    return x\n');
    await inRun({ executors: [python()] }, async () => {
      await assert.rejects(same(/a/), { code: 'SERIALIZATION', message: /argument of same\(\).*RegExp/ });
      assert.throws(() => same(() => 1), { code: 'SERIALIZATION' });
      assert.deepEqual(await same({ a: [1, new Map([[1, 2]])] }), { a: [1, new Map([[1, 2]])] });
    });
  });
});

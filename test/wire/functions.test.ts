// Functions where they run: loaded by reference or by value, once each, and what is said when they cannot be.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { capture, declaredName, describeSource, identityOf } from '#src/app/capture.js';
import type { FunctionByValue, FunctionSource } from '#src/task/ports.js';
import { loadFunction, moduleHash } from '#src/wire/functions.js';

const fixture = (name: string): string => new URL(`../fixtures/functions/${name}`, import.meta.url).href;
const tasks = fixture('tasks.ts');
const byReference = (module: string, name: string): FunctionSource => ({ by: 'reference', module, export: name });
/** What a worker gets. */
const sent = (source: FunctionByValue): FunctionByValue => structuredClone(source);

describe('functions by reference', () => {
  test('are the exports of their module', async () => {
    const count = await loadFunction(byReference(tasks, 'count'));
    assert.equal(count('four'), 4);
    const negate = await loadFunction(byReference(tasks, 'default'));
    assert.equal(negate(4), -4);
  });

  test('are imported once; the second time there is no promise', async () => {
    const first = await loadFunction(byReference(tasks, 'count'));
    assert.equal(loadFunction(byReference(tasks, 'count')), first);
  });

  test('may be apps, of which the function inside is taken', async () => {
    const plain = await loadFunction(byReference(tasks, 'wrapped'));
    assert.equal(plain(1), 2);
  });

  test('that do not exist are reported with the exports there are', async () => {
    await assert.rejects(async () => loadFunction(byReference(tasks, 'cuont')), {
      name: 'FunctionNotFoundError',
      code: 'FUNCTION_NOT_FOUND',
      module: tasks,
      message: `${tasks} has no export "cuont". It exports count, default, limit, list, nothing, wrapped.`,
    });
  });

  test('that are no functions are reported with their type', async () => {
    for (const [name, type] of Object.entries({ limit: 'a number', nothing: 'undefined', list: 'an array' })) {
      await assert.rejects(async () => loadFunction(byReference(tasks, name)), {
        message: `"${name}" of ${tasks} is no function but ${type}. Export a function under that name.`,
      });
    }
  });

  test('of a module that is not there are reported with its URL and what to try', async () => {
    await assert.rejects(
      async () => loadFunction(byReference(fixture('gone.ts'), 'f')),
      (error: Error) => {
        assert.match(
          error.message,
          /^file:.*\/gone\.ts does not exist on \S+\. Workers import a module from the same path/,
        );
        return true;
      },
    );
  });

  test('of a module that needs a missing package name the package', async () => {
    await assert.rejects(
      async () => loadFunction(byReference(fixture('needs-missing.ts'), 'use')),
      (error: Error) => {
        assert.match(error.message, /^Cannot import file:.*needs-missing\.ts on .*chervil-test-no-such-package/);
        assert.match(error.message, /Install what it needs where the worker runs\.$/);
        return true;
      },
    );
  });

  test('of a module that throws carry what it threw', async () => {
    await assert.rejects(
      async () => loadFunction(byReference(fixture('broken.ts'), 'never')),
      (error: Error) => {
        assert.match(error.message, /broken\.ts failed while it was imported: no licence found$/);
        assert.ok(error.cause instanceof RangeError);
        return true;
      },
    );
  });

  test('a module that appears later is found by a later try', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'chervil-late-'));
    after(() => rmSync(directory, { recursive: true }));
    const path = join(directory, 'late.mjs');
    const source = byReference(pathToFileURL(path).href, 'f');
    await assert.rejects(async () => loadFunction(source));
    writeFileSync(path, 'export const f = () => 1;');
    assert.equal((await loadFunction(source))(), 1);
  });
});

const seven = 7;
const list = [1];

describe('functions by value', () => {
  test('without imports are there at once, made once for each key', () => {
    const source = sent(capture((n: number) => n * seven));
    const made = loadFunction(source);
    assert.ok(typeof made === 'function');
    assert.equal(made(6), 42);
    assert.equal(loadFunction(sent(source)), made);
  });

  test('have copies of what they captured', async () => {
    const push = (n: number) => [...list, list.push(n)];
    const made = await loadFunction(sent(capture(push)));
    assert.deepEqual(made(2), [1, 2]);
    assert.deepEqual(list, [1]);
  });

  test('capture once: later changes of data are not seen', () => {
    const data = { n: 1 };
    const fn = () => data.n;
    const first = capture(fn);
    data.n = 2;
    assert.equal(capture(fn), first);
    assert.equal((loadFunction(sent(first)) as () => number)(), 1);
  });

  test('have another key when text, data or place differ, and the same identity wherever they stand', () => {
    const make = (n: number) => () => n;
    assert.equal(capture(make(1)).key, capture(make(1)).key);
    assert.notEqual(capture(make(1)).key, capture(make(2)).key);
    assert.notEqual(identityOf(capture(make(1))), identityOf(capture(make(2))));
    const [here, there] = [
      (n: number) => n + 1,
      (n: number) => n + 1, //
    ].map((fn) => capture(fn)) as [FunctionByValue, FunctionByValue];
    assert.notEqual(here.key, there.key);
    assert.equal(identityOf(here), identityOf(there));
  });

  test('without a name have that of the variable that holds their app', () => {
    const app = (fn: () => unknown, _options?: object) => ({ fn, with: () => ({ fn }) });
    const inside = app(() => seven);
    const other = app(() => seven, {}).with();
    const held = { third: app(() => seven) };
    assert.equal(declaredName(inside.fn), 'inside');
    assert.equal(declaredName(other.fn), 'other');
    assert.equal(declaredName(held.third.fn), 'third');
    assert.equal(
      declaredName(
        (
          () => () =>
            1
        )(),
      ),
      undefined,
    );
    assert.equal(declaredName(Math.max), undefined);
    assert.equal((loadFunction(sent(capture(inside.fn))) as () => void).name, 'inside');
  });

  test('say how they are sent', () => {
    const source = capture(() => [list, seven, tmpdir()]);
    assert.match(
      describeSource(source),
      /^by value, \d+ bytes, captures \{ list: \[1\], seven: 7 \}, imports tmpdir from node:os$/,
    );
    assert.equal(describeSource(byReference('file:///tasks.ts', 'count')), 'by reference, file:///tasks.ts#count');
  });

  test('of CommonJS modules may use require, and what it gave', async () => {
    const { shipped } = createRequire(import.meta.url)('../fixtures/functions/common.cjs') as {
      shipped: () => unknown;
    };
    const made = await loadFunction(sent(capture(shipped)));
    assert.deepEqual(made('hi'), ['HI!', 'HI!', 'common.cjs', 'functions', true]);
  });

  test('work as test runners and coverage tools have transformed them', async () => {
    const { shipped } = (await import(fixture('transformed.mjs'))) as { shipped: () => unknown };
    const made = await loadFunction(sent(capture(shipped)));
    assert.deepEqual([made(2), made(1)], [6, 0]);
  });

  test('whose import is missing where they run name it', async () => {
    const source = structuredClone(capture(() => tmpdir())) as unknown as {
      key: string;
      imports: Record<string, { module: string }>;
    };
    source.key = 'missing';
    source.imports['tmpdir']!.module = 'chervil-test-no-such-package';
    await assert.rejects(
      async () => loadFunction(source as unknown as FunctionByValue),
      (error: Error) => {
        assert.equal(error.name, 'FunctionNotFoundError');
        assert.match(error.message, /^Cannot import chervil-test-no-such-package on /);
        return true;
      },
    );
  });

  test('whose text is broken are refused with their place', () => {
    const source = structuredClone(capture(() => 1)) as unknown as {
      key: string;
      functions: Record<string, { code: string }>;
    };
    source.key = 'broken';
    for (const text of Object.values(source.functions)) text.code = '() => {';
    assert.throws(() => loadFunction(source as unknown as FunctionByValue), {
      name: 'DeserializationError',
      code: 'DESERIALIZATION',
      message: /^Cannot make the function from file:.*functions\.test\.ts.*: \S/,
    });
  });

  test('work in threads, captured there or here', async () => {
    const worker = new Worker(new URL('../fixtures/functions/thread.mjs', import.meta.url), {
      workerData: {
        source: capture((n: number) => n * seven),
        capture: import.meta.resolve('#src/app/capture.js'),
        functions: import.meta.resolve('#src/wire/functions.js'),
      },
      execArgv: [],
    });
    const [answer, made] = await new Promise<[number, FunctionByValue]>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await worker.terminate();
    assert.equal(answer, 42);
    assert.equal((await loadFunction(made))(1), 31);
  });
});

test('the hash of a module follows its text', () => {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-hash-'));
  after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'tasks.mjs');
  const url = pathToFileURL(path).href;
  writeFileSync(path, 'export const f = () => 1;');
  const first = moduleHash(url);
  assert.match(first, /^[0-9a-f]{64}$/);
  assert.equal(moduleHash(url), first);
  writeFileSync(path, 'export const f = () => 2;');
  utimesSync(path, new Date(), new Date(Date.now() + 5000));
  assert.notEqual(moduleHash(url), first);
  assert.throws(() => moduleHash(fixture('gone.ts')), {
    name: 'FunctionNotFoundError',
    message: /^Cannot read file:.*gone\.ts/,
  });
});

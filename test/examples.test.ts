// Every example runs, from any directory, and prints what it says.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chervil, type Ended, root, scratch, start } from './cli/command.ts';

const example = (name: string): string => join(root, 'examples', name);
const isNative = Number(process.versions.node.split('.')[0]) >= 24;

/** By `chervil run`, and, where Node.js can do so alone, by plain node too. */
async function runs(t: TestContext, name: string, args: string[], check: (ended: Ended) => void): Promise<void> {
  const ways = [() => chervil(t, ['run', example(name), ...args])];
  if (isNative) ways.push(() => start(t, process.execPath, [example(name), ...args]).ended);
  for (const way of ways) {
    const ended = await way();
    assert.equal(ended.code, 0, ended.stderr);
    check(ended);
  }
}

describe('the example', { concurrency: false }, () => {
  test('hello greets', (t) => runs(t, 'hello.ts', [], ({ stdout }) => assert.equal(stdout, 'Hello, world!\n')));

  test('pi comes close to it', (t) =>
    runs(t, 'pi.ts', ['100000'], ({ stdout }) => assert.ok(Math.abs(Number(stdout) - Math.PI) < 0.05, stdout)));

  test('map-reduce counts words behind URLs and names the one that failed', async (t) => {
    const server = createServer((request, response) => {
      if (request.url === '/broken') request.socket.destroy();
      else response.end(request.url === '/a' ? 'To be, or not to be' : 'be there');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const url = (path: string): string => `http://127.0.0.1:${port}/${path}`;
    await runs(t, 'map-reduce/map-reduce.ts', [url('a'), url('b')], ({ stdout }) => {
      assert.match(stdout, /0 +│ 'be' +│ 3/);
      assert.match(stdout, /1 +│ 'to' +│ 2/);
    });
    const { code, stderr } = await chervil(t, ['run', example('map-reduce/map-reduce.ts'), url('a'), url('broken')]);
    assert.match(stderr, /^task 1: APP_ERROR$/m);
    assert.match(stderr, /^DependencyError: /m);
    assert.equal(code, 1);
  });

  test('files sorts numbers with commands', (t) =>
    runs(t, 'files.ts', [], ({ stdout }) => assert.equal(stdout, '0\n1\n2\n')));

  test('python finds tones, and says what was raised', (t) =>
    runs(t, 'python/python.ts', [], ({ stdout }) => {
      assert.match(stdout, /^440 A\n660 E\nAppError: Task \d+ \(peak\): ValueError: no samples\n$/);
    }));

  test('fibonacci joins', (t) => runs(t, 'fibonacci.ts', [], ({ stdout }) => assert.equal(stdout, '233\n')));

  test('each runs unchanged on htex, too', async (t) => {
    const configuration = join(scratch(t), 'on-htex.mjs');
    const executor = 'htex({ maxWorkersPerNode: 2, coresPerWorker: 0.5 })';
    writeFileSync(
      configuration,
      `import { defineConfig, htex } from ${JSON.stringify(pathToFileURL(join(root, 'dist/index.js')).href)};\nexport default defineConfig({ executors: [${executor}] });\n`,
    );
    for (const [name, args, expected] of [
      ['hello.ts', [], /^Hello, world!\n$/],
      ['pi.ts', ['100000'], /^3\.1/],
      ['fibonacci.ts', [], /^233\n$/],
      ['files.ts', [], /^0\n1\n2\n$/],
      ['retries.ts', ['0'], /^1\n4\n9\n$/],
    ] as const) {
      const { code, stdout, stderr } = await chervil(t, ['run', '--config', configuration, example(name), ...args]);
      assert.equal(code, 0, stderr);
      assert.match(stdout, expected);
    }
  });

  test('retries tries again until it works, or until its budget is spent', async (t) => {
    await runs(t, 'retries.ts', ['0'], ({ stdout }) => assert.equal(stdout, '1\n4\n9\n'));
    await runs(t, 'retries.ts', ['1'], ({ stdout }) => {
      const lines = stdout.trim().split('\n');
      assert.equal(lines.length, 3);
      for (const [index, line] of lines.entries()) assert.match(line, new RegExp(`bad luck with ${index + 1}`));
    });
  });

  test('checkpoint computes once', async (t) => {
    const directory = scratch(t);
    const states: (string | undefined)[] = [];
    for (let round = 0; round < 2; round++) {
      const { code, stdout } = await chervil(t, ['run', example('checkpoint.ts'), '10'], directory);
      assert.equal(code, 0);
      states.push(stdout.trim().split('\n').at(-1));
    }
    assert.deepEqual(states, ['exec_done exec_done exec_done', 'memo_done memo_done memo_done']);
  });

  test('stream sums squares', (t) =>
    runs(t, 'stream.ts', ['5000'], ({ stdout }) => assert.equal(stdout, '41654167500\n')));
});

describe('the census', { concurrency: false }, () => {
  /** Three packages, one in another, and a file that is no program. The census keeps its runs beside its copy. */
  function project(t: TestContext): { census: string; folder: string } {
    const base = join(root, '.cache', `census-test-${process.pid}-${Date.now()}`);
    t.after(() => rmSync(base, { recursive: true, force: true }));
    mkdirSync(join(base, 'examples'), { recursive: true });
    cpSync(example('census'), join(base, 'examples', 'census'), { recursive: true });
    const folder = scratch(t);
    const files: Record<string, string> = {
      'one/package.json': '{ "name": "one", "version": "1.0.0", "license": "MIT" }',
      'one/index.js':
        "import fs from 'fs';\nexport function short() {}\nexport const long = () => {\n  return fs;\n};\n",
      'one/types.d.ts': 'export declare function short(): void;\n',
      'one/node_modules/@in/two/package.json': '{ "name": "@in/two", "version": "1.0.0", "license": "ISC" }',
      'one/node_modules/@in/two/index.cjs':
        "const { a } = require('node:fs/promises');\nconst x = require('@babel/types/lib');\n",
      'three/package.json': '{ "name": "three", "version": "1.0.0", "license": { "type": "MIT" } }',
      'three/broken.js': 'this is (no program\n',
      'three/readme.md': 'function no() {}\n',
    };
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(folder, path, '..'), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    return { census: join(base, 'examples', 'census', 'census.ts'), folder };
  }

  test('counts files, lines and functions by package, finds the longest function, imports and licences', async (t) => {
    const { census, folder } = project(t);
    const { code, stdout, stderr } = await chervil(t, ['run', census, folder]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^one +2 +6 +2 3 long$/m);
    assert.match(stdout, /^@in\/two +1 +2 +0$/m);
    assert.match(stdout, /^three +1 +1 +0$/m);
    assert.match(stdout, /^all 3 +4 +9 +2 3 long$/m);
    assert.match(stdout, /The longest function is long, 3 lines,\nin one\/index\.js:3/);
    assert.match(stdout, /^node:fs +2$/m);
    assert.match(stdout, /^@babel\/types +1$/m);
    assert.match(stdout, /^MIT +2$/m);
    assert.match(stdout, /^ISC +1$/m);
    assert.match(stdout, /^1 file is no program:\n {2}three\/broken\.js: /m);
    for (const line of stdout.split('\n').slice(1)) assert.ok(line.length <= 80, line);
  });

  test('answers from its checkpoint the second time, and reads again only what changed', async (t) => {
    const { census, folder } = project(t);
    const last = ({ stdout }: Ended): string => stdout.trim().split('\n').at(-1) ?? '';
    assert.match(last(await chervil(t, ['run', census, folder])), /^4 files in 3 portions: all read now; /);
    const second = await chervil(t, ['run', census, folder]);
    assert.match(last(second), /^4 files in 3 portions: all from the checkpoint; /);
    const path = join(folder, 'one', 'index.js');
    writeFileSync(path, readFileSync(path, 'utf8').replace('short() {}', 'short() {\n\n\n\n}'));
    utimesSync(path, new Date(), new Date());
    const third = await chervil(t, ['run', census, folder]);
    assert.match(last(third), /^4 files in 3 portions: 2 portions from the checkpoint, 1 read now; /);
    assert.match(third.stdout, /^one +2 +10 +2 5 short$/m);
  });

  test('says that a folder does not exist, is none, or has nothing to read', async (t) => {
    const { census, folder } = project(t);
    const missing = await chervil(t, ['run', census, join(folder, 'nowhere')]);
    assert.match(missing.stderr, /^census: .*nowhere does not exist\. Give it the path of a folder/);
    assert.equal(missing.code, 1);
    const file = await chervil(t, ['run', census, join(folder, 'one', 'index.js')]);
    assert.match(file.stderr, /index\.js is no folder/);
    assert.equal(file.code, 1);
    mkdirSync(join(folder, 'empty'));
    const empty = await chervil(t, ['run', census, join(folder, 'empty')]);
    assert.equal(empty.code, 0, empty.stderr);
    assert.match(empty.stdout, /There is no JavaScript or TypeScript file in/);
  });
});

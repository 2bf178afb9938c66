import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { createRunDirectory, runDirectories } from '#src/kernel/run-directory.js';

const directory = mkdtempSync(join(tmpdir(), 'chervil-runs-'));
after(() => rmSync(directory, { recursive: true }));

test('run directories are numbered from 000, in a base directory that is made if need be', () => {
  const base = join(directory, 'deep', 'runinfo');
  assert.deepEqual(createRunDirectory(base), { path: join(base, '000'), number: 0 });
  assert.deepEqual(createRunDirectory(base), { path: join(base, '001'), number: 1 });
  assert.deepEqual(readdirSync(base), ['000', '001']);
});

test('a new run directory is above the highest number, whatever else lies there', () => {
  const base = join(directory, 'others');
  for (const name of ['002', '41', 'monitoring.d', '7b', '-3']) mkdirSync(join(base, name), { recursive: true });
  writeFileSync(join(base, 'monitoring.db'), '');
  assert.equal(createRunDirectory(base).path, join(base, '042'));
  writeFileSync(join(base, '043'), 'a file with the name of a run');
  assert.equal(createRunDirectory(base).path, join(base, '044'));
});

test('numbers grow beyond three digits, and are in numeric order', () => {
  const base = join(directory, 'many');
  mkdirSync(join(base, '999'), { recursive: true });
  assert.deepEqual(createRunDirectory(base), { path: join(base, '1000'), number: 1000 });
  mkdirSync(join(base, '003'));
  assert.deepEqual(
    runDirectories(base).map(({ number }) => number),
    [3, 999, 1000],
  );
  assert.deepEqual(runDirectories(join(directory, 'none')), []);
});

test('a base directory that cannot be written is a ConfigError', () => {
  const base = join(directory, 'a-file');
  writeFileSync(base, '');
  assert.throws(() => createRunDirectory(base), {
    code: 'CONFIG',
    message: /runDir: no run directory can be made in .*a-file/,
  });
});

test('of 50 processes that start at once each gets a run directory of its own', async () => {
  const base = join(directory, 'crowd');
  const module = new URL('../../dist/kernel/run-directory.js', import.meta.url).href;
  // Each process waits for the end of its input, so that all of them go at the same moment.
  const program = `
    import { createRunDirectory } from ${JSON.stringify(module)};
    process.stdout.write('ready\\n');
    for await (const _ of process.stdin);
    process.stdout.write(String(createRunDirectory(${JSON.stringify(base)}).number));`;
  const children = Array.from({ length: 50 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] }),
  );
  const ready = children.map((child) => once(child.stdout, 'readable'));
  const outputs = children.map((child, index) => ready[index]!.then(() => text(child.stdout)));
  const exits = children.map((child) => once(child, 'exit'));
  await Promise.all(ready);
  for (const child of children) child.stdin.end();
  const numbers = (await Promise.all(outputs)).map((output) => Number(output.replace('ready\n', '')));
  assert.deepEqual(
    numbers.sort((left, right) => left - right),
    Array.from({ length: 50 }, (_, index) => index),
  );
  for (const [code] of await Promise.all(exits)) assert.equal(code, 0);
});

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findPython } from '#src/pool/python.js';
import { newestRelease, parslOrSkip } from '../support/parsl.ts';

test('an interpreter that is not there is named, and how to name another', async () => {
  const found = await findPython('/nowhere/python3');
  assert.equal(found.ok, false);
  assert.match(found.ok ? '' : found.error, /\/nowhere\/python3: .*ENOENT.*--python/);
});

test('a program that is no Python says so with its own words', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-python-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, 'python');
  writeFileSync(program, '#!/bin/sh\necho "no module today" >&2\nexit 3\n');
  chmodSync(program, 0o755);
  const found = await findPython(program);
  assert.match(found.ok ? '' : found.error, /no module today/);
});

test('an interpreter tells its version, its packages, and its Parsl as Parsl itself writes it', async (t) => {
  const python = await parslOrSkip(t, newestRelease);
  if (python === undefined) return;
  const found = await findPython(python);
  assert.ok(found.ok, 'it is there');
  assert.match(found.value.version, /^3\.\d+\.\d+$/);
  assert.equal(found.value.parsl, newestRelease);
  assert.equal(found.value.packages.get('parsl'), newestRelease);
});

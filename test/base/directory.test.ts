import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { platform } from 'node:process';
import { after, test } from 'node:test';
import { makeDirectory } from '#src/base/directory.js';

const directory = mkdtempSync(join(tmpdir(), 'chervil-directory-'));
after(() => rmSync(directory, { recursive: true }));

test('a directory is made with all above it, and one that is there already is left as it is', () => {
  const path = join(directory, 'a', 'b', 'c');
  makeDirectory(path);
  assert.ok(statSync(path).isDirectory());
  makeDirectory(path);
  makeDirectory(`${path}/`);
  makeDirectory('/');
});

test('a link to a directory will do, one to nothing will not', () => {
  mkdirSync(join(directory, 'target'));
  symlinkSync('target', join(directory, 'link'));
  makeDirectory(join(directory, 'link'));
  makeDirectory(join(directory, 'link', 'in it'));
  assert.ok(statSync(join(directory, 'target', 'in it')).isDirectory());
  symlinkSync('nowhere', join(directory, 'dangling'));
  assert.throws(() => makeDirectory(join(directory, 'dangling')), /EEXIST/);
  assert.throws(() => makeDirectory(join(directory, 'dangling', 'in it')), /EEXIST.*dangling'/);
});

test('a file in its place, or above it, is named', () => {
  const file = join(directory, 'file');
  writeFileSync(file, '');
  assert.throws(() => makeDirectory(file), /EEXIST.*file'/);
  assert.throws(() => makeDirectory(join(file, 'in it')), /ENOTDIR/);
});

const skip = platform !== 'linux' && 'it needs /proc';
test('where the file system takes none, this is told, and it is not tried for ever', { skip }, () => {
  assert.throws(() => makeDirectory('/proc/chervil'), /ENOENT.*chervil'/);
  assert.throws(() => makeDirectory('/proc/chervil/deeper'), /ENOENT.*chervil'/);
});

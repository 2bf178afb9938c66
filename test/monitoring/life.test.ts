// Whether a run goes on, from its row and the processes of this machine.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { hostname } from 'node:os';
import { test } from 'node:test';
import { type LifeSigns, lifeOf } from '#src/monitoring/life.js';

const now = Date.now();
const run: LifeSigns = { began: now, ended: null, end_reason: null, host: hostname(), pid: process.pid, written: now };

test('a run goes on while its program is there, whatever the clock has been set to', () => {
  assert.equal(lifeOf(run), 'running');
  assert.equal(lifeOf({ ...run, written: now - 86_400_000 }), 'running', 'a long silence is no sign of death');
  assert.equal(lifeOf({ ...run, began: now + 3_600_000 }), 'running', 'it began in what is now the future');
});

test('a run whose program has ended is lost, also when another process has its number', async () => {
  const child = spawn('true');
  await new Promise((resolve) => child.once('exit', resolve));
  assert.equal(lifeOf({ ...run, pid: child.pid as number }), 'lost');
  assert.equal(
    lifeOf({ ...run, began: now - 10 * 365 * 86_400_000 }),
    process.platform === 'linux' ? 'lost' : 'running',
  );
});

test('what a run says of its end counts more than any process', () => {
  assert.equal(lifeOf({ ...run, ended: now, end_reason: 'closed' }), 'closed');
  assert.equal(lifeOf({ ...run, ended: now, end_reason: 'lost' }), 'lost');
});

test('of another machine, and of a database of Parsl, only a long silence tells', () => {
  for (const other of [
    { ...run, host: 'login7.example' },
    { ...run, pid: 0 },
  ]) {
    assert.equal(lifeOf(other), 'running');
    assert.equal(lifeOf({ ...other, written: now - 2 * 3_600_000 }), 'lost');
    assert.equal(lifeOf({ ...other, began: now - 2 * 3_600_000, written: null }), 'lost');
  }
});

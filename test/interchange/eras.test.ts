// Real Parsl of several releases, plain and encrypted, and submitters with pools of other releases. By default only one
// short run; CHERVIL_PARSL_ERAS=1 runs all.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { newestRelease, oldestRelease, parslOrSkip } from '../support/parsl.ts';
import { program } from './processes.ts';

const fixtures = fileURLToPath(new URL('../fixtures/interchange/', import.meta.url));
const isWanted = process.env['CHERVIL_PARSL_ERAS'] === '1';
const skip = isWanted ? false : 'CHERVIL_PARSL_ERAS=1 runs it';

/** The last line of what this Python program says, read as JSON. */
async function run(python: string, fixture: string, args: readonly string[], options: readonly string[] = []) {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-eras-'));
  try {
    const command = [fixtures + fixture, directory, ...args, process.execPath, program, ...options];
    const child = spawn(python, command, {
      cwd: directory,
      env: { ...process.env, PATH: `${dirname(python)}${delimiter}${process.env['PATH'] ?? ''}` },
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: 240_000,
    });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += String(chunk);
    });
    const status = await new Promise((resolve) => child.on('close', resolve));
    assert.equal(status, 0, text);
    return JSON.parse(text.trim().split('\n').at(-1) ?? '{}') as Record<string, unknown>;
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

describe("Parsl's monitoring", () => {
  for (const encrypted of ['no', 'yes']) {
    it(`finds managers, tries and resources in its database, encrypted: ${encrypted}`, async (t) => {
      const python = await parslOrSkip(t, newestRelease);
      if (python === undefined) return;
      const found = await run(python, 'monitored.py', [encrypted]);
      const rows = found['rows'] as Record<string, number>;
      assert.deepEqual(found['values'], [0, 1, 2, 3, 4, 5]);
      assert.deepEqual([rows['workflow'], rows['task'], rows['try'], found['ran']], [1, 6, 6, 6]);
      // Of pools, by the HTEX radio, and of the interchange itself.
      assert.ok((rows['resource'] ?? 0) >= 6, JSON.stringify(rows));
      assert.ok((rows['node'] ?? 0) >= 2, JSON.stringify(rows));
      for (const node of found['nodes'] as unknown[][]) assert.ok(!node.includes(null), JSON.stringify(node));
    });
  }
});

/** Releases of neighbouring eras with payloads alike: the submitter's, the pool's. */
const pairs = [
  [oldestRelease, '2025.6.23', 'no'],
  ['2025.6.23', oldestRelease, 'yes'],
  ['2025.6.30', '2025.9.15', 'yes'],
  ['2025.9.15', '2025.6.30', 'no'],
  ['2025.9.22', '2025.12.8', 'no'],
  ['2025.12.8', '2025.9.22', 'yes'],
  ['2026.7.20', newestRelease, 'no'],
  [newestRelease, '2026.7.20', 'yes'],
] as const;

describe('a submitter and pools of different releases', { skip }, () => {
  for (const [submitter, pool, encrypted] of pairs) {
    it(`${submitter} with pools of ${pool} runs where only envelopes differ, encrypted: ${encrypted}`, async (t) => {
      const programs = await both(t, submitter, pool);
      if (programs === undefined) return;
      const found = await run(programs.submitter, 'mixed.py', [dirname(programs.pool), encrypted, '90']);
      assert.equal(found['error'], undefined);
      assert.deepEqual(
        found['doubles'],
        Array.from({ length: 50 }, (_, n) => 2 * n),
      );
      assert.deepEqual([found['failure'], found['managers']], ['ValueError', 1]);
      // A pool of another release is suspicious, and says so in the log, but nothing shows that it is wrong.
      assert.match(String(found['log']), /may be a stray one: it has Parsl/);
    });
  }

  it('is refused with the reason where payloads differ', async (t) => {
    const programs = await both(t, '2025.6.30', '2026.7.20');
    if (programs === undefined) return;
    const found = await run(programs.submitter, 'mixed.py', [dirname(programs.pool), 'no', '15']);
    assert.match(String(found['error']), /TimeoutError/);
    assert.equal(found['managers'], 0);
    assert.match(
      String(found['log']),
      /Refused manager .* packs tasks as in 2025\.12\.15 and after, the submitter as in 2025\.09\.15 and before/,
    );
  });
});

async function both(t: TestContext, submitter: string, pool: string) {
  const first = await parslOrSkip(t, submitter);
  const second = first === undefined ? undefined : await parslOrSkip(t, pool);
  return first === undefined || second === undefined ? undefined : { submitter: first, pool: second };
}

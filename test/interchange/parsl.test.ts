import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pythonOrSkip } from '../support/python.ts';

const program = fileURLToPath(new URL('../../dist/interchange/start.js', import.meta.url));
const workflow = fileURLToPath(new URL('../fixtures/interchange/workflow.py', import.meta.url));
const pathEntry = 'PATH';

/** One release of each era; CHERVIL_PARSL_RELEASES (comma list) chooses others. */
const releases = (process.env['CHERVIL_PARSL_RELEASES'] ?? '2026.07.27').split(',');

describe("Parsl's own submitter and pools", () => {
  for (const release of releases) {
    for (const encrypted of ['no', 'yes']) {
      it(`of ${release} run a workflow through this interchange, encrypted: ${encrypted}`, async (t) => {
        const python = await pythonOrSkip(t, {
          name: `parsl-${release}`,
          packages: [`parsl==${release}`, 'setuptools'],
        });
        if (python === undefined) return;
        const directory = mkdtempSync(join(tmpdir(), 'chervil-parsl-'));
        t.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
        const child = spawn(python, [workflow, directory, encrypted, process.execPath, program], {
          cwd: directory,
          env: { ...process.env, [pathEntry]: `${dirname(python)}${delimiter}${process.env[pathEntry] ?? ''}` },
          stdio: ['ignore', 'pipe', 'inherit'],
          timeout: 300_000,
        });
        let text = '';
        child.stdout.on('data', (chunk: Buffer) => {
          text += String(chunk);
        });
        const status = await new Promise((resolve) => child.on('close', resolve));
        assert.equal(status, 0);
        const found = JSON.parse(text.trim().split('\n').at(-1) ?? '{}') as Record<string, unknown>;
        assert.deepEqual(
          found['doubles'],
          Array.from({ length: 200 }, (_, n) => 2 * n),
        );
        assert.equal(found['failure'], 'ValueError');
        assert.deepEqual(found['managers'], [true]);
        assert.equal((found['blocks'] as unknown[]).length, 1);
        assert.equal(found['lost'], 'ManagerLost');
        assert.equal(found['interchange'], true);
      });
    }
  }
});

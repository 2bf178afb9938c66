// Parsl's own visualizer, from the package index, opens our database and shows every page that it has.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { pythonOrSkip } from '../support/python.ts';
import { makeSynthetic } from '../support/synthetic.ts';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('parsl-visualize of PyPI shows our database', async (t) => {
  const python = await pythonOrSkip(t, {
    name: 'parsl-visualize',
    packages: ['parsl[monitoring,visualization]==2026.10.26'],
  });
  if (python === undefined) return;
  const directory = mkdtempSync(join(tmpdir(), 'chervil-visualize-'));
  const path = join(directory, 'monitoring.db');
  const { runId } = await makeSynthetic(path, { tasks: 300, sampleEvery: 1 });
  const port = await freePort();
  const server = spawn(join(dirname(python), 'parsl-visualize'), [`sqlite:///${path}`, '--port', String(port)], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const started = new Promise<void>((resolve, reject) => {
    for (const stream of [server.stdout, server.stderr]) {
      stream.on('data', (bytes) => {
        said += String(bytes);
        if (/Running on|Serving on|http:\/\//.test(said)) resolve();
      });
    }
    server.once('exit', () => reject(new Error(`it ended: ${said}`)));
  });
  const ended = new Promise((resolve) => server.once('exit', resolve));
  try {
    await started;
    const base = `http://127.0.0.1:${port}`;
    const page = async (where: string): Promise<string> => {
      const answer = await fetch(`${base}${where}`);
      const body = await answer.text();
      assert.equal(answer.status, 200, `${where}: ${said.slice(-3_000)}`);
      return body;
    };
    assert.match(await page('/'), new RegExp(`synthetic\\.ts[\\s\\S]*${runId}|${runId}[\\s\\S]*synthetic\\.ts`));
    const summary = await page(`/workflow/${runId}/`);
    assert.match(summary, /Completed/);
    assert.match(summary, /annotate/, 'with the apps');
    assert.match(await page(`/workflow/${runId}/task/`), /fetch/);
    assert.match(await page(`/workflow/${runId}/app/align`), /align/);
    assert.match(await page(`/workflow/${runId}/task/1`), /exec_done|dep_fail|failed/);
    // It lays graphs out with the program dot, of the package graphviz.
    if (spawnSync('dot', ['-V']).status === 0) {
      await page(`/workflow/${runId}/dag_group_by_apps`);
      await page(`/workflow/${runId}/dag_group_by_states`);
    } else {
      assert.notEqual(process.env['CHERVIL_REQUIRE'], '1', 'for want of dot (apt-get install graphviz)');
      t.diagnostic('without its graphs, for want of dot (apt-get install graphviz)');
    }
    await page(`/workflow/${runId}/resource_usage`);
  } finally {
    server.kill('SIGTERM');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
});

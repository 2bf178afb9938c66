import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { newestRelease, oldestRelease, ParslRun, parslOrSkip } from '../support/parsl.ts';

const poolProgram = fileURLToPath(new URL('../../dist/pool/start.js', import.meta.url));

/** The last line of JSON of a program that must end well. */
async function facts(run: ParslRun): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await run.ended;
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const line = stdout.split('\n').findLast((text) => text.startsWith('{'));
  return JSON.parse(line ?? '{}') as Record<string, unknown>;
}

/** Whether a process runs. One that ended and waits for its parent's interest is over. */
const isAlive = (pid: number): boolean => {
  try {
    return !/^.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
};

/** When a process that is nobody's child here is gone: nothing tells, so this looks again and again. */
async function gone(pid: number, withinMs: number): Promise<number> {
  const start = performance.now();
  while (isAlive(pid)) {
    if (performance.now() - start > withinMs) assert.fail(`process ${pid} is still there after ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return performance.now() - start;
}

describe('a Python Parsl run with this interchange', { timeout: 300_000 }, () => {
  it('is monitored, through an encrypted link: nodes, blocks, tries and resources come to the database', async (t) => {
    const python = await parslOrSkip(t, newestRelease);
    if (python === undefined) return;
    await using run = new ParslRun({ python, program: 'monitoring.py' });
    const { rows, nodes, manager } = (await facts(run)) as {
      rows: Record<string, number>;
      nodes: unknown[][];
      manager: string;
    };
    assert.deepEqual([rows['workflow'], rows['task'], rows['try']], [1, 3, 3]);
    for (const table of ['status', 'resource', 'block', 'node']) assert.ok((rows[table] ?? 0) > 0, table);
    for (const [uid, blockId, workers] of nodes) assert.deepEqual([uid, blockId, workers], [manager, '0', 1]);
  });

  it('with a pool of Chervil that has no --python is told so: by its futures, and in the log of the interchange', async (t) => {
    const python = await parslOrSkip(t, newestRelease);
    if (python === undefined) return;
    const variables = { CHERVIL_POOL: `${process.execPath} ${poolProgram}` };
    await using run = new ParslRun({ python, program: 'no_python.py', variables });
    const { told, refusals } = (await facts(run)) as { told: Record<string, string[]>; refusals: string[] };
    const [kind, text] = told['Chervil'] ?? [];
    assert.equal(kind, 'BadStateException');
    assert.match(text ?? '', /refused this pool: .* no Python workers, .*Start the pool with --python=python3/);
    assert.equal(refusals.length, 1);
    assert.match(refusals[0] ?? '', /Start the pool with --python=python3/);
    // Parsl's interchange does not know what a pool runs, and gives it the task.
    assert.match(
      told['Parsl']?.[1] ?? '',
      /This pool runs Node functions only.* With --python it has Python workers, too/,
    );
  });

  for (const way of ['plain', 'encrypted']) {
    it(`takes its interchange and its pool with it when its process is killed (${way})`, async (t) => {
      const python = await parslOrSkip(t, newestRelease);
      if (python === undefined) return;
      await using run = new ParslRun({ python, program: 'endless.py', args: [way] });
      const { interchange, pool } = JSON.parse(await run.line(/"running"/)) as { interchange: number; pool: number };
      assert.ok(isAlive(interchange));
      run.child.kill('SIGKILL');
      await run.ended;
      const ms = await gone(interchange, 10_000);
      t.diagnostic(`the interchange outlived its submitter by ${Math.round(ms)} ms`);
      await gone(pool, 60_000);
    });
  }

  for (const [home, foreign, style] of [
    [newestRelease, oldestRelease, 'two-port'],
    [oldestRelease, newestRelease, 'one-port'],
  ] as const) {
    it(`of ${home} refuses a pool of ${foreign} by name, tells it to end, and goes on`, async (t) => {
      const python = await parslOrSkip(t, home);
      const stranger = await parslOrSkip(t, foreign);
      if (python === undefined || stranger === undefined) return;
      await using run = new ParslRun({ python, program: 'mixed.py', args: [stranger, style, foreign, 'refused'] });
      const { isRight, code, blocks, refusals, alive } = await facts(run);
      assert.equal(isRight, true);
      assert.deepEqual(blocks, ['0']);
      assert.equal(alive, null);
      assert.ok(Array.isArray(refusals) && refusals.length === 1, `refused: ${JSON.stringify(refusals)}`);
      assert.match(String(refusals[0]), /block "stray"/);
      // An old pool has two sockets under one name and may miss the word; then it ends for want of heartbeats.
      assert.notEqual(code, 'still there');
    });
  }
});

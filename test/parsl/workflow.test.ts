import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { interchangeOnPath, newestRelease, oldestRelease, ParslRun, parslOrSkip } from '../support/parsl.ts';

interface Facts {
  readonly [name: string]: unknown;
}

/** Runs the workflow, with an interchange.py on PATH, and gives what each scenario told. */
async function workflow(t: TestContext, python: string): Promise<(scenario: string) => Facts> {
  const place = mkdtempSync(join(tmpdir(), 'chervil-path-'));
  t.after(() => rmSync(place, { recursive: true, force: true }));
  const path = [interchangeOnPath(place), dirname(python), process.env['PATH'] ?? ''].join(':');
  await using run = new ParslRun({ python, program: 'workflow.py', variables: { PATH: path } });
  const { status, stdout, stderr } = await run.ended;
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const told = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Facts);
  return (scenario) => {
    const facts = told.find((line) => line['scenario'] === scenario);
    assert.ok(facts, `nothing was told of ${scenario}:\n${stdout}\n${stderr}`);
    assert.equal(facts['error'], undefined);
    return facts;
  };
}

for (const release of [newestRelease, oldestRelease]) {
  describe(`a Python program of Parsl ${release} with this interchange`, { timeout: 400_000 }, async () => {
    let told: ((scenario: string) => Facts) | undefined;
    it('runs, with the command named or found on PATH, encrypted or not, and ends', async (t) => {
      const python = await parslOrSkip(t, release);
      if (python === undefined) return;
      told = await workflow(t, python);
      assert.equal(told('success')['isRight'], true);
      const { alive, codes } = told('end');
      assert.deepEqual(alive, [null, null, null]);
      assert.deepEqual(codes, [0, 0, 0]);
    });

    const scenario = (title: string, check: (told: (scenario: string) => Facts) => void): void => {
      it(title, (t) => {
        if (told === undefined) t.skip('the program did not run');
        else check(told);
      });
    };

    scenario('gets exceptions of its apps as they were raised', (of) => {
      assert.deepEqual(of('exception')['failure'], ['ValueError', 'as it was said']);
    });

    scenario('moves 16 MiB there and back through an encrypted link', (of) => {
      assert.equal(of('large')['isRight'], true);
    });

    scenario('sees managers, blocks and packages', (of) => {
      const { managers, blocks, packages, version } = of('commands');
      assert.ok(Array.isArray(managers) && managers.length === 1);
      const { manager, block_id, worker_count, active, draining, parsl_version } = managers[0] as Facts;
      assert.deepEqual([worker_count, active, draining, parsl_version], [2, true, false, version]);
      assert.deepEqual(blocks, [block_id]);
      if (release === newestRelease) assert.deepEqual(packages, { [String(manager)]: version });
    });

    scenario('gets WorkerLost for a task whose worker was killed, and goes on', (of) => {
      const { failure, after } = of('worker_killed');
      assert.equal((failure as string[])[0], 'WorkerLost');
      assert.equal(after, 8);
    });

    scenario('gets ManagerLost for a task whose manager was killed, and goes on with another block', (of) => {
      const { failure, after } = of('manager_killed');
      assert.equal((failure as string[])[0], 'ManagerLost');
      assert.equal(after, 16);
    });

    scenario('can hold a block, which then gets no more tasks', (of) => {
      const { before, held, after, active } = of('hold');
      assert.deepEqual(held, [before]);
      assert.equal(after, 32);
      assert.deepEqual([...(active as boolean[])].sort(), [false, true]);
    });

    scenario('has blocks that drain: they finish what they have, and end', (of) => {
      const { kept, result, ended } = of('drain');
      assert.deepEqual(kept, [1]);
      assert.equal(result, 'done');
      assert.deepEqual(ended, ['COMPLETED']);
    });

    scenario('has its tasks run in order of priority, where its release has priorities', (of) => {
      const expected = release === oldestRelease ? null : Array.from({ length: 21 }, (_, number) => number);
      assert.deepEqual(of('priority')['order'], expected);
    });
  });
}

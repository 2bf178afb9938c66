// Tasks that no pool can run, on a bench: the executor's side is a record, and looks come quickly.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Unserved, type UnservedSide } from '#src/executors/htex/unserved.js';
import { freshDirectory, stderrOf } from '../support/run.ts';

const node = {
  manager: 'abc',
  blockId: '0',
  workerCount: 1,
  tasks: 0,
  idleSeconds: 1,
  isActive: true,
  parslVersion: 'chervil-0.1.0',
  pythonVersion: 'node-20',
  isDraining: false,
  languages: ['node'],
};

/** What is logged, and what is written to the terminal, until something is. */
async function said(side: Partial<UnservedSide>): Promise<{ log: string; stderr: string }> {
  let log = '';
  const unserved = new Unserved(
    {
      label: 'htex',
      managers: async () => [],
      blocks: () => [],
      waiting: () => 2,
      runtimes: ['python'],
      unsaid: ['python'],
      log: (_, text) => {
        log += `${text}\n`;
      },
      ...side,
    },
    10,
  );
  let text = '';
  const stderr = await stderrOf(async () => {
    const { write } = process.stderr;
    process.stderr.write = ((chunk: string) => {
      text += chunk;
      return write.call(process.stderr, chunk);
    }) as typeof write;
    unserved.begin();
    // The timer of what is looked at does not keep this process alive.
    while (text === '') await pause(10);
    process.stderr.write = write;
  });
  unserved.end();
  return { log, stderr };
}

it('that no pool can run a task is said with what the pools there are run', async () => {
  const { log, stderr } = await said({ managers: async () => [node] });
  assert.match(stderr, /^chervil: executor 'htex': no manager can run Python functions, and 2 tasks wait: /);
  assert.match(stderr, /abc of block 0 runs node\. Start pools with Python workers/);
  assert.match(log, /no manager can run Python functions/);
});

it('that no pool came is said with the state and the stderr of the blocks', async () => {
  const directory = freshDirectory();
  mkdirSync(directory, { recursive: true });
  const stderrPath = join(directory, 'block-0.err');
  writeFileSync(stderrPath, 'module not found: nodejs\n');
  const { stderr } = await said({ blocks: () => [{ id: '0', job: '7', state: 'running', stderrPath }] });
  assert.match(stderr, /no pool has come; block 0 is running, its stderr:\nmodule not found: nodejs/);
});

it('nothing is said while a pool can run the tasks: ours say so, of Parsl it is known', async () => {
  for (const managers of [[{ ...node, languages: ['python'] }], [(({ languages: _, ...rest }) => rest)(node)]]) {
    let looks = 0;
    let isSaid = false;
    const unserved = new Unserved(
      {
        label: 'htex',
        managers: async () => {
          looks++;
          return managers;
        },
        blocks: () => [],
        waiting: () => 1,
        runtimes: ['python'],
        unsaid: ['python'],
        log: () => {
          isSaid = true;
        },
      },
      5,
    );
    unserved.begin();
    while (looks < 5) await pause(5);
    unserved.end();
    assert.equal(isSaid, false);
  }
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seed } from '../support/random.ts';
import { sockets } from './corpus.ts';
import { fuzzMessages } from './messages.ts';
import { fuzzSockets } from './sockets.ts';

describe('damaged messages', { timeout: 560_000 }, () => {
  it('by the million, on every socket, are refused or read; every task is answered once, and memory stays bounded', async (t) => {
    const { frames, tasks, answered, rssMiB } = await fuzzMessages({ seed, frames: 1_000_000 });
    t.diagnostic(`${JSON.stringify(frames)}; ${tasks} tasks; resident ${rssMiB.join(' then ')} MiB`);
    assert.equal(tasks, answered);
    for (const socket of sockets) assert.ok(frames[socket] > 50_000, socket);
    assert.ok(rssMiB[1] < rssMiB[0] + 200, `resident memory grew from ${rssMiB[0]} to ${rssMiB[1]} MiB`);
  });

  it('through real sockets do not end the interchange, and all good tasks among them are answered', async (t) => {
    const report = await fuzzSockets({ seed, frames: 30_000 });
    t.diagnostic(JSON.stringify(report));
    assert.ok(report.goodTasks > 0);
    assert.ok(report.rssMiB[1] < report.rssMiB[0] + 200, 'resident memory of the interchange grew without bound');
  });
});

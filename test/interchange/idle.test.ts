import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { platform } from 'node:process';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeCommand } from '#src/wire/messages.js';
import { Pool, port, Submitter } from './processes.ts';

/** CPU time in ticks (10 ms), and how often its main thread gave up the processor to wait. */
function usage(pid: number): { ticks: number; waits: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name of the program, in parentheses, may hold blanks.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return {
    ticks: Number(fields[11]) + Number(fields[12]),
    waits: Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1]),
  };
}

describe('an idle interchange', { skip: platform !== 'linux' && 'it reads /proc' }, () => {
  it('costs no CPU and does not even wake up', async () => {
    await using submitter = await Submitter.start();
    const at = await port(submitter);
    await using first = new Pool(at, 'pool-a');
    await using second = new Pool(at, 'pool-b');
    first.register({ maxCapacity: 0 });
    second.register({ maxCapacity: 0 });
    submitter.send(1);
    await submitter.ask(writeCommand({ name: 'managers' }));
    const pid = submitter.child?.pid ?? 0;
    // Time is what is measured here, so it has to pass. The log is written once in the first moments.
    await quiet(pid);
    const before = usage(pid);
    await sleep(10_000);
    const after = usage(pid);
    assert.equal(after.ticks - before.ticks, 0);
    // The runtime itself may wake up once in a while, to tidy its memory.
    assert.ok(after.waits - before.waits <= 5, `it woke up ${after.waits - before.waits} times in 10 s`);
  });
});

/** Resolves when the process has slept for a second, at most after twenty. */
async function quiet(pid: number): Promise<void> {
  for (let second = 0; second < 20; second++) {
    const { waits } = usage(pid);
    await sleep(1_000);
    if (usage(pid).waits === waits) return;
  }
}

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
    // Time is what is measured here, so it has to pass. After work the runtime tidies its memory, some seconds later and
    // with a few ticks; who polls would have none of these windows free.
    const windows: string[] = [];
    for (let number = 0; number < 4; number++) {
      const before = usage(pid);
      await sleep(10_000);
      const after = usage(pid);
      const ticks = after.ticks - before.ticks;
      const waits = after.waits - before.waits;
      if (ticks === 0 && waits <= 5) return;
      windows.push(`${ticks} ticks, woke up ${waits} times`);
    }
    assert.fail(`in 10 s each: ${windows.join('; ')}`);
  });
});

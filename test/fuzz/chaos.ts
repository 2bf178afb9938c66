// Load, and pools that die, vanish, reconnect, drain and come back, around a real interchange process. At the end every
// task must have been answered exactly once.
import assert from 'node:assert/strict';
import { askStatus } from '#src/interchange/show-status.js';
import { type ReceivedTask, readOutcome, writeCommand, writeTask } from '#src/wire/messages.js';
import { FakePool, InterchangeRun, type OnTasks } from '../support/interchange-run.ts';
import { randomIntegers } from '../support/random.ts';

export interface ChaosReport {
  readonly submitted: number;
  readonly results: number;
  /** Tasks that failed because their manager was lost. */
  readonly lost: number;
  readonly events: Record<string, number>;
}

/** What a task carries: of any length, and no two are alike. */
const payload = (taskId: number, bytes: number): Buffer => Buffer.alloc(bytes, `task ${taskId}, `);

const window = 2_000;
const poolCount = 12;
const capacity = 40;

/**
 * Keeps up to 2,000 tasks on their way for `ms` milliseconds while pools come to harm; then lets all settle.
 *
 * @throws AssertionError when a task stays without answer, is answered twice, or comes to a pool as another, or the interchange ends
 */
export async function chaos({ seed, ms }: { seed: number; ms: number }): Promise<ChaosReport> {
  const chance = randomIntegers(seed);
  const open = new Set<number>();
  /** How many bytes each task carries. */
  const sizes: number[] = [];
  const counts = { submitted: 0, results: 0, lost: 0 };
  const events: Record<string, number> = {};
  const note = (name: string): void => {
    events[name] = (events[name] ?? 0) + 1;
  };
  /** What went wrong first. */
  let fault: string | undefined;
  let onSettled = (): void => {};
  await using run = await InterchangeRun.start({
    heartbeatThreshold: 2,
    onResults: (frames) => {
      for (const frame of frames) {
        const outcome = readOutcome(frame);
        if (!outcome.ok) {
          fault ??= 'an answer that no submitter can read';
          continue;
        }
        const { taskId, isException } = outcome.value;
        if (!open.delete(taskId)) fault ??= `task ${taskId} is answered twice, or was never submitted`;
        counts[isException ? 'lost' : 'results']++;
      }
      onSettled();
    },
  });
  let status: number | null | undefined;
  void run.exited.then((code) => {
    status = code;
  });
  let isOver = false;
  const submit = (): void => {
    while (!isOver && open.size < window) {
      const taskId = ++counts.submitted;
      const bytes = chance(10) === 0 ? chance(40_000) : chance(2_000);
      open.add(taskId);
      sizes[taskId] = bytes;
      const context = chance(4) === 0 ? new Map([['resource_spec', new Map([['priority', chance(5)]])]]) : new Map();
      run.tasks.send([writeTask({ taskId, buffer: payload(taskId, bytes), context }, 'context')]);
    }
  };
  const check = (tasks: readonly ReceivedTask[]): void => {
    for (const { taskId, buffer } of tasks) {
      const id = Number(taskId);
      if (!payload(id, sizes[id] ?? 0).equals(buffer)) fault ??= `task ${id} is not what was sent`;
    }
  };
  const closing: Promise<void>[] = [];
  const timers = new Set<NodeJS.Timeout>();
  const after = (delay: number, act: () => void): void => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      act();
    }, delay);
    timers.add(timer);
  };
  let serial = 0;
  const pools: FakePool[] = [];
  /** Pools of machines that are gone: their connections stay until the end. */
  const silent: FakePool[] = [];
  let load: NodeJS.Timeout | undefined;
  const stop = (): void => {
    isOver = true;
    clearInterval(load);
    for (const timer of timers) clearTimeout(timer);
    for (const pool of [...pools, ...silent]) closing.push(pool.close());
  };
  // Also when something is found wrong.
  await using _ = {
    [Symbol.asyncDispose]: async (): Promise<void> => {
      stop();
      await Promise.all(closing);
    },
  };
  const start = (at: number): void => {
    const finish: OnTasks = (ids, pool, tasks) => {
      check(tasks);
      for (const id of ids) after(chance(60), () => pools.includes(pool) && pool.finish(id));
    };
    const pool = new FakePool(run.port, `pool-${serial++}`, finish, chance(2) === 0);
    pools[at] = pool.register(chance(3) === 0 ? 1 : 1 + chance(capacity)).beat(500);
  };
  for (let at = 0; at < poolCount; at++) start(at);
  submit();
  load = setInterval(submit, 5);
  const begin = performance.now();
  while (performance.now() - begin < ms) {
    assert.equal(status, undefined, `the interchange ended (CHERVIL_SEED=${seed})`);
    assert.equal(fault, undefined, `CHERVIL_SEED=${seed}`);
    const at = chance(poolCount);
    const pool = pools[at] as FakePool;
    switch (chance(8)) {
      case 0: // Killed: its connection breaks, its tasks are gone.
        note('killed');
        closing.push(pool.close());
        start(at);
        break;
      case 1: // Its machine is gone, and nobody says so: the connection stays, the heartbeats end.
        note('silent');
        pool.beat(2 ** 30);
        pools[at] = undefined as never;
        silent.push(pool);
        start(at);
        break;
      case 2: // The network breaks, the process goes on.
        note('reconnected');
        closing.push(pool.reconnect());
        break;
      case 3: // A new process under the old name.
        note('came again');
        pool.register(1 + chance(capacity));
        break;
      case 4:
        note('drained');
        pool.say('drain');
        after(300, () => {
          if (pools[at] !== pool) return;
          closing.push(pool.close());
          start(at);
        });
        break;
      case 5: // Results of tasks that it does not have, or had.
        note('stray results');
        for (let times = 0; times < 5; times++) pool.finish(1 + chance(counts.submitted));
        break;
      case 6:
        note('held');
        await run.ask(writeCommand({ name: 'hold manager', manager: pool.identity }));
        after(500, () => {
          if (pools[at] === pool) pool.register(1 + chance(capacity));
        });
        break;
      default:
        note('asked');
        await run.ask(writeCommand({ name: 'managers' }));
    }
    await new Promise((resolve) => setTimeout(resolve, chance(60)));
  }
  await using last = new FakePool(run.port, 'last', (ids, pool, tasks) => {
    check(tasks);
    for (const id of ids) pool.finish(id);
  });
  last.register(1_000).beat(500);
  // What was in flight when a connection broke is gone, and no message of the protocol tells so: those tasks stay with
  // their pool until it goes, as with Parsl's own interchange. So now the pools go.
  stop();
  const settled = new Promise<void>((resolve) => {
    onSettled = () => {
      if (open.size === 0) resolve();
    };
    onSettled();
  });
  const late = new Promise<never>((_, reject) => {
    const tell = (): void => reject(new Error(`${open.size} tasks are unaccounted for (CHERVIL_SEED=${seed})`));
    setTimeout(tell, 60_000).unref();
  });
  await Promise.race([settled, late]);
  assert.equal(fault, undefined, `CHERVIL_SEED=${seed}`);
  const { received, answered } = (await askStatus(`tcp://127.0.0.1:${run.port}`)).counters;
  assert.deepEqual([received, answered], [counts.submitted, counts.submitted]);
  assert.equal(status, undefined);
  assert.equal(last.unread, 0);
  return { ...counts, events };
}

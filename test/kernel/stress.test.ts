// Random graphs of tasks with failures, retries, cancels, timeouts, deadlines, joins and memo: whatever happens, every future
// settles, every task has exactly one final state, and nothing is left in the kernel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Run } from '#src/index.js';
import { type App, app, type Config, channels, type Future, inline, joinApp, threads } from '#src/index.js';
import type { TaskEvent } from '#src/task/channels.js';
import { isFinal, mayFollow, type TaskState } from '#src/task/state.js';
import { inRun } from '../support/run.ts';

const firstSeed = Number(process.env['CHERVIL_SEED'] ?? Date.now() % 2 ** 31);
console.log(`CHERVIL_SEED=${firstSeed}`);

/** Random numbers that a seed repeats (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Values = readonly unknown[];
const body = (luck: number, ..._: Values): number => {
  if (luck < 0.08) throw new RangeError(`bad luck: ${luck}`);
  return luck;
};
const plain = app(body, { name: 'plain' });
const flaky = app(
  (luck: number, ..._: Values): number => {
    if (Math.random() < 0.4) throw new Error('flaky');
    return luck;
  },
  { name: 'flaky', retry: { budget: 2, delay: 1 } },
);
const waits = app(
  async (luck: number, ..._: Values): Promise<number> => {
    await new Promise((resolve) => setTimeout(resolve, luck * 4));
    if (luck < 0.1) throw new Error(`late bad luck: ${luck}`);
    return luck;
  },
  { name: 'waits' },
);
const limited = app(
  (luck: number, ..._: Values) => new Promise<number>((resolve) => setTimeout(resolve, luck < 0.5 ? 0 : 60, luck)),
  {
    name: 'limited',
    timeout: 20,
  },
);
const late = app(
  (luck: number, ..._: Values) => new Promise<number>((resolve) => setTimeout(resolve, luck * 20, luck)),
  {
    name: 'late',
    deadline: 15,
  },
);
const remembered = app((luck: number, ..._: Values): number => body(luck), { name: 'remembered', memo: true });
const fork = joinApp(
  (depth: number, luck: number): Future<number>[] => {
    if (luck < 0.05) throw new Error('no fork');
    const inner = [plain(luck), flaky(luck), plain(waits(luck))];
    return depth > 0 ? [...inner, fork(depth - 1, luck * 0.9).map((list) => list.length)] : inner;
  },
  { name: 'fork', retry: 1 },
) as App<[depth: number, luck: number], number[]>;
const forkLater = joinApp(
  async (luck: number): Promise<number> => {
    const first = await plain(luck);
    return (await waits(first)) + 1;
  },
  { name: 'forkLater', memo: true },
);

interface Counted {
  settled: number;
  failed: number;
}

/** Builds a random graph of so many calls, and lets things happen to it. */
async function storm(run: Run, seed: number, calls: number): Promise<Counted> {
  const random = randomOf(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const futures: Future<unknown>[] = [];
  const controllers = Array.from({ length: 5 }, () => new AbortController());
  const pick = (): Future<unknown> =>
    futures[futures.length - 1 - below(Math.min(futures.length, 200))] as Future<unknown>;
  const dependencies = (): unknown[] => {
    if (futures.length === 0 || random() < 0.5) return [];
    return Array.from({ length: 1 + below(3) }, () => (random() < 0.3 ? { deep: [pick()] } : pick()));
  };
  for (let n = 0; n < calls; n++) {
    const luck = random();
    const kind = below(100);
    if (kind < 35) futures.push(plain(luck, ...dependencies()));
    else if (kind < 50) futures.push(flaky(luck, ...dependencies()));
    else if (kind < 60) futures.push(waits(luck, ...dependencies()));
    else if (kind < 66) futures.push(limited(luck, ...dependencies()));
    else if (kind < 72) futures.push(late(luck, ...dependencies()));
    else if (kind < 84) futures.push(remembered(below(40) / 40));
    else if (kind < 88) futures.push(fork(below(3), luck));
    else if (kind < 92) futures.push(forkLater(below(20) / 20));
    else if (kind < 96)
      futures.push(plain.with({ signal: (controllers[below(5)] as AbortController).signal })(luck, ...dependencies()));
    else futures.push(plain(luck, random() < 0.5 ? Promise.resolve(1) : Promise.reject(new Error('foreign'))));
    if (random() < 0.03) pick().cancel('in the storm');
    if (n % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (n > 0 && n % Math.floor(calls / 4) === 0) controllers[below(5)]?.abort('signal');
  }
  if (random() < 0.5) {
    await new Promise((resolve) => setImmediate(resolve));
    run.cancel('the storm is over');
  }
  const counted: Counted = { settled: 0, failed: 0 };
  for (const { status } of await Promise.allSettled(futures)) {
    counted.settled++;
    if (status === 'rejected') counted.failed++;
  }
  await run.wait();
  return counted;
}

/** Follows every change of state, and checks it. */
class Watch {
  readonly states = new Map<number, TaskState>();
  readonly wrong: string[] = [];
  readonly #listener = (message: unknown): void => this.#onEvent(message as TaskEvent);

  constructor() {
    channels.task.subscribe(this.#listener);
  }

  #onEvent({ id, from, state }: TaskEvent): void {
    if (this.states.get(id) !== from) this.wrong.push(`task ${id} came from ${from}, but was ${this.states.get(id)}`);
    else if (from !== undefined && !(mayFollow[from] as readonly TaskState[]).includes(state))
      this.wrong.push(`task ${id}: ${from} > ${state}`);
    this.states.set(id, state);
  }

  end(): void {
    channels.task.unsubscribe(this.#listener);
  }
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

async function weather(config: Config, seed: number, calls: number): Promise<void> {
  const watch = new Watch();
  try {
    await inRun(config, async (run) => {
      const counted = await storm(run, seed, calls);
      assert.equal(counted.settled, calls);
      assert(counted.failed > 0 && counted.failed < calls);
      const { total, live, byState } = run.summary();
      assert.equal(live, 0);
      assert.deepEqual(watch.wrong, []);
      assert.equal(watch.states.size, total);
      const byEvents: Record<string, number> = {};
      for (const state of watch.states.values()) {
        assert(isFinal(state), `a task ended as ${state}`);
        byEvents[state] = (byEvents[state] ?? 0) + 1;
      }
      const counts = Object.fromEntries(Object.entries(byState).filter(([, count]) => count !== 0));
      assert.deepEqual(counts, byEvents);
    });
  } finally {
    watch.end();
  }
  // Bodies that were cut off in this process go on to their own ends.
  const deadline = performance.now() + 20_000;
  while (timers() > 40 && performance.now() < deadline) await nextTurn();
  assert(timers() <= 40, `${timers()} timers are left`);
}

for (let n = 0; n < 5; n++) {
  const seed = firstSeed + n;
  test(`10,000 calls in a storm, inline, seed ${seed}`, { timeout: 120_000 }, () =>
    weather({ executors: [inline()], failFast: n % 2 === 1 }, seed, 10_000),
  );
}

test(`2,000 calls in a storm on threads and inline together, seed ${firstSeed}`, { timeout: 120_000 }, () =>
  weather({ executors: [threads({ max: 2 }), inline()] }, firstSeed, 2_000),
);

// A run under load while its processes come to harm: workers, pools and the interchange are killed, or stopped for a while. At the end
// every task must have come to its one result, and no process may be left. The test and scripts/chaos.js call it.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ignoreBlockErrors } from '#src/blocks/handlers.js';
import { local } from '#src/blocks/local.js';
import { app, bashApp, htex, load, sh } from '#src/index.js';
import { marked } from '../executors/htex-bench.ts';
import { randomIntegers } from '../support/random.ts';

export interface HtexChaosReport {
  readonly seed: number;
  readonly seconds: number;
  readonly tasks: number;
  /** What was done, and how often. */
  readonly harm: Record<string, number>;
  /** Tries that were lost, by the code of their error. */
  readonly lostTries: Record<string, number>;
  /** The longest time in which no task came to its result, in milliseconds. */
  readonly longestPauseMs: number;
  /** From the end of the harm to the last result, in milliseconds. */
  readonly recoveryMs: number;
}

const outstanding = 200;
const heartbeat = { heartbeatPeriod: 400, heartbeatThreshold: 2_500 } as const;
/** After the harm has ended all tasks must come to their results within this time. */
const patienceMs = 90_000;

/** The bodies: quick, waiting, computing, with large values, and commands. Each gives back what it was given. */
const bodies = {
  quick: app((n: number) => n, { name: 'quick' }),
  wait: app((n: number) => new Promise<number>((resolve) => setTimeout(resolve, 5 + (n % 40), n)), { name: 'wait' }),
  compute: app(
    (n: number) => {
      const end = performance.now() + (n % 15);
      while (performance.now() < end);
      return n;
    },
    { name: 'compute' },
  ),
  large: app((n: number, text: string) => [n, text], { name: 'large' }),
  command: bashApp((n: number) => sh`exit $((${n} - ${n}))`, { name: 'command' }),
};

const kinds = ['quick', 'quick', 'quick', 'wait', 'wait', 'compute', 'large', 'command'] as const;
const largeText = 'chaos '.repeat(30_000);

function isRight(kind: keyof typeof bodies, n: number, value: unknown): boolean {
  if (kind === 'command') return true;
  if (kind !== 'large') return value === n;
  const [first, text] = value as [number, string];
  return first === n && text === largeText;
}

/** What this process keeps of large values. */
function valueDirectories(): string[] {
  return readdirSync('/dev/shm').filter((name) => name.startsWith(`chervil-values-${process.pid}-`));
}

/**
 * Does harm for `ms` milliseconds, then lets all settle.
 *
 * @throws Error when a task is lost, comes to two results or to a wrong one, or a process is left
 */
export async function htexChaos({
  seed,
  ms,
}: {
  readonly seed: number;
  readonly ms: number;
}): Promise<HtexChaosReport> {
  const chance = randomIntegers(seed);
  const directory = mkdtempSync(join(tmpdir(), 'chervil-chaos-'));
  const lostTries: Record<string, number> = {};
  const harm: Record<string, number> = {};
  const executor = htex({
    ...heartbeat,
    blocks: { init: 2, max: 2 },
    maxWorkersPerNode: 2,
    coresPerWorker: 0.5,
    onInterchangeLost: 'resend',
    onBlockError: ignoreBlockErrors,
    strategyPeriod: 200,
    provider: local({ pollMs: 200 }),
  });
  const losses = new Set(['WORKER_LOST', 'MANAGER_LOST']);
  const run = await load({
    executors: [executor],
    runDir: directory,
    signals: false,
    retry: {
      budget: 1,
      cost: (error) => {
        lostTries[error.code] = (lostTries[error.code] ?? 0) + 1;
        return losses.has(error.code) ? 0 : Number.POSITIVE_INFINITY;
      },
    },
  });
  const mark = run.id;
  const finals = new Map<number, number>();
  const stopped = new Set<number>();
  let submitted = 0;
  let settled = 0;
  let isOver = false;
  let longestPauseMs = 0;
  let lastAt = performance.now();
  let fault: Error | undefined;
  let onIdle = (): void => {};

  const watchStates = (async () => {
    for await (const event of run.events()) {
      if (event.state === 'exec_done' || event.state === 'failed')
        finals.set(event.id, (finals.get(event.id) ?? 0) + 1);
    }
  })();

  const submit = (): void => {
    while (!isOver && submitted - settled < outstanding) {
      const n = submitted++;
      const kind = kinds[chance(kinds.length)] as keyof typeof bodies;
      const future: PromiseLike<unknown> = kind === 'large' ? bodies.large(n, largeText) : bodies[kind](n);
      future.then(
        (value) =>
          onSettled(
            isRight(kind, n, value) ? undefined : new Error(`task ${n} (${kind}) gave ${String(value).slice(0, 100)}`),
          ),
        (error: Error) => onSettled(error),
      );
    }
  };
  const onSettled = (error: Error | undefined): void => {
    const now = performance.now();
    longestPauseMs = Math.max(longestPauseMs, now - lastAt);
    lastAt = now;
    settled++;
    fault ??= error;
    // With an executor that has failed there would be no end of it.
    if (fault !== undefined) isOver = true;
    submit();
    if (fault !== undefined || (isOver && settled === submitted)) onIdle();
  };

  const processes = (program: string): number[] => {
    const all = marked(mark);
    const commands = new Map(all.map(({ pid, command }) => [pid, command]));
    return all.flatMap(({ pid, command }) => {
      if (!command.includes(program) || stopped.has(pid)) return [];
      // A process that was just forked looks like the one that forked it: it is going to be a command of a task.
      return commands.get(parentOf(pid))?.includes(program) ? [] : [pid];
    });
  };
  const signal = (pid: number, name: NodeJS.Signals): boolean => {
    try {
      return process.kill(pid, name);
    } catch {
      // It was gone already.
      return false;
    }
  };
  const pause = (pid: number, pauseMs: number): void => {
    if (!signal(pid, 'SIGSTOP')) return;
    stopped.add(pid);
    setTimeout(() => {
      stopped.delete(pid);
      signal(pid, chance(3) === 0 ? 'SIGKILL' : 'SIGCONT');
    }, pauseMs);
  };
  const programs = { worker: 'worker/main.js', pool: 'pool/start.js', interchange: 'interchange/start.js' } as const;

  /** One act. The interchange is harmed less often, since all must begin anew after it. */
  let spareUntil = 0;
  const doHarm = (): void => {
    const who = (['worker', 'worker', 'worker', 'pool', 'pool', 'interchange'] as const)[
      chance(6)
    ] as keyof typeof programs;
    const candidates = processes(programs[who]);
    const pid = candidates[chance(Math.max(1, candidates.length))];
    if (pid === undefined) return;
    if (who === 'interchange') {
      if (performance.now() < spareUntil) return;
      spareUntil = performance.now() + 8_000;
    }
    const isShort = chance(2) === 0;
    const what = chance(2) === 0 ? 'killed' : isShort ? 'stopped briefly' : 'stopped for long';
    harm[`${who} ${what}`] = (harm[`${who} ${what}`] ?? 0) + 1;
    if (what === 'killed') signal(pid, 'SIGKILL');
    else pause(pid, isShort ? 100 + chance(800) : 4_000);
  };

  const begin = performance.now();
  try {
    submit();
    while (performance.now() - begin < ms && fault === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 200 + chance(1_300)));
      doHarm();
    }
    isOver = true;
    const endedAt = performance.now();
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      onIdle = resolve;
      timer = setTimeout(
        () =>
          reject(
            new Error(`${submitted - settled} of ${submitted} tasks never came to a result (CHERVIL_SEED=${seed})`),
          ),
        patienceMs,
      );
      if (settled === submitted || fault !== undefined) resolve();
    });
    clearTimeout(timer);
    const recoveryMs = Math.round(performance.now() - endedAt);
    if (fault !== undefined) throw new Error(`${fault.message} (CHERVIL_SEED=${seed})`, { cause: fault });
    await run.close();
    await watchStates;
    assert.equal(finals.size, submitted, `every task came to an end (CHERVIL_SEED=${seed})`);
    for (const [id, times] of finals) assert.equal(times, 1, `task ${id} ended ${times} times (CHERVIL_SEED=${seed})`);
    assert.deepEqual(marked(mark), [], `no process is left (CHERVIL_SEED=${seed})`);
    assert.deepEqual(valueDirectories(), [], `no file of a large value is left (CHERVIL_SEED=${seed})`);
    const seconds = Math.round((performance.now() - begin) / 1_000);
    return { seed, seconds, tasks: submitted, harm, lostTries, longestPauseMs: Math.round(longestPauseMs), recoveryMs };
  } finally {
    isOver = true;
    await run.close({ exit: 'cancel' });
    rmSync(directory, { recursive: true, force: true });
  }
}

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    // It ended meanwhile.
    return 0;
  }
}

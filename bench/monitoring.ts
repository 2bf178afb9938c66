// What monitoring costs a task: no-ops on htex, all at once, with monitoring and without it in turn, CPU of every process with the
// writer of the database included, until everything is in the database.
// Each run is warmed up, and the median of its bursts counts.
//   node --expose-gc --import tsx bench/monitoring.ts [--tasks 200000] [--bursts 5] [--rounds 3] [--threads]
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { app, htex, load, threads } from '#src/index.js';
import { openDatabase } from '#src/monitoring/database.js';
import { where } from './measure.ts';
import { cpuByProgram } from './processes.ts';

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '200000' },
    bursts: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'boolean', default: false },
  },
});
const tasks = Number(values.tasks);
/** From the last result until the costs are read, if everything is in the database by then. */
const windowMs = 4_000;
const programs = ['program', 'interchange', 'pool', 'worker', 'writer'] as const;

interface Cost {
  readonly parts: Readonly<Record<string, number>>;
  readonly all: number;
  readonly seconds: number;
  /** From the last result until everything was in the database. */
  readonly behindSeconds: number;
}

async function measureOnce(isMonitored: boolean): Promise<Cost> {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-bench-'));
  const run = await load({
    executors: [
      values.threads ? threads({ max: 2 }) : htex({ maxWorkersPerNode: 2, coresPerWorker: 0.5, encrypted: false }),
    ],
    runDir: directory,
    memo: false,
    monitoring: isMonitored,
  });
  try {
    const add = app((a: number, b: number) => a + b, { name: 'add' });
    let called = 0;
    const all = async (count: number): Promise<void> => {
      called += count;
      await Promise.all(Array.from({ length: count }, (_, n) => add(n, 1)));
    };
    // Opened once, and asked seldom: it is this process that asks.
    await using database = isMonitored ? await openDatabase(join(directory, 'monitoring.db')) : undefined;
    const settled = async (): Promise<void> => {
      for (;;) {
        const row = await database?.db.selectFrom('runs').select('completed').executeTakeFirst();
        if (database === undefined || row?.completed === called) return;
        await sleep(200);
      }
    };
    for (let round = 0; round < 3; round++) await all(20_000);
    await settled();
    const bursts: Cost[] = [];
    for (let burst = 0; burst < Number(values.bursts); burst++) {
      (globalThis as { gc?: () => void }).gc?.();
      const before = costs(run.id);
      const from = performance.now();
      await all(tasks);
      const done = performance.now();
      await settled();
      const behindSeconds = (performance.now() - done) / 1_000;
      // As long for both: what a process does on its own when it has nothing to do is not monitoring's.
      await sleep(Math.max(0, done + windowMs - performance.now()));
      const parts: Record<string, number> = {};
      let sum = 0;
      for (const [name, micros] of costs(run.id)) {
        parts[name] = (micros - (before.get(name) ?? 0)) / tasks;
        sum += parts[name];
      }
      bursts.push({ parts, all: sum, seconds: (done - from) / 1_000, behindSeconds });
    }
    bursts.sort((a, b) => a.all - b.all);
    return bursts[bursts.length >> 1] as Cost;
  } finally {
    await run.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function costs(runId: string): Map<string, number> {
  const found = cpuByProgram(runId);
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(fields[1]) !== process.pid) continue;
      if (!readFileSync(`/proc/${entry}/cmdline`, 'latin1').includes('writer-main')) continue;
      found.set('writer', (Number(fields[11]) + Number(fields[12])) * 10_000);
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;

const found = { off: [] as Cost[], on: [] as Cost[] };
for (let round = 0; round < Number(values.rounds); round++) {
  for (const which of round % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const))
    found[which].push(await measureOnce(which === 'on'));
}
console.log(
  `${where()}; ${tasks} no-ops at once on ${values.threads ? 'two threads' : 'htex with two workers'}; load ${loadavg()[0]?.toFixed(1)}\n`,
);
console.log('| monitoring | us CPU a task | program | interchange | pool | worker | writer | tasks/s | behind |');
console.log('|---|---|---|---|---|---|---|---|---|');
for (const which of ['off', 'on'] as const) {
  const costs = found[which];
  const part = (name: string): string => median(costs.map(({ parts }) => parts[name] ?? 0)).toFixed(1);
  const rate = Math.round(tasks / median(costs.map(({ seconds }) => seconds)));
  const behind = median(costs.map(({ behindSeconds }) => behindSeconds)).toFixed(1);
  console.log(
    `| ${which} | ${median(costs.map(({ all }) => all)).toFixed(1)} | ${programs.map(part).join(' | ')} | ${rate} | ${behind} s |`,
  );
}
const more = median(found.on.map(({ all }, at) => all - (found.off[at] as Cost).all));
console.log(`\n${more.toFixed(1)} us a task more`);

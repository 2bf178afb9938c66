// What sampling the resources of tasks costs: two busy workers of htex(), monitored, with tasks of about 20 s, 1 s and 100 ms, without
// samples, with one each 10 s, and with one each second. The tasks do a fixed amount of work, so that what is more is the
// sampling's: of all processes, and, steadier, of those that are no workers.
//
//   node --import tsx bench/sampling.ts [--seconds 60] [--rounds 2]      (after npm run build)
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { app, htex, load } from '#src/index.js';
import { openDatabase } from '#src/monitoring/database.js';
import { treeCpuMicros, where } from './measure.ts';
import { cpuByProgram } from './processes.ts';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, rounds: { type: 'string', default: '2' } },
});
const seconds = Number(values.seconds);
const workers = 2;

function spin(steps: number): number {
  let sum = 0;
  for (let step = 0; step < steps; step++) sum = Math.imul(sum ^ step, 0x01_00_01_93);
  return sum;
}

const work = app(spin);

/** Steps that take about 100 ms on this machine. */
function calibrated(): number {
  let steps = 10_000_000;
  for (let round = 0; round < 3; round++) {
    const before = process.cpuUsage();
    spin(steps);
    const { user, system } = process.cpuUsage(before);
    steps = Math.round((steps * 100_000) / (user + system));
  }
  return steps;
}

interface Measured {
  readonly wholeSeconds: number;
  readonly otherSeconds: number;
  readonly samples: number;
}

async function measure(resources: '10s' | '1s' | false, steps: number, tasks: number): Promise<Measured> {
  const runDir = mkdtempSync(join(tmpdir(), 'chervil-bench-'));
  try {
    const run = await load({
      executors: [htex({ maxWorkersPerNode: workers, coresPerWorker: 0.5 })],
      runDir,
      memo: false,
      monitoring: { resources },
    });
    let wholeSeconds = 0;
    let otherSeconds = 0;
    await run.enter(async () => {
      await Promise.all(work.map(Array.from({ length: workers * 2 }, () => steps)));
      const inWorkers = (): number => cpuByProgram(run.id).get('worker') ?? 0;
      const [whole, own] = [treeCpuMicros(), inWorkers()];
      await Promise.all(work.map(Array.from({ length: tasks }, () => steps)));
      wholeSeconds = (treeCpuMicros() - whole) / 1e6;
      otherSeconds = wholeSeconds - (inWorkers() - own) / 1e6;
    });
    await run.close();
    await using database = await openDatabase(join(runDir, 'monitoring.db'));
    const row = await database.db
      .selectFrom('samples')
      .select((of) => of.fn.countAll<number>().as('n'))
      .executeTakeFirst();
    return { wholeSeconds, otherSeconds, samples: Number(row?.n ?? 0) };
  } finally {
    rmSync(runDir, { recursive: true, force: true });
  }
}

const tenth = calibrated();
process.stdout.write(`${where()}, load ${loadavg()[0]?.toFixed(1)}\n`);
for (const [name, steps, ms] of [
  ['20 s', tenth * 200, 20_000],
  ['1 s', tenth * 10, 1_000],
  ['100 ms', tenth, 100],
] as const) {
  const tasks = Math.round((seconds * 1_000 * workers) / ms);
  const modes = [false, '10s', '1s'] as const;
  const found = new Map<string | false, Measured[]>(modes.map((mode) => [mode, []]));
  for (let round = 0; round < Number(values.rounds); round++)
    for (const mode of modes) found.get(mode)?.push(await measure(mode, steps, tasks));
  for (const mode of modes) {
    const measured = found.get(mode) ?? [];
    const mean = (of: (one: Measured) => number): number =>
      measured.reduce((sum, one) => sum + of(one), 0) / measured.length;
    process.stdout.write(
      `${tasks} tasks of ${name}, ${mode === false ? 'no samples' : `samples each ${mode}`}: ${measured
        .map((one) => one.wholeSeconds.toFixed(2))
        .join(
          ', ',
        )} s CPU in all, ${measured.map((one) => one.otherSeconds.toFixed(2)).join(', ')} s of it not in workers (mean ${mean((one) => one.otherSeconds).toFixed(2)}), ${mean((one) => one.samples)} samples\n`,
    );
  }
}

// `chervil perf`: what an executor does with tasks that do nothing, as a curve over their number, and what one task alone and
// one that waits cost. The tasks, how their number grows, and when it ends are as in Parsl's benchmark.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { app } from '../app/app.ts';
import { htex } from '../executors/htex.ts';
import { inline } from '../executors/inline.ts';
import { threads } from '../executors/threads.ts';
import type { Config } from '../load/config.ts';
import { load } from '../load/load.ts';
import type { Run } from '../load/run.ts';
import { CommandError } from './command-error.ts';
import { configFrom } from './config-file.ts';
import {
  type Measured,
  type Measurement,
  measureBatch,
  measureLatency,
  measurePending,
  type Noop,
  runs,
} from './perf-measure.ts';

export interface PerfOptions {
  readonly config: string;
  readonly iterate?: string;
  /** Seconds. */
  readonly time: number;
  readonly argsize: number;
  readonly latency?: number;
  readonly pending?: number;
  readonly json?: boolean;
  readonly csv?: string;
}

/** Measures, and prints each measurement as soon as it is there. */
export async function perf(options: PerfOptions): Promise<void> {
  const sizes = options.iterate === undefined ? 'estimate' : sizesOf(options.iterate);
  const scratch = mkdtempSync(join(tmpdir(), 'chervil-perf-'));
  process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
  const config = await configOf(options.config, scratch);
  const { latency, pending, argsize, time } = options;
  const measurements: Measurement[] = [];
  const tell = (executor: string, { tasks, ...measured }: Measured): void => {
    const measurement: Measurement = { executor, tasks, argBytes: argsize, ...measured };
    measurements.push(measurement);
    process.stdout.write(options.json === true ? `${JSON.stringify(measurement)}\n` : line(measurement));
    if (options.csv !== undefined) writeCsv(options.csv, measurements);
  };

  const run: Run = await load(config);
  try {
    const labels = config.executors?.map(({ label }) => label) ?? [];
    const executor = labels.length > 1 ? labels.join('+') : (labels[0] ?? 'threads');
    const noop = app((..._: readonly unknown[]) => 7, { name: 'noop' }) as Noop;
    // Threads, workers and compiled code are there before the first measurement.
    await runs(noop, 300, argsize);
    if (options.json !== true) process.stdout.write(header(executor, options));
    if (pending !== undefined) tell(executor, await measurePending(noop, pending));
    if (latency !== undefined) tell(executor, await measureLatency(noop, latency, argsize));
    if (options.iterate !== undefined || (latency === undefined && pending === undefined)) {
      for await (const measured of curve(sizes, time, (tasks) => measureBatch(noop, tasks, argsize)))
        tell(executor, measured);
    }
  } finally {
    await run.close();
  }
}

type Sizes = 'estimate' | 'exponential' | readonly number[];
/** Ever more tasks, until they take as long as was asked for. The first size says little, so there are two at least. */
export async function* curve(
  sizes: Sizes,
  seconds: number,
  measure: (tasks: number) => Promise<Measured>,
): AsyncGenerator<Measured> {
  if (typeof sizes !== 'string') {
    for (const tasks of sizes) yield await measure(tasks);
    return;
  }
  let tasks = 10;
  for (let iteration = 1; ; iteration++) {
    const measured = await measure(tasks);
    yield measured;
    const took = measured.seconds ?? 0;
    if (iteration >= 2 && took >= (sizes === 'estimate' ? 0.75 * seconds : seconds)) return;
    if (sizes === 'exponential') tasks *= 2;
    else tasks = Math.max(1, Math.floor(seconds * (measured.tasksPerSecond ?? 1)));
  }
}

function sizesOf(mode: string): Sizes {
  if (mode === 'estimate' || mode === 'exponential') return mode;
  const sizes = mode.split(',').map((size) => (/^\s*[\d_]+\s*$/.test(size) ? Number(size.replaceAll('_', '')) : 0));
  if (sizes.some((size) => !Number.isSafeInteger(size) || size < 1)) {
    throw new CommandError(
      `--iterate takes 'estimate', 'exponential', or numbers of tasks such as 1000,10000, not '${mode}'`,
    );
  }
  return sizes;
}

async function configOf(name: string, scratch: string): Promise<Config> {
  const quiet: Config = { log: false, runDir: scratch };
  switch (name) {
    case 'inline':
      return { ...quiet, executors: [inline()] };
    case 'threads':
      return { ...quiet, executors: [threads()] };
    case 'htex':
      return { ...quiet, executors: [htex()] };
    default:
      return { ...quiet, ...(await (await configFrom(name))()) };
  }
}

function header(executor: string, { argsize, time }: PerfOptions): string {
  const width = (name: string): string => name.padStart(12);
  const columns = ['tasks', 'submit s', 'seconds', 'tasks/s', 'CPU us/task', 'p50 ms', 'p99 ms', 'bytes/task'];
  return `executor ${executor}, arguments of ${argsize} bytes, aiming at ${time} s\n${columns.map(width).join('')}\n`;
}

function line(measured: Measurement): string {
  const { tasks, submitSeconds, seconds, tasksPerSecond, cpuMicrosPerTask, p50Ms, p99Ms, bytesPerPending } = measured;
  const cell = (value: number | null, digits: number): string =>
    (value === null ? '-' : value.toFixed(digits)).padStart(12);
  const cells = [
    cell(tasks, 0),
    cell(submitSeconds, 3),
    cell(seconds, 3),
    cell(tasksPerSecond, 0),
    cell(cpuMicrosPerTask, 1),
    cell(p50Ms, 3),
    cell(p99Ms, 3),
    cell(bytesPerPending, 0),
  ];
  return `${cells.join('')}\n`;
}

/** Whole, after each measurement: what there is stays when the next is interrupted. */
function writeCsv(path: string, measurements: readonly Measurement[]): void {
  const columns = Object.keys(measurements[0] as Measurement) as (keyof Measurement)[];
  const rows = measurements.map((one) => columns.map((column) => one[column] ?? '').join(','));
  try {
    writeFileSync(path, `${[columns.join(','), ...rows].join('\n')}\n`);
  } catch (error) {
    throw new CommandError(`--csv: cannot write ${path}: ${(error as Error).message}`);
  }
}

// The measurements of `chervil perf`: time, CPU of the whole process tree, latency, and memory of waiting tasks.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { App } from '../app/types.ts';
import type { Future } from '../task/future.ts';
import { childCpuMicros } from './process-tree.ts';

/** Gives 7, whatever it is given. */
export type Noop = App<readonly unknown[], number>;

/** One measurement. What was not measured is `null`. */
export interface Measurement {
  readonly executor: string;
  readonly tasks: number;
  /** Bytes of the argument of each call. */
  readonly argBytes: number;
  /** Until the last call had returned. */
  readonly submitSeconds: number | null;
  /** From the first call until the last result. */
  readonly seconds: number | null;
  readonly tasksPerSecond: number | null;
  /** Of this process with its threads, and of all its children. */
  readonly cpuMicrosPerTask: number | null;
  readonly p50Ms: number | null;
  readonly p90Ms: number | null;
  readonly p99Ms: number | null;
  readonly bytesPerPending: number | null;
}

/** What is measured of some number of tasks. */
export type Measured = Omit<Measurement, 'executor' | 'argBytes'>;

const nothing = {
  submitSeconds: null,
  seconds: null,
  tasksPerSecond: null,
  cpuMicrosPerTask: null,
  p50Ms: null,
  p90Ms: null,
  p99Ms: null,
  bytesPerPending: null,
};

/** Submits `tasks` calls and waits for all. */
export async function measureBatch(noop: Noop, tasks: number, argBytes: number): Promise<Measured> {
  const cpuBefore = cpuMicros();
  const { submitMs, totalMs } = await runs(noop, tasks, argBytes);
  return {
    ...nothing,
    tasks,
    submitSeconds: rounded(submitMs / 1_000),
    seconds: rounded(totalMs / 1_000),
    tasksPerSecond: rounded((tasks / totalMs) * 1_000),
    cpuMicrosPerTask: rounded((cpuMicros() - cpuBefore) / tasks),
  };
}

/** One batch; every result is checked. */
export async function runs(
  noop: Noop,
  tasks: number,
  argBytes: number,
): Promise<{ submitMs: number; totalMs: number }> {
  const payload = payloadOf(argBytes);
  const futures: Future<number>[] = new Array(tasks);
  const start = performance.now();
  for (let index = 0; index < tasks; index++) futures[index] = payload === undefined ? noop() : noop(payload);
  const submitMs = performance.now() - start;
  for (const future of futures) check(await future);
  return { submitMs, totalMs: performance.now() - start };
}

/** Calls one at a time. */
export async function measureLatency(noop: Noop, tasks: number, argBytes: number): Promise<Measured> {
  const payload = payloadOf(argBytes);
  const once = async (): Promise<void> => check(await (payload === undefined ? noop() : noop(payload)));
  for (let index = 0; index < Math.min(tasks, 200); index++) await once();
  const took = new Float64Array(tasks);
  const cpuBefore = cpuMicros();
  const start = performance.now();
  for (let index = 0; index < tasks; index++) {
    const before = performance.now();
    await once();
    took[index] = performance.now() - before;
  }
  const seconds = (performance.now() - start) / 1_000;
  const cpu = (cpuMicros() - cpuBefore) / tasks;
  took.sort();
  const percentile = (share: number): number | null =>
    tasks === 0 ? null : rounded(took[Math.min(tasks - 1, Math.floor(tasks * share))] as number);
  return {
    ...nothing,
    tasks,
    seconds: rounded(seconds),
    tasksPerSecond: rounded(tasks / seconds),
    cpuMicrosPerTask: rounded(cpu),
    p50Ms: percentile(0.5),
    p90Ms: percentile(0.9),
    p99Ms: percentile(0.99),
  };
}

/** Memory of calls that wait for one that is not done: each with its future and one small argument beside. */
export async function measurePending(noop: Noop, tasks: number): Promise<Measured> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  let open: (value: number) => void = () => {};
  const gate = noop(
    new Promise<number>((resolve) => {
      open = resolve;
    }),
  );
  const futures: Future<number>[] = new Array(tasks);
  collect();
  const before = process.memoryUsage();
  const start = performance.now();
  for (let index = 0; index < tasks; index++) futures[index] = noop(gate, index);
  const submitMs = performance.now() - start;
  collect();
  const after = process.memoryUsage();
  open(7);
  for (const future of futures) check(await future);
  const bytes = after.heapUsed + after.external - before.heapUsed - before.external;
  return { ...nothing, tasks, submitSeconds: rounded(submitMs / 1_000), bytesPerPending: Math.round(bytes / tasks) };
}

function payloadOf(bytes: number): Uint8Array | undefined {
  return bytes === 0 ? undefined : new Uint8Array(bytes).fill(120);
}

function check(result: number): void {
  if (result !== 7) throw new Error(`a task gave ${String(result)} instead of 7`);
}

function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system + childCpuMicros();
}

function rounded(value: number): number {
  return Number(value.toPrecision(6));
}

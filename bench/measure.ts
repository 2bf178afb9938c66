// How the figures in RESULTS.md are taken: warmed up, each point at least a second, median of five, CPU of the whole process
// tree (threads included). Machines differ and are shared, so CPU per task and ratios within one run say more than rates.
import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** One measured point. */
export interface Point {
  readonly tasks: number;
  readonly seconds: number;
  readonly tasksPerSecond: number;
  readonly cpuMicrosPerTask: number;
}

/** Runs `work(tasks)` until a round takes a second, then five rounds; the median by CPU. */
export async function measure(
  work: (tasks: number) => Promise<void>,
  options: { first?: number; rounds?: number; least?: number } = {},
): Promise<Point> {
  const { rounds = 5, least = 1 } = options;
  let tasks = options.first ?? 10_000;
  await round(work, tasks);
  await round(work, tasks);
  for (;;) {
    const { seconds } = await round(work, tasks);
    if (seconds >= least) break;
    tasks = Math.ceil(tasks * Math.min(10, Math.max(1.3, (1.1 * least) / Math.max(seconds, 1e-3))));
  }
  return medianOf(await repeat(rounds, () => round(work, tasks)));
}

/** Five rounds of a fixed size; the median by CPU. */
export async function measureExactly(
  work: (tasks: number) => Promise<void>,
  tasks: number,
  rounds = 5,
): Promise<Point> {
  await round(work, tasks);
  return medianOf(await repeat(rounds, () => round(work, tasks)));
}

async function repeat(times: number, one: () => Promise<Point>): Promise<Point[]> {
  const points: Point[] = [];
  for (let index = 0; index < times; index++) points.push(await one());
  return points;
}

function medianOf(points: Point[]): Point {
  points.sort((a, b) => a.cpuMicrosPerTask - b.cpuMicrosPerTask);
  return points[points.length >> 1] as Point;
}

async function round(work: (tasks: number) => Promise<void>, tasks: number): Promise<Point> {
  (globalThis as { gc?: () => void }).gc?.();
  const cpuBefore = treeCpuMicros();
  const before = performance.now();
  await work(tasks);
  const seconds = (performance.now() - before) / 1_000;
  const cpu = treeCpuMicros() - cpuBefore;
  return { tasks, seconds, tasksPerSecond: tasks / seconds, cpuMicrosPerTask: cpu / tasks };
}

/** User and system time of this process with its threads, and of its children, in microseconds. */
export function treeCpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system + childrenCpuMicros(process.pid);
}

const tickMicros = 10_000;

function childrenCpuMicros(parent: number): number {
  let micros = 0;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const fields = readFileSync(`/proc/${entry}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      if (Number(fields[1]) !== parent) continue;
      micros += (Number(fields[11]) + Number(fields[12])) * tickMicros + childrenCpuMicros(Number(entry));
    } catch {
      // It ended while we looked.
    }
  }
  return micros;
}

/** The machine and the day, for RESULTS.md. */
export function where(): string {
  return `${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${cpus().length} cores of ${cpus()[0]?.model ?? 'unknown'}`;
}

export function show(name: string, point: Point): void {
  const rate = Math.round(point.tasksPerSecond).toLocaleString('en');
  console.log(
    `${name.padEnd(42)} ${rate.padStart(11)} tasks/s ${point.cpuMicrosPerTask.toFixed(2).padStart(8)} us CPU a task   (${point.tasks} a round)`,
  );
}

/** CPU time of all threads of a process, in nanoseconds: /proc/PID/stat counts in hundredths of a second only. */
export function cpuNanoseconds(pid: number): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`))
    sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
  return sum;
}

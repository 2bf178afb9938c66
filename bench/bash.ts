// Commands for each second: runCommand() against nothing but child_process.spawn, in one run, round by round.
// `node --import tsx bench/bash.ts [seconds for a point] [at once]`, after a build.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startReaper } from '#src/base/reaper.js';
import type { CommandFiles } from '#src/task/ports.js';
import { runCommand } from '#src/worker/bash.js';

const seconds = Number(process.argv[2] ?? 1);
const atOnce = Number(process.argv[3] ?? 2);
const rounds = 5;
const script = ': ';
const mark = `bench-${process.pid}`;
const directory = mkdtempSync(join(tmpdir(), 'chervil-bench-'));
const reaper = startReaper(mark);
let taskId = 0;

const bare = (): Promise<unknown> =>
  new Promise((resolve) => spawn('/bin/bash', ['-c', script], { stdio: 'ignore' }).once('exit', resolve));
const own = (files: CommandFiles, reaperFd?: number, timeoutMs = 0) =>
  runCommand({ command: script, files, timeoutMs, mark, taskId: ++taskId, tryNumber: 0, reaperFd });
const none: CommandFiles = { stdout: undefined, stderr: undefined, outputs: [] };
const both = (): CommandFiles => ({
  stdout: { path: join(directory, `${taskId % 1000}.stdout`), mode: 'append' },
  stderr: { path: join(directory, `${taskId % 1000}.stderr`), mode: 'append' },
  outputs: [],
});

const subjects: Record<string, () => Promise<unknown>> = {
  'spawn alone': bare,
  runCommand: () => own(none),
  '+ reaper': () => own(none, reaper.fd),
  '+ reaper, files': () => own(both(), reaper.fd),
  '+ reaper, files, timeout': () => own(both(), reaper.fd, 60_000),
};

/** Milliseconds of CPU of this process, its children that have ended, and the reaper. */
function cpuMs(): number {
  const of = (pid: number | 'self'): number[] =>
    readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')
      .map(Number);
  const [self, watcher] = [of('self'), of(reaper.pid)];
  // user, system, user and system of children; a hundredth of a second each
  return [self[11], self[12], self[13], self[14], watcher[11], watcher[12]].reduce<number>(
    (sum, ticks) => sum + (ticks ?? 0) * 10,
    0,
  );
}

interface Point {
  readonly rate: number;
  readonly cpu: number;
}

async function measure(run: () => Promise<unknown>, ms: number): Promise<Point> {
  const cpu = cpuMs();
  const start = performance.now();
  let count = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() - start < ms) {
      await run();
      count++;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return { rate: (count / (performance.now() - start)) * 1000, cpu: (cpuMs() - cpu) / count };
}

const points: Record<string, Point[]> = {};
for (let round = 0; round <= rounds; round++) {
  const order = Object.entries(subjects);
  if (round % 2 === 1) order.reverse();
  for (const [name, run] of order) {
    const point = await measure(run, seconds * 1000);
    points[name] ??= [];
    // The first round warms up.
    if (round > 0) points[name].push(point);
  }
}
const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const base = points['spawn alone'] ?? [];
console.log(`${atOnce} at once, Node ${process.version}`);
for (const [name, list] of Object.entries(points)) {
  const ratio = (of: (point: Point) => number): string =>
    (100 * median(list.map((point, index) => of(point) / of(base[index] ?? point)))).toFixed(0).padStart(4);
  const rate = median(list.map((point) => point.rate)).toFixed(0);
  const cpu = median(list.map((point) => point.cpu)).toFixed(2);
  console.log(
    `${name.padEnd(25)} ${rate.padStart(5)}/s (${ratio(({ rate }) => rate)} %)   CPU ${cpu} ms (${ratio(({ cpu }) => cpu)} %)`,
  );
}
await reaper.close();
rmSync(directory, { recursive: true });

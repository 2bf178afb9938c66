// Chervil's threads beside the thread pools of npm, in one run: each in a fresh process, in turn, the order turned round for
// the second pass; the better pass of each counts. Prints a table with ratios.
// npm install --prefix bench/peers && node --import tsx bench/peers/compare.ts
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Point, where } from '../measure.ts';

const names = ['chervil', 'piscina', 'piscina-concurrent', 'tinypool', 'poolifier', 'jest-worker'];
const best = new Map<string, Point>();
for (const order of [names, [...names].reverse()]) {
  for (const name of order) {
    const child = spawnSync(
      process.execPath,
      ['--expose-gc', '--import', 'tsx', fileURLToPath(new URL('./one.ts', import.meta.url)), name],
      {
        encoding: 'utf8',
        timeout: 180_000,
      },
    );
    const line = child.stdout.trim().split('\n').at(-1) ?? '';
    if (child.status !== 0 || !line.startsWith('{')) {
      console.log(`${name}: no result\n${child.stderr.slice(-800)}`);
      continue;
    }
    const point = JSON.parse(line) as Point;
    const known = best.get(name);
    if (known === undefined || point.tasksPerSecond > known.tasksPerSecond) best.set(name, point);
  }
}
const own = best.get('chervil');
if (own === undefined) throw new Error('no figure of our own, so nothing to compare with');
console.log(where());
console.log(
  '| pool, 2 threads, no-op | tasks/s | us CPU a task | chervil is faster by | and cheaper by |\n|---|---|---|---|---|',
);
for (const [name, point] of [...best].sort(([, a], [, b]) => b.tasksPerSecond - a.tasksPerSecond)) {
  const { tasksPerSecond, cpuMicrosPerTask } = point;
  console.log(
    `| ${name} | ${Math.round(tasksPerSecond).toLocaleString('en')} | ${cpuMicrosPerTask.toFixed(1)} | ${(own.tasksPerSecond / tasksPerSecond).toFixed(1)} | ${(cpuMicrosPerTask / own.cpuMicrosPerTask).toFixed(1)} |`,
  );
}

// htex on this machine: CPU of all processes for a task that does nothing, the rate, and the time of one task at a time.
// node --import tsx bench/htex.ts [encrypted] [tasks]
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { app, htex, load } from '#src/index.js';

const encrypted = process.argv.includes('encrypted');
const count = Number(process.argv.find((argument) => /^\d+$/.test(argument)) ?? 100_000);
const directory = mkdtempSync(join(tmpdir(), 'chervil-bench-'));
const startedAt = performance.now();
const run = await load({ executors: [htex({ maxWorkersPerNode: 2, encrypted })], runDir: directory, memo: false });
const add = app((a: number, b: number) => a + b, { name: 'add' });
const loadedMs = performance.now() - startedAt;
await add(1, 2);
console.log(
  `encrypted ${encrypted}: loaded after ${loadedMs.toFixed(0)} ms, first result after ${(performance.now() - startedAt).toFixed(0)} ms`,
);

const times: number[] = [];
for (let n = 0; n < 3_000; n++) {
  const from = performance.now();
  await add(n, 1);
  if (n >= 1_000) times.push(performance.now() - from);
}
times.sort((a, b) => a - b);
console.log(`one at a time: p50 ${at(times, 0.5)} ms, p99 ${at(times, 0.99)} ms`);

for (let round = 0; round < 3; round++) {
  const before = cpuMicroseconds();
  const from = performance.now();
  await Promise.all(Array.from({ length: count }, (_, n) => add(n, 1)));
  const ms = performance.now() - from;
  const after = cpuMicroseconds();
  const parts = [...after].map(([name, us]) => `${name} ${((us - (before.get(name) ?? 0)) / count).toFixed(1)}`);
  const all =
    [...after.values()].reduce((sum, us) => sum + us, 0) - [...before.values()].reduce((sum, us) => sum + us, 0);
  console.log(
    `${count} tasks: ${Math.round((count / ms) * 1_000)} a second, ${(all / count).toFixed(1)} us CPU each (${parts.join(', ')})`,
  );
}
await run.close();
rmSync(directory, { recursive: true });

function at(sorted: readonly number[], part: number): string {
  return (sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(2);
}

/** User and system time of this process and all of the executor's, by program. */
function cpuMicroseconds(): Map<string, number> {
  const found = new Map<string, number>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const isOwn = Number(entry) === process.pid;
      if (!isOwn && !readFileSync(`/proc/${entry}/environ`, 'latin1').includes(`CHERVIL_EXECUTOR=${run.id}`)) continue;
      const fields = readFileSync(`/proc/${entry}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ');
      const command = readFileSync(`/proc/${entry}/cmdline`, 'latin1');
      const name = isOwn ? 'program' : (/(interchange|pool|worker)\/\w+\.js/.exec(command)?.[1] ?? 'other');
      // In hundredths of a second.
      found.set(name, (found.get(name) ?? 0) + (Number(fields[11]) + Number(fields[12])) * 10_000);
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

// User and system time of a run's processes, for benchmarks.
import { readdirSync, readFileSync } from 'node:fs';

/** Microseconds of this process and of all that a run's executors have started, by program: interchange, pool, worker, other. */
export function cpuByProgram(runId: string): Map<string, number> {
  const { user, system } = process.cpuUsage();
  const found = new Map<string, number>([['program', user + system]]);
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    try {
      if (!readFileSync(`/proc/${entry}/environ`, 'latin1').includes(`CHERVIL_EXECUTOR=${runId}`)) continue;
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const command = readFileSync(`/proc/${entry}/cmdline`, 'latin1');
      const name = /(interchange|pool|worker)\/\w+\.(?:js|py)/.exec(command)?.[1] ?? 'other';
      // In hundredths of a second; a bash worker's commands are counted once they have ended (fields 13 and 14).
      const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0);
      found.set(name, (found.get(name) ?? 0) + (name === 'other' ? 0 : ticks * 10_000));
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

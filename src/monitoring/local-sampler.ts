// What the commands of bash apps use that run on this machine's threads: their processes carry the number of their task in
// their environment. Function bodies in threads share one process with all others, so nothing can be told of them alone.
// monitor.ts owns one where samples are wanted; pools of htex take their own.
import { readFileSync } from 'node:fs';
import { type ProcessUsage, processTable } from '../base/process-usage.ts';

/** A task's processes at one moment. */
export interface LocalSample {
  readonly task: number;
  readonly try: number;
  readonly pid: number;
  readonly usage: ProcessUsage;
}

export class LocalSampler {
  readonly #timer: NodeJS.Timeout;
  /** Whose process it is, by pid. One that is no task's is asked again: it may not have come to its own program yet. */
  readonly #known = new Map<number, { readonly task: number; readonly try: number }>();

  constructor(everyMs: number, run: string, take: (sample: LocalSample) => void) {
    this.#timer = setInterval(() => this.#look(run, take), everyMs).unref();
  }

  #look(run: string, take: (sample: LocalSample) => void): void {
    const table = processTable();
    const seen = new Set<number>();
    const pids = table.descendants(process.pid);
    for (const pid of pids) {
      if (seen.has(pid)) continue;
      const of = this.#known.get(pid) ?? taskOf(pid, run);
      if (of === undefined) continue;
      this.#known.set(pid, of);
      // What descends from it belongs to the same task.
      for (const child of table.descendants(pid)) seen.add(child);
      const usage = table.usage(pid);
      if (usage !== undefined) take({ ...of, pid, usage });
    }
    for (const pid of this.#known.keys()) if (!pids.includes(pid)) this.#known.delete(pid);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

/** Processes of pools have their pool to measure them. */
function taskOf(pid: number, run: string): { task: number; try: number } | undefined {
  let environment: string;
  try {
    environment = `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`;
  } catch {
    return undefined; // Gone already, or another user's.
  }
  if (!environment.includes(`\0CHERVIL_RUN=${run}\0`) || environment.includes('\0CHERVIL_EXECUTOR=')) return undefined;
  const found = /\0CHERVIL_TASK=(\d+)\.(\d+)/.exec(environment);
  return found === null ? undefined : { task: Number(found[1]), try: Number(found[2]) };
}

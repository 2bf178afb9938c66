// Measures now and then what the running tasks of a pool use, from /proc, and tells it in Parsl's form (RESOURCE_INFO): so it
// passes every interchange on the way to monitoring. shell.ts owns one where the submitter asked for it.
import { hostname } from 'node:os';
import { ownUsage, type ProcessUsage, processTable, usageSince } from '../base/process-usage.ts';
import { writeUsageItem } from '../wire/messages/monitoring.ts';
import type { PoolState } from './state.ts';

/** A task that runs longer than this is noticed, in milliseconds. */
const noticeMs = 200;

interface Running {
  readonly taskId: number;
  readonly base: ProcessUsage;
  sampledAt: number;
}

export class Sampler {
  readonly #timer: NodeJS.Timeout;
  readonly #running = new Map<number, Running>();

  /** @param pidOf process of the worker with this rank */
  constructor(
    everyMs: number,
    state: PoolState,
    pidOf: (rank: number) => number | undefined,
    send: (item: Uint8Array) => void,
  ) {
    this.#timer = setInterval(() => this.#look(everyMs, state, pidOf, send), Math.min(everyMs, noticeMs)).unref();
  }

  #look(
    everyMs: number,
    state: PoolState,
    pidOf: (rank: number) => number | undefined,
    send: (item: Uint8Array) => void,
  ): void {
    const now = Date.now();
    let table: ReturnType<typeof processTable> | undefined;
    for (const { rank, held } of state.workers) {
      const task = firstBegun(held.values());
      const pid = pidOf(rank);
      const known = this.#running.get(rank);
      if (task === undefined || pid === undefined) {
        if (known !== undefined) this.#running.delete(rank);
        continue;
      }
      if (known?.taskId !== task.taskId) {
        const base = ownUsage(pid);
        if (base !== undefined) this.#running.set(rank, { taskId: task.taskId, base, sampledAt: now });
        continue;
      }
      if (now - known.sampledAt < everyMs) continue;
      known.sampledAt = now;
      table ??= processTable();
      const usage = table.usage(pid);
      if (usage === undefined) continue;
      const used = usageSince(usage, known.base);
      send(
        writeUsageItem({
          task_id: task.taskId,
          resource_monitoring_interval: everyMs / 1_000,
          hostname: hostname(),
          timestamp: now / 1_000,
          psutil_process_pid: pid,
          psutil_process_time_user: used.userSeconds,
          psutil_process_time_system: used.systemSeconds,
          psutil_process_memory_resident: used.residentBytes,
          psutil_process_memory_virtual: used.virtualBytes,
          psutil_process_memory_percent: used.memoryPercent,
          psutil_process_disk_read: used.readBytes,
          psutil_process_disk_write: used.writeBytes,
          psutil_process_num_ctx_switches_voluntary: used.voluntarySwitches,
          psutil_process_num_ctx_switches_involuntary: used.involuntarySwitches,
          psutil_process_children_count: used.children,
          psutil_process_status: used.status,
          psutil_cpu_num: used.cpu,
        }),
      );
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

function firstBegun<Task extends { readonly beganAt: number | undefined }>(held: Iterable<Task>): Task | undefined {
  for (const task of held) if (task.beganAt !== undefined) return task;
  return undefined;
}

// What the executor tells to monitoring: hears the interchange's records of managers and the samples of pools, in Parsl's form,
// looks now and then how its managers stand, and passes on what happens to blocks. executor.ts owns one if the run is monitored.
import { readFileSync } from 'node:fs';
import type { JobStatus } from '../../blocks/provider.ts';
import type { Attempt, ExecutorWatch } from '../../task/ports.ts';
import type { ManagerLine } from '../../wire/messages/command.ts';
import { type MonitoringField, type MonitoringMessage, readMonitoring } from '../../wire/messages/monitoring.ts';
import { bindToRandomPort, createSocket, type DealerSocket, type Mechanism } from '../../wire/zmtp/socket.ts';

export interface HtexWatchParts {
  readonly watch: ExecutorWatch;
  readonly address: string;
  readonly portRange: readonly [number, number];
  /** The server's side of the link. */
  readonly mechanism: Mechanism;
  readonly managers: () => Promise<readonly ManagerLine[]>;
  readonly outstanding: () => number;
  readonly blocks: () => number;
  /** The attempt of a task by the number that the interchange knows. */
  readonly attemptOf: (id: number) => Attempt | undefined;
  readonly log: (message: string) => void;
}

/** How often it is looked how managers stand, in milliseconds; a row is written when something changed. */
const lookMs = 2_000;

export class HtexWatch {
  readonly #parts: HtexWatchParts;
  readonly #socket: DealerSocket;
  #port = 0;
  #timer: NodeJS.Timeout | undefined;
  #last = '';
  #isLooking = false;
  #hasComplained = false;

  private constructor(parts: HtexWatchParts) {
    this.#parts = parts;
    this.#socket = createSocket({
      type: 'dealer',
      mechanism: parts.mechanism,
      highWaterMark: 0,
      keepsAlive: false,
      onMessage: (frames) => {
        for (const frame of frames) this.#onMessage(frame);
      },
    });
  }

  static async open(parts: HtexWatchParts): Promise<HtexWatch> {
    const watch = new HtexWatch(parts);
    const { address, portRange } = parts;
    const host = address.includes(':') ? `[${address}]` : address;
    const endpoint = await bindToRandomPort(watch.#socket, `tcp://${host}`, { min: portRange[0], max: portRange[1] });
    watch.#port = Number(endpoint.slice(endpoint.lastIndexOf(':') + 1));
    watch.#timer = setInterval(() => void watch.look(), lookMs).unref();
    return watch;
  }

  /** Where the interchange shall send its messages. */
  get hub(): { readonly address: string; readonly port: number } {
    return { address: this.#parts.address, port: this.#port };
  }

  /** Asks how managers stand, and tells it if it has changed. Never rejects. */
  async look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const lines = (await this.#parts.managers()).filter((line) => line.isActive);
      this.#tellStanding(lines);
    } catch {
      // The interchange is being started, or gone: others tell.
    } finally {
      this.#isLooking = false;
    }
  }

  #tellStanding(lines: readonly ManagerLine[]): void {
    const { watch, outstanding, blocks } = this.#parts;
    const workers = lines.reduce((sum, line) => sum + line.workerCount, 0);
    const busy = lines.reduce((sum, line) => sum + Math.min(line.workerCount, line.tasks), 0);
    const all = outstanding();
    const standing = {
      outstanding: all,
      queued: Math.max(0, all - busy),
      workers,
      busy,
      managers: lines.length,
      blocks: blocks(),
    };
    const text = JSON.stringify(standing);
    if (text === this.#last) return;
    this.#last = text;
    watch.tell({ what: 'standing', ...standing });
  }

  onBlock(block: string, job: string | undefined, status: JobStatus, reason: string | undefined): void {
    const { state, stderrPath } = status;
    const isBad = state === 'failed' || state === 'missing' || state === 'timeout';
    this.#parts.watch.tell({
      what: 'block',
      block,
      job,
      status: state.toUpperCase().replaceAll('-', '_'),
      reason,
      detail: isBad && stderrPath !== undefined ? endOf(stderrPath) : undefined,
    });
    void this.look();
  }

  #onMessage(frame: Uint8Array): void {
    const message = readMonitoring(frame);
    if (!message.ok) {
      if (!this.#hasComplained) this.#parts.log(`a monitoring message cannot be read: ${message.error}`);
      this.#hasComplained = true;
      return;
    }
    const { kind } = message.value;
    if (kind === 'node') this.#onNode(message.value);
    else if (kind === 'resource') this.#onResource(message.value);
  }

  #onNode({ fields }: MonitoringMessage): void {
    const texts = (key: string): string | null => (typeof fields[key] === 'string' ? (fields[key] as string) : null);
    const parsl = texts('parsl_v') ?? '';
    this.#parts.watch.tell({
      what: 'manager',
      manager: texts('uid') ?? '',
      at: Math.round(numeric(fields['timestamp']) ?? Date.now()),
      host: texts('hostname') ?? '',
      block: texts('block_id'),
      workers: numeric(fields['worker_count']) ?? 0,
      busy: null,
      cpus: numeric(fields['cpu_count']),
      memoryBytes: numeric(fields['total_memory']),
      isActive: fields['active'] === true && fields['draining'] !== true,
      heartbeatAt: numeric(fields['last_heartbeat']),
      runtime: parsl.startsWith('chervil') || !/^\d/.test(texts('python_v') ?? '') ? 'node' : 'python',
      version: texts('python_v'),
      reason: fields['active'] === true ? (fields['draining'] === true ? 'draining' : null) : 'gone',
    });
    void this.look();
  }

  #onResource({ fields }: MonitoringMessage): void {
    const attempt = this.#parts.attemptOf(numeric(fields['task_id']) ?? -1);
    if (attempt === undefined) return;
    const columns: Record<string, string | number | null> = {};
    for (const [column, key] of Object.entries(sampleColumns)) {
      const value = fields[key];
      const isText = column === 'status' || column === 'cpu';
      if (value === undefined) columns[column] = null;
      else
        columns[column] = isText ? String(value) : wholeColumns.has(column) ? rounded(numeric(value)) : numeric(value);
    }
    this.#parts.watch.tell({ what: 'sample', attempt, columns });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#socket.close({ lingerMs: 0 });
  }
}

const sampleColumns = {
  pid: 'psutil_process_pid',
  user_seconds: 'psutil_process_time_user',
  system_seconds: 'psutil_process_time_system',
  resident_bytes: 'psutil_process_memory_resident',
  virtual_bytes: 'psutil_process_memory_virtual',
  memory_percent: 'psutil_process_memory_percent',
  read_bytes: 'psutil_process_disk_read',
  write_bytes: 'psutil_process_disk_write',
  voluntary_switches: 'psutil_process_num_ctx_switches_voluntary',
  involuntary_switches: 'psutil_process_num_ctx_switches_involuntary',
  children: 'psutil_process_children_count',
  status: 'psutil_process_status',
  cpu: 'psutil_cpu_num',
} as const;
const wholeColumns: ReadonlySet<string> = new Set(
  Object.keys(sampleColumns).filter((column) => !/seconds|percent/.test(column)),
);

function numeric(value: MonitoringField | undefined): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value);
}

function endOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').slice(-2_000);
  } catch {
    return undefined; // Nothing was written, or it is elsewhere.
  }
}

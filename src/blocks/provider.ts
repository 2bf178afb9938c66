// The port to where blocks come from: something that starts a command on the nodes of a job, says how the job is, and ends it. A block is
// one job. blocks/scaler.ts is the only caller.

/** How a job is. `missing`: it ended before its workers ever came; `scaled-in`: ended by us. */
export type JobState =
  | 'unknown'
  | 'pending'
  | 'running'
  | 'held'
  | 'cancelled'
  | 'completed'
  | 'failed'
  | 'timeout'
  | 'missing'
  | 'scaled-in';

/** Jobs in these states will not run again. */
export const terminalStates: ReadonlySet<JobState> = new Set([
  'cancelled',
  'completed',
  'failed',
  'timeout',
  'missing',
  'scaled-in',
]);

export interface JobStatus {
  /** Its pools had come, and so it worked for a while. */
  readonly hadWorkers?: boolean;
  readonly state: JobState;
  readonly message?: string;
  readonly exitCode?: number | null;
  /** Files with what the job wrote. */
  readonly stdoutPath?: string;
  readonly stderrPath?: string;
}

/** What a job is started with. */
export interface JobOptions {
  /** Unique in a run; part of file names. */
  readonly name: string;
  /** For scripts and outputs; it exists. */
  readonly directory: string;
  /** Variables of the job, beside those of this process where the provider has them. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * Starts and ends jobs. Contract:
 * `submit` resolves with an id that is its own, and rejects with words for people when nothing was started;
 * `status` answers for all ids, in their order, also for those that ended long ago;
 * `cancel` resolves when the jobs were asked to end, with whether each could be asked.
 */
export interface Provider {
  readonly label: string;
  readonly nodesPerBlock: number;
  /** Cores of each node, where they are known before it is there. */
  readonly coresPerNode?: number;
  /** Gigabytes of memory of each node, where they are known before it is there. */
  readonly memoryPerNode?: number;
  /** How often `status` may be asked, in milliseconds. */
  readonly pollMs: number;
  /** Jobs run on this machine: they can be reached over its loopback interface. */
  readonly isLocal: boolean;
  submit(command: string, options: JobOptions): Promise<string>;
  status(ids: readonly string[]): Promise<JobStatus[]>;
  cancel(ids: readonly string[]): Promise<boolean[]>;
  /** Calls back when a job ended, where the provider hears of it without being asked. */
  onEnded?: ((id: string) => void) | undefined;
}

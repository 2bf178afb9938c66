// local(): blocks on this machine. A job is a bash script in a process group of its own, and ends with it; script and outputs are files in
// the run directory.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { endProcesses } from '../base/processes.ts';
import { type Launcher, singleNodeLauncher } from './launchers.ts';
import type { JobOptions, JobStatus, Provider } from './provider.ts';

export interface LocalOptions {
  /** Shell text before the pool's command: modules to load, variables to set. @default '' */
  readonly workerInit?: string;
  /** @default singleNodeLauncher() */
  readonly launcher?: Launcher;
  /** How often jobs are looked at, in milliseconds. Their ends are heard of at once. @default 5000 */
  readonly pollMs?: number;
}

/**
 * A provider that starts blocks on this machine.
 *
 * @example
 * htex({ provider: local({ workerInit: 'module load node' }) })
 */
export function local(options: LocalOptions = {}): Provider {
  return new LocalProvider(options);
}

interface Job {
  readonly process: ChildProcess;
  readonly files: { readonly stdoutPath: string; readonly stderrPath: string };
  status: JobStatus;
  isCancelled: boolean;
  readonly ended: Promise<void>;
}

/** Between asking a job to end and ending it, in milliseconds. */
const graceMs = 2_000;

class LocalProvider implements Provider {
  readonly label = 'local';
  readonly nodesPerBlock = 1;
  readonly coresPerNode = availableParallelism();
  readonly isLocal = true;
  readonly pollMs: number;
  onEnded: ((id: string) => void) | undefined;
  readonly #options: LocalOptions;
  readonly #jobs = new Map<string, Job>();

  constructor(options: LocalOptions) {
    this.#options = options;
    this.pollMs = options.pollMs ?? 5_000;
  }

  async submit(command: string, { name, directory, environment }: JobOptions): Promise<string> {
    const { workerInit = '', launcher = singleNodeLauncher() } = this.#options;
    const base = join(directory, name);
    const files = { stdoutPath: `${base}.out`, stderrPath: `${base}.err` };
    writeFileSync(`${base}.sh`, `${workerInit}\nexport JOBNAME=${name}\n${launcher(command, 1)}\n`);
    const stdout = openSync(files.stdoutPath, 'w');
    const stderr = openSync(files.stderrPath, 'w');
    const child = spawn('/bin/bash', [`${base}.sh`], {
      detached: true,
      env: { ...process.env, ...environment },
      stdio: ['ignore', stdout, stderr],
    });
    closeSync(stdout);
    closeSync(stderr);
    const { pid } = child;
    if (pid === undefined) {
      const why = await new Promise<string>((resolve) => child.once('error', (error) => resolve(error.message)));
      throw new Error(`The block ${name} cannot be started: ${why}`);
    }
    const id = String(pid);
    let onEnd: () => void = () => {};
    const ended = new Promise<void>((resolve) => {
      onEnd = resolve;
    });
    const job: Job = { process: child, files, status: { state: 'running', ...files }, isCancelled: false, ended };
    this.#jobs.set(id, job);
    child.on('error', () => {
      // After a start the only error is one of kill(), which is not used.
    });
    child.once('exit', (exitCode, signal) => {
      const state = job.isCancelled ? 'cancelled' : exitCode === 0 ? 'completed' : 'failed';
      job.status = { state, exitCode, ...files, ...(signal === null ? {} : { message: `killed by ${signal}` }) };
      const tell = (): void => {
        onEnd();
        this.onEnded?.(id);
      };
      if (job.isCancelled) tell();
      // A job is over with its script: what that left behind, or who killed it did, would go on as nobody's.
      else void endProcesses({ group: pid }, { graceMs: 0 }).then(tell);
    });
    child.unref();
    return id;
  }

  async status(ids: readonly string[]): Promise<JobStatus[]> {
    return ids.map((id) => this.#jobs.get(id)?.status ?? { state: 'unknown', message: `there is no job ${id}` });
  }

  async cancel(ids: readonly string[]): Promise<boolean[]> {
    await Promise.all(
      ids.map(async (id) => {
        const job = this.#jobs.get(id);
        if (job === undefined || job.status.state !== 'running') return;
        job.isCancelled = true;
        job.process.ref();
        await endProcesses({ group: Number(id) }, { graceMs });
        await job.ended;
      }),
    );
    return ids.map((id) => this.#jobs.has(id));
  }
}

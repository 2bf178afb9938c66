// threads(): the executor of a single machine, on worker_threads. What a load() without a configuration uses.
import { ConfigError } from '../task/errors.ts';
import type { Executor } from '../task/ports.ts';
import { ThreadPool } from './threads/pool.ts';

export interface ThreadsOptions<Label extends string = string> {
  /** Unique among the executors. @default 'threads' */
  readonly label?: Label;
  /** Threads at most; they are started when there is work for them. @default one per available core */
  readonly max?: number;
  /** Heap of one thread, in megabytes: a body that needs more costs its task one try, with WORKER_LOST. Buffers are not counted. @default Node's own limit */
  readonly memoryMegabytes?: number;
}

/**
 * An executor that runs bodies in threads of this process: real parallelism, and a body that runs too long or is cancelled is
 * killed with its thread, which is replaced.
 *
 * @example
 * await using run = await load({ executors: [threads({ max: 4 })] });
 */
export function threads<const Label extends string = 'threads'>(
  options: ThreadsOptions<Label> = {},
): Executor & { readonly label: Label } {
  const { label = 'threads', max, memoryMegabytes } = options;
  const problems = [];
  for (const [path, value, least] of [
    ['max', max, 1],
    ['memoryMegabytes', memoryMegabytes, leastMegabytes],
  ] as const) {
    if (value !== undefined && (!Number.isInteger(value) || value < least)) {
      problems.push({ path, problem: `expected a whole number from ${least} up, not ${String(value)}` });
    }
  }
  for (const key of Object.keys(options)) {
    if (!['label', 'max', 'memoryMegabytes'].includes(key))
      problems.push({ path: key, problem: 'unknown option; there are label, max, memoryMegabytes' });
  }
  if (problems.length > 0) throw new ConfigError('threads()', problems);
  return new ThreadPool({ label: label as Label, max, memoryMegabytes });
}

/** With less some versions of Node cannot even start a thread, and end the whole process. */
const leastMegabytes = 16;

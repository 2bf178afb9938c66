// What a task is told whose thread ended under it. Used by thread.ts.
import { hostname } from 'node:os';
import { WorkerLostError } from '../../task/errors.ts';

/** How a thread ended by itself. */
export interface ThreadEnd {
  readonly worker: string;
  readonly exitCode: number;
  /** What nobody caught. */
  readonly uncaught: Error | undefined;
  readonly memoryMegabytes: number | undefined;
}

export function lossOf({ worker, exitCode, uncaught, memoryMegabytes }: ThreadEnd): WorkerLostError {
  const isMemory = (uncaught as NodeJS.ErrnoException | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY';
  if (isMemory) {
    const limit = memoryMegabytes === undefined ? '' : ` of ${memoryMegabytes} MB`;
    const detail = `The thread's heap reached its limit${limit}; give threads() a larger memoryMegabytes, or the task less to hold.`;
    return new WorkerLostError({ worker, host: hostname(), exitCode, reason: 'memory', detail });
  }
  if (uncaught === undefined) {
    return new WorkerLostError({
      worker,
      host: hostname(),
      exitCode,
      reason: 'exit',
      detail: 'The body called process.exit().',
    });
  }
  return new WorkerLostError({
    worker,
    host: hostname(),
    exitCode,
    reason: 'crash',
    detail: `Uncaught ${uncaught.name}: ${uncaught.message}`,
    stderrTail: uncaught.stack ?? '',
  });
}

/** For a body whose thread was ended because of it: nobody waits for its answer, as a rule. */
export function endedOnPurpose(worker: string): WorkerLostError {
  return new WorkerLostError({ worker, host: hostname(), reason: 'exit', detail: 'Its body was ended.' });
}

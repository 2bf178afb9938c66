// Which executors can run which bodies. The kernel asks when an app is called, and when a try is given away.
import type { Body, Executor, Runtime } from './ports.ts';

const nodeOnly: readonly Runtime[] = ['node'];

/** What a worker must have to run this body. */
export function runtimeOf(body: Body): Runtime {
  return body.kind === 'python' ? 'python' : 'node';
}

/** Whether an executor has workers for this. */
export function canRun(executor: Executor, runtime: Runtime): boolean {
  return (executor.runtimes ?? nodeOnly).includes(runtime);
}

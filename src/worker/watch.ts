// What ends a worker when its pool is gone, however the pool went and whatever the worker is doing: a thread that is blocked in a
// read on a pipe that only the pool holds. When the pipe ends it kills the worker's process group.
import { Worker } from 'node:worker_threads';

/** @param fd the worker's end of the pipe; nothing is ever written to it */
export function watchPool(fd: number): void {
  const thread = new Worker(program, {
    eval: true,
    workerData: { fd },
    env: {},
    execArgv: [],
    stdout: false,
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 },
  });
  thread.unref();
}

const program = `
const { readSync } = require('node:fs');
const { workerData } = require('node:worker_threads');
const bytes = Buffer.alloc(1);
for (;;) {
  try {
    if (readSync(workerData.fd, bytes, 0, 1, null) === 0) break;
  } catch (error) {
    if (error.code !== 'EAGAIN' && error.code !== 'EINTR') break;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
}
try {
  process.kill(-process.pid, 'SIGKILL');
} catch {
  process.kill(process.pid, 'SIGKILL');
}
`;

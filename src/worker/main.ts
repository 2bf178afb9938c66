// The program of a worker process: takes jobs from its pool, runs one at a time, and sends results back in batches.
//
//   pool ──fd 3: frames both ways (wire/link.ts)──> worker     fd 4: ends when the pool is gone (watch.ts)
//        ──fd 5: who has which job (claims.ts)                 fd 1, 2: the worker's log
//
// The pool starts it in a process group of its own, with CHERVIL_WORKER, a name that nobody else has, in its environment.
import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { hostname } from 'node:os';
import { inspect } from 'node:util';
import { type Reaper, startReaper } from '../base/reaper.ts';
import type { TaskError } from '../task/errors.ts';
import type { Answer, Place } from '../task/ports.ts';
import { WorkerClaims } from '../wire/claims.ts';
import { failureFromData, failureToData } from '../wire/failures.ts';
import { FrameCutter, FrameGatherer, fromWorker, toWorker } from '../wire/link.ts';
import { onLoading } from '../wire/loading.ts';
import { writeNote } from '../wire/notes.ts';
import { bytesVariable, directoryVariable, resultName } from '../wire/value-files.ts';
import { fromBytes, toBytes } from '../wire/values.ts';
import { IncomingJob, valueFiles } from './incoming.ts';
import { OneAtATime, type Outlet } from './one-at-a-time.ts';
import { asTaskError } from './runner.ts';
import { watchPool } from './watch.ts';

watchPool(4);

const environment = process.env;
const workerMark = environment['CHERVIL_WORKER'] ?? `${process.pid}`;
const block = environment['PARSL_WORKER_BLOCK_ID'];
const place: Place = {
  host: hostname(),
  worker: `${environment['PARSL_WORKER_POOL_ID'] ?? 'pool'}/${environment['PARSL_WORKER_RANK'] ?? 0}`,
  ...(block === undefined || block === 'None' ? {} : { block }),
};
const placeNote = writeNote({ what: 'running', place });
const nothing = new Uint8Array(0);
/** Nobody wakes who waits for it. */
const never = new Int32Array(new SharedArrayBuffer(4));
const maxWaiting = 16;
/** From so many bytes on a result is left in a file; never where this worker sees none. */
const filesFrom =
  environment[directoryVariable] === undefined ? Number.POSITIVE_INFINITY : Number(environment[bytesVariable] ?? 8_192);

const link = new Socket({ fd: 3, readable: true, writable: true });
const claims = new WorkerClaims(5);
const gatherer = new FrameGatherer();
let gathered = 0;
let outputTimer: NodeJS.Timeout | undefined;
let reaper: Reaper | undefined;

const outlet: Outlet = {
  get gathered() {
    return gathered;
  },
  claim: (ticket) => claims.begin(ticket),
  passedOver(ticket) {
    gatherer.add(fromWorker.passedOver, ticket, nothing);
  },
  began(ticket) {
    if (lane.current?.isTold === true) gatherer.add(fromWorker.note, ticket, placeNote);
    gatherer.add(fromWorker.began, ticket, nothing);
    outlet.flush();
  },
  answer(ticket, answer, isAbandoned, tookMs, beganAt) {
    gathered++;
    const { what, bytes } = answerBytes(answer, isAbandoned);
    gatherer.addEnd(what, ticket, bytes, tookMs, beganAt);
  },
  flush() {
    gathered = 0;
    if (outputTimer !== undefined) clearTimeout(outputTimer);
    outputTimer = undefined;
    // Whole and at once: behind it a body may compute without end, and the loop would not turn to write the rest.
    if (gatherer.length > 0) writeAtOnce(gatherer.take());
  },
};

function answerBytes(answer: Answer, isAbandoned: boolean): { what: number; bytes: Uint8Array } {
  let error: TaskError;
  if (answer.ok) {
    try {
      return { what: fromWorker.value, bytes: resultBytes(answer.value) };
    } catch (thrown) {
      error = asTaskError(thrown);
    }
  } else {
    error = answer.error;
  }
  return { what: isAbandoned ? fromWorker.abandoned : fromWorker.failure, bytes: toBytes(failureToData(error)) };
}

/** A result, if it is large as a file, where the submit side reads such. */
function resultBytes(value: unknown): Uint8Array {
  const job = lane.current as IncomingJob | undefined;
  // Most are no objects, and never large.
  const canBeLarge = (typeof value === 'object' && value !== null) || typeof value === 'string';
  if (!canBeLarge || job?.takesFiles !== true || filesFrom === Number.POSITIVE_INFINITY)
    return toBytes(value, 'the result');
  return valueFiles().write(() => resultName(workerMark, job.ticket), value, 'the result', filesFrom);
}

const lane = new OneAtATime(outlet, {
  mark: environment['CHERVIL_RUN'] ?? workerMark,
  get reaperFd() {
    // Only what carries the mark of this worker: there are other workers of the same run.
    reaper ??= startReaper(workerMark, 'CHERVIL_WORKER');
    return reaper.fd;
  },
  onCommand() {
    gatherer.add(fromWorker.command, lane.current?.ticket ?? 0, nothing);
    outlet.flush();
  },
  log: (_, text) => print('stderr', `${text}\n`),
});

const cutter = new FrameCutter((what, ticket, bytes) => {
  if (what === toWorker.job) {
    lane.add(new IncomingJob(ticket, bytes));
  } else if (what === toWorker.stop && lane.stop(ticket, failureFromData(fromBytes(bytes)))) {
    gatherer.add(fromWorker.stopping, ticket, nothing);
    outlet.flush();
  }
});
link.on('data', (piece: Buffer) => cutter.add(piece));
// The pool is gone, or wants this worker to end; the watch thread would end it as well.
link.on('end', () => process.kill(process.pid, 'SIGKILL'));
link.on('error', () => process.kill(process.pid, 'SIGKILL'));

/* What bodies print: to whoever wants to see it, else to this worker's log. */

let waitingOutput = 0;

function print(stream: 'stdout' | 'stderr', text: string): void {
  // Only IncomingJobs are added to the lane. What is printed when nothing runs is of a body that is done: nobody waits for it.
  const job = lane.current as IncomingJob | undefined;
  if (job === undefined || !job.wantsOutput) {
    writeAll(stream === 'stdout' ? 1 : 2, text);
    return;
  }
  gatherer.add(fromWorker.note, job.ticket, writeNote({ what: 'output', stream, text }));
  if (++waitingOutput >= maxWaiting) {
    waitingOutput = 0;
    outlet.flush();
  } else {
    outputTimer ??= setTimeout(() => outlet.flush(), 50);
  }
}

function writeAll(fd: number, text: string): void {
  try {
    writeSync(fd, text);
  } catch {
    // The log's disk is full: what bodies print is lost, which is no reason to fail them.
  }
}

for (const stream of ['stdout', 'stderr'] as const) {
  process[stream].write = ((chunk: string | Uint8Array, encoding?: unknown, done?: unknown): boolean => {
    print(stream, typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8'));
    const callback = typeof encoding === 'function' ? encoding : done;
    if (typeof callback === 'function') queueMicrotask(() => callback());
    return true;
  }) as typeof process.stdout.write;
}

/**
 * A body called process.exit(), or left an error that nobody caught. What other bodies gave must not go with it. The end itself is a
 * SIGKILL, and the exit code is told: Node would wait for the watch thread for ever.
 */
function onExit(exitCode: number): void {
  for (const listener of process.listeners('exit')) {
    if (listener === onExit) continue;
    try {
      listener.call(process, exitCode);
    } catch {
      // A body's own listener; nothing can be done with its error any more.
    }
  }
  gatherer.add(fromWorker.exiting, exitCode & 0xff, nothing);
  writeAtOnce(gatherer.take(), 2_000);
  process.kill(process.pid, 'SIGKILL');
}
process.on('exit', onExit);
// Node would print it only after the listeners of `exit`.
process.on('uncaughtExceptionMonitor', (error) => writeAll(2, `Uncaught ${inspect(error)}\n`));

/** Writes to the pool without the loop, for as long as the pool takes to read it. */
function writeAtOnce(bytes: Buffer, limitMs = Number.POSITIVE_INFINITY): void {
  const until = performance.now() + limitMs;
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(3, bytes, written);
    } catch (error) {
      // Anything else means that the pool is gone, with which this process ends.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() > until) return;
      Atomics.wait(never, 0, 0, 0.1);
    }
  }
}

onLoading((modules) => {
  const job = lane.current;
  if (job?.isTimed !== true) return;
  gatherer.add(fromWorker.loading, job.ticket, Buffer.from(modules.join('\n')));
  outlet.flush();
});
gatherer.add(fromWorker.ready, 0, nothing);
outlet.flush();

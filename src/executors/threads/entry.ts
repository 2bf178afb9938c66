// The program of one thread: takes jobs, runs one at a time, and sends results back in batches. Results of quick functions
// gather; before anything that may take long they leave, so that no result waits behind a long body.
import { receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { TaskError } from '../../task/errors.ts';
import type { Answer } from '../../task/ports.ts';
import { failureFromData, failureToData } from '../../wire/failures.ts';
import { loadFunction } from '../../wire/functions.ts';
import { checkValue, decodeValue, encodeValue } from '../../wire/values.ts';
import { asTaskError, type Job, Run } from '../../worker/runner.ts';
import {
  claim,
  type FromThread,
  type FunctionEntry,
  type JobExtra,
  jobStride,
  resultKind,
  runningCell,
  type ThreadData,
  type ToThread,
} from './messages.ts';

const { port, cells: cellBuffer, since: sinceBuffer, mark } = workerData as ThreadData;
const cells = new Int32Array(cellBuffer);
const since = new Float64Array(sinceBuffer);

/** Bodies quicker than this gather their results. */
const quickMs = 0.2;
const batchSize = 64;
/** So many quick runs make a function quick. */
const trustedRuns = 3;

interface Known extends FunctionEntry {
  loaded: CallableFunction | undefined;
  runs: number;
  slowestMs: number;
}

const functions: (Known | undefined)[] = [];
const noExtra: JobExtra = { tryNumber: 0, timeoutMs: 0, watched: false, files: undefined, wrappers: [], isEncoded: false };
let queue: unknown[] = [];
let head = 0;
let current: Run | undefined;
let currentSlot = -1;
let lastSlot = 0;
let isPumping = false;
let reaperFd: number | undefined;
let results: unknown[] = [];
let output: unknown[] = [];
let outputTimer: NodeJS.Timeout | undefined;

function send(message: FromThread): void {
  port.postMessage(message);
}

function flush(): void {
  if (results.length === 0 && output.length === 0) return;
  const message: FromThread = { ...(results.length > 0 ? { results } : {}), ...(output.length > 0 ? { output } : {}) };
  results = [];
  output = [];
  if (outputTimer !== undefined) clearTimeout(outputTimer);
  outputTimer = undefined;
  send(message);
}

function onMessage(message: ToThread): void {
  if ('stop' in message) {
    if (currentSlot !== message.stop || current === undefined || !current.canStop) return;
    send({ stopping: message.stop });
    current.stop(failureFromData(message.error));
    return;
  }
  for (const entry of message.functions ?? []) functions[entry.index] = { ...entry, loaded: undefined, runs: 0, slowestMs: 0 };
  reaperFd = message.reaperFd ?? reaperFd;
  if (head === queue.length) {
    queue = message.jobs as unknown[];
    head = 0;
  } else {
    for (const field of message.jobs) queue.push(field);
  }
  pump();
}

/** Runs jobs until one goes on by itself, or none is left. */
function pump(): void {
  if (isPumping || current !== undefined) return;
  isPumping = true;
  while (head < queue.length && current === undefined) {
    const at = head;
    head += jobStride;
    begin(at);
    // A stop or further jobs may have come; what is quick must not keep them waiting.
    if (current === undefined && head === queue.length) {
      const next = receiveMessageOnPort(port);
      if (next !== undefined) {
        isPumping = false;
        onMessage(next.message as ToThread);
        return;
      }
    }
  }
  isPumping = false;
  if (current === undefined) flush();
}

function begin(at: number): void {
  const slot = queue[at] as number;
  if (Atomics.compareExchange(cells, slot, claim.waiting, claim.running) !== claim.waiting) {
    results.push(slot, resultKind.passedOver, undefined, 0);
    return;
  }
  const known = functions[queue[at + 1] as number] as Known;
  const extra = (queue[at + 4] as JobExtra | undefined) ?? noExtra;
  const isQuick = known.runs >= trustedRuns && known.slowestMs < quickMs;
  if (!isQuick || results.length >= batchSize * 4) flush();
  currentSlot = slot;
  lastSlot = slot;
  const startedAt = performance.now();
  since[0] = Date.now();
  Atomics.store(cells, runningCell, slot + 1);
  if (extra.watched) send({ began: slot });
  const taskId = queue[at + 2] as number;
  const args = queue[at + 3] as readonly unknown[];
  const go = (decoded: readonly unknown[]): void => {
    const job: Job = {
      taskId,
      tryNumber: extra.tryNumber,
      app: known.app,
      kind: known.kind,
      args: decoded,
      wrappers: extra.wrappers,
      files: extra.files,
      timeoutMs: extra.timeoutMs,
    };
    const run = new Run(job, {
      mark,
      reaperFd,
      onGroup: (_, group) => send({ group: [slot, group] }),
      log: (_, text) => print(slot, 'stderr', `${text}\n`),
    });
    current = run;
    run.start(known.source, known.loaded, (answer) => end(known, slot, run, answer, performance.now() - startedAt));
  };
  const fail = (thrown: unknown): void => finish(known, slot, resultKind.failure, failureToData(asTaskError(thrown)), 0);
  try {
    if (known.loaded === undefined) {
      const loaded = loadFunction(known.source);
      if (loaded instanceof Promise) {
        current = loading;
        loaded.then((made) => {
          known.loaded = made;
          decodeThen(args, extra, go, fail);
        }, fail);
        return;
      }
      known.loaded = loaded;
    }
    decodeThen(args, extra, go, fail);
  } catch (thrown) {
    fail(thrown);
  }
}

/** Stands for a run while its function or arguments are still being loaded. */
const loading = { canStop: false } as Run;

function decodeThen(args: readonly unknown[], extra: JobExtra, go: (decoded: readonly unknown[]) => void, fail: (thrown: unknown) => void): void {
  if (!extra.isEncoded) {
    go(args);
    return;
  }
  const decoded = decodeValue(args);
  if (decoded instanceof Promise) {
    current = loading;
    decoded.then((ready) => go(ready as unknown[]), fail);
  } else {
    go(decoded as unknown[]);
  }
}

function end(known: Known, slot: number, run: Run, answer: Answer, tookMs: number): void {
  if (!answer.ok) {
    finish(known, slot, run.isAbandoned ? resultKind.abandoned : resultKind.failure, failureToData(answer.error), tookMs);
    return;
  }
  const { value } = answer;
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function' && typeof value !== 'symbol') {
    finish(known, slot, resultKind.value, value, tookMs);
    return;
  }
  try {
    if (checkValue(value, 'the result') === 'encode') finish(known, slot, resultKind.encoded, encodeValue(value, 'the result'), tookMs);
    else finish(known, slot, resultKind.value, value, tookMs);
  } catch (error) {
    finish(known, slot, resultKind.failure, failureToData(error as TaskError), tookMs);
  }
}

function finish(known: Known, slot: number, kind: number, value: unknown, tookMs: number): void {
  results.push(slot, kind, value, tookMs);
  known.runs++;
  // It forgets slowly: a first run that had to load and compile does not count for ever.
  known.slowestMs = Math.max(tookMs, known.slowestMs * 0.8);
  current = undefined;
  currentSlot = -1;
  Atomics.store(cells, runningCell, 0);
  Atomics.store(cells, slot, claim.done);
  if (results.length >= batchSize * 4 || tookMs > quickMs || typeof value === 'object') flush();
  if (!isPumping) pump();
}

/** What bodies print: it leaves with the results, or after a moment. */
function print(slot: number, stream: 'stdout' | 'stderr', text: string): void {
  output.push(slot, stream, text);
  if (output.length > 300) flush();
  else outputTimer ??= setTimeout(flush, 50);
}

for (const stream of ['stdout', 'stderr'] as const) {
  process[stream].write = ((chunk: string | Uint8Array, encoding?: unknown, done?: unknown): boolean => {
    print(currentSlot >= 0 ? currentSlot : lastSlot, stream, typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8'));
    const callback = typeof encoding === 'function' ? encoding : done;
    if (typeof callback === 'function') queueMicrotask(() => callback());
    return true;
  }) as typeof process.stdout.write;
}

port.on('message', onMessage);

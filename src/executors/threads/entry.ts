// The program of one thread: takes jobs, runs one at a time, and sends results back in batches. Small results of quick functions
// gather, and can be read in the shared slots meanwhile; every other result leaves before anything else is begun.
import { receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { Answer } from '../../task/ports.ts';
import { failureFromData, failureToData } from '../../wire/failures.ts';
import { loadFunction } from '../../wire/functions.ts';
import { onLoading } from '../../wire/loading.ts';
import { checkValue, cloneFailure, decodeValue, encodeValue } from '../../wire/values.ts';
import { asTaskError, type Job, Run } from '../../worker/runner.ts';
import {
  type FromThread,
  type FunctionEntry,
  type JobExtra,
  type JobsMessage,
  jobStride,
  resultKind,
  resultStride,
  type ThreadData,
  type ToThread,
} from './messages.ts';
import { capturePrinting } from './printing.ts';
import { Slots, threadTime } from './slots.ts';

const { port, parcels, memory, mark } = workerData as ThreadData;
const slots = new Slots(memory);

/** Bodies quicker than this gather their results. */
const quickMs = 0.2;
/** So many quick runs make a function quick. */
const trustedRuns = 3;
const mostGathered = 256 * resultStride;

interface Known extends FunctionEntry {
  loaded: CallableFunction | undefined;
  runs: number;
  slowestMs: number;
}

const functions: (Known | undefined)[] = [];
const noExtra: JobExtra = {
  tryNumber: 0,
  timeoutMs: 0,
  watched: false,
  files: undefined,
  wrappers: [],
  isEncoded: false,
};
let queue: unknown[] = [];
let head = 0;
/** What runs: its slot, and its run once that has begun. */
let currentSlot = -1;
let current: Run | undefined;
let isTimed = false;
let isQuick = false;
let lastSlot = 0;
let isPumping = false;
/** A body goes on that was answered: this thread runs nothing more, and will be ended. */
let isAbandoned = false;
let reaperFd: number | undefined;
let results: unknown[] = [];
let output: unknown[] = [];

function send(message: FromThread): void {
  port.postMessage(message);
}

function flush(): void {
  if (results.length === 0 && output.length === 0) return;
  const message: FromThread = {
    ...(results.length > 0 ? { results } : undefined),
    ...(output.length > 0 ? { output } : undefined),
  };
  results = [];
  output = [];
  send(message);
}

function onMessage(message: ToThread): void {
  if ('stop' in message) {
    onStop(message.stop, message.error);
    return;
  }
  if ('parcel' in message) {
    const parcel = slots.read(() => receiveMessageOnPort(parcels));
    if (parcel !== undefined) onJobs(parcel.message as JobsMessage);
    return;
  }
  onJobs(message);
}

function onJobs(message: JobsMessage): void {
  for (const entry of message.functions ?? [])
    functions[entry.index] = { ...entry, loaded: undefined, runs: 0, slowestMs: 0 };
  reaperFd = message.reaperFd ?? reaperFd;
  if (head === queue.length) {
    queue = message.jobs as unknown[];
    head = 0;
  } else {
    if (head > 0) queue = queue.slice(head);
    head = 0;
    for (const field of message.jobs) queue.push(field);
  }
  pump();
}

function onStop(slot: number, error: unknown): void {
  if (currentSlot !== slot || current === undefined || !current.canStop) return;
  send({ stopping: slot });
  current.stop(failureFromData(error));
}

/** Runs jobs until one goes on by itself, or none is left. */
function pump(): void {
  if (isPumping) return;
  isPumping = true;
  while (currentSlot < 0 && !isAbandoned) {
    if (head < queue.length) {
      const at = head;
      head += jobStride;
      begin(at);
      continue;
    }
    // Further jobs may have come; results go on gathering while they do.
    const next = receiveMessageOnPort(port);
    if (next === undefined) break;
    onMessage(next.message as ToThread);
  }
  isPumping = false;
  // Before it waits, for the loop's turn or for a body.
  flush();
}

function begin(at: number): void {
  const slot = queue[at] as number;
  const known = functions[queue[at + 1] as number] as Known;
  const taskId = queue[at + 2] as number;
  const args = queue[at + 3] as readonly unknown[];
  const extra = (queue[at + 4] as JobExtra | undefined) ?? noExtra;
  queue[at + 3] = undefined;
  const startedAt = threadTime();
  if (!slots.begin(slot, startedAt)) {
    results.push(slot, resultKind.passedOver, undefined, 0);
    return;
  }
  currentSlot = slot;
  lastSlot = slot;
  isTimed = extra.timeoutMs > 0;
  isQuick = known.runs >= trustedRuns && known.slowestMs < quickMs;
  if (!isQuick || results.length >= mostGathered) flush();

  const fail = (thrown: unknown): void =>
    finish(known, slot, resultKind.failure, failureToData(asTaskError(thrown)), threadTime() - startedAt);
  const run = (decoded: readonly unknown[]): void => {
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
    const here = new Run(job, {
      mark,
      reaperFd,
      onCommand: () => slots.beginCommand(),
      onGroup: (_, group) => send({ group: [slot, group] }),
      log: (_, text) => print('stderr', `${text}\n`),
    });
    current = here;
    here.start(
      known.source,
      known.loaded,
      (answer) => end(known, slot, here, answer, threadTime() - startedAt),
      extra.watched || extra.timeoutMs > 0 ? () => onBegin(slot, extra) : undefined,
    );
  };
  try {
    const loaded = known.loaded ?? loadFunction(known.source);
    const decoded = extra.isEncoded ? decodeValue(args) : args;
    if (loaded instanceof Promise || decoded instanceof Promise) {
      Promise.all([loaded, decoded]).then(([made, ready]) => {
        known.loaded = made;
        run(ready as readonly unknown[]);
      }, fail);
      return;
    }
    known.loaded = loaded;
    run(decoded as readonly unknown[]);
  } catch (thrown) {
    fail(thrown);
  }
}

/** What was loaded for a body does not count for its timeout. */
function onBegin(slot: number, { watched }: JobExtra): void {
  slots.beginBody(threadTime());
  // Of a quick body the executor tells it when it has the result.
  if (!watched || isQuick) return;
  results.push(slot, resultKind.began, undefined, 0);
  flush();
}

function end(known: Known, slot: number, run: Run, answer: Answer, tookMs: number): void {
  if (!answer.ok) {
    isAbandoned = run.isAbandoned;
    finish(known, slot, isAbandoned ? resultKind.abandoned : resultKind.failure, failureToData(answer.error), tookMs);
    return;
  }
  const { value } = answer;
  if (isPrimitive(value)) {
    finish(known, slot, resultKind.value, value, tookMs);
    return;
  }
  try {
    const crossing = checkValue(value, 'the result');
    if (crossing === 'encode') finish(known, slot, resultKind.encoded, encodeValue(value, 'the result'), tookMs);
    else finish(known, slot, resultKind.value, value, tookMs);
  } catch (error) {
    finish(known, slot, resultKind.failure, failureToData(asTaskError(error)), tookMs);
  }
}

function isPrimitive(value: unknown): boolean {
  return (typeof value !== 'object' || value === null) && typeof value !== 'function' && typeof value !== 'symbol';
}

function finish(known: Known, slot: number, kind: number, value: unknown, tookMs: number): void {
  known.runs++;
  known.slowestMs = Math.max(tookMs, known.slowestMs * 0.8);
  const isKept = kind === resultKind.value && slots.keeps(value);
  results.push(slot, kind, value, tookMs);
  // IMPORTANT: before anything is sent, as the executor uses the slot again as soon as it has the result.
  slots.finish(slot, isKept, value);
  // What the shared slots do not keep must be sent before another body begins: this thread may be ended in that.
  if (!isKept || tookMs > quickMs) flushLast(slot, tookMs);
  current = undefined;
  currentSlot = -1;
  pump();
}

/** Sends what has gathered. When structured clone refuses what passed the check, because of a getter perhaps, the last result is its failure. */
function flushLast(slot: number, tookMs: number): void {
  const gathered = results;
  const printed = output;
  try {
    flush();
  } catch (thrown) {
    gathered.splice(
      -resultStride,
      resultStride,
      slot,
      resultKind.failure,
      failureToData(asTaskError(cloneFailure(thrown, 'the result'))),
      tookMs,
    );
    send({ results: gathered, output: printed });
  }
}

/** What bodies print leaves at once, so that it can be read while they run; that of quick ones leaves with their results. */
function print(stream: 'stdout' | 'stderr', text: string): void {
  output.push(currentSlot >= 0 ? currentSlot : lastSlot, stream, text);
  if (currentSlot < 0 || !isQuick || output.length > 300) flush();
}

onLoading((modules) => {
  if (currentSlot >= 0 && isTimed) send({ loading: [currentSlot, modules] });
});
capturePrinting(print);
// process.exit() in a body: what is gathered still leaves.
process.on('exit', flush);
slots.live();
port.on('message', onMessage);

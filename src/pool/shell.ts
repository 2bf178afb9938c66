// The pool as a process sees it: owns the socket to the interchange, the worker processes, the timer and the log, feeds the core and
// carries out what it wants. It moves messages and decides nothing. main.ts starts it.
//
//   interchange ROUTER <──DEALER── shell <-> core          workers: one process each, in a group of its own,
//                                    ├── fd 3 frames ──── worker 0      which ends when the pool does
//                                    └── fd 3 frames ──── worker 1 …
import { availableParallelism, hostname, type as osType, totalmem } from 'node:os';
import type { LogFile } from '../base/log-file.ts';
import { CancelledError, type TaskError, WorkerLostError } from '../task/errors.ts';
import type { Runtime } from '../task/ports.ts';
import { isNodeCall } from '../wire/calls.ts';
import { codeVariable } from '../wire/code-names.ts';
import { failureToData } from '../wire/failures.ts';
import { fromWorker, readEnd, toWorker } from '../wire/link.ts';
import { entry, isBatchable, ResultGatherer } from '../wire/messages/batch.ts';
import { packFailure } from '../wire/messages/failure.ts';
import { type Outcome, writeNoteItem, writeOutcome } from '../wire/messages/item.ts';
import {
  knownExtensions,
  readInterchangeMessage,
  resultHeader,
  writeManagerMessage,
} from '../wire/messages/manager.ts';
import { contextValue, readTaskBatch } from '../wire/messages/task.ts';
import { writeNote } from '../wire/notes.ts';
import { seesValues } from '../wire/value-directory.ts';
import { bytesVariable, directoryVariable, isReference, resultName, ValueFiles } from '../wire/value-files.ts';
import { toBytes } from '../wire/values.ts';
import type { DealerSocket, PeerFailure } from '../wire/zmtp/socket.ts';
import type { PoolArguments } from './arguments.ts';
import { WorkerChild } from './child.ts';
import { CodeStore } from './code.ts';
import { pythonEnvironment, workerCommand } from './command.ts';
import { createPool, type PoolState, step } from './core.ts';
import type { JobEnd, PoolEffect, PoolEvent, Ran, TaskIn } from './events.ts';
import { eraOf, type PythonFacts } from './python.ts';
import { acceleratorEnvironment, affinityEnvironment } from './resources.ts';
import { Sampler } from './sampler.ts';

/** What a pool is made with, beside its arguments. */
export interface PoolParts {
  readonly arguments: PoolArguments;
  readonly directory: string;
  readonly runtime: Runtime;
  /** The pool of this process whose workers run the other language, if there is one. */
  readonly sibling: () => Pool | undefined;
  readonly workerCount: number;
  readonly cores: readonly (readonly number[])[] | undefined;
  /** NVIDIA devices of this node; 0 when nobody needs to know. */
  readonly devices: number;
  readonly log: LogFile;
  readonly version: string;
  /** Called once, when the pool must end. */
  readonly onEnd: (exitCode: number, reason: string) => void;
}

/**
 * Whose interchange it is. Chervil's takes many results in a message; Python's one, since 2026.10.05 without the frame that announces it.
 * Python's also wants a manager with its own versions.
 */
export type Home = { readonly isChervil: true; readonly python?: PythonFacts } | PythonHome;

export interface PythonHome {
  readonly isChervil: false;
  readonly python: PythonFacts;
}

export class Pool {
  readonly #parts: PoolParts;
  readonly #code: CodeStore;
  readonly #state: PoolState;
  readonly #effects: PoolEffect[] = [];
  readonly #children: (WorkerChild | undefined)[] = [];
  #socket: DealerSocket | undefined;
  #home: Home = { isChervil: true };
  /** Tasks that came to the other pool of this node. */
  readonly #adopted = new Map<number, Pool>();
  #items: Uint8Array[] = [];
  /** Results of this turn, for an interchange that reads batches. */
  readonly #batch = new ResultGatherer();
  #sendsBatches = false;
  readonly #placeNotes: Uint8Array[] = [];
  #timer: NodeJS.Timeout | undefined;
  #hasTurn = false;
  /** When the results of this turn were taken, in milliseconds since the epoch; 0: none that says so. */
  #turnAt = 0;
  #hasEnded = false;
  #commandsLeft = 0;
  #onCommandEnded: (() => void) | undefined;
  #starts = 0;
  /** Where its workers leave large results; `undefined` when they cannot. */
  readonly #values: ValueFiles | undefined;
  readonly #sampler: Sampler | undefined;

  constructor(parts: PoolParts) {
    this.#parts = parts;
    this.#code = new CodeStore(parts.directory);
    if (seesValues(parts.arguments.values)) this.#values = new ValueFiles(parts.arguments.values);
    const { arguments: given, workerCount, runtime } = parts;
    this.#state = createPool(
      {
        uid: given.uid,
        hostname: hostname(),
        runtime,
        workerCount,
        prefetch: given.prefetch,
        heartbeatPeriodMs: given.heartbeatPeriodMs,
        heartbeatThresholdMs: given.heartbeatThresholdMs,
        drainAfterMs: given.drainAfterMs,
        leastLoadingMs: given.leastLoadingMs,
        isDebug: given.isDebug,
        begun: (rank) => this.#children[rank]?.begun ?? 0,
        takeBack: (rank, from, to) => this.#children[rank]?.takeBack(from, to) ?? Number.POSITIVE_INFINITY,
      },
      now(),
    );
    // They take longer to start than finding the interchange does.
    for (let rank = 0; rank < workerCount; rank++) this.#startWorker(rank);
    if (given.sampleMs > 0) {
      this.#sampler = new Sampler(
        given.sampleMs,
        this.#state,
        (rank) => this.#children[rank]?.pid,
        (item) => {
          if (this.#socket !== undefined && !this.#hasEnded) this.#socket.send([resultHeader(), item]);
        },
      );
    }
  }

  /** The connection to the interchange stands; messages come from now on. */
  connected(socket: DealerSocket, home: Home): void {
    this.#socket = socket;
    this.#home = home;
    this.feed({ type: 'connected' });
  }

  /** For the socket: the connection broke, or could not be made. */
  disconnected(failure: PeerFailure): void {
    this.feed({ type: 'disconnected', isRefused: failure.detail.includes('ECONNREFUSED') });
  }

  /** For the socket: what the interchange said. */
  onMessage(frames: readonly Uint8Array[]): void {
    const message = readInterchangeMessage(frames);
    if (!message.ok) {
      this.feed({ type: 'malformed', reason: message.error });
      return;
    }
    const { value } = message;
    switch (value.type) {
      case 'tasks': {
        const batch = readTaskBatch(value.value);
        if (!batch.ok) {
          this.feed({ type: 'malformed', reason: batch.error });
          return;
        }
        this.#take(
          batch.value.flatMap(({ taskId, buffer, context }) =>
            typeof taskId === 'number' ? [{ taskId, buffer, context }] : [],
          ),
        );
        return;
      }
      case 'batches':
        for (const { frame, context, ids, starts, ends } of value.batches) {
          const known = contextValue(context);
          this.#take(
            ids.map((taskId, at) => ({ taskId, buffer: frame.subarray(starts[at], ends[at]), context: known })),
          );
        }
        return;
      case 'welcome':
        this.#sendsBatches = value.readsBatches === true;
        this.feed({ type: 'welcome' });
        return;
      case 'probe':
        // An answer to our second probe, or a late one.
        return;
      case 'refusal':
        this.feed({ type: 'refusal', reason: value.reason });
        return;
      case 'code':
        this.feed({ type: 'code', name: value.name, problem: this.#keepCode(value.name, value.bytes) });
        return;
      case 'cancel':
        this.feed({ type: 'cancel', taskIds: value.taskIds, reason: value.reason ?? '' });
        return;
      default:
        this.feed({ type: value.type });
    }
  }

  /** @returns why the file is not there */
  #keepCode(name: string, bytes: Uint8Array | undefined): string | undefined {
    if (bytes === undefined) return 'the interchange does not have it';
    const kept = this.#code.keep(name, bytes);
    return kept.ok ? undefined : kept.error;
  }

  /** One event; the turn ends when all that came in this turn of the loop was taken. */
  feed(event: PoolEvent): void {
    if (this.#hasEnded) return;
    step(this.#state, event, now(), this.#effects);
    this.#carryOut();
    this.#endTurn();
  }

  #endTurn(): void {
    if (this.#hasTurn) return;
    this.#hasTurn = true;
    setImmediate(this.#onTurn);
  }

  /** Takes tasks. An interchange that does not know what we run may send any: what the other pool of this node runs is for that one. */
  #take(tasks: readonly TaskIn[]): void {
    const { runtime, sibling } = this.#parts;
    const other = sibling();
    const isOwn = ({ buffer }: TaskIn): boolean => isNodeCall(buffer) === (runtime === 'node');
    if (other === undefined || tasks.every(isOwn)) {
      this.feed({ type: 'tasks', tasks });
      return;
    }
    this.feed({ type: 'tasks', tasks: tasks.filter(isOwn) });
    other.adopt(
      tasks.filter((task) => !isOwn(task)),
      this,
    );
  }

  /** Runs tasks that came to the other pool of this node, which sends what comes of them. */
  adopt(tasks: readonly TaskIn[], from: Pool): void {
    for (const { taskId } of tasks) this.#adopted.set(taskId, from);
    this.feed({ type: 'tasks', tasks });
  }

  /** The pool to which a task came, and which sends what comes of it. */
  #senderOf(taskId: number, isLast: boolean): Pool {
    if (this.#adopted.size === 0) return this;
    const from = this.#adopted.get(taskId);
    if (from === undefined) return this;
    if (isLast) this.#adopted.delete(taskId);
    from.#endTurn();
    return from;
  }

  #addOutcome({ taskId, isException, bytes }: Outcome): void {
    this.#senderOf(taskId, true).#add(taskId, isException ? entry.exception : entry.value, bytes);
  }

  /** A result with where and when its body ran. */
  #addRan({ taskId, isException, bytes }: Outcome, { rank, beganAt, tookMs }: Ran): void {
    const sender = this.#senderOf(taskId, true);
    const place = this.#placeNote(rank);
    if (sender.#sendsBatches && isBatchable(taskId)) {
      const what = isException ? entry.ranException : entry.ranValue;
      // All of a turn are sent together.
      if (this.#turnAt === 0) this.#turnAt = Date.now();
      sender.#batch.addRan(taskId, what, Math.max(0, this.#turnAt - beganAt), tookMs, place, bytes);
      sender.#cutBatch();
    } else {
      sender.#add(taskId, entry.note, place);
      sender.#add(taskId, isException ? entry.exception : entry.value, bytes);
    }
  }

  /** The note that a body runs on this worker. */
  #placeNote(rank: number): Uint8Array {
    const { uid, blockId } = this.#parts.arguments;
    const block = blockId === 'None' ? {} : { block: blockId };
    this.#placeNotes[rank] ??= writeNote({
      what: 'running',
      place: { host: hostname(), worker: `${uid}/${rank}`, ...block },
    });
    return this.#placeNotes[rank];
  }

  #cutBatch(): void {
    if (this.#batch.length >= mostBatchBytes) this.#items.push(this.#batch.take());
  }

  /** Adds to what is sent at the end of the turn. */
  #add(taskId: number, what: number, bytes: Uint8Array): void {
    if (this.#sendsBatches && isBatchable(taskId)) {
      this.#batch.add(taskId, what, bytes);
      this.#cutBatch();
    } else if (what === entry.note) {
      this.#items.push(writeNoteItem({ taskId, bytes }));
    } else {
      this.#items.push(writeOutcome({ taskId, isException: what === entry.exception, bytes }));
    }
  }

  readonly #onTurn = (): void => {
    this.#hasTurn = false;
    this.#turnAt = 0;
    if (this.#hasEnded) return;
    step(this.#state, { type: 'turn' }, now(), this.#effects);
    this.#carryOut();
    for (const child of this.#children) child?.flush();
    this.#sendItems();
  };

  #sendItems(): void {
    if (this.#batch.length > 0) this.#items.push(this.#batch.take());
    if (this.#items.length === 0) return;
    if (this.#home.isChervil) this.#socket?.send([resultHeader(), ...this.#items]);
    else {
      const isAlone = eraOf(this.#home.python) === 'I';
      for (const item of this.#items) this.#socket?.send(isAlone ? [item] : [resultHeader(), item]);
    }
    this.#items = [];
  }

  #carryOut(): void {
    const effects = this.#effects;
    for (let at = 0; at < effects.length; at++) this.#do(effects[at] as PoolEffect);
    effects.length = 0;
  }

  #do(effect: PoolEffect): void {
    switch (effect.do) {
      case 'send job':
        this.#children[effect.rank]?.add(toWorker.job, effect.ticket, effect.buffer);
        return;
      case 'result':
        if (effect.ran === undefined) this.#addOutcome(effect);
        else this.#addRan(effect, effect.ran);
        return;
      case 'fail':
        this.#addOutcome({
          taskId: effect.taskId,
          isException: true,
          bytes: effect.isPython ? pythonFailureBytes(effect.error) : failureBytes(effect.error),
        });
        return;
      case 'note':
        this.#senderOf(effect.taskId, false).#add(effect.taskId, entry.note, effect.bytes);
        return;
      case 'note running':
        this.#senderOf(effect.taskId, false).#add(effect.taskId, entry.note, this.#placeNote(effect.rank));
        return;
      case 'stop job': {
        const child = this.#children[effect.rank];
        child?.add(toWorker.stop, effect.ticket, failureBytes(effect.error));
        child?.flush();
        return;
      }
      case 'register':
        this.#socket?.send([writeManagerMessage({ type: 'registration', registration: this.#registration() })]);
        return;
      case 'heartbeat':
      case 'drain':
        this.#socket?.send([writeManagerMessage({ type: effect.do })]);
        return;
      case 'ask for code':
        this.#socket?.send([writeManagerMessage({ type: 'chervil_code', name: effect.name })]);
        return;
      case 'tell capacity':
        this.#socket?.send([writeManagerMessage({ type: 'chervil_capacity', capacity: effect.capacity })]);
        return;
      case 'start worker':
        this.#startWorker(effect.rank);
        return;
      case 'kill worker':
        void this.#children[effect.rank]?.kill();
        return;
      case 'timer':
        clearTimeout(this.#timer);
        this.#timer = setTimeout(
          () => this.feed({ type: 'timer' }),
          Math.min(2 ** 31 - 1, Math.max(0, effect.at - now())),
        );
        return;
      case 'log':
        this.#log(effect.level, effect.text);
        return;
      case 'end':
        this.#end(effect.exitCode, effect.reason);
        return;
      default:
        effect satisfies never;
    }
  }

  #startWorker(rank: number): void {
    const { arguments: given, workerCount, cores, directory, runtime } = this.#parts;
    const mark = `${given.uid}.${process.pid}.${rank}.${this.#starts++}`;
    this.#children[rank] = new WorkerChild({
      rank,
      mark,
      logDirectory: directory,
      environment: {
        [codeVariable]: this.#code.directory,
        PARSL_WORKER_RANK: String(rank),
        PARSL_WORKER_COUNT: String(workerCount),
        PARSL_WORKER_POOL_ID: given.uid,
        PARSL_WORKER_BLOCK_ID: given.blockId,
        ...(this.#values === undefined
          ? {}
          : { [directoryVariable]: this.#values.directory, [bytesVariable]: String(given.valuesFrom) }),
        ...(runtime === 'python' ? pythonEnvironment(given.python?.path ?? []) : {}),
        ...affinityEnvironment(cores?.[rank]),
        ...acceleratorEnvironment(given.accelerators, rank, workerCount, this.#parts.devices),
      },
      command: workerCommand(given, runtime),
      cores: cores?.[rank],
      onFrame: (what, ticket, bytes) => this.#onFrame(rank, what, ticket, bytes),
      onTurn: () => {},
      onGone: (death, unanswered) => {
        // It may have written a result that nobody was told of.
        for (const ticket of unanswered) this.#values?.remove(resultName(mark, ticket));
        this.feed({ type: 'worker gone', rank, death });
      },
    });
  }

  #onFrame(rank: number, what: number, ticket: number, bytes: Buffer): void {
    const how = jobEnds[what];
    if (how !== undefined) {
      const end = how === 'passed over' ? { tookMs: 0, beganAt: 0, bytes } : readEnd(bytes);
      this.#onEnd(rank, ticket, how, end);
      return;
    }
    if (this.#hasEnded) return;
    switch (what) {
      case fromWorker.ready:
        this.feed({ type: 'worker ready', rank });
        return;
      case fromWorker.began:
        this.feed({ type: 'job began', rank, ticket });
        return;
      case fromWorker.command:
        this.feed({ type: 'command began', rank, ticket });
        return;
      case fromWorker.loading:
        this.feed({ type: 'loading', rank, ticket, modules: modulesIn(bytes) });
        return;
      case fromWorker.note:
        this.feed({ type: 'note', rank, ticket, bytes });
        return;
      case fromWorker.item:
        // A copy: the bytes are a part of all that came with them.
        this.#items.push(Buffer.from(bytes));
        this.#endTurn();
        return;
      case fromWorker.stopping:
        this.feed({ type: 'job stopping', rank, ticket });
        return;
      default:
        this.#log('error', `Worker ${rank} sent a frame of unknown kind ${what}`);
    }
  }

  #onEnd(rank: number, ticket: number, how: JobEnd, end: ReturnType<typeof readEnd>): void {
    const isWanted = !this.#hasEnded && this.#state.workers[rank]?.held.has(ticket) === true;
    if (how === 'value' && !isWanted && isReference(end.bytes)) this.#values?.drop(end.bytes);
    if (this.#hasEnded) this.#onCommandEnded?.();
    else this.feed({ type: 'job ended', rank, ticket, how, ...end });
  }

  /** Commands get SIGTERM, and a while to tidy up; what does not end is killed with its worker. */
  async #stopCommands(): Promise<void> {
    const error = new CancelledError('the pool ends');
    for (const worker of this.#state.workers) {
      for (const [ticket, { head }] of worker.held) {
        if (head.kind !== 'bash') continue;
        this.#commandsLeft++;
        this.#children[worker.rank]?.add(toWorker.stop, ticket, failureBytes(error));
        this.#children[worker.rank]?.flush();
        // What stands behind it has not begun.
        break;
      }
    }
    if (this.#commandsLeft === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, commandGraceMs);
      this.#onCommandEnded = () => {
        if (--this.#commandsLeft > 0) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #registration() {
    const { arguments: given, workerCount, version } = this.#parts;
    const { capacity, settings } = this.#state;
    const { isChervil, python } = this.#home;
    const drainTime = (Date.now() + (settings.drainAfterMs ?? 0)) / 1_000;
    return {
      parslVersion: python?.parsl ?? `chervil-${version}`,
      pythonVersion: python?.version ?? `node-${process.versions.node}`,
      packages: new Map([...(python?.packages ?? []), ['chervil', version]]),
      workerCount,
      uid: given.uid,
      blockId: given.blockId,
      startTime: Date.now() / 1_000,
      prefetchCapacity: capacity - workerCount,
      maxCapacity: capacity,
      os: osType(),
      hostname: hostname(),
      dir: process.cwd(),
      cpuCount: availableParallelism(),
      totalMemory: totalmem(),
      // Python's interchange begins to drain by itself since it knows this key; before, the message of that name tells.
      ...(isChervil || settings.drainAfterMs === undefined ? {} : { drainTime }),
      runtimes: [this.#parts.runtime],
      extensions: knownExtensions.filter(
        (name) =>
          (name !== 'files' || this.#values !== undefined) &&
          (name !== 'sibling' || this.#parts.sibling() !== undefined),
      ),
    };
  }

  #log(level: string, text: string): void {
    this.#parts.log.write(`${new Date().toISOString()} ${level} ${text}\n`);
  }

  #end(exitCode: number, reason: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#sampler?.close();
    clearTimeout(this.#timer);
    this.#log(exitCode === 0 ? 'info' : 'error', `The pool ends: ${reason}`);
    this.#sendItems();
    this.#parts.onEnd(exitCode, reason);
  }

  /** Asks commands to end, and then ends every worker with all that it started. */
  async close(): Promise<void> {
    this.#hasEnded = true;
    this.#sampler?.close();
    clearTimeout(this.#timer);
    const children = this.#children.filter((child) => child !== undefined);
    await this.#stopCommands();
    await Promise.all(children.map((child) => child.kill()));
    await Promise.all(children.map((child) => child.ended));
    const { received, answered } = this.#state.counters;
    this.#log('info', `Of ${received} tasks, ${answered} were answered`);
  }
}

/** A frame of results is sent when it has this many bytes, or when the turn ends. */
const mostBatchBytes = 262_144;
/** Between asking commands to end and ending them, in milliseconds. */
const commandGraceMs = 1_000;

const jobEnds: Readonly<Record<number, JobEnd | undefined>> = {
  [fromWorker.value]: 'value',
  [fromWorker.failure]: 'failure',
  [fromWorker.abandoned]: 'abandoned',
  [fromWorker.passedOver]: 'passed over',
};

function modulesIn(bytes: Buffer): readonly string[] {
  return bytes.length === 0 ? [] : bytes.toString('utf8').split('\n');
}

/** As Parsl's submit side reads it. */
function pythonFailureBytes(error: TaskError): Uint8Array {
  if (!(error instanceof WorkerLostError)) return packFailure({ kind: 'message', text: error.message });
  const rank = Number(error.worker.slice(error.worker.lastIndexOf('/') + 1));
  return packFailure({ kind: 'worker lost', worker: rank, hostname: error.host });
}

function failureBytes(error: TaskError): Uint8Array {
  return toBytes(failureToData(error));
}

/** Milliseconds that never go back. */
function now(): number {
  return performance.now();
}

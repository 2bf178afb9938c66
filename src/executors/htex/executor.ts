// The executor htex, submit side: has tries sent to the interchange, and answers them with what comes back. It owns the sockets,
// the interchange's process and, through a port, the blocks.
//
//   this process ──tasks──> interchange (child) ──> pools (in blocks) ──> workers, one process each
//                <─answers─

import { mkdirSync } from 'node:fs';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { endProcesses } from '../../base/processes.ts';
import { type Reaper, registerGroup, releaseGroup, startReaper } from '../../base/reaper.ts';
import type { JobStatus } from '../../blocks/provider.ts';
import { CancelledError, ExecutorFailedError, ManagerLostError, type TaskError } from '../../task/errors.ts';
import type { Answer, Attempt, Executor, ExecutorHost, ExecutorWatch, Place, Runtime } from '../../task/ports.ts';
import { runtimeOf } from '../../task/runtime.ts';
import type { RanHead } from '../../wire/messages/batch.ts';
import type { ManagerLine } from '../../wire/messages/command.ts';
import type { Outcome } from '../../wire/messages/item.ts';
import { readNote, readPlaceNote } from '../../wire/notes.ts';
import { directoryVariable, isReference } from '../../wire/value-files.ts';
import {
  createCertificates,
  curveClient,
  curveServer,
  type Mechanism,
  nullMechanism,
  readCertificates,
} from '../../wire/zmtp/socket.ts';
import { asTaskError, stoppedError } from '../../worker/runner.ts';
import { answerOf } from './answers.ts';
import { Calls } from './calls.ts';
import { Cancels } from './cancels.ts';
import { CodeFunctions } from './code.ts';
import { launchCommand, type PoolCommandParts } from './command.ts';
import { Functions } from './functions.ts';
import { InterchangeProcess } from './interchange.ts';
import { Links } from './links.ts';
import type { BlockShape, HtexSettings, Settled } from './options.ts';
import { refusalOf, slotsOfBlock } from './planning.ts';
import { type AnswerSink, readFrame } from './reading.ts';
import { Unserved } from './unserved.ts';
import { LargeValues } from './values.ts';
import { keepVigil } from './vigil.ts';
import { HtexWatch } from './watch.ts';

/** What the executor needs of its blocks; blocks/scaler.ts has it. */
export interface BlockPort {
  start(): Promise<void>;
  readonly active: number;
  look(): Promise<void>;
  pause(): void;
  restart(): Promise<void>;
  lines(): readonly BlockLine[];
  close(): Promise<void>;
}

/** One block, for people and programs to look at. */
export interface BlockLine {
  readonly id: string;
  /** The provider's id of its job; `undefined` when it could not be submitted. */
  readonly job: string | undefined;
  readonly state: string;
  readonly message?: string;
  readonly exitCode?: number | null;
  readonly stdoutPath?: string;
  readonly stderrPath?: string;
}

/** What the blocks need of the executor. */
export interface BlockSide {
  readonly outstanding: number;
  commandFor(blockId: string): string;
  connectedBlocks(): Promise<ReadonlySet<string>>;
  idleBlocks(): Promise<ReadonlyMap<string, number>>;
  holdBlock(blockId: string): Promise<void>;
  onBlockEnded(blockId: string): void;
  onBlocksFailed(reason: string): void;
  onBlock(block: string, job: string | undefined, status: JobStatus, reason?: string): void;
  log: ExecutorHost['log'];
}

export interface BlockFacts {
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly slotsPerBlock: number;
  /** How long a block that had pools may be without any, in milliseconds. */
  readonly lostMs: number;
}

export type HtexOptions = Settled<HtexSettings<string, BlockShape & { readonly isLocal: boolean }, unknown>>;

/** How long the interchange may take to start, and how often in a row it may end without having answered a task. */
const startMs = 120_000;
const mostRestarts = 5;

/** Failures of tries that were ended by something else than their body. */
const leaving: ReadonlySet<TaskError['code']> = new Set([
  'WORKER_LOST',
  'MANAGER_LOST',
  'TIMEOUT',
  'CANCELLED',
] satisfies TaskError['code'][]);

export class HtexExecutor implements Executor, BlockSide, AnswerSink {
  readonly label: string;
  readonly runtimes: readonly Runtime[];
  readonly unsaid: readonly Runtime[];
  readonly #options: HtexOptions;
  readonly #makeBlocks: (side: BlockSide, facts: BlockFacts) => BlockPort;
  readonly #attempts = new Map<number, Attempt>();
  readonly #places = new Map<number, Place>();
  readonly #unserved = new Unserved(this);
  #host: ExecutorHost | undefined;
  #calls: Calls | undefined;
  #links: Links | undefined;
  #interchange: InterchangeProcess | undefined;
  #blocks: BlockPort | undefined;
  #monitoring: HtexWatch | undefined;
  #certDir: string | undefined;
  #workerPort = 0;
  #nextId = 1;
  /** When the frame that is being read came, in milliseconds since the epoch. */
  #heardAt = 0;
  #restarts = 0;
  /** A new interchange is being started: what is submitted meanwhile is sent with what is sent again. */
  #isRestarting = false;
  #lives: Promise<void> = Promise.resolve();
  #openLinks: () => Promise<Links> = () => Promise.reject(new Error('not started'));
  #isClosed = false;
  #failure: TaskError | undefined;
  readonly #cancels = new Cancels({
    send: async (ids, reason) => (await this.#links?.cancel(ids, reason)) ?? { unknown: [], goOn: 0 },
    isWaitedFor: (id) => this.#attempts.has(id),
    log: (message) => this.log('warn', message),
  });
  #keepAlive: NodeJS.Timeout | undefined;
  /** Ends programs that are not ours, when this process is killed. */
  #reaper: Reaper | undefined;
  #values: LargeValues | undefined;
  #mayHaveLeft = false;
  /** The lost manager whose results were removed last: all of its tasks are lost at once. */
  #sweptManager = '';
  /** Tries that are not answered, and that nobody wants any more: why. */
  readonly #unwanted = new Map<number, unknown>();

  constructor(options: HtexOptions, makeBlocks: (side: BlockSide, facts: BlockFacts) => BlockPort) {
    this.label = options.label;
    this.#options = options;
    this.#makeBlocks = makeBlocks;
    this.runtimes = options.runtimes;
    this.unsaid = options.interchangeCommand === undefined ? ['python'] : ['node', 'python'];
  }

  get load(): number {
    return this.#attempts.size / Math.max(1, (this.#blocks?.active ?? 0) * this.#slotsPerBlock);
  }

  get outstanding(): number {
    return this.#attempts.size;
  }

  get #slotsPerBlock(): number {
    return slotsOfBlock(this.#options, this.#options.provider);
  }

  /** Without blocks of its own there are pools that were started by hand, anywhere. */
  get #isLocal(): boolean {
    const { provider, blocks } = this.#options;
    return provider.isLocal && blocks.max > 0;
  }

  get #environment(): Record<string, string> {
    return { CHERVIL_RUN: (this.#host as ExecutorHost).mark, CHERVIL_EXECUTOR: this.#mark };
  }

  /** CHERVIL_EXECUTOR of everything that is started here. */
  get #mark(): string {
    return `${(this.#host as ExecutorHost).mark}.${this.label}`;
  }

  async start(host: ExecutorHost): Promise<void> {
    this.#host = host;
    this.#openValues();
    const { interchangeCommand, launchCommand, bundle } = this.#options;
    const code = bundle && new CodeFunctions(bundle, (frame) => this.#links?.sendCode(frame));
    this.#calls = new Calls(new Functions(host.directory), code, this.#values);
    try {
      // Parsl's interchange does not see that its submitter is gone, and its pools only after their heartbeat threshold.
      if (interchangeCommand !== undefined || !launchCommand.includes('{command}'))
        this.#reaper = startReaper(this.#mark, 'CHERVIL_EXECUTOR');
      await this.#startLinks(host);
      await this.#startInterchange();
      const scripts = join(host.directory, 'submit_scripts');
      mkdirSync(scripts, { recursive: true });
      this.#blocks = this.#makeBlocks(this, {
        directory: scripts,
        environment: this.#environment,
        slotsPerBlock: this.#slotsPerBlock,
        lostMs: this.#options.heartbeatPeriodMs,
      });
      await this.#blocks.start();
      this.#tellCommand();
    } catch (error) {
      const failure =
        error instanceof ExecutorFailedError
          ? error
          : new ExecutorFailedError(this.label, (error as Error).message, error);
      this.#failure = failure;
      throw failure;
    }
  }

  #openValues(): void {
    const { largeValues } = this.#options;
    if (largeValues === false) return;
    try {
      this.#values = new LargeValues(this.label, largeValues);
    } catch (error) {
      this.log('warn', `large values travel by themselves: ${(error as Error).message}`);
    }
  }

  /** Where nobody starts pools, the user is told how to. */
  #tellCommand(): void {
    const command = this.poolCommand();
    this.log('info', `pools are started with: ${command}`);
    const parsl = launchCommand('process_worker_pool.py {flags}', this.#poolParts('by-hand'));
    this.log('info', `pools of Python's Parsl: ${parsl}`);
    if (this.#options.blocks.max > 0) return;
    process.stderr.write(`chervil: executor '${this.label}' starts no pools. Start them by hand, with:\n${command}\n`);
  }

  async #startLinks(host: ExecutorHost): Promise<void> {
    const { encrypted, loopbackAddress, interchangePortRange } = this.#options;
    let mechanism: Mechanism = nullMechanism;
    let hubMechanism: Mechanism = nullMechanism;
    if (encrypted) {
      this.#certDir = await createCertificates(host.directory);
      const { client, server, allowed } = await readCertificates(this.#certDir);
      mechanism = await curveClient({
        publicKey: client.publicKey,
        secretKey: client.secretKey,
        serverKey: server.publicKey,
      });
      if (host.watch !== undefined) hubMechanism = await curveServer({ secretKey: server.secretKey, allow: allowed });
    }
    if (host.watch !== undefined) await this.#startWatch(host, host.watch, hubMechanism);
    this.#openLinks = () =>
      Links.open({
        mechanism,
        address: loopbackAddress,
        portRange: interchangePortRange,
        onAnswers: (frames) => {
          this.#heardAt = Date.now();
          for (const frame of frames) readFrame(frame, this);
        },
      });
    this.#links = await this.#openLinks();
  }

  async #startWatch(host: ExecutorHost, watch: ExecutorWatch, mechanism: Mechanism): Promise<void> {
    const { loopbackAddress, interchangePortRange, encrypted, provider, maxWorkersPerNode } = this.#options;
    this.#monitoring = await HtexWatch.open({
      watch,
      address: loopbackAddress,
      portRange: interchangePortRange,
      mechanism,
      managers: async () => (this.#links === undefined || this.#workerPort === 0 ? [] : this.#links.managers()),
      outstanding: () => this.#attempts.size,
      blocks: () => this.#blocks?.active ?? 0,
      attemptOf: (id) => this.#attempts.get(id),
      log: (message) => host.log('warn', message),
    });
    const facts = {
      provider: provider.constructor.name,
      nodesPerBlock: provider.nodesPerBlock,
      maxWorkersPerNode,
      encrypted,
    };
    watch.tell({ what: 'facts', kind: 'htex', facts });
  }

  onBlock(block: string, job: string | undefined, status: JobStatus, reason?: string): void {
    this.#monitoring?.onBlock(block, job, status, reason);
  }

  /** Starts the interchange and waits until it is there, or is not going to be. */
  async #startInterchange(): Promise<void> {
    const {
      loopbackAddress,
      workerPort,
      workerPortRange,
      heartbeatThresholdMs,
      managerSelector,
      debug,
      interchangeCommand,
    } = this.#options;
    const host = this.#host as ExecutorHost;
    const links = this.#links as Links;
    const interchange = new InterchangeProcess(
      {
        clientAddress: loopbackAddress,
        clientPorts: links.ports,
        interchangeAddress: this.#interchangeAddress,
        poolPorts: 'one',
        workerPorts: workerPort === undefined ? [] : [workerPort],
        workerPortRange,
        hub: this.#monitoring?.hub,
        heartbeatThresholdMs,
        logdir: host.directory,
        isDebug: debug,
        certDir: this.#certDir,
        selector: managerSelector,
        unknownSelector: undefined,
        runId: host.mark,
        log: { kind: 'file', level: debug ? 10 : 20 },
        checksVersions: true,
        eras: [],
      },
      host.directory,
      interchangeCommand,
      // Without CHERVIL_RUN: it ends with its input, and by nobody else's clearing up.
      {
        CHERVIL_EXECUTOR: this.#mark,
        ...(this.#values === undefined ? {} : { [directoryVariable]: this.#values.directory }),
      },
    );
    this.#interchange = interchange;
    this.#watch(interchange);
    const given = new AbortController();
    const early = interchange.ended.then(({ how, words }) => {
      given.abort();
      throw new ExecutorFailedError(this.label, `the interchange ${how}${words === '' ? '' : `: ${words}`}`);
    });
    const keepAlive = setInterval(() => {}, 1_000);
    try {
      this.#workerPort = await Promise.race([links.workerPort(startMs, given.signal), early]);
      await Promise.race([links.agree(), early]);
    } catch (error) {
      // A request that is given up says less than how the interchange ended.
      if (given.signal.aborted) await early;
      throw error;
    } finally {
      clearInterval(keepAlive);
    }
    const { heartbeatPeriodMs } = this.#options;
    const endVigil = keepVigil({
      periodMs: heartbeatPeriodMs,
      thresholdMs: heartbeatThresholdMs,
      isIdle: () => this.#attempts.size === 0 || this.#isClosed,
      ask: (timeoutMs) => links.isThere(timeoutMs),
      onSilent: () => interchange.kill(`did not answer for ${heartbeatThresholdMs / 1_000} s and was ended`),
    });
    early.catch(({ message }: Error) => {
      endVigil();
      this.#onInterchangeLost(message);
    });
  }

  /** Parsl's interchange gives itself another title, and its marks are gone with it: the reaper must know its group. */
  #watch({ pid, ended }: InterchangeProcess): void {
    const reaper = this.#reaper;
    if (reaper === undefined || pid === undefined) return;
    registerGroup(reaper.fd, pid);
    void ended.then(() => releaseGroup(reaper.fd, pid));
  }

  /** Where the interchange listens for pools; `undefined` is everywhere. */
  get #interchangeAddress(): string | undefined {
    const { address, loopbackAddress } = this.#options;
    return address ?? (this.#isLocal ? loopbackAddress : undefined);
  }

  commandFor(blockId: string): string {
    return launchCommand(this.#options.launchCommand, this.#poolParts(blockId));
  }

  #poolParts(blockId: string): PoolCommandParts {
    const host = this.#host as ExecutorHost;
    const { workerLogDirectory, provider } = this.#options;
    const only = this.#interchangeAddress;
    return {
      ...this.#options,
      addresses: only === undefined ? ownAddresses() : [only],
      port: this.#workerPort,
      certDir: this.#certDir,
      logDirectory: workerLogDirectory ?? host.directory,
      nodesPerBlock: provider.nodesPerBlock,
      // A bundle is JavaScript, and the program's loaders are not where the pool is.
      hasLoaders: this.#options.bundle === undefined,
      values: this.#values,
      blockId,
      sampleMs: host.watch?.sampleMs ?? 0,
    };
  }

  refuses(resources: Readonly<Record<string, unknown>>): string | undefined {
    return refusalOf(resources);
  }

  submit(attempt: Attempt): void {
    if (this.#failure !== undefined || this.#isClosed) {
      this.#host?.answer(attempt, { ok: false, error: this.#failure ?? new CancelledError('the executor is closed') });
      return;
    }
    const id = this.#nextId++;
    try {
      if (!this.#isRestarting) this.#send(id, attempt);
    } catch (thrown) {
      this.#host?.answer(attempt, { ok: false, error: asTaskError(thrown) });
      return;
    }
    attempt.note = id;
    this.#attempts.set(id, attempt);
    // One timer that does nothing keeps this process alive while there is something to wait for; sockets do not.
    this.#keepAlive ??= setInterval(() => {}, 2 ** 30);
    this.#unserved.begin();
    if (this.#attempts.size === 1 && this.#blocks?.active === 0) void this.#blocks.look();
  }

  #send(id: number, attempt: Attempt): void {
    if (this.#links !== undefined) this.#calls?.send(id, attempt, this.#links);
  }

  /** A body ran of which nothing was told while it did. */
  onRan(taskId: number, frame: Uint8Array, { beganAgoMs, tookMs, placeStart, end }: RanHead): void {
    const attempt = this.#attempts.get(taskId);
    const place = attempt === undefined ? undefined : readPlaceNote(frame, placeStart, end);
    if (attempt === undefined || place === undefined) return;
    const beganAt = this.#heardAt - beganAgoMs;
    this.#host?.report(attempt, 'running', place, beganAt);
    this.#host?.report(attempt, 'running_ended', place, Math.min(this.#heardAt, beganAt + tookMs));
  }

  onUnreadable(reason: string): void {
    this.#host?.log('error', `an answer of the interchange cannot be read: ${reason}`);
  }

  onOutcome(value: Outcome): void {
    const attempt = this.#attempts.get(value.taskId);
    if (attempt === undefined) {
      if (value.taskId === -1) this.#onAllFailed(value);
      else this.#values?.drop(value.bytes);
      return;
    }
    const answer = this.#read(value, attempt);
    if (answer instanceof Promise) void answer.then((ready) => this.#answer(value.taskId, attempt, ready));
    else this.#answer(value.taskId, attempt, answer);
  }

  #read(outcome: Outcome, attempt: Attempt): Answer | Promise<Answer> {
    if (!isReference(outcome.bytes) || this.#values === undefined) return answerOf(outcome, this.label, attempt);
    try {
      if (attempt.body.kind === 'python')
        return answerOf({ ...outcome, bytes: this.#values.takeBytes(outcome.bytes) }, this.label, attempt);
      const value = this.#values.take(outcome.bytes);
      if (!(value instanceof Promise)) return { ok: true, value };
      return value.then(
        (ready): Answer => ({ ok: true, value: ready }),
        (thrown): Answer => ({ ok: false, error: asTaskError(thrown) }),
      );
    } catch (thrown) {
      return { ok: false, error: asTaskError(thrown) };
    }
  }

  #onAllFailed(outcome: Parameters<typeof answerOf>[0]): void {
    void Promise.resolve(answerOf(outcome, this.label)).then((answer) => {
      if (!answer.ok) this.#fail(answer.error);
    });
  }

  #answer(id: number, attempt: Attempt, answer: Answer): void {
    if (!this.#attempts.delete(id)) return;
    this.#unwanted.delete(id);
    this.#values?.release(id, answer.ok);
    if (answer.ok) this.#restarts = 0;
    else this.#onNotOk(answer.error);
    if (this.#attempts.size === 0) this.#rest();
    const place = this.#places.get(id);
    if (place !== undefined) {
      this.#places.delete(id);
      this.#host?.report(attempt, 'running_ended', place);
    }
    this.#host?.answer(attempt, answer);
  }

  /** What ended a try early may have left a large result behind. */
  #onNotOk(error: TaskError): void {
    if (this.#values === undefined || !leaving.has(error.code)) return;
    this.#mayHaveLeft = true;
    if (!(error instanceof ManagerLostError) || error.manager === this.#sweptManager) return;
    // What it had told came before the word of its loss.
    this.#sweptManager = error.manager;
    this.#values.sweep(error.manager);
  }

  #rest(): void {
    clearInterval(this.#keepAlive);
    this.#keepAlive = undefined;
    if (!this.#mayHaveLeft) return;
    this.#mayHaveLeft = false;
    this.#values?.sweep();
  }

  onNote(id: number, bytes: Uint8Array): void {
    const attempt = this.#attempts.get(id);
    if (attempt === undefined) return;
    const note = readNote(bytes);
    if (!note.ok) {
      this.#host?.log('warn', `a note about task ${attempt.taskId} cannot be read: ${note.error}`);
    } else if (note.value.what === 'running') {
      this.#places.set(id, note.value.place);
      this.#host?.report(attempt, 'running', note.value.place);
    } else {
      this.#host?.output(attempt, note.value.stream, note.value.text);
    }
  }

  stop(attempt: Attempt, reason: unknown): void {
    const id = attempt.note as number | undefined;
    if (id === undefined || !this.#attempts.has(id)) return;
    this.#mayHaveLeft = true;
    if (this.#isRestarting) {
      this.#giveUp(id, reason);
      return;
    }
    this.#unwanted.set(id, reason);
    this.#cancels.add(id, reasonText(reason));
  }

  /** Answers a try for which there is no interchange that could be asked to stop it. */
  #giveUp(id: number, reason: unknown): void {
    const attempt = this.#attempts.get(id);
    if (attempt !== undefined) this.#answer(id, attempt, { ok: false, error: stoppedError(reason) });
  }

  async connectedBlocks(): Promise<ReadonlySet<string>> {
    return this.#started.connectedBlocks();
  }

  /** Tasks of a language that are not answered. */
  waiting(runtime: Runtime): number {
    let count = 0;
    for (const { body } of this.#attempts.values()) if (runtimeOf(body) === runtime) count++;
    return count;
  }

  /** The pools that are there. */
  async managers(): Promise<ManagerLine[]> {
    return this.#started.managers();
  }

  async packages(): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
    return this.#started.packages();
  }

  async hold(manager: string): Promise<void> {
    await this.#started.hold(manager);
  }

  blocks(): readonly BlockLine[] {
    return this.#blocks?.lines() ?? [];
  }

  /** The command of a pool, to be run by hand on any machine that reaches this one. */
  poolCommand(blockId = 'by-hand'): string {
    if (this.#workerPort === 0) throw this.#notStarted();
    return this.commandFor(blockId);
  }

  get #started(): Links {
    if (this.#links === undefined || this.#workerPort === 0) throw this.#notStarted();
    return this.#links;
  }

  #notStarted(): Error {
    return new Error(`Executor '${this.label}' is not started: load() it first.`);
  }

  async idleBlocks(): Promise<ReadonlyMap<string, number>> {
    const idle = new Map<string, number>();
    for (const { blockId, idleSeconds } of await (this.#links as Links).managers()) {
      idle.set(blockId, Math.min(idle.get(blockId) ?? Number.POSITIVE_INFINITY, idleSeconds * 1_000));
    }
    return idle;
  }

  async holdBlock(blockId: string): Promise<void> {
    const links = this.#links as Links;
    for (const line of await links.managers()) if (line.blockId === blockId) await links.hold(line.manager);
  }

  onBlockEnded(blockId: string): void {
    // Nothing of it will come back: its tasks need not wait for that.
    this.#links?.blockEnded(blockId).catch(({ message }: Error) => this.log('debug', message));
  }

  onBlocksFailed(reason: string): void {
    this.#fail(new ExecutorFailedError(this.label, reason));
  }

  log(level: 'debug' | 'info' | 'warn' | 'error', message: string): void {
    this.#host?.log(level, message);
  }

  /** Also called for one that ended while it was being started again: one life after the other. */
  #onInterchangeLost(message: string): void {
    if (this.#isClosed || this.#failure !== undefined) return;
    const { onInterchangeLost } = this.#options;
    if (onInterchangeLost === 'fail' || this.#restarts >= mostRestarts) {
      const hint =
        onInterchangeLost === 'fail'
          ? `Its tasks are lost with it; onInterchangeLost: 'resend' would send them again.`
          : `It was started again ${mostRestarts} times without answering a task.`;
      this.#fail(new ExecutorFailedError(this.label, `${message}. ${hint}`));
      return;
    }
    this.#restarts++;
    this.#blocks?.pause();
    this.#isRestarting = true;
    // Results that were on their way.
    this.#mayHaveLeft = true;
    for (const [id, reason] of this.#unwanted) this.#giveUp(id, reason);
    this.log('error', `${message}; it is started again, and ${this.#attempts.size} tasks are sent again`);
    this.#lives = this.#lives.then(() => this.#startAgain());
  }

  async #startAgain(): Promise<void> {
    if (this.#isClosed) return;
    try {
      // New sockets: what the old ones still hold would be sent twice.
      await this.#links?.close();
      const links = await this.#openLinks();
      if (this.#isClosed) {
        await links.close();
        return;
      }
      this.#links = links;
      await this.#startInterchange();
    } catch (error) {
      this.#onInterchangeLost(error instanceof ExecutorFailedError ? error.problem : (error as Error).message);
      return;
    }
    try {
      // The pools of the old one: nobody would hear their answers.
      if (!this.#isClosed && !this.#interchange?.hasEnded) await this.#blocks?.restart();
    } catch (error) {
      this.#fail(new ExecutorFailedError(this.label, (error as Error).message, error));
    }
    // If that has ended meanwhile, the next life sends the tasks.
    if (this.#isClosed || this.#interchange?.hasEnded) return;
    this.#isRestarting = false;
    this.#calls?.sendCodeAgain();
    for (const [id, attempt] of [...this.#attempts]) this.#sendAgain(id, attempt);
  }

  #sendAgain(id: number, attempt: Attempt): void {
    try {
      this.#send(id, attempt);
    } catch (thrown) {
      this.#answer(id, attempt, { ok: false, error: asTaskError(thrown) });
    }
  }

  /** Nothing can run any more: every try fails with this, now and later. */
  #fail(error: TaskError): void {
    if (this.#failure !== undefined || this.#isClosed) return;
    this.#failure = error;
    this.#host?.failed(error);
    this.log('error', error.message);
    for (const [id, attempt] of [...this.#attempts]) this.#answer(id, attempt, { ok: false, error });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancels.close();
    this.#unserved.end();
    const keepAlive = setInterval(() => {}, 2 ** 30);
    try {
      const error = this.#failure ?? new CancelledError('the executor was closed');
      for (const [id, attempt] of [...this.#attempts]) this.#answer(id, attempt, { ok: false, error });
      await Promise.all([this.#interchange?.close(), this.#blocks?.close()]);
      await this.#monitoring?.close();
      await this.#links?.close();
      // What is left, if somebody killed a pool and its reapers.
      if (this.#host !== undefined) await endProcesses({ marks: { CHERVIL_EXECUTOR: this.#mark } }, { graceMs: 0 });
      await this.#reaper?.close();
    } finally {
      this.#values?.close();
      clearInterval(keepAlive);
      this.#rest();
    }
  }
}

/** Why somebody cancelled: what he said, without what was put around it. */
function reasonText(reason: unknown): string {
  const said = reason instanceof CancelledError ? (reason.cause ?? '') : reason;
  return said instanceof Error ? said.message : said === undefined ? '' : String(said);
}

/** Addresses of this machine that others may reach it at. */
function ownAddresses(): string[] {
  const found = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
  return found.filter((address) => isIP(address) !== 0 && !address.startsWith('fe80'));
}

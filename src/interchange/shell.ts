// The interchange as a process sees it: owns the sockets, the timer and the log, feeds the core and carries out what it
// wants. It moves messages and decides nothing. main.ts starts it.
//
//   submitter  DEALER tasks ----+                           +---- ROUTER pools (one port)
//              DEALER results --+---- shell <-> core -------+---- ROUTER tasks, ROUTER results (old pools)
//              REP commands ----+           |
//                                           +---- DEALER monitoring

import { networkInterfaces } from 'node:os';
import { callParts, isNodeCall, withArguments } from '../wire/calls.ts';
import { isResultBatch, isTaskBatch, readResults, readTasks, writeTasks } from '../wire/messages/batch.ts';
import { readCodeFile } from '../wire/messages/code.ts';
import { type Command, readCommand, statusDict, writeReply } from '../wire/messages/command.ts';
import type { InterchangeConfig } from '../wire/messages/config.ts';
import { type Envelope, envelopeOf, eraOfRelease, familyOf, type PoolStyle } from '../wire/messages/era.ts';
import { type InterchangeFailure, writeFailure } from '../wire/messages/failure.ts';
import { readItem, splitBatch } from '../wire/messages/item.ts';
import {
  type Registration,
  readManagerMessage,
  resultHeader,
  writeInterchangeWord,
  writeManagerMessage,
} from '../wire/messages/manager.ts';
import { writeNodeInfo } from '../wire/messages/monitoring.ts';
import {
  bodyOfBuffer,
  contextValue,
  LateTask,
  readContext,
  readTask,
  type StoredBody,
  translation,
  writeTaskBatch,
} from '../wire/messages/task.ts';
import { encode, field } from '../wire/pickle.ts';
import { pythonReference, withPythonArguments } from '../wire/python/call.ts';
import { isReference, ValueFiles } from '../wire/value-files.ts';
import {
  bindFailureCode,
  bindToRandomPort,
  type Certificates,
  createSocket,
  curveServer,
  type DealerSocket,
  type Frames,
  type Mechanism,
  nullMechanism,
  type PeerFailure,
  type Reflex,
  type ReplierSocket,
  type RouterSocket,
  readCertificates,
  ZmtpError,
} from '../wire/zmtp/socket.ts';
import { createInterchange, hear, step, wantsTurn } from './core.ts';
import { Descriptors } from './descriptors.ts';
import type { Failure, InterchangeEffect, InterchangeEvent, InterchangeSettings, VersionPolicy } from './events.ts';
import { type InterchangeLog, leastLevel, openLog } from './log.ts';
import { identityBytes, type Manager, showIdentity } from './managers.ts';
import { MonitoringLink } from './monitoring.ts';
import { patienceOfAnswers } from './silence.ts';
import type { InterchangeState } from './state.ts';
import { Looks, Strangers } from './strangers.ts';
import type { TaskRecord } from './task.ts';

/** What the submitter's configuration does not say. */
export interface ShellOptions {
  readonly versions?: VersionPolicy;
  /** Called once, when the interchange must end: its submitter is gone, or the version policy says so. */
  readonly onEnd: (reason: string, exitStatus: 0 | 1) => void;
  /** Whether a submitter on this machine that cannot be reached counts as gone. @default true */
  readonly endsWithSubmitter?: boolean;
  /** How long a manager without connection is kept, in milliseconds. @default 10000, at most the heartbeat threshold */
  readonly disconnectGraceMs?: number;
}

/**
 * Starts an interchange.
 *
 * @throws ZmtpError when a port is taken or certificates are unusable.
 * @example
 * await using interchange = await Interchange.start(config, { onEnd: (reason) => console.error(reason) });
 */
export class Interchange implements AsyncDisposable {
  readonly #config: InterchangeConfig;
  readonly #options: ShellOptions;
  readonly #log: InterchangeLog;
  readonly #state: InterchangeState;
  readonly #effects: InterchangeEffect[] = [];
  readonly #tasks: DealerSocket;
  readonly #results: DealerSocket;
  readonly #commands: ReplierSocket;
  /** The one port, or for old pools the task port. */
  readonly #pools: RouterSocket;
  readonly #poolResults: RouterSocket | undefined;
  readonly #monitoring: MonitoringLink | undefined;
  readonly #submitLinks = new Set<unknown>();
  readonly #strangers = new Strangers();
  readonly #descriptors: Descriptors;
  readonly #looks: Looks | undefined;
  #hasMetSubmitter = false;
  #envelope: Envelope | undefined;
  readonly #translators = new WeakMap<Registration, { translate: ((body: Uint8Array) => Uint8Array) | undefined }>();
  #submitterReadsBatches = false;
  #listening = '';
  #ports: { single: number; pair: readonly [number, number] | undefined } = { single: 0, pair: undefined };
  #timer: NodeJS.Timeout | undefined;
  /** When the last event came for which the time counts. */
  #now = now();
  /** That is of what is being read from the submitter. */
  #isReadTimed = false;
  /** The same by the machine's clock, which may be set: for the lines of tasks. */
  #clock = Date.now();
  #hasTurn = false;
  /** Results came in what is being read from a pool. */
  #hasResults = false;
  #hasEnded = false;
  /** How long unsent results may hold up the end. */
  #lastWordMs = 30;

  static async start(config: InterchangeConfig, options: ShellOptions): Promise<Interchange> {
    const keys = config.certDir === undefined ? undefined : await readCertificates(config.certDir);
    const mechanism = keys && (await curveServer({ secretKey: keys.server.secretKey, allow: keys.allowed }));
    const interchange = new Interchange(config, options, mechanism ?? nullMechanism, keys);
    try {
      await interchange.#bind();
      interchange.#connect();
    } catch (error) {
      interchange.#log.write('error', `Interchange ends: it cannot start: ${(error as Error).message}`);
      // What is open by now, as the link to monitoring, would keep the process for ever.
      await interchange[Symbol.asyncDispose]();
      throw error;
    }
    return interchange;
  }

  private constructor(
    config: InterchangeConfig,
    options: ShellOptions,
    mechanism: Mechanism,
    keys: Certificates | undefined,
  ) {
    this.#config = config;
    this.#options = options;
    this.#log = openLog(config.log, config.logdir);
    this.#descriptors = new Descriptors((line) => this.#note('warning', line));
    const settings: InterchangeSettings = {
      heartbeatThresholdMs: config.heartbeatThresholdMs,
      disconnectGraceMs: Math.min(options.disconnectGraceMs ?? 10_000, config.heartbeatThresholdMs),
      selector: config.selector,
      random: Math.random,
      versions: config.checksVersions ? (options.versions ?? { onMismatch: 'refuse' }) : { onMismatch: 'accept' },
      isMonitored: config.hub !== undefined,
      logLevel: leastLevel(config.log),
      submitEras: config.eras,
    };
    this.#state = createInterchange(settings);
    const common = { mechanism, highWaterMark: 0 };
    const link = { ...common, ...this.#submitWatch() };
    this.#tasks = createSocket({
      type: 'dealer',
      ...link,
      onMessage: (frames) => this.#onTasks(frames),
      onRead: () => {
        this.#isReadTimed = false;
      },
    });
    // One write for the results of all pools that are read meanwhile, and after those that give the pools their next tasks.
    this.#results = createSocket({ type: 'dealer', ...link, leaves: 'gathered' });
    this.#commands = createSocket({ type: 'rep', ...link, onMessage: ([frame]) => this.#onCommand(frame) });
    const style: PoolStyle = config.poolPorts === 'two' ? 'two-port' : 'one-port';
    const reflex: Reflex = {
      message: [writeManagerMessage({ type: 'heartbeat' })],
      answer: writeInterchangeWord(words.heartbeat, 'one-port'),
      answersWithinMs: patienceOfAnswers(config.heartbeatThresholdMs),
      isAnswered: ({ key }) => {
        this.#now = now();
        return !this.#hasEnded && hear(this.#state, key, 'one-port', this.#now);
      },
    };
    const router = (port: 'single' | 'tasks' | 'results'): RouterSocket =>
      createSocket({
        type: 'router',
        ...common,
        ...(port === 'results' ? {} : { reflex, familiar: resultHeader() }),
        onMessage: (frames, peer) => this.#onPool(peer.key, frames, port, style),
        onRead: () => {
          if (!this.#hasResults) return;
          this.#hasResults = false;
          this.#feed(refill);
        },
        onPeerJoined: (peer) => {
          this.#looks?.onJoined(peer.key);
          this.#feed({ type: 'connected', peer: peer.key });
        },
        onPeerLeft: (peer) => {
          this.#looks?.onOver(peer.key);
          this.#descriptors.onLeft();
          this.#feed({ type: 'disconnected', peer: peer.key });
        },
        onPeerFailed: (address, failure) => {
          if (failure.code === 'no-descriptor') {
            this.#descriptors.onShort(failure.limit);
            return;
          }
          this.#descriptors.onLeft();
          const line = this.#strangers.tell(address, failure);
          if (line !== undefined) this.#note('warning', line);
        },
      });
    // Later pools say who they are when they look.
    if (config.eras.some((era) => familyOf(era) === 'A-D')) {
      this.#looks = new Looks((peer) => {
        for (const socket of [this.#pools, this.#poolResults]) socket?.disconnect(peer, 'it said nothing');
      });
    }
    this.#pools = router(style === 'two-port' ? 'tasks' : 'single');
    this.#poolResults = style === 'two-port' ? router('results') : undefined;
    this.#monitoring = config.hub && new MonitoringLink(config.hub, keys, (level, text) => this.#note(level, text));
    if (config.unknownSelector !== undefined) {
      this.#note('warning', `Unknown manager selector ${config.unknownSelector}; managers are chosen at random`);
    }
    if (config.log.kind === 'unknown')
      this.#note('warning', `Unknown log configuration ${config.log.name}; writing a plain log`);
  }

  /** The port or ports for pools. */
  get ports(): { readonly single: number; readonly pair: readonly [number, number] | undefined } {
    return this.#ports;
  }

  async #bind(): Promise<void> {
    const { interchangeAddress, workerPorts, workerPortRange } = this.#config;
    const host =
      interchangeAddress === undefined
        ? '*'
        : interchangeAddress.includes(':')
          ? `[${interchangeAddress}]`
          : interchangeAddress;
    const bind = async (socket: RouterSocket, fixed: number | undefined): Promise<number> => {
      const range = { min: workerPortRange[0], max: workerPortRange[1] };
      try {
        const endpoint =
          fixed === undefined
            ? await bindToRandomPort(socket, `tcp://${host}`, range)
            : await socket.bind(`tcp://${host}:${fixed}`);
        return Number(endpoint.slice(endpoint.lastIndexOf(':') + 1));
      } catch (error) {
        if (!(error instanceof ZmtpError)) throw error;
        const code = bindFailureCode(error);
        const isAboutPort = code === undefined || code === 'EADDRINUSE' || code === 'EACCES';
        const port = this.#poolResults === undefined ? 'worker_port' : 'worker_ports';
        const key = !isAboutPort ? 'interchange_address' : fixed === undefined ? 'worker_port_range' : port;
        throw new ZmtpError(error.code, `${error.message} The configuration has it as ${key}.`, { cause: error });
      }
    };
    const first = await bind(this.#pools, workerPorts[0]);
    const second = this.#poolResults && (await bind(this.#poolResults, workerPorts[1]));
    this.#ports = { single: first, pair: second === undefined ? undefined : [first, second] };
    this.#listening = `Interchange listens for pools on ${host}, port ${second === undefined ? first : `${first} and ${second}`}`;
    this.#note('info', this.#listening);
  }

  #connect(): void {
    const { clientAddress, clientPorts } = this.#config;
    const host = clientAddress.includes(':') ? `[${clientAddress}]` : clientAddress;
    this.#tasks.connect(`tcp://${host}:${clientPorts[0]}`);
    this.#results.connect(`tcp://${host}:${clientPorts[1]}`);
    this.#commands.connect(`tcp://${host}:${clientPorts[2]}`);
  }

  /**
   * A submitter on this machine that ends takes its three connections with it: its standard input may be closed long
   * before, and polling its process id would cost time for ever.
   */
  #submitWatch(): object {
    if (!isOfThisMachine(this.#config.clientAddress) || this.#options.endsWithSubmitter === false) return {};
    return {
      onPeerJoined: (peer: unknown) => {
        this.#hasMetSubmitter = true;
        this.#submitLinks.add(peer);
      },
      onPeerLeft: (peer: unknown) => {
        this.#submitLinks.delete(peer);
        if (this.#submitLinks.size === 0) this.end('the submitter has closed its connections');
      },
      onPeerFailed: (address: string, failure: PeerFailure) => {
        this.#note('warning', `No connection to the submitter at ${address}: ${failure.detail}`);
        const isGone = failure.code === 'unreachable' && !this.#hasMetSubmitter;
        if (isGone) this.end(`the submitter cannot be reached at ${address}`, 1);
      },
    };
  }

  /** Whether the submitter has been connected yet. */
  get hasMetSubmitter(): boolean {
    return this.#hasMetSubmitter;
  }

  #onTasks(frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      if (isTaskBatch(frame)) {
        this.#onTaskBatch(frame);
        continue;
      }
      const task = readTask(frame);
      if (!task.ok) {
        const code = task.error.taskId === undefined ? readCodeFile(frame) : undefined;
        if (code?.ok) this.#feed({ type: 'code', ...code.value });
        else this.#feed({ type: 'unreadable task', ...task.error });
        continue;
      }
      const { taskId, priority, runtime, envelope, bytes, start, end } = task.value;
      if (this.#envelope === undefined) {
        this.#envelope = envelope;
        this.#feed({ type: 'envelope', envelope });
      }
      const complete = envelope === this.#envelope ? undefined : translation(envelope, this.#envelope);
      if (complete === undefined) this.#feed({ type: 'task', taskId, priority, runtime, bytes, start, end });
      else {
        const body = complete(bytes.subarray(start, end));
        this.#feed({ type: 'task', taskId, priority, runtime, bytes: body, start: 0, end: body.length });
      }
    }
  }

  #onTaskBatch(frame: Uint8Array): void {
    const batch = readTasks(frame);
    if (!batch.ok) {
      this.#feed({ type: 'unreadable task', taskId: undefined, reason: batch.error });
      return;
    }
    const route = readContext(batch.value.context);
    if (!route.ok) {
      for (const taskId of batch.value.ids) this.#feed({ type: 'unreadable task', taskId, reason: route.error });
      return;
    }
    if (this.#envelope === undefined) {
      this.#envelope = 'context';
      this.#feed({ type: 'envelope', envelope: 'context' });
    }
    this.#feed({ type: 'task batch', ...route.value, batch: batch.value });
  }

  #onCommand(frame: Uint8Array | undefined): void {
    const command: Command = frame === undefined ? { name: 'unknown', shown: 'nothing' } : readCommand(frame);
    if (command.name === 'extensions') this.#submitterReadsBatches = command.extensions.includes('batch');
    this.#feed({ type: 'command', token: 0, command });
  }

  #onPool(peer: string, frames: readonly Uint8Array[], port: 'single' | 'tasks' | 'results', style: PoolStyle): void {
    this.#looks?.onOver(peer);
    const message = readManagerMessage(frames, port);
    if (!message.ok) {
      this.#feed({ type: 'malformed', peer, reason: message.error });
      return;
    }
    const { value } = message;
    switch (value.type) {
      case 'result':
        this.#hasResults = true;
        this.#feed({ type: 'results', peer, items: value.items });
        return;
      case 'heartbeat':
      case 'drain':
        this.#feed({ type: value.type, peer });
        return;
      case 'chervil_capacity':
        this.#feed({ type: 'capacity', peer, capacity: value.capacity });
        return;
      case 'chervil_code':
        this.#feed({ type: 'code wanted', peer, name: value.name });
        return;
      case 'connection_probe':
        this.#feed({ type: 'probe', peer, isChervil: value.isChervil === true });
        return;
      case 'registration':
        this.#feed({
          type: 'registration',
          peer,
          // What a pool writes tells how it reads: an old one may come to a new port, and a new one to an old port.
          style: frames[0]?.[0] === 0x7b ? 'two-port' : 'one-port',
          registration: byOwnClock(value.registration),
        });
        return;
      case 'chervil_status':
        this.#feed({ type: 'status', peer, style });
        return;
      default:
        value satisfies never;
    }
  }

  /** One event; the turn ends when all that the sockets have now was taken. */
  #feed(event: InterchangeEvent): void {
    if (this.#hasEnded) return;
    // These two come for every task, and all that is read at once came at one time.
    const isTask = event.type === 'task';
    if (isTask ? !this.#isReadTimed : event.type !== 'refill') this.#lookAtClocks();
    if (isTask) this.#isReadTimed = true;
    step(this.#state, event, this.#now, this.#effects);
    this.#carryOut();
    if (this.#hasTurn || !wantsTurn(this.#state, event)) return;
    this.#hasTurn = true;
    setImmediate(this.#onTurn);
  }

  #lookAtClocks(): void {
    this.#now = now();
    if (this.#state.logsDebug) this.#clock = Date.now();
  }

  readonly #onTurn = (): void => {
    this.#hasTurn = false;
    if (this.#hasEnded) return;
    this.#lookAtClocks();
    step(this.#state, turn, this.#now, this.#effects);
    this.#carryOut();
  };

  #carryOut(): void {
    const effects = this.#effects;
    for (let at = 0; at < effects.length; at++) this.#do(effects[at] as InterchangeEffect);
    // Setting the length to 0 would give the memory back, which the next event wants again.
    while (effects.length > 0) effects.pop();
  }

  #do(effect: InterchangeEffect): void {
    switch (effect.do) {
      case 'send tasks': {
        const { manager, tasks } = effect;
        if (tasks.every(isDict)) this.#sendTasks(manager, [this.#listOf(tasks, manager)]);
        else for (const frames of this.#mixedFrames(manager, tasks)) this.#sendTasks(manager, frames);
        for (const task of tasks) task.letGo();
        return;
      }
      case 'forward':
        this.#results.send(
          this.#submitterReadsBatches || !effect.frames.some(isResultBatch)
            ? effect.frames
            : effect.frames.flatMap(withoutBatch),
        );
        return;
      case 'fail':
        this.#results.send([writeFailure(effect.taskId, failureOf(effect.failure))]);
        return;
      case 'reply':
        this.#pools.send(
          effect.peer,
          writeInterchangeWord(words[effect.what], effect.style),
          effect.what === 'drained' ? undefined : mostUnread,
        );
        return;
      case 'explain refusal':
        this.#pools.send(effect.peer, writeInterchangeWord({ type: 'refusal', reason: effect.reason }, 'one-port'));
        return;
      case 'cancel task': {
        const word = { type: 'cancel', taskIds: [effect.taskId], reason: effect.reason } as const;
        this.#pools.send(effect.manager.peer, writeInterchangeWord(word, effect.manager.style));
        return;
      }
      case 'send code': {
        const word = { type: 'code', name: effect.name, bytes: effect.bytes } as const;
        this.#pools.send(effect.peer, writeInterchangeWord(word, 'one-port'), mostUnread);
        return;
      }
      case 'answer':
        this.#commands.send([writeReply(effect.reply, this.#ports)]);
        return;
      case 'show status':
        this.#pools.send(effect.peer, [encode(statusDict(effect.report))], mostUnread);
        return;
      case 'relay monitoring':
        this.#monitoring?.send(effect.frame);
        return;
      case 'record manager':
        this.#record(effect.manager, effect.now);
        return;
      case 'log':
        // Every task has such lines, and looking at the clock costs as much as making one.
        if (typeof effect.text === 'object') this.#log.write(effect.level, effect.text, this.#clock);
        else this.#log.write(effect.level, effect.text);
        return;
      case 'timer':
        clearTimeout(this.#timer);
        // Node fires at once what lies further ahead than it can count; too early is harmless, the core asks again.
        this.#timer = setTimeout(
          () => this.#feed({ type: 'timer' }),
          Math.min(Math.max(0, effect.at - now()), 2 ** 31 - 1),
        );
        return;
      case 'end':
        // The submitter is there and must hear why.
        this.#lastWordMs = 5_000;
        this.end(effect.reason);
        return;
      default:
        effect satisfies never;
    }
  }

  #sendTasks(manager: Manager, frames: Frames): void {
    this.#pools.send(manager.peer, manager.style === 'two-port' ? [empty, ...frames] : frames);
  }

  /** The pickled list of these tasks. One alone, for a pool of one worker, stays where it is until it leaves. */
  #listOf(tasks: readonly TaskRecord[], manager: Manager): Uint8Array | LateTask {
    const complete = this.#translationFor(manager);
    const only = tasks.length === 1 && complete === undefined ? tasks[0] : undefined;
    if (only?.place !== undefined) return new LateTask(only.place, only.offset, only.length);
    return writeTaskBatch(tasks, complete);
  }

  /**
   * The messages that give a manager tasks of which some came in a batch: batches for a pool that reads them, pickled lists
   * for the rest.
   */
  #mixedFrames(manager: Manager, tasks: readonly TaskRecord[]): Uint8Array[][] {
    const batched = tasks.filter((task) => !isDict(task));
    if (!manager.registration.extensions.includes('batch'))
      return [
        [
          writeTaskBatch(
            tasks.map((task) => asPickled(withValues(task))),
            this.#translationFor(manager),
          ),
        ],
      ];
    const seesFiles = manager.registration.extensions.includes('files');
    const frames = writeTasks(seesFiles ? batched : batched.map(withValues));
    if (batched.length === tasks.length) return [frames];
    const others = tasks.filter(isDict);
    return [frames, [writeTaskBatch(others, this.#translationFor(manager))]];
  }

  /** What this manager's pool looks for in a task that the submitter did not put there. */
  #translationFor(manager: Manager): ((body: Uint8Array) => Uint8Array) | undefined {
    // The form of the submitter's tasks is known since the first of them, and does not change.
    let translator = this.#translators.get(manager.registration);
    if (translator === undefined) {
      const era = eraOfRelease(manager.registration.parslVersion);
      const wanted =
        manager.style === 'two-port' ? 'resource_spec' : era === undefined ? this.#envelope : envelopeOf(era);
      const sent = this.#envelope;
      translator = { translate: sent === undefined || wanted === undefined ? undefined : translation(sent, wanted) };
      this.#translators.set(manager.registration, translator);
    }
    return translator.translate;
  }

  #record(manager: Manager, at: number): void {
    const { runId } = this.#config;
    const { registration, isActive, isDraining } = manager;
    const taskIds = manager.taskIds();
    // By the clock as it is now: the records stand beside those of others.
    const setBy = setBySeconds() * 1_000;
    const times = {
      at: at + setBy,
      heardAt: manager.heardAt + setBy,
      idleSince: manager.idleSince === undefined ? undefined : manager.idleSince + setBy,
    };
    this.#monitoring?.send(
      writeNodeInfo({ runId: runId ?? '', registration, taskIds, isActive, isDraining, ...times }),
    );
  }

  #note(level: 'info' | 'warning', text: string): void {
    this.#log.write(level, text);
  }

  /**
   * A terminal sends its signals to a submitter and to its interchange alike. Parsl's submitter then asks its interchange
   * about its blocks, and waits for the answer without end: so as long as it is there, it decides. A process without a
   * terminal may have been started to outlive one (nohup; Node.js forgets that SIGHUP was to be ignored).
   */
  interrupt(signal: 'SIGINT' | 'SIGQUIT' | 'SIGHUP', hasTerminal: boolean): void {
    if (this.#options.endsWithSubmitter !== false && this.#submitLinks.size > 0)
      this.#note('info', `${signal} is left to the submitter, which is there; SIGTERM ends this process`);
    else if (signal === 'SIGHUP' && !hasTerminal)
      this.#note('info', 'SIGHUP ends nothing that has no terminal; SIGTERM ends this process');
    else this.end(`it was told to by ${signal}`);
  }

  /** Where pools and submitter are found, and where the log is, for who starts it by hand. */
  get whereabouts(): string {
    const { clientAddress, clientPorts, logdir } = this.#config;
    return `${this.#listening}; its submitter is looked for at ${clientAddress}, ports ${clientPorts.join(', ')}; the log is in ${logdir}`;
  }

  /** Says in the log why it ends, and asks its owner to end it; only the first reason counts. */
  end(reason: string, exitStatus: 0 | 1 = 0): void {
    if (this.#hasEnded) return;
    this.#log.write('info', `Interchange ends: ${reason}`);
    this.#hasEnded = true;
    this.#options.onEnd(reason, exitStatus);
  }

  /** Tells every pool to go, since nobody is left to give it tasks, and closes everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    this.#descriptors.close();
    this.#looks?.close();
    for (const manager of this.#state.managers.values()) {
      this.#pools.send(manager.peer, writeInterchangeWord({ type: 'drained' }, manager.style));
    }
    // Together with the end of the process these must not take a tenth of a second, whatever pools stand still.
    const lingerMs = 30;
    const goodbyeMs = 30;
    const sockets = [this.#tasks, this.#commands, this.#pools, this.#poolResults];
    await Promise.all([
      this.#results.close({ lingerMs: this.#lastWordMs, goodbyeMs }),
      ...sockets.map((socket) => socket?.close({ lingerMs, goodbyeMs })),
      this.#monitoring?.close({ lingerMs, goodbyeMs }),
    ]);
    const { received, queued, leased, answered } = this.#state.counters;
    this.#log.write(
      'info',
      `Of ${received} tasks, ${answered} were answered, ${leased} were with managers, ${queued} waited`,
    );
    this.#log.close();
  }
}

/** Whether a task came as a dict of its own, and not in a batch. */
const isDict = (task: TaskRecord): boolean => task.context === undefined;

const refill = { type: 'refill' } as const;
const turn = { type: 'turn' } as const;
const empty = new Uint8Array(0);
/** For answers to somebody who asks and asks and reads none of them: more would only fill the memory. */
const mostUnread = 1_000;
const words = {
  probe: { type: 'probe' },
  heartbeat: { type: 'heartbeat' },
  drained: { type: 'drained' },
  welcome: { type: 'welcome', readsBatches: true },
} as const;

/** A loopback address, or one that a network interface of this machine has. */
function isOfThisMachine(address: string): boolean {
  if (/^(::ffff:)?127\.|^::1$|^localhost$/.test(address)) return true;
  return Object.values(networkInterfaces()).some((list) => list?.some((each) => each.address === address));
}

/** A task with its large arguments in it, for a pool that does not see the files in which its submitter keeps them. */
function withValues(task: TaskRecord): StoredBody & { readonly id: number } {
  const { id, context, slab, offset, length } = task;
  if (context === undefined || slab === undefined) return task;
  const directory = field(contextValue(context), 'chervil_files');
  if (typeof directory !== 'string') return task;
  const call = slab.subarray(offset, offset + length);
  const args = isNodeCall(call) ? callParts(call).args : pythonReference(call);
  if (args === undefined || !isReference(args)) return task;
  try {
    const bytes = new ValueFiles(directory).bytesOf(args);
    const whole = isNodeCall(call) ? withArguments(call, bytes) : withPythonArguments(call, args, bytes);
    return { id, context, slab: whole, offset: 0, length: whole.length };
  } catch {
    // It is gone, as is who wanted it: the worker says so.
    return task;
  }
}

/** A task that came in a batch, as the dict that it would have been. */
function asPickled(task: StoredBody & { readonly id: number }): StoredBody {
  const { id, context, slab, offset, length } = task;
  if (context === undefined || slab === undefined) return task;
  const body = bodyOfBuffer(id, context, slab.subarray(offset, offset + length));
  return { slab: body, offset: 0, length: body.length };
}

/** For a submitter that reads no batches: items, of which those that would end Parsl's result thread are failures. */
function withoutBatch(frame: Uint8Array): Uint8Array[] {
  const batch = isResultBatch(frame) ? readResults(frame) : undefined;
  if (batch?.ok !== true) return [frame];
  return splitBatch(batch.value).map((item, index) => {
    const read = readItem(item);
    if (read.kind !== 'outcome' || read.isBare !== true) return item;
    const text = 'The result of this task could not be read: it is no packed value';
    return writeFailure(batch.value.ids[index] as number, { kind: 'message', text });
  });
}

/**
 * A registration whose time to drain is in the milliseconds of {@link now}: the machines' clocks may have been set since
 * this process started.
 */
function byOwnClock(registration: Registration): Registration {
  const { drainTime } = registration;
  return drainTime === undefined ? registration : { ...registration, drainTime: drainTime - setBySeconds() };
}

/** How far the clock of this machine has been set since this process started. */
function setBySeconds(): number {
  return (Date.now() - now()) / 1_000;
}

/** Milliseconds since the epoch that never go back: a corrected clock must not make every manager look silent. */
function now(): number {
  return origin + clock.now();
}
const clock = performance;
const origin = performance.timeOrigin;

function failureOf(failure: Failure): InterchangeFailure {
  switch (failure.kind) {
    case 'manager lost':
      return { ...failure, manager: identityBytes(failure.manager), at: failure.at / 1_000 + setBySeconds() };
    case 'version mismatch':
      return failure;
    case 'unreadable task':
      return { kind: 'message', text: `The interchange could not read this task: ${failure.reason}` };
    case 'unreadable result':
      return {
        kind: 'message',
        text: `The result that manager ${showIdentity(failure.manager)} sent for this task could not be read: ${failure.reason}`,
      };
    case 'cancelled':
      return { kind: 'message', text: 'This task was cancelled before it ran' };
    default:
      return failure satisfies never;
  }
}

// An interchange process between a submitter and pools without workers, over real sockets. Used by the fuzzing of its
// sockets, by the chaos test and by the bench.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type ReceivedTask,
  readInterchangeMessage,
  readTaskBatch,
  resultHeader,
  writeCommand,
  writeManagerMessage,
  writeOutcome,
} from '#src/wire/messages.js';
import { decode, encode, type PickleValue, PyGlobal, PyObject, PyTuple } from '#src/wire/pickle.js';
import { createSocket, type DealerSocket, type RequesterSocket } from '#src/wire/zmtp/socket.js';
import { registration } from '../interchange/builders.ts';

const program = fileURLToPath(new URL('../../dist/interchange/start.js', import.meta.url));

/** What an interchange is started with. */
export interface RunOptions {
  /** Which program, with its arguments. @default Chervil's interchange with the Node of this process */
  readonly command?: readonly string[];
  readonly heartbeatThreshold?: number;
  /** 10: debug, 20: info. @default 20 */
  readonly loggingLevel?: number;
  /** The ports for tasks and results of a submitter that is somebody else; the sockets of this one are then idle. @default none */
  readonly submitter?: readonly [number, number];
  /** Called with the frames of each message on the results socket. */
  readonly onResults: (frames: readonly Buffer[]) => void;
}

/** A submitter's three sockets and its interchange. */
export class InterchangeRun implements AsyncDisposable {
  readonly tasks: DealerSocket;
  readonly command: RequesterSocket;
  readonly child: ChildProcess;
  readonly pid: number;
  readonly logdir: string;
  /** The exit status, once it has ended. */
  readonly exited: Promise<number | null>;
  /** Where pools connect. */
  readonly port: number;
  readonly #sockets: readonly (DealerSocket | RequesterSocket)[];

  private constructor(
    sockets: readonly [DealerSocket, DealerSocket, RequesterSocket],
    child: ChildProcess,
    exited: Promise<number | null>,
    logdir: string,
    port: number,
  ) {
    this.#sockets = sockets;
    [this.tasks, , this.command] = sockets;
    this.child = child;
    this.pid = child.pid ?? 0;
    this.exited = exited;
    this.logdir = logdir;
    this.port = port;
  }

  /** Starts it; resolves when it answers. */
  static async start(options: RunOptions): Promise<InterchangeRun> {
    const logdir = mkdtempSync(join(tmpdir(), 'chervil-interchange-run-'));
    const plain = { highWaterMark: 0, lingerMs: 0 };
    const tasks = createSocket({ type: 'dealer', ...plain });
    const results = createSocket({ type: 'dealer', ...plain, onMessage: (frames) => options.onResults(frames) });
    const command = createSocket({ type: 'req', lingerMs: 0 });
    const ports: number[] = [];
    for (const socket of [tasks, results, command]) {
      ports.push(Number((await socket.bind('tcp://127.0.0.1:*')).split(':').pop()));
    }
    const [file = '', ...args] = options.command ?? [process.execPath, program];
    if (options.submitter !== undefined) ports.splice(0, 2, ...options.submitter);
    const child = spawn(file, args, { stdio: ['pipe', 'inherit', 'inherit'] });
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.stdin?.end(configuration(ports, logdir, options));
    const [reply] = await command.request([writeCommand({ name: 'worker binds' })], { timeoutMs: 60_000 });
    const port = decode(reply as Buffer);
    if (!port.ok || typeof port.value !== 'number') throw new Error('the interchange did not tell its port');
    return new InterchangeRun([tasks, results, command], child, exited, logdir, port.value);
  }

  /** Asks the interchange something. */
  async ask(request: Uint8Array): Promise<PickleValue> {
    const [frame] = await this.command.request([request], { timeoutMs: 60_000 });
    const value = decode(frame as Buffer);
    if (!value.ok) throw new Error(`the answer cannot be read: ${value.error.message}`);
    return value.value;
  }

  /** User and system time it has used, in microseconds; Linux counts in hundredths of a second. */
  cpuMicroseconds(): number {
    return cpuMicroseconds(this.pid);
  }

  /** Resident memory in bytes. */
  residentBytes(): number {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1]) * 1_024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGTERM');
    const late = setTimeout(() => this.child.kill('SIGKILL'), 10_000);
    await this.exited;
    clearTimeout(late);
    await Promise.all(this.#sockets.map((socket) => socket.close({ lingerMs: 0 })));
    rmSync(this.logdir, { recursive: true, force: true });
  }
}

/** User and system time of any process, in microseconds. */
export function cpuMicroseconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** As Parsl since 2026.05.18 writes it. */
function configuration(ports: readonly number[], logdir: string, options: RunOptions): Uint8Array {
  const selector = new PyGlobal('parsl.executors.high_throughput.manager_selector', 'RandomManagerSelector');
  return encode(
    new Map<PickleValue, PickleValue>(
      Object.entries({
        client_address: '127.0.0.1',
        client_ports: new PyTuple([...ports]),
        interchange_address: '127.0.0.1',
        worker_port: null,
        worker_port_range: new PyTuple([54_000, 55_000]),
        hub_address: '127.0.0.1',
        hub_zmq_port: null,
        heartbeat_threshold: options.heartbeatThreshold ?? 120,
        logdir,
        logging_level: options.loggingLevel ?? 20,
        poll_period: 10,
        cert_dir: null,
        manager_selector: new PyObject('new', selector, new PyTuple([])),
        run_id: 'run-1',
        log_config: null,
        _check_python_mismatch: false,
      }),
    ),
  );
}

const resultBytes = Buffer.from('02\nN.');

/** Hears of the tasks of one message: their ids, who got them, and the tasks themselves. */
export type OnTasks = (taskIds: number[], pool: FakePool, tasks: readonly ReceivedTask[]) => void;

/** A pool that has no workers: what it answers, and when, is the user's business. */
export class FakePool implements AsyncDisposable {
  readonly identity: string;
  readonly #port: number;
  readonly #onTasks: OnTasks;
  readonly #single: boolean;
  #socket: DealerSocket;
  #beat: NodeJS.Timeout | undefined;
  /** Messages it could not read: none, unless it asked for something odd. */
  unread = 0;
  /** Set when the interchange told it to end. */
  isDismissed = false;

  /** @param single - whether results go as one frame, as since 2026.10.05 */
  constructor(port: number, identity: string, onTasks: OnTasks, single = true) {
    this.#port = port;
    this.identity = identity;
    this.#onTasks = onTasks;
    this.#single = single;
    this.#socket = this.#connect();
  }

  #connect(): DealerSocket {
    const socket = createSocket({
      type: 'dealer',
      identity: this.identity,
      highWaterMark: 0,
      lingerMs: 0,
      onMessage: (frames) => this.#onMessage(frames),
    });
    socket.connect(`tcp://127.0.0.1:${this.#port}`);
    return socket;
  }

  #onMessage(frames: Buffer[]): void {
    const read = readInterchangeMessage(frames);
    if (!read.ok) {
      this.unread++;
      return;
    }
    if (read.value.type === 'drained') this.isDismissed = true;
    if (read.value.type !== 'tasks') return;
    const batch = readTaskBatch(read.value.value);
    if (!batch.ok) {
      this.unread++;
      return;
    }
    this.#onTasks(
      batch.value.map((task) => Number(task.taskId)),
      this,
      batch.value,
    );
  }

  register(capacity: number, changes: Parameters<typeof registration>[0] = {}): this {
    const record = registration({ uid: this.identity, maxCapacity: capacity, workerCount: capacity, ...changes });
    this.#socket.send([writeManagerMessage({ type: 'registration', registration: record })]);
    return this;
  }

  /** Sends a heartbeat now and then until it is closed. */
  beat(everyMs: number): this {
    clearInterval(this.#beat);
    this.#beat = setInterval(() => this.say('heartbeat'), everyMs);
    return this;
  }

  say(type: 'heartbeat' | 'drain' | 'connection_probe'): void {
    this.#socket.send([writeManagerMessage({ type })]);
  }

  finish(taskId: number): void {
    const frame = writeOutcome({ taskId, isException: false, bytes: resultBytes });
    this.#socket.send(this.#single ? [frame] : [resultHeader(), frame]);
  }

  send(frames: readonly Uint8Array[]): void {
    this.#socket.send(frames);
  }

  /** Its connection breaks, with what was in it; another takes its place under the same name. */
  async reconnect(): Promise<void> {
    await this.#socket.close({ lingerMs: 0 });
    this.#socket = this.#connect();
  }

  /** Gone, without a word. */
  async close(): Promise<void> {
    clearInterval(this.#beat);
    await this.#socket.close({ lingerMs: 0 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

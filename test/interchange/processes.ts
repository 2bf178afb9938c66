// A submitter without a user, pools without workers, and a real interchange process between them.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  readConfig,
  readInterchangeMessage,
  readOutcome,
  readTaskBatch,
  resultHeader,
  writeCommand,
  writeManagerMessage,
  writeOutcome,
  writeTask,
} from '#src/wire/messages.js';
import { decode, encode, type PickleValue, PyGlobal, PyObject, PyTuple } from '#src/wire/pickle.js';
import {
  createSocket,
  type DealerSocket,
  type Mechanism,
  nullMechanism,
  type RequesterSocket,
} from '#src/wire/zmtp/socket.js';
import { registration, sure } from './builders.ts';

export const program = fileURLToPath(new URL('../../dist/interchange/start.js', import.meta.url));
/** Ended after the tests of a file, should they still run. */
export const children: ChildProcess[] = [];
/** Removed after the tests of a file. */
export const directory = mkdtempSync(join(tmpdir(), 'chervil-interchange-'));
after(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

/** Messages as they come, and a way to wait for the next. */
export class Inbox<Message> {
  readonly #waiting: Message[] = [];
  #wanted: ((message: Message) => void) | undefined;
  put(message: Message): void {
    if (this.#wanted === undefined) this.#waiting.push(message);
    else {
      const wanted = this.#wanted;
      this.#wanted = undefined;
      wanted(message);
    }
  }
  next(what = 'a message'): Promise<Message> {
    const first = this.#waiting.shift();
    if (first !== undefined) return Promise.resolve(first);
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${what} did not come in 20 s`)), 20_000);
      this.#wanted = (message) => {
        clearTimeout(late);
        resolve(message);
      };
    });
  }
}

/** A submitter without a user, and its interchange. */
export class Submitter implements AsyncDisposable {
  readonly results = new Inbox<Buffer[]>();
  readonly #sockets: readonly (DealerSocket | RequesterSocket)[];
  readonly tasks: DealerSocket;
  readonly command: RequesterSocket;
  /** The socket that results come to. */
  readonly resultLink: DealerSocket;
  child: ChildProcess | undefined;
  exited: Promise<number | null> | undefined;
  readonly logdir: string;

  private constructor(mechanism: Mechanism, logdir: string) {
    const common = { mechanism, highWaterMark: 0, lingerMs: 0 };
    this.tasks = createSocket({ type: 'dealer', ...common });
    this.command = createSocket({ type: 'req', mechanism, lingerMs: 0 });
    this.resultLink = createSocket({ type: 'dealer', ...common, onMessage: (frames) => this.results.put(frames) });
    this.#sockets = [this.tasks, this.resultLink, this.command];
    this.logdir = logdir;
  }

  static async start(
    changes: Record<string, PickleValue> = {},
    mechanism: Mechanism = nullMechanism,
    options: readonly string[] = [],
    host = '127.0.0.1',
    mostFiles?: number,
  ): Promise<Submitter> {
    const submitter = new Submitter(mechanism, mkdtempSync(join(directory, 'run-')));
    const ports: number[] = [];
    for (const socket of submitter.#sockets) {
      ports.push(Number((await socket.bind(`tcp://${host.includes(':') ? `[${host}]` : host}:*`)).split(':').pop()));
    }
    const selector = new PyGlobal('parsl.executors.high_throughput.manager_selector', 'RandomManagerSelector');
    const config: Record<string, PickleValue> = {
      client_address: host,
      client_ports: new PyTuple(ports),
      interchange_address: host,
      worker_port: null,
      worker_port_range: new PyTuple([54_000, 55_000]),
      hub_address: '127.0.0.1',
      hub_zmq_port: null,
      heartbeat_threshold: 120,
      logdir: submitter.logdir,
      logging_level: 10,
      poll_period: 10,
      cert_dir: null,
      manager_selector: new PyObject('new', selector, new PyTuple([])),
      run_id: 'run-1',
      log_config: null,
      _check_python_mismatch: true,
      ...changes,
    };
    const bytes = encode(new Map(Object.entries(config)));
    sure(readConfig(bytes).ok);
    const command = [process.execPath, program, ...options];
    const limited = mostFiles === undefined ? [] : ['/bin/bash', '-c', `ulimit -n ${mostFiles} && exec "$@"`, 'bash'];
    const [file = '', ...args] = [...limited, ...command];
    const child = spawn(file, args, { stdio: ['pipe', 'inherit', 'inherit'] });
    children.push(child);
    submitter.child = child;
    submitter.exited = new Promise((resolve) => child.on('exit', (code) => resolve(code)));
    child.stdin?.end(bytes);
    return submitter;
  }

  async ask(request: Uint8Array): Promise<PickleValue> {
    const [frame] = await this.command.request([request], { timeoutMs: 20_000 });
    const value = decode(frame as Buffer);
    sure(value.ok);
    return value.value;
  }

  send(taskId: number, context: PickleValue = new Map()): void {
    this.tasks.send([writeTask({ taskId, buffer: Buffer.from(`buffer ${taskId}`), context })]);
  }

  /** The next answer: the task's id, and whether it failed. */
  async answer(): Promise<{ taskId: number; isException: boolean; text: string }> {
    const [frame] = await this.results.next('a result');
    const outcome = readOutcome(frame as Buffer);
    sure(outcome.ok);
    const { taskId, isException, bytes } = outcome.value;
    return { taskId, isException, text: Buffer.from(bytes).toString('latin1') };
  }

  async closeSockets(): Promise<void> {
    await Promise.all(this.#sockets.map((socket) => socket.close({ lingerMs: 0 })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child?.kill('SIGTERM');
    await this.closeSockets();
    await this.exited;
  }
}

/** A pool without workers. */
export class Pool implements AsyncDisposable {
  readonly inbox = new Inbox<Buffer[]>();
  readonly socket: DealerSocket;
  constructor(port: number, identity: string | Uint8Array, mechanism: Mechanism = nullMechanism, host = '127.0.0.1') {
    const onMessage = (frames: Buffer[]): void => this.inbox.put(frames);
    this.socket = createSocket({ type: 'dealer', identity, mechanism, highWaterMark: 0, lingerMs: 0, onMessage });
    this.socket.connect(`tcp://${host}:${port}`);
  }
  register(changes: Parameters<typeof registration>[0] = {}): void {
    this.socket.send([writeManagerMessage({ type: 'registration', registration: registration(changes) })]);
  }
  /** Ids of the next batch of tasks. */
  async tasks(): Promise<unknown[]> {
    const read = readInterchangeMessage(await this.inbox.next('a batch of tasks'));
    sure(read.ok && read.value.type === 'tasks', JSON.stringify(read));
    const batch = readTaskBatch(read.value.value);
    sure(batch.ok);
    return batch.value.map((task) => task.taskId);
  }
  finish(taskId: number): void {
    this.socket.send([resultHeader(), writeOutcome({ taskId, isException: false, bytes: Buffer.from('02\nN.') })]);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.socket.close({ lingerMs: 0 });
  }
}

/** The port for pools. */
export const port = async (submitter: Submitter): Promise<number> =>
  Number(await submitter.ask(writeCommand({ name: 'worker binds' })));

// Other implementations of ZMTP behind one small interface: libzmq as zeromq.js, and libzmq as pyzmq in a child process.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as zeromq from 'zeromq';
import { within } from './happenings.ts';
import { pythonOrSkip } from './python.ts';
import type { Security } from './zmtp.ts';

export type ForeignType = 'DEALER' | 'ROUTER' | 'REQ' | 'REP';

export interface ForeignOptions {
  readonly type: ForeignType;
  readonly identity?: string;
  readonly at: { readonly bind: string } | { readonly connect: string };
  readonly security: Security;
  readonly role: 'server' | 'client';
  /** Options by their libzmq name, for pyzmq. */
  readonly options?: Readonly<Record<string, number>>;
}

export interface ForeignSocket {
  /** Where it is bound. */
  readonly endpoint: string;
  send(frames: readonly Buffer[]): Promise<void>;
  receive(): Promise<Buffer[]>;
  close(): Promise<void>;
}

export interface ForeignLibrary {
  readonly name: string;
  open(options: ForeignOptions): Promise<ForeignSocket>;
}

/** libzmq in this process. */
export const zeromqJs: ForeignLibrary = {
  name: 'zeromq.js',
  async open({ type, identity, at, security, role }) {
    const { keys } = security;
    const options = {
      linger: 0,
      ipv6: true,
      ...(identity === undefined ? {} : { routingId: identity }),
      ...(keys === undefined
        ? {}
        : role === 'server'
          ? { curveServer: true, curveSecretKey: keys.server.secretKey }
          : {
              curveServerKey: keys.server.publicKey,
              curvePublicKey: keys.client.publicKey,
              curveSecretKey: keys.client.secretKey,
            }),
    };
    const classes = { DEALER: zeromq.Dealer, ROUTER: zeromq.Router, REQ: zeromq.Request, REP: zeromq.Reply } as const;
    const socket = new classes[type](options as object) as zeromq.Dealer;
    if ('bind' in at) await socket.bind(at.bind);
    else socket.connect(at.connect);
    return {
      endpoint: socket.lastEndpoint ?? '',
      send: (frames) => within(socket.send([...frames]), 'zeromq.js to send'),
      receive: () => within(socket.receive(), 'zeromq.js to receive') as Promise<Buffer[]>,
      close: async () => socket.close(),
    };
  },
};

const script = join(dirname(dirname(fileURLToPath(import.meta.url))), 'fixtures', 'zmqPeer.py');

/** A Python process with pyzmq; it ends with the test. */
export class Pyzmq implements ForeignLibrary {
  readonly name = 'pyzmq';
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: ((line: string) => void)[] = [];
  #sockets = 0;

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => this.#answers.shift()?.(line));
    child.stdin.on('error', () => undefined);
  }

  /** `undefined`: there is no Python here, and the test was skipped. */
  static async start(t: TestContext): Promise<Pyzmq | undefined> {
    const python = await pythonOrSkip(t, { name: 'pyzmq', packages: ['pyzmq'] });
    if (python === undefined) return undefined;
    const child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'pipe'] });
    child.stderr.pipe(process.stderr);
    t.after(async () => {
      const closed = new Promise((resolve) => child.once('close', resolve));
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.stdin.end();
      const impatience = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await closed;
      clearTimeout(impatience);
    });
    return new Pyzmq(child);
  }

  /** Ends the process in the hardest way. */
  async kill(): Promise<void> {
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGKILL');
    await closed;
  }

  /** Gives one order and waits for its answer. */
  async order(order: Readonly<Record<string, unknown>>): Promise<unknown> {
    const line = new Promise<string>((resolve) => this.#answers.push(resolve));
    this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    const answer = JSON.parse(await within(line, `pyzmq to ${String(order['do'])}`, 60_000)) as {
      ok?: unknown;
      error?: string;
    };
    if (answer.error !== undefined) throw new Error(`pyzmq could not ${String(order['do'])}: ${answer.error}`);
    return answer.ok;
  }

  async open({
    type,
    identity,
    at,
    security,
    role,
    options,
  }: ForeignOptions): Promise<ForeignSocket & { readonly id: number }> {
    const id = ++this.#sockets;
    const order = {
      do: 'open',
      socket: id,
      type,
      ...(identity === undefined ? {} : { identity }),
      ...at,
      directory: security.directory,
      role,
      options,
    };
    const endpoint = (await this.order(order)) as string;
    return {
      id,
      endpoint,
      send: async (frames) =>
        void (await this.order({ do: 'send', socket: id, frames: frames.map((frame) => frame.toString('hex')) })),
      receive: async () =>
        ((await this.order({ do: 'receive', socket: id })) as string[]).map((frame) => Buffer.from(frame, 'hex')),
      close: async () => void (await this.order({ do: 'close', socket: id })),
    };
  }
}

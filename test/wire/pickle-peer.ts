// CPython as a partner of the pickle tests: one python3 that answers requests until it is closed.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('pickle-peer.py', import.meta.url));

/** Why there is no CPython to test against, or `false`. With CHERVIL_REQUIRE=1 a missing one is an error. */
export function whyNoPython(): string | false {
  const probe = spawnSync('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 9))']);
  if (probe.status === 0) return false;
  const reason = 'needs a python3 of 3.9 or later on PATH';
  if (process.env['CHERVIL_REQUIRE'] === '1') throw new Error(reason);
  return reason;
}

/** A running python3. Requests are answered in order. */
export class PicklePeer {
  private readonly child: ChildProcess;
  private received: Buffer[] = [];
  private readonly waiting: { resolve(reply: Buffer): void; reject(reason: Error): void }[] = [];

  constructor() {
    this.child = spawn('python3', [script], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child.stdout!.on('data', (chunk: Buffer) => this.onData(chunk));
    this.child.on('exit', () => {
      for (const each of this.waiting.splice(0)) each.reject(new Error('python3 ended'));
    });
  }

  /** The value that CPython reads from `pickle`, pickled again by CPython. */
  echo(pickle: Uint8Array, protocol: number): Promise<Buffer> {
    return this.request('E', Buffer.concat([Buffer.of(protocol), pickle]));
  }

  /** Rejects unless CPython reads equal values from both. */
  async same(one: Uint8Array, other: Uint8Array): Promise<void> {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(one.length);
    await this.request('S', Buffer.concat([length, one, other]));
  }

  /** A pickle of a random value of CPython's. */
  make(seed: string, protocol: number): Promise<Buffer> {
    return this.request('M', Buffer.concat([Buffer.of(protocol), Buffer.from(seed)]));
  }

  async close(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.stdin!.end();
    await exited;
  }

  private request(kind: string, body: Buffer): Promise<Buffer> {
    const head = Buffer.alloc(5);
    head.writeUInt32LE(body.length);
    head.write(kind, 4);
    this.child.stdin!.write(Buffer.concat([head, body]));
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  private onData(chunk: Buffer): void {
    this.received.push(chunk);
    let all = Buffer.concat(this.received);
    while (all.length >= 5 && all.length >= 5 + all.readUInt32LE(0)) {
      const end = 5 + all.readUInt32LE(0);
      const reply = all.subarray(5, end);
      if (all[4] === 0) this.waiting.shift()?.resolve(reply);
      else this.waiting.shift()?.reject(new Error(`CPython says: ${reply.toString()}`));
      all = all.subarray(end);
    }
    this.received = [all];
  }
}

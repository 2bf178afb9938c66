// What the interchange costs, beside the least that is possible: servers that read a message and write it back, one in
// Node.js with nothing but node:net, one in C. All of them are there at the same time, and those that are never idle take
// turns, so that a busy machine troubles all alike.
//   node --import tsx bench/floor.ts [--managers 2000] [--seconds 60] [--windows 3] [--only idle,one]
import { type ChildProcess, spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeCommand, writeManagerMessage } from '#src/wire/messages.js';
import { FakePool, InterchangeRun } from '../test/support/interchange-run.ts';
import { newestRelease, parslEnvironment } from '../test/support/parsl.ts';
import { type Around, startAround } from './around.ts';
import { compiled } from './compile.ts';
import { cpuNanoseconds, where } from './measure.ts';

const { values } = parseArgs({
  options: {
    managers: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '60' },
    windows: { type: 'string', default: '3' },
    only: { type: 'string' },
  },
});
const managers = Number(values.managers);
const seconds = Number(values.seconds);
const heartbeatMs = 30_000;
/** About as much as a task or a result has. */
const messageBytes = 200;
const isWanted = (part: string): boolean => values.only === undefined || values.only.split(',').includes(part);
const here = dirname(fileURLToPath(import.meta.url));
const environment = await parslEnvironment(newestRelease);
const parsls =
  'python' in environment ? [environment.python, join(dirname(environment.python), 'interchange.py')] : undefined;

/** A server that writes back what it reads. */
interface Echo {
  readonly name: string;
  readonly port: number;
  readonly child: ChildProcess;
}

async function startEcho(name: string, file: string, args: readonly string[]): Promise<Echo> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    createInterface(child.stdout).once('line', (line) => resolve(Number(line)));
  });
  return { name, port, child };
}

async function startEchoes(): Promise<Echo[]> {
  const echoes = [await startEcho('echo, node:net', process.execPath, [join(here, 'peers', 'echo.js')])];
  const program = compiled('echo');
  return program === undefined ? echoes : [...echoes, await startEcho('echo, C', program, [])];
}

async function connectAll(port: number, count: number, onData: (stream: Socket) => void): Promise<Socket[]> {
  const streams: Socket[] = [];
  for (let at = 0; at < count; at++) {
    const stream = connect({ port, host: '127.0.0.1', noDelay: true });
    stream.on('data', () => onData(stream));
    streams.push(stream);
    if (at % 100 === 99) await sleep(20);
  }
  return streams;
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
const load = (): string => (loadavg()[0] ?? Number.NaN).toFixed(1);

console.log(`${where()}\n`);
if (isWanted('idle')) await measureIdle();
if (isWanted('one')) for (const peers of [1, 4, 64]) await measureOne(peers);

/** As many connections as managers, each with a message and its answer every 30 s. */
async function measureIdle(): Promise<void> {
  const measured: { name: string; pid: number; close: () => Promise<void> }[] = [];
  const packages = new Map(Array.from({ length: 250 }, (_, at) => [`package-number-${at}`, `1.${at}.0`]));
  const interchanges = [['Chervil', undefined], ...(parsls === undefined ? [] : [["Parsl's", parsls]])] as const;
  for (const [name, command] of interchanges) {
    const run = await InterchangeRun.start({
      ...(command === undefined ? {} : { command: command as readonly string[] }),
      onResults: () => {},
    });
    const pools = Array.from({ length: managers }, (_, at) =>
      new FakePool(run.port, `pool-${at}`, () => {}).register(10, { packages, parslVersion: newestRelease }),
    );
    for (;;) {
      const known = await run.ask(writeCommand({ name: 'managers' }));
      if (Array.isArray(known) && known.length === managers) break;
      await sleep(500);
    }
    for (const [at, pool] of pools.entries()) setTimeout(() => pool.beat(heartbeatMs), (at * heartbeatMs) / managers);
    const close = async (): Promise<void> => {
      for (const pool of pools) await pool.close();
      await run[Symbol.asyncDispose]();
    };
    measured.push({ name: name as string, pid: run.pid, close });
  }
  const heartbeat = writeManagerMessage({ type: 'heartbeat' });
  for (const { name, port, child } of await startEchoes()) {
    const streams = await connectAll(port, managers, () => {});
    const timers: NodeJS.Timeout[] = [];
    for (const [at, stream] of streams.entries()) {
      const begin = (): void => void timers.push(setInterval(() => stream.write(heartbeat), heartbeatMs));
      setTimeout(begin, (at * heartbeatMs) / managers);
    }
    const close = async (): Promise<void> => {
      for (const timer of timers) clearInterval(timer);
      for (const stream of streams) stream.destroy();
      child.kill('SIGKILL');
    };
    measured.push({ name, pid: child.pid ?? 0, close });
  }
  // Everybody's first heartbeat is due after two rounds of 30 s at the latest, and what starting left behind is tidied.
  await sleep(2 * heartbeatMs + 5_000);
  const shares = measured.map((): number[] => []);
  for (let window = 0; window < Number(values.windows); window++) {
    const before = measured.map(({ pid }) => cpuNanoseconds(pid));
    const begin = performance.now();
    await sleep(seconds * 1_000);
    const ms = performance.now() - begin;
    for (const [at, { pid }] of measured.entries())
      shares[at]?.push((cpuNanoseconds(pid) - (before[at] ?? 0)) / ms / 10_000);
  }
  const messages = managers / (heartbeatMs / 1_000);
  console.log(
    `${managers} connections, a message and its answer every 30 s; windows of ${seconds} s; load ${load()}\n`,
  );
  console.log('| server | % of a core, median | windows | us a message |\n|---|---|---|---|');
  for (const [at, { name, close }] of measured.entries()) {
    const found = shares[at] ?? [];
    const middle = median(found);
    const list = found.map((share) => share.toFixed(2)).join(', ');
    console.log(`| ${name} | ${middle.toFixed(2)} | ${list} | ${((middle * 10_000) / messages).toFixed(0)} |`);
    await close();
  }
}

/**
 * Peers with one message under way each, which never sleep; the interchange moves each of them on from and to a submitter, too.
 * All servers are there at the same time, and take turns.
 */
async function measureOne(peers: number): Promise<void> {
  const askers = compiled('askers');
  if (askers === undefined) {
    console.log('Without a C compiler on Linux: no peers that never sleep.');
    return;
  }
  const count = peers === 1 ? 10_000 : 30_000;
  const ends: (() => unknown)[] = [];
  const found = new Map<string, number[]>();
  try {
    const servers: (Pick<Around, 'flow'> & { readonly name: string; readonly pid: number })[] = [];
    for (const { name, port, child } of await startEchoes()) {
      ends.push(() => child.kill('SIGKILL'));
      const { flow, end } = startAskers(askers, port, peers);
      ends.push(end);
      servers.push({ name, pid: child.pid ?? 0, flow });
    }
    const around = await startAround({ pools: peers, capacity: 1, loggingLevel: 20 });
    ends.push(() => around[Symbol.asyncDispose]());
    servers.push({ name: 'Chervil, a task', pid: around.run.pid, flow: around.flow });
    // The first rounds are for the compiler.
    for (let round = -5; round < 3 * Number(values.windows); round++) {
      for (const { name, pid, flow } of servers) {
        const before = cpuNanoseconds(pid);
        await flow(count);
        const us = (cpuNanoseconds(pid) - before) / 1_000 / count;
        if (round >= 0) found.set(name, [...(found.get(name) ?? []), us]);
      }
    }
  } finally {
    for (const end of ends.reverse()) await end();
  }
  console.log(
    `\n${peers} peers with one message of ${messageBytes} bytes under way each, ${count} a round; load ${load()}\n`,
  );
  console.log('| server | us CPU, median | rounds |\n|---|---|---|');
  for (const [name, all] of found) {
    const spread = `${Math.min(...all).toFixed(1)} to ${Math.max(...all).toFixed(1)}`;
    console.log(`| ${name} | ${median(all).toFixed(1)} | ${spread} |`);
  }
}

function startAskers(program: string, port: number, peers: number): Pick<Around, 'flow'> & { end: () => void } {
  const child = spawn(program, [port, peers, messageBytes].map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    flow: async (messages) => {
      const wanted = Buffer.alloc(4);
      wanted.writeUInt32LE(messages);
      child.stdin.write(wanted);
      if ((await lines.next()).done) throw new Error('the peers have ended');
    },
    end: () => child.stdin.end(),
  };
}

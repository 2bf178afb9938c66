// What the interchange costs, beside the least that is possible: servers that read a message and write it back, one in
// Node.js with nothing but node:net, one in C. All of them at the same time, so that a busy machine troubles all alike.
//   node --import tsx bench/floor.ts [--managers 2000] [--seconds 60] [--windows 3] [--only idle,one]
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeCommand, writeManagerMessage, writeTask } from '#src/wire/messages.js';
import { FakePool, InterchangeRun } from '../test/support/interchange-run.ts';
import { newestRelease, parslEnvironment } from '../test/support/parsl.ts';
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
const isWanted = (part: string): boolean => values.only === undefined || values.only.split(',').includes(part);
const here = dirname(fileURLToPath(import.meta.url));
const place = mkdtempSync(join(tmpdir(), 'chervil-floor-'));
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
  const program = join(place, 'echo');
  try {
    execFileSync('cc', ['-O2', '-o', program, join(here, 'peers', 'echo.c')], { stdio: 'ignore' });
  } catch {
    console.log('Without a C compiler: no echo in C.');
    return echoes;
  }
  return [...echoes, await startEcho('echo, C', program, [])];
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
rmSync(place, { recursive: true, force: true });

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

/** Peers with one message under way each; the interchange moves each of them on from and to a submitter, too. */
async function measureOne(peers: number): Promise<void> {
  const rounds = Number(values.windows);
  const count = peers === 1 ? 20_000 : 60_000;
  const lines: string[] = [];
  const buffer = Buffer.alloc(150, 7);
  const bytes = Buffer.alloc(200, 7);
  const context = new Map();
  const found = new Map<string, number[]>();
  const note = (name: string, us: number): void => void found.set(name, [...(found.get(name) ?? []), us]);
  for (let round = 0; round < rounds; round++) {
    for (const { name, port, child } of await startEchoes()) {
      let done = 0;
      let finish = (): void => {};
      const all = (): Promise<void> =>
        new Promise((resolve) => {
          done = 0;
          finish = resolve;
        });
      const streams = await connectAll(port, peers, (stream) => {
        if (++done === count) finish();
        if (done + peers <= count) stream.write(bytes);
      });
      const flow = async (): Promise<void> => {
        const over = all();
        for (const stream of streams) stream.write(bytes);
        await over;
      };
      await flow();
      const before = cpuNanoseconds(child.pid ?? 0);
      await flow();
      note(name, (cpuNanoseconds(child.pid ?? 0) - before) / 1_000 / count);
      for (const stream of streams) stream.destroy();
      child.kill('SIGKILL');
    }
    let answered = 0;
    let wanted = Number.POSITIVE_INFINITY;
    let tell = (): void => {};
    await using run = await InterchangeRun.start({
      onResults: (frames) => {
        answered += frames.length;
        if (answered >= wanted) tell();
      },
    });
    const pools = Array.from(
      { length: peers },
      (_, at) =>
        new FakePool(run.port, `pool-${at}`, (ids, pool) => {
          for (const id of ids) pool.finish(id);
        }),
    );
    for (const pool of pools) pool.register(1, { parslVersion: newestRelease });
    const flow = async (from: number): Promise<void> => {
      for (let start = from; start < from + count; start += 5_000) {
        for (let taskId = start; taskId < start + 5_000; taskId++)
          run.tasks.send([writeTask({ taskId, buffer, context })]);
        await new Promise<void>((resolve) => {
          wanted = start + 5_000;
          tell = resolve;
          if (answered >= wanted) resolve();
        });
      }
    };
    await flow(0);
    const before = cpuNanoseconds(run.pid);
    await flow(count);
    note('Chervil, a task', (cpuNanoseconds(run.pid) - before) / 1_000 / count);
    for (const pool of pools) await pool.close();
  }
  for (const [name, list] of found)
    lines.push(`| ${name} | ${median(list).toFixed(1)} | ${list.map((us) => us.toFixed(1)).join(', ')} |`);
  console.log(`\n${peers} peers with one message of 200 bytes under way each, ${count} in all; load ${load()}\n`);
  console.log(`| server | us CPU, median | rounds |\n|---|---|---|\n${lines.join('\n')}`);
}

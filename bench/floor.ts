// What the interchange costs, beside the least that is possible: servers that read a message and write it back, one in
// Node.js with nothing but node:net, one in C. All of them are there at the same time, and those that are never idle take
// turns, so that a busy machine troubles all alike.
//   node --import tsx bench/floor.ts [--managers 2000] [--seconds 60] [--windows 3] [--only idle,one]
import { type ChildProcess, spawn } from 'node:child_process';
import { loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeCommand } from '#src/wire/messages.js';
import { InterchangeRun } from '../test/support/interchange-run.ts';
import { newestRelease, parslEnvironment } from '../test/support/parsl.ts';
import { type Around, startAround, startIdleManagers } from './around.ts';
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

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
const load = (): string => (loadavg()[0] ?? Number.NaN).toFixed(1);

console.log(`${where()}\n`);
if (isWanted('idle')) await measureIdle();
if (isWanted('one')) for (const peers of [1, 4, 64]) await measureOne(peers);

/** As many connections as managers, each with a heartbeat and its answer every 30 s. All servers are there at the same time. */
async function measureIdle(): Promise<void> {
  if (compiled('managers') === undefined) {
    console.log('Without a C compiler on Linux: no managers that leave the caches alone.');
    return;
  }
  const packages = new Map(Array.from({ length: 250 }, (_, at) => [`package-number-${at}`, `1.${at}.0`]));
  const ends: (() => unknown)[] = [];
  const measured: { readonly name: string; readonly pid: number; readonly shares: number[] }[] = [];
  const answered: Promise<void>[] = [];
  const add = async (name: string, pid: number, port: number): Promise<void> => {
    const idle = await startIdleManagers(port, managers, heartbeatMs, { packages, parslVersion: newestRelease });
    ends.push(() => idle[Symbol.asyncDispose]());
    answered.push(idle.answered);
    measured.push({ name, pid, shares: [] });
  };
  try {
    const interchanges: (readonly [string, readonly string[] | undefined])[] = [
      ['Chervil', undefined],
      ...(parsls === undefined ? [] : [["Parsl's", parsls] as const]),
    ];
    for (const [name, command] of interchanges) {
      const run = await InterchangeRun.start({ ...(command && { command }), onResults: () => {} });
      ends.push(() => run[Symbol.asyncDispose]());
      await add(name, run.pid, run.port);
      for (;;) {
        const known = await run.ask(writeCommand({ name: 'managers' }));
        if (Array.isArray(known) && known.length === managers) break;
        await sleep(500);
      }
    }
    const echoes = await startEchoes();
    for (const { child } of echoes) ends.push(() => child.kill('SIGKILL'));
    for (const { name, port, child } of echoes) await add(name, child.pid ?? 0, port);
    // Two rounds: what starting left behind is tidied, and what runs often is compiled.
    await Promise.all(answered);
    await sleep(heartbeatMs);
    for (let window = 0; window < Number(values.windows); window++) {
      const before = measured.map(({ pid }) => cpuNanoseconds(pid));
      const begin = performance.now();
      await sleep(seconds * 1_000);
      const ms = performance.now() - begin;
      for (const [at, { pid, shares }] of measured.entries())
        shares.push((cpuNanoseconds(pid) - (before[at] ?? 0)) / ms / 10_000);
    }
  } finally {
    for (const end of ends.reverse()) await end();
  }
  const messages = managers / (heartbeatMs / 1_000);
  console.log(
    `${managers} connections, a message and its answer every 30 s; windows of ${seconds} s; load ${load()}\n`,
  );
  console.log('| server | % of a core, median | windows | us a message |\n|---|---|---|---|');
  for (const { name, shares } of measured) {
    const middle = median(shares);
    const list = shares.map((share) => share.toFixed(2)).join(', ');
    console.log(`| ${name} | ${middle.toFixed(2)} | ${list} | ${((middle * 10_000) / messages).toFixed(0)} |`);
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

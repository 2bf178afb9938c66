// Parsl's interchange and Chervil's under the same submitter and pools, in one run: CPU time a task by log level and
// capacity; how long a task waits for its way with a million queued, and what those cost; idle managers; a whole Python
// program. Prints the table of docs/use-with-python-parsl.md.
//   node --import tsx bench/interchange.ts [--quick] [--only cpu,queue,managers,program]
import { loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeCommand, writeTask } from '#src/wire/messages.js';
import { FakePool, InterchangeRun } from '../test/support/interchange-run.ts';
import { interchangeCommand, newestRelease, ParslRun, parslEnvironment } from '../test/support/parsl.ts';
import { startAround } from './around.ts';
import { cpuNanoseconds, where } from './measure.ts';

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, only: { type: 'string' } } });
const scale = values.quick ? 0.1 : 1;
const isWanted = (part: string): boolean => values.only === undefined || values.only.split(',').includes(part);
const environment = await parslEnvironment(newestRelease);
const python = 'python' in environment ? environment.python : undefined;
if (python === undefined && 'missing' in environment) console.log(`Without Parsl: ${environment.missing}`);
const own = [
  process.execPath,
  join(dirname(dirname(fileURLToPath(import.meta.url))), 'dist', 'interchange', 'start.js'),
];
const parsls = python === undefined ? undefined : [python, join(dirname(python), 'interchange.py')];
const both = [
  ...(parsls === undefined ? [] : ([["Parsl's", parsls]] as const)),
  ['Chervil', own],
] as const satisfies readonly (readonly [string, readonly string[]])[];
const context = new Map();
const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
const spread = (numbers: readonly number[]): string =>
  `${Math.min(...numbers).toFixed(1)} to ${Math.max(...numbers).toFixed(1)}`;
/** The load average says how far the rates and delays of this line can be believed; CPU time is steadier. */
const say = (what: string, which: string, text: string): void =>
  console.log(
    `| ${what.padEnd(52)} | ${which.padEnd(8)} | ${text.padEnd(50)} | ${(loadavg()[0] ?? Number.NaN).toFixed(1).padStart(4)} |`,
  );
console.log(`${where()}; Parsl ${newestRelease}\n`);
console.log('| what | interchange | measured | load |\n|---|---|---|---|');

/** A run whose results are counted. */
class Counted {
  answered = 0;
  #wanted = Number.POSITIVE_INFINITY;
  #tell = (): void => {};
  onResults = (frames: readonly Buffer[]): void => {
    this.answered += frames.length;
    if (this.answered >= this.#wanted) this.#tell();
  };
  until(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wanted = count;
      this.#tell = resolve;
      if (this.answered >= count) resolve();
    });
  }
}

if (isWanted('cpu')) {
  for (const loggingLevel of [20, 10]) {
    for (const [capacity, pools, kind] of [
      [100, 4, 'lean'],
      [1, 64, 'lean'],
      [1, 4, 'lean'],
      // What stands around the interchange costs as much as it does: now and then it waits, and takes its messages one by one.
      [1, 64, 'node'],
      [1, 4, 'node'],
    ] as const) {
      // Order reversed each round, so that a busy machine troubles both alike.
      const found = new Map<string, { cpu: number[]; rate: number[] }>(
        both.map(([name]) => [name, { cpu: [], rate: [] }]),
      );
      for (let round = 0; round < (values.quick ? 1 : 3); round++) {
        for (const [name, command] of round % 2 === 0 ? both : [...both].reverse()) {
          const tasks = Math.round((name === 'Chervil' ? 200_000 : 15_000) * scale * (capacity === 1 ? 0.5 : 1));
          await using around = await startAround({ command, loggingLevel, capacity, pools, kind });
          await around.flow(tasks);
          const before = cpuNanoseconds(around.run.pid);
          const begin = performance.now();
          await around.flow(tasks);
          const seconds = (performance.now() - begin) / 1_000;
          found.get(name)?.cpu.push((cpuNanoseconds(around.run.pid) - before) / 1_000 / tasks);
          found.get(name)?.rate.push(tasks / seconds);
        }
      }
      const level = loggingLevel === 20 ? 'info' : 'debug';
      for (const [name, { cpu, rate }] of found) {
        const what = `log ${level}, ${pools} pools of ${capacity}${kind === 'node' ? ', around it Node.js' : ''}`;
        const rates = `${Math.round(median(rate))} tasks/s`;
        say(what, name, `${median(cpu).toFixed(1)} us CPU a task (${spread(cpu)}), ${rates}`);
      }
      const [parsl, chervil] = ["Parsl's", 'Chervil'].map((name) => median(found.get(name)?.cpu ?? []));
      if (parsl !== undefined && chervil !== undefined && parsl > 0)
        say('  CPU of the one for each of the other', 'ratio', (parsl / chervil).toFixed(0));
    }
  }
}

if (isWanted('queue')) {
  const payload = 200;
  const buffer = Buffer.alloc(payload, 7);
  for (const [name, command] of both) {
    const queued = Math.round((name === 'Chervil' ? 1_000_000 : 100_000) * scale);
    const delays: number[] = [];
    const counted = new Counted();
    await using run = await InterchangeRun.start({ command, onResults: counted.onResults });
    const empty = run.residentBytes();
    let sent = 0;
    const frameBytes = writeTask({ taskId: 100_000, buffer, context }).length;
    while (sent < queued) {
      for (let at = 0; at < 10_000 && sent < queued; at++)
        run.tasks.send([writeTask({ taskId: ++sent, buffer, context })]);
      await new Promise((resolve) => setImmediate(resolve));
      await run.ask(writeCommand({ name: 'connected blocks' }));
    }
    // Whatever is still on its way has been read when memory no longer grows.
    for (let size = 0; run.residentBytes() > size * 1.001; await sleep(2_000)) size = run.residentBytes();
    const each = (run.residentBytes() - empty) / queued;
    // One worker: the time from its result to its next task is the interchange's, twice a loopback and our own.
    let since = performance.now();
    const rounds = Math.round(5_000 * scale);
    await new Promise<void>((resolve) => {
      const pool = new FakePool(run.port, 'one', (ids, me) => {
        delays.push(performance.now() - since);
        if (delays.length > rounds) {
          void me.close().then(resolve);
          return;
        }
        since = performance.now();
        for (const id of ids) me.finish(id);
      });
      pool.register(1, { parslVersion: '2026.10.26' });
    });
    delays.shift();
    delays.sort((a, b) => a - b);
    const at = (part: number): string => (delays[Math.floor(delays.length * part)] ?? Number.NaN).toFixed(2);
    say(
      `${queued} queued tasks, ${payload} bytes of payload`,
      name,
      `${Math.round(each)} bytes each (frame ${frameBytes})`,
    );
    say('  from a result to the next task', name, `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(0.9999)} ms`);
  }
}

if (isWanted('managers')) {
  const packages = new Map(Array.from({ length: 250 }, (_, at) => [`package-number-${at}`, `1.${at}.0`]));
  const count = Math.round(2_000 * scale);
  for (const [name, command] of both) {
    await using run = await InterchangeRun.start({ command, onResults: () => {} });
    await sleep(2_000);
    const empty = run.residentBytes();
    const pools = Array.from({ length: count }, (_, at) =>
      new FakePool(run.port, `pool-${at}`, () => {}).register(10, { packages, parslVersion: '2026.10.26' }),
    );
    for (;;) {
      const managers = await run.ask(writeCommand({ name: 'managers' }));
      if (Array.isArray(managers) && managers.length === count) break;
      await sleep(500);
    }
    await sleep(5_000);
    const atFirst = (run.residentBytes() - empty) / count;
    for (const [at, pool] of pools.entries()) setTimeout(() => pool.beat(30_000), (at * 30_000) / count);
    // Two rounds of heartbeats: what starting left behind is tidied, and what runs often is compiled.
    await sleep(values.quick ? 32_000 : 65_000);
    const each = (run.residentBytes() - empty) / count;
    const before = run.cpuMicroseconds();
    const seconds = values.quick ? 10 : 60;
    await sleep(seconds * 1_000);
    const share = (run.cpuMicroseconds() - before) / (seconds * 10_000);
    say(
      `${count} idle managers, 250 packages, heartbeat 30 s`,
      name,
      `${(each / 1_024).toFixed(1)} KiB each (${(atFirst / 1_024).toFixed(1)} at first), ${share.toFixed(2)} % of a core`,
    );
    for (const pool of pools) await pool.close();
  }
}

if (isWanted('program') && python !== undefined) {
  const rounds = values.quick ? 1 : 3;
  const found = new Map<string, { rate: number; total: number; cpu: Record<string, number> }[]>();
  for (let round = 0; round < rounds; round++) {
    for (const [name, command] of [
      ["Parsl's", []],
      ['Chervil', interchangeCommand()],
    ] as const) {
      const args = [String(Math.round(10_000 * scale)), JSON.stringify(command)];
      await using run = new ParslRun({ python, program: 'noops.py', args });
      const facts = JSON.parse(await run.line(/"noops"/)) as {
        rate: number;
        total: number;
        cpu: Record<string, number>;
      };
      await run.ended;
      found.set(name, [...(found.get(name) ?? []), facts]);
    }
  }
  for (const [name, runs] of found) {
    const rate = Math.round(median(runs.map((run) => run.rate)));
    const total = Math.round(median(runs.map((run) => run.total)));
    say('Python program, 10,000 no-ops, 2 workers', name, `${rate} tasks/s, ${total} us CPU a task in all`);
    for (const part of Object.keys(runs[0]?.cpu ?? {})) {
      say(`  of it ${part}`, name, `${Math.round(median(runs.map((run) => run.cpu[part] ?? Number.NaN)))} us`);
    }
  }
}

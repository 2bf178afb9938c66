// htex beside Parsl's HTEX in one run, two workers each, without encryption and with it: rate and CPU of all processes for a task that does
// nothing, one task at a time, arguments of 10 KB, values of 1 MB, the start, bash apps beside bare child_process.spawn; values of 1 MB of
// Python functions; flatness and memory of tasks that wait. Prints tables; --write puts them into bench/RESULTS.md.
//   node --expose-gc --import tsx bench/htex.ts [--quick] [--only plain,encrypted,flat,memory,python,bash] [--write]
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { app, bashApp, htex, load, pythonApp, sh } from '#src/index.js';
import { newestRelease, parslEnvironment } from '../test/support/parsl.ts';
import { pythonEnvironment } from '../test/support/python.ts';
import { cpuByProgram } from './processes.ts';

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, only: { type: 'string' }, write: { type: 'boolean' } },
});
const isWanted = (part: string): boolean => values.only === undefined || values.only.split(',').includes(part);
const count = values.quick ? 20_000 : 100_000;
const lines: string[] = [];
const say = (line = ''): void => {
  lines.push(line);
  console.log(line);
};
const whole = (number: number): string => Math.round(number).toLocaleString('en');
const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
const best = (numbers: readonly number[]): number => Math.max(...numbers);
const quantile = (times: readonly number[], part: number): number =>
  [...times].sort((a, b) => a - b)[Math.floor(times.length * part)] ?? Number.NaN;

/** Figures by what was measured; several of each. */
type Figures = Map<string, Record<string, number>[]>;

function note(figures: Figures, what: string, numbers: Record<string, number>): void {
  const list = figures.get(what);
  if (list === undefined) figures.set(what, [numbers]);
  else list.push(numbers);
}

const of = (figures: Figures | undefined, what: string, name: string): number[] =>
  (figures?.get(what) ?? []).map((numbers) => numbers[name] ?? Number.NaN);

async function withRun<Value>(
  encrypted: boolean,
  body: (run: Awaited<ReturnType<typeof load>>) => Promise<Value>,
  executor = htex({ maxWorkersPerNode: 2, coresPerWorker: 0.5, encrypted }),
): Promise<Value> {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-bench-'));
  const run = await load({
    executors: [executor],
    runDir: directory,
    memo: false,
  });
  try {
    return await body(run);
  } finally {
    await run.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Rate and CPU of so many calls at once. */
async function allAtOnce(runId: string, calls: number, call: (index: number) => Promise<unknown>) {
  (globalThis as { gc?: () => void }).gc?.();
  const before = cpuByProgram(runId);
  const from = performance.now();
  await Promise.all(Array.from({ length: calls }, (_, index) => call(index)));
  const seconds = (performance.now() - from) / 1_000;
  const after = cpuByProgram(runId);
  const parts: Record<string, number> = {};
  let cpu = 0;
  for (const [name, micros] of after) {
    parts[name] = (micros - (before.get(name) ?? 0)) / calls;
    cpu += parts[name];
  }
  return { rate: calls / seconds, cpu, ...parts };
}

async function measureChervil(encrypted: boolean): Promise<Figures> {
  const figures: Figures = new Map();
  const startedAt = performance.now();
  await withRun(encrypted, async (run) => {
    const loaded = performance.now() - startedAt;
    const add = app((a: number, b: number) => a + b, { name: 'add' });
    const length = app((value: Uint8Array) => value.length, { name: 'length' });
    const make = app((bytes: number) => new Uint8Array(bytes), { name: 'make' });
    await add(1, 2);
    note(figures, 'start', { load: loaded, first: performance.now() - startedAt });
    for (const [what, calls] of [
      ['alone, the first 1,000', 1_000],
      ['warming up', 4_000],
      ['alone', 4_000],
    ] as const) {
      const times: number[] = [];
      for (let n = 0; n < calls; n++) {
        const from = performance.now();
        await add(n, 1);
        times.push(performance.now() - from);
      }
      note(figures, what, { p50: quantile(times, 0.5), p99: quantile(times, 0.99) });
    }
    await allAtOnce(run.id, count, (n) => add(n, 1));
    for (let round = 0; round < 5; round++) note(figures, 'no-op', await allAtOnce(run.id, count, (n) => add(n, 1)));
    const ten = new Uint8Array(10_000).fill(120);
    for (let round = 0; round < 4; round++)
      note(figures, '10 KB', await allAtOnce(run.id, count / 5, () => length(ten)));
    const large = new Uint8Array(1_000_000).fill(120);
    for (let round = 0; round < 4; round++) {
      note(figures, '1 MB arguments', await allAtOnce(run.id, 300, () => length(large)));
      note(figures, '1 MB results', await allAtOnce(run.id, 300, () => make(1_000_000)));
    }
    const nothing = bashApp(() => sh`true`, { name: 'nothing' });
    for (let round = 0; round < 3; round++) note(figures, 'bash', await allAtOnce(run.id, 400, () => nothing()));
  });
  return figures;
}

/** The same of Parsl; `undefined` where it cannot be had. */
async function measureParsl(encrypted: boolean): Promise<Figures | undefined> {
  const environment = await parslEnvironment(newestRelease);
  if (!('python' in environment)) {
    console.log(`Without Parsl: ${environment.missing}`);
    return undefined;
  }
  const directory = mkdtempSync(join(tmpdir(), 'chervil-bench-parsl-'));
  const program = fileURLToPath(new URL('peers/parsl-htex.py', import.meta.url));
  const tasks = values.quick ? '1000' : '3000';
  const child = spawn(environment.python, [program, directory, encrypted ? 'encrypted' : 'plain', tasks], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Its programs stand beside its Python.
    env: { ...process.env, PATH: `${join(environment.python, '..')}:${process.env['PATH'] ?? ''}` },
  });
  const figures: Figures = new Map();
  for await (const line of createInterface({ input: child.stdout })) {
    const { what, ...numbers } = JSON.parse(line) as { what: string };
    note(figures, what, numbers as Record<string, number>);
  }
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  return figures;
}

function tell(encrypted: boolean, chervil: Figures, parsl: Figures | undefined): void {
  const load1 = (loadavg()[0] ?? Number.NaN).toFixed(1);
  say(`### Encryption ${encrypted ? 'on' : 'off'} in both (load average ${load1})\n`);
  say('| what | Chervil | Parsl | ratio | goal |');
  say('|---|---|---|---|---|');
  const row = (what: string, ours: string, theirs: string, ratio: number, goal: string): void =>
    say(
      `| ${what} | ${ours} | ${theirs} | ${Number.isFinite(ratio) ? ratio.toFixed(ratio < 10 ? 1 : 0) : ''} | ${goal} |`,
    );
  const rates = (what: string, name: string, unit: string, goal: string): void => {
    const ours = best(of(chervil, what, 'rate'));
    const theirs = best(of(parsl, what, 'rate'));
    row(name, `${whole(ours)} ${unit}`, Number.isFinite(theirs) ? `${whole(theirs)} ${unit}` : '', ours / theirs, goal);
  };
  const cpus = (what: string, name: string, goal: string): void => {
    const ours = median(of(chervil, what, 'cpu'));
    const theirs = median(of(parsl, what, 'cpu'));
    const parts = ['program', 'interchange', 'pool', 'worker'].map(
      (part) => `${part} ${median(of(chervil, what, part)).toFixed(1)}`,
    );
    row(name, `${ours.toFixed(1)} us (${parts.join(', ')})`, `${whole(theirs)} us`, theirs / ours, goal);
  };
  rates('no-op', `no-op, best rate`, 'tasks/s', encrypted ? '>= 20 times' : '>= 50 times');
  cpus('no-op', `no-op, CPU a task (${whole(count)} at once)`, encrypted ? '' : '<= 20 us');
  rates('10 KB', '10 KB arguments, best rate', 'tasks/s', '>= 25 times');
  cpus('10 KB', '10 KB arguments, CPU a task', '');
  rates('1 MB arguments', '1 MB arguments, best rate', 'MB/s', '>= 500 MB/s');
  rates('1 MB results', '1 MB results, best rate', 'MB/s', '>= 500 MB/s');
  for (const [what, name, goal] of [
    ['alone', 'one at a time, after 5,000 others (Parsl: after 200)', 'p50 <= 0.4 ms, p99 <= 2 ms'],
    ['alone, the first 1,000', 'one at a time, the first 1,000', ''],
  ] as const) {
    const [p50 = Number.NaN] = of(chervil, what, 'p50');
    const [p99 = Number.NaN] = of(chervil, what, 'p99');
    const [theirs50 = Number.NaN] = of(parsl, what, 'p50');
    const [theirs99 = Number.NaN] = of(parsl, what, 'p99');
    const text = Number.isFinite(theirs50) ? `p50 ${theirs50.toFixed(2)} ms, p99 ${theirs99.toFixed(2)} ms` : '';
    row(name, `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`, text, theirs50 / p50, goal);
  }
  const [first = Number.NaN] = of(chervil, 'start', 'first');
  const [theirs = Number.NaN] = of(parsl, 'start', 'first');
  row('first result after load() began', `${whole(first)} ms`, `${whole(theirs)} ms`, theirs / first, '<= 1,000 ms');
  rates('bash', 'bash apps (`true`), best rate', 'tasks/s', '');
  say();
}

async function measureFlat(): Promise<void> {
  say('### CPU a task by how many at once, encryption off\n');
  say('| tasks at once | all processes | program | interchange | pool | worker |');
  say('|---|---|---|---|---|---|');
  const found: number[] = [];
  for (const size of values.quick ? [1_000, 10_000, 100_000] : [1_000, 10_000, 100_000, 1_000_000]) {
    const parts = await withRun(false, async (run) => {
      const add = app((a: number, b: number) => a + b, { name: 'add' });
      await Promise.all(Array.from({ length: 50_000 }, (_, n) => add(n, 1)));
      const total = Math.max(size, values.quick ? 50_000 : 300_000);
      const before = cpuByProgram(run.id);
      for (let done = 0; done < total; done += size)
        await Promise.all(Array.from({ length: size }, (_, n) => add(n, 1)));
      const after = cpuByProgram(run.id);
      return ['program', 'interchange', 'pool', 'worker'].map(
        (name) => ((after.get(name) ?? 0) - (before.get(name) ?? 0)) / total,
      );
    });
    const all = parts.reduce((sum, part) => sum + part, 0);
    found.push(all);
    say(`| ${whole(size)} | ${all.toFixed(1)} us | ${parts.map((part) => part.toFixed(1)).join(' | ')} |`);
  }
  say(
    `\nThe dearest is ${(Math.max(...found) / Math.min(...found)).toFixed(2)} times the cheapest; the goal is 1.25 at most, and 20 us.\n`,
  );
}

const isExposed = 'gc' in globalThis;

/** What is in use once garbage is gone. The buffers that a collection finds dead are counted until it has freed them, some turns later. */
async function memoryThatStays(): Promise<NodeJS.MemoryUsage> {
  for (let round = 0; round < 3; round++) {
    (globalThis as { gc?: () => void }).gc?.();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return process.memoryUsage();
}

async function measureMemory(): Promise<void> {
  const tasks = values.quick ? 100_000 : 500_000;
  await withRun(false, async () => {
    // The workers are busy, so that all others wait in the interchange.
    const wait = app((ms: number) => new Promise((resolve) => setTimeout(() => resolve(0), ms)), { name: 'wait' });
    const add = app((a: number, b: number) => a + b, { name: 'add' });
    await add(1, 2);
    const waits = [wait(20_000), wait(20_000)];
    await new Promise((resolve) => setTimeout(resolve, 500));
    const before = await memoryThatStays();
    const futures = Array.from({ length: tasks }, (_, n) => add(n, 1));
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const after = await memoryThatStays();
    const heap = (after.heapUsed - before.heapUsed) / tasks;
    const external = (after.external - before.external) / tasks;
    const resident = (after.rss - before.rss) / tasks;
    say(
      `A waiting task with its future takes ${whole(heap + external)} bytes in the program, ${whole(heap)} of heap and ${whole(external)} outside it; ${whole(resident)} bytes resident (${whole(tasks)} tasks${isExposed ? '' : ', without --expose-gc'}); the goal is 700.\n`,
    );
    await Promise.all([...futures, ...waits]);
  });
}

/** Values of 1 MB of Python functions, on Chervil's own workers. */
async function measurePython(): Promise<void> {
  const environment = await pythonEnvironment({ name: 'numpy', packages: ['numpy'] });
  const python = 'python' in environment ? environment.python : 'python3';
  const bytes = 1_000_000;
  const length = pythonApp.source<(value: unknown) => number>('def length(value):\n    return len(value)\n');
  const make = pythonApp.source<(code: string) => unknown>('def make(code):\n    return eval(code)\n');
  const makeArray = pythonApp.source<() => Float64Array>(
    `import numpy\ndef makeArray():\n    return numpy.ones(${bytes / 8})\n`,
  );
  const [large, text, numbers] = [Buffer.alloc(bytes, 120), 'x'.repeat(bytes), new Float64Array(bytes / 8).fill(1.5)];
  say('### Values of 1 MB of Python functions, encryption off\n');
  say('| what | best rate | CPU a value: program, interchange, pool, worker | goal |');
  say('|---|---|---|---|');
  const executor = htex({ python, nodeWorkers: 0, maxWorkersPerNode: 2, coresPerWorker: 0.5, encrypted: false });
  await withRun(
    false,
    async (run) => {
      for (const [what, call] of [
        ['bytes, as argument', () => length(large)],
        ['text, as argument', () => length(text)],
        ['typed array, as argument', () => length(numbers)],
        ['bytes, as result', () => make(`b'x' * ${bytes}`)],
        ['text, as result', () => make(`'x' * ${bytes}`)],
        ...('python' in environment ? [['numpy array, as result', () => makeArray()] as const] : []),
      ] as const) {
        const figures: Figures = new Map();
        for (let round = 0; round < 5; round++) note(figures, what, await allAtOnce(run.id, 300, call));
        const parts = ['program', 'interchange', 'pool', 'worker'].map((part) =>
          (median(of(figures, what, part)) / 1_000).toFixed(2),
        );
        say(`| ${what} | ${whole(best(of(figures, what, 'rate')))} MB/s | ${parts.join(', ')} ms | >= 500 MB/s |`);
      }
    },
    executor,
  );
  say();
}

async function measureBash(): Promise<void> {
  const commands = values.quick ? 200 : 600;
  const bare = async (): Promise<number> => {
    const from = performance.now();
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next++ < commands)
        await new Promise((resolve) => spawn('/bin/bash', ['-c', 'true'], { stdio: 'ignore' }).once('exit', resolve));
    };
    await Promise.all([lane(), lane()]);
    return commands / ((performance.now() - from) / 1_000);
  };
  await withRun(false, async () => {
    const nothing = bashApp(() => sh`true`, { name: 'nothing' });
    const apps = async (): Promise<number> => {
      const from = performance.now();
      await Promise.all(Array.from({ length: commands }, () => nothing()));
      return commands / ((performance.now() - from) / 1_000);
    };
    await apps();
    const rounds: [number, number][] = [];
    for (let round = 0; round < 5; round++) rounds.push([await apps(), await bare()]);
    const ours = median(rounds.map(([rate]) => rate));
    const theirs = median(rounds.map(([, rate]) => rate));
    const ratio = median(rounds.map(([one, other]) => one / other));
    say(
      `bash apps, two at once: ${whole(ours)} a second; bare child_process.spawn, two at once: ${whole(theirs)}; ${(ratio * 100).toFixed(0)} % (median of five rounds in turn; goal: 80 %).\n`,
    );
  });
}

const gigabytes = Math.round(totalmem() / 2 ** 30);
say(
  `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC, Node ${process.version}, Parsl ${newestRelease}, ${availableParallelism()} cores, ${gigabytes} GiB, load average at the start ${(loadavg()[0] ?? Number.NaN).toFixed(1)}. Two workers in both; Parsl's logging off.\n`,
);
for (const encrypted of [false, true]) {
  if (!isWanted(encrypted ? 'encrypted' : 'plain')) continue;
  const chervil = await measureChervil(encrypted);
  tell(encrypted, chervil, await measureParsl(encrypted));
}
if (isWanted('flat')) await measureFlat();
if (isWanted('memory')) await measureMemory();
if (isWanted('python')) await measurePython();
if (isWanted('bash')) await measureBash();
if (values.write) {
  const path = fileURLToPath(new URL('RESULTS.md', import.meta.url));
  const title = '## HTEX beside Parsl: `node --expose-gc --import tsx bench/htex.ts --write`';
  const text = readFileSync(path, 'utf8');
  const at = text.indexOf('## HTEX');
  const before = at < 0 ? `${text.trimEnd()}\n\n` : text.slice(0, at);
  const rest = at < 0 ? '' : text.slice(at + 5);
  const next = rest.search(/^## /m);
  const body = lines.join('\n').trim();
  writeFileSync(path, `${before}${title}\n\n${body}\n${next < 0 ? '' : `\n${rest.slice(next)}`}`);
}

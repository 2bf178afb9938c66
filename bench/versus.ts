// Two builds of the interchange beside each other: both alive, the same tasks in turns, and the CPU time a task of the one as
// a share of that of the other. The speed of a machine changes by more within minutes than most changes of code bring; what
// two builds take in turns of a second can be compared.
//   node --import tsx bench/versus.ts DIST_BEFORE DIST_AFTER [--pools 64] [--capacity 1] [--level 20] [--kind lean|node] [--rounds 12] [--runs 8]
// A DIST is the folder that `npm run build` has made. It may be followed by `@` and flags of Node.js, with commas between them:
// `../before/dist@--semi-space-growth-factor=16,--max-lazy`. `--kind`: what is around the interchange, see `around.ts`.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Around, startAround } from './around.ts';
import { cpuNanoseconds, where } from './measure.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pools: { type: 'string', default: '64' },
    capacity: { type: 'string', default: '1' },
    level: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '12' },
    runs: { type: 'string', default: '8' },
    kind: { type: 'string', default: 'lean' },
  },
});
if (positionals.length !== 2) throw new Error('Name the dist folders of two builds.');
const tasks = 25_000;
const pools = Number(values.pools);
const capacity = Number(values.capacity);
const loggingLevel = Number(values.level);
if (values.kind !== 'lean' && values.kind !== 'node') throw new Error('--kind is lean or node.');
const { kind } = values;
const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;

console.log(`${where()}; ${pools} pools of capacity ${capacity}, log level ${loggingLevel}`);
const all: [number, number, number][] = [];
for (let run = 0; run < Number(values.runs); run++) {
  const arounds: Around[] = [];
  try {
    for (const place of positionals) {
      // A folder may have an `@` in its name.
      const flagsAt = place.lastIndexOf('@--');
      const dist = flagsAt < 0 ? place : place.slice(0, flagsAt);
      const flags = flagsAt < 0 ? [] : place.slice(flagsAt + 1).split(',');
      const command = [process.execPath, ...flags, resolve(dist, 'interchange', 'start.js')];
      arounds.push(await startAround({ command, loggingLevel, capacity, pools, kind }));
    }
    const costs: number[][] = [[], []];
    for (let round = -4; round < Number(values.rounds); round++) {
      for (const which of round % 2 === 0 ? [0, 1] : [1, 0]) {
        const around = arounds[which] as Around;
        const before = cpuNanoseconds(around.run.pid);
        await around.flow(tasks);
        // The first rounds are for the compiler.
        if (round >= 0) costs[which]?.push((cpuNanoseconds(around.run.pid) - before) / 1_000 / tasks);
      }
    }
    const [before = [], after = []] = costs;
    const ratios = before.map((cost, round) => (after[round] ?? Number.NaN) / cost);
    all.push([median(before), median(after), median(ratios)]);
  } finally {
    for (const around of arounds) await around[Symbol.asyncDispose]();
  }
}
const of = (part: 0 | 1 | 2): number[] => all.map((each) => each[part]);
const spread = of(2).sort((a, b) => a - b);
console.log(
  `${median(of(0)).toFixed(2)} us, then ${median(of(1)).toFixed(2)} us CPU a task: ${median(spread).toFixed(3)} of it (${spread.map((ratio) => ratio.toFixed(2)).join(', ')})`,
);

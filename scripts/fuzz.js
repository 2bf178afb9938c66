// Fuzzes the interchange for as long as wanted: damaged frames through every reader with the core behind them, damaged
// messages through real sockets, and chaos, in rounds with new seeds.
//   npm run fuzz -- --minutes 10 [--seed N]
// Ends with status 1 at the first fault, and prints the seed that repeats it.
import { parseArgs } from 'node:util';
import './typescript.js';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string' } },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error(`--minutes must be a positive number, and is ${JSON.stringify(values.minutes)}`);
  process.exit(2);
}
const { fuzzMessages } = await import('../test/fuzz/messages.ts');
const { fuzzSockets } = await import('../test/fuzz/sockets.ts');
const { chaos } = await import('../test/fuzz/chaos.ts');

const end = performance.now() + minutes * 60_000;
const totals = { frames: 0, socketFrames: 0, tasks: 0, chaosTasks: 0 };
const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
for (
  let seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  performance.now() < end;
  seed++
) {
  // A round is a minute, or the time that is left in three parts.
  const ms = Math.max(1_000, Math.min(20_000, (end - performance.now()) / 3));
  try {
    const messages = await fuzzMessages({ seed, ms });
    totals.frames += sum(messages.frames);
    totals.tasks += messages.tasks;
    const sockets = await fuzzSockets({ seed, ms });
    totals.socketFrames += sum(sockets.frames);
    const harm = await chaos({ seed, ms });
    totals.chaosTasks += harm.submitted;
    const memory = `resident ${messages.rssMiB[1]} MiB here, ${sockets.rssMiB[1]} MiB in the interchange`;
    console.log(
      `seed ${seed}: ${totals.frames} frames, ${totals.socketFrames} through sockets, ${totals.chaosTasks} tasks in chaos, no fault so far; ${memory}`,
    );
  } catch (error) {
    console.error(`seed ${seed}: ${error.stack}`);
    process.exit(1);
  }
}

// Chaos for as long as wanted: htex under load while its processes are killed and stopped, in rounds of half a minute with new seeds.
//   npm run chaos -- --minutes 10 [--seed N]
// Ends with status 1 at the first fault, and prints the seed of its round. What is done at a time is the seed's; what comes of it is
// also the machine's.
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
const { htexChaos } = await import('../test/fuzz/htex-chaos.ts');

const end = performance.now() + minutes * 60_000;
for (
  let seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  performance.now() < end;
  seed++
) {
  try {
    console.log(
      JSON.stringify(await htexChaos({ seed, ms: Math.min(30_000, Math.max(1_000, end - performance.now())) })),
    );
  } catch (error) {
    console.error(`seed ${seed}: ${error.stack}`);
    process.exit(1);
  }
}

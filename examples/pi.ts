// Pi by throwing points, in parallel: `pi.ts [points for each task]`.
import { app, load } from 'chervil';

const inside = app((points: number) => {
  let hits = 0;
  for (let i = 0; i < points; i++) if (Math.hypot(Math.random(), Math.random()) < 1) hits++;
  return hits;
});
const mean = app((hits: number[], points: number) => (4 * hits.reduce((a, b) => a + b)) / (hits.length * points));

await using run = await load();
const points = Number(process.argv[2] ?? 10_000_000);
const hits = Array.from({ length: 8 }, () => inside(points)); // eight futures
console.log(await mean(hits, points)); //                        futures go in where numbers go

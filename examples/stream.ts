// More calls than should wait at once: a thousand at a time, and memory stays as it is: `stream.ts [how many]`.
// Run it with `chervil run --no-progress`, as it tells by itself how far it is.
import { app, load, stream } from 'chervil';

const square = app((n: number) => n * n);
const count = Number(process.argv[2] ?? 1_000_000);

await using run = await load();
const timer = setInterval(() => {
  const { byState, total } = run.summary();
  process.stderr.write(`${byState.exec_done}/${total} done, ${byState.failed} failed\n`);
}, 500);

let sum = 0;
for await (const n of stream(square, numbers(), { ahead: 1000 })) sum += n;
clearInterval(timer);
console.log(sum);

function* numbers() {
  for (let n = 0; n < count; n++) yield n;
}

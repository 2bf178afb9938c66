// The figures of the in-process executors: kernel alone, threads, flatness, pending tasks, chains, streams.
// node --expose-gc --import tsx bench/spine.ts [section …]   sections: kernel threads flat pending chain stream
import { app, type Future, inline, load, stream, threads } from 'chervil';
import { measure, measureExactly, show, where } from './measure.ts';

const chosen = process.argv.slice(2);
const wanted = (section: string): boolean => chosen.length === 0 || chosen.includes(section);
const noop = app((n: number) => n);
console.log(where());

/** Submits all, then awaits every future. */
async function awaitAll(tasks: number): Promise<void> {
  const futures = new Array<Future<number>>(tasks);
  for (let n = 0; n < tasks; n++) futures[n] = noop(n);
  await Promise.all(futures);
}

if (wanted('kernel')) {
  await using run = await load({ executors: [inline()], log: false });
  show(
    'inline, no-op, without awaiting futures',
    await measure(async (tasks) => {
      for (let n = 0; n < tasks; n++) noop(n);
      await run.wait();
    }),
  );
  show('inline, no-op, through futures', await measure(awaitAll));
}

if (wanted('threads')) {
  await using run = await load({ executors: [threads({ max: 2 })], log: false });
  void run;
  show('threads, no-op, through futures', await measure(awaitAll));
}

/** Promises of the language, as many, made and settled and awaited the same way: what is there to compare with. */
async function bare(tasks: number): Promise<void> {
  const ends = new Array<(n: number) => void>(tasks);
  const promises = new Array<Promise<number>>(tasks);
  for (let n = 0; n < tasks; n++)
    promises[n] = new Promise((resolve) => {
      ends[n] = resolve;
    });
  queueMicrotask(() => {
    for (let n = 0; n < tasks; n++) ends[n]?.(n);
  });
  await Promise.all(promises);
}

async function streamed(tasks: number): Promise<void> {
  let sum = 0;
  for await (const n of stream(noop, Array(tasks).keys())) sum += n;
  if (sum !== (tasks * (tasks - 1)) / 2) throw new Error(`wrong sum ${sum}`);
}

if (wanted('flat')) {
  await flat('bare promises', bare);
  for (const [name, executor] of [
    ['inline', inline()],
    ['threads', threads({ max: 2 })],
  ] as const) {
    await using run = await load({ executors: [executor], log: false });
    void run;
    await flat(`${name}, all at once`, awaitAll);
    await flat(`${name}, as a stream`, streamed);
  }
}

/** The same work in portions of a thousand up to a million. Small ones are repeated until a round takes long enough to measure. */
async function flat(name: string, work: (tasks: number) => Promise<void>): Promise<void> {
  for (const tasks of [1_000, 10_000, 100_000, 1_000_000]) {
    const repeats = Math.ceil(400_000 / tasks);
    const point = await measureExactly(async () => {
      for (let index = 0; index < repeats; index++) await work(tasks);
    }, tasks * repeats);
    show(`${name}, ${tasks.toLocaleString('en')} tasks`, point);
  }
}

if (wanted('pending')) {
  await using run = await load({ executors: [inline()], log: false });
  await noop(0);
  const count = 1_000_000;
  const futures = new Array<Future<number>>(count);
  let open: (n: number) => void = () => {};
  const gate = new Promise<number>((resolve) => {
    open = resolve;
  });
  const first = noop(gate);
  globalThis.gc?.();
  const before = process.memoryUsage();
  for (let n = 0; n < count; n++) futures[n] = noop(first);
  globalThis.gc?.();
  const after = process.memoryUsage();
  console.log(
    `pending, ${count.toLocaleString('en')} tasks with their futures: ${Math.round((after.heapUsed - before.heapUsed) / count)} bytes of heap, ${Math.round((after.rss - before.rss) / count)} bytes resident, a task`,
  );
  open(1);
  await run.wait();
}

if (wanted('chain')) {
  await using run = await load({ executors: [inline()], log: false });
  void run;
  const before = performance.now();
  let last = noop(0);
  for (let n = 0; n < 100_000; n++) last = noop(last);
  await last;
  console.log(`chain of 100,000 dependent tasks: ${((performance.now() - before) / 1_000).toFixed(2)} s`);
}

if (wanted('stream')) {
  await using run = await load({ executors: [threads({ max: 2 })], log: false });
  void run;
  const count = 10_000_000;
  function* numbers(): Generator<number> {
    for (let n = 0; n < count; n++) yield n;
  }
  let sum = 0;
  let seen = 0;
  let peak = 0;
  const readings: number[] = [];
  const before = performance.now();
  for await (const n of stream(noop, numbers())) {
    sum += n;
    if (++seen % 100_000 === 0) {
      const megabytes = process.memoryUsage.rss() / 1e6;
      peak = Math.max(peak, megabytes);
      if (seen % 1_000_000 === 0) readings.push(Math.round(megabytes));
    }
  }
  if (sum !== (count * (count - 1)) / 2) throw new Error(`wrong sum ${sum}`);
  console.log(
    `stream of ${count.toLocaleString('en')}: ${Math.round(count / ((performance.now() - before) / 1_000)).toLocaleString('en')} tasks/s, resident MB at each million ${readings.join(' ')}, most ${Math.round(peak)}`,
  );
}

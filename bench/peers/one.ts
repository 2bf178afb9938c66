// One pool in a process of its own: two workers, no-ops all submitted at once and awaited by their promises. One JSON line.
// node --import tsx bench/peers/one.ts chervil|piscina|piscina-concurrent|tinypool|poolifier|jest-worker
import { measure } from '../measure.ts';

type Pool = { run: (n: number) => PromiseLike<unknown>; close: () => Promise<unknown> };
const url = new URL('./noop.js', import.meta.url);
const name = process.argv[2] ?? 'chervil';

async function open(): Promise<Pool> {
  switch (name) {
    case 'chervil': {
      const { app, load, threads } = await import('../../dist/index.js');
      const run = await load({ executors: [threads({ max: 2 })], log: false, runDir: 'bench/runinfo' });
      return { run: app((n: number) => n), close: () => run.close() };
    }
    case 'piscina':
    case 'piscina-concurrent': {
      const { Piscina } = await import('piscina');
      const pool = new Piscina({
        filename: url.href,
        minThreads: 2,
        maxThreads: 2,
        ...(name === 'piscina' ? {} : { concurrentTasksPerWorker: 8 }),
      });
      return { run: (n) => pool.run(n), close: () => pool.destroy() };
    }
    case 'tinypool': {
      const { Tinypool } = await import('tinypool');
      const pool = new Tinypool({ filename: url.href, minThreads: 2, maxThreads: 2 });
      return { run: (n) => pool.run(n), close: () => pool.destroy() };
    }
    case 'poolifier': {
      const { FixedThreadPool } = await import('poolifier');
      const pool = new FixedThreadPool(2, new URL('./noop-poolifier.js', import.meta.url).pathname);
      return { run: (n) => pool.execute(n as never), close: () => pool.destroy() };
    }
    case 'jest-worker': {
      const { Worker } = await import('jest-worker');
      const pool = new Worker(new URL('./noop.cjs', import.meta.url).pathname, {
        numWorkers: 2,
        enableWorkerThreads: true,
        exposedMethods: ['noop'],
      }) as unknown as {
        noop: (n: number) => Promise<unknown>;
        end: () => Promise<unknown>;
      };
      return { run: (n) => pool.noop(n), close: () => pool.end() };
    }
    default:
      throw new Error(`unknown peer ${name}`);
  }
}

const pool = await open();
const point = await measure(
  async (tasks) => {
    const promises = new Array<PromiseLike<unknown>>(tasks);
    for (let n = 0; n < tasks; n++) promises[n] = pool.run(n);
    await Promise.all(promises);
  },
  { first: 2_000 },
);
await pool.close();
console.log(JSON.stringify({ name, ...point }));

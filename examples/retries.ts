// A policy for what is tried again, at what cost and after what pause, and a limit for all of it: `retries.ts [share that fails]`.
import { app, backoff, load, type RetryPolicy } from 'chervil';

const patient: RetryPolicy = {
  budget: 3,
  delay: backoff('20ms', { max: '1s' }),
  cost: (error) => {
    switch (error.code) {
      case 'WORKER_LOST':
      case 'MANAGER_LOST':
        return 0.5; // the machine's fault: cheap
      case 'APP_ERROR':
        return error.remote.name === 'RangeError' ? Infinity : 1; // ours: never again
      default:
        return 1;
    }
  },
};
const flaky = app(
  (seed: number, share: number) => {
    if (Math.random() < share) throw new Error(`bad luck with ${seed}`);
    return seed ** 2;
  },
  { retry: patient, timeout: '30s' },
);

const share = Number(process.argv[2] ?? 0.5);
await using run = await load({}, { signal: AbortSignal.timeout(60_000) });
const results = await Promise.allSettled([1, 2, 3].map((seed) => flaky(seed, share)));
for (const result of results)
  console.log(result.status === 'fulfilled' ? result.value : (result.reason as Error).message);

// Results that outlive the program: `checkpoint.ts [milliseconds]`. The second time it answers at once.
import { app, load } from 'chervil';

const simulate = app(
  async (parameters: { temperature: number; label?: string; ms: number }) => {
    await new Promise((done) => setTimeout(done, parameters.ms));
    return { energy: -1 / parameters.temperature };
  },
  { memo: (parameters) => parameters.temperature }, // the label does not make it another task
);

await using run = await load({ checkpoint: { when: 'task_exit', load: 'all' } });
const ms = Number(process.argv[2] ?? 1_000);
const runs = [100, 200, 300].map((temperature) => simulate({ temperature, label: `run ${temperature}`, ms }));
console.log(await Promise.all(runs));
console.log(runs.map((one) => one.state).join(' ')); // exec_done, and the second time memo_done

// How long the dashboard's server takes to answer each question about a large run. One process serves and asks, so processor
// time is of both, and what the answer weighs is in it.
//
//   node --import tsx bench/dashboard.ts [TASKS | DATABASE]      (after npm run build; default 1,000,000)
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveDashboard } from '#src/dashboard/server.js';
import { makeSynthetic } from '../test/support/synthetic.ts';

const [wish = '1000000'] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'chervil-bench-'));
try {
  let path = wish;
  if (/^\d+$/.test(wish)) {
    path = join(folder, 'monitoring.db');
    await makeSynthetic(path, { tasks: Number(wish) });
  }
  await using dashboard = await serveDashboard(path);
  const get = async (question: string): Promise<Record<string, unknown>> => {
    const response = await fetch(new URL(`api/${question}`, dashboard.url));
    if (!response.ok) throw new Error(`${question}: ${await response.text()}`);
    return (await response.json()) as Record<string, unknown>;
  };
  const { rows } = (await get('runs')) as { rows: { id: string; total: number; began: number; completed: number }[] };
  const run = rows[0];
  if (run === undefined) throw new Error(`${path} has no run`);
  const { id, total, began, completed } = run;
  const at = (share: number): number => Math.round(began + share * (completed - began));
  const questions: readonly [what: string, question: string][] = [
    ['list of runs', 'runs'],
    ['one run: its numbers', `runs/${id}`],
    ['one run: its curves', `runs/${id}/series`],
    ['tasks', `runs/${id}/tasks`],
    ['tasks in a state', `runs/${id}/tasks?state=failed`],
    ['tasks of an app', `runs/${id}/tasks?app=merge`],
    ['tasks of a worker', `runs/${id}/tasks?worker=nid0012%2F3`],
    ['tasks of a worker in a state', `runs/${id}/tasks?worker=nid0012%2F3&state=failed`],
    ['tasks called in a time', `runs/${id}/tasks?from=${at(0.5)}&to=${at(0.51)}`],
    ['tasks with numbers', `runs/${id}/tasks?idFrom=${Math.floor(total / 2)}`],
    ['tasks by the beginning of an error', `runs/${id}/tasks?error=quality%205`],
    ['tasks by the latest end', `runs/${id}/tasks?sort=ended&order=desc`],
    ['tasks by the longest run', `runs/${id}/tasks?sort=duration&order=desc`],
    ['tasks by most tries', `runs/${id}/tasks?sort=tries&order=desc`],
    ['one task', `runs/${id}/tasks/${Math.floor(total / 2)}`],
    ['graph by app', `runs/${id}/graph?by=app`],
    ['graph by task', `runs/${id}/graph?by=task`],
    ['attention', `runs/${id}/attention`],
    ['executors', `runs/${id}/executors`],
    ['timeline, whole', `runs/${id}/timeline?buckets=400`],
    ['timeline, a tenth', `runs/${id}/timeline?buckets=400&from=${at(0.5)}&to=${at(0.6)}`],
    ['timeline, a thousandth', `runs/${id}/timeline?buckets=400&from=${at(0.5)}&to=${at(0.501)}`],
  ];
  process.stdout.write(
    `${total.toLocaleString('en')} tasks, Node.js ${process.version}, load ${loadavg()[0]?.toFixed(1)}\n`,
  );
  for (const [what, question] of questions) {
    const rounds: [number, number][] = [];
    for (let round = 0; round < 3; round++) {
      const before = process.cpuUsage();
      const started = performance.now();
      await get(question);
      const { user, system } = process.cpuUsage(before);
      rounds.push([performance.now() - started, (user + system) / 1_000]);
    }
    const [first, best] = [rounds[0], [...rounds].sort((a, b) => a[1] - b[1])[0]] as [
      [number, number],
      [number, number],
    ];
    process.stdout.write(
      `${what.padEnd(36)} ${first[0].toFixed(0).padStart(6)} ms at first, then ${best[1].toFixed(0).padStart(6)} ms CPU\n`,
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

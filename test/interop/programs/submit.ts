// The workflow of the matrix, submitted by Chervil: an executor for each interchange and pool, all at work at once. Prints a line of JSON
// for each, and for the functions of each language; and all once more, with encryption. Usage: submit.ts PYTHON RUN_DIRECTORY
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { app, htex, keywords, load, pythonApp } from '#src/index.js';

const [python = 'python3', runDir = '.'] = process.argv.slice(2);
const programs = dirname(python);
const sides = ['Parsl', 'Chervil'] as const;
type Side = (typeof sides)[number];

function executor(encrypted: boolean, interchange: Side, pool: Side) {
  return htex({
    label: `${interchange}_${pool}`,
    encrypted,
    maxWorkersPerNode: 2,
    coresPerWorker: 0.01,
    heartbeatPeriod: '1s',
    heartbeatThreshold: '60s',
    python,
    ...(interchange === 'Parsl' ? { interchangeCommand: [python, join(programs, 'interchange.py')] } : {}),
    ...(pool === 'Parsl'
      ? { nodeWorkers: 0, launchCommand: `${python} ${join(programs, 'process_worker_pool.py')} {flags}` }
      : {}),
  });
}

interface Workflow {
  double(number: number): PromiseLike<unknown>;
  refuse(text: string): PromiseLike<unknown>;
  echo(data: Uint8Array): PromiseLike<unknown>;
  named(): PromiseLike<unknown>;
  die(): PromiseLike<unknown>;
  pool(): PromiseLike<unknown>;
}

function pythonWorkflow(label: string): Workflow {
  const executors = [label];
  const named = pythonApp.source('def named(first, *, second, third=3): return [first, second, third]', { executors });
  return {
    double: pythonApp.source('def double(number): return 2 * number', { executors }),
    refuse: pythonApp.source('def refuse(text): raise ValueError(text)', { executors }),
    echo: pythonApp.source('def echo(data): return data', { executors }),
    named: () => named(1, keywords({ second: 'two' })),
    die: pythonApp.source('import os, signal\ndef die(): os.kill(os.getpid(), signal.SIGKILL)', { executors }),
    pool: pythonApp.source('import os\ndef pool(): return "Chervil" if "CHERVIL_WORKER" in os.environ else "Parsl"', {
      executors,
    }),
  };
}

function typescriptWorkflow(label: string): Workflow {
  const executors = [label];
  const named = app(
    ({ first, second, third = 3 }: { first: number; second: string; third?: number }) => [first, second, third],
    { name: 'named', executors },
  );
  return {
    double: app((number: number) => 2 * number, { name: 'double', executors }),
    refuse: app(
      (text: string) => {
        throw new RangeError(text);
      },
      { name: 'refuse', executors },
    ),
    echo: app((data: Uint8Array) => data, { name: 'echo', executors }),
    named: () => named({ first: 1, second: 'two' }),
    die: app(() => process.kill(process.pid, 'SIGKILL'), { name: 'die', executors }),
    pool: app(() => ('CHERVIL_WORKER' in process.env ? 'Chervil' : 'Parsl'), { name: 'pool', executors }),
  };
}

async function facts(workflow: Workflow): Promise<Record<string, unknown>> {
  const data = Buffer.alloc(2 ** 20, Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)));
  const value = (await workflow.double(21)) === 42;
  const exception = await errorOf(workflow.refuse('as it was said'), 'as it was said');
  const large = Buffer.compare(Buffer.from((await workflow.echo(data)) as Uint8Array), data) === 0;
  const named = JSON.stringify(await workflow.named()) === '[1,"two",3]';
  const numbers = Array.from({ length: 50 }, (_, number) => number);
  const doubles = await Promise.all(numbers.map((number) => workflow.double(number)));
  const many = doubles.every((double, number) => double === 2 * number);
  const lost = await errorOf(workflow.die());
  const after = (await workflow.double(4)) === 8;
  return { value, exception, large, named, many, lost, after };
}

function interchangeOf(directory: string): string {
  const log = readFileSync(join(directory, 'interchange.log'), 'utf8');
  return log.includes('parsl.executors.high_throughput.interchange') ? 'Parsl' : 'Chervil';
}

/** The name of an error, of the far one if there is one, or all of it when it says something else. */
async function errorOf(future: PromiseLike<unknown>, message?: string): Promise<string> {
  try {
    return `no error, but ${JSON.stringify(await future)}`;
  } catch (thrown) {
    const error = thrown as Error & { remote?: { name: string; message: string } };
    const told = error.remote ?? error;
    return message === undefined || told.message === message ? told.name : `${told.name}: ${told.message}`;
  }
}

for (const encrypted of [false, true]) {
  const pairs = sides.flatMap((interchange) => sides.map((pool) => ({ interchange, pool })));
  const executors = pairs.map(({ interchange, pool }) => executor(encrypted, interchange, pool));
  await using run = await load({ executors, runDir });
  await Promise.all(
    pairs.map(async ({ interchange, pool }) => {
      const label = `${interchange}_${pool}`;
      for (const functions of ['Python', 'TypeScript'] as const) {
        if (functions === 'TypeScript' && pool === 'Parsl') continue;
        const workflow = functions === 'Python' ? pythonWorkflow(label) : typescriptWorkflow(label);
        const row = { interchange, pool, functions, encrypted };
        const seen = await facts(workflow).catch((error: Error) => ({ error: error.stack ?? error.message }));
        const ran = `${interchangeOf(join(run.directory, label))}_${await workflow.pool()}`;
        if (ran !== label) Object.assign(seen, { error: `not as meant, but ${ran}` });
        console.log(JSON.stringify({ ...row, ...seen }));
      }
    }),
  );
}

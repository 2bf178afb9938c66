// How worker processes are called: the program of each language, and what its modules are looked for in.
import { delimiter } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Runtime } from '../task/ports.ts';
import type { PoolArguments } from './arguments.ts';

const programs: Readonly<Record<Runtime, string>> = {
  node: fileURLToPath(new URL('../worker/main.js', import.meta.url)),
  python: fileURLToPath(new URL('../worker/worker.py', import.meta.url)),
};

/** The program of a worker and its arguments. */
export function workerCommand({ nodeArguments, python }: PoolArguments, runtime: Runtime): string[] {
  const program = programs[runtime];
  return runtime === 'python'
    ? [python?.interpreter ?? 'python3', program]
    : [process.execPath, ...nodeArguments, program];
}

/** Where Python looks for modules: the directories that were named, this one, and what was there before. */
export function pythonEnvironment(path: readonly string[]): Record<string, string> {
  const before = process.env['PYTHONPATH'];
  return {
    PYTHONPATH: [...path, process.cwd(), ...(before === undefined || before === '' ? [] : [before])].join(delimiter),
  };
}

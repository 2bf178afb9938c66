// The programs in C of `bench/peers/`: compiled once, for as long as this process runs.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const known = new Map<string, string | undefined>();
let place: string | undefined;

/** The program of `peers/NAME.c`; `undefined` where there is no C compiler, or no Linux, whose epoll they use. */
export function compiled(name: string): string | undefined {
  if (process.platform !== 'linux') return undefined;
  if (known.has(name)) return known.get(name);
  if (place === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'chervil-bench-'));
    process.once('exit', () => rmSync(made, { recursive: true, force: true }));
    place = made;
  }
  const program = join(place, name);
  const source = join(dirname(fileURLToPath(import.meta.url)), 'peers', `${name}.c`);
  try {
    execFileSync('cc', ['-O2', '-o', program, source], { stdio: ['ignore', 'ignore', 'pipe'] });
    known.set(name, program);
  } catch (error) {
    // A program that does not compile is a fault of ours; that there is no compiler is not.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    known.set(name, undefined);
  }
  return known.get(name);
}

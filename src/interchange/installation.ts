// Finds the Parsl that an interchange.py in our place would have belonged to: with its version Parsl's own interchange
// compares every manager. The command asks once, at the start; nothing of Python is run.
import { readdir, readFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import type { Installation } from './events.ts';

/** Parsl's pool program is installed beside its interchange.py, and nobody puts a program of ours in its place. */
const mark = 'process_worker_pool.py';

/**
 * The first Parsl whose programs stand in `path`, if its version can be read from its files. An editable installation
 * has none in the usual place.
 *
 * @param path - directories as in the environment variable PATH
 * @example
 * await findInstallation('/venv/bin:/usr/bin') // { parsl: '2026.07.27', python: '3.11', where: '/venv/lib/...' }
 */
export async function findInstallation(path = process.env['PATH'] ?? ''): Promise<Installation | undefined> {
  for (const directory of path.split(delimiter)) {
    if (directory === '' || !(await list(directory)).includes(mark)) continue;
    return inPrefix(dirname(directory));
  }
  return undefined;
}

/** Only if there is exactly one: of two, nobody knows which one the programs start. */
async function inPrefix(prefix: string): Promise<Installation | undefined> {
  const found: Installation[] = [];
  for (const name of await list(join(prefix, 'lib'))) {
    const python = /^python(\d+\.\d+)$/.exec(name)?.[1];
    if (python === undefined) continue;
    for (const packages of ['site-packages', 'dist-packages']) {
      const where = join(prefix, 'lib', name, packages, 'parsl', 'version.py');
      const parsl = /^VERSION\s*=\s*['"]([^'"\n]{1,100})['"]/m.exec(await read(where))?.[1];
      if (parsl !== undefined) found.push({ parsl, python, where });
    }
  }
  return found.length === 1 ? found[0] : undefined;
}

async function list(directory: string): Promise<readonly string[]> {
  // What cannot be read holds no Parsl we could know of; the search goes on, as a shell's would.
  return readdir(directory).catch(() => []);
}

async function read(file: string): Promise<string> {
  // As above.
  return readFile(file, 'utf8').catch(() => '');
}

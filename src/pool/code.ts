// The files of code that a pool got: kept in its own directory, where its workers find them. What they import beside that is found where
// the pool runs: chervil itself, and what is installed there. The shell owns one.
import { existsSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Result } from '../base/result.ts';

export class CodeStore {
  /** For the workers, as CHERVIL_CODE. */
  readonly directory: string;
  readonly #parent: string;
  #isMade = false;

  /** @param directory of the pool */
  constructor(directory: string) {
    this.#parent = join(directory, 'code');
    this.directory = join(this.#parent, 'files');
  }

  /** Puts a file there: whole, or not at all. */
  keep(name: string, bytes: Uint8Array): Result<undefined> {
    try {
      if (!this.#isMade) this.#make();
      const path = join(this.directory, name);
      writeFileSync(`${path}.new`, bytes);
      renameSync(`${path}.new`, path);
      return { ok: true, value: undefined };
    } catch (error) {
      return { ok: false, error: (error as Error).message };
    }
  }

  #make(): void {
    const own = join(this.directory, 'node_modules');
    mkdirSync(own, { recursive: true });
    link(fileURLToPath(new URL('../../', import.meta.url)), join(own, 'chervil'));
    const installed = nearestModules(process.cwd());
    if (installed !== undefined) link(installed, join(this.#parent, 'node_modules'));
    this.#isMade = true;
  }
}

function link(target: string, path: string): void {
  if (!existsSync(path)) symlinkSync(target, path, 'dir');
}

/** The packages that a program in this directory would find first. */
function nearestModules(directory: string): string | undefined {
  const found = join(directory, 'node_modules');
  if (existsSync(found)) return found;
  const parent = dirname(directory);
  return parent === directory ? undefined : nearestModules(parent);
}

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { findInstallation } from '#src/interchange/installation.js';

const directory = mkdtempSync(join(tmpdir(), 'chervil-installation-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function environment(name: string, pythons: readonly string[], version = "VERSION = '2026.07.27'\n"): string {
  const bin = join(directory, name, 'bin');
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, 'process_worker_pool.py'), '');
  for (const python of pythons) {
    const parsl = join(directory, name, 'lib', python, 'site-packages', 'parsl');
    mkdirSync(parsl, { recursive: true });
    writeFileSync(join(parsl, 'version.py'), `"""Set module version.\n"""\n${version}`);
  }
  return bin;
}

describe('the installed Parsl', () => {
  it('is the first on the path, with its own version text and the Python it belongs to', async () => {
    const without = join(directory, 'nowhere');
    const first = environment('first', ['python3.11']);
    const second = environment('second', ['python3.12'], 'VERSION = "1.3.0-dev"\n');
    const where = join(directory, 'first', 'lib', 'python3.11', 'site-packages', 'parsl', 'version.py');
    const path = ['', without, first, second].join(delimiter);
    assert.deepEqual(await findInstallation(path), { parsl: '2026.07.27', python: '3.11', where });
    assert.equal((await findInstallation(second))?.parsl, '1.3.0-dev');
  });

  it('is unknown where there is none, more than one, or one without a version', async () => {
    assert.equal(await findInstallation(''), undefined);
    assert.equal(await findInstallation(environment('two', ['python3.11', 'python3.12'])), undefined);
    assert.equal(await findInstallation(environment('odd', ['python3.11'], 'VERSION = read()\n')), undefined);
  });
});

// Node.js 24 from the package `node` of npm, for the second leg of the tests. It lives in .cache, not in node_modules: there
// its command would stand before the machine's own Node.js in every npm script.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './ready.js';

const version = '24.21.0';
const folder = join(root, '.cache', 'node24');

/** Its program, wherever tests want it. */
export const node24 = join(folder, 'node_modules', 'node', 'bin', 'node');

/** Installs it when it is not there. @returns false when it cannot be had on this machine */
export function ensureNode24() {
  if (works()) return true;
  process.stderr.write(`installing Node.js ${version} for the second round of tests …\n`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const npm = process.env.npm_execpath;
  const [program, ...args] = npm?.endsWith('.js') ? [process.execPath, npm] : ['npm'];
  const options = ['--no-audit', '--no-fund', '--loglevel=error', '--no-save'];
  spawnSync(program, [...args, 'install', ...options, `node@${version}`], { cwd: folder, stdio: ['ignore', 2, 2] });
  return works();
}

function works() {
  if (!existsSync(node24)) return false;
  return spawnSync(node24, ['--version'], { encoding: 'utf8' }).stdout?.trim() === `v${version}`;
}

// Makes the folder ready to run: installs packages that are missing, builds what is older than its source. Each says in one
// line what it does while it does it, and nothing when there is nothing to do. Used by start.js and test.js.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Installs when a package of the lock file is missing or has another version. */
export function ensureInstalled() {
  const missing = missingPackages();
  if (missing.length === 0) return;
  const what = missing.length === 1 ? missing[0] : `${missing.length} packages`;
  process.stderr.write(`installing ${what} (npm install, some minutes the first time) …\n`);
  // Not `npm ci`: it refuses a lock file without the optional packages of every platform.
  const npm = process.env.npm_execpath;
  const command = npm?.endsWith('.js') ? [process.execPath, npm] : ['npm'];
  run([...command, 'install', '--no-audit', '--no-fund', '--loglevel=error'], 'the installation');
}

/** Builds when a source is younger than the last build that succeeded. */
export function ensureBuilt() {
  const stamp = join(root, 'dist', '.built');
  const builtMs = existsSync(stamp) ? statSync(stamp).mtimeMs : 0;
  const sourceMs = Math.max(youngest(join(root, 'src')), youngest(join(root, 'web')));
  if (builtMs > sourceMs && builtMs > statSync(join(root, 'tsconfig.build.json')).mtimeMs) return;
  process.stderr.write('building dist/ …\n');
  run([process.execPath, join(root, 'scripts', 'build.js')], 'the build');
}

function missingPackages() {
  const wanted = lockedPackages(join(root, 'package-lock.json'));
  const installed = lockedPackages(join(root, 'node_modules', '.package-lock.json'));
  if (wanted === undefined) return installed === undefined ? ['everything'] : [];
  if (installed === undefined) return ['everything'];
  return Object.entries(wanted)
    .filter(([path, { version, optional }]) => path !== '' && !optional && installed[path]?.version !== version)
    .map(([path]) => path.replace('node_modules/', ''));
}

function lockedPackages(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return undefined; // Not there, or half written by an installation that was interrupted.
  }
}

function youngest(folder) {
  let youngestMs = statSync(folder).mtimeMs;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    youngestMs = Math.max(youngestMs, entry.isDirectory() ? youngest(path) : statSync(path).mtimeMs);
  }
  return youngestMs;
}

function run([program, ...args], what) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (error === undefined && status === 0) return;
  process.stderr.write(
    `${what} failed${error === undefined ? '' : `: ${error.message}`}; what stands above says why\n`,
  );
  process.exit(1);
}

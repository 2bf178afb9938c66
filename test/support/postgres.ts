// A PostgreSQL server of a test's own, on loopback, with its data in a temporary directory. Its programs are those of the
// system's packages; the server refuses to run as root, so root starts it as the user postgres.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Skips the test with one line when there is no PostgreSQL, or throws when CHERVIL_REQUIRE=1. Gives the URL of an empty database. */
export async function postgresOrSkip(t: TestContext): Promise<string | undefined> {
  const programs = await programDirectory();
  const isRoot = process.getuid?.() === 0;
  const user = isRoot ? await userOf('postgres') : undefined;
  if (programs === undefined || (isRoot && user === undefined)) {
    const missing =
      'for want of PostgreSQL: no initdb and postgres in /usr/lib/postgresql (apt-get install postgresql)';
    if (process.env['CHERVIL_REQUIRE'] === '1') throw new Error(missing);
    t.skip(missing);
    return undefined;
  }
  const directory = mkdtempSync(join(tmpdir(), 'chervil-postgres-'));
  if (user !== undefined) chownSync(directory, user.uid, user.gid);
  const data = join(directory, 'data');
  const who = user === undefined ? {} : { uid: user.uid, gid: user.gid };
  await run(
    join(programs, 'initdb'),
    ['-D', data, '-A', 'trust', '-U', 'chervil', '--no-sync', '-E', 'UTF8', '--locale=C'],
    { ...who, cwd: directory },
  );
  const port = await freePort();
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', `unix_socket_directories=${directory}`, 'fsync=off'];
  const server = spawn(join(programs, 'postgres'), ['-D', data, ...settings.flatMap((one) => ['-c', one])], {
    ...who,
    cwd: directory,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.after(async () => {
    const ended = new Promise((resolve) => server.once('exit', resolve));
    // Immediate: nothing of it is needed any more.
    if (server.exitCode === null && server.signalCode === null) {
      server.kill('SIGQUIT');
      await ended;
    }
    rmSync(directory, { recursive: true, force: true });
  });
  await ready(server);
  return `postgres://chervil@127.0.0.1:${port}/postgres`;
}

function ready(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    server.stderr?.on('data', (bytes) => {
      said += String(bytes);
      if (said.includes('ready to accept connections')) resolve();
    });
    server.once('exit', () => reject(new Error(`PostgreSQL did not start: ${said}`)));
  });
}

async function programDirectory(): Promise<string | undefined> {
  const base = '/usr/lib/postgresql';
  const found = existsSync(base) ? readdirSync(base).sort((a, b) => Number(b) - Number(a)) : [];
  return found
    .map((version) => join(base, version, 'bin'))
    .find((one) => existsSync(join(one, 'initdb')) && existsSync(join(one, 'postgres')));
}

async function userOf(name: string): Promise<{ uid: number; gid: number } | undefined> {
  try {
    const { stdout } = await run('id', ['-u', name]);
    const { stdout: group } = await run('id', ['-g', name]);
    return { uid: Number(stdout), gid: Number(group) };
  } catch {
    return undefined;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

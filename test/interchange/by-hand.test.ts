import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createSocket } from '#src/wire/zmtp/socket.js';
import { children, directory, Inbox, Pool } from './processes.ts';

const chervil = fileURLToPath(new URL('../../bin/chervil.js', import.meta.url));
const page = fileURLToPath(new URL('../../docs/interchange.md', import.meta.url));

/** Runs `chervil interchange` with these arguments to its end. */
async function interchange(...args: string[]): Promise<{ status: unknown; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [chervil, 'interchange', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += String(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += String(chunk);
  });
  const status = await new Promise((resolve) => child.on('close', resolve));
  return { status, stdout, stderr };
}

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('chervil interchange', () => {
  it('runs with the configuration of its page, and tells its status', async () => {
    const joined = new Inbox<string>();
    const onPeerJoined = (): void => joined.put('joined');
    const submitter = [createSocket({ type: 'dealer', lingerMs: 0, onPeerJoined }), createSocket({ type: 'dealer' })];
    const ports: number[] = [];
    for (const socket of submitter) ports.push(Number((await socket.bind('tcp://127.0.0.1:*')).split(':').pop()));
    const command = createSocket({ type: 'req', lingerMs: 0 });
    ports.push(Number((await command.bind('tcp://127.0.0.1:*')).split(':').pop()));
    const example = /```json\n([\s\S]*?)```/.exec(readFileSync(page, 'utf8'))?.[1] ?? '';
    const logdir = mkdtempSync(join(directory, 'hand-'));
    const poolPort = await freePort();
    const config = {
      ...(JSON.parse(example) as object),
      client_ports: ports,
      interchange_address: '127.0.0.1',
      worker_port: poolPort,
      logdir,
    };
    const file = join(logdir, 'interchange.json');
    writeFileSync(file, JSON.stringify(config));
    const child = spawn(process.execPath, [chervil, 'interchange', '--config', file], { stdio: 'inherit' });
    children.push(child);
    const exited = new Promise((resolve) => child.on('exit', resolve));
    await joined.next('the interchange');
    const at = `127.0.0.1:${poolPort}`;
    await using pool = new Pool(poolPort, 'pool-a');
    pool.register();
    const { status, stdout, stderr } = await interchange('--status', at);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /0 received = 0 queued \+ 0 with managers \+ 0 answered; 0 unaccounted for/);
    assert.match(
      stdout,
      /pool-a {2}block "0" {2}2 workers {2}idle for [\d.]+ s {2}active {2}Parsl 2026\.07\.27, Python 3\.11\.7/,
    );
    child.kill('SIGTERM');
    assert.equal(await exited, 0);
    for (const socket of [...submitter, command]) await socket.close({ lingerMs: 0 });
  });

  it('says what is wrong with its arguments, its file and its address', async () => {
    const nothing = await interchange('--config', join(directory, 'nowhere.json'));
    assert.equal(nothing.status, 2);
    assert.match(nothing.stderr, /Cannot read the configuration .*nowhere\.json: ENOENT/);
    const file = join(directory, 'broken.json');
    writeFileSync(file, '{"client_address": 5');
    assert.match((await interchange('--config', file)).stderr, /the configuration is no JSON/);
    assert.match((await interchange('--on-mismatch', 'perhaps')).stderr, /must be refuse, end or accept/);
    assert.match((await interchange('--nope')).stderr, /'--nope'[\s\S]*--status HOST:PORT/);
    const away = await interchange('--status', '127.0.0.1:1');
    assert.equal(away.status, 1);
    assert.match(away.stderr, /No interchange at tcp:\/\/127\.0\.0\.1:1/);
  });
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { platform } from 'node:process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createCertificates, createSocket, curveServer, readCertificates } from '#src/wire/zmtp/socket.js';
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
    const child = spawn(process.execPath, [chervil, 'interchange', '--config', file], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    children.push(child);
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said += String(chunk);
    });
    const exited = new Promise((resolve) => child.on('close', resolve));
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
    // It has no terminal that could have closed.
    child.kill('SIGHUP');
    assert.equal((await interchange('--status', at)).status, 0);
    child.kill('SIGTERM');
    assert.equal(await exited, 0);
    const where = `listens for pools on 127.0.0.1, port ${poolPort}; its submitter is looked for at 127.0.0.1, ports ${ports.join(', ')}; the log is in ${logdir}\n`;
    assert.equal(said, `Interchange ${where}`);
    const log = readFileSync(join(logdir, 'interchange.log'), 'utf8');
    assert.match(log, /SIGHUP ends nothing that has no terminal[\s\S]*it was told to by SIGTERM\n/);
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
    for (const address of ['nonsense', '127.0.0.1', '127.0.0.1:99999', '127.0.0.1:0', 'ipc:///tmp/pools', '']) {
      const wrong = await interchange('--status', address);
      assert.equal(wrong.status, 2, address);
      assert.match(wrong.stderr, /^--status wants HOST:PORT[^\n]*\n$/, address);
    }
  });

  it('says of each that is no interchange what it is', async (t) => {
    const web = createServer((stream) => stream.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1');
    const hasty = createServer((stream) => stream.destroy()).listen(0, '127.0.0.1');
    const stranger = createSocket({
      type: 'router',
      lingerMs: 0,
      onMessage: (_frames, peer) => void stranger.send(peer, [Buffer.from('hello')]),
    });
    const submitter = createSocket({ type: 'dealer', lingerMs: 0 });
    t.after(() => Promise.all([web, hasty, stranger, submitter].map((each) => each.close())));
    const port = async (server: typeof web): Promise<string> => {
      if (!server.listening) await once(server, 'listening');
      return `127.0.0.1:${(server.address() as AddressInfo).port}`;
    };
    for (const [address, what] of [
      [await port(web), /No interchange at .*: it does not speak ZMTP: it began with "HTTP\/1\.1 400/],
      // So does the interchange of an encrypted run, to who has no key.
      [
        await port(hasty),
        /No interchange at .*: it closed the connection.*\. If its run is encrypted, name its certificates with --cert-dir\.\n$/,
      ],
      [(await stranger.bind('tcp://127.0.0.1:*')).slice(6), /answered, but not as a Chervil interchange/],
      // A program that only listens cannot be told from one that is slow.
      [(await submitter.bind('tcp://127.0.0.1:*')).slice(6), /did not answer in 5 s; is it the pool port/],
    ] as const) {
      const { status, stderr } = await interchange('--status', address);
      assert.equal(status, 1);
      assert.match(stderr, what);
    }
  });

  it('says when certificates are those of another run, or not wanted', async (t) => {
    const own = await createCertificates(mkdtempSync(join(directory, 'keys-')));
    const other = await createCertificates(mkdtempSync(join(directory, 'keys-')));
    const keys = await readCertificates(own);
    const mechanism = await curveServer({ secretKey: keys.server.secretKey, allow: keys.allowed });
    const sockets = [createSocket({ type: 'router', mechanism }), createSocket({ type: 'router' })] as const;
    t.after(() => Promise.all(sockets.map((socket) => socket.close())));
    const [encrypted, plain] = await Promise.all(sockets.map((socket) => socket.bind('tcp://127.0.0.1:*')));
    for (const [at, certificates, hint] of [
      [encrypted, other, ` Are these the certificates of its run: ${other}?\n`],
      [plain, own, ' Its run is not encrypted: leave --cert-dir out.\n'],
    ] as const) {
      const { status, stderr } = await interchange('--status', String(at).slice(6), '--cert-dir', certificates);
      assert.equal(status, 1);
      assert.ok(stderr.endsWith(hint), stderr);
    }
  });

  it('names every field of its file that is wrong, and starts nothing', async () => {
    const file = join(directory, 'wrong.json');
    writeFileSync(
      file,
      JSON.stringify({
        client_address: 'the login node',
        client_ports: [55_001, 70_000, 1.5],
        logdir: directory,
        interchange_address: 5,
        worker_port: 'any',
        worker_port_range: [55_000, 54_000],
        hearbeat_threshold: 5,
        heartbeat_threshold: -1,
        cert_dir: 5,
        logging_level: 'DEBUG',
        manager_selector: 'Best',
        log_config: 5,
        hub_address: '127.0.0.1',
        hub_zmq_port: 'x',
        _check_python_mismatch: 'no',
      }),
    );
    const { status, stderr } = await interchange('--config', file);
    assert.equal(status, 2);
    for (const fault of [
      'client_address must be an IP address or a host name, and is "the login node"',
      'client_ports must be three ports, and is [55001, 70000, 1.5]',
      'interchange_address must be an IP address, a host name or null, and is 5',
      'worker_port must be a port or null, and is "any"',
      'worker_port_range must be two ports, the first below the second, and is [55000, 54000]',
      'heartbeat_threshold must be a number of seconds above 0, and is -1',
      'cert_dir must be a directory or null, and is 5',
      'logging_level must be a number, and is "DEBUG"',
      'manager_selector must be RandomManagerSelector or BlockIdManagerSelector, and is "Best"',
      'log_config must be FileLogging, JSONLogging, NoopLogging or null, and is 5',
      'hub_zmq_port must be a port or null, and is "x"',
      '_check_python_mismatch must be true or false, and is "no"',
      'hearbeat_threshold is no key; did you mean heartbeat_threshold?',
    ])
      assert.ok(stderr.includes(fault), `${fault}\n${stderr}`);
    assert.equal(stderr.trim().split('\n').length, 1);
  });

  it('names its log directory when that cannot be made, and ends', {
    skip: platform !== 'linux' && 'it needs /proc',
    timeout: 20_000,
  }, async () => {
    const taken = join(directory, 'a file');
    writeFileSync(taken, '');
    // In /proc a directory cannot be made although the one above it is there.
    for (const [logdir, problem] of [
      [taken, 'EEXIST'],
      [join(taken, 'logs'), 'ENOTDIR'],
      ['/proc/chervil', 'ENOENT'],
    ] as const) {
      const file = join(directory, 'logdir.json');
      writeFileSync(
        file,
        JSON.stringify({ client_address: '127.0.0.1', client_ports: [55_001, 55_002, 55_003], logdir }),
      );
      const { status, stderr } = await interchange('--config', file);
      assert.equal(status, 1);
      assert.ok(
        stderr.startsWith(`The interchange cannot start: Cannot make the log directory ${logdir}: ${problem}`),
        stderr,
      );
    }
  });

  it('says where its configuration comes from when there is none', async () => {
    const { status, stderr } = await interchange();
    assert.equal(status, 2);
    assert.match(
      stderr,
      /^There is no configuration on standard input, where Parsl writes it\. By hand: --config FILE\.json/,
    );
  });

  it('takes no option that would have no effect', async () => {
    for (const [args, told] of [
      [['--json'], '--json goes with --status only'],
      [['--cert-dir', 'x'], '--cert-dir goes with --status only'],
      [['--status', '127.0.0.1:1', '--config', 'x.json'], '--config does not go with --status'],
      [['--status', '127.0.0.1:1', '--on-mismatch', 'end'], '--on-mismatch does not go with --status'],
      [['--status', '127.0.0.1:1', '--parsl-version', '1'], '--parsl-version does not go with --status'],
    ] as const) {
      const { status, stderr } = await interchange(...args);
      assert.equal(status, 2);
      assert.ok(stderr.startsWith(`chervil interchange: ${told}\nchervil interchange [--config`), stderr);
    }
  });

  it('ends when it cannot start, whatever it has opened by then', async (t) => {
    const taken = createServer().listen(0, '127.0.0.1');
    t.after(() => taken.close());
    await once(taken, 'listening');
    const file = join(directory, 'taken.json');
    writeFileSync(
      file,
      JSON.stringify({
        client_address: '127.0.0.1',
        client_ports: [55_001, 55_002, 55_003],
        logdir: directory,
        interchange_address: '127.0.0.1',
        worker_port: (taken.address() as AddressInfo).port,
        hub_address: '127.0.0.1',
        hub_zmq_port: 9,
      }),
    );
    const { status, stderr } = await interchange('--config', file);
    assert.equal(status, 1);
    assert.match(stderr, /^The interchange cannot start: Cannot listen on [^\n]*\n$/);
  });
});

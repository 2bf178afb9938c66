import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { askStatus } from '#src/interchange/show-status.js';
import {
  readInterchangeMessage,
  writeCommand,
  writeManagerMessage,
  writeOutcome,
  writeTask,
} from '#src/wire/messages.js';
import { encode, PyTuple } from '#src/wire/pickle.js';
import {
  createCertificates,
  createSocket,
  curveClient,
  nullMechanism,
  readCertificates,
} from '#src/wire/zmtp/socket.js';
import { malformed } from '../wire/vectors.ts';
import { registration, sure } from './builders.ts';
import { children, directory, Pool, port, program, Submitter } from './processes.ts';

describe('the interchange process', () => {
  it('takes tasks to pools and results back', async () => {
    await using submitter = await Submitter.start();
    await using pool = new Pool(await port(submitter), 'pool-a');
    pool.socket.send([writeManagerMessage({ type: 'connection_probe' })]);
    assert.equal((await pool.inbox.next('a probe reply'))[0]?.length, 0);
    pool.register();
    submitter.send(1);
    assert.deepEqual(await pool.tasks(), [1]);
    pool.finish(1);
    assert.deepEqual(await submitter.answer(), { taskId: 1, isException: false, text: '02\nN.' });
    const managers = await submitter.ask(writeCommand({ name: 'managers' }));
    sure(Array.isArray(managers) && managers.length === 1);
    assert.deepEqual(await submitter.ask(encode('CONNECTED_BLOCKS')), ['0']);
    assert.equal(await submitter.ask(encode(5)), null);
  });

  it('speaks IPv6 with its submitter and its pools', async (t) => {
    const hasLoopback = Object.values(networkInterfaces()).some((list) => list?.some((each) => each.address === '::1'));
    if (!hasLoopback) {
      t.skip('this machine has no IPv6 loopback address');
      return;
    }
    await using submitter = await Submitter.start({}, nullMechanism, [], '::1');
    await using everywhere = await Submitter.start({ interchange_address: null }, nullMechanism, [], '::1');
    for (const [run, host] of [
      [submitter, '[::1]'],
      [everywhere, '[::1]'],
      [everywhere, '127.0.0.1'],
    ] as const) {
      await using pool = new Pool(await port(run), `pool at ${host}`, nullMechanism, host);
      pool.register();
      run.send(1);
      assert.deepEqual(await pool.tasks(), [1]);
      pool.finish(1);
      assert.equal((await run.answer()).taskId, 1);
    }
    await submitter.closeSockets();
    assert.equal(await submitter.exited, 0);
  });

  it('with encryption lets in only who has a key of the run', async () => {
    const certificates = await createCertificates(mkdtempSync(join(directory, 'keys-')));
    const { client, server } = await readCertificates(certificates);
    const mechanism = await curveClient({ ...client, serverKey: server.publicKey });
    await using submitter = await Submitter.start({ cert_dir: certificates }, mechanism);
    const at = await port(submitter);
    await using pool = new Pool(at, 'pool-a', mechanism);
    await using stranger = new Pool(at, 'pool-b');
    stranger.register();
    pool.register({ maxCapacity: 5 });
    submitter.send(1);
    assert.deepEqual(await pool.tasks(), [1]);
    const report = await askStatus(`tcp://127.0.0.1:${at}`, certificates);
    assert.equal(report.managers.length, 1);
  });

  it('ends when its submitter has gone, though its standard input closed long ago', async () => {
    const submitter = await Submitter.start();
    await using pool = new Pool(await port(submitter), 'pool-a');
    pool.register();
    submitter.send(1);
    await pool.tasks();
    await submitter.closeSockets();
    assert.equal(await submitter.exited, 0);
    // Its pools are told to go as well.
    const read = readInterchangeMessage(await pool.inbox.next('the last word'));
    sure(read.ok);
    assert.equal(read.value.type, 'drained');
  });

  it('ends with its submitter too when that has another address of this machine', async (t) => {
    const address = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .find((each) => each.family === 'IPv4' && !each.internal)?.address;
    if (address === undefined) {
      t.skip('this machine has only loopback addresses');
      return;
    }
    let onJoined = (): void => {};
    const joined = new Promise<void>((resolve) => {
      onJoined = resolve;
    });
    const submitter = createSocket({ type: 'dealer', lingerMs: 0, onPeerJoined: () => onJoined() });
    const at = Number((await submitter.bind(`tcp://${address}:*`)).split(':').pop());
    const child = spawn(process.execPath, [program], { stdio: ['pipe', 'inherit', 'inherit'] });
    children.push(child);
    const exited = new Promise((resolve) => child.on('exit', resolve));
    child.stdin.end(
      JSON.stringify({
        client_address: address,
        interchange_address: '127.0.0.1',
        client_ports: [at, at, at],
        logdir: directory,
        log_config: 'NoopLogging',
      }),
    );
    await joined;
    await submitter.close({ lingerMs: 0 });
    assert.equal(await exited, 0);
  });

  it('ends when its standard input is closed later than its configuration came', async () => {
    const config = {
      client_address: '127.0.0.1',
      interchange_address: '127.0.0.1',
      worker_port: null,
      log_config: 'NoopLogging',
    };
    const submitter = createSocket({ type: 'dealer', lingerMs: 0, onPeerJoined: () => joined() });
    let joined = (): void => {};
    const isConnected = new Promise<void>((resolve) => {
      joined = resolve;
    });
    const port = Number((await submitter.bind('tcp://127.0.0.1:*')).split(':').pop());
    const child = spawn(process.execPath, [program], { stdio: ['pipe', 'inherit', 'inherit'] });
    children.push(child);
    const exited = new Promise((resolve) => child.on('exit', resolve));
    child.stdin.write(JSON.stringify({ ...config, client_ports: [port, port, port], logdir: directory }));
    await isConnected;
    child.stdin.end();
    assert.equal(await exited, 0);
    await submitter.close({ lingerMs: 0 });
  });

  it('says what is wrong with its configuration', async () => {
    const child = spawn(process.execPath, [program], { stdio: ['pipe', 'inherit', 'pipe'] });
    children.push(child);
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      text += String(chunk);
    });
    child.stdin.end('{"client_ports": [1, 2]}');
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 1);
    assert.match(
      text,
      /client_ports must be three ports, and is \[1, 2\]; client_address must be an IP address or a host name; logdir must be a directory/,
    );
  });

  it('says that its submitter is not there, and fails', async () => {
    const logdir = mkdtempSync(join(directory, 'alone-'));
    const child = spawn(process.execPath, [program], { stdio: ['pipe', 'inherit', 'pipe'] });
    children.push(child);
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      text += String(chunk);
    });
    child.stdin.end(JSON.stringify({ client_address: '127.0.0.1', client_ports: [1, 1, 1], logdir }));
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 1);
    assert.match(text, /^The interchange ends: the submitter cannot be reached at tcp:\/\/127\.0\.0\.1:1\.\n$/);
    const log = readFileSync(join(logdir, 'interchange.log'), 'utf8');
    assert.match(log, /Interchange ends: the submitter cannot be reached at tcp:\/\/127\.0\.0\.1:1\n/);
  });

  it('says which port is taken, and which field names it, in its log too', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port: workerPort } = taken.address() as AddressInfo;
    const submitter = await Submitter.start({ worker_port: workerPort });
    assert.equal(await submitter.exited, 1);
    await submitter.closeSockets();
    taken.close();
    const log = readFileSync(join(submitter.logdir, 'interchange.log'), 'utf8');
    assert.match(
      log,
      new RegExp(
        `it cannot start: Cannot listen on \\S+:${workerPort}: .* choose another port.* has it as worker_port\\.\n`,
      ),
    );
  });

  it('says which field has an address that is not of this machine', async () => {
    // Of a network for documentation.
    const child = spawn(process.execPath, [program], { stdio: ['pipe', 'inherit', 'pipe'] });
    children.push(child);
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      text += String(chunk);
    });
    const logdir = mkdtempSync(join(directory, 'elsewhere-'));
    const config = { client_address: '127.0.0.1', client_ports: [1, 1, 1], interchange_address: '192.0.2.1', logdir };
    child.stdin.end(JSON.stringify(config));
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 1);
    assert.match(
      text,
      /^The interchange cannot start: Cannot listen on .*192\.0\.2\.1.* The configuration has it as interchange_address\.\n$/,
    );
  });

  it('ends on SIGTERM and writes its log where Parsl does', async () => {
    const submitter = await Submitter.start();
    await port(submitter);
    submitter.child?.kill('SIGTERM');
    assert.equal(await submitter.exited, 0);
    await submitter.closeSockets();
    const log = readFileSync(join(submitter.logdir, 'interchange.log'), 'utf8');
    assert.match(log, /\[INFO\] Interchange listens[\s\S]*\[INFO\] Interchange ends: it was told to by SIGTERM\n/);
  });

  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGHUP'] as const)
    it(`leaves ${signal} to a submitter that is there: a terminal sends it to both, and the submitter still has questions`, async () => {
      const submitter = await Submitter.start();
      const at = await port(submitter);
      submitter.child?.kill(signal);
      await using pool = new Pool(at, 'pool-a');
      pool.register();
      submitter.send(1);
      await pool.tasks();
      await submitter.closeSockets();
      assert.equal(await submitter.exited, 0);
      const log = readFileSync(join(submitter.logdir, 'interchange.log'), 'utf8');
      assert.match(log, new RegExp(`${signal} is left to the submitter`));
    });

  it('lives through every malformed message, and harms no task of others', async () => {
    await using submitter = await Submitter.start({}, nullMechanism, [
      '--parsl-version',
      '2026.07.27',
      '--python-version',
      '3.11',
    ]);
    const at = await port(submitter);
    await using good = new Pool(at, 'good');
    good.register({ maxCapacity: 1_000 });
    await submitter.ask(writeCommand({ name: 'managers' }));
    const pools: Pool[] = [];
    await using _pools = {
      [Symbol.asyncDispose]: async () => void (await Promise.all(pools.map((pool) => pool[Symbol.asyncDispose]()))),
    };
    let number = 0;
    for (const row of malformed()) {
      const frames = row.frames.map((frame) => frame ?? encode(Array.from({ length: 200_000 }, () => 0)));
      if (row.socket === 'task') submitter.tasks.send(frames);
      else if (row.socket === 'command') await submitter.ask(frames[0] as Uint8Array);
      else {
        const pool = new Pool(at, Buffer.from([255, 27, number++]));
        pools.push(pool);
        if (row.isRegistered) pool.register({ maxCapacity: 0 });
        pool.socket.send(frames);
      }
    }
    submitter.send(1_000);
    const seen = new Set<unknown>();
    while (!seen.has(1_000)) for (const id of await good.tasks()) seen.add(id);
    good.finish(1_000);
    for (;;) {
      const answer = await submitter.answer();
      if (answer.taskId === 1_000) break;
      sure(answer.isException);
    }
    const report = await askStatus(`tcp://127.0.0.1:${at}`);
    const { received, queued, leased, answered } = report.counters;
    assert.equal(received, queued + leased + answered);
  });

  it('does not keep answers for who asks without end and never reads', async () => {
    await using submitter = await Submitter.start({ log_config: 'NoopLogging' });
    const at = await port(submitter);
    const probe = writeManagerMessage({ type: 'connection_probe' });
    const request = writeManagerMessage({ type: 'chervil_status' });
    let answers = 0;
    let onProbe = (): void => {};
    const nextProbe = (): Promise<void> =>
      new Promise((resolve) => {
        onProbe = resolve;
      });
    const deaf = createSocket({
      type: 'dealer',
      highWaterMark: 0,
      lingerMs: 0,
      onMessage: ([frame]) => {
        if (frame?.length === 0) onProbe();
        else if (++answers % 100 === 0) deaf.send([probe]);
      },
    });
    const isThere = nextProbe();
    deaf.connect(`tcp://127.0.0.1:${at}`);
    deaf.send([probe]);
    await isThere;
    deaf.pause();
    const many = 400_000;
    for (let sent = 0; sent < many || deaf.queued > 0; sent += 1_000) {
      for (let part = 0; part < 1_000 && sent < many; part++) deaf.send([request]);
      await new Promise((resolve) => setImmediate(resolve));
    }
    // A socket takes messages of its peers in turn: what was sent before this was read before this is answered, or soon.
    await askStatus(`tcp://127.0.0.1:${at}`);
    const isOver = nextProbe();
    deaf.resume();
    deaf.send([probe]);
    await isOver;
    await deaf.close({ lingerMs: 0 });
    // The system's buffers hold tens of thousands; what the interchange keeps beside them is a thousand.
    sure(answers < many / 4, `${answers} answers to ${many} requests were kept`);
  });

  it('answers each heartbeat of a crowd of pools, whose answers may leave together', async (t) => {
    await using submitter = await Submitter.start();
    const at = await port(submitter);
    const pools = Array.from({ length: 100 }, (_, number) => new Pool(at, `pool-${number}`));
    t.after(() => Promise.all(pools.map((pool) => pool[Symbol.asyncDispose]())));
    const types = async (pool: Pool, count: number): Promise<unknown[]> => {
      const all: unknown[] = [];
      while (all.length < count) {
        const read = readInterchangeMessage(await pool.inbox.next('a message of the interchange'));
        all.push(read.ok ? read.value.type : read.error);
      }
      return all;
    };
    for (const pool of pools) pool.register();
    for (let known = 0; known < pools.length; )
      known = (await askStatus(`tcp://127.0.0.1:${at}`)).counters.managersRegistered;
    for (let round = 0; round < 2; round++) {
      for (const pool of pools) pool.socket.send([writeManagerMessage({ type: 'heartbeat' })]);
      for (const pool of pools) assert.deepEqual(await types(pool, 1), ['heartbeat']);
    }
    for (const pool of pools) pool.socket.send([writeManagerMessage({ type: 'drain' })]);
    for (const pool of pools) assert.deepEqual(await types(pool, 1), ['drained']);
  });

  it('serves pools of the oldest era on two ports, in their style', async () => {
    await using submitter = await Submitter.start({ worker_ports: null });
    const ports = await submitter.ask(writeCommand({ name: 'worker ports' }));
    sure(ports instanceof PyTuple);
    await using tasks = new Pool(Number(ports.items[0]), 'old');
    await using results = new Pool(Number(ports.items[1]), 'old');
    const old = registration({ parslVersion: '2024.09.02', packages: undefined });
    tasks.socket.send([writeManagerMessage({ type: 'registration', registration: old }, 'two-port')]);
    tasks.socket.send([Buffer.from('{"type": "heartbeat"}')]);
    const reply = await tasks.inbox.next('a heartbeat reply');
    assert.deepEqual([reply.length, reply[0]?.length, reply[1]?.length], [2, 0, 19]);
    submitter.tasks.send([writeTask({ taskId: 3, buffer: Buffer.from('x'), context: new Map() }, 'bare')]);
    const batch = await tasks.inbox.next('a batch');
    assert.equal(batch[0]?.length, 0);
    results.socket.send([
      encode(new Map([['type', 'heartbeat']])),
      writeOutcome({ taskId: 3, isException: false, bytes: Buffer.from('01\nN.') }),
    ]);
    assert.equal((await submitter.answer()).taskId, 3);
  });

  it('listens on the one port of a pair that is fixed, and on any free one, which it tells, where the pair has 0', async () => {
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const fixed = (free.address() as AddressInfo).port;
    free.close();
    await once(free, 'close');
    // Of the range there is none to be had: it does not count for a pair.
    const worker_port_range = new PyTuple([1, 2]);
    for (const pair of [
      [0, fixed],
      [fixed, 0],
      [0, 0],
    ]) {
      await using submitter = await Submitter.start({ worker_ports: new PyTuple(pair), worker_port_range });
      const ports = await submitter.ask(writeCommand({ name: 'worker ports' }));
      sure(ports instanceof PyTuple);
      for (const [at, wanted] of pair.entries()) {
        const actual: number = Number(ports.items[at]);
        if (wanted === 0) assert.ok(actual > 2 && actual !== fixed, String(actual));
        else assert.equal(actual, wanted);
      }
      await using tasks = new Pool(Number(ports.items[0]), 'old');
      const old = registration({ parslVersion: '2024.09.02', packages: undefined });
      tasks.socket.send([writeManagerMessage({ type: 'registration', registration: old }, 'two-port')]);
      tasks.socket.send([Buffer.from('{"type": "heartbeat"}')]);
      assert.equal((await tasks.inbox.next('a heartbeat reply')).length, 2);
    }
  });

  it('refuses pools of another era by name, and in words that they understand', async () => {
    await using newer = await Submitter.start();
    await using old = new Pool(await port(newer), 'old');
    const registered = { type: 'registration', registration: registration({ parslVersion: '2024.09.02' }) } as const;
    old.socket.send([writeManagerMessage(registered, 'two-port')]);
    const toOld = await old.inbox.next('the last word');
    assert.deepEqual([toOld.length, toOld[0]?.length], [2, 0]);
    await using older = await Submitter.start({ worker_ports: null });
    const ports = await older.ask(writeCommand({ name: 'worker ports' }));
    sure(ports instanceof PyTuple);
    await using young = new Pool(Number(ports.items[0]), 'young');
    young.register({ parslVersion: '2026.10.26' });
    const toYoung = readInterchangeMessage(await young.inbox.next('the last word'));
    sure(toYoung.ok && toYoung.value.type === 'drained');
    for (const submitter of [newer, older]) {
      submitter.child?.kill('SIGTERM');
      await submitter.exited;
      assert.match(readFileSync(join(submitter.logdir, 'interchange.log'), 'utf8'), /Refused manager/);
    }
  });

  it('tells everything with --status', async () => {
    await using submitter = await Submitter.start();
    const at = await port(submitter);
    const child = spawn(process.execPath, [program, '--status', `127.0.0.1:${at}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += String(chunk);
    });
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 0);
    assert.match(text, /0 received = 0 queued \+ 0 with managers \+ 0 answered; 0 unaccounted for/);
  });
});

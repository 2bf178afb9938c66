// Peers that break, lie, come twice or fall silent, against a real interchange process.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { askStatus } from '#src/interchange/show-status.js';
import { readInterchangeMessage, writeCommand, writeManagerMessage } from '#src/wire/messages.js';
import { encode } from '#src/wire/pickle.js';
import { createCertificates, createSocket, curveClient, readCertificates } from '#src/wire/zmtp/socket.js';
import { directory, Pool, port, Submitter } from './processes.ts';

const garbage = [Buffer.alloc(0), Buffer.from('hello'), Buffer.from('8004950000', 'hex'), Buffer.alloc(300, 0xff)];

describe('the interchange lives with', () => {
  it('a pool that comes back under its name in the middle of a task, and answers it twice', async () => {
    await using submitter = await Submitter.start();
    const at = await port(submitter);
    const first = new Pool(at, 'pool-a');
    first.register({ maxCapacity: 1 });
    submitter.send(1);
    assert.deepEqual(await first.tasks(), [1]);
    await first[Symbol.asyncDispose]();
    await using second = new Pool(at, 'pool-a');
    second.finish(1);
    second.finish(1);
    assert.equal((await submitter.answer()).taskId, 1);
    // It is the same manager as before: with room for a task, and known by its first registration.
    submitter.send(2);
    assert.deepEqual(await second.tasks(), [2]);
    second.finish(2);
    assert.equal((await submitter.answer()).taskId, 2);
    const { counters, managers } = await askStatus(`tcp://127.0.0.1:${at}`);
    assert.deepEqual([counters.results, counters.strayResults, counters.managersRegistered], [2, 1, 1]);
    assert.equal(managers.length, 1);
  });

  it('a pool whose old connection still stands, half open, when it comes back', async () => {
    await using submitter = await Submitter.start();
    const at = await port(submitter);
    await using old = new Pool(at, 'pool-a');
    old.register({ maxCapacity: 1 });
    submitter.send(1);
    assert.deepEqual(await old.tasks(), [1]);
    // Its machine went away without a word, and the pool's network came back elsewhere: the old connection is never closed.
    old.socket.pause();
    await using young = new Pool(at, 'pool-a');
    young.socket.send([writeManagerMessage({ type: 'heartbeat' })]);
    const read = readInterchangeMessage(await young.inbox.next('an answer to the heartbeat'));
    assert.ok(read.ok && read.value.type === 'heartbeat');
    young.finish(1);
    submitter.send(2);
    assert.deepEqual(await young.tasks(), [2]);
    assert.equal((await submitter.answer()).taskId, 1);
  });

  it('a pool that takes no more bytes: the others get their tasks and answers meanwhile', async () => {
    await using submitter = await Submitter.start();
    const at = await port(submitter);
    await using deaf = new Pool(at, 'deaf');
    deaf.register({ maxCapacity: 100_000 });
    await submitter.ask(writeCommand({ name: 'managers' }));
    deaf.socket.pause();
    const context = new Map([['resource_spec', new Map([['note', 'x'.repeat(50_000)]])]]);
    for (let taskId = 1; taskId <= 1_000; taskId++) submitter.send(taskId, context);
    // 50 MB of tasks wait for it in the interchange, beside what the system's buffers hold.
    for (let leased = 0; leased < 1_000; ) leased = (await askStatus(`tcp://127.0.0.1:${at}`)).counters.leased;
    await submitter.ask(encode(['HOLD_MANAGER', 'deaf']));
    await using good = new Pool(at, 'good');
    good.register({ maxCapacity: 1 });
    submitter.send(5_000);
    assert.deepEqual(await good.tasks(), [5_000]);
    good.finish(5_000);
    assert.equal((await submitter.answer()).taskId, 5_000);
    deaf.socket.resume();
    const seen = new Set<unknown>();
    while (seen.size < 1_000) for (const id of await deaf.tasks()) seen.add(id);
  });

  it('a submitter that reads no results for a while, and then gets all of them in order', async () => {
    await using submitter = await Submitter.start();
    await using pool = new Pool(await port(submitter), 'pool-a');
    const many = 20_000;
    pool.register({ maxCapacity: many });
    await submitter.ask(writeCommand({ name: 'managers' }));
    submitter.resultLink.pause();
    for (let taskId = 1; taskId <= many; taskId++) submitter.send(taskId);
    for (let done = 0; done < many; ) {
      for (const id of await pool.tasks()) {
        pool.finish(Number(id));
        done++;
      }
    }
    // It is deaf on one link only.
    await submitter.ask(writeCommand({ name: 'connected blocks' }));
    submitter.resultLink.resume();
    let frames = 0;
    while (frames < many) frames += (await submitter.results.next('results')).length;
    assert.equal(frames, many);
  });

  it('a submitter that says on each of its sockets what does not belong there', async () => {
    await using submitter = await Submitter.start();
    const at = await port(submitter);
    await using pool = new Pool(at, 'pool-a');
    pool.register();
    for (const frame of garbage) {
      submitter.resultLink.send([frame]);
      submitter.resultLink.send([frame, frame]);
      submitter.tasks.send([frame, frame, frame]);
      assert.equal(await submitter.ask(frame), null);
      assert.equal((await submitter.command.request([frame, frame], { timeoutMs: 20_000 })).length, 1);
    }
    submitter.send(1);
    assert.deepEqual(await pool.tasks(), [1]);
    pool.finish(1);
    assert.equal((await submitter.answer()).taskId, 1);
    const { counters } = await askStatus(`tcp://127.0.0.1:${at}`);
    assert.deepEqual([counters.received, counters.answered, counters.malformed], [1, 1, 12]);
  });

  it('connections that are opened and never used, cut in the middle of a frame, or no ZMTP at all', async () => {
    await using submitter = await Submitter.start();
    const at = await port(submitter);
    const streams = Array.from({ length: 50 }, (_, number) => {
      const stream = connect(at, '127.0.0.1');
      stream.on('error', () => {});
      if (number % 3 === 1) stream.write('GET / HTTP/1.1\r\n\r\n');
      // The first bytes of a greeting, and no more.
      if (number % 3 === 2) stream.write(Buffer.from('ff00000000000000017f03', 'hex'));
      return stream;
    });
    const cut = createSocket({ type: 'dealer', identity: 'cut', lingerMs: 0 });
    cut.connect(`tcp://127.0.0.1:${at}`);
    cut.send([Buffer.alloc(20_000_000)]);
    await using pool = new Pool(at, 'pool-a');
    pool.register();
    submitter.send(1);
    assert.deepEqual(await pool.tasks(), [1]);
    await cut.close({ lingerMs: 0 });
    for (const stream of streams) stream.destroy();
    pool.finish(1);
    assert.equal((await submitter.answer()).taskId, 1);
  });

  it('clients of an encrypted run that have other keys: they are named in its log and hear nothing', async () => {
    const certificates = await createCertificates(mkdtempSync(join(directory, 'keys-')));
    const others = await createCertificates(mkdtempSync(join(directory, 'keys-')));
    const { client, server } = await readCertificates(certificates);
    const other = await readCertificates(others);
    const mechanism = await curveClient({ ...client, serverKey: server.publicKey });
    await using submitter = await Submitter.start({ cert_dir: certificates }, mechanism);
    const at = await port(submitter);
    // A key that is not on the list; and a key that is, with the wrong key of the server.
    await using stranger = new Pool(at, 'other', await curveClient({ ...other.client, serverKey: server.publicKey }));
    await using lost = new Pool(at, 'lost', await curveClient({ ...client, serverKey: other.server.publicKey }));
    for (const pool of [stranger, lost]) {
      pool.socket.send([writeManagerMessage({ type: 'connection_probe' })]);
      pool.register();
    }
    await using pool = new Pool(at, 'pool-a', mechanism);
    pool.register();
    submitter.send(1);
    assert.deepEqual(await pool.tasks(), [1]);
    pool.finish(1);
    assert.equal((await submitter.answer()).taskId, 1);
    await assert.rejects(askStatus(`tcp://127.0.0.1:${at}`, others), /No interchange at/);
    assert.equal((await askStatus(`tcp://127.0.0.1:${at}`, certificates)).managers.length, 1);
    submitter.child?.kill('SIGTERM');
    await submitter.exited;
    const log = readFileSync(join(submitter.logdir, 'interchange.log'), 'utf8');
    assert.match(log, /\[WARNING\].*127\.0\.0\.1:\d+.*(key|list)/);
  });

  it('a monitoring receiver that hangs up again and again, and certificates that are gone by then', async (t) => {
    const certificates = await createCertificates(mkdtempSync(join(directory, 'keys-')));
    const { client, server } = await readCertificates(certificates);
    const mechanism = await curveClient({ ...client, serverKey: server.publicKey });
    let calls = 0;
    let onFourth = (): void => {};
    const fourth = new Promise<void>((resolve) => {
      onFourth = resolve;
    });
    const hub = createServer((stream) => {
      stream.destroy();
      calls++;
      if (calls === 1) rmSync(certificates, { recursive: true });
      if (calls === 4) onFourth();
    }).listen(0, '127.0.0.1');
    t.after(() => hub.close());
    await once(hub, 'listening');
    const { port: hubPort } = hub.address() as AddressInfo;
    await using submitter = await Submitter.start({ cert_dir: certificates, hub_zmq_port: hubPort }, mechanism);
    const at = await port(submitter);
    await fourth;
    await using pool = new Pool(at, 'pool-a', mechanism);
    pool.register();
    submitter.send(1);
    assert.deepEqual(await pool.tasks(), [1]);
  });

  it('a clock that was set an hour ahead after it started: a pool drains when its own clock says so', async () => {
    process.env['NODE_OPTIONS'] = '--import=data:text/javascript,const{now}=Date;Date.now=()=>now()%2B3600000';
    await using submitter = await Submitter.start().finally(() => {
      delete process.env['NODE_OPTIONS'];
    });
    const at = await port(submitter);
    const hourAhead = Date.now() / 1_000 + 3_600;
    await using early = new Pool(at, 'early');
    await using late = new Pool(at, 'late');
    late.register({ drainTime: hourAhead + 3_000 });
    early.register({ drainTime: hourAhead + 1 });
    const read = readInterchangeMessage(await early.inbox.next('that it is drained'));
    assert.ok(read.ok && read.value.type === 'drained');
    const { managers } = await askStatus(`tcp://127.0.0.1:${at}`);
    assert.deepEqual(
      managers.map((manager) => manager.manager),
      ['late'],
    );
  });
});

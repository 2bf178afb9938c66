// Bad peers: each costs itself, never the socket nor its other peers.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket as Stream } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { encodeCommand, encodeMetadata } from '#src/wire/zmtp/commands.js';
import { encodeFrame } from '#src/wire/zmtp/frames.js';
import { encodeGreeting } from '#src/wire/zmtp/greeting.js';
import { curveClient } from '#src/wire/zmtp/socket.js';
import { randomIntegers } from '../support/random.ts';
import { frames, securities, texts, watchedSocket } from '../support/zmtp.ts';

const local = 'tcp://127.0.0.1:*';
const quick = { reconnect: { minMs: 5, maxMs: 20 } };

/** A plain TCP connection to an endpoint. */
async function stranger(t: TestContext, endpoint: string): Promise<Stream> {
  const stream = connect(Number(endpoint.split(':').at(-1)), '127.0.0.1');
  stream.on('error', () => undefined);
  t.after(() => stream.destroy());
  await once(stream, 'connect');
  return stream;
}

const hello = Buffer.concat([
  encodeGreeting('NULL', false),
  encodeFrame(4, encodeCommand('READY', encodeMetadata('DEALER', Buffer.from('raw')))),
]);
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

test('strangers at the port are dropped with a reason, and the socket goes on serving', async (t) => {
  const router = watchedSocket(t, 'router', {
    limits: { frameBytes: 1_000, framesPerMessage: 3, messageBytes: 1_500 },
    answer: (message) => void router.send(message.peer, message.frames),
  });
  const endpoint = await router.bind(local);
  const good = watchedSocket(t, 'dealer', { identity: 'good' });
  good.connect(endpoint);
  await router.seen.joined.next();
  const before: [Buffer, string][] = [
    [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 'not-zmtp'],
    [hex('1603010200010001fc0303'), 'not-zmtp'],
    [encodeGreeting('CURVE', false), 'mechanism'],
    [encodeGreeting('PLAIN', false), 'mechanism'],
    [Buffer.concat([hello.subarray(0, 10), hex('01 00')]), 'old-version'],
    [
      Buffer.concat([hello.subarray(0, 64), encodeFrame(4, encodeCommand('READY', encodeMetadata('PUB', undefined)))]),
      'socket-type',
    ],
    [Buffer.concat([hello.subarray(0, 64), hex('06 7fffffffffffffff')]), 'too-large'],
  ];
  for (const [bytes, code] of before) {
    const stream = await stranger(t, endpoint);
    stream.resume().write(bytes);
    await once(stream, 'close');
    const { failure, address } = await router.seen.failed.next();
    assert.equal(failure.code, code, failure.detail);
    assert.match(address, /^tcp:\/\/127\.0\.0\.1:\d+$/);
  }
  const after: [Buffer, string][] = [
    [hex('02 00000000000003e9'), 'too-large'],
    [Buffer.concat(Array.from({ length: 4 }, () => hex('01 00'))), 'too-large'],
    [Buffer.concat(Array.from({ length: 2 }, () => encodeFrame(1, Buffer.alloc(900)))), 'too-large'],
    [hex('80 00'), 'protocol'],
    [encodeFrame(4, Buffer.from('\x04PING', 'latin1')), 'protocol'],
    [encodeFrame(4, encodeCommand('ERROR', hex('01 58'))), 'refused-by-peer'],
  ];
  for (const [bytes, code] of after) {
    const stream = await stranger(t, endpoint);
    stream.resume().write(Buffer.concat([hello, bytes]));
    await once(stream, 'close');
    const { failure } = await router.seen.left.next();
    assert.equal(failure.code, code, failure.detail);
  }
  good.send(frames('still served'));
  assert.deepEqual(texts(await good.seen.messages.next()), ['still served']);
});

test('a peer that says nothing, or one byte at a time, is dropped when its time for the handshake is over', async (t) => {
  const router = watchedSocket(t, 'router', { handshakeTimeoutMs: 100 });
  const endpoint = await router.bind(local);
  const mute = await stranger(t, endpoint);
  const slow = await stranger(t, endpoint);
  slow.write(hello.subarray(0, 1));
  await Promise.all([mute, slow].map((stream) => once(stream.resume(), 'close')));
  for (const { failure } of await router.seen.failed.take(2)) assert.equal(failure.code, 'handshake-timeout');
});

test('the number of peers in their handshake is limited', async (t) => {
  const router = watchedSocket(t, 'router', { limits: { handshakes: 2 } });
  const endpoint = await router.bind(local);
  const streams = [await stranger(t, endpoint), await stranger(t, endpoint), await stranger(t, endpoint)];
  assert.equal((await router.seen.failed.next()).failure.code, 'too-many');
  streams[0]!.write(hello);
  await router.seen.joined.next();
  (await stranger(t, endpoint)).write(hello);
  await router.seen.joined.next();
});

test('a CURVE server drops wrong keys without a word, and says so on its own side', async (t) => {
  const [, security] = await securities(t);
  const router = watchedSocket(t, 'router', { mechanism: security.server });
  const endpoint = await router.bind(local);
  const { client, server } = security.keys!;
  const strange = await curveClient({
    secretKey: server.secretKey.slice(0, 39) + (server.secretKey.endsWith('0') ? '1' : '0'),
    serverKey: server.publicKey,
  });
  const lost = await curveClient({ ...client, serverKey: client.publicKey });
  for (const [mechanism, code] of [
    [strange, 'not-allowed'],
    [lost, 'curve-key'],
  ] as const) {
    const dealer = watchedSocket(t, 'dealer', { mechanism, reconnect: { minMs: 60_000, maxMs: 60_000 } });
    dealer.connect(endpoint);
    assert.equal((await router.seen.failed.next()).failure.code, code);
    assert.equal((await dealer.seen.failed.next()).failure.code, 'peer-closed');
  }
  const plain = watchedSocket(t, 'dealer');
  plain.connect(endpoint);
  assert.equal((await router.seen.failed.next()).failure.code, 'mechanism');
  assert.deepEqual(router.seen.joined.all, []);
});

test('a PING is answered with its context, also by a socket that sends none', async (t) => {
  const router = watchedSocket(t, 'router');
  const stream = await stranger(t, await router.bind(local));
  stream.write(Buffer.concat([hello, encodeFrame(4, encodeCommand('PING', hex('0000'), Buffer.from('context')))]));
  const expected = encodeFrame(4, encodeCommand('PONG', Buffer.from('context')));
  let heard = Buffer.alloc(0);
  for await (const chunk of stream) {
    heard = Buffer.concat([heard, chunk]);
    if (heard.includes(expected)) break;
  }
  assert.ok(heard.includes(expected));
});

test('with heartbeats a silent peer is dropped, and one that answers is kept', async (t) => {
  const router = watchedSocket(t, 'router', { heartbeat: { intervalMs: 20, timeoutMs: 1_000, ttlMs: 20_000 } });
  const endpoint = await router.bind(local);
  const alive = watchedSocket(t, 'dealer', { identity: 'alive' });
  alive.connect(endpoint);
  const stream = await stranger(t, endpoint);
  stream.resume().write(hello);
  const { peer, failure } = await router.seen.left.next();
  assert.deepEqual([peer.key, failure.code], ['raw', 'silent']);
  assert.ok(router.has('alive'));
});

test('a peer that asked to be given a certain silence is dropped after it', async (t) => {
  const router = watchedSocket(t, 'router');
  const stream = await stranger(t, await router.bind(local));
  stream.resume().write(Buffer.concat([hello, encodeFrame(4, encodeCommand('PING', hex('0001')))]));
  assert.equal((await router.seen.left.next()).failure.code, 'silent');
});

test('a peer of ZMTP 3.0 is served and never sent a PING', async (t) => {
  const router = watchedSocket(t, 'router', {
    heartbeat: { intervalMs: 20 },
    answer: (message) => void router.send(message.peer, message.frames),
  });
  const stream = await stranger(t, await router.bind(local));
  const old = Buffer.from(hello);
  old[11] = 0;
  stream.write(old);
  await router.seen.joined.next();
  // Longer than the heartbeat's two intervals: another peer's silence tells the time.
  const other = await stranger(t, `x:${stream.remotePort}`);
  other
    .resume()
    .write(
      Buffer.concat([
        hello.subarray(0, 64),
        encodeFrame(4, encodeCommand('READY', encodeMetadata('DEALER', Buffer.from('new')))),
      ]),
    );
  assert.equal((await router.seen.left.next()).peer.key, 'new');
  stream.write(encodeFrame(0, Buffer.from('old but well')));
  let heard = Buffer.alloc(0);
  for await (const chunk of stream) {
    heard = Buffer.concat([heard, chunk]);
    if (heard.includes('old but well')) break;
  }
  assert.ok(!heard.includes('PING'));
});

test('servers that are not ZMTP are left alone after each attempt, and the socket keeps trying', async (t) => {
  const web = createServer((stream) =>
    stream.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  ).listen(0, '127.0.0.1');
  t.after(() => web.close());
  await once(web, 'listening');
  const dealer = watchedSocket(t, 'dealer', quick);
  dealer.connect(`tcp://127.0.0.1:${(web.address() as { port: number }).port}`);
  for (const { failure } of await dealer.seen.failed.take(3)) assert.equal(failure.code, 'not-zmtp');
});

test('a thousand strangers with random bytes do not disturb a conversation', async (t) => {
  const random = randomIntegers();
  const router = watchedSocket(t, 'router', {
    handshakeTimeoutMs: 2_000,
    answer: (message) => void router.send(message.peer, message.frames),
  });
  const endpoint = await router.bind(local);
  const good = watchedSocket(t, 'dealer', { identity: 'good' });
  good.connect(endpoint);
  for (let round = 0; round < 50; round++) {
    const streams = await Promise.all(Array.from({ length: 20 }, () => stranger(t, endpoint)));
    for (const stream of streams) {
      const bytes = Buffer.from([hello, Buffer.alloc(random(300))][random(2)]!);
      for (let change = random(20); change > 0 && bytes.length > 0; change--) bytes[random(bytes.length)] = random(256);
      if (random(3) === 0) stream.write(bytes, () => stream.resetAndDestroy());
      else stream.resume().end(bytes);
    }
    good.send(frames(String(round)));
    assert.deepEqual(texts(await good.seen.messages.next()), [String(round)]);
  }
});

const tenMessages = Array.from({ length: 10 }, (_, index) => encodeFrame(0, Buffer.from(String(index))));
const zeroToNine = Array.from({ length: 10 }, (_, index) => String(index));

for (const way of ['the shared buffer', 'events'] as const) {
  test(`who pauses loses nothing of what a peer said before it closed its side, read through ${way}`, async (t) => {
    if (way === 'events') hideHandles(t);
    const router = watchedSocket(t, 'router', { answer: () => router.pause() });
    const endpoint = await router.bind(local);
    const stream = await stranger(t, endpoint);
    stream.resume().end(Buffer.concat([hello, ...tenMessages]));
    assert.deepEqual(texts(await router.seen.messages.next()), ['0']);
    // When another one has come the end is there as well.
    const other = await stranger(t, endpoint);
    await router.seen.joined.next();
    other.resume().write(Buffer.concat([hello.subarray(0, 64), readyOf('other')]));
    assert.equal((await router.seen.joined.next()).key, 'other');
    assert.deepEqual(router.seen.left.all, []);
    for (const text of zeroToNine.slice(1)) {
      router.resume();
      assert.deepEqual(texts(await router.seen.messages.next()), [text]);
    }
    router.resume();
    const { peer, failure } = await router.seen.left.next();
    assert.deepEqual([peer.key, failure.code], ['raw', 'peer-closed']);
  });
}

test('a handler that throws at each message still gets all of them from a peer that closed its side', async (t) => {
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  t.after(() => listeners.forEach((listener) => void process.on('uncaughtException', listener)));
  let caught = 0;
  const onThrown = (): void => void caught++;
  process.on('uncaughtException', onThrown);
  t.after(() => process.removeListener('uncaughtException', onThrown));
  const router = watchedSocket(t, 'router', {
    answer: () => {
      throw new Error('mistake of the handler');
    },
  });
  const stream = await stranger(t, await router.bind(local));
  stream.resume().end(Buffer.concat([hello, ...tenMessages]));
  assert.equal((await router.seen.left.next()).failure.code, 'peer-closed');
  assert.deepEqual(router.seen.messages.all.flatMap(texts), zeroToNine);
  assert.equal(caught, 10);
});

function readyOf(identity: string): Buffer {
  return encodeFrame(4, encodeCommand('READY', encodeMetadata('DEALER', Buffer.from(identity))));
}

/** As on a version of Node.js whose streams keep their handles to themselves. */
function hideHandles(t: TestContext): void {
  const get = Reflect.get;
  t.mock.method(Reflect, 'get', (target: object, key: PropertyKey, ...receiver: [unknown?]) =>
    key === '_handle' ? undefined : get(target, key, ...receiver),
  );
}

test('a DEALER whose answer to a PING is what the system does not take goes on when it does', async (t) => {
  const arrived = new Promise<Stream>((resolve) => {
    // A unix socket takes a small message whole or not at all.
    const path = join(mkdtempSync(join(tmpdir(), 'chervil-')), 'socket');
    const server = createServer(resolve).listen(path, () => dealer.connect(`ipc://${path}`));
    t.after(() => {
      server.close();
      rmSync(dirname(path), { recursive: true });
    });
  });
  const dealer = watchedSocket(t, 'dealer', { highWaterMark: 0 });
  const peer = await arrived;
  t.after(() => peer.destroy());
  peer.write(encodeGreeting('NULL', false));
  peer.write(encodeFrame(4, encodeCommand('READY', encodeMetadata('ROUTER', Buffer.alloc(0)))));
  await dealer.seen.joined.next();
  const ping = encodeFrame(4, encodeCommand('PING', Buffer.alloc(2)));
  const turns = async (count: number): Promise<void> => {
    for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  for (let round = 0; round < 5; round++) {
    peer.pause();
    // One message and one answer after the other, until the system is full with the one or the other.
    while (dealer.queued === 0) {
      dealer.send([Buffer.alloc(1_000)]);
      await turns(1);
      if (dealer.queued === 0) peer.write(ping);
      await turns(10);
    }
    peer.resume();
    const patience = performance.now() + 20_000;
    while (dealer.queued > 0 && performance.now() < patience) await turns(1);
    assert.equal(dealer.queued, 0, `round ${round}: messages wait although the peer reads`);
  }
});

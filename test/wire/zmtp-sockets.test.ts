// Sockets against each other: delivery, names, queues, breaks, ends.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Clock, systemClock } from '#src/base/time.js';
import { bindToRandomPort, createSocket, identityKey, ZmtpError } from '#src/wire/zmtp/socket.js';
import { FakeClock } from '../support/clock.ts';
import { within } from '../support/happenings.ts';
import { frames, securities, texts, watchedSocket } from '../support/zmtp.ts';

const local = 'tcp://127.0.0.1:*';
const quick = { reconnect: { minMs: 5, maxMs: 20 } };

test('a ROUTER answers a DEALER by its name, with NULL and with CURVE, whichever of them binds', async (t) => {
  for (const security of await securities(t)) {
    for (const routerBinds of [true, false]) {
      for (const routerServes of [true, false]) {
        const router = watchedSocket(t, 'router', {
          mechanism: routerServes ? security.server : security.client,
          answer: ({ frames: [first], peer }) => void router.send(peer, [first!, Buffer.from('back')]),
        });
        const dealer = watchedSocket(t, 'dealer', {
          identity: 'one',
          mechanism: routerServes ? security.client : security.server,
        });
        if (routerBinds) dealer.connect(await router.bind(local));
        else router.connect(await dealer.bind(local));
        dealer.send(frames('there', '', 'x'.repeat(300)));
        const message = await router.seen.messages.next();
        assert.deepEqual(texts(message), ['there', '', 'x'.repeat(300)]);
        assert.equal(message.peer.key, 'one');
        assert.equal(
          message.peer.publicKey,
          security.keys && (routerServes ? security.keys.client : security.keys.server).publicKey,
        );
        assert.deepEqual(texts(await dealer.seen.messages.next()), ['there', 'back']);
        assert.deepEqual([router.peers.length, dealer.peers[0]?.socketType], [1, 'ROUTER']);
        await dealer.close();
        await router.close();
      }
    }
  }
});

test('a ROUTER names nameless peers itself and speaks with many', async (t) => {
  const router = watchedSocket(t, 'router', {
    answer: (message) => void router.send(message.peer.key, message.frames),
  });
  const endpoint = await router.bind(local);
  const dealers = Array.from({ length: 20 }, () => watchedSocket(t, 'dealer'));
  for (const [index, dealer] of dealers.entries()) {
    dealer.connect(endpoint);
    dealer.send(frames(`mine ${index}`));
  }
  for (const [index, dealer] of dealers.entries())
    assert.deepEqual(texts(await dealer.seen.messages.next()), [`mine ${index}`]);
  assert.equal(new Set(router.peers.map((peer) => peer.key)).size, 20);
  for (const { identity } of router.peers) assert.deepEqual([identity.length, identity[0]], [5, 0]);
});

test('100,000 small messages arrive in order', async (t) => {
  for (const security of await securities(t)) {
    const count = 100_000;
    let expected = 0;
    let done: () => void;
    const all = new Promise<void>((resolve) => {
      done = resolve;
    });
    const router = createSocket({
      type: 'router',
      mechanism: security.server,
      onMessage([frame]) {
        if (frame!.readUInt32BE(0) === expected) expected++;
        if (expected === count) done();
      },
    });
    t.after(() => router.close());
    const dealer = watchedSocket(t, 'dealer', { highWaterMark: 0, mechanism: security.client });
    dealer.connect(await router.bind(local));
    for (let index = 0; index < count; index++) {
      const frame = Buffer.alloc(20);
      frame.writeUInt32BE(index);
      assert.ok(dealer.send([frame]));
    }
    await within(all, 'all messages', 60_000);
    assert.equal(router.counters.received, count);
    assert.equal(dealer.counters.sent, count);
    assert.equal(dealer.queued, 0);
  }
});

test('one message of 64 MB arrives whole', async (t) => {
  for (const security of await securities(t)) {
    const router = watchedSocket(t, 'router', { mechanism: security.server });
    const dealer = watchedSocket(t, 'dealer', { mechanism: security.client });
    dealer.connect(await router.bind(local));
    const large = Buffer.alloc(64 * 2 ** 20, 'chervil!');
    large.writeUInt32BE(0xdecade, large.length - 4);
    dealer.send([Buffer.from('before'), large, Buffer.from('after')]);
    const [before, found, after] = (await router.seen.messages.next('the large message', 60_000)).frames;
    assert.deepEqual([String(before), String(after)], ['before', 'after']);
    assert.ok(found?.equals(large));
    await dealer.close();
    await router.close();
  }
});

test('frames that are put together when they leave arrive, in the clear and sealed', async (t) => {
  for (const security of await securities(t)) {
    const router = watchedSocket(t, 'router', { mechanism: security.server });
    const dealer = watchedSocket(t, 'dealer', { mechanism: security.client });
    dealer.connect(await router.bind(local));
    const late = (text: string) => ({
      length: text.length,
      writeTo: (target: Uint8Array, at: number): void => target.set(Buffer.from(text), at),
    });
    dealer.send([late('small'), late('L'.repeat(100_000)), Buffer.from('after')]);
    const found = (await router.seen.messages.next('the message')).frames.map(String);
    assert.deepEqual(found, ['small', 'L'.repeat(100_000), 'after']);
    await dealer.close();
    await router.close();
  }
});

test('messages sent before there is a connection are kept in order, up to the high-water mark', async (t) => {
  const dealer = watchedSocket(t, 'dealer', { highWaterMark: 3, ...quick });
  const router = watchedSocket(t, 'router');
  const endpoint = await router.bind(local);
  await router.close();
  dealer.connect(endpoint);
  assert.equal((await dealer.seen.failed.next()).failure.code, 'unreachable');
  assert.deepEqual(
    ['1', '2', '3', '4'].map((text) => dealer.send(frames(text))),
    [true, true, true, false],
  );
  assert.equal(dealer.refusal, 'high-water mark');
  const later = watchedSocket(t, 'router');
  await later.bind(endpoint);
  assert.deepEqual((await later.seen.messages.take(3)).flatMap(texts), ['1', '2', '3']);
  await dealer.seen.drained.next('onDrain');
  assert.ok(dealer.send(frames('5')));
  assert.deepEqual(texts(await later.seen.messages.next()), ['5']);
});

test('a DEALER comes back to a peer that was restarted, and what was unsent goes to the new one', async (t) => {
  const dealer = watchedSocket(t, 'dealer', quick);
  let router = watchedSocket(t, 'router');
  const endpoint = await router.bind(local);
  dealer.connect(endpoint);
  for (let restart = 0; restart < 4; restart++) {
    dealer.send(frames(`try ${restart}`));
    assert.deepEqual(texts(await router.seen.messages.next()), [`try ${restart}`]);
    await router.close();
    await dealer.seen.left.next('the peer to leave');
    dealer.send(frames('kept'));
    router = watchedSocket(t, 'router');
    await router.bind(endpoint);
    assert.deepEqual(texts(await router.seen.messages.next()), ['kept']);
  }
  assert.equal(dealer.seen.joined.all.length, 5);
});

test('waits between attempts to connect grow from 100 ms to 5 s and are partly random', async (t) => {
  const waits: number[] = [];
  const random = 0.5;
  const nobody = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => nobody.once('listening', resolve));
  const { port } = nobody.address() as { port: number };
  await new Promise((resolve) => nobody.close(resolve));
  const dealer = watchedSocket(t, 'dealer', {
    random: () => random,
    clock: {
      now: () => Date.now(),
      after(ms, action) {
        waits.push(ms);
        const timer = setImmediate(action);
        return () => clearImmediate(timer);
      },
    },
  });
  dealer.connect(`tcp://127.0.0.1:${port}`);
  await dealer.seen.failed.take(9);
  await dealer.close({ lingerMs: 0 });
  assert.deepEqual(waits.slice(0, 8), [75, 150, 300, 600, 1200, 2400, 3750, 3750]);
});

test('the newest connection takes over an identity, and the older one is told goodbye', async (t) => {
  const router = watchedSocket(t, 'router');
  const endpoint = await router.bind(local);
  const old = watchedSocket(t, 'dealer', { identity: 'same', reconnect: { minMs: 60_000, maxMs: 60_000 } });
  old.connect(endpoint);
  old.send(frames('from the old one'));
  const { peer } = await router.seen.messages.next();
  const young = watchedSocket(t, 'dealer', { identity: 'same' });
  young.connect(endpoint);
  young.send(frames('from the new one'));
  assert.deepEqual(texts(await router.seen.messages.next()), ['from the new one']);
  const left = await router.seen.left.next();
  assert.deepEqual([left.peer.key, left.failure.code], ['same', 'taken-over']);
  assert.ok(router.send(peer, frames('to whom it concerns')));
  assert.deepEqual(texts(await young.seen.messages.next()), ['to whom it concerns']);
  await old.seen.left.next('the old one to be told');
  assert.equal(router.peers.length, 1);
  assert.deepEqual(old.seen.messages.all, []);
});

test('sending to a peer that is unknown or gone is refused with a reason and counted', async (t) => {
  const router = watchedSocket(t, 'router');
  const dealer = watchedSocket(t, 'dealer', { identity: Buffer.from([1, 255]) });
  dealer.connect(await router.bind(local));
  const peer = await router.seen.joined.next();
  assert.ok(router.has(identityKey(Buffer.from([1, 255]))));
  await dealer.close();
  await router.seen.left.next();
  assert.equal(router.send(peer, frames('late')), false);
  assert.equal(router.refusal, 'unknown peer');
  assert.equal(router.send('never seen', frames('x')), false);
  assert.equal(router.counters.refused, 2);
  await router.close();
  assert.equal(router.send(peer, frames('x')), false);
  assert.equal(router.refusal, 'closed');
});

test('a DEALER gives its messages to several peers in turn', async (t) => {
  const dealer = watchedSocket(t, 'dealer');
  const endpoint = await dealer.bind(local);
  const others = Array.from({ length: 3 }, () => watchedSocket(t, 'dealer'));
  for (const other of others) other.connect(endpoint);
  await dealer.seen.joined.take(3);
  for (let index = 0; index < 9; index++) dealer.send(frames(String(index)));
  for (const other of others) await other.seen.messages.take(3);
});

test('a reader that pauses makes its sender wait, and nothing is lost', async (t) => {
  for (const security of await securities(t)) {
    const router = watchedSocket(t, 'router', { mechanism: security.server });
    const dealer = watchedSocket(t, 'dealer', { highWaterMark: 10, mechanism: security.client });
    dealer.connect(await router.bind(local));
    await router.seen.joined.next();
    await dealer.seen.joined.next();
    router.pause();
    const body = Buffer.alloc(200_000, 1);
    let sent = 0;
    // One message per turn, until the kernel's buffers are full and then the queue.
    while (dealer.send([Buffer.from(String(sent)), body])) {
      sent++;
      assert.ok(sent < 10_000, 'the sender is never told to wait');
      await new Promise(setImmediate);
    }
    assert.equal(dealer.queued, 10);
    assert.deepEqual(dealer.seen.drained.all, []);
    assert.ok(router.seen.messages.all.length <= 1);
    router.resume();
    const found = await router.seen.messages.take(sent);
    assert.deepEqual(
      found.map((message) => Number(String(message.frames[0]))),
      Array.from({ length: sent }, (_, index) => index),
    );
    await dealer.seen.drained.next('onDrain');
    assert.equal(dealer.seen.drained.all.length, 1);
    assert.equal(dealer.queued, 0);
  }
});

test('pausing in the middle of a burst stops at once, and resuming goes on with the next message', async (t) => {
  const router = watchedSocket(t, 'router', { answer: () => router.pause() });
  const dealer = watchedSocket(t, 'dealer');
  dealer.connect(await router.bind(local));
  for (let index = 0; index < 50; index++) dealer.send(frames(String(index)));
  for (let index = 0; index < 50; index++) {
    assert.deepEqual(texts(await router.seen.messages.next()), [String(index)]);
    assert.equal(router.seen.messages.all.length, index + 1);
    router.resume();
  }
});

test('a ROUTER has a queue for each peer: a slow one does not stop the others', async (t) => {
  const router = watchedSocket(t, 'router', { highWaterMark: 4 });
  const endpoint = await router.bind(local);
  const slow = watchedSocket(t, 'dealer', { identity: 'slow' });
  const fast = watchedSocket(t, 'dealer', { identity: 'fast' });
  slow.connect(endpoint);
  fast.connect(endpoint);
  await router.seen.joined.take(2);
  await slow.seen.joined.next();
  slow.pause();
  const body = Buffer.alloc(1_000_000);
  let sent = 0;
  while (router.send('slow', [body])) {
    sent++;
    await new Promise(setImmediate);
  }
  assert.equal(router.refusal, 'high-water mark');
  assert.equal(router.queued('slow'), 4);
  assert.ok(router.send('fast', frames('quick')));
  assert.deepEqual(texts(await fast.seen.messages.next()), ['quick']);
  slow.resume();
  await slow.seen.messages.take(sent);
  assert.equal((await router.seen.drained.next('onDrain'))?.key, 'slow');
});

test('closing with linger delivers what was sent; closing without it does not wait', async (t) => {
  for (const security of await securities(t)) {
    const router = watchedSocket(t, 'router', { mechanism: security.server });
    const endpoint = await router.bind(local);
    const patient = watchedSocket(t, 'dealer', { mechanism: security.client });
    patient.connect(endpoint);
    for (let index = 0; index < 500; index++) patient.send([Buffer.alloc(10_000, index)]);
    await within(patient.close({ lingerMs: 20_000 }), 'the patient one to close');
    assert.equal(patient.counters.sent, 500);
    await router.seen.messages.take(500);
    const hasty = watchedSocket(t, 'dealer', { mechanism: security.client });
    hasty.connect(endpoint);
    await hasty.seen.joined.next();
    hasty.send(frames('never'));
    await within(hasty.close({ lingerMs: 0 }), 'the hasty one to close');
    await router.seen.left.take(2, 'both to leave');
    assert.equal(router.seen.messages.all.length, 500);
  }
});

test('linger ends after its time when nobody takes the messages, and they are counted as dropped', async (t) => {
  const dealer = watchedSocket(t, 'dealer');
  await dealer.bind(local);
  dealer.send(frames('to nobody'));
  await within(dealer.close({ lingerMs: 20 }), 'the end of linger');
  assert.equal(dealer.counters.dropped, 1);
  assert.equal(dealer.send(frames('x')), false);
  assert.equal(dealer.refusal, 'closed');
});

test('a socket may be made to wait for ever for unsent messages', async (t) => {
  const dealer = watchedSocket(t, 'dealer', { lingerMs: Number.POSITIVE_INFINITY });
  const endpoint = await dealer.bind(local);
  dealer.send(frames('to somebody who comes late'));
  const closed = dealer.close();
  await new Promise(setImmediate);
  const late = watchedSocket(t, 'dealer');
  late.connect(endpoint);
  assert.deepEqual(texts(await late.seen.messages.next()), ['to somebody who comes late']);
  await within(closed, 'the close');
});

test('a wait for unsent messages is cut short by closing again without linger', async (t) => {
  const dealer = watchedSocket(t, 'dealer');
  await dealer.bind(local);
  dealer.send(frames('to nobody'));
  const patient = dealer.close({ lingerMs: Number.POSITIVE_INFINITY });
  await new Promise(setImmediate);
  await within(dealer.close({ lingerMs: 0 }), 'the second close');
  await within(patient, 'the first close');
});

test('a socket that is closed while it binds frees its port, also when somebody connected in that moment', async (t) => {
  for (let round = 0; round < 20; round++) {
    const router = watchedSocket(t, 'router');
    const endpoint = await router.bind(local);
    await router.close();
    const again = watchedSocket(t, 'router');
    const other = watchedSocket(t, 'dealer', { reconnect: { minMs: 1, maxMs: 1 } });
    other.connect(endpoint);
    const bound = again.bind(endpoint).catch((error: unknown) => error);
    if (round % 2 === 0) await new Promise(setImmediate);
    await within(again.close({ lingerMs: 0 }), 'the close');
    await within(bound, 'the bind to end');
    await other.close({ lingerMs: 0 });
    const heir = watchedSocket(t, 'router');
    await heir.bind(endpoint);
    await heir.close();
  }
});

test('a socket can be closed while it connects, while it shakes hands, and twice', async (t) => {
  const mute = createServer(() => undefined).listen(0, '127.0.0.1');
  t.after(() => mute.close());
  await new Promise((resolve) => mute.once('listening', resolve));
  const endpoint = `tcp://127.0.0.1:${(mute.address() as { port: number }).port}`;
  for (const lingerMs of [0, 5]) {
    const early = watchedSocket(t, 'dealer');
    early.connect(endpoint);
    early.send(frames('x'));
    await within(Promise.all([early.close({ lingerMs }), early.close()]), 'a socket that connects to close');
    const shaking = watchedSocket(t, 'dealer');
    shaking.connect(endpoint);
    await new Promise((resolve) => mute.once('connection', resolve));
    await within(shaking.close({ lingerMs }), 'a socket in its handshake to close');
    assert.throws(() => shaking.connect(endpoint), ZmtpError);
    await assert.rejects(shaking.bind(local), ZmtpError);
    assert.deepEqual(shaking.seen.failed.all, [], 'nothing is called back after close');
  }
});

test('sockets speak over unix sockets, and replace one that a dead process left behind', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'chervil-ipc-'));
  t.after(() => rm(folder, { recursive: true }));
  for (const path of [join(folder, 'a.sock'), `@chervil-${process.pid}-${Date.now()}`]) {
    const router = watchedSocket(t, 'router', { answer: (message) => void router.send(message.peer, message.frames) });
    const endpoint = await router.bind(`ipc://${path}`);
    assert.equal(endpoint, `ipc://${path}`);
    const dealer = watchedSocket(t, 'dealer');
    dealer.connect(endpoint);
    dealer.send(frames('over a path'));
    assert.deepEqual(texts(await dealer.seen.messages.next()), ['over a path']);
    const second = watchedSocket(t, 'router');
    await assert.rejects(second.bind(endpoint), (error) => error instanceof ZmtpError && error.code === 'BIND');
    await dealer.close();
    await router.close();
  }
  const left = join(folder, 'left.sock');
  const dies = `require('net').createServer().listen(${JSON.stringify(left)}, () => process.kill(process.pid, 'SIGKILL'))`;
  assert.equal(spawnSync(process.execPath, ['-e', dies]).signal, 'SIGKILL');
  await access(left);
  const heir = watchedSocket(t, 'router');
  const dealer = watchedSocket(t, 'dealer');
  dealer.connect(await heir.bind(`ipc://${left}`));
  await heir.seen.joined.next();
});

test('sockets speak over IPv6, unless told not to', async (t) => {
  const router = watchedSocket(t, 'router', { answer: (message) => void router.send(message.peer, message.frames) });
  const endpoint = await router.bind('tcp://[::1]:*');
  assert.match(endpoint, /^tcp:\/\/\[::1\]:\d+$/);
  const dealer = watchedSocket(t, 'dealer');
  dealer.connect(endpoint);
  dealer.send(frames('six'));
  assert.deepEqual(texts(await dealer.seen.messages.next()), ['six']);
  const everywhere = watchedSocket(t, 'router');
  const port = (await everywhere.bind('tcp://*:*')).split(':').at(-1);
  for (const host of ['127.0.0.1', '[::1]']) dealer.connect(`tcp://${host}:${port}`);
  await everywhere.seen.joined.take(2);
  const four = watchedSocket(t, 'dealer', { ipv6: false });
  assert.throws(() => four.connect('tcp://[::1]:5555'), /ipv6: false/);
  await assert.rejects(four.bind('tcp://[::1]:*'), /ipv6: false/);
  assert.match(await four.bind('tcp://*:*'), /^tcp:\/\/0\.0\.0\.0:/);
});

test('endpoints and options that are wrong are refused with what to try', async (t) => {
  const dealer = watchedSocket(t, 'dealer');
  const isEndpoint = (error: unknown): boolean => error instanceof ZmtpError && error.code === 'ENDPOINT';
  for (const text of [
    '127.0.0.1:1',
    'udp://x:1',
    'tcp://x',
    'tcp://x:99999',
    'tcp://:1',
    'tcp://::1:5',
    'ipc://',
    `ipc:///${'x'.repeat(200)}`,
    'tcp://x:1/y',
  ]) {
    await assert.rejects(dealer.bind(text), isEndpoint, text);
    assert.throws(() => dealer.connect(text), isEndpoint, text);
  }
  for (const text of ['tcp://*:5', 'tcp://127.0.0.1:*', 'tcp://127.0.0.1:0'])
    assert.throws(() => dealer.connect(text), isEndpoint, text);
  assert.throws(
    () =>
      createSocket({
        type: 'dealer',
        identity: '',
        highWaterMark: -1,
        lingerMs: Number.NaN,
        limits: { frameBytes: 0 },
      }),
    (error) =>
      error instanceof ZmtpError &&
      ['identity', 'highWaterMark', 'lingerMs', 'frameBytes'].every((word) => error.message.includes(word)),
  );
  assert.throws(() => createSocket({ type: 'dealer', identity: Buffer.from([0, 1]) }), /zero byte/);
  assert.throws(() => createSocket({ type: 'dealer', leaves: 'later' as 'soon' }), /leaves must be soon or gathered/);
  assert.throws(() => dealer.send([]), /at least one frame/);
});

test('a random port is chosen from a range whose end is exclusive', async (t) => {
  const first = watchedSocket(t, 'router');
  const port = Number((await first.bind(local)).split(':').at(-1));
  const second = watchedSocket(t, 'router');
  const isTaken = (error: unknown): boolean =>
    error instanceof ZmtpError && error.code === 'BIND' && /in 5 tries/.test(error.message);
  await assert.rejects(bindToRandomPort(second, 'tcp://127.0.0.1', { min: port, max: port + 1, tries: 5 }), isTaken);
  assert.match(await bindToRandomPort(second, 'tcp://127.0.0.1', { min: 40_000, max: 60_000 }), /:[45]\d{4}$/);
  await assert.rejects(bindToRandomPort(second, 'tcp://127.0.0.1', { min: 5, max: 5 }), /no port/);
  await assert.rejects(bindToRandomPort(second, 'tcp://192.0.2.1', { min: 40_000, max: 60_000 }), /Cannot listen/);
});

test('a handler that throws loses none of the messages behind', async (t) => {
  const router = watchedSocket(t, 'router', {
    answer: ({ frames: [frame] }) => {
      if (String(frame) === '3') throw new Error('mistake of the handler');
    },
  });
  const dealer = watchedSocket(t, 'dealer');
  dealer.connect(await router.bind(local));
  // The test runner listens too, and would call the mistake a failure of this test.
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  t.after(() => listeners.forEach((listener) => void process.on('uncaughtException', listener)));
  const thrown = new Promise<Error>((resolve) => process.once('uncaughtException', resolve));
  for (let index = 0; index < 6; index++) dealer.send(frames(String(index)));
  await router.seen.messages.take(6);
  assert.match((await thrown).message, /mistake/);
});

test('a socket is told when all that came at once was handed over, also behind a handler that throws', async (t) => {
  const told: string[] = [];
  const router = watchedSocket(t, 'router', {
    answer: ({ frames: [frame] }) => {
      told.push(String(frame));
      if (String(frame) === '2') throw new Error('mistake of the handler');
    },
    onRead: () => {
      told.push('all');
      router.send('dealer', frames(told.join(' ')));
      told.length = 0;
    },
  });
  const dealer = watchedSocket(t, 'dealer', { identity: 'dealer' });
  dealer.connect(await router.bind(local));
  await dealer.seen.joined.next();
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  t.after(() => listeners.forEach((listener) => void process.on('uncaughtException', listener)));
  const thrown = new Promise<Error>((resolve) => process.once('uncaughtException', resolve));
  for (let index = 0; index < 3; index++) dealer.send(frames(String(index)));
  const { frames: answer } = await dealer.seen.messages.next();
  assert.equal(String(answer[0]), '0 1 2 all');
  assert.match((await thrown).message, /mistake/);
  for (let index = 3; index < 6; index++) dealer.send(frames(String(index)));
  const { frames: second } = await dealer.seen.messages.next();
  assert.equal(String(second[0]), '3 4 5 all');
});

test('a peer that does not say goodbye holds up the closing only as long as the socket allows', async (t) => {
  const asked: number[] = [];
  const clock: Clock = {
    now: () => systemClock.now(),
    after: (ms, action, keepAlive) => {
      asked.push(ms);
      return systemClock.after(ms, action, keepAlive);
    },
  };
  const router = watchedSocket(t, 'router', { clock });
  const dealer = watchedSocket(t, 'dealer', { identity: 'dealer' });
  dealer.connect(await router.bind(local));
  await router.seen.joined.next();
  await dealer.seen.joined.next();
  dealer.pause();
  router.send('dealer', frames('the last word'));
  asked.length = 0;
  await router.close({ lingerMs: 5_000, goodbyeMs: 7 });
  assert.ok(asked.includes(7), `${asked}`);
  assert.ok(!asked.includes(100), `${asked}`);
  dealer.resume();
  assert.equal(String((await dealer.seen.messages.next()).frames[0]), 'the last word');
});

test('signs of life do not cut a goodbye short', async (t) => {
  const clock = new FakeClock();
  const router = watchedSocket(t, 'router', { clock, heartbeat: { intervalMs: 10, timeoutMs: 10 } });
  const dealer = watchedSocket(t, 'dealer', { identity: 'dealer' });
  dealer.connect(await router.bind(local));
  await router.seen.joined.next();
  await dealer.seen.joined.next();
  dealer.pause();
  router.send('dealer', frames('the last word'));
  let isClosed = false;
  const closed = router.close({ lingerMs: 5_000, goodbyeMs: 100 }).then(() => {
    isClosed = true;
  });
  while (router.counters.sent === 0) await new Promise(setImmediate);
  for (let passed = 0; passed < 99; passed++) {
    await new Promise(setImmediate);
    clock.advance(1);
  }
  await new Promise(setImmediate);
  assert.ok(!isClosed);
  clock.advance(1);
  await closed;
});

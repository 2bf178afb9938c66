// A message that is always the same is answered within the read; everything that is not just that goes the usual way.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createSocket, type Peer, ZmtpError } from '#src/wire/zmtp/socket.js';
import { frames, securities, texts, watchedSocket } from '../support/zmtp.ts';

const local = 'tcp://127.0.0.1:*';

test('the message is answered and not handed over, others are handed over', async (t) => {
  const asked: Peer[] = [];
  const isAnswered = (peer: Peer): boolean => asked.push(peer) > 0;
  const router = watchedSocket(t, 'router', {
    reflex: { message: frames('are you', 'there'), answer: frames('yes'), isAnswered },
  });
  const dealer = watchedSocket(t, 'dealer', { identity: 'me' });
  dealer.connect(await router.bind(local));
  await router.seen.joined.next();
  for (let round = 0; round < 3; round++) {
    dealer.send(frames('are you', 'there'));
    assert.deepEqual(texts(await dealer.seen.messages.next()), ['yes']);
  }
  dealer.send(frames('are you', 'here'));
  assert.deepEqual(texts(await router.seen.messages.next()), ['are you', 'here']);
  assert.deepEqual(
    asked.map(({ identity }) => String(identity)),
    ['me', 'me', 'me'],
  );
  assert.deepEqual([router.counters.received, router.counters.sent], [4, 3]);
});

test('who is not to be answered is handed over', async (t) => {
  const router = watchedSocket(t, 'router', {
    reflex: { message: frames('?'), answer: frames('!'), isAnswered: () => false },
    answer: ({ peer }) => router.send(peer, frames('who are you')),
  });
  const dealer = watchedSocket(t, 'dealer');
  dealer.connect(await router.bind(local));
  dealer.send(frames('?'));
  assert.deepEqual(texts(await dealer.seen.messages.next()), ['who are you']);
  assert.equal(router.seen.messages.all.length, 1);
});

test('one that comes with others, in pieces, or in a box is handed over in its place', async (t) => {
  for (const security of await securities(t)) {
    const router = watchedSocket(t, 'router', {
      mechanism: security.server,
      reflex: { message: frames('?'), answer: frames('by reflex'), isAnswered: () => true },
      answer: ({ peer }) => router.send(peer, frames('by hand')),
    });
    const dealer = watchedSocket(t, 'dealer', { mechanism: security.client, leaves: 'gathered' });
    dealer.connect(await router.bind(local));
    await router.seen.joined.next();
    for (const text of ['?', 'x', '?']) dealer.send(frames(text));
    assert.deepEqual((await router.seen.messages.take(3)).flatMap(texts), ['?', 'x', '?']);
    if (security.name === 'CURVE') continue;
    const endpoint = await router.bind(local);
    const stream = connect(Number(endpoint.split(':').pop()), '127.0.0.1');
    t.after(() => stream.destroy());
    // Greeting of ZMTP 3.1 with NULL, and READY of a DEALER without a name; then the message, cut in two.
    const greeting = Buffer.alloc(64);
    greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 1]);
    greeting.write('NULL', 12);
    const ready = Buffer.from('\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER', 'latin1');
    stream.write(Buffer.concat([greeting, Buffer.from([4, ready.length]), ready]));
    await router.seen.joined.next();
    stream.write(Buffer.from([0, 1]));
    setImmediate(() => stream.write('?'));
    assert.deepEqual(texts(await router.seen.messages.next()), ['?']);
  }
});

test('answers wait behind what the peer has not taken yet, and none is lost', async (t) => {
  const router = watchedSocket(t, 'router', {
    highWaterMark: 0,
    reflex: { message: frames('?'), answer: frames('!'), isAnswered: () => true },
    answer: ({ peer }) => router.send(peer, frames('!')),
  });
  const dealer = watchedSocket(t, 'dealer', { identity: 'slow', highWaterMark: 0 });
  dealer.connect(await router.bind(local));
  await router.seen.joined.next();
  dealer.pause();
  const large = Buffer.alloc(20_000_000, 7);
  router.send('slow', [large]);
  for (let round = 0; round < 100; round++) {
    dealer.send(frames('?'));
    await new Promise(setImmediate);
  }
  dealer.resume();
  const [first, ...rest] = await dealer.seen.messages.take(101, 'all answers', 60_000);
  assert.equal(first?.frames[0]?.length, large.length);
  assert.ok(rest.every((message) => texts(message).join() === '!'));
});

test('who sends something when asked whether it is answered has that sent, too, and first', async (t) => {
  const router = watchedSocket(t, 'router', {
    reflex: {
      message: frames('?'),
      answer: frames('!'),
      isAnswered: (peer): boolean => router.send(peer, frames('before')),
    },
  });
  const dealer = watchedSocket(t, 'dealer');
  dealer.connect(await router.bind(local));
  await router.seen.joined.next();
  dealer.send(frames('?'));
  assert.deepEqual((await dealer.seen.messages.take(2)).flatMap(texts), ['before', '!']);
  assert.equal(router.queued(router.peers[0] as Peer), 0);
});

test('sockets that count or order what they send have no reflex', () => {
  const reflex = { message: frames('?'), answer: frames('!'), isAnswered: () => true };
  for (const type of ['dealer', 'req', 'rep'] as const)
    assert.throws(
      () => createSocket({ type, reflex } as Parameters<typeof createSocket>[0]),
      (error: unknown) => error instanceof ZmtpError && error.code === 'OPTIONS' && /reflex/.test(error.message),
    );
});

test('a reflex without frames is refused', () => {
  assert.throws(
    () => createSocket({ type: 'router', reflex: { message: [], answer: frames('!'), isAnswered: () => true } }),
    (error: unknown) => error instanceof ZmtpError && error.code === 'OPTIONS' && /reflex/.test(error.message),
  );
});

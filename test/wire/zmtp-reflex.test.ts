// A message that is always the same is answered within the read; everything that is not just that goes the usual way.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Answers } from '#src/wire/zmtp/reflex.js';
import { createSocket, type Peer, ZmtpError } from '#src/wire/zmtp/socket.js';
import { FakeClock } from '../support/clock.ts';
import { Happenings } from '../support/happenings.ts';
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

/** A ROUTER whose answers may wait for a second, three peers, and a clock that stands still. */
async function crowd(t: TestContext) {
  const clock = new FakeClock();
  const asked = new Happenings<string>();
  const isAnswered = ({ key }: Peer): boolean => {
    asked.push(key);
    return true;
  };
  const reflex = { message: frames('?'), answer: frames('!'), isAnswered, answersWithinMs: 1_000 };
  const router = watchedSocket(t, 'router', { clock, reflex });
  const endpoint = await router.bind(local);
  const peers = ['anna', 'bert', 'cleo'].map((identity) => watchedSocket(t, 'dealer', { identity, lingerMs: 0 }));
  for (const peer of peers) peer.connect(endpoint);
  await router.seen.joined.take(3);
  const [anna, bert, cleo] = peers as [(typeof peers)[0], (typeof peers)[0], (typeof peers)[0]];
  const ask = async (peer: (typeof peers)[0], times = 1): Promise<void> => {
    for (let time = 0; time < times; time++) {
      peer.send(frames('?'));
      await asked.next();
    }
  };
  return { clock, router, anna, bert, cleo, ask };
}

test('answers to messages that come thick are given together, within the time that they may wait', async (t) => {
  const { clock, router, anna, bert, cleo, ask } = await crowd(t);
  await ask(anna, 16);
  assert.equal((await anna.seen.messages.take(16)).length, 16, 'these are not thick');
  await ask(bert);
  clock.advance(50);
  await ask(cleo);
  clock.advance(949);
  for (const peer of ['bert', 'cleo']) router.send(peer, frames('before'));
  for (const peer of [bert, cleo]) assert.deepEqual(texts(await peer.seen.messages.next()), ['before']);
  clock.advance(1);
  for (const peer of [bert, cleo]) assert.deepEqual(texts(await peer.seen.messages.next()), ['!']);
  assert.deepEqual([router.counters.received, router.counters.sent], [18, 20]);
});

test('answers to messages that come now and then, or several at once now and then, do not wait', async (t) => {
  const { clock, anna, bert, ask } = await crowd(t);
  for (let round = 0; round < 40; round++) {
    await ask(anna);
    assert.deepEqual(texts(await anna.seen.messages.next()), ['!']);
    clock.advance(63);
  }
  clock.advance(1_000);
  for (let round = 0; round < 3; round++) {
    for (const peer of [anna, bert]) await ask(peer, 8);
    for (const peer of [anna, bert]) assert.equal((await peer.seen.messages.take(8)).length, 8);
    clock.advance(1_000);
  }
});

test('once messages have stopped coming thick answers no longer wait', async (t) => {
  const { clock, anna, bert, ask } = await crowd(t);
  await ask(anna, 40);
  clock.advance(1_100);
  await anna.seen.messages.take(40);
  await ask(bert);
  assert.deepEqual(texts(await bert.seen.messages.next()), ['!']);
});

test('64 answers wait for nothing more', async (t) => {
  const { clock, router, anna, ask } = await crowd(t);
  await ask(anna, 16 + 63);
  assert.equal(router.counters.sent, 16);
  await ask(anna);
  await anna.seen.messages.take(80);
  assert.equal(router.counters.sent, 80);
  assert.equal(clock.waiting, 0);
});

test('a peer that leaves before its answer changes nothing for the others', async (t) => {
  const { clock, router, anna, bert, cleo, ask } = await crowd(t);
  await ask(anna, 16);
  for (const peer of [bert, cleo]) await ask(peer);
  await bert.close();
  await router.seen.left.next();
  clock.advance(1_000);
  assert.deepEqual(texts(await cleo.seen.messages.next()), ['!']);
  assert.deepEqual([router.counters.sent, router.counters.lost], [17, 0]);
});

test('a closed socket gives no answers and has no timer', async (t) => {
  const { clock, router, anna, bert, ask } = await crowd(t);
  await ask(anna, 16);
  await ask(bert);
  await router.close();
  assert.equal(clock.waiting, 0);
  assert.equal(router.counters.sent, 16);
});

test('a clock that is set back or forward makes no answer wait for longer', async (t) => {
  const { clock, anna, bert, cleo, ask } = await crowd(t);
  await ask(anna, 16);
  clock.time -= 3_600_000;
  await ask(bert);
  clock.advance(1_000);
  assert.deepEqual(texts(await bert.seen.messages.next()), ['!']);
  clock.time += 7_200_000;
  await ask(cleo);
  assert.deepEqual(texts(await cleo.seen.messages.next()), ['!']);
});

test('one whose answer fails takes no answer from the others', () => {
  const clock = new FakeClock();
  const answers = new Answers(1_000, clock);
  const given: string[] = [];
  const peer = (name: string) => ({ answerReflex: () => void given.push(name) });
  const failing = {
    answerReflex: (): void => {
      throw new Error('the handler of somebody');
    },
  };
  for (let count = 0; count < 16; count++) answers.answer(peer('at once'));
  for (const each of [peer('a'), failing, peer('b')]) answers.answer(each);
  assert.throws(() => clock.advance(1_000), /the handler of somebody/);
  assert.deepEqual(given.slice(16), ['a']);
  clock.advance(0);
  assert.deepEqual(given.slice(16), ['a', 'b']);
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

test('a time that is none for answers to wait is refused', () => {
  for (const answersWithinMs of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    const reflex = { message: frames('?'), answer: frames('!'), isAnswered: () => true, answersWithinMs };
    assert.throws(
      () => createSocket({ type: 'router', reflex }),
      (error: unknown) =>
        error instanceof ZmtpError && /reflex\.answersWithinMs must be a whole number from 0/.test(error.message),
    );
  }
});

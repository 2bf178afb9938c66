// REQ and REP: lock-step, envelopes, and requests that are not answered.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ZmtpError, type ZmtpErrorCode } from '#src/wire/zmtp/socket.js';
import { Happenings, within } from '../support/happenings.ts';
import { frames, securities, texts, watchedSocket } from '../support/zmtp.ts';

const local = 'tcp://127.0.0.1:*';
const quick = { reconnect: { minMs: 5, maxMs: 20 } };
const withCode = (code: ZmtpErrorCode) => (error: unknown) => error instanceof ZmtpError && error.code === code;

test('requests are answered one after the other, whoever binds, with NULL and with CURVE', async (t) => {
  for (const security of await securities(t)) {
    for (const asksBinds of [true, false]) {
      // As between submit side and interchange: the one that asks may bind and still be the CURVE client.
      const rep = watchedSocket(t, 'rep', {
        mechanism: security.server,
        answer: (message) => void rep.send([Buffer.from('re:'), ...message.frames]),
      });
      const req = watchedSocket(t, 'req', { mechanism: security.client });
      if (asksBinds) rep.connect(await req.bind(local));
      else req.connect(await rep.bind(local));
      const replies = await Promise.all(
        ['a', 'b', 'c'].map((text) => req.request(frames(text, ''), { timeoutMs: 20_000 })),
      );
      assert.deepEqual(replies.map(texts), [
        ['re:', 'a', ''],
        ['re:', 'b', ''],
        ['re:', 'c', ''],
      ]);
      await req.close();
      await rep.close();
    }
  }
});

test('a REP takes the next request only after its reply, from whomever it is', async (t) => {
  const rep = watchedSocket(t, 'rep');
  const endpoint = await rep.bind(local);
  const askers = Array.from({ length: 5 }, () => watchedSocket(t, 'req'));
  for (const asker of askers) asker.connect(endpoint);
  const replies = askers.flatMap((asker, index) => [
    asker.request(frames(`${index}`)),
    asker.request(frames(`${index}'`)),
  ]);
  for (let served = 1; served <= 10; served++) {
    const message = await rep.seen.messages.next();
    await new Promise(setImmediate);
    assert.equal(rep.seen.messages.all.length, served);
    assert.ok(rep.send([Buffer.from('re '), ...message.frames]));
    assert.equal(rep.send(frames('twice')), false);
    assert.equal(rep.refusal, 'no request');
  }
  for (const [index, reply] of (await Promise.all(replies)).entries()) {
    assert.deepEqual(texts(reply), ['re ', `${Math.floor(index / 2)}${index % 2 === 0 ? '' : "'"}`]);
  }
});

test('a DEALER may ask a REP with an envelope, and a ROUTER may answer a REQ', async (t) => {
  const rep = watchedSocket(t, 'rep', { answer: (message) => void rep.send(message.frames) });
  const dealer = watchedSocket(t, 'dealer');
  dealer.connect(await rep.bind(local));
  dealer.send(frames('tag', '', 'question'));
  assert.deepEqual(texts(await dealer.seen.messages.next()), ['tag', '', 'question']);
  const router = watchedSocket(t, 'router', { answer: (message) => void router.send(message.peer, message.frames) });
  const req = watchedSocket(t, 'req');
  req.connect(await router.bind(local));
  assert.deepEqual(texts(await req.request(frames('hello'))), ['hello']);
  assert.deepEqual(texts(await router.seen.messages.next()), ['', 'hello']);
});

test('a request that was given up while it waited for its turn is not served', async (t) => {
  const rep = watchedSocket(t, 'rep');
  const endpoint = await rep.bind(local);
  const [first, hasty, last] = ['first', 'hasty', 'last'].map((identity) => watchedSocket(t, 'req', { identity }));
  for (const asker of [first!, hasty!, last!]) {
    asker.connect(endpoint);
    await asker.seen.joined.next();
  }
  const answered = first!.request(frames('1'));
  assert.deepEqual(texts(await rep.seen.messages.next()), ['1']);
  const controller = new AbortController();
  const givenUp = assert.rejects(hasty!.request(frames('2'), { signal: controller.signal }));
  // It leaves with this turn.
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  controller.abort();
  await givenUp;
  assert.equal((await rep.seen.left.next()).peer.key, 'hasty');
  const answeredLast = last!.request(frames('3'));
  assert.ok(rep.send(frames('re 1')));
  assert.deepEqual(texts(await answered), ['re 1']);
  assert.deepEqual(texts(await rep.seen.messages.next()), ['3']);
  assert.ok(rep.send(frames('re 3')));
  assert.deepEqual(texts(await answeredLast), ['re 3']);
});

test('a request without envelope costs its sender the connection and nobody else', async (t) => {
  const rep = watchedSocket(t, 'rep', { answer: (message) => void rep.send(message.frames) });
  const endpoint = await rep.bind(local);
  const rude = watchedSocket(t, 'dealer', quick);
  rude.connect(endpoint);
  for (const bad of [frames('no delimiter'), frames('tag', '')]) {
    rude.send(bad);
    assert.equal((await rep.seen.left.next()).failure.code, 'protocol');
    await rude.seen.left.next();
  }
  const req = watchedSocket(t, 'req');
  req.connect(endpoint);
  assert.deepEqual(texts(await req.request(frames('still here'))), ['still here']);
});

test('a request that times out gives up its connection, and the socket serves the next one', async (t) => {
  for (const asksBinds of [true, false]) {
    const slow = new Happenings<() => void>();
    const rep = watchedSocket(t, 'rep', {
      ...quick,
      answer: (message) => slow.push(() => rep.send([Buffer.from('late'), ...message.frames])),
    });
    const req = watchedSocket(t, 'req', quick);
    if (asksBinds) rep.connect(await req.bind(local));
    else req.connect(await rep.bind(local));
    const first = req.request(frames('first'), { timeoutMs: 300 });
    const second = req.request(frames('second'), { timeoutMs: 20_000 });
    const answerFirst = await slow.next();
    await assert.rejects(first, withCode('REQUEST_TIMEOUT'));
    await rep.seen.left.next('the abandoned connection to end');
    answerFirst();
    assert.equal(rep.refusal, 'unknown peer');
    (await slow.next('the second request'))();
    assert.deepEqual(texts(await second), ['late', 'second']);
  }
});

test('a request that was never sent can time out, be aborted, or end with the socket', async (t) => {
  const req = watchedSocket(t, 'req', { highWaterMark: 2 });
  await req.bind(local);
  await assert.rejects(
    req.request(frames('x'), { timeoutMs: 5 }),
    (error) => withCode('REQUEST_TIMEOUT')(error) && /no peer was connected/.test(String(error)),
  );
  const stop = new AbortController();
  const aborted = req.request(frames('x'), { signal: stop.signal });
  stop.abort();
  await assert.rejects(aborted, withCode('REQUEST_ABORTED'));
  await assert.rejects(req.request(frames('x'), { signal: stop.signal }), withCode('REQUEST_ABORTED'));
  const waiting = [req.request(frames('x')), req.request(frames('y'))].map((request) =>
    assert.rejects(request, withCode('CLOSED')),
  );
  await assert.rejects(req.request(frames('z')), withCode('OPTIONS'));
  await req.close();
  await Promise.all(waiting);
  await assert.rejects(req.request(frames('x')), withCode('CLOSED'));
});

test('a request whose connection breaks is told so, and the next one finds the new peer', async (t) => {
  const rep = watchedSocket(t, 'rep');
  const endpoint = await rep.bind(local);
  const req = watchedSocket(t, 'req', quick);
  req.connect(endpoint);
  const lost = assert.rejects(req.request(frames('x')), withCode('REQUEST_LOST'));
  await rep.seen.messages.next();
  await rep.close();
  await within(lost, 'the loss to be told');
  const next = req.request(frames('y'));
  const heir = watchedSocket(t, 'rep', { answer: (message) => void heir.send(message.frames) });
  await heir.bind(endpoint);
  assert.deepEqual(texts(await next), ['y']);
});

test('a reply that nobody asked for costs its sender the connection', async (t) => {
  const req = watchedSocket(t, 'req');
  const router = watchedSocket(t, 'router');
  const endpoint = await req.bind(local);
  router.connect(endpoint);
  router.send((await router.seen.joined.next()).key, frames('', 'surprise'));
  assert.equal((await req.seen.left.next()).failure.code, 'protocol');
});

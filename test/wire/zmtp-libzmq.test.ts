// Against libzmq, through zeromq.js and through pyzmq: every role, either side binding, either side the CURVE server.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { encodeCommand, encodeMetadata } from '#src/wire/zmtp/commands.js';
import { encodeFrame } from '#src/wire/zmtp/frames.js';
import { encodeGreeting } from '#src/wire/zmtp/greeting.js';
import { type ForeignLibrary, type ForeignSocket, type ForeignType, Pyzmq, zeromqJs } from '../support/foreignZmq.ts';
import { frames, type Security, securities, texts, watchedSocket } from '../support/zmtp.ts';

const local = 'tcp://127.0.0.1:*';
const question = [
  Buffer.from('q'),
  Buffer.alloc(0),
  Buffer.alloc(255, 1),
  Buffer.alloc(256, 2),
  Buffer.alloc(70_000, 3),
];
const answer = [Buffer.from('a'), Buffer.alloc(9_000, 4), Buffer.alloc(1, 5)];
const empty = Buffer.alloc(0);

interface Case {
  readonly weBind: boolean;
  readonly weServe: boolean;
  readonly security: Security;
  readonly library: ForeignLibrary;
}

type Ours = 'dealer' | 'router' | 'req' | 'rep';

/** Our socket and theirs, connected to one another. */
async function pair<Type extends Ours>(
  t: TestContext,
  { weBind, weServe, security, library }: Case,
  type: Type,
  theirType: ForeignType,
) {
  const mechanism = weServe ? security.server : security.client;
  const own = watchedSocket(t, type, { mechanism, ...(type === 'rep' ? {} : { identity: 'ours' }) });
  const open = (at: { bind: string } | { connect: string }): Promise<ForeignSocket> =>
    library.open({ type: theirType, identity: 'theirs', at, security, role: weServe ? 'client' : 'server' });
  let theirs: ForeignSocket;
  if (weBind) theirs = await open({ connect: await own.bind(local) });
  else {
    theirs = await open({ bind: local });
    own.connect(theirs.endpoint);
  }
  return { own, theirs };
}

/** Each asks or answers in the way of its type; both directions are checked byte by byte. */
const conversations: Record<string, (t: TestContext, one: Case) => Promise<void>> = {
  async 'DEALER asks ROUTER'(t, one) {
    const { own, theirs } = await pair(t, one, 'dealer', 'ROUTER');
    own.send(question);
    assert.deepEqual(await theirs.receive(), [Buffer.from('ours'), ...question]);
    await theirs.send([Buffer.from('ours'), ...answer]);
    assert.deepEqual((await own.seen.messages.next()).frames, answer);
    await theirs.close();
    await own.close();
  },
  async 'DEALER asks DEALER'(t, one) {
    const { own, theirs } = await pair(t, one, 'dealer', 'DEALER');
    own.send(question);
    assert.deepEqual(await theirs.receive(), question);
    await theirs.send(answer);
    assert.deepEqual((await own.seen.messages.next()).frames, answer);
    await theirs.close();
    await own.close();
  },
  async 'DEALER asks REP'(t, one) {
    const { own, theirs } = await pair(t, one, 'dealer', 'REP');
    own.send([Buffer.from('tag'), empty, ...question]);
    assert.deepEqual(await theirs.receive(), question);
    await theirs.send(answer);
    assert.deepEqual((await own.seen.messages.next()).frames, [Buffer.from('tag'), empty, ...answer]);
    await theirs.close();
    await own.close();
  },
  async 'ROUTER answers DEALER'(t, one) {
    const { own, theirs } = await pair(t, one, 'router', 'DEALER');
    await theirs.send(question);
    const { frames, peer } = await own.seen.messages.next();
    assert.deepEqual(frames, question);
    assert.deepEqual([peer.key, peer.socketType], ['theirs', 'DEALER']);
    if (one.security.keys) assert.equal(peer.publicKey, one.security.keys[one.weServe ? 'client' : 'server'].publicKey);
    own.send(peer, answer);
    assert.deepEqual(await theirs.receive(), answer);
    await theirs.close();
    await own.close();
  },
  async 'ROUTER speaks with ROUTER'(t, one) {
    const { own, theirs } = await pair(t, one, 'router', 'ROUTER');
    assert.equal((await own.seen.joined.next()).key, 'theirs');
    own.send('theirs', question);
    assert.deepEqual(await theirs.receive(), [Buffer.from('ours'), ...question]);
    await theirs.send([Buffer.from('ours'), ...answer]);
    assert.deepEqual((await own.seen.messages.next()).frames, answer);
    await theirs.close();
    await own.close();
  },
  async 'ROUTER answers REQ'(t, one) {
    const { own, theirs } = await pair(t, one, 'router', 'REQ');
    await theirs.send(question);
    const { frames, peer } = await own.seen.messages.next();
    assert.deepEqual(frames, [empty, ...question]);
    own.send(peer, [empty, ...answer]);
    assert.deepEqual(await theirs.receive(), answer);
    await theirs.close();
    await own.close();
  },
  async 'REQ asks REP'(t, one) {
    const { own, theirs } = await pair(t, one, 'req', 'REP');
    for (let round = 0; round < 3; round++) {
      const reply = own.request(question, { timeoutMs: 20_000 });
      assert.deepEqual(await theirs.receive(), question);
      await theirs.send(answer);
      assert.deepEqual(await reply, answer);
    }
    await theirs.close();
    await own.close();
  },
  async 'REQ asks ROUTER'(t, one) {
    const { own, theirs } = await pair(t, one, 'req', 'ROUTER');
    const reply = own.request(question, { timeoutMs: 20_000 });
    const [identity, ...rest] = await theirs.receive();
    assert.deepEqual(rest, [empty, ...question]);
    await theirs.send([identity!, empty, ...answer]);
    assert.deepEqual(await reply, answer);
    await theirs.close();
    await own.close();
  },
  async 'REP answers REQ'(t, one) {
    const { own, theirs } = await pair(t, one, 'rep', 'REQ');
    for (let round = 0; round < 3; round++) {
      await theirs.send(question);
      assert.deepEqual((await own.seen.messages.next()).frames, question);
      assert.ok(own.send(answer));
      assert.deepEqual(await theirs.receive(), answer);
    }
    await theirs.close();
    await own.close();
  },
  async 'REP answers DEALER'(t, one) {
    const { own, theirs } = await pair(t, one, 'rep', 'DEALER');
    await theirs.send([empty, ...question]);
    assert.deepEqual((await own.seen.messages.next()).frames, question);
    own.send(answer);
    assert.deepEqual(await theirs.receive(), [empty, ...answer]);
    await theirs.close();
    await own.close();
  },
};

async function everyWay(t: TestContext, library: ForeignLibrary): Promise<void> {
  for (const security of await securities(t)) {
    for (const [name, converse] of Object.entries(conversations)) {
      for (const weBind of [true, false]) {
        for (const weServe of security.name === 'NULL' ? [true] : [true, false]) {
          const title = `${name}; ${security.name}, ${weBind ? 'we bind' : 'they bind'}${security.name === 'NULL' ? '' : weServe ? ', we serve' : ', they serve'}`;
          await t.test(title, (inner) => converse(inner, { weBind, weServe, security, library }));
        }
      }
    }
  }
}

test('every role and mechanism works with zeromq.js', (t) => everyWay(t, zeromqJs));

test('every role and mechanism works with pyzmq', async (t) => {
  const library = await Pyzmq.start(t);
  if (library !== undefined) await everyWay(t, library);
});

test('libzmq is reached over unix sockets and over IPv6', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'chervil-ipc-'));
  t.after(() => rm(folder, { recursive: true }));
  const [security] = await securities(t);
  for (const endpoint of [`ipc://${folder}/ours`, 'tcp://[::1]:*']) {
    const router = watchedSocket(t, 'router', { answer: (message) => void router.send(message.peer, message.frames) });
    const theirs = await zeromqJs.open({
      type: 'DEALER',
      at: { connect: await router.bind(endpoint) },
      security,
      role: 'client',
    });
    await theirs.send(frames('hello'));
    assert.deepEqual(texts(await theirs.receive()), ['hello']);
    await theirs.close();
  }
  for (const endpoint of [`ipc://${folder}/theirs`, 'tcp://[::1]:*']) {
    const theirs = await zeromqJs.open({ type: 'DEALER', at: { bind: endpoint }, security, role: 'client' });
    const dealer = watchedSocket(t, 'dealer');
    dealer.connect(theirs.endpoint);
    dealer.send(frames('hello'));
    assert.deepEqual(texts(await theirs.receive()), ['hello']);
    await theirs.close();
    await dealer.close();
  }
});

test('100,000 messages from and to pyzmq arrive in order, with NULL and with CURVE', async (t) => {
  const python = await Pyzmq.start(t);
  if (python === undefined) return;
  const count = 100_000;
  for (const security of await securities(t)) {
    let inOrder = 0;
    const router = watchedSocket(t, 'router', {
      mechanism: security.server,
      highWaterMark: 0,
      answer({ frames: [frame] }) {
        if (frame!.readUInt32BE(0) === inOrder) inOrder++;
      },
    });
    const at = { connect: await router.bind(local) };
    const theirs = await python.open({
      type: 'DEALER',
      identity: 'py',
      at,
      security,
      role: 'client',
      options: { SNDHWM: 0, RCVHWM: 0 },
    });
    const flood = python.order({ do: 'flood', socket: theirs.id, count, bytes: 100 });
    await router.seen.messages.take(count, 'the flood', 60_000);
    await flood;
    assert.equal(inOrder, count);
    for (let index = 0; index < count; index++) {
      const frame = Buffer.alloc(104);
      frame.writeUInt32BE(index);
      assert.ok(router.send('py', [frame]));
    }
    assert.equal(await python.order({ do: 'drain', socket: theirs.id, count }), count);
    await theirs.close();
    await router.close();
  }
});

test('64 MB go to pyzmq and back', async (t) => {
  const python = await Pyzmq.start(t);
  if (python === undefined) return;
  for (const security of await securities(t)) {
    const dealer = watchedSocket(t, 'dealer', { mechanism: security.client });
    const theirs = await python.open({ type: 'DEALER', at: { bind: local }, security, role: 'server' });
    dealer.connect(theirs.endpoint);
    const large = Buffer.alloc(64 * 2 ** 20 - 4, 'large');
    dealer.send([Buffer.concat([Buffer.alloc(4), large])]);
    assert.equal(await python.order({ do: 'drain', socket: theirs.id, count: 1 }), 1);
    const flood = python.order({ do: 'flood', socket: theirs.id, count: 1, bytes: large.length });
    assert.equal((await dealer.seen.messages.next('the large message', 60_000)).frames[0]?.length, large.length + 4);
    await flood;
    await dealer.close();
  }
});

test('heartbeats of libzmq are answered, and it answers ours', async (t) => {
  const python = await Pyzmq.start(t);
  if (python === undefined) return;
  for (const security of await securities(t)) {
    const router = watchedSocket(t, 'router', {
      mechanism: security.server,
      heartbeat: { intervalMs: 30, timeoutMs: 5_000, ttlMs: 5_000 },
    });
    const silent = watchedSocket(t, 'router', { heartbeat: { intervalMs: 100 } });
    const options = { HEARTBEAT_IVL: 40, HEARTBEAT_TIMEOUT: 5_000, HEARTBEAT_TTL: 5_000 };
    const theirs = await python.open({
      type: 'DEALER',
      identity: 'py',
      at: { connect: await router.bind(local) },
      security,
      role: 'client',
      options,
    });
    await router.seen.joined.next();
    // Time passes until a peer that answers nothing has been given up, which takes several of the heartbeats above.
    const mute = connect(Number((await silent.bind(local)).split(':').at(-1)), '127.0.0.1');
    t.after(() => mute.destroy());
    mute
      .resume()
      .write(
        Buffer.concat([
          encodeGreeting('NULL', false),
          encodeFrame(4, encodeCommand('READY', encodeMetadata('DEALER', Buffer.alloc(0)))),
        ]),
      );
    assert.equal((await silent.seen.left.next()).failure.code, 'silent');
    assert.deepEqual(router.seen.left.all, []);
    await theirs.send(frames('alive'));
    assert.deepEqual(texts(await router.seen.messages.next()), ['alive']);
    await theirs.close();
  }
});

test('a pyzmq peer that is killed and started again is found again, in both directions', async (t) => {
  const [security] = await securities(t);
  const first = await Pyzmq.start(t);
  if (first === undefined) return;
  const bound = await first.open({ type: 'DEALER', at: { bind: local }, security, role: 'server' });
  const dealer = watchedSocket(t, 'dealer', { reconnect: { minMs: 10, maxMs: 50 } });
  dealer.connect(bound.endpoint);
  const router = watchedSocket(t, 'router');
  const endpoint = await router.bind(local);
  const asker = await first.open({
    type: 'DEALER',
    identity: 'py',
    at: { connect: endpoint },
    security,
    role: 'client',
  });
  dealer.send(frames('one'));
  await asker.send(frames('from the first'));
  assert.deepEqual(texts(await bound.receive()), ['one']);
  await router.seen.messages.next();
  await first.kill();
  await dealer.seen.left.next();
  await router.seen.left.next();
  assert.equal(router.send('py', frames('x')), false);
  dealer.send(frames('two'));
  const second = await Pyzmq.start(t);
  const again = await second!.open({ type: 'DEALER', at: { bind: bound.endpoint }, security, role: 'server' });
  assert.deepEqual(texts(await again.receive()), ['two']);
  const askerAgain = await second!.open({
    type: 'DEALER',
    identity: 'py',
    at: { connect: endpoint },
    security,
    role: 'client',
  });
  await askerAgain.send(frames('from the second'));
  assert.equal((await router.seen.messages.next()).peer.key, 'py');
  assert.ok(router.send('py', frames('welcome back')));
  assert.deepEqual(texts(await askerAgain.receive()), ['welcome back']);
});

test('when two libzmq peers have one identity, the newest is heard', async (t) => {
  const [security] = await securities(t);
  const router = watchedSocket(t, 'router');
  const at = { connect: await router.bind(local) };
  const probe = await zeromqJs.open({ type: 'DEALER', identity: 'pool', at, security, role: 'client' });
  await probe.send(frames('probe'));
  await router.seen.messages.next();
  for (let round = 0; round < 20; round++) {
    // No gap between closing one and opening the next.
    const before = round === 0 ? probe : undefined;
    const next = await zeromqJs.open({ type: 'DEALER', identity: 'pool', at, security, role: 'client' });
    await before?.close();
    await next.send(frames(`round ${round}`));
    const message = await router.seen.messages.next(`round ${round}`);
    assert.deepEqual(texts(message), [`round ${round}`]);
    assert.ok(router.send(message.peer, frames('heard')));
    assert.deepEqual(texts(await next.receive()), ['heard']);
    await next.close();
  }
});

test('libzmq clients with wrong CURVE keys are refused, and wrong servers are not believed', async (t) => {
  const [plain, security] = await securities(t);
  const [, other] = await securities(t);
  const mixed: Security = { ...security, keys: { server: security.keys!.server, client: other.keys!.client } };
  for (const [wrong, codes] of [
    [mixed, ['not-allowed']],
    [other, ['curve-key']],
    // libzmq sees by our greeting that this leads nowhere, often before it has sent its own.
    [plain, ['mechanism', 'peer-closed']],
  ] as const) {
    const router = watchedSocket(t, 'router', { mechanism: security.server });
    const theirs = await zeromqJs.open({
      type: 'DEALER',
      at: { connect: await router.bind(local) },
      security: wrong,
      role: 'client',
    });
    const { failure } = await router.seen.failed.next();
    assert.ok((codes as readonly string[]).includes(failure.code), failure.code);
    assert.deepEqual(router.seen.joined.all, []);
    await theirs.close();
    await router.close();
  }
  const believed = await zeromqJs.open({ type: 'ROUTER', at: { bind: local }, security: other, role: 'server' });
  const dealer = watchedSocket(t, 'dealer', { mechanism: security.client });
  dealer.connect(believed.endpoint);
  await dealer.seen.failed.next();
  assert.deepEqual(dealer.seen.joined.all, []);
  await dealer.close();
  await believed.close();
});

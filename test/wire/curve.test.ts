// CURVE: the two halves of the handshake against each other, wrong keys, damaged boxes, and the sealed channel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeMetadata } from '#src/wire/zmtp/commands.js';
import { CurveChannel } from '#src/wire/zmtp/curve.js';
import { curveClient } from '#src/wire/zmtp/curveClient.js';
import { curveServer } from '#src/wire/zmtp/curveServer.js';
import { ZmtpError } from '#src/wire/zmtp/failures.js';
import type { Mechanism, MechanismStep } from '#src/wire/zmtp/mechanism.js';
import { loadSodium, loadWrappers } from '#src/wire/zmtp/sodium.js';
import { decodeZ85, encodeZ85 } from '#src/wire/zmtp/z85.js';
import { randomIntegers } from '../support/random.ts';

const sodium = await loadSodium();

function newKeys(): { publicKey: string; secretKey: string } {
  const { publicKey, secretKey } = sodium.keyPair();
  return { publicKey: encodeZ85(publicKey), secretKey: encodeZ85(secretKey) };
}

const serverKeys = newKeys();
const clientKeys = newKeys();
const server = await curveServer({ ...serverKeys, allow: new Set([clientKeys.publicKey]) });
const client = await curveClient({ ...clientKeys, serverKey: serverKeys.publicKey });

/** Lets two sides talk; `damage` may change each command on its way. The last steps of both. */
function shake(
  from: Mechanism,
  to: Mechanism,
  damage: (command: Buffer) => Buffer = (command) => command,
): { client: MechanismStep | undefined; server: MechanismStep | undefined } {
  const one = from.begin(encodeMetadata('DEALER', Buffer.from('c1')));
  const two = to.begin(encodeMetadata('ROUTER', Buffer.alloc(0)));
  let command = one.start();
  const last: { client: MechanismStep | undefined; server: MechanismStep | undefined } = {
    client: undefined,
    server: undefined,
  };
  for (let turn = 0; command !== undefined && turn < 8; turn++) {
    const isServersTurn: boolean = turn % 2 === 0;
    const step: MechanismStep = (isServersTurn ? two : one).receive(damage(command));
    last[isServersTurn ? 'server' : 'client'] = step;
    command = step.do === 'refuse' ? undefined : step.command;
  }
  return last;
}

function refused(step: MechanismStep | undefined): string {
  assert.equal(step?.do, 'refuse');
  return step.failure.code;
}

test('Z85 has the values its specification gives', () => {
  assert.equal(encodeZ85(Buffer.from('864fd26fb559f75b', 'hex')), 'HelloWorld');
  assert.deepEqual(decodeZ85('HelloWorld'), Buffer.from('864fd26fb559f75b', 'hex'));
  assert.equal(encodeZ85(Buffer.from('ffffffff', 'hex')), '%nSc0');
  for (const bad of ['1234', '%nSc1', '####~', 'ab"cd', '#####']) assert.equal(decodeZ85(bad), undefined, bad);
  assert.throws(() => encodeZ85(Buffer.alloc(3)), RangeError);
});

test('a client with an allowed key and the right server key comes in, and each side knows the other', () => {
  const ends = shake(client, server);
  assert.equal(ends.server?.do, 'ready');
  assert.equal(ends.client?.do, 'ready');
  assert.deepEqual(ends.server.metadata, encodeMetadata('DEALER', Buffer.from('c1')));
  assert.deepEqual(ends.client.metadata, encodeMetadata('ROUTER', Buffer.alloc(0)));
  assert.ok(ends.server.security.kind === 'boxed' && ends.client.security.kind === 'boxed');
  assert.equal(ends.server.security.publicKey, clientKeys.publicKey);
  assert.equal(ends.client.security.publicKey, serverKeys.publicKey);
  const [a, b] = [ends.client.security.channel, ends.server.security.channel];
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    for (const size of [0, 1, 200, 65_535, 65_536, 300_000]) {
      const body = Buffer.alloc(size, 'chervil');
      const sealed = Buffer.alloc(from.sealedBytes(size));
      from.seal(1, body, sealed, 0);
      assert.equal(sealed.toString('latin1', 0, 8), '\x07MESSAGE');
      assert.ok(to.open(sealed)?.equals(body));
      assert.equal(to.openedFlags, 1);
      assert.equal(to.open(sealed), undefined, 'a box that comes twice is refused');
    }
  }
});

test('the commands have the sizes and counters the protocol gives', () => {
  const sizes: [string, number][] = [];
  shake(client, server, (command) => {
    sizes.push([command.toString('latin1', 1, 1 + command[0]!), command.length]);
    return command;
  });
  const clientData = encodeMetadata('DEALER', Buffer.from('c1')).length;
  const serverData = encodeMetadata('ROUTER', Buffer.alloc(0)).length;
  assert.deepEqual(sizes, [
    ['HELLO', 200],
    ['WELCOME', 168],
    ['INITIATE', 9 + 96 + 8 + 16 + 32 + 96 + clientData],
    ['READY', 6 + 8 + 16 + serverData],
  ]);
});

test('a client that is not on the list is told nothing, and the server knows why', async () => {
  const stranger = await curveClient({ ...newKeys(), serverKey: serverKeys.publicKey });
  assert.equal(refused(shake(stranger, server).server), 'not-allowed');
  const open = await curveServer({ ...serverKeys, allow: 'anyone' });
  assert.equal(shake(stranger, open).client?.do, 'ready');
});

test('a client with the wrong server key is refused at its first command', async () => {
  const lost = await curveClient({ ...clientKeys, serverKey: newKeys().publicKey });
  assert.equal(refused(shake(lost, server).server), 'curve-key');
});

test('a client that claims the public key of another one is refused', async () => {
  const thief = await curveClient({
    publicKey: clientKeys.publicKey,
    secretKey: newKeys().secretKey,
    serverKey: serverKeys.publicKey,
  });
  assert.equal(refused(shake(thief, server).server), 'curve-key');
});

test('two clients, or two servers, get nowhere', () => {
  assert.equal(refused(shake(client, client).server), 'protocol');
  const run = server.begin(Buffer.alloc(0));
  assert.equal(run.start(), undefined);
});

test('keys that are none are refused when the mechanism is made', async () => {
  const isKeyError = (error: unknown): boolean => error instanceof ZmtpError && error.code === 'KEY';
  await assert.rejects(curveServer({ secretKey: 'short', allow: 'anyone' }), isKeyError);
  await assert.rejects(curveClient({ ...clientKeys, serverKey: Buffer.alloc(31) }), isKeyError);
  await assert.rejects(curveClient({ ...clientKeys, serverKey: Buffer.alloc(32) }), isKeyError, 'a point of low order');
});

test('a damaged handshake is refused wherever the damage is, and never throws', () => {
  const random = randomIntegers();
  for (let round = 0; round < 600; round++) {
    const victim = random(4);
    let turn = 0;
    const ends = shake(client, server, (command) => {
      if (turn++ !== victim) return command;
      const damaged = Buffer.from(command);
      const at = random(damaged.length);
      // The padding of HELLO means nothing and is not looked at.
      if (victim === 0 && at >= 8 && at < 80) return damaged;
      damaged[at]! ^= 1 + random(255);
      return random(5) === 0 ? damaged.subarray(0, at) : damaged;
    });
    if (ends.client?.do === 'ready') assert.equal(ends.server?.do, 'ready');
  }
});

test('a hundred thousand damaged boxes are refused', () => {
  const random = randomIntegers();
  const key = new Uint8Array(32).fill(7);
  const writer = new CurveChannel(sodium, key, 'client', 2, 1);
  const reader = new CurveChannel(sodium, key, 'server', 1, 2);
  const sound = Buffer.alloc(writer.sealedBytes(40));
  writer.seal(0, Buffer.alloc(40, 1), sound, 0);
  for (let round = 0; round < 100_000; round++) {
    const damaged = Buffer.from(sound);
    damaged[random(damaged.length)]! ^= 1 + random(255);
    assert.equal(reader.open(random(10) === 0 ? damaged.subarray(0, random(damaged.length)) : damaged), undefined);
  }
  assert.ok(reader.open(sound), 'and the sound one still opens');
});

test('the short way through the WebAssembly heap and the documented functions make the same boxes', async () => {
  const documented = await loadWrappers(false);
  const short = await loadWrappers(true);
  assert.notEqual(documented.name, short.name);
  const key = new Uint8Array(32).fill(3);
  const nonce = new Uint8Array(24).fill(4);
  for (const size of [0, 1, 1_000, 65_535, 65_536, 200_000]) {
    for (const first of [-1, 2]) {
      const message = Buffer.alloc(size, 'box');
      const length = size + 16 + (first === -1 ? 0 : 1);
      const [one, two] = [Buffer.alloc(length + 3), Buffer.alloc(length + 3)];
      documented.seal(first, message, nonce, key, one, 3);
      short.seal(first, message, nonce, key, two, 3);
      assert.ok(one.equals(two), `${size} bytes`);
      const opened = short.open(one.subarray(3), nonce, key);
      assert.deepEqual(documented.open(two.subarray(3), nonce, key), opened);
      assert.ok(opened?.subarray(first === -1 ? 0 : 1).equals(message));
      one[length]! ^= 1;
      assert.equal(short.open(one.subarray(3), nonce, key), undefined);
      assert.equal(documented.open(one.subarray(3), nonce, key), undefined);
    }
  }
  assert.equal(short.open(Buffer.alloc(15), nonce, key), undefined);
});

// The handshake machine with NULL: its bytes, and what it makes of strangers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeCommand, encodeMetadata } from '#src/wire/zmtp/commands.js';
import { encodeFrame } from '#src/wire/zmtp/frames.js';
import { encodeGreeting } from '#src/wire/zmtp/greeting.js';
import { Handshake, type HandshakeEffect, type HandshakeOptions } from '#src/wire/zmtp/handshake.js';
import { defaultLimits } from '#src/wire/zmtp/limits.js';
import { nullMechanism } from '#src/wire/zmtp/mechanism.js';
import { randomIntegers } from '../support/random.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const dealer: HandshakeOptions = {
  type: 'DEALER',
  identity: Buffer.from('me'),
  mechanism: nullMechanism,
  limits: defaultLimits,
  familiar: undefined,
};

const greetingHex = `ff 0000000000000001 7f 03 01 4e554c4c ${'00'.repeat(16)} 00 ${'00'.repeat(31)}`;
const readyHex =
  '04 2b 05 5245414459 0b 536f636b65742d54797065 00000006 4445414c4552 08 4964656e74697479 00000002 6d65';

/** The effects of a peer's bytes, given as they are or one by one. */
function receive(options: HandshakeOptions, bytes: Buffer, oneByOne = false): HandshakeEffect[] {
  const handshake = new Handshake(options);
  if (!oneByOne) return [...handshake.receive(bytes)];
  return Array.from(bytes, (_, at) => handshake.receive(bytes.subarray(at, at + 1))).flat();
}

function refusal(options: HandshakeOptions, bytes: Buffer): { code: string; detail: string } {
  const last = receive(options, bytes).at(-1);
  assert.equal(last?.do, 'refuse');
  const slow = receive(options, bytes, true).at(-1);
  assert.ok(slow?.do === 'refuse' && slow.failure.code === last.failure.code, 'one byte at a time ends the same');
  return last.failure;
}

const greeting = encodeGreeting('NULL', false);
const ready = (type: string, identity?: Buffer): Buffer =>
  encodeFrame(4, encodeCommand('READY', encodeMetadata(type, identity)));

test('the greeting has 64 bytes: signature, version 3.1, mechanism, role', () => {
  assert.deepEqual(encodeGreeting('NULL', false), hex(greetingHex));
  const curve = encodeGreeting('CURVE', true);
  assert.equal(curve.length, 64);
  assert.equal(curve.toString('latin1', 12, 18), 'CURVE\0');
  assert.equal(curve[32], 1);
});

test('with NULL both sides say READY, with their socket type and identity', () => {
  const handshake = new Handshake(dealer);
  assert.deepEqual(handshake.start(), { do: 'send', bytes: hex(greetingHex) });
  assert.deepEqual(handshake.receive(greeting), [{ do: 'send', bytes: hex(readyHex) }]);
  const [effect] = handshake.receive(
    Buffer.concat([ready('ROUTER', Buffer.alloc(0)), encodeFrame(0, Buffer.from('early'))]),
  );
  assert.equal(effect?.do, 'ready');
  assert.deepEqual(effect.peer, {
    socketType: 'ROUTER',
    identity: Buffer.alloc(0),
    minorVersion: 1,
    security: { kind: 'plain' },
  });
  assert.equal(handshake.decoder.next()?.toString(), 'early', 'a message right behind READY is kept');
});

test('a peer of ZMTP 3.0 is welcome, and known as such', () => {
  const old = Buffer.from(greeting);
  old[11] = 0;
  for (const oneByOne of [false, true]) {
    const last = receive(dealer, Buffer.concat([old, ready('ROUTER')]), oneByOne).at(-1);
    assert.equal(last?.do, 'ready');
    assert.equal(last.peer.minorVersion, 0);
  }
});

test('property names may be written in any case, and unknown ones are skipped', () => {
  const body = encodeCommand(
    'READY',
    hex('01 58 00000003 616263'),
    hex('0b 534f434b45542d54595045 00000006 524f55544552'),
  );
  const last = receive(dealer, Buffer.concat([greeting, encodeFrame(4, body)])).at(-1);
  assert.equal(last?.do, 'ready');
  assert.equal(last.peer.socketType, 'ROUTER');
});

test('strangers are refused by their first wrong byte, with a reason', () => {
  const version = (major: number): Buffer => Buffer.concat([greeting.subarray(0, 10), Buffer.from([major])]);
  const cases: [Buffer, string, RegExp][] = [
    [Buffer.from('GET / HTTP/1.1\r\n'), 'not-zmtp', /it began with "G/],
    [hex('16'), 'not-zmtp', /began/],
    [hex('ff 0000000000000001 01'), 'not-zmtp', /signature/],
    [hex('01 00'), 'not-zmtp', /began/],
    [version(1), 'old-version', /ZMTP 2\.0/],
    [version(0), 'old-version', /ZMTP 1\.0/],
    [encodeGreeting('PLAIN', false), 'mechanism', /"PLAIN" where this side wants NULL/],
    [encodeGreeting('CURVE', true), 'mechanism', /CURVE/],
    [Buffer.concat([greeting, ready('PUB')]), 'socket-type', /PUB, which cannot talk to a DEALER/],
    [Buffer.concat([greeting, ready('REQ')]), 'socket-type', /REQ/],
    [Buffer.concat([greeting, ready('ROUTER', Buffer.alloc(256, 1))]), 'identity', /256 bytes/],
    [Buffer.concat([greeting, ready('ROUTER', Buffer.from([0, 1]))]), 'identity', /zero byte/],
    [Buffer.concat([greeting, encodeFrame(0, Buffer.from('early'))]), 'protocol', /before the handshake was over/],
    [Buffer.concat([greeting, encodeFrame(4, encodeCommand('HELLO'))]), 'protocol', /"HELLO" where READY/],
    [Buffer.concat([greeting, encodeFrame(4, encodeCommand('ERROR', hex('03 343030')))]), 'refused-by-peer', /400/],
    [Buffer.concat([greeting, encodeFrame(4, encodeCommand('READY', hex('0b 536f')))]), 'protocol', /metadata/],
    [
      Buffer.concat([greeting, encodeFrame(4, encodeCommand('READY', hex('01 58 ffffffff 61')))]),
      'protocol',
      /metadata/,
    ],
    [Buffer.concat([greeting, hex('06 0000000040000000')]), 'too-large', /command/],
    [Buffer.concat([greeting, hex('02 0000000000000100')]), 'protocol', /before the handshake/],
  ];
  for (const [bytes, code, words] of cases) {
    const { code: found, detail } = refusal(dealer, bytes);
    assert.equal(found, code, detail);
    assert.match(detail, words);
  }
});

test('every pair of types that may not talk is refused, every other one is not', () => {
  const allowed = [
    'DEALER-DEALER',
    'DEALER-ROUTER',
    'DEALER-REP',
    'ROUTER-DEALER',
    'ROUTER-ROUTER',
    'ROUTER-REQ',
    'REQ-REP',
    'REQ-ROUTER',
    'REP-REQ',
    'REP-DEALER',
  ];
  for (const type of ['DEALER', 'ROUTER', 'REQ', 'REP'] as const) {
    for (const peer of ['DEALER', 'ROUTER', 'REQ', 'REP', 'PUB', 'PAIR', '']) {
      const last = receive({ ...dealer, type }, Buffer.concat([greeting, ready(peer)])).at(-1);
      assert.equal(last?.do, allowed.includes(`${type}-${peer}`) ? 'ready' : 'refuse', `${type}-${peer}`);
    }
  }
});

test('a hundred thousand damaged handshakes end in an answer or in waiting', () => {
  const random = randomIntegers();
  const sound = Buffer.concat([greeting, ready('ROUTER', Buffer.from('peer')), encodeFrame(0, Buffer.from('hi'))]);
  const ends = { ready: 0, refuse: 0, wait: 0 };
  for (let round = 0; round < 100_000; round++) {
    const bytes = Buffer.from(sound);
    for (let change = 1 + random(3); change > 0; change--) bytes[random(bytes.length)] = random(256);
    const last = receive(dealer, random(8) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes).at(-1);
    ends[last === undefined || last.do === 'send' ? 'wait' : last.do]++;
  }
  assert.ok(ends.ready > 0 && ends.refuse > 0 && ends.wait > 0, JSON.stringify(ends));
});

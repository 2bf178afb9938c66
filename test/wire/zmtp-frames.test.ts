// The frame decoder, fed with everything a stream can bring.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFrame, FrameDecoder, headerBytes, writeHeader } from '#src/wire/zmtp/frames.js';
import { defaultLimits } from '#src/wire/zmtp/limits.js';
import { randomIntegers } from '../support/random.ts';

interface Frame {
  readonly flags: number;
  readonly body: Buffer;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** Everything the decoder finds. Bodies are copied, since they may be views. */
function decode(
  chunks: readonly Buffer[],
  limits = defaultLimits,
): { frames: Frame[]; end: 'wait' | 'broken'; decoder: FrameDecoder } {
  const decoder = new FrameDecoder(limits);
  const frames: Frame[] = [];
  let end: 'wait' | 'broken' = 'wait';
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (;;) {
      const body = decoder.next();
      if (body === undefined) {
        end = decoder.failure === undefined ? 'wait' : 'broken';
        break;
      }
      frames.push({ flags: decoder.flags, body: Buffer.from(body) });
    }
  }
  return { frames, end, decoder };
}

const bytewise = (bytes: Buffer): Buffer[] => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));

test('frames have the bytes the protocol gives', () => {
  assert.deepEqual(encodeFrame(0, Buffer.from('hi')), hex('00 02 6869'));
  assert.deepEqual(encodeFrame(1, Buffer.alloc(0)), hex('01 00'));
  assert.deepEqual(encodeFrame(4, Buffer.from('\x04PING\0\0', 'latin1')), hex('04 07 0450494e47 0000'));
  assert.deepEqual(encodeFrame(0, Buffer.alloc(255, 1)).subarray(0, 3), hex('00 ff 01'));
  assert.deepEqual(encodeFrame(1, Buffer.alloc(256, 1)).subarray(0, 10), hex('03 0000000000000100 01'));
  const header = Buffer.alloc(headerBytes);
  assert.equal(writeHeader(header, 0, 0, 2 ** 32 + 5), 9);
  assert.deepEqual(header, hex('02 0000000100000005'));
});

test('a frame that lies in one chunk is a view of it, not a copy', () => {
  const chunk = encodeFrame(0, Buffer.from('shared'));
  const decoder = new FrameDecoder(defaultLimits);
  decoder.push(chunk);
  assert.equal(decoder.next()?.buffer, chunk.buffer);
});

test('frames come out the same however the bytes were cut into chunks', () => {
  const random = randomIntegers();
  for (let round = 0; round < 300; round++) {
    const frames = Array.from({ length: 1 + random(12) }, (): Frame => {
      const size = [0, 1, 254, 255, 256, 257, 70_000][random(7)]!;
      return { flags: random(2) | (size > 255 ? 2 : 0), body: Buffer.alloc(size, random(256)) };
    });
    const bytes = Buffer.concat(frames.map(({ flags, body }) => encodeFrame(flags & 1, body)));
    const chunks: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const size = [0, 1, 2, 8, 9, 10, 300, 65_536][random(8)]!;
      chunks.push(bytes.subarray(at, at + size));
      at += size;
    }
    const { frames: found, end, decoder } = decode(chunks);
    assert.deepEqual(found, frames);
    assert.equal(end, 'wait');
    assert.equal(decoder.bufferedBytes, 0);
  }
});

test('bytes that are only lent may be overwritten when they were kept, however frames lie in them, and whenever frames are taken out', () => {
  const random = randomIntegers();
  const familiar = Buffer.alloc(6, 1);
  const lent = Buffer.alloc(65_536);
  for (let round = 0; round < 300; round++) {
    const frames = Array.from({ length: 1 + random(12) }, (): Frame => {
      const size = [0, 1, 6, 100, 254, 255, 256, 257, 70_000, 3_000_000][random(random(10) === 0 ? 10 : 9)]!;
      return { flags: random(2) | (size > 255 ? 2 : 0), body: Buffer.alloc(size, random(256)) };
    });
    const bytes = Buffer.concat(frames.map(({ flags, body }) => encodeFrame(flags & 1, body)));
    const decoder = new FrameDecoder(defaultLimits, familiar);
    const found: Frame[] = [];
    const take = (most: number): void => {
      for (let taken = 0; taken < most; taken++) {
        const body = decoder.next();
        if (body === undefined) break;
        found.push({ flags: decoder.flags, body });
      }
    };
    for (let at = 0; at < bytes.length; ) {
      const size = [1, 2, 8, 9, 10, 300, 1_024, 65_536, 65_536][random(9)]!;
      const length = bytes.copy(lent, 0, at, Math.min(at + size, bytes.length));
      decoder.pushLent(lent, length);
      at += length;
      // One who pauses takes some, or none, and the rest later.
      take([0, 1, 2, Number.POSITIVE_INFINITY][random(4)]!);
      decoder.keep();
      lent.fill(0xee);
      take([0, 0, 1, Number.POSITIVE_INFINITY][random(4)]!);
    }
    take(Number.POSITIVE_INFINITY);
    assert.deepEqual(found, frames);
    assert.ok(decoder.isEmpty);
  }
});

test('a body that is familiar is handed over as that very buffer, whether its bytes are lent or not', () => {
  const familiar = Buffer.from('result');
  const frames = [familiar, Buffer.from('resulT'), Buffer.from('results'), familiar].map((body) =>
    encodeFrame(0, body),
  );
  for (const isLent of [false, true]) {
    const decoder = new FrameDecoder(defaultLimits, familiar);
    // Not out of the pool that all small buffers share.
    const bytes = Buffer.allocUnsafeSlow(Buffer.concat(frames).length);
    bytes.set(Buffer.concat(frames));
    if (isLent) decoder.pushLent(bytes, bytes.length);
    else decoder.push(bytes);
    const bodies: Buffer[] = [];
    for (let body = decoder.next(); body !== undefined; body = decoder.next()) bodies.push(body);
    decoder.keep();
    assert.deepEqual(bodies.map(String), ['result', 'resulT', 'results', 'result']);
    assert.deepEqual(
      bodies.map((body) => body === familiar),
      [true, false, false, true],
    );
    assert.equal(bodies[1]?.buffer === bytes.buffer, !isLent, 'a view of what is ours, a copy of what is lent');
  }
});

test('one byte at a time is as good as all at once', () => {
  const frames = [
    encodeFrame(1, Buffer.from('a')),
    encodeFrame(0, Buffer.alloc(1_000, 2)),
    encodeFrame(4, Buffer.from('\x01X')),
    encodeFrame(0, Buffer.alloc(0)),
  ];
  const bytes = Buffer.concat(frames);
  assert.deepEqual(decode(bytewise(bytes)).frames, decode([bytes]).frames);
  assert.equal(decode([bytes]).frames.length, 4);
});

test('a frame that is cut short is waited for, at every length', () => {
  const bytes = Buffer.concat([encodeFrame(0, Buffer.alloc(300, 1)), encodeFrame(0, Buffer.from('end'))]);
  for (let length = 0; length < bytes.length; length++) {
    const { frames, end } = decode([bytes.subarray(0, length)]);
    assert.equal(end, 'wait');
    assert.equal(frames.length, length < 309 ? 0 : 1);
  }
});

test('a body that spans many chunks grows with what has come, not with what was announced', () => {
  const decoder = new FrameDecoder(defaultLimits);
  const before = process.memoryUsage().arrayBuffers;
  const keep: FrameDecoder[] = [];
  for (let peer = 0; peer < 64; peer++) {
    const greedy = new FrameDecoder(defaultLimits);
    greedy.push(hex('02 0000000040000000 00'));
    assert.equal(greedy.next(), undefined);
    assert.equal(greedy.failure, undefined, 'it waits');
    keep.push(greedy);
  }
  assert.ok(
    process.memoryUsage().arrayBuffers - before < 256 * 2 ** 20,
    '64 peers that announce 1 GiB each cost 1 MiB each',
  );
  const body = Buffer.alloc(5 * 2 ** 20 + 3, 'abcdefg');
  const bytes = encodeFrame(0, body);
  let found: Buffer | undefined;
  for (let at = 0; at < bytes.length && found === undefined; at += 65_536) {
    decoder.push(bytes.subarray(at, at + 65_536));
    found = decoder.next();
  }
  assert.ok(found?.equals(body));
});

test('what is against the protocol or a limit is refused by its header', () => {
  const limits = { ...defaultLimits, frameBytes: 1_000, commandBytes: 600 };
  const cases: [string, string, string][] = [
    ['08 00', 'protocol', 'reserved'],
    ['ff', 'protocol', 'reserved'],
    ['05 00', 'protocol', 'more frames'],
    ['02 00000000000003e9', 'too-large', '1001 bytes'],
    ['02 ffffffffffffffff', 'too-large', 'limit is 1000'],
    ['06 0000000000000259', 'too-large', 'command of 601'],
  ];
  for (const [bytes, code, words] of cases) {
    for (const chunks of [[hex(bytes)], bytewise(hex(bytes))]) {
      const { end, decoder } = decode(chunks, limits);
      assert.equal(end, 'broken', bytes);
      assert.equal(decoder.failure?.code, code);
      assert.match(decoder.failure?.detail ?? '', new RegExp(words));
      decoder.push(encodeFrame(0, Buffer.from('later')));
      assert.equal(decoder.next(), undefined, 'it stays broken');
    }
  }
});

test('a hundred thousand damaged frames neither throw nor hang, and never exceed a limit', () => {
  const random = randomIntegers();
  const limits = { ...defaultLimits, frameBytes: 5_000, commandBytes: 600 };
  const sound = Buffer.concat(
    Array.from({ length: 12 }, () =>
      encodeFrame([0, 1, 4][random(3)]!, Buffer.alloc([0, 3, 200, 255, 256, 500][random(6)]!, random(256))),
    ),
  );
  let fed = 0;
  let broken = 0;
  while (fed < 100_000) {
    const bytes = Buffer.from(sound);
    for (let change = 1 + random(4); change > 0; change--) bytes[random(bytes.length)] = random(256);
    const cut = bytes.subarray(random(20) === 0 ? random(bytes.length) : 0);
    const chunks = random(4) === 0 ? bytewise(cut.subarray(0, 600)) : [cut.subarray(0, random(cut.length)), cut];
    const { frames, end } = decode(chunks, limits);
    for (const { flags, body } of frames) assert.ok(body.length <= ((flags & 4) === 0 ? 5_000 : 600));
    if (end === 'broken') broken++;
    fed += 12;
  }
  assert.ok(broken > 0);
});

// How messages leave: together, in order, and again when the system takes more.
import assert from 'node:assert/strict';
import type { Socket as Stream } from 'node:net';
import { test } from 'node:test';
import { FrameDecoder } from '#src/wire/zmtp/frames.js';
import { defaultLimits } from '#src/wire/zmtp/limits.js';
import { type LateFrame, Outbox } from '#src/wire/zmtp/outbox.js';
import { Queue } from '#src/wire/zmtp/queue.js';
import { frames, watchedSocket } from '../support/zmtp.ts';

/** A stream that records its writes; while `isFull` it keeps them, as a system does whose buffers are full. */
class RecordingStream {
  destroyed = false;
  writableLength = 0;
  isFull = false;
  /** How many writes it was given. */
  given = 0;
  /** What it has taken. */
  readonly writes: Buffer[] = [];
  /** What it was destroyed with. */
  readonly reasons: unknown[] = [];
  /** What it was given and has not taken: the bytes themselves. */
  #kept: { readonly bytes: readonly Uint8Array[]; readonly callback: Taken }[] = [];

  /** What a stream does with bytes of its own queue. */
  _write(bytes: Uint8Array, _encoding: string, callback: Taken): void {
    this.#keep([bytes], callback);
  }

  _writev(chunks: readonly { readonly chunk: Uint8Array }[], callback: Taken): void {
    this.#keep(
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  /** Into its own queue: called back when everything before it was taken. */
  write(bytes: Buffer, callback: Taken): void {
    assert.equal(bytes.length, 0);
    this.#kept.push({ bytes: [], callback });
  }

  destroy(reason?: unknown): void {
    this.destroyed = true;
    this.reasons.push(reason);
  }

  /** Takes what it kept, or fails with all of it. */
  take(error?: Error): void {
    this.isFull = false;
    this.writableLength = 0;
    for (const { bytes, callback } of this.#kept.splice(0)) {
      if (bytes.length > 0) this.writes.push(Buffer.concat(bytes));
      callback(error);
    }
  }

  #keep(bytes: readonly Uint8Array[], callback: Taken): void {
    this.given++;
    this.#kept.push({ bytes, callback });
    if (!this.isFull) this.take();
  }

  bodies(): string[] {
    const decoder = new FrameDecoder(defaultLimits);
    for (const bytes of this.writes) decoder.push(bytes);
    const found: string[] = [];
    for (let body = decoder.next(); body !== undefined; body = decoder.next()) found.push(body.toString());
    return found;
  }
}

type Taken = (error?: Error) => void;

function outbox(gathers = false): { stream: RecordingStream; box: Outbox; written: number[] } {
  const stream = new RecordingStream();
  const written: number[] = [];
  return {
    stream,
    written,
    box: new Outbox(stream as unknown as Stream, undefined, (messages) => written.push(messages), gathers),
  };
}

const endOfTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a thousand messages of one callback, and of its promises, leave in one write', async () => {
  const { stream, box, written } = outbox();
  await endOfTurn();
  for (let index = 0; index < 500; index++) box.push(frames(String(index)));
  assert.equal(stream.writes.length, 0);
  for (let index = 500; index < 1_000; index++) {
    await Promise.resolve();
    box.push(frames(String(index)));
  }
  await endOfTurn();
  assert.equal(stream.writes.length, 1);
  assert.deepEqual(
    stream.bodies(),
    Array.from({ length: 1_000 }, (_, index) => String(index)),
  );
  assert.deepEqual(written, [1_000]);
});

test('what comes later in the same turn leaves with one more write', async () => {
  const { stream, box } = outbox();
  await endOfTurn();
  box.push(frames('first'));
  for (let index = 0; index < 10; index++) {
    await new Promise((resolve) => process.nextTick(resolve));
    box.push(frames('later'));
  }
  await endOfTurn();
  assert.ok(stream.writes.length <= 2, `${stream.writes.length} writes`);
  assert.equal(stream.bodies().length, 11);
});

test('an outbox that gathers writes once, with the turn after the last that brought it something', async () => {
  const { stream, box, written } = outbox(true);
  const other = outbox();
  await endOfTurn();
  box.push(frames('first'));
  other.box.push(frames('soon'));
  for (let index = 0; index < 10; index++) {
    await new Promise((resolve) => process.nextTick(resolve));
    box.hold();
    box.push(frames('later'));
    box.letGo();
  }
  assert.deepEqual([stream.writes.length, other.stream.writes.length], [0, 1]);
  await endOfTurn();
  await endOfTurn();
  assert.equal(stream.writes.length, 1);
  assert.equal(stream.bodies().length, 11);
  assert.deepEqual(written, [11]);
});

test('what comes turn after turn is gathered, but not for ever', async () => {
  const { stream, box } = outbox(true);
  const begin = performance.now();
  let turns = 0;
  for (; stream.writes.length === 0 && turns < 1_000_000; turns++) {
    box.push(frames(String(turns)));
    await endOfTurn();
  }
  assert.equal(stream.writes.length, 1, `nothing left in ${turns} turns`);
  const ms = performance.now() - begin;
  const bodies = stream.bodies();
  assert.ok(bodies.length === turns || bodies.length === turns - 1, `${bodies.length} messages of ${turns} turns`);
  assert.ok(turns === 1 || ms >= 1, `${turns} turns in ${ms} ms`);
  // What is left over, and what comes then, is not forgotten.
  box.push(frames('last'));
  while (!stream.bodies().includes('last') && performance.now() - begin < 10_000) await endOfTurn();
  assert.equal(stream.bodies().at(-1), 'last');
});

test('an outbox that gathers is not waited for when it was closed meanwhile', async () => {
  const { stream, box } = outbox(true);
  box.push(frames('never'));
  assert.deepEqual(box.close().map(String), ['never']);
  await endOfTurn();
  await endOfTurn();
  assert.deepEqual(stream.writes, []);
});

test('what comes while the peer is being read leaves when that is over, in one write and without waiting', async () => {
  const { stream, box, written } = outbox();
  box.hold();
  for (let index = 0; index < 10; index++) box.push(frames(String(index)));
  box.pushCommand(Buffer.from('\x04PONG', 'latin1'));
  assert.equal(stream.writes.length, 0);
  box.letGo();
  assert.equal(stream.writes.length, 1);
  assert.equal(stream.bodies().length, 11);
  assert.deepEqual(written, [10]);
  // Nothing is left behind that would hold the next one.
  box.push(frames('next'));
  await endOfTurn();
  box.hold();
  box.letGo();
  assert.equal(stream.writes.length, 2);
});

test('large bodies go out without a copy, in the same gathering write as the small ones around them', async () => {
  const { stream, box } = outbox();
  const large = Buffer.alloc(50_000, 'L');
  box.push([Buffer.from('a'), large, Buffer.from('b')]);
  box.push(frames('c'));
  await endOfTurn();
  assert.equal(stream.writes.length, 1);
  assert.deepEqual(stream.bodies(), ['a', large.toString(), 'b', 'c']);
});

/** Bytes that are put together when they leave, and then `onWrite` hears of it. */
function late(text: string, onWrite = (): void => {}): LateFrame {
  const writeTo = (target: Uint8Array, at: number): void => {
    onWrite();
    target.set(Buffer.from(text), at);
  };
  return { length: text.length, writeTo };
}

test('frames that are put together late leave as any others, small or large, and are not asked before', async () => {
  const { stream, box } = outbox();
  const large = 'L'.repeat(50_000);
  stream.isFull = true;
  box.push(frames('first'));
  await endOfTurn();
  let asked = 0;
  const counted = late('asked', () => asked++);
  box.push([late('small'), late(large), late('')]);
  box.push([counted]);
  await endOfTurn();
  assert.equal(asked, 0);
  stream.take();
  await endOfTurn();
  assert.equal(asked, 1);
  assert.deepEqual(stream.bodies(), ['first', 'small', large, '', 'asked']);
});

test('while the system takes no more, messages wait, and the next write builds on another buffer', async () => {
  const { stream, box, written } = outbox();
  stream.isFull = true;
  box.push(frames('one'));
  await endOfTurn();
  assert.ok(box.isBlocked);
  box.push(frames('two'));
  box.pushCommand(Buffer.from('\x04PONG', 'latin1'));
  await endOfTurn();
  assert.deepEqual([stream.given, box.pending, written], [1, 2, []]);
  stream.take();
  await endOfTurn();
  assert.deepEqual([box.pending, written], [0, [1, 1]]);
  assert.deepEqual(stream.bodies(), ['one', '\x04PONG', 'two'], 'commands go before waiting messages');
  stream.isFull = true;
  box.push(frames('three'));
  await endOfTurn();
  box.push(frames('four'));
  assert.deepEqual(box.close().map(String), ['four'], 'what was not written comes back');
  assert.equal(box.pending, 1, 'and what may have been is counted');
});

test('what one peer has not taken is not built over by messages of the same length for others', async () => {
  const slow = outbox();
  const quick = outbox();
  const word = (letter: string): string => letter.repeat(20);
  quick.box.push(frames(word('a')));
  await endOfTurn();
  slow.stream.isFull = true;
  slow.box.push(frames(word('s')));
  await endOfTurn();
  for (const letter of ['b', 'c', 'd']) {
    quick.box.push(frames(word(letter)));
    await endOfTurn();
  }
  slow.stream.take();
  // Now the buffer that was kept is used again.
  for (const letter of ['t', 'u']) {
    slow.stream.isFull = true;
    slow.box.push(frames(word(letter)));
    await endOfTurn();
    quick.box.push(frames(word('e')));
    await endOfTurn();
    slow.stream.take();
  }
  assert.deepEqual(slow.stream.bodies(), ['s', 't', 'u'].map(word));
  assert.deepEqual(quick.stream.bodies(), ['a', 'b', 'c', 'd', 'e', 'e'].map(word));
});

test('messages follow what was written before there was an outbox, the end of the handshake', async () => {
  const { stream, box, written } = outbox();
  stream.writableLength = 20;
  box.push(frames('one'));
  await endOfTurn();
  assert.deepEqual([stream.writes, box.pending, box.isBlocked, box.isIdle], [[], 1, true, false]);
  box.push(frames('two'));
  stream.take();
  await endOfTurn();
  assert.deepEqual(stream.bodies(), ['one', 'two']);
  assert.deepEqual([stream.writes.length, box.pending, written], [1, 0, [0, 2]]);
});

for (const size of [3, 50_000]) {
  test(`messages of ${size} bytes of which the system takes nothing are counted as lost, and the connection hears why`, async () => {
    for (const isLate of [false, true]) {
      const { stream, box, written } = outbox();
      const broken = new Error('write EPIPE');
      stream.isFull = true;
      if (!isLate) {
        stream._write = (_bytes, _encoding, callback) => callback(broken);
        stream._writev = (_chunks, callback) => callback(broken);
      }
      box.push([Buffer.alloc(size)]);
      await endOfTurn();
      if (isLate) stream.take(broken);
      box.push(frames('two'));
      await endOfTurn();
      assert.deepEqual(stream.reasons, [broken]);
      assert.deepEqual([box.close().map(String), box.pending, written], [['two'], 1, []]);
    }
  });
}

test('what a destroyed stream lets go of was not sent', async () => {
  const { stream, box, written } = outbox();
  stream.isFull = true;
  box.push(frames('one'));
  await endOfTurn();
  stream.destroy();
  stream.take();
  assert.deepEqual([box.pending, written], [1, []]);
});

test('that there is room again is told also when commands alone had taken it', async () => {
  const { stream, box, written } = outbox();
  stream.isFull = true;
  box.pushCommand(Buffer.from('\x04PONG', 'latin1'));
  await endOfTurn();
  assert.ok(box.isBlocked);
  stream.take();
  assert.deepEqual([box.isBlocked, written], [false, [0]]);
});

test('answers to a flood of PING are bounded when the peer does not read them', async () => {
  const { stream, box } = outbox();
  stream.isFull = true;
  box.push(frames('x'));
  await endOfTurn();
  for (let index = 0; index < 10_000; index++) box.pushCommand(Buffer.from('\x04PONG', 'latin1'));
  stream.take();
  await endOfTurn();
  assert.equal(stream.bodies().length, 17);
});

test('a queue keeps its order while it is filled, emptied and put back into', () => {
  const queue = new Queue<number>();
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 200; round++) {
    for (let index = 0; index < 100; index++) queue.push(next++);
    for (let index = 0; index < 90; index++) assert.equal(queue.shift(), expected++);
    if (round % 50 === 0) {
      queue.prepend([expected - 2, expected - 1]);
      expected -= 2;
    }
  }
  assert.equal(queue.length, next - expected);
  assert.deepEqual(
    queue.takeAll(),
    Array.from({ length: next - expected }, (_, index) => expected + index),
  );
  assert.equal(queue.shift(), undefined);
});

test('connected sockets that say nothing have no timers', async (t) => {
  const running = new Set<object>();
  const clock = {
    now: () => Date.now(),
    after(ms: number, action: () => void) {
      const token = {};
      running.add(token);
      const timer = setTimeout(() => {
        running.delete(token);
        action();
      }, ms);
      return () => {
        running.delete(token);
        clearTimeout(timer);
      };
    },
  };
  const router = watchedSocket(t, 'router', { clock });
  const dealer = watchedSocket(t, 'dealer', { clock });
  dealer.connect(await router.bind('tcp://127.0.0.1:*'));
  await router.seen.joined.next();
  await dealer.seen.joined.next();
  assert.equal(running.size, 0);
});

test('a paused socket does not take its own deafness for silence of the peer', async (t) => {
  const heartbeat = { intervalMs: 20, timeoutMs: 20 };
  const router = watchedSocket(t, 'router', { heartbeat });
  const other = watchedSocket(t, 'router', { heartbeat });
  const dealer = watchedSocket(t, 'dealer', { identity: 'd' });
  dealer.connect(await router.bind('tcp://127.0.0.1:*'));
  await router.seen.joined.next();
  router.pause();
  dealer.pause();
  // The dealer is deaf too, so `other` gives it up, which takes longer than `router` would have needed.
  dealer.connect(await other.bind('tcp://127.0.0.1:*'));
  assert.equal((await other.seen.left.next()).failure.code, 'silent');
  assert.deepEqual(router.seen.left.all, []);
});

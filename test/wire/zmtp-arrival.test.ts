// Bytes reach a connection within the callback in which the system gives them, on both sides and whatever there is of Node's own parts.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket as Stream } from 'node:net';
import { test } from 'node:test';
import { Arrival, serverOptions } from '#src/wire/zmtp/arrival.js';
import { randomIntegers } from '../support/random.ts';

interface Pair {
  readonly connected: Arrival;
  readonly accepted: Arrival;
  /** As the server gave it. */
  readonly original: Stream;
  close(): Promise<void>;
}

async function pair(options: { handleIsHidden?: boolean; staysHalfOpen?: boolean } = {}): Promise<Pair> {
  const server = createServer(serverOptions);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const arrived = once(server, 'connection') as Promise<[Stream]>;
  const connected = Arrival.connecting({ port: (server.address() as { port: number }).port, host: '127.0.0.1' });
  const [original] = await arrived;
  if (options.handleIsHidden) {
    const handle: unknown = Reflect.get(original, '_handle');
    Object.defineProperty(original, '_handle', { get: () => undefined, set: () => {}, configurable: true });
    const accepted = Arrival.accepted(original);
    Object.defineProperty(original, '_handle', { value: handle, writable: true });
    return paired(accepted);
  }
  return paired(Arrival.accepted(original));

  function paired(accepted: Arrival): Pair {
    // As every owner does: it stays half open otherwise.
    if (!options.staysHalfOpen)
      for (const { stream } of [connected, accepted]) stream.on('end', () => stream.destroy());
    return { connected, accepted, original, close };
  }

  async function close(): Promise<void> {
    connected.stream.destroy();
    server.close();
    await once(server, 'close');
  }
}

for (const side of ['connected', 'accepted'] as const) {
  const other = side === 'connected' ? 'accepted' : 'connected';

  test(`a stream that was ${side} gives its bytes at once, and no event is made for them`, async () => {
    const { close, ...both } = await pair();
    let events = 0;
    const arrived = new Promise<string>((resolve) => {
      both[side].start((bytes, length) => resolve(Buffer.from(bytes.subarray(0, length)).toString('latin1')));
      both[side].stream.on('data', () => events++);
    });
    both[other].start(() => {});
    both[other].stream.write('hello');
    assert.equal(await arrived, 'hello');
    assert.equal(events, 0);
    await Promise.all([ended(both.accepted.stream), close()]);
  });

  test(`what comes to a stream that was ${side} while it is paused follows in order, and then the end`, async () => {
    const below = randomIntegers();
    const { close, ...both } = await pair();
    const { stream } = both[side];
    const sent = Buffer.from(Uint8Array.from({ length: 4_000_000 }, (_, at) => at ^ (at >> 8)));
    const got: Buffer[] = [];
    let isPaused = false;
    let pauses = 0;
    both[side].start((bytes, length) => {
      assert.ok(!isPaused, 'nothing comes while it is paused');
      got.push(Buffer.from(bytes.subarray(0, length)));
      if (below(2) === 0) return;
      pauses++;
      isPaused = true;
      stream.pause();
      setImmediate(() => {
        isPaused = false;
        stream.resume();
      });
    });
    for (let at = 0; at < sent.length; ) {
      const end = at + 1 + below(100_000);
      both[other].stream.write(sent.subarray(at, end));
      at = end;
    }
    both[other].stream.end();
    await once(stream, 'end');
    assert.ok(Buffer.concat(got).equals(sent));
    assert.ok(pauses > 0);
    await Promise.all([ended(both.accepted.stream), close()]);
  });
}

test('what comes after it was stopped is dropped, and the end is still heard', async () => {
  const { connected, accepted, close } = await pair();
  accepted.start(() => assert.fail('nothing was to come'));
  accepted.stop();
  connected.start(() => {});
  connected.stream.end('hello');
  await once(accepted.stream, 'end');
  await close();
});

test('an accepted stream that is taken over knows its peer, and its server counts it no more', async () => {
  const { connected, accepted, original, close } = await pair();
  assert.notEqual(accepted.stream, original);
  accepted.start(() => {});
  assert.equal(accepted.stream.remotePort, connected.stream.localPort);
  assert.ok(original.destroyed);
  await Promise.all([ended(accepted.stream), close()]);
});

test('a stream whose peer has closed its side is half open until its owner is done with it', async () => {
  for (const handleIsHidden of [false, true]) {
    const { connected, accepted, close } = await pair({ handleIsHidden, staysHalfOpen: true });
    accepted.start(() => {});
    const answered = new Promise<string>((resolve) => {
      connected.start((bytes, length) => resolve(Buffer.from(bytes.subarray(0, length)).toString('latin1')));
    });
    connected.stream.end('question');
    await once(accepted.stream, 'end');
    await new Promise(setImmediate);
    accepted.stream.end('answer');
    assert.equal(await answered, 'answer');
    await Promise.all([ended(accepted.stream), close()]);
  }
});

test('without the part of Node.js that this needs an accepted stream is read as any other', async () => {
  const { connected, accepted, original, close } = await pair({ handleIsHidden: true });
  assert.equal(accepted.stream, original);
  const arrived = new Promise<string>((resolve) => {
    accepted.start((bytes, length) => resolve(Buffer.from(bytes.subarray(0, length)).toString('latin1')));
  });
  connected.start(() => {});
  connected.stream.write('hello');
  assert.equal(await arrived, 'hello');
  await close();
});

/** Resolves when the stream is closed; its peer goes. */
function ended(stream: Stream): Promise<unknown> {
  return stream.destroyed ? Promise.resolve() : once(stream, 'close');
}

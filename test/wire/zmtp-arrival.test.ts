// Bytes reach a connection within the callback in which the system gives them; after a pause, in their order, too.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket as Stream } from 'node:net';
import { test } from 'node:test';
import { takeDirectly } from '#src/wire/zmtp/arrival.js';
import { randomIntegers } from '../support/random.ts';

async function pair(): Promise<{ from: Stream; to: Stream; close: () => Promise<void> }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Stream]>;
  const from = connect((server.address() as { port: number }).port, '127.0.0.1');
  const [to] = await accepted;
  const close = async (): Promise<void> => {
    from.destroy();
    to.destroy();
    server.close();
    await once(server, 'close');
  };
  return { from, to, close };
}

test('a chunk comes without a tick of its own, and no event is made for it', async () => {
  const { from, to, close } = await pair();
  let events = 0;
  const arrived = new Promise<string>((resolve) => {
    to.on('data', () => events++);
    takeDirectly(to, (chunk) => resolve(String(chunk)));
  });
  from.write('hello');
  assert.equal(await arrived, 'hello');
  assert.equal(events, 0);
  await close();
});

test('what comes while it is paused follows in order, however often that happens, and then the end', async () => {
  const below = randomIntegers();
  const { from, to, close } = await pair();
  const sent = Buffer.from(Uint8Array.from({ length: 4_000_000 }, (_, at) => at ^ (at >> 8)));
  const got: Buffer[] = [];
  let ways = 0;
  const take = (chunk: Buffer): void => {
    got.push(Buffer.from(chunk));
    if (below(2) === 0) return;
    ways++;
    to.pause();
    setImmediate(() => to.resume());
  };
  to.on('data', take);
  takeDirectly(to, take);
  for (let at = 0; at < sent.length; ) {
    const end = at + 1 + below(100_000);
    from.write(sent.subarray(at, end));
    at = end;
  }
  from.end();
  await once(to, 'end');
  assert.ok(Buffer.concat(got).equals(sent));
  assert.ok(ways > 0);
  await close();
});

test('once it is ended, everything comes the usual way', async () => {
  const { from, to, close } = await pair();
  const direct: string[] = [];
  const stop = takeDirectly(to, (chunk) => direct.push(String(chunk)));
  stop();
  from.write('hello');
  const [chunk] = (await once(to, 'data')) as [Buffer];
  assert.equal(String(chunk), 'hello');
  assert.deepEqual(direct, []);
  await close();
});

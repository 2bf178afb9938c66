// Many connections that read into the same buffer, pause and go on as chance has it: every message comes once, whole and in order.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { randomIntegers } from '../support/random.ts';
import { securities, watchedSocket } from '../support/zmtp.ts';

const sizes = [0, 1, 200, 254, 255, 256, 4_000, 9_000, 65_525, 65_536, 70_000, 300_000];
const messagesEach = 150;

test('twelve peers of three sockets that pause at random get every message back, and what they keep stays as it was', async (t) => {
  const below = randomIntegers();
  const directory = await mkdtemp(join(tmpdir(), 'chervil-storm-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  /** Pauses now and then, and goes on within the tick, with the next turn, or a little later. */
  const mayPause = (socket: { pause(): void; resume(): void }): void => {
    if (below(10) > 0) return;
    socket.pause();
    const goOn = (): void => socket.resume();
    [process.nextTick, setImmediate, (later: () => void) => setTimeout(later, below(4)), goOn][below(4)]!(goOn);
  };
  for (const security of await securities(t)) {
    const endpoints: string[] = [];
    for (const endpoint of ['tcp://127.0.0.1:*', 'tcp://*:*', `ipc://${join(directory, security.name)}`]) {
      const router = watchedSocket(t, 'router', {
        mechanism: security.server,
        highWaterMark: 0,
        leaves: endpoint.includes('*:*') ? 'gathered' : 'soon',
        answer: ({ peer, frames }) => {
          router.send(peer, frames);
          mayPause(router);
        },
      });
      const bound = await router.bind(endpoint);
      endpoints.push(endpoint.includes('*:*') ? `tcp://localhost:${bound.split(':').at(-1)}` : bound);
    }
    const dealers = Array.from({ length: 12 }, (_, number) => {
      const dealer = watchedSocket(t, 'dealer', {
        mechanism: security.client,
        highWaterMark: 0,
        leaves: number % 2 === 0 ? 'gathered' : 'soon',
        answer: () => mayPause(dealer),
      });
      dealer.connect(endpoints[number % 3]!);
      return dealer;
    });
    const bodies = dealers.map(() => Array.from({ length: messagesEach }, () => sizes[below(below(9) ? 7 : 12)]!));
    for (let index = 0; index < messagesEach; index++) {
      for (const [number, dealer] of dealers.entries()) {
        dealer.send([Buffer.from(`${number} ${index}`), Buffer.alloc(bodies[number]![index]!, number * 20 + index)]);
      }
      if (below(3) === 0) await new Promise(setImmediate);
    }
    for (const [number, dealer] of dealers.entries()) {
      const messages = await dealer.seen.messages.take(messagesEach);
      for (const [index, { frames }] of messages.entries()) {
        assert.equal(String(frames[0]), `${number} ${index}`);
        const expected = Buffer.alloc(bodies[number]![index]!, number * 20 + index);
        assert.ok(frames[1]!.equals(expected), `the body of ${number} ${index} in ${security.name}`);
      }
    }
    for (const dealer of dealers) await dealer.close({ lingerMs: 0 });
  }
});

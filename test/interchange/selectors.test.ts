import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Manager } from '#src/interchange/managers.js';
import { readyManagers } from '#src/interchange/selectors.js';
import { registration, seeded, withSeed } from './builders.ts';

const blocks = ['9', '10', '2', '1', '', 'é'];

it('of block ids the highest is picked, as text, and of equal ones who came first, whoever comes and goes', () => {
  withSeed((seed) => {
    const random = seeded(seed);
    const below = (end: number): number => Math.floor(random() * end);
    for (let round = 0; round < 20; round++) {
      const ready = readyManagers('block-id', random);
      const present = new Set<Manager>();
      const known: Manager[] = [];
      // From rounds where managers come and go one by one to rounds where hundreds are away at a time.
      const share = random();
      for (let action = 0; action < 2_000; action++) {
        if (known.length === 0 || random() < 0.1) {
          const blockId = blocks[below(blocks.length)] as string;
          known.push(new Manager(`p${action}`, action, 'one-port', registration({ blockId }), [], 2, 0));
        }
        const manager = known[below(known.length)] as Manager;
        if (random() < share) {
          ready.add(manager);
          present.add(manager);
        } else {
          ready.delete(manager);
          present.delete(manager);
        }
        assert.equal(ready.size, present.size);
        if (random() < 0.5) continue;
        const [first] = [...present].sort((a, b) => {
          const { blockId: one } = a.registration;
          const { blockId: other } = b.registration;
          return one === other ? a.serial - b.serial : one > other ? -1 : 1;
        });
        assert.equal(ready.pick(), first);
      }
    }
  });
});

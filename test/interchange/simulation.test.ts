import assert from 'node:assert/strict';
import { it } from 'node:test';
import { sure, withSeed } from './builders.ts';
import { simulate } from './simulation.ts';

it('every task is answered exactly once, whatever thousands of managers do', () => {
  withSeed((seed) => {
    const { state } = simulate({ seed, managers: 2_000, tasks: 10_000, fullCheckEvery: 2_000, selector: 'random' });
    sure(state.counters.managersLost > 0 && state.counters.strayResults > 0);
  });
});

it('small runs with random interleavings keep the books in order after every step', () => {
  withSeed((seed) => {
    for (let round = 0; round < 60; round++) {
      const selector = round % 2 ? 'random' : 'block-id';
      simulate({ seed: seed + round, managers: 12, tasks: 150, fullCheckEvery: 1, selector });
    }
  });
});

it('a run repeats exactly with its seed', () => {
  withSeed((seed) => {
    const options = { seed, managers: 30, tasks: 300, fullCheckEvery: 50, selector: 'random' } as const;
    const first = simulate(options);
    const second = simulate(options);
    assert.equal(first.digest, second.digest);
    assert.equal(first.steps, second.steps);
  });
});

import { describe, it } from 'node:test';
import { seed } from '../support/random.ts';
import { htexChaos } from './htex-chaos.ts';

describe('chaos', { timeout: 240_000 }, () => {
  it('of 30 seconds, with workers, pools and the interchange killed and stopped, loses no task, ends none twice, and leaves no process', async (t) => {
    t.diagnostic(JSON.stringify(await htexChaos({ seed, ms: 30_000 })));
  });
});

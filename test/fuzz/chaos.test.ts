import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seed } from '../support/random.ts';
import { chaos } from './chaos.ts';

describe('chaos', { timeout: 200_000 }, () => {
  it('of 20 seconds, with pools killed, silent, cut off, drained and come again, leaves no task unanswered', async (t) => {
    const report = await chaos({ seed, ms: 20_000 });
    t.diagnostic(JSON.stringify(report));
    assert.equal(report.results + report.lost, report.submitted);
  });
});

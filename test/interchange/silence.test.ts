// How long what concerns the silence of managers may take.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patienceOfAnswers } from '#src/interchange/silence.js';

test('answers to heartbeats may wait a second, and not at all where pools soon take the interchange for lost', () => {
  assert.deepEqual([60, 2_000, 19_999].map(patienceOfAnswers), [0, 0, 0]);
  assert.deepEqual([20_000, 120_000, 86_400_000].map(patienceOfAnswers), [1_000, 1_000, 1_000]);
});

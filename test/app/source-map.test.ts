// Stacks of shipped functions, told by the lines of the user's own files.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compiledMark, keepSourceMap, mapStack } from '#src/app/capture/source-map.js';

const url = 'file:///home/me/stacks-of-source-map-test.ts';
/** Line 1, column 1 of what runs is line 12, column 9 of what was written. */
const map = { version: 3, sources: [url], names: [], mappings: 'AAWQ' };

test('frames of shipped functions get the lines of the file they were written in; all else in a stack stays', () => {
  assert.ok(keepSourceMap(url, `data:application/json,${JSON.stringify(map)}`));
  const stack = (place: string) =>
    `Error: see http://example.org/a b\n    at f (${place})\n    at async ${place}\n    at file:///else.js:3:4`;
  assert.equal(mapStack(stack(`${url}${compiledMark}:1:1`)), stack(`${url}:12:9`));
  for (const odd of ['#compiled:1:1', 'x://#compiled', '#compiled x://y', 'a://b#compiled:1']) {
    assert.equal(mapStack(odd), odd);
  }
});

test('the stack of an error with a long message is read in one pass', { timeout: 60_000 }, () => {
  // What takes quadratic time takes minutes here, and the whole program with it.
  const message = `${'a'.repeat(3_000_000)} ${'ab://'.repeat(300_000)}`;
  assert.equal(mapStack(message), message);
  const stack = `Error: ${message}\n    at f (${url}${compiledMark}:1:1)`;
  assert.equal(mapStack(stack), `Error: ${message}\n    at f (${url}:12:9)`);
});

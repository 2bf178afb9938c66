// How many blocks there should be, and when failed ones mean that all is lost: the tables of cases.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ignoreBlockErrors, simpleBlockErrors, windowedBlockErrors } from '#src/blocks/handlers.js';
import type { JobState, JobStatus } from '#src/blocks/provider.js';
import { decideScaling, type ScalingView } from '#src/blocks/strategy.js';

const view = (changes: Partial<ScalingView>): ScalingView => ({
  tasks: 0,
  active: 0,
  slotsPerBlock: 1,
  minBlocks: 0,
  maxBlocks: 20,
  parallelism: 1,
  maxIdleMs: 120_000,
  idleSince: undefined,
  ...changes,
});

for (const [tasks, slotsPerBlock, blocks] of [
  [14, 48, 1],
  [1, 1, 1],
  [100, 1, 20],
  [47, 48, 1],
  [48, 48, 1],
  [49, 48, 2],
  [149, 50, 3],
] as const) {
  test(`${tasks} tasks with ${slotsPerBlock} workers a block need ${blocks} of at most 20 blocks, and then no more and no fewer`, () => {
    for (const strategy of ['simple', 'htex-auto-scale'] as const) {
      assert.deepEqual(decideScaling(strategy, view({ tasks, slotsPerBlock }), 0).step, { do: 'scale out', blocks });
      assert.deepEqual(decideScaling(strategy, view({ tasks, slotsPerBlock, active: blocks }), 0).step, {
        do: 'nothing',
      });
    }
  });
}

test('parallelism 0 still starts one block, and no second', () => {
  assert.deepEqual(decideScaling('simple', view({ tasks: 50, parallelism: 0 }), 0).step, {
    do: 'scale out',
    blocks: 1,
  });
  assert.deepEqual(decideScaling('simple', view({ tasks: 50, parallelism: 0, active: 1 }), 0).step, { do: 'nothing' });
});

test('half the parallelism starts a slot for every second task', () => {
  assert.deepEqual(decideScaling('simple', view({ tasks: 8, parallelism: 0.5 }), 0).step, {
    do: 'scale out',
    blocks: 4,
  });
});

test('an idle executor keeps its blocks for a while, and then ends all but the least', () => {
  const first = decideScaling('simple', view({ active: 3, minBlocks: 1 }), 1_000);
  assert.deepEqual(first, { step: { do: 'nothing' }, idleSince: 1_000 });
  const later = decideScaling('simple', view({ active: 3, minBlocks: 1, idleSince: first.idleSince }), 121_001);
  assert.deepEqual(later.step, { do: 'scale in', blocks: 2, onlyIdle: false });
  assert.equal(decideScaling('simple', view({ tasks: 1, active: 3, idleSince: 1_000 }), 2_000).idleSince, undefined);
});

test('simple ends no block while there are tasks; htex-auto-scale ends those that are idle', () => {
  const busy = view({ tasks: 1, active: 4, slotsPerBlock: 2, minBlocks: 1 });
  assert.deepEqual(decideScaling('simple', busy, 0).step, { do: 'nothing' });
  assert.deepEqual(decideScaling('htex-auto-scale', busy, 0).step, { do: 'scale in', blocks: 3, onlyIdle: true });
});

test('none does nothing after the first blocks', () => {
  assert.deepEqual(decideScaling('none', view({ tasks: 50 }), 0).step, { do: 'nothing' });
});

const blocks = (...states: JobState[]): Map<string, JobStatus> =>
  new Map(states.map((state, index) => [String(index), { state, message: `message ${index}`, exitCode: 7 }]));

test('simple: the executor fails when all blocks failed, as many as there were at first', () => {
  assert.match(simpleBlockErrors(blocks('failed', 'missing'), 2) ?? '', /message 0; exit code 7 \| message 1/);
  assert.equal(simpleBlockErrors(blocks('failed'), 2), undefined);
  assert.equal(simpleBlockErrors(blocks('failed', 'completed'), 1), undefined);
  assert.equal(simpleBlockErrors(blocks('failed', 'scaled-in'), 1), undefined);
});

test('windowed: the executor fails when the last blocks failed, by number', () => {
  const many = blocks('completed', 'failed', 'failed', 'failed');
  assert.notEqual(windowedBlockErrors(3)(many, 1), undefined);
  assert.equal(windowedBlockErrors(4)(many, 1), undefined);
  const ten = new Map([
    ...blocks(...(Array(9).fill('failed') as JobState[])),
    ['10', { state: 'running' } as JobStatus],
    ['9', { state: 'failed' } as JobStatus],
  ]);
  assert.equal(windowedBlockErrors(3)(ten, 1), undefined, 'block 10 comes after block 9');
});

test('none: blocks may fail as they like', () => {
  assert.equal(ignoreBlockErrors(blocks('failed', 'failed'), 1), undefined);
});

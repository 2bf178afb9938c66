// The blocks of an executor, with a provider that only remembers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ignoreBlockErrors, simpleBlockErrors } from '#src/blocks/handlers.js';
import type { JobStatus, Provider } from '#src/blocks/provider.js';
import { type BlockOptions, type BlockOwner, Blocks } from '#src/blocks/scaler.js';

test('blocks that have tasks are never ended: what came just before they were held is waited for', async () => {
  const { blocks, owner, provider } = bench({ init: 2, max: 2 });
  await blocks.start();
  provider.allRun();
  owner.idle.set('0', 5_000).set('1', 5_000);
  owner.onHold = () => owner.idle.set('0', 0);
  await blocks.look();
  assert.deepEqual(owner.held, ['0', '1']);
  assert.deepEqual(provider.cancelled, ['job-1']);
  assert.equal(blocks.active, 0, 'a held block is no room for tasks');
  owner.idle.set('0', 10);
  await blocks.look();
  assert.deepEqual(provider.cancelled, ['job-1', 'job-0']);
  assert.deepEqual(
    blocks.lines().map(({ id, state }) => [id, state]),
    [
      ['0', 'scaled-in'],
      ['1', 'scaled-in'],
    ],
  );
  await blocks.close();
});

test('an ended block is no failure, though its workers never came', async () => {
  const { blocks, owner, provider } = bench({ init: 1, onError: simpleBlockErrors });
  await blocks.start();
  provider.allRun();
  await blocks.look();
  await blocks.look();
  assert.deepEqual(provider.cancelled, ['job-0']);
  provider.jobs.set('job-0', { state: 'failed', exitCode: 143 });
  await blocks.look();
  assert.deepEqual(owner.failures, []);
  await blocks.close();
});

test('a block that ends before its workers come is missing, and is told with its exit code', async () => {
  const { blocks, owner, provider } = bench({ init: 1, onError: simpleBlockErrors });
  await blocks.start();
  provider.jobs.set('job-0', { state: 'completed', exitCode: 0 });
  await blocks.look();
  assert.match(owner.failures[0] ?? '', /block 0 ended before its workers came; exit code 0/);
  await blocks.close();
});

test('all blocks that run are cancelled at the end, and those that ended are not', async () => {
  const { blocks, provider } = bench({ init: 3, max: 3 });
  await blocks.start();
  provider.allRun();
  provider.jobs.set('job-1', { state: 'completed', exitCode: 0 });
  await blocks.look();
  await blocks.close();
  assert.deepEqual(provider.cancelled, ['job-0', 'job-2']);
});

test('a new life starts the first blocks again, and none where pools are started by hand', async () => {
  for (const [init, max, started] of [
    [2, 4, 4],
    [0, 4, 1],
    [0, 0, 0],
  ] as const) {
    const { blocks, provider } = bench({ init, max });
    await blocks.start();
    await blocks.restart();
    assert.equal(provider.jobs.size, started);
    await blocks.close();
  }
});

test('a block whose pools came and are gone, though its job runs, is ended, and another takes its place', async () => {
  const { blocks, owner, provider } = bench({ init: 1, max: 1, lostMs: 0 });
  await blocks.start();
  provider.allRun();
  owner.outstanding = 1;
  owner.idle.set('0', 0);
  await blocks.look();
  assert.deepEqual(provider.cancelled, []);
  owner.connected.add('0');
  owner.idle.delete('0');
  await blocks.look();
  assert.deepEqual(provider.cancelled, ['job-0']);
  assert.deepEqual([...provider.jobs.keys()], ['job-0', 'job-1']);
  provider.allRun();
  await blocks.look();
  assert.deepEqual(provider.cancelled, ['job-0'], 'its pools have not come yet');
  await blocks.close();
});

test('a block that ends while there is no interchange is no failure, nor one whose pools another interchange knew', async () => {
  const { blocks, owner, provider } = bench({ init: 1, max: 1, onError: simpleBlockErrors });
  await blocks.start();
  provider.allRun();
  owner.outstanding = 1;
  owner.idle.set('0', 0);
  await blocks.look();
  blocks.pause();
  owner.idle.clear();
  provider.jobs.set('job-0', { state: 'completed', exitCode: 0 });
  await blocks.look();
  assert.equal(blocks.lines()[0]?.state, 'running');
  await blocks.restart();
  await blocks.look();
  assert.deepEqual(owner.failures, []);
  assert.deepEqual([...provider.jobs.keys()], ['job-0', 'job-1']);
  await blocks.close();
});

test('a new block counts at once, though the provider knows nothing of it yet', async () => {
  const { blocks, owner, provider } = bench({ init: 0, max: 5 });
  await blocks.start();
  owner.outstanding = 1;
  for (let times = 0; times < 4; times++) await blocks.look();
  assert.equal(provider.jobs.size, 1);
  await blocks.close();
});

class Owner implements BlockOwner {
  outstanding = 0;
  readonly idle = new Map<string, number>();
  readonly held: string[] = [];
  readonly failures: string[] = [];
  onHold = (): unknown => undefined;
  commandFor = (id: string): string => `pool of ${id}`;
  readonly connected = new Set<string>();
  connectedBlocks = async (): Promise<Set<string>> => new Set([...this.connected, ...this.idle.keys()]);
  idleBlocks = async (): Promise<Map<string, number>> => this.idle;
  async holdBlock(id: string): Promise<void> {
    this.held.push(id);
    this.onHold();
  }
  onBlocksFailed(reason: string): void {
    this.failures.push(reason);
  }
  log(): void {}
}

class RecordingProvider implements Provider {
  readonly label = 'recording';
  readonly nodesPerBlock = 1;
  readonly pollMs = 2 ** 30;
  readonly isLocal = true;
  readonly jobs = new Map<string, JobStatus>();
  readonly cancelled: string[] = [];
  async submit(): Promise<string> {
    const id = `job-${this.jobs.size}`;
    this.jobs.set(id, { state: 'pending' });
    return id;
  }
  async status(ids: readonly string[]): Promise<JobStatus[]> {
    return ids.map((id) => this.jobs.get(id) ?? { state: 'unknown' });
  }
  async cancel(ids: readonly string[]): Promise<boolean[]> {
    this.cancelled.push(...ids);
    return ids.map(() => true);
  }
  allRun(): void {
    for (const id of this.jobs.keys()) this.jobs.set(id, { state: 'running' });
  }
}

function bench(options: Partial<BlockOptions>) {
  const owner = new Owner();
  const provider = new RecordingProvider();
  const blocks = new Blocks(owner, provider, {
    init: 1,
    min: 0,
    max: 1,
    parallelism: 1,
    strategy: 'simple',
    maxIdleMs: -1,
    periodMs: 2 ** 30,
    slotsPerBlock: 1,
    lostMs: 1e6,
    onError: ignoreBlockErrors,
    directory: '/nowhere',
    environment: {},
    ...options,
  });
  return { blocks, owner, provider };
}

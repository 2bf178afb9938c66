import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { entry, isResultBatch, ResultGatherer, readResults, TaskGatherer } from '#src/wire/messages/batch.js';
import { contextFragment } from '#src/wire/messages/task.js';
import { readInterchangeMessage, resultHeader, writeCommand } from '#src/wire/messages.js';
import { dict } from '#src/wire/pickle.js';
import { sure } from './builders.ts';
import { Pool, port, Submitter } from './processes.ts';

const node = dict({ runtime: 'node' });
const contextOfNode = contextFragment(node);
const extensions = ['cancel', 'refusal', 'batch', 'welcome', 'capacity'] as const;
const chervilPool = {
  runtimes: ['node'],
  extensions,
  parslVersion: 'chervil-0',
  pythonVersion: 'node-20',
  maxCapacity: 8,
};

function tasks(...ids: number[]): Uint8Array {
  const batch = new TaskGatherer();
  for (const id of ids) {
    const buffer = Buffer.from(`buffer ${id}`);
    batch.add(id, contextOfNode, buffer, 0, buffer.length);
  }
  return batch.take();
}

function results(...ids: number[]): Uint8Array {
  const batch = new ResultGatherer();
  for (const id of ids) batch.add(id, entry.value, Buffer.from('02\nN.'));
  return batch.take();
}

/** Ids of the next batches of tasks of a pool that reads batches. */
async function batchesOf(pool: Pool): Promise<number[]> {
  const read = readInterchangeMessage(await pool.inbox.next('a batch of tasks'));
  sure(read.ok && read.value.type === 'batches', JSON.stringify(read));
  return read.value.batches.flatMap(({ ids }) => ids);
}

async function welcome(pool: Pool): Promise<void> {
  const read = readInterchangeMessage(await pool.inbox.next('a welcome'));
  sure(read.ok && read.value.type === 'welcome' && read.value.readsBatches, JSON.stringify(read));
}

describe('batches between Chervil peers', () => {
  it('go from a submitter to a pool, and back without what nobody asked for', async () => {
    await using submitter = await Submitter.start();
    await using pool = new Pool(await port(submitter), 'pool-a');
    assert.deepEqual(await submitter.ask(writeCommand({ name: 'extensions', extensions: ['batch'] })), [
      'batch',
      'files',
    ]);
    pool.register(chervilPool);
    await welcome(pool);
    submitter.tasks.send([tasks(1, 2, 3)]);
    assert.deepEqual(await batchesOf(pool), [1, 2, 3]);
    pool.socket.send([resultHeader(), results(1, 2)]);
    pool.socket.send([resultHeader(), results(3, 2, 77)]);
    const [first] = await submitter.results.next('results');
    const [second] = await submitter.results.next('results');
    sure(first !== undefined && second !== undefined && isResultBatch(first) && isResultBatch(second));
    const [whole, rest] = [readResults(first), readResults(second)];
    sure(whole.ok && rest.ok);
    assert.deepEqual([whole.value.ids, rest.value.ids], [[1, 2], [3]]);
    assert.equal(await submitter.ask(writeCommand({ name: 'outstanding' })), 0);
  });

  it('of tasks are given as dicts to pools that do not read them', async () => {
    await using submitter = await Submitter.start();
    await using pool = new Pool(await port(submitter), 'pool-a');
    pool.register({ ...chervilPool, extensions: [] });
    submitter.tasks.send([tasks(1, 2)]);
    assert.deepEqual(await pool.tasks(), [1, 2]);
    pool.finish(2);
    assert.deepEqual(await submitter.answer(), { taskId: 2, isException: false, text: '02\nN.' });
  });

  it('of results are split for submitters that do not read them', async () => {
    await using submitter = await Submitter.start();
    await using pool = new Pool(await port(submitter), 'pool-a');
    pool.register(chervilPool);
    await welcome(pool);
    submitter.send(1, node);
    assert.deepEqual(await pool.tasks(), [1]);
    pool.socket.send([resultHeader(), results(1)]);
    assert.deepEqual(await submitter.answer(), { taskId: 1, isException: false, text: '02\nN.' });
  });

  it('that are broken cost their sender, and nobody else', async () => {
    await using submitter = await Submitter.start();
    await using pool = new Pool(await port(submitter), 'pool-a');
    pool.register(chervilPool);
    await welcome(pool);
    submitter.tasks.send([tasks(1).subarray(0, -3)]);
    submitter.tasks.send([tasks(2)]);
    assert.deepEqual(await batchesOf(pool), [2]);
    pool.socket.send([resultHeader(), results(2).subarray(0, -2)]);
    pool.socket.send([resultHeader(), results(2)]);
    assert.deepEqual(await submitter.answer(), { taskId: 2, isException: false, text: '02\nN.' });
  });
});

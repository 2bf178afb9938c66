// The command line of a pool, and what it makes of a node.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readPoolArguments } from '#src/pool/arguments.js';
import { nvidiaDevices } from '#src/pool/nvidia.js';
import { acceleratorEnvironment, coresOfWorkers, nodeResources, workerCount } from '#src/pool/resources.js';

test("a pool takes the command line that Parsl's template makes", () => {
  const line =
    '--debug --max_workers_per_node=4 -a 127.0.0.1,::1 -p 2 -c 0.5 -m None --poll 10 --port=54321 --cert_dir None --logdir=/tmp/logs --logconf=None --block_id=7 --hb_period=30 --hb_threshold=120 --drain_period=None --cpu-affinity none --mpi-launcher=mpiexec --available-accelerators 0 1';
  const read = readPoolArguments(line.split(' '));
  assert.ok(read.ok, read.ok ? '' : read.error);
  const {
    addresses,
    port,
    certDir,
    maxWorkers,
    prefetch,
    coresPerWorker,
    memoryPerWorker,
    blockId,
    heartbeatPeriodMs,
    drainAfterMs,
    accelerators,
  } = read.value;
  assert.deepEqual(
    {
      addresses,
      port,
      certDir,
      maxWorkers,
      prefetch,
      coresPerWorker,
      memoryPerWorker,
      blockId,
      heartbeatPeriodMs,
      drainAfterMs,
      accelerators,
    },
    {
      addresses: ['127.0.0.1', '::1'],
      port: 54_321,
      certDir: undefined,
      maxWorkers: 4,
      prefetch: 2,
      coresPerWorker: 0.5,
      memoryPerWorker: undefined,
      blockId: '7',
      heartbeatPeriodMs: 30_000,
      drainAfterMs: undefined,
      accelerators: ['0', '1'],
    },
  );
});

test('everything that is wrong with a command line is said at once', () => {
  const read = readPoolArguments(['-a', 'node7', '-c', 'many']);
  assert.ok(!read.ok);
  for (const word of ['node7', 'port', 'cert_dir', 'cores_per_worker']) assert.match(read.error, new RegExp(word));
});

test('the number of workers is the least that cores, memory, accelerators and the limit allow', () => {
  const node = { cores: 8, memoryGigabytes: 16 };
  const needs = {
    coresPerWorker: 1,
    memoryPerWorker: undefined,
    maxWorkers: Number.POSITIVE_INFINITY,
    accelerators: [],
  };
  assert.equal(workerCount(node, needs), 8);
  assert.equal(workerCount(node, { ...needs, coresPerWorker: 4 }), 2);
  assert.equal(workerCount(node, { ...needs, memoryPerWorker: 16 }), 1);
  assert.equal(workerCount(node, { ...needs, accelerators: ['0', '1', '2'] }), 3);
  assert.equal(workerCount(node, { ...needs, maxWorkers: 5 }), 5);
});

test('PARSL_CORES and PARSL_MEMORY_GB say what a node has', () => {
  assert.deepEqual(nodeResources({ PARSL_CORES: '6', PARSL_MEMORY_GB: '2.5' }), { cores: 6, memoryGigabytes: 2.5 });
});

test('each affinity gives the workers the cores that Parsl gives them', () => {
  const available = [0, 1, 2, 3, 4, 5, 6];
  assert.equal(coresOfWorkers('none', available, 3), undefined);
  assert.deepEqual(coresOfWorkers('block', available, 3), [
    [0, 1],
    [2, 3],
    [4, 5],
  ]);
  assert.deepEqual(coresOfWorkers('block-reverse', available, 3), [
    [4, 5],
    [2, 3],
    [0, 1],
  ]);
  assert.deepEqual(coresOfWorkers('alternating', available, 2), [
    [0, 2, 4],
    [1, 3, 5],
  ]);
  assert.deepEqual(coresOfWorkers('list:0-2:4,6', available, 2), [
    [0, 1, 2],
    [4, 6],
  ]);
  assert.throws(() => coresOfWorkers('list:0', available, 2), /1 entries for 2 workers/);
  assert.throws(() => coresOfWorkers('sideways', available, 2), /one of none, block/);
  assert.throws(() => coresOfWorkers('block', [0], 2), /too many/);
});

test('a worker sees its own accelerator', () => {
  assert.equal(acceleratorEnvironment(['0', '2,3'], 1)['CUDA_VISIBLE_DEVICES'], '2,3');
  assert.deepEqual(acceleratorEnvironment([], 0), {});
});

test('several workers share an NVIDIA device, in a row, when there are more workers than devices', () => {
  const names = Array.from({ length: 32 }, (_, index) => String(index));
  const device = (rank: number, workers: number, devices: number): string | undefined =>
    acceleratorEnvironment(names, rank, workers, devices)['CUDA_VISIBLE_DEVICES'];
  assert.deepEqual(
    [0, 7, 8, 31].map((rank) => device(rank, 32, 4)),
    ['0', '0', '1', '3'],
  );
  assert.equal(device(3, 4, 4), '3');
  assert.equal(device(2, 3, 4), '2', 'fewer workers than devices');
  assert.equal(device(2, 32, 0), '2', 'no device is known');
  assert.equal(acceleratorEnvironment(['a', 'b', 'c', 'd'], 3, 4, 2)['CUDA_VISIBLE_DEVICES'], 'd');
});

test('a node without nvidia-smi has no NVIDIA devices, which is no problem; one that cannot be run is', async () => {
  assert.deepEqual(await nvidiaDevices('/nowhere/nvidia-smi'), { count: 0 });
  const { count, problem } = await nvidiaDevices('/');
  assert.equal(count, 0);
  assert.match(problem ?? '', /could not be run: .*EACCES/);
});

test('nvidia-smi that hangs is not waited for without end, and what it said is told', async () => {
  const place = mkdtempSync(join(tmpdir(), 'chervil-nvidia-'));
  const program = join(place, 'nvidia-smi');
  try {
    writeFileSync(program, '#!/bin/sh\necho "GPU 0: it hangs"\nexec sleep 1000\n', { mode: 0o755 });
    assert.deepEqual(await nvidiaDevices(program, 500), {
      count: 0,
      problem: `${program} -L gave no answer within 0.5 s: GPU 0: it hangs`,
    });
  } finally {
    rmSync(place, { recursive: true });
  }
});

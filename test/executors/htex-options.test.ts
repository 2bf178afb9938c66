// What options of htex() become: workers planned, commands made, resources refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launchCommand, type PoolCommandParts } from '#src/executors/htex/command.js';
import { refusalOf, slotsOfBlock } from '#src/executors/htex/planning.js';
import { htex } from '#src/executors/htex.js';
import { app } from '#src/index.js';
import { inRun } from '../support/run.ts';

const parts: PoolCommandParts = {
  addresses: ['10.0.0.1', '::1'],
  port: 54_321,
  certDir: undefined,
  logDirectory: "/tmp/it's here",
  blockId: '3',
  debug: false,
  coresPerWorker: 2,
  memoryPerWorker: undefined,
  maxWorkersPerNode: 4,
  prefetch: 1,
  heartbeatPeriodMs: 30_000,
  heartbeatThresholdMs: 120_000,
  drainPeriodMs: undefined,
  addressProbeTimeoutMs: 5_000,
  cpuAffinity: 'block',
  accelerators: ['0', '2,3'],
  python: undefined,
  nodeWorkers: undefined,
  nodesPerBlock: 2,
  hasLoaders: true,
};

test("a launch command has all of Parsl's placeholders", () => {
  const names = [
    'debug max_workers_per_node addresses prefetch_capacity cores_per_worker mem_per_worker poll_period worker_port cert_dir',
    'logdir logconf block_id heartbeat_period heartbeat_threshold address_probe_timeout_string drain_period cpu_affinity',
    'enable_mpi_mode mpi_launcher accelerators nodes_per_block',
  ].flatMap((line) => line.split(' '));
  assert.deepEqual(Object.fromEntries(names.map((name) => [name, launchCommand(`{${name}}`, parts)])), {
    debug: '',
    max_workers_per_node: '--max_workers_per_node=4',
    addresses: '10.0.0.1,::1',
    prefetch_capacity: '1',
    cores_per_worker: '2',
    mem_per_worker: 'None',
    poll_period: '10',
    worker_port: '54321',
    cert_dir: 'None',
    logdir: `'/tmp/it'\\''s here'`,
    logconf: 'None',
    block_id: '3',
    heartbeat_period: '30',
    heartbeat_threshold: '120',
    address_probe_timeout_string: '--address_probe_timeout=5',
    drain_period: 'None',
    cpu_affinity: 'block',
    enable_mpi_mode: '',
    mpi_launcher: 'mpiexec',
    accelerators: '0 2,3',
    nodes_per_block: '2',
  });
});

test('a template of Parsl, with its doubled braces, and one with braces of the shell stay what they are', () => {
  assert.equal(launchCommand('pool -P {worker_port} --block_id={{block_id}}', parts), 'pool -P 54321 --block_id=3');
  // biome-ignore lint/suspicious/noTemplateCurlyInString: of a shell
  assert.equal(launchCommand("echo ${worker_port} | awk '{print}'", parts), "echo ${worker_port} | awk '{print}'");
  const wrapped = launchCommand('srun -N {nodes_per_block} {command}', parts);
  assert.match(wrapped, /^srun -N 2 \S+ \S+start\.js +--max_workers_per_node=4 -a 10\.0\.0\.1,::1 -p 1 -c 2 /);
  assert.match(wrapped, / --cpu-affinity block .*--available-accelerators 0 2,3$/);
});

test('the planned workers of a block are the least that its limits allow', () => {
  const plan = { maxWorkersPerNode: undefined, coresPerWorker: 1, memoryPerWorker: undefined, accelerators: [] };
  assert.equal(slotsOfBlock({ ...plan, coresPerWorker: 4 }, { nodesPerBlock: 1, coresPerNode: 8 }), 2);
  assert.equal(slotsOfBlock({ ...plan, memoryPerWorker: 16 }, { nodesPerBlock: 1, memoryPerNode: 16 }), 1);
  assert.equal(slotsOfBlock({ ...plan, accelerators: ['0', '1', '2'] }, { nodesPerBlock: 1 }), 3);
  assert.equal(slotsOfBlock({ ...plan, maxWorkersPerNode: 5 }, { nodesPerBlock: 2, coresPerNode: 64 }), 10);
  assert.equal(slotsOfBlock(plan, { nodesPerBlock: 4 }), 4, 'one for each node, where nothing is known');
});

test('only a priority can be asked for', () => {
  assert.equal(refusalOf({}), undefined);
  assert.equal(refusalOf({ priority: -1.5 }), undefined);
  assert.match(refusalOf({ priority: 1, cores: 2, gpus: 1 }) ?? '', /and not 'cores', 'gpus'/);
  assert.match(refusalOf({ priority: 'high' }) ?? '', /must be a number .*is high/);
});

test('resources that no executor can give are refused in the call, and others are asked first', () => {
  const cheap = app(() => 1, { name: 'cheap', resources: { cores: 2 } });
  return inRun({ executors: [htex({ blocks: { init: 0 } })] }, async () => {
    assert.throws(() => cheap(), { code: 'UNSUPPORTED', message: /cheap\(\) .* not 'cores'/ });
  });
});

// What control groups leave a pool: files as the kernel shows them, of both versions.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { groupLimits, oomKills } from '#src/pool/control-groups.js';
import { nodeResources } from '#src/pool/resources.js';

test("a batch job's own group limits cores and memory, though it stands deep in the tree", () =>
  onRoot(
    {
      'proc/self/cgroup': '0::/system.slice/slurmstepd.scope/job_7/step_0\n',
      'sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/cpu.max': '300000 100000',
      'sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/step_0/cpu.max': 'max 100000',
      'sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/memory.max': String(8 * 2 ** 30),
      'sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/memory.current': String(3 * 2 ** 30),
      'sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/memory.stat': `anon 5\ninactive_file ${2 ** 30}\n`,
      'sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/step_0/memory.events': 'oom 3\noom_kill 2\n',
    },
    (root) => {
      assert.deepEqual(groupLimits(root), { cores: 3, memoryBytes: 6 * 2 ** 30 });
      assert.equal(oomKills(root), 2);
    },
  ));

test('the first version of control groups counts too, where each controller has a tree of its own', () =>
  onRoot(
    {
      'proc/self/cgroup': '9:cpu,cpuacct:/job\n8:memory:/job/step\n0::/\n',
      'sys/fs/cgroup/cpu/job/cpu.cfs_quota_us': '150000',
      'sys/fs/cgroup/cpu/job/cpu.cfs_period_us': '100000',
      'sys/fs/cgroup/memory/job/memory.limit_in_bytes': String(2 ** 30),
      'sys/fs/cgroup/memory/job/memory.usage_in_bytes': '0',
      'sys/fs/cgroup/memory/job/step/memory.limit_in_bytes': '9223372036854771712',
      'sys/fs/cgroup/memory/job/memory.oom_control': 'under_oom 0\noom_kill 1\n',
    },
    (root) => {
      assert.deepEqual(groupLimits(root), { cores: 1.5, memoryBytes: 2 ** 30 });
      assert.equal(oomKills(root), 1);
    },
  ));

test('in a container, where the path of the group is not to be seen, the top counts', () =>
  onRoot({ 'proc/self/cgroup': '0::/docker/abc\n', 'sys/fs/cgroup/cpu.max': '200000 100000' }, (root) =>
    assert.deepEqual(groupLimits(root), { cores: 2, memoryBytes: Number.POSITIVE_INFINITY }),
  ));

test('without control groups there is no limit', () =>
  onRoot({}, (root) => {
    assert.deepEqual(groupLimits(root), { cores: Number.POSITIVE_INFINITY, memoryBytes: Number.POSITIVE_INFINITY });
    assert.equal(oomKills(root), 0);
  }));

test('a pool has as many cores and as much memory as its group is left, in whole cores, and at least one', () => {
  assert.deepEqual(nodeResources({}, { cores: 1.9, memoryBytes: 2 ** 29 }), { cores: 1, memoryGigabytes: 0.5 });
  assert.equal(nodeResources({}, { cores: 0.5, memoryBytes: 0 }).cores, 1);
  assert.equal(nodeResources({ PARSL_CORES: '6' }, { cores: 2, memoryBytes: 0 }).cores, 6);
});

function onRoot(files: Readonly<Record<string, string>>, body: (root: string) => void): void {
  const root = mkdtempSync(join(tmpdir(), 'chervil-cgroup-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    body(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

// Monitoring messages of Parsl, of every era.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readMonitoring, writeNodeInfo, writeUsageItem } from '#src/wire/messages/monitoring.js';
import { decode, encode, type PickleValue, PyGlobal, PyObject, PyTuple } from '#src/wire/pickle.js';

const messageType = new PyGlobal('parsl.monitoring.message_type', 'MessageType');
const fields = new Map<PickleValue, PickleValue>([
  ['task_id', 7],
  ['hostname', 'nid0001'],
  ['first_msg', true],
  ['nested', [1, 2]],
]);
const expected = { task_id: 7, hostname: 'nid0001', first_msg: true };

test('a message is a type and a dict, and the type is an enum by value, by name, or a bare number', () => {
  const byValue = new PyObject('call', messageType, new PyTuple([1]));
  const byName = new PyObject('call', new PyGlobal('builtins', 'getattr'), new PyTuple([messageType, 'RESOURCE_INFO']));
  for (const type of [byValue, byName, 1]) {
    const read = readMonitoring(encode(new PyTuple([type, fields])));
    assert.deepEqual(read, { ok: true, value: { kind: 'resource', fields: expected } });
  }
  const later = readMonitoring(encode(new PyTuple([new PyObject('call', messageType, new PyTuple([5])), fields])));
  assert.equal(later.ok && later.value.kind, 'worker task');
});

test('older radios put the source and the time in front', () => {
  const inner = new PyTuple([new PyObject('call', messageType, new PyTuple([1])), fields]);
  const read = readMonitoring(encode(new PyTuple(['radio-1', 1_600_000_000, inner])));
  assert.deepEqual(read, { ok: true, value: { kind: 'resource', fields: expected } });
});

test('the record of a manager is read with its times', () => {
  const at = Date.UTC(2026, 5, 4, 3, 2, 1, 250);
  const registration = {
    parslVersion: '2026.07.27',
    pythonVersion: '3.12.1',
    uid: 'abc',
    blockId: '0',
    os: 'Linux',
    hostname: 'nid0001',
    dir: '/',
    startTime: 1,
    workerCount: 4,
    prefetchCapacity: 0,
    maxCapacity: 4,
    cpuCount: 8,
    totalMemory: 64,
  };
  const info = {
    runId: 'r',
    registration,
    taskIds: [1],
    isActive: true,
    isDraining: false,
    heardAt: at,
    idleSince: undefined,
    at,
  };
  const read = readMonitoring(writeNodeInfo(info as never));
  assert.ok(read.ok, 'it is read');
  const { kind, fields: found } = read.value;
  assert.equal(kind, 'node');
  assert.deepEqual(
    [found['worker_count'], found['active'], found['timestamp'], found['last_heartbeat']],
    [4, true, at, at],
  );
});

test('what a pool tells of a task’s use passes through an item', () => {
  const item = decode(writeUsageItem({ task_id: 3, psutil_process_time_user: 1.5, psutil_process_status: 'sleeping' }));
  assert.ok(item.ok && item.value instanceof Map, 'an item');
  assert.equal(item.value.get('type'), 'monitoring');
  const read = readMonitoring(encode(item.value.get('payload') as PickleValue));
  assert.deepEqual(read.ok && read.value.fields, {
    task_id: 3,
    psutil_process_time_user: 1.5,
    psutil_process_status: 'sleeping',
  });
});

test('what is no message is told as that', () => {
  for (const bytes of [
    Buffer.from('nonsense'),
    encode(7),
    encode(new PyTuple([9, fields])),
    encode(new PyTuple([1, 'text'])),
  ])
    assert.equal(readMonitoring(bytes).ok, false);
});

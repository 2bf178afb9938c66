// Monitoring messages in Parsl's form: (MessageType, dict). How a manager stands is made by the interchange, what a task uses
// by pools; both are read by the submit side, and of every era.
import type { Result } from '../../base/result.ts';
import { decode, encode, type PickleValue, PickleWriter, PyFloat, PyGlobal, PyObject, PyTuple } from '../pickle.ts';
import type { Registration } from './manager.ts';

/** A manager for the monitoring database. Times are milliseconds since the epoch. */
export interface NodeInfo {
  readonly runId: string;
  readonly registration: Registration;
  readonly taskIds: readonly number[];
  readonly isActive: boolean;
  readonly isDraining: boolean;
  readonly heardAt: number;
  readonly idleSince: number | undefined;
  readonly at: number;
}

const writer = new PickleWriter();
const nodeInfo = 3;

/**
 * The frame `(MessageType.NODE_INFO, dict)`. The list of packages is left out: no reader uses it, and it would be the
 * greatest part by far.
 */
export function writeNodeInfo(info: NodeInfo): Uint8Array {
  const { registration } = info;
  writer.begin();
  writer.tupleStart();
  writer.global('parsl.monitoring.message_type', 'MessageType');
  writer.tupleStart();
  writer.int(nodeInfo);
  writer.tupleEnd();
  writer.call();
  writer.dictStart();
  texts({
    type: 'registration',
    run_id: info.runId,
    parsl_v: registration.parslVersion,
    parsl_version: registration.parslVersion,
    python_v: registration.pythonVersion,
    python_version: registration.pythonVersion,
    uid: registration.uid,
    block_id: registration.blockId,
    os: registration.os,
    hostname: registration.hostname,
    dir: registration.dir,
  });
  writer.text('start_time');
  writer.float(registration.startTime);
  writer.text('worker_count');
  number(registration.workerCount);
  writer.text('prefetch_capacity');
  number(registration.prefetchCapacity);
  writer.text('max_capacity');
  number(registration.maxCapacity);
  writer.text('cpu_count');
  number(registration.cpuCount ?? 0);
  writer.text('total_memory');
  number(registration.totalMemory ?? 0);
  writer.text('active');
  writer.bool(info.isActive);
  writer.text('draining');
  writer.bool(info.isDraining);
  writer.text('tasks');
  writer.listStart();
  for (const taskId of info.taskIds) writer.int(taskId);
  writer.listEnd();
  writer.text('idle_since');
  if (info.idleSince === undefined) writer.none();
  else writer.float(info.idleSince / 1_000);
  writer.text('last_heartbeat');
  datetime(info.heardAt);
  writer.text('timestamp');
  datetime(info.at);
  writer.dictEnd();
  writer.tupleEnd();
  return writer.finish();
}

function texts(fields: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(fields)) {
    writer.text(key);
    writer.text(value);
  }
}

function number(value: number | bigint): void {
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) writer.int(value);
  else writer.float(value);
}

/** Python's `datetime`, in local time without a zone, as Parsl has it. */
function datetime(ms: number): void {
  const time = new Date(ms);
  const year = time.getFullYear();
  const microseconds = time.getMilliseconds() * 1_000;
  writer.global('datetime', 'datetime');
  writer.tupleStart();
  writer.byteString(
    Uint8Array.of(
      year >> 8,
      year & 0xff,
      time.getMonth() + 1,
      time.getDate(),
      time.getHours(),
      time.getMinutes(),
      time.getSeconds(),
      microseconds >> 16,
      (microseconds >> 8) & 0xff,
      microseconds & 0xff,
    ),
  );
  writer.tupleEnd();
  writer.call();
}

/** Parsl's kinds of messages, by number. The last exists since 2026.05; before, RESOURCE_INFO had `first_msg` and `last_msg`. */
const kinds = ['task', 'resource', 'workflow', 'node', 'block', 'worker task'] as const;
export type MonitoringKind = (typeof kinds)[number];

/** A field of a message. Times are milliseconds since the epoch. */
export type MonitoringField = string | number | boolean | null;

export interface MonitoringMessage {
  readonly kind: MonitoringKind;
  readonly fields: Readonly<Record<string, MonitoringField>>;
}

/** The item of a pool with what a task uses: (RESOURCE_INFO, dict). Numbers that are no whole ones, or end in `_user`, are floats. */
export function writeUsageItem(fields: Readonly<Record<string, string | number>>): Uint8Array {
  const dict = new Map<PickleValue, PickleValue>();
  for (const [key, value] of Object.entries(fields))
    dict.set(key, typeof value === 'number' && !Number.isSafeInteger(value) ? new PyFloat(value) : value);
  const type = new PyObject('call', new PyGlobal('parsl.monitoring.message_type', 'MessageType'), new PyTuple([1]));
  return encode(
    new Map<PickleValue, PickleValue>([
      ['type', 'monitoring'],
      ['payload', new PyTuple([type, dict])],
    ]),
  );
}

/** Reads a frame as monitoring gets it. Never throws; nested values other than times are left out. */
export function readMonitoring(frame: Uint8Array): Result<MonitoringMessage> {
  const decoded = decode(frame);
  if (!decoded.ok) return { ok: false, error: decoded.error.message };
  // Older radios put who sent it, and when, in front: (source, time, (type, dict)).
  let value: PickleValue | undefined = decoded.value;
  for (let depth = 0; depth < 3; depth++) {
    const last: PickleValue | undefined = itemsOf(value)?.at(-1);
    if (last === undefined || itemsOf(last) === undefined) break;
    value = last;
  }
  const [type, body] = itemsOf(value) ?? [];
  const kind = kinds[numberOfType(type) ?? -1];
  if (kind === undefined) return { ok: false, error: 'a monitoring message of an unknown type' };
  if (!(body instanceof Map)) return { ok: false, error: 'a monitoring message without fields' };
  const fields: Record<string, MonitoringField> = {};
  for (const [key, one] of body) {
    const field = fieldOf(one as PickleValue);
    if (typeof key === 'string' && field !== undefined) fields[key] = field;
  }
  return { ok: true, value: { kind, fields } };
}

function itemsOf(value: PickleValue | undefined): readonly PickleValue[] | undefined {
  if (value instanceof PyTuple) return value.items;
  return Array.isArray(value) ? (value as readonly PickleValue[]) : undefined;
}

/** The enum's member as it is pickled, `MessageType(3)`, `getattr(MessageType, 'NODE_INFO')`, or the bare number. */
function numberOfType(type: PickleValue | undefined): number | undefined {
  if (typeof type === 'number') return type;
  if (!(type instanceof PyObject)) return undefined;
  const [first, second] = type.args.items;
  if (typeof first === 'number') return first;
  const name = typeof second === 'string' ? second : undefined;
  const at = ['TASK_INFO', 'RESOURCE_INFO', 'WORKFLOW_INFO', 'NODE_INFO', 'BLOCK_INFO', 'WORKER_TASK_INFO'].indexOf(
    name ?? '',
  );
  return at < 0 ? undefined : at;
}

function fieldOf(value: PickleValue): MonitoringField | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || typeof value === 'number')
    return value;
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof PyFloat) return value.value;
  if (value instanceof PyObject && value.callee instanceof PyGlobal && value.callee.name === 'datetime') {
    const [bytes] = value.args.items;
    if (!(bytes instanceof Uint8Array) || bytes.length !== 10) return undefined;
    const [high = 0, low = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0, a = 0, b = 0, c = 0] = bytes;
    return new Date(
      high * 256 + low,
      (month & 0x7f) - 1,
      day,
      hour,
      minute,
      second,
      Math.floor((a * 65_536 + b * 256 + c) / 1_000),
    ).getTime();
  }
  return undefined;
}

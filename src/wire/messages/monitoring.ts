// The one kind of monitoring message an interchange makes itself: how a manager stands.
import { PickleWriter } from '../pickle.ts';
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

// The command channel: a submitter asks, the interchange answers every request exactly once.
import type { Result } from '../../base/result.ts';
import {
  decodePrefix,
  dict,
  encode,
  field,
  type PickleLimits,
  type PickleValue,
  PyFloat,
  PyTuple,
  toNumber,
} from '../pickle.ts';

/** What a submitter may ask. Old forms are read into the same cases. */
export type Command =
  | { readonly name: 'worker binds' }
  | { readonly name: 'worker ports' }
  | { readonly name: 'outstanding' }
  | { readonly name: 'workers' }
  | { readonly name: 'connected blocks' }
  | { readonly name: 'managers' }
  | { readonly name: 'managers packages' }
  | { readonly name: 'hold manager'; readonly manager: string }
  /** Extension `["CHERVIL_CANCEL", [ids], reason]`. */
  | { readonly name: 'cancel'; readonly taskIds: readonly number[]; readonly reason?: string }
  /** Extension `["CHERVIL_EXTENSIONS", [names]]`: what the submitter understands; the answer is what the interchange does. */
  | { readonly name: 'extensions'; readonly extensions: readonly string[] }
  /** Extension `["CHERVIL_BLOCK_ENDED", id]`: the job of a block is over, and its pools with it. */
  | { readonly name: 'block ended'; readonly blockId: string }
  /** Extension `"CHERVIL_STATUS"`. */
  | { readonly name: 'status' }
  | { readonly name: 'unknown'; readonly shown: string };

/** One line of the answer to `MANAGERS`. */
export interface ManagerLine {
  readonly manager: string;
  readonly blockId: string;
  readonly workerCount: number;
  readonly tasks: number;
  /** Seconds; 0 while it has tasks. */
  readonly idleSeconds: number;
  readonly isActive: boolean;
  readonly parslVersion: string;
  readonly pythonVersion: string;
  readonly isDraining: boolean;
  /** What its workers run, `node` or `python`, if it says so: Chervil's do. */
  readonly languages?: readonly string[];
  /** Only in the status report: why it may be a stray one. */
  readonly doubt?: string;
}

/** What became of a task somebody wants cancelled. */
export type CancelAnswer =
  /** It was still queued and will never run. */
  | 'removed'
  /** Its manager was asked to stop it; its result still comes. */
  | 'asked'
  /** It runs on a manager that cannot stop tasks. */
  | 'running'
  /** No such task is unanswered. */
  | 'unknown';

/** Where the interchange's tasks stand: `received = queued + leased + answered`, always. */
export interface Counters {
  readonly received: number;
  readonly queued: number;
  readonly leased: number;
  readonly answered: number;
  /** Results passed on to the submitter. */
  readonly results: number;
  /** Failures made here: managers lost, unreadable tasks and results. */
  readonly failures: number;
  readonly cancelled: number;
  /** Results for tasks that were answered before, never existed, or belong to another manager. */
  readonly strayResults: number;
  /** Task frames and messages without meaning, dropped. */
  readonly malformed: number;
  /** Tasks whose id was still unanswered when it came again; the second is dropped. */
  readonly duplicates: number;
  readonly managersRegistered: number;
  readonly managersRefused: number;
  readonly managersLost: number;
}

/** Everything `chervil interchange --status` shows. */
export interface StatusReport {
  readonly counters: Counters;
  readonly managers: readonly ManagerLine[];
  /** Queued tasks and ready managers of each runtime. */
  readonly lanes: readonly { readonly runtime: string; readonly readyManagers: number }[];
  /** The latest refusals, oldest first. */
  readonly refusals: readonly { readonly manager: string; readonly reason: string; readonly times: number }[];
}

/** An answer, before it is pickled. */
export type CommandReply =
  | { readonly name: 'nothing' }
  | { readonly name: 'number'; readonly value: number }
  | { readonly name: 'ports' }
  | { readonly name: 'port' }
  | { readonly name: 'texts'; readonly values: readonly string[] }
  | { readonly name: 'managers'; readonly managers: readonly ManagerLine[] }
  | {
      readonly name: 'packages';
      readonly managers: readonly { readonly manager: string; readonly packages: ReadonlyMap<string, string> }[];
    }
  | { readonly name: 'cancelled'; readonly answers: readonly CancelAnswer[] }
  | { readonly name: 'status'; readonly report: StatusReport };

const commandLimits: Partial<PickleLimits> = { maxBytes: 16 * 1024 * 1024, maxGlobals: 0, maxDepth: 8 };

const words: Readonly<Record<string, Command>> = {
  WORKER_BINDS: { name: 'worker binds' },
  WORKER_PORTS: { name: 'worker ports' },
  OUTSTANDING_C: { name: 'outstanding' },
  WORKERS: { name: 'workers' },
  CONNECTED_BLOCKS: { name: 'connected blocks' },
  MANAGERS: { name: 'managers' },
  MANAGERS_PACKAGES: { name: 'managers packages' },
  CHERVIL_STATUS: { name: 'status' },
};

/** Reads a request of any era. What is no command becomes `unknown`, since it must be answered too. Never throws. */
export function readCommand(frame: Uint8Array): Command {
  const decoded = decodePrefix(frame, commandLimits);
  if (!decoded.ok) return { name: 'unknown', shown: `bytes that cannot be read (${decoded.error.message})` };
  const { value } = decoded.value;
  if (typeof value === 'string') {
    const known = Object.hasOwn(words, value) ? words[value] : undefined;
    if (known !== undefined) return known;
    const held = /^HOLD_(?:WORKER|MANAGER);([^;]+)$/s.exec(value)?.[1];
    if (held !== undefined) return { name: 'hold manager', manager: held };
  }
  if (Array.isArray(value) && value.length === 2) {
    const [word, argument] = value;
    if (word === 'CHERVIL_BLOCK_ENDED' && typeof argument === 'string')
      return { name: 'block ended', blockId: argument };
    if (word === 'HOLD_MANAGER' && typeof argument === 'string') return { name: 'hold manager', manager: argument };
  }
  if (Array.isArray(value) && value[0] === 'CHERVIL_CANCEL' && Array.isArray(value[1])) {
    const [, ids, reason] = value;
    const taskIds = (ids as PickleValue[]).filter((id): id is number => Number.isSafeInteger(id));
    return { name: 'cancel', taskIds, ...(typeof reason === 'string' ? { reason } : {}) };
  }
  if (Array.isArray(value) && value[0] === 'CHERVIL_EXTENSIONS' && Array.isArray(value[1])) {
    const extensions = value[1].filter((one): one is string => typeof one === 'string');
    return { name: 'extensions', extensions };
  }
  return { name: 'unknown', shown: show(value) };
}

function show(value: PickleValue): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 100));
  if (value === null) return 'None';
  if (typeof value !== 'object') return String(value).slice(0, 100);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return value instanceof Map ? 'a dict' : value instanceof Uint8Array ? 'a byte string' : 'an object';
}

/** A submitter's request, in the newest form; `holdForm` for older interchanges. */
export function writeCommand(
  command: Exclude<Command, { name: 'unknown' }>,
  holdForm: 'list' | 'HOLD_WORKER' = 'list',
): Uint8Array {
  switch (command.name) {
    case 'hold manager':
      return encode(holdForm === 'list' ? ['HOLD_MANAGER', command.manager] : `HOLD_WORKER;${command.manager}`);
    case 'cancel':
      return encode([
        'CHERVIL_CANCEL',
        [...command.taskIds],
        ...(command.reason === undefined ? [] : [command.reason]),
      ]);
    case 'block ended':
      return encode(['CHERVIL_BLOCK_ENDED', command.blockId]);
    case 'extensions':
      return encode(['CHERVIL_EXTENSIONS', [...command.extensions]]);
    default: {
      const word = Object.keys(words).find((key) => words[key]?.name === command.name);
      return encode(word ?? null);
    }
  }
}

/** The ports an interchange listens on for pools: one, or a task port and a result port for old pools. */
export interface PoolPorts {
  readonly single: number;
  readonly pair: readonly [tasks: number, results: number] | undefined;
}

/** The frame of an answer. */
export function writeReply(reply: CommandReply, ports: PoolPorts): Uint8Array {
  return encode(replyValue(reply, ports));
}

function replyValue(reply: CommandReply, ports: PoolPorts): PickleValue {
  switch (reply.name) {
    case 'nothing':
      return null;
    case 'number':
      return reply.value;
    case 'port':
      return ports.single;
    case 'ports':
      // Without old ports there is nothing to tell; a submitter that asks for two then fails to start, with None to show.
      return ports.pair === undefined ? null : new PyTuple([...ports.pair]);
    case 'texts':
      return [...reply.values];
    case 'managers':
      return reply.managers.map(managerDict);
    case 'packages':
      return new Map(
        reply.managers.map(({ manager, packages }): [PickleValue, PickleValue] => [manager, new Map(packages)]),
      );
    case 'cancelled':
      return [...reply.answers];
    case 'status':
      return statusDict(reply.report);
    default:
      return reply satisfies never;
  }
}

function managerDict(line: ManagerLine): Map<PickleValue, PickleValue> {
  return dict({
    manager: line.manager,
    block_id: line.blockId,
    worker_count: line.workerCount,
    tasks: line.tasks,
    idle_duration: new PyFloat(line.idleSeconds),
    active: line.isActive,
    parsl_version: line.parslVersion,
    python_version: line.pythonVersion,
    draining: line.isDraining,
    ...(line.languages === undefined ? {} : { chervil_runtimes: [...line.languages] }),
  });
}

/** The report as a dict: also the answer to a `chervil_status` message on the pool port. */
export function statusDict(report: StatusReport): PickleValue {
  return dict({
    chervil: 'status',
    counters: dict({ ...report.counters }),
    managers: report.managers.map((line) => managerDict(line).set('doubt', line.doubt ?? null)),
    lanes: report.lanes.map((lane) => dict({ runtime: lane.runtime, ready_managers: lane.readyManagers })),
    refusals: report.refusals.map((refusal) => dict({ ...refusal })),
  });
}

/** A reply as the submitter gets it: what it means depends on what was asked. */
export function readReply(frame: Uint8Array): Result<PickleValue> {
  const decoded = decodePrefix(frame, { maxGlobals: 0, maxDepth: 16 });
  return decoded.ok ? { ok: true, value: decoded.value.value } : { ok: false, error: decoded.error.message };
}

/** The answer to `MANAGERS`, checked. */
export function readManagers(value: PickleValue): Result<ManagerLine[]> {
  if (!Array.isArray(value)) return { ok: false, error: 'the answer to MANAGERS is no list' };
  const lines: ManagerLine[] = [];
  for (const item of value) {
    const manager = field(item, 'manager');
    if (typeof manager !== 'string') return { ok: false, error: 'a manager without a name' };
    lines.push({
      manager,
      blockId: String(field(item, 'block_id') ?? ''),
      workerCount: toNumber(field(item, 'worker_count')) ?? 0,
      tasks: toNumber(field(item, 'tasks')) ?? 0,
      idleSeconds: toNumber(field(item, 'idle_duration')) ?? 0,
      isActive: field(item, 'active') === true,
      parslVersion: String(field(item, 'parsl_version') ?? ''),
      pythonVersion: String(field(item, 'python_version') ?? ''),
      isDraining: field(item, 'draining') === true,
      ...languagesOf(field(item, 'chervil_runtimes')),
      ...(typeof field(item, 'doubt') === 'string' ? { doubt: String(field(item, 'doubt')) } : {}),
    });
  }
  return { ok: true, value: lines };
}

function languagesOf(value: PickleValue | undefined): { readonly languages?: readonly string[] } {
  return Array.isArray(value) ? { languages: value.map(String) } : {};
}

/** The status report out of a reply. */
export function readStatus(value: PickleValue): Result<StatusReport> {
  const managers = readManagers(field(value, 'managers') ?? null);
  const counted = field(value, 'counters');
  if (!managers.ok || !(counted instanceof Map)) return { ok: false, error: 'not the status of a Chervil interchange' };
  const list = (key: string): PickleValue[] => {
    const found = field(value, key);
    return Array.isArray(found) ? found : [];
  };
  const counters: Record<string, number> = {};
  for (const [name, number] of counted) if (typeof number === 'number') counters[String(name)] = number;
  return {
    ok: true,
    value: {
      // The names are those of our own `statusDict`.
      counters: counters as unknown as Counters,
      managers: managers.value,
      lanes: list('lanes').map((lane) => ({
        runtime: String(field(lane, 'runtime')),
        readyManagers: toNumber(field(lane, 'ready_managers')) ?? 0,
      })),
      refusals: list('refusals').map((refusal) => ({
        manager: String(field(refusal, 'manager')),
        reason: String(field(refusal, 'reason')),
        times: toNumber(field(refusal, 'times')) ?? 1,
      })),
    },
  };
}

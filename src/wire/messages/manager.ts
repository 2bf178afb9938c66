// What pools ("managers" on the wire) and the interchange say to one another, apart from tasks and result items.
// Decoded by the interchange's pool port, written by the pool.
import type { Result } from '../../base/result.ts';
import {
  decodePrefix,
  dict,
  encode,
  field,
  type PickleLimits,
  type PickleValue,
  PyFloat,
  toNumber,
} from '../pickle.ts';
import { isTaskBatch, readTasks, type TaskBatch } from './batch.ts';
import { isCodeName } from './code.ts';
import type { PoolStyle } from './era.ts';
import { type Item, readItem } from './item.ts';

/** The packages of a pool's Python: name to version. Either may be missing for a broken installation. */
export type Packages = ReadonlyMap<string, string>;

/** What a pool says of itself when it registers. Only what the interchange needs must be right; the rest has defaults. */
export interface Registration {
  readonly parslVersion: string;
  readonly pythonVersion: string;
  /** `undefined` before 2025.02.17. */
  readonly packages: Packages | undefined;
  readonly workerCount: number;
  readonly uid: string;
  readonly blockId: string;
  /** Seconds since the epoch, by the pool's clock. */
  readonly startTime: number;
  /** When it wants to drain, in the same seconds. Only pools since 2026.10.19 say it here; others ask when it is time. */
  readonly drainTime?: number;
  readonly prefetchCapacity: number;
  readonly maxCapacity: number;
  readonly os: string;
  readonly hostname: string;
  readonly dir: string;
  /** Physical cores; `undefined` where the pool could not tell. */
  readonly cpuCount: number | undefined;
  readonly totalMemory: number | bigint | undefined;
  /** Extension key `chervil_runtimes`: what its workers can run. A pool that says nothing runs Python. */
  readonly runtimes: readonly string[];
  /** Extension key `chervil_extensions`: what else it understands. Empty for Python pools. */
  readonly extensions: readonly Extension[];
}

/**
 * What Chervil peers may agree on beyond Parsl's protocol: `cancel` of running tasks, a `refusal` with its reason,
 * many tasks or results in one frame (`batch`), a `welcome` after the registration, and then a `capacity` that may change. `files`: its workers see
 * the files in which the submitter keeps large values. `sibling`: its node has workers of the other language too, which register by themselves.
 */
export type Extension = 'cancel' | 'refusal' | 'batch' | 'welcome' | 'capacity' | 'files' | 'sibling';

export const knownExtensions = [
  'cancel',
  'refusal',
  'batch',
  'welcome',
  'capacity',
  'files',
  'sibling',
] as const satisfies readonly Extension[];

/** A message of a pool, or of somebody who asks for the status, to the pool port. */
export type ManagerMessage =
  /** With `isChervil` a Chervil interchange answers `welcome`; all others answer `probe`. */
  | { readonly type: 'connection_probe'; readonly isChervil?: boolean }
  | { readonly type: 'heartbeat' }
  | { readonly type: 'drain' }
  | { readonly type: 'registration'; readonly registration: Registration }
  | { readonly type: 'result'; readonly items: readonly Item[] }
  | { readonly type: 'chervil_status' }
  /** After a `welcome`: how many tasks it may hold from now on. */
  | { readonly type: 'chervil_capacity'; readonly capacity: number }
  /** It holds tasks that need this file of code. */
  | { readonly type: 'chervil_code'; readonly name: string };

/** A packages list has thousands of entries at most. */
const controlLimits: Partial<PickleLimits> = {
  maxBytes: 8 * 1024 * 1024,
  maxGlobals: 0,
  maxDepth: 32,
  maxContainers: 10_000,
  maxStack: 200_000,
  maxMemo: 200_000,
};

/**
 * Reads a message that came to the pool port, without the identity frame. Pickled control frames of all protocols, and
 * the JSON of pools before 2025.06.30, are understood. Never throws.
 *
 * @param port - on which port it came; `results` for the second port of those pools, whose messages are items without a control frame
 */
export function readManagerMessage(
  frames: readonly Uint8Array[],
  port: 'single' | 'tasks' | 'results' = 'single',
): Result<ManagerMessage> {
  const first = frames[0];
  if (first === undefined) return { ok: false, error: 'a message without frames' };
  if (port === 'results') return { ok: true, value: { type: 'result', items: frames.map(readItem) } };
  if (isEqual(first, usual.result)) return { ok: true, value: { type: 'result', items: readItems(frames) } };
  if (isEqual(first, usual.heartbeat)) return heartbeat;
  const alone = frames.length === 1 ? readItemAlone(first) : undefined;
  if (alone !== undefined) return { ok: true, value: { type: 'result', items: [alone] } };
  const decoded = first[0] === 0x7b ? readJson(first) : decodeControl(first);
  if (!decoded.ok) return decoded;
  const type = field(decoded.value, 'type');
  switch (type) {
    case 'heartbeat':
      return heartbeat;
    case 'result':
      return { ok: true, value: { type, items: readItems(frames) } };
    case 'connection_probe':
      return { ok: true, value: field(decoded.value, 'chervil') === true ? { type, isChervil: true } : { type } };
    case 'drain':
    case 'chervil_status':
      return { ok: true, value: { type } };
    case 'chervil_capacity': {
      const capacity = toNumber(field(decoded.value, 'max_capacity'));
      if (capacity === undefined || Number.isNaN(capacity)) return { ok: false, error: 'a capacity that is no number' };
      return { ok: true, value: { type, capacity } };
    }
    case 'chervil_code': {
      const name = field(decoded.value, 'name');
      if (!isCodeName(name)) return { ok: false, error: 'it asks for code under a name that is none' };
      return { ok: true, value: { type, name } };
    }
    case 'registration': {
      const registration = readRegistration(decoded.value);
      return registration.ok ? { ok: true, value: { type, registration: registration.value } } : registration;
    }
    default:
      return { ok: false, error: decoded.value instanceof Map ? 'an unknown type' : 'a control frame that is no dict' };
  }
}

const heartbeat = { ok: true, value: { type: 'heartbeat' } } as const;

/**
 * Pools since 2026.10.05 send an item as the whole message, without the control frame before it. `undefined` when this
 * frame is something else.
 */
function readItemAlone(frame: Uint8Array): Item | undefined {
  const item = readItem(frame);
  const isItem =
    item.kind === 'outcome' || item.kind === 'monitoring' || (item.kind === 'unreadable' && item.taskId !== undefined);
  return isItem ? item : undefined;
}

function readItems(frames: readonly Uint8Array[]): Item[] {
  if (frames.length === 2) return [readItem(frames[1] as Uint8Array)];
  const items: Item[] = [];
  for (let at = 1; at < frames.length; at++) items.push(readItem(frames[at] as Uint8Array));
  return items;
}

function decodeControl(frame: Uint8Array): Result<PickleValue> {
  const decoded = decodePrefix(frame, controlLimits);
  return decoded.ok ? { ok: true, value: decoded.value.value } : { ok: false, error: decoded.error.message };
}

function readJson(frame: Uint8Array): Result<PickleValue> {
  if (frame.length > 8 * 1024 * 1024) return { ok: false, error: 'a control frame of more than 8 MiB' };
  try {
    return { ok: true, value: fromJson(JSON.parse(Buffer.from(frame).toString('utf8')), 0) };
  } catch (error) {
    // JSON.parse is the one parser here that throws; its message is the reason.
    return { ok: false, error: `not JSON: ${String(error)}` };
  }
}

function fromJson(value: unknown, depth: number): PickleValue {
  if (depth > 32) return null;
  if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string')
    return value;
  if (Array.isArray(value)) return value.map((item) => fromJson(item, depth + 1));
  const entries = Object.entries(value as object);
  return new Map<PickleValue, PickleValue>(entries.map(([key, item]) => [key, fromJson(item, depth + 1)]));
}

/** Checks a registration. What decides about other people's tasks must be right; the rest falls back to a default. */
export function readRegistration(value: PickleValue): Result<Registration> {
  const faults: string[] = [];
  const text = (key: string): string => {
    const found = field(value, key);
    if (typeof found === 'string') return found;
    faults.push(`${key} is ${found === undefined ? 'missing' : 'no text'}`);
    return '';
  };
  const optionalText = (key: string): string => {
    const found = field(value, key);
    return typeof found === 'string' ? found : '';
  };
  const count = (key: string, fallback: number): number => {
    const found = field(value, key);
    const number = found === undefined ? fallback : toNumber(found);
    if (number !== undefined && !Number.isNaN(number)) return number;
    faults.push(`${key} is no number`);
    return 0;
  };
  const blockId = field(value, 'block_id');
  const memory = field(value, 'total_memory');
  const drainTime = toNumber(field(value, 'drain_time'));
  const registration: Registration = {
    parslVersion: text('parsl_v'),
    pythonVersion: text('python_v'),
    packages: readPackages(field(value, 'packages')),
    workerCount: count('worker_count', 0),
    uid: optionalText('uid'),
    // Some providers number their blocks.
    blockId: typeof blockId === 'number' ? String(blockId) : text('block_id'),
    startTime: count('start_time', 0),
    ...(drainTime !== undefined && Number.isFinite(drainTime) ? { drainTime } : {}),
    prefetchCapacity: count('prefetch_capacity', 0),
    maxCapacity: count('max_capacity', 0),
    os: optionalText('os'),
    hostname: optionalText('hostname'),
    dir: optionalText('dir'),
    cpuCount: toNumber(field(value, 'cpu_count')),
    totalMemory: typeof memory === 'number' || typeof memory === 'bigint' ? memory : undefined,
    runtimes: readTexts(field(value, 'chervil_runtimes')) ?? ['python'],
    extensions: knownExtensions.filter((name) => readTexts(field(value, 'chervil_extensions'))?.includes(name)),
  };
  if (faults.length > 0) return { ok: false, error: `a registration whose ${faults.join(', ')}` };
  return { ok: true, value: registration };
}

function readPackages(value: PickleValue | undefined): Packages | undefined {
  if (!(value instanceof Map)) return undefined;
  const packages = new Map<string, string>();
  for (const [name, version] of value) {
    if (typeof name === 'string' && typeof version === 'string') packages.set(name, version);
  }
  return packages;
}

function readTexts(value: PickleValue | undefined): string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.filter((item): item is string => typeof item === 'string' && item.length <= 64).slice(0, 16);
}

/** What a pool sends beside results: its frame, in the form of its interchange. */
export function writeManagerMessage(
  message: Exclude<ManagerMessage, { type: 'result' }>,
  style: PoolStyle = 'one-port',
): Uint8Array {
  if (message.type === 'heartbeat' && style === 'one-port') return usual.heartbeat;
  const value =
    message.type === 'registration'
      ? registrationDict(message.registration)
      : message.type === 'chervil_capacity'
        ? dict({ type: message.type, max_capacity: message.capacity })
        : message.type === 'chervil_code'
          ? dict({ type: message.type, name: message.name })
          : message.type === 'connection_probe' && message.isChervil === true
            ? dict({ type: message.type, chervil: true })
            : dict({ type: message.type });
  return style === 'one-port' ? encode(value) : Buffer.from(JSON.stringify(toJson(value)));
}

/** The control frame before the items of a result message: the same buffer each time, not to be changed. */
export function resultHeader(): Buffer {
  return usual.result;
}

function registrationDict(registration: Registration): Map<PickleValue, PickleValue> {
  const value = dict({
    type: 'registration',
    parsl_v: registration.parslVersion,
    python_v: registration.pythonVersion,
    packages: new Map(registration.packages ?? []),
    worker_count: registration.workerCount,
    uid: registration.uid,
    block_id: registration.blockId,
    start_time: new PyFloat(registration.startTime),
    ...(registration.drainTime === undefined ? {} : { drain_time: new PyFloat(registration.drainTime) }),
    prefetch_capacity: registration.prefetchCapacity,
    max_capacity: registration.maxCapacity,
    os: registration.os,
    hostname: registration.hostname,
    dir: registration.dir,
    cpu_count: registration.cpuCount ?? null,
    total_memory: registration.totalMemory ?? null,
  });
  const isPlain = registration.extensions.length === 0 && registration.runtimes.join() === 'python';
  if (isPlain) return value;
  value.set('chervil_runtimes', [...registration.runtimes]);
  value.set('chervil_extensions', [...registration.extensions]);
  return value;
}

function toJson(value: PickleValue): unknown {
  if (value instanceof Map) return Object.fromEntries(Array.from(value, ([key, item]) => [String(key), toJson(item)]));
  if (Array.isArray(value)) return value.map(toJson);
  if (value instanceof PyFloat) return value.value;
  return typeof value === 'bigint' ? Number(value) : value;
}

/** What the interchange says to a pool without giving it tasks. */
export type InterchangeWord =
  | { readonly type: 'probe' }
  | { readonly type: 'heartbeat' }
  | { readonly type: 'drained' }
  /** Only to pools with these extensions. */
  | { readonly type: 'refusal'; readonly reason: string }
  | { readonly type: 'welcome'; readonly readsBatches?: boolean }
  | { readonly type: 'cancel'; readonly taskIds: readonly number[]; readonly reason?: string }
  /** The file that the pool asked for; without `bytes` there is none. */
  | { readonly type: 'code'; readonly name: string; readonly bytes: Uint8Array | undefined };

export const heartbeatCode = 2 ** 32 - 1;
export const drainedCode = 2 ** 32 - 2;

/** The frames of such a word, without the identity. */
export function writeInterchangeWord(word: InterchangeWord, style: PoolStyle): Uint8Array[] {
  const frame = wordFrame(word);
  return style === 'two-port' ? [empty, frame] : [frame];
}

function wordFrame(word: InterchangeWord): Uint8Array {
  switch (word.type) {
    case 'probe':
      return empty;
    case 'heartbeat':
      return usual.heartbeatCode;
    case 'drained':
      return usual.drainedCode;
    case 'refusal':
      return encode(dict({ chervil: 'refusal', reason: word.reason }));
    case 'welcome':
      return encode(dict({ chervil: 'welcome', ...(word.readsBatches === true ? { batch: true } : {}) }));
    case 'cancel':
      return encode(
        dict({
          chervil: 'cancel',
          task_ids: [...word.taskIds],
          ...(word.reason === undefined ? {} : { reason: word.reason }),
        }),
      );
    case 'code':
      return encode(dict({ chervil: 'code', name: word.name, bytes: word.bytes ?? null }));
    default:
      return word satisfies never;
  }
}

/** What a pool received: a word, or the value of a batch of tasks for `readTaskBatch`. */
export function readInterchangeMessage(
  frames: readonly Uint8Array[],
): Result<
  | InterchangeWord
  | { readonly type: 'tasks'; readonly value: PickleValue }
  | { readonly type: 'batches'; readonly batches: readonly TaskBatch[] }
> {
  const frame = frames.length > 1 && frames[0]?.length === 0 ? frames[1] : frames[0];
  if (frame === undefined) return { ok: false, error: 'a message without frames' };
  if (isTaskBatch(frame)) return readBatches(frames);
  if (frame.length === 0) return { ok: true, value: { type: 'probe' } };
  if (isEqual(frame, usual.heartbeatCode)) return { ok: true, value: { type: 'heartbeat' } };
  const decoded = decodePrefix(frame, { maxGlobals: 0, maxDepth: 200 });
  if (!decoded.ok) return { ok: false, error: decoded.error.message };
  const { value } = decoded.value;
  if (value === heartbeatCode) return { ok: true, value: { type: 'heartbeat' } };
  if (value === drainedCode) return { ok: true, value: { type: 'drained' } };
  const extension = field(value, 'chervil');
  if (extension === 'refusal') return { ok: true, value: { type: 'refusal', reason: String(field(value, 'reason')) } };
  if (extension === 'welcome')
    return { ok: true, value: { type: 'welcome', readsBatches: field(value, 'batch') === true } };
  if (extension === 'cancel') {
    const ids = field(value, 'task_ids');
    const taskIds = Array.isArray(ids) ? ids.filter((id): id is number => typeof id === 'number') : [];
    const reason = field(value, 'reason');
    return { ok: true, value: { type: 'cancel', taskIds, ...(typeof reason === 'string' ? { reason } : {}) } };
  }
  if (extension === 'code') {
    const name = field(value, 'name');
    const bytes = field(value, 'bytes');
    if (!isCodeName(name)) return { ok: false, error: 'code under a name that is none' };
    return { ok: true, value: { type: 'code', name, bytes: bytes instanceof Uint8Array ? bytes : undefined } };
  }
  return { ok: true, value: { type: 'tasks', value } };
}

function readBatches(
  frames: readonly Uint8Array[],
): Result<{ readonly type: 'batches'; readonly batches: readonly TaskBatch[] }> {
  const batches: TaskBatch[] = [];
  for (const frame of frames) {
    const batch = readTasks(frame);
    if (!batch.ok) return batch;
    batches.push(batch.value);
  }
  return { ok: true, value: { type: 'batches', batches } };
}

const empty = new Uint8Array(0);

/** Frames that are the same every time, as Python writes them: compared before anything is decoded. */
const usual = {
  heartbeat: Buffer.from('80049517000000000000007d948c0474797065948c0968656172746265617494732e', 'hex'),
  result: Buffer.from('80049514000000000000007d948c0474797065948c06726573756c7494732e', 'hex'),
  heartbeatCode: Buffer.from('80049508000000000000008a05ffffffff002e', 'hex'),
  drainedCode: Buffer.from('80049508000000000000008a05feffffff002e', 'hex'),
};

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}

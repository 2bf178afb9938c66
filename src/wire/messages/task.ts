// Tasks on the wire: one pickled dict from the submitter, a pickled list of them to a pool. An interchange reads id,
// priority and runtime and passes the dict's own bytes on; a pool reads the whole.
import { Buffer } from 'node:buffer';
import type { Result } from '../../base/result.ts';
import {
  decodePrefix,
  field,
  type PickleLimits,
  type PickleValue,
  PickleWriter,
  type PyDict,
  PyFrozenSet,
  PyGlobal,
  PyObject,
  PySet,
  PyTuple,
  toNumber,
} from '../pickle.ts';
import type { Envelope } from './era.ts';
import { Mould } from './mould.ts';
import { prepareText, stripPickle, wrapFragment, writeFragment } from './plain.ts';
import { plainScalar, scalarName } from './scalar.ts';
import { kind, Skim } from './skim.ts';

/** What an interchange knows of a task. */
export interface TaskHead {
  readonly taskId: number;
  /** Lower runs earlier; `undefined` for none. */
  readonly priority: number | undefined;
  /** What a worker must have to run it; `undefined` means Python. Extension key `runtime` of `context`. */
  readonly runtime: string | undefined;
  readonly envelope: Envelope;
  /**
   * The dict's pickle without PROTO, FRAME and STOP, and without references to its memo: it may stand anywhere. Here it lies in
   * `bytes` from `start` to `end`.
   */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** Why a task frame is none, with the task's id if at least that could be read. */
export interface TaskFault {
  readonly taskId: number | undefined;
  readonly reason: string;
}

/** Tasks are plain data; one frame has few containers. The buffer itself is one byte string. */
const taskLimits: Partial<PickleLimits> = { maxGlobals: 0, maxDepth: 100, maxContainers: 100_000 };
/** Some objects are read, to tell numbers of numpy from what has no place in an envelope, and to name that. */
const unusualLimits: Partial<PickleLimits> = { ...taskLimits, maxGlobals: 1_000 };

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));
const keys = {
  taskId: ascii('task_id'),
  buffer: ascii('buffer'),
  context: ascii('context'),
  spec: ascii('resource_spec'),
};

const skim = new Skim();
/** What the tasks of a run mostly look like, with what such a one says beside its id and its buffer. */
const usual = new Mould();
let usualHead: Pick<TaskHead, 'priority' | 'runtime' | 'envelope'>;

/**
 * Reads a task frame as far as an interchange must. Never throws.
 *
 * @example
 * const task = readTask(frame);
 * if (task.ok) task.value.taskId;
 */
export function readTask(frame: Uint8Array): Result<TaskHead, TaskFault> {
  if (usual.fits(frame)) {
    const { priority, runtime, envelope } = usualHead;
    const { number: taskId, bodyAt: start } = usual;
    return { ok: true, value: { taskId, priority, runtime, envelope, bytes: frame, start, end: frame.length - 1 } };
  }
  const isUsual = skim.read(frame);
  let taskId: number | undefined;
  let taskIdAt = -1;
  let contextAt = -1;
  let specAt = -1;
  let bufferAt = -1;
  for (let entry = 0; entry < skim.count; entry++) {
    if (skim.keyIs(entry, keys.taskId)) {
      const what = skim.valueKind(entry);
      taskId = what === kind.int || what === kind.float ? wholeNumber(skim.valueNumber(entry)) : undefined;
      taskIdAt = entry;
    } else if (skim.keyIs(entry, keys.buffer)) bufferAt = entry;
    else if (skim.keyIs(entry, keys.context)) contextAt = entry;
    else if (skim.keyIs(entry, keys.spec)) specAt = entry;
  }
  const hasBuffer = bufferAt >= 0 && skim.valueKind(bufferAt) === kind.bytes;
  if (!isUsual || skim.hasReferences || skim.hasObjects || skim.frames > 1 || taskId === undefined || !hasBuffer) {
    return readUnusual(frame, taskId);
  }
  const envelope = contextAt >= 0 ? 'context' : specAt >= 0 ? 'resource_spec' : 'bare';
  const routeAt = contextAt >= 0 ? contextAt : specAt;
  let route = noRoute;
  if (routeAt >= 0 && skim.valueKind(routeAt) !== kind.emptyDict) {
    const found = routeOfForm(envelope, frame.subarray(skim.formStart(routeAt), skim.formEnd(routeAt)));
    if (!found.ok) return { ok: false, error: { taskId, reason: found.error } };
    route = found.value;
  }
  const { priority, runtime } = route;
  if (usual.learn(frame, skim, taskIdAt, bufferAt)) usualHead = { priority, runtime, envelope };
  return {
    ok: true,
    value: { taskId, priority, runtime, envelope, bytes: frame, start: skim.bodyAt, end: skim.stopAt },
  };
}

/** What decides who runs a task, and when. */
export interface Route {
  readonly priority: number | undefined;
  readonly runtime: string | undefined;
}

const noRoute: Route = { priority: undefined, runtime: undefined };

/** The contexts seen last: they hardly vary within a run, so most need not be decoded. */
let lastForm = new Uint8Array(0);
let lastEnvelope: Envelope = 'bare';
let lastRoute = noRoute;

function routeOfForm(envelope: Envelope, form: Uint8Array): Result<Route> {
  if (envelope === lastEnvelope && isEqual(form, lastForm)) return { ok: true, value: lastRoute };
  const decoded = decodePrefix(wrapFragment(form), taskLimits);
  if (!decoded.ok) return { ok: false, error: decoded.error.message };
  const route = routeOf(envelope, decoded.value.value);
  if (!route.ok) return route;
  lastEnvelope = envelope;
  lastForm = form.slice();
  lastRoute = route.value;
  return route;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}

/** Priority and runtime out of `context`, or the priority out of a `resource_spec` of its own. */
function routeOf(envelope: Envelope, value: PickleValue): Result<Route> {
  if (!(value instanceof Map)) return { ok: false, error: `its ${envelope} is no dict` };
  const spec = envelope === 'context' ? value.get('resource_spec') : value;
  if (spec === undefined) return { ok: true, value: { priority: undefined, runtime: textOf(value.get('runtime')) } };
  if (!(spec instanceof Map)) return { ok: false, error: 'its resource_spec is no dict' };
  const given = spec.get('priority');
  const priority = orderOf(given);
  if (given !== undefined && priority === undefined) {
    const name = given instanceof PyObject ? nameOf(given) : undefined;
    const what = name === undefined ? 'no number' : `a ${name}, which is not known as a number here`;
    return { ok: false, error: `its priority is ${what}: ${numbers}` };
  }
  const runtime = envelope === 'context' ? textOf(value.get('runtime')) : undefined;
  return { ok: true, value: { priority: Number.isNaN(priority) ? undefined : priority, runtime } };
}

const numbers = 'give one with int(...) or float(...)';

/** What a priority counts as: True and False are 1 and 0, as where Python compares them. */
function orderOf(value: PickleValue | undefined): number | undefined {
  const plain = plainScalar(value) ?? value;
  return typeof plain === 'boolean' ? Number(plain) : toNumber(plain);
}

/** So much of a name that a task brought is said. */
const mostShown = 100;

/** The class or function of the first object in a value that is no number, as Python names it. `seen`: containers that need no second look. */
function nameOf(value: PickleValue, seen = new Set<PickleValue>()): string | undefined {
  if (value instanceof PyGlobal) return `${value.module}.${value.name}`.slice(0, mostShown);
  if (value instanceof PyObject)
    return plainScalar(value) === undefined ? (scalarName(value) ?? nameOf(value.callee, seen)) : undefined;
  const items = itemsOf(value);
  if (items === undefined || seen.has(value)) return undefined;
  seen.add(value);
  for (const item of items) {
    const name = nameOf(item, seen);
    if (name !== undefined) return name;
  }
  return undefined;
}

/** What is in a container, the keys of a dict too; of anything else `undefined`. */
function itemsOf(value: PickleValue): readonly PickleValue[] | undefined {
  if (value instanceof Map) return [...value].flat();
  if (Array.isArray(value)) return value;
  return value instanceof PyTuple || value instanceof PySet || value instanceof PyFrozenSet ? value.items : undefined;
}

function textOf(value: PickleValue | undefined): string | undefined {
  return typeof value === 'string' && value.length <= 64 ? value : undefined;
}

function wholeNumber(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Priority and runtime out of a context that stands in a batch. Never throws. */
export function readContext(context: Uint8Array): Result<Route> {
  if (context.length === 1 && context[0] === 0x7d) return { ok: true, value: noRoute };
  if (!isFragment(context)) return { ok: false, error: 'its context is not written as one of a batch' };
  return routeOfForm('context', context);
}

/**
 * Whether these are the bytes that our own writer makes of a value. A pickle may leave more on its stack than its value,
 * and in the middle of a list of tasks that would harm the others.
 */
function isFragment(context: Uint8Array): boolean {
  if (isEqual(context, lastFragment)) return true;
  const decoded = decodePrefix(wrapFragment(context), taskLimits);
  const form = decoded.ok ? writeFragment(decoded.value.value) : undefined;
  if (form === undefined || !isEqual(form, context)) return false;
  lastFragment = form;
  return true;
}

let lastFragment: Uint8Array = new Uint8Array(0);

/** A context that stands in a batch; empty when it cannot be read. */
export function contextValue(context: Uint8Array): PickleValue {
  if (isEqual(context, lastRead.form)) return lastRead.value;
  const decoded = decodePrefix(wrapFragment(context), taskLimits);
  lastRead = { form: new Uint8Array(context), value: decoded.ok ? decoded.value.value : new Map() };
  return lastRead.value;
}

let lastRead: { readonly form: Uint8Array; readonly value: PickleValue } = {
  form: new Uint8Array(0),
  value: new Map(),
};

/** The dict of a task that came in a batch, as a body: for pools that read pickles only. */
export function bodyOfBuffer(taskId: number, context: Uint8Array, buffer: Uint8Array): Uint8Array {
  taskWriter.begin();
  taskWriter.dictStart();
  taskWriter.raw(prepared.taskId);
  taskWriter.int(taskId);
  taskWriter.raw(prepared.context);
  taskWriter.raw(context);
  taskWriter.raw(prepared.buffer);
  // By hand: `byteString` would put long ones outside of frames.
  taskWriter.sized(0x43, 0x42, 0x8e, buffer.length);
  taskWriter.raw(buffer);
  taskWriter.dictEnd();
  return stripPickle(taskWriter.finish());
}

/** The slow way: decode all, and write it anew without references. */
function readUnusual(frame: Uint8Array, seenId: number | undefined): Result<TaskHead, TaskFault> {
  const decoded = decodePrefix(frame, unusualLimits);
  if (!decoded.ok) return { ok: false, error: { taskId: seenId, reason: decoded.error.message } };
  const { value } = decoded.value;
  if (!(value instanceof Map)) return { ok: false, error: { taskId: undefined, reason: 'it is no dict' } };
  const idValue = value.get('task_id');
  const taskId = typeof idValue === 'boolean' ? undefined : wholeNumber(toNumber(idValue) ?? Number.NaN);
  if (taskId === undefined) return { ok: false, error: { taskId, reason: 'its task_id is no whole number' } };
  if (!(value.get('buffer') instanceof Uint8Array)) {
    return { ok: false, error: { taskId, reason: 'its buffer is missing or no bytes' } };
  }
  const envelope = value.has('context') ? 'context' : value.has('resource_spec') ? 'resource_spec' : 'bare';
  const route =
    envelope === 'bare' ? ({ ok: true, value: noRoute } as const) : routeOf(envelope, value.get(envelope) ?? null);
  if (!route.ok) return { ok: false, error: { taskId, reason: route.error } };
  const body = writeFragment(value);
  if (body === undefined) return { ok: false, error: { taskId, reason: whyNotPlain(value) } };
  return { ok: true, value: { taskId, ...route.value, envelope, bytes: body, start: 0, end: body.length } };
}

function whyNotPlain(task: PyDict): string {
  for (const [key, value] of task) {
    const name = nameOf(value);
    if (name === undefined) continue;
    return `its ${typeof key === 'string' ? key.slice(0, mostShown) : 'dict'} has a ${name} in it, where plain data belongs: for a number ${numbers}`;
  }
  return 'it refers to itself, nests too deeply, or has more than plain data in it';
}

/** Anything whose bytes lie somewhere in a larger array. The interchange's task records are such. */
export interface StoredBody {
  readonly slab: Uint8Array | undefined;
  readonly offset: number;
  readonly length: number;
  /** For a task that came in a batch: its context, pickled without header and STOP. The bytes are then its buffer alone. */
  readonly context?: Uint8Array | undefined;
}

/**
 * The message that gives a pool these tasks: a pickled list with the bodies as they came.
 *
 * @param complete - for pools of another era: what else each dict must have, as {@link translation} made it
 */
export function writeTaskBatch(bodies: readonly StoredBody[], complete?: (body: Uint8Array) => Uint8Array): Uint8Array {
  if (complete !== undefined) return writeTranslated(bodies, complete);
  let length = 6;
  for (const body of bodies) length += body.length;
  const batch = Buffer.allocUnsafe(length);
  openList(batch, 0);
  let at = 4;
  for (const { slab, offset, length: size } of bodies) {
    if (slab === undefined) continue;
    if (slab.length === size) batch.set(slab, at);
    else if (slab instanceof Buffer) slab.copy(batch, at, offset, offset + size);
    else batch.set(slab.subarray(offset, offset + size), at);
    at += size;
  }
  closeList(batch, at);
  at += 2;
  return at === length ? batch : batch.subarray(0, at);
}

/** Bytes that stay what they are while somebody holds them. Who holds them releases them once. */
interface HeldBytes {
  readonly bytes: Uint8Array;
  hold(): void;
  release(): void;
}

/** What {@link writeTaskBatch} makes of one task, put together when it leaves: a message that needs no memory of its own. */
export class LateTask {
  readonly length: number;
  readonly #place: HeldBytes;
  readonly #offset: number;
  readonly #size: number;

  /** Of a dict that lies in `place` from `offset` on, `size` bytes long. Holds the place until it was written. */
  constructor(place: HeldBytes, offset: number, size: number) {
    place.hold();
    this.length = size + 6;
    this.#place = place;
    this.#offset = offset;
    this.#size = size;
  }

  writeTo(target: Uint8Array, at: number): void {
    const end = at + 4 + this.#size;
    openList(target, at);
    target.set(this.#place.bytes.subarray(this.#offset, this.#offset + this.#size), at + 4);
    closeList(target, end);
    this.#place.release();
  }
}

/** Protocol 4, a list, MARK. No FRAME: it is optional, and the dicts may hold any length. */
function openList(target: Uint8Array, at: number): void {
  target[at] = 0x80;
  target[at + 1] = 4;
  target[at + 2] = 0x5d;
  target[at + 3] = 0x28;
}

/** APPENDS, STOP. */
function closeList(target: Uint8Array, at: number): void {
  target[at] = 0x65;
  target[at + 1] = 0x2e;
}

function writeTranslated(bodies: readonly StoredBody[], complete: (body: Uint8Array) => Uint8Array): Uint8Array {
  const translated = bodies.flatMap(({ slab, offset, length }) => {
    if (slab === undefined) return [];
    const body = complete(slab.subarray(offset, offset + length));
    return [{ slab: body, offset: 0, length: body.length }];
  });
  return writeTaskBatch(translated);
}

/**
 * How task dicts must be completed so that a pool that expects the keys of `to` finds them; `undefined` when nothing
 * is missing. Payloads are not touched: peers whose payloads differ cannot be joined.
 */
export function translation(from: Envelope, to: Envelope): ((body: Uint8Array) => Uint8Array) | undefined {
  if (from === to || to === 'bare') return undefined;
  return (body) => completeBody(body, from, to);
}

/** Adds one key at the end of the pickled dict, with SETITEM. */
function completeBody(body: Uint8Array, from: Envelope, to: 'resource_spec' | 'context'): Uint8Array {
  const decoded = decodePrefix(wrapFragment(body), taskLimits);
  const task = decoded.ok ? decoded.value.value : null;
  const spec =
    from === 'context'
      ? field(field(task, 'context'), 'resource_spec')
      : from === 'bare'
        ? undefined
        : field(task, from);
  const empty: PickleValue = new Map();
  const known = spec instanceof Map && spec.size > 0 ? spec : undefined;
  const inContext = known === undefined ? empty : new Map<PickleValue, PickleValue>([['resource_spec', known]]);
  const key = to === 'resource_spec' ? prepared.spec : prepared.context;
  const value = writeFragment(to === 'resource_spec' ? (known ?? empty) : inContext) ?? prepared.emptyDict;
  return Buffer.concat([body, key, value, setItem]);
}

const setItem = Uint8Array.of(0x73);

/** What a submitter says about a task beside its payload. */
export interface TaskToWrite {
  readonly taskId: number;
  readonly buffer: Uint8Array;
  /**
   * As Parsl has it: `{}`, or with `resource_spec`, `task_executor`, and Chervil's `runtime`. Not changed afterwards.
   */
  readonly context: PickleValue;
}

const taskWriter = new PickleWriter();
const prepared = {
  taskId: prepareText('task_id'),
  context: prepareText('context'),
  spec: prepareText('resource_spec'),
  buffer: prepareText('buffer'),
  emptyDict: Uint8Array.of(0x7d),
};

/**
 * A submitter's task frame in the form of its interchange's era.
 *
 * @throws TypeError for a context that is not plain data.
 */
export function writeTask(task: TaskToWrite, envelope: Envelope = 'context'): Uint8Array {
  taskWriter.begin();
  taskWriter.dictStart();
  taskWriter.raw(prepared.taskId);
  taskWriter.int(task.taskId);
  if (envelope !== 'bare') {
    const value = envelope === 'context' ? task.context : (field(task.context, 'resource_spec') ?? new Map());
    taskWriter.raw(envelope === 'context' ? prepared.context : prepared.spec);
    taskWriter.raw(contextFragment(value));
  }
  taskWriter.raw(prepared.buffer);
  taskWriter.byteString(task.buffer);
  taskWriter.dictEnd();
  return taskWriter.finish();
}

/** Contexts hardly vary within a run; the last one is kept pickled. */
let lastContext: PickleValue = null;
let lastContextForm: Uint8Array = prepared.emptyDict;

/**
 * A context as it stands in a dict or a batch: the same bytes for the same object again.
 *
 * @throws TypeError for a context that is not plain data.
 */
export function contextFragment(value: PickleValue): Uint8Array {
  if (value instanceof Map && value.size === 0) return prepared.emptyDict;
  if (value === lastContext) return lastContextForm;
  const form = writeFragment(value);
  if (form === undefined)
    throw new TypeError('a context holds plain data only: texts, numbers, bytes, lists, dicts, tuples');
  lastContext = value;
  lastContextForm = form;
  return form;
}

/** A task as a pool sees it. */
export interface ReceivedTask {
  readonly taskId: PickleValue;
  readonly context: PickleValue;
  readonly buffer: Uint8Array;
  /** `resource_spec` of the context or, from older peers, of the task itself. */
  readonly resourceSpec: PickleValue;
}

/** Reads a batch of tasks, as a pool does. Tasks without an id or a buffer cannot be answered and make the batch a fault. */
export function readTaskBatch(value: PickleValue): Result<ReceivedTask[]> {
  const items = Array.isArray(value) ? value : value instanceof PyTuple ? value.items : undefined;
  if (items === undefined) return { ok: false, error: 'no list of tasks' };
  const tasks: ReceivedTask[] = [];
  for (const item of items) {
    const taskId = field(item, 'task_id');
    const buffer = field(item, 'buffer');
    if (taskId === undefined) return { ok: false, error: 'a task without task_id' };
    const context = field(item, 'context') ?? new Map();
    const resourceSpec = field(context, 'resource_spec') ?? field(item, 'resource_spec') ?? new Map();
    tasks.push({ taskId, context, buffer: buffer instanceof Uint8Array ? buffer : new Uint8Array(0), resourceSpec });
  }
  return { ok: true, value: tasks };
}

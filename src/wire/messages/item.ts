// The frames behind a `result` message of a pool: results, exceptions, monitoring. An interchange reads the type and
// the task id; pools write them, submitters read them whole.
import type { Result } from '../../base/result.ts';
import { decodePrefix, encode, type PickleLimits, type PickleValue, PickleWriter, toNumber } from '../pickle.ts';
import { entry, hasRun, isExceptionEntry, isResultBatch, type ResultBatch, readRan, readResults } from './batch.ts';
import { Mould } from './mould.ts';
import { prepareText } from './plain.ts';
import { kind, Skim } from './skim.ts';

/** One frame of a result message, as far as an interchange looks into it. */
export type Item =
  /** A task's result or exception. `frame` is passed on byte for byte. */
  | {
      readonly kind: 'outcome';
      readonly taskId: number;
      readonly frame: Uint8Array;
      /** Its bytes do not begin with a serializer's name, which would end the result thread of Parsl's submitter. */
      readonly isBare?: boolean;
    }
  /** A monitoring message; `frame` is the pickle of its payload alone. */
  | { readonly kind: 'monitoring'; readonly frame: Uint8Array }
  /** Many results, of a Chervil pool: passed on byte for byte if all of them are welcome. */
  | { readonly kind: 'batch'; readonly batch: ResultBatch }
  /** Something about a task that goes on, of a Chervil pool: passed on byte for byte. */
  | { readonly kind: 'note'; readonly taskId: number; readonly frame: Uint8Array }
  /** Nothing to act on: a heartbeat on the old result port. */
  | { readonly kind: 'heartbeat' }
  /** Broken; with the task it was about, if that could still be read. */
  | { readonly kind: 'unreadable'; readonly taskId: number | undefined; readonly reason: string };

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));
const texts = {
  type: ascii('type'),
  result: ascii('result'),
  taskId: ascii('task_id'),
  exception: ascii('exception'),
  monitoring: ascii('monitoring'),
  payload: ascii('payload'),
  heartbeat: ascii('heartbeat'),
  note: ascii('chervil_note'),
};

const skim = new Skim();
/** What results mostly look like. */
const usual = new Mould();
const itemLimits: Partial<PickleLimits> = { maxGlobals: 0, maxDepth: 100, maxContainers: 100_000 };
const monitoringLimits: Partial<PickleLimits> = { maxGlobals: 1_000, maxDepth: 100, maxContainers: 100_000 };

/**
 * Reads one frame as far as an interchange must. Never throws.
 *
 * @example
 * const item = readItem(frame);
 * if (item.kind === 'outcome') item.taskId;
 */
export function readItem(frame: Uint8Array): Item {
  if (isResultBatch(frame)) {
    const batch = readResults(frame);
    return batch.ok
      ? { kind: 'batch', batch: batch.value }
      : { kind: 'unreadable', taskId: undefined, reason: batch.error };
  }
  if (usual.fits(frame)) return outcomeItem(usual.number, frame, frame, usual.start, usual.end);
  const isUsual = skim.read(frame);
  let type: 'result' | 'monitoring' | 'heartbeat' | 'note' | undefined;
  let taskId: number | undefined;
  let taskIdAt = -1;
  // Parsl's submitter reads `result` before `exception`, and the last of two equal keys.
  let resultAt = -1;
  let exceptionAt = -1;
  let payloadAt = -1;
  for (let entry = 0; entry < skim.count; entry++) {
    if (skim.keyIs(entry, texts.type)) {
      if (skim.valueIs(entry, texts.result)) type = 'result';
      else if (skim.valueIs(entry, texts.monitoring)) type = 'monitoring';
      else if (skim.valueIs(entry, texts.heartbeat)) type = 'heartbeat';
      else if (skim.valueIs(entry, texts.note)) type = 'note';
    } else if (skim.keyIs(entry, texts.taskId)) {
      const what = skim.valueKind(entry);
      taskId = what === kind.int || what === kind.float ? wholeNumber(skim.valueNumber(entry)) : undefined;
      taskIdAt = entry;
    } else if (skim.keyIs(entry, texts.result)) resultAt = entry;
    else if (skim.keyIs(entry, texts.exception)) exceptionAt = entry;
    else if (skim.keyIs(entry, texts.payload)) payloadAt = entry;
  }
  const outcomeAt = resultAt >= 0 ? resultAt : exceptionAt;
  if (isUsual && !skim.hasObjects && type === 'result' && taskId !== undefined && outcomeAt >= 0) {
    if (skim.valueKind(outcomeAt) === kind.bytes) {
      usual.learn(frame, skim, taskIdAt, outcomeAt);
      return outcomeItem(taskId, frame, frame, skim.valueStart(outcomeAt), skim.valueEnd(outcomeAt));
    }
  }
  if (isUsual && type === 'monitoring' && payloadAt === skim.count - 1 && payloadAt >= 0 && skim.frames <= 1) {
    return { kind: 'monitoring', frame: cutPayload(frame, skim.bodyAt, skim.stopAt - 1) };
  }
  if (isUsual && type === 'heartbeat') return { kind: 'heartbeat' };
  if (type === 'note') {
    const isWhole = isUsual && !skim.hasObjects && payloadAt >= 0 && skim.valueKind(payloadAt) === kind.bytes;
    if (isWhole && taskId !== undefined) return { kind: 'note', taskId, frame };
    // The task itself goes on.
    return { kind: 'unreadable', taskId: undefined, reason: 'a note that is none' };
  }
  return readUnusual(frame, type === 'monitoring', taskId);
}

/** Longer names of serializers than this are none. */
const longestSerializer = 256;
const lineFeed = 0x0a;

/**
 * Looks whether what is packed in `bytes`, from `start` to `end`, begins with a serializer's name and a line feed; what
 * follows is nobody's business here.
 */
function outcomeItem(taskId: number, frame: Uint8Array, bytes: Uint8Array, start: number, end: number): Item {
  const last = Math.min(end, start + longestSerializer + 1);
  let at = start;
  while (at < last && bytes[at] !== lineFeed) at++;
  const isNamed = at > start && at < last;
  return isNamed ? { kind: 'outcome', taskId, frame } : { kind: 'outcome', taskId, frame, isBare: true };
}

function wholeNumber(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined;
}

/**
 * The pickle of a monitoring payload, cut out of its item without reading it: everything up to the payload's end, then
 * STOP. A pickle's value is what lies on top of the stack at STOP, and that is the payload, whatever lies below.
 */
function cutPayload(frame: Uint8Array, bodyAt: number, end: number): Uint8Array {
  const cut = Buffer.allocUnsafe(2 + end - bodyAt + 1);
  cut[0] = 0x80;
  cut[1] = frame[0] === 0x80 ? (frame[1] as number) : 4;
  cut.set(frame.subarray(bodyAt, end), 2);
  cut[cut.length - 1] = 0x2e;
  return cut;
}

/** The slow way, for old protocols, several frames, floats as ids and everything broken. */
function readUnusual(frame: Uint8Array, isMonitoring: boolean, seenId: number | undefined): Item {
  const decoded = decodePrefix(frame, isMonitoring ? monitoringLimits : itemLimits);
  if (!decoded.ok) return { kind: 'unreadable', taskId: seenId, reason: decoded.error.message };
  const { value } = decoded.value;
  if (!(value instanceof Map)) return { kind: 'unreadable', taskId: undefined, reason: 'it is no dict' };
  const type = value.get('type');
  const idValue = value.get('task_id');
  const taskId = typeof idValue === 'boolean' ? undefined : wholeNumber(toNumber(idValue) ?? Number.NaN);
  if (type === 'heartbeat') return { kind: 'heartbeat' };
  if (type === 'monitoring') {
    const payload = value.get('payload');
    if (payload === undefined) return { kind: 'unreadable', taskId: undefined, reason: 'monitoring without payload' };
    return { kind: 'monitoring', frame: encode(payload) };
  }
  if (type !== 'result') return { kind: 'unreadable', taskId, reason: 'its type is neither result nor monitoring' };
  if (taskId === undefined) return { kind: 'unreadable', taskId, reason: 'its task_id is no whole number' };
  const key = value.has('result') ? 'result' : 'exception';
  const packed = value.get(key);
  if (packed === undefined) return { kind: 'unreadable', taskId, reason: 'it has neither result nor exception' };
  // A bytearray is no bytes for Parsl's submitter either.
  if (!(packed instanceof Uint8Array)) return { kind: 'unreadable', taskId, reason: `its ${key} is no bytes` };
  return outcomeItem(taskId, frame, packed, 0, packed.length);
}

/** What a task came to, as it travels: a packed value, or a packed exception. */
export interface Outcome {
  readonly taskId: number;
  readonly isException: boolean;
  /** Serializer id, line feed, body. */
  readonly bytes: Uint8Array;
}

/** An item as the submitter reads it: whole, and only outcomes. */
export function readOutcome(frame: Uint8Array): Result<Outcome> {
  const decoded = decodePrefix(frame, itemLimits);
  if (!decoded.ok) return { ok: false, error: decoded.error.message };
  const { value } = decoded.value;
  if (!(value instanceof Map) || value.get('type') !== 'result') return { ok: false, error: 'it is no result' };
  const taskId = wholeNumber(toNumber(value.get('task_id')) ?? Number.NaN);
  if (taskId === undefined) return { ok: false, error: 'its task_id is no whole number' };
  const result = value.get('result');
  if (result instanceof Uint8Array) return { ok: true, value: { taskId, isException: false, bytes: result } };
  const exception = value.get('exception');
  if (exception instanceof Uint8Array) return { ok: true, value: { taskId, isException: true, bytes: exception } };
  return { ok: false, error: `task ${taskId} has neither result nor exception` };
}

const writer = new PickleWriter();
const prepared = {
  type: prepareText('type'),
  result: prepareText('result'),
  taskId: prepareText('task_id'),
  exception: prepareText('exception'),
  note: prepareText('chervil_note'),
  payload: prepareText('payload'),
};

/** The item frame of an outcome. */
export function writeOutcome(outcome: Outcome): Uint8Array {
  writer.begin();
  writer.dictStart();
  writer.raw(prepared.type);
  writer.raw(prepared.result);
  writer.raw(prepared.taskId);
  writer.int(outcome.taskId);
  writer.raw(outcome.isException ? prepared.exception : prepared.result);
  writer.byteString(outcome.bytes);
  writer.dictEnd();
  return writer.finish();
}

/** A note about a task that goes on, as wire/notes.ts has it. */
export interface SentNote {
  readonly taskId: number;
  readonly bytes: Uint8Array;
}

/** The item frame of a note. */
export function writeNoteItem(note: SentNote): Uint8Array {
  writer.begin();
  writer.dictStart();
  writer.raw(prepared.type);
  writer.raw(prepared.note);
  writer.raw(prepared.taskId);
  writer.int(note.taskId);
  writer.raw(prepared.payload);
  writer.byteString(note.bytes);
  writer.dictEnd();
  return writer.finish();
}

/** The entries of a batch as items of their own, for peers that do not read batches. */
export function splitBatch(batch: ResultBatch): Uint8Array[] {
  const { frame, ids, whats, starts, ends } = batch;
  return ids.map((taskId, index) => {
    const what = whats[index] as number;
    const start = hasRun(what) ? readRan(batch, index).end : starts[index];
    const bytes = frame.subarray(start, ends[index]);
    return what === entry.note
      ? writeNoteItem({ taskId, bytes })
      : writeOutcome({ taskId, isException: isExceptionEntry(what), bytes });
  });
}

/** A frame from the interchange as the submitter reads it: an outcome, or a note. */
export function readAnswer(
  frame: Uint8Array,
): Result<({ readonly type: 'outcome' } & Outcome) | ({ readonly type: 'note' } & SentNote)> {
  if (skim.read(frame) && !skim.hasObjects) {
    let type: 'outcome' | 'note' | undefined;
    let taskId: number | undefined;
    let bytes: Uint8Array | undefined;
    let isException = false;
    for (let entry = 0; entry < skim.count; entry++) {
      if (skim.keyIs(entry, texts.type))
        type = skim.valueIs(entry, texts.result) ? 'outcome' : skim.valueIs(entry, texts.note) ? 'note' : undefined;
      else if (skim.keyIs(entry, texts.taskId)) taskId = wholeNumber(skim.valueNumber(entry));
      else if (
        skim.keyIs(entry, texts.result) ||
        skim.keyIs(entry, texts.payload) ||
        skim.keyIs(entry, texts.exception)
      ) {
        if (skim.valueKind(entry) !== kind.bytes) continue;
        isException = skim.keyIs(entry, texts.exception);
        bytes = skim.valueBytes(entry);
      }
    }
    if (type !== undefined && taskId !== undefined && bytes !== undefined) {
      return { ok: true, value: type === 'note' ? { type, taskId, bytes } : { type, taskId, isException, bytes } };
    }
  }
  const outcome = readOutcome(frame);
  return outcome.ok ? { ok: true, value: { type: 'outcome', ...outcome.value } } : outcome;
}

/** The item frame of a monitoring message. */
export function writeMonitoringItem(payload: PickleValue): Uint8Array {
  return encode(
    new Map<PickleValue, PickleValue>([
      ['type', 'monitoring'],
      ['payload', payload],
    ]),
  );
}

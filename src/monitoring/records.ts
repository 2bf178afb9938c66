// What the run tells the writer of its database: one record for each thing that happened. Those that come for every task have a form of
// bytes of their own, everything else is JSON. feed.ts puts them into files, batch.ts makes rows of them.
//
//   length u32 | kind u8 | …
//   1 opened  steps u8 | app u16 | task u32 | time 6 | stage u16 | parent u32 | length of arguments u16 | dependencies u16 | each u32
//             | arguments | steps | result
//   2 moved   steps u8 | app u16 | task u32 | time 6 | from u8 | try u16 | steps | result
//   0 JSON: everything else, and what has larger numbers than those have room for
//
//   a step: state u8 | milliseconds after the record's time i32 | place u32
//
// What happens to one task without anything in between stands in one record: most tasks have two. Numbers are little endian.
import { taskStates } from '../task/state.ts';
import { withoutZeros } from './short.ts';

/** Who takes records. States are Parsl's numbers, times milliseconds since the epoch. */
export interface RecordSink {
  /** A task is new. */
  opened(
    task: number,
    app: number,
    at: number,
    stage: number | null,
    parent: number | null,
    needs: readonly number[],
    text: string | null,
  ): void;
  /** A task changed its state. `text`: the result in short, for `exec_done` and `memo_done`. */
  moved(
    task: number,
    app: number,
    at: number,
    from: number,
    state: number,
    number: number,
    place: number | null,
    text: string | null,
  ): void;
  rare(record: RareRecord): void;
  /** It has enough for now: what follows is for the next reading. @default false */
  readonly isFull?: boolean;
}

type Json = string | number | boolean | null | { readonly [key: string]: Json } | readonly Json[];

/** Everything else, by what it is about. */
export type RareRecord =
  | { readonly kind: 'end'; readonly at: number; readonly reason: 'closed' }
  | {
      readonly kind: 'app';
      readonly app: number;
      readonly name: string;
      readonly body: string;
      readonly memoize: boolean;
    }
  | { readonly kind: 'stage'; readonly stage: number; readonly name: string; readonly at: number }
  | {
      readonly kind: 'place';
      readonly place: number;
      readonly executor: string;
      readonly host: string | null;
      readonly block: string | null;
      readonly manager: string | null;
      readonly worker: string | null;
    }
  | {
      readonly kind: 'details';
      readonly task: number;
      readonly columns: Readonly<Record<string, string | number | null>>;
    }
  | { readonly kind: 'joins'; readonly task: number; readonly needs: readonly number[] }
  | {
      readonly kind: 'failure';
      readonly task: number;
      readonly try: number;
      readonly at: number;
      readonly app: number;
      readonly final: boolean;
      readonly code: string;
      readonly class: string;
      readonly message: string;
      readonly stack: string | null;
      readonly root: number | null;
    }
  | { readonly kind: 'output'; readonly task: number; readonly stream: 'stdout' | 'stderr'; readonly text: string }
  | { readonly kind: 'notice'; readonly at: number; readonly level: string; readonly text: string }
  | { readonly kind: 'lost'; readonly events: number; readonly at: number }
  /** A row as it is, for the tables that no rule stands behind. The run is put in. */
  | {
      readonly kind: 'row';
      readonly table: 'executors' | 'executor_samples' | 'block_events' | 'manager_events' | 'samples';
      readonly row: Readonly<Record<string, string | number | null>>;
    };

/** One of the two with larger numbers; parameters of the sink, in order. */
type WideRecord =
  | { readonly kind: 'opened'; readonly of: Parameters<RecordSink['opened']> }
  | { readonly kind: 'moved'; readonly of: Parameters<RecordSink['moved']> };

const none8 = 0xff;
const none16 = 0xffff;
const none32 = 0xffffffff;
const kinds = { json: 0, opened: 1, moved: 2 } as const;
const openedHead = 28;
const movedHead = 21;
const stepBytes = 9;
/** Where in a record its parts stand. */
const at = { kind: 4, steps: 5, app: 6, task: 8, time: 12, stage: 18, parent: 20, text: 24, needs: 26 } as const;
const movedAt = { from: 18, try: 19 } as const;
/** Characters that a text of a task may have: what is longer was cut before. */
const mostText = 8_192;

/** Gathers records in one piece of memory. */
export class RecordBuffer {
  #bytes: Buffer = Buffer.allocUnsafe(96 * 1024);
  #size = 0;
  #records = 0;
  /** The task whose record stands last and can take another step; -1 for none. */
  #task = -1;
  #start = 0;
  #time = 0;
  #state = 0;
  #try = 0;

  get size(): number {
    return this.#size;
  }
  get records(): number {
    return this.#records;
  }

  opened(
    task: number,
    app: number,
    time: number,
    stage: number | undefined,
    parent: number | undefined,
    needs: readonly number[] | undefined,
    text: string,
  ): void {
    const count = needs?.length ?? 0;
    // What it needs, and its parent, have smaller numbers than itself.
    if (task >= none32 || app > none16 || (stage ?? 0) >= none16 || count > none16) {
      const given = text === '' ? null : text.slice(0, mostText);
      this.#json({
        kind: 'opened',
        of: [task, app, Math.round(time), stage ?? null, parent ?? null, needs ?? [], given],
      });
      return;
    }
    const start = this.#room(openedHead + count * 4 + Math.min(text.length, mostText) * 3);
    this.#head(start, kinds.opened, app, task, time);
    this.#u16(start + at.stage, stage ?? none16);
    this.#u32(start + at.parent, parent ?? none32);
    this.#u16(start + at.needs, count);
    let end = start + openedHead;
    for (let index = 0; index < count; index++, end += 4) this.#u32(end, (needs as readonly number[])[index] as number);
    const length = this.#text(text, end);
    this.#u16(start + at.text, length);
    this.#close(start, end + length);
    this.#open(start, task, time, taskStates.pending, 0);
  }

  moved(
    task: number,
    app: number,
    time: number,
    from: number,
    state: number,
    number: number,
    place: number | undefined,
    text: string,
  ): void {
    if (task !== this.#task || !this.#addStep(from, state, number, time, place)) {
      if (task >= none32 || app > none16 || number > none16 || (place ?? 0) >= none32) {
        const given = text === '' ? null : text.slice(0, mostText);
        this.#json({ kind: 'moved', of: [task, app, Math.round(time), from, state, number, place ?? null, given] });
        return;
      }
      const start = this.#room(movedHead);
      this.#head(start, kinds.moved, app, task, time);
      this.#bytes[start + movedAt.from] = from;
      this.#u16(start + movedAt.try, number);
      this.#open(start, task, time, from, number);
      this.#close(start, start + movedHead);
      this.#addStep(from, state, number, time, place);
    }
    if (text === '') return;
    const end = this.#room(Math.min(text.length, mostText) * 3);
    this.#close(this.#start, end + this.#text(text, end));
    // Nothing can stand behind it.
    this.#task = -1;
  }

  rare(record: RareRecord): void {
    this.#json(record);
  }

  #json(record: RareRecord | WideRecord): void {
    const text = JSON.stringify(record satisfies { kind: string } as unknown as Json);
    const start = this.#room(5 + text.length * 3);
    this.#bytes[start + at.kind] = kinds.json;
    this.#task = -1;
    this.#close(start, start + 5 + this.#bytes.write(text, start + 5, 'utf8'));
  }

  /** What was gathered; valid until the next record. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#size);
    this.#size = 0;
    this.#records = 0;
    this.#task = -1;
    return taken;
  }

  #head(start: number, kind: number, app: number, task: number, time: number): void {
    const bytes = this.#bytes;
    bytes[start + at.kind] = kind;
    bytes[start + at.steps] = 0;
    this.#u16(start + at.app, app);
    this.#u32(start + at.task, task);
    const whole = Math.round(time);
    const high = Math.floor(whole / 2 ** 32);
    this.#u32(start + at.time, whole - high * 2 ** 32);
    this.#u16(start + at.time + 4, high);
    this.#records++;
  }

  #open(start: number, task: number, time: number, state: number, number: number): void {
    this.#task = task;
    this.#start = start;
    this.#time = Math.round(time);
    this.#state = state;
    this.#try = number;
  }

  /** Adds a step to the record of the same task that stands last. @returns false when it does not go on from there */
  #addStep(from: number, state: number, number: number, time: number, place: number | undefined): boolean {
    const steps = this.#bytes[this.#start + at.steps] as number;
    const after = Math.round(time) - this.#time;
    if (from !== this.#state || number !== this.#try || steps === none8) return false;
    if (after !== (after | 0) || (place ?? 0) >= none32) return false;
    const end = this.#room(stepBytes);
    this.#bytes[this.#start + at.steps] = steps + 1;
    this.#bytes[end] = state;
    this.#u32(end + 1, after);
    this.#u32(end + 5, place ?? none32);
    this.#state = state;
    this.#close(this.#start, end + stepBytes);
    return true;
  }

  #u16(to: number, value: number): void {
    const bytes = this.#bytes;
    bytes[to] = value;
    bytes[to + 1] = value >>> 8;
  }

  #u32(to: number, value: number): void {
    const bytes = this.#bytes;
    bytes[to] = value;
    bytes[to + 1] = value >>> 8;
    bytes[to + 2] = value >>> 16;
    bytes[to + 3] = value >>> 24;
  }

  /** Writes a text, for which there is room. Most are a few plain characters, for which the way into native code is long. */
  #text(text: string, to: number): number {
    const { length } = text;
    if (length > mostText) return this.#text(text.slice(0, mostText), to);
    if (length > 64) return this.#bytes.write(text, to, 'utf8');
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 127) return this.#bytes.write(text, to, 'utf8');
      this.#bytes[to + index] = code;
    }
    return length;
  }

  #room(bytes: number): number {
    const needed = this.#size + bytes;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#size);
      this.#bytes = larger;
    }
    return this.#size;
  }

  #close(start: number, end: number): void {
    this.#u32(start, end - start);
    this.#size = end;
  }
}

/**
 * Gives whole records to `sink`, `most` of them at most, and none once it is full. @returns how many they were, and their bytes. What is left has not been
 * written to its end yet; or it is no record at all, and damaged.
 */
export function readRecords(
  bytes: Buffer,
  sink: RecordSink,
  most = Number.POSITIVE_INFINITY,
): { readonly records: number; readonly bytes: number; readonly isDamaged: boolean } {
  let start = 0;
  let records = 0;
  let isDamaged = false;
  for (; records < most && sink.isFull !== true && bytes.length - start >= 4; records++) {
    const length = u32(bytes, start);
    isDamaged = length < 5 || length > largestRecord;
    if (isDamaged || bytes.length - start < length) break;
    isDamaged = !readRecord(bytes, start, start + length, sink);
    if (isDamaged) break;
    start += length;
  }
  return { records, bytes: start, isDamaged };
}

/** The bytes that a record has at most. */
export const largestRecord = 2 ** 26;
const noNeeds: readonly number[] = [];

/** @returns false when it is none */
function readRecord(bytes: Buffer, start: number, end: number, sink: RecordSink): boolean {
  switch (bytes[start + at.kind]) {
    case kinds.opened: {
      if (end - start < openedHead) return false;
      const count = u16(bytes, start + at.needs);
      const textStart = start + openedHead + count * 4;
      const textEnd = textStart + u16(bytes, start + at.text);
      const steps = bytes[start + at.steps] as number;
      if (textEnd + steps * stepBytes > end) return false;
      const needs: number[] = [];
      for (let index = 0; index < count; index++) needs.push(u32(bytes, start + openedHead + index * 4));
      const stage = u16(bytes, start + at.stage);
      const parent = u32(bytes, start + at.parent);
      const app = u16(bytes, start + at.app);
      const task = u32(bytes, start + at.task);
      const time = timeOf(bytes, start);
      sink.opened(
        task,
        app,
        time,
        stage === none16 ? null : stage,
        parent === none32 ? null : parent,
        count === 0 ? noNeeds : needs,
        textOf(bytes, textStart, textEnd),
      );
      readSteps(bytes, textEnd, steps, end, sink, task, app, time, taskStates.pending, 0);
      return true;
    }
    case kinds.moved: {
      if (end - start < movedHead) return false;
      const steps = bytes[start + at.steps] as number;
      if (start + movedHead + steps * stepBytes > end) return false;
      readSteps(
        bytes,
        start + movedHead,
        steps,
        end,
        sink,
        u32(bytes, start + at.task),
        u16(bytes, start + at.app),
        timeOf(bytes, start),
        bytes[start + movedAt.from] as number,
        u16(bytes, start + movedAt.try),
      );
      return true;
    }
    case kinds.json:
      try {
        takeJson(parsed(bytes.toString('utf8', start + 5, end)), sink);
        return true;
      } catch {
        return false; // Not ours, or damaged: the reader says so.
      }
    default:
      return false;
  }
}

/** Without zero bytes: SQLite reads a text to the first, and PostgreSQL refuses all that is written together with one. */
function parsed(text: string): RareRecord | WideRecord {
  if (!text.includes('\\u0000')) return JSON.parse(text);
  return JSON.parse(text, (_, value) => (typeof value === 'string' ? withoutZeros(value) : value));
}

function takeJson(record: RareRecord | WideRecord, sink: RecordSink): void {
  if (record.kind === 'opened') sink.opened(...record.of);
  else if (record.kind === 'moved') sink.moved(...record.of);
  else sink.rare(record);
}

/** What stands between the steps and `end` is the text of the last. */
function readSteps(
  bytes: Buffer,
  start: number,
  steps: number,
  end: number,
  sink: RecordSink,
  task: number,
  app: number,
  time: number,
  from: number,
  number: number,
): void {
  let state = from;
  const stepsEnd = start + steps * stepBytes;
  for (let step = start; step < stepsEnd; step += stepBytes) {
    const next = bytes[step] as number;
    const place = u32(bytes, step + 5);
    sink.moved(
      task,
      app,
      time + (u32(bytes, step + 1) | 0),
      state,
      next,
      number,
      place === none32 ? null : place,
      step + stepBytes === stepsEnd ? textOf(bytes, stepsEnd, end) : null,
    );
    state = next;
  }
}

function textOf(bytes: Buffer, start: number, end: number): string | null {
  if (start === end) return null;
  if (end - start <= 24) {
    let text = '';
    for (let index = start; index < end; index++) {
      const code = bytes[index] as number;
      if (code > 127) return bytes.toString('utf8', start, end);
      text += String.fromCharCode(code);
    }
    return text;
  }
  return bytes.toString('utf8', start, end);
}

function timeOf(bytes: Buffer, start: number): number {
  return u32(bytes, start + at.time) + u16(bytes, start + at.time + 4) * 2 ** 32;
}

function u16(bytes: Buffer, from: number): number {
  return (bytes[from] as number) | ((bytes[from + 1] as number) << 8);
}

function u32(bytes: Buffer, from: number): number {
  return (
    ((bytes[from] as number) |
      ((bytes[from + 1] as number) << 8) |
      ((bytes[from + 2] as number) << 16) |
      ((bytes[from + 3] as number) << 24)) >>>
    0
  );
}

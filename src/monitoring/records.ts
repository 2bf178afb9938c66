// What the run tells the writer of its database: one record for each thing that happened. The two that come for every task
// have a form of bytes of their own, everything else is JSON. feed.ts puts them into files, batch.ts makes rows of them.
//
//   length (4)  kind (1)  …
//   1 new       state (1) app (2) task (4) time (8) stage (2) parent (4) dependencies (2) each (4) arguments
//   2 moved     state (1) app (2) task (4) time (8) from (1) try (2) place (4) text
//   0 JSON
import { taskStates } from '../task/state.ts';

/** A task is new. */
export interface NewTask {
  readonly kind: 'new';
  readonly task: number;
  readonly app: number;
  readonly at: number;
  readonly stage: number | null;
  readonly parent: number | null;
  readonly needs: readonly number[];
  readonly arguments: string | null;
}

/** A task changed its state. States are Parsl's numbers. */
export interface MovedTask {
  readonly kind: 'moved';
  readonly task: number;
  readonly app: number;
  readonly at: number;
  readonly from: number;
  readonly state: number;
  readonly try: number;
  readonly place: number | null;
  /** The result in short, for `exec_done` and `memo_done`. */
  readonly text: string | null;
}

type Json = string | number | boolean | null | { readonly [key: string]: Json } | readonly Json[];

/** Everything else, by what it is about. */
export type RareRecord =
  | { readonly kind: 'run'; readonly facts: Readonly<Record<string, string | number | null>> }
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

export type FeedRecord = NewTask | MovedTask | RareRecord;

const none16 = 0xffff;
const none32 = 0xffffffff;
const kinds = { json: 0, new: 1, moved: 2 } as const;
const newHead = 32;
const movedHead = 27;

/** Gathers records in one piece of memory. */
export class RecordBuffer {
  #bytes: Buffer = Buffer.allocUnsafe(96 * 1024);
  #size = 0;
  #records = 0;

  get size(): number {
    return this.#size;
  }
  get records(): number {
    return this.#records;
  }

  new(
    task: number,
    app: number,
    at: number,
    stage: number | undefined,
    parent: number | undefined,
    needs: readonly number[] | undefined,
    text: string,
  ): void {
    const count = Math.min(needs?.length ?? 0, none16 - 1);
    const start = this.#room(newHead + count * 4 + text.length * 3);
    const bytes = this.#bytes;
    bytes[start + 4] = kinds.new;
    bytes[start + 5] = taskStates.pending;
    bytes.writeUInt16LE(app, start + 6);
    bytes.writeUInt32LE(task, start + 8);
    bytes.writeDoubleLE(at, start + 12);
    bytes.writeUInt16LE(stage ?? none16, start + 20);
    bytes.writeUInt32LE(parent ?? none32, start + 22);
    bytes.writeUInt16LE(count, start + 26);
    let end = start + 28;
    for (let index = 0; index < count; index++, end += 4)
      bytes.writeUInt32LE((needs as readonly number[])[index] as number, end);
    if (text !== '') end += bytes.write(text, end, 'utf8');
    this.#close(start, end);
  }

  moved(
    task: number,
    app: number,
    at: number,
    from: number,
    state: number,
    number: number,
    place: number | undefined,
    text: string,
  ): void {
    const start = this.#room(movedHead + text.length * 3);
    const bytes = this.#bytes;
    bytes[start + 4] = kinds.moved;
    bytes[start + 5] = state;
    bytes.writeUInt16LE(app, start + 6);
    bytes.writeUInt32LE(task, start + 8);
    bytes.writeDoubleLE(at, start + 12);
    bytes[start + 20] = from;
    bytes.writeUInt16LE(Math.min(number, none16), start + 21);
    bytes.writeUInt32LE(place ?? none32, start + 23);
    let end = start + movedHead;
    if (text !== '') end += bytes.write(text, end, 'utf8');
    this.#close(start, end);
  }

  rare(record: RareRecord): void {
    const text = JSON.stringify(record satisfies { kind: string } as unknown as Json);
    const start = this.#room(5 + text.length * 3);
    this.#bytes[start + 4] = kinds.json;
    this.#close(start, start + 5 + this.#bytes.write(text, start + 5, 'utf8'));
  }

  /** What was gathered; valid until the next record. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#size);
    this.#size = 0;
    this.#records = 0;
    return taken;
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
    this.#bytes.writeUInt32LE(end - start, start);
    this.#size = end;
    this.#records++;
  }
}

/**
 * Calls `take` for each whole record, until it answers false. @returns how many bytes those were: what is left has not been
 * written to its end yet, or `undefined` when it is no record at all.
 */
export function readRecords(bytes: Buffer, take: (record: FeedRecord) => boolean): number | undefined {
  let at = 0;
  while (bytes.length - at >= 4) {
    const length = bytes.readUInt32LE(at);
    if (length < 5 || length > largest) return undefined;
    if (bytes.length - at < length) break;
    const record = readRecord(bytes, at, at + length);
    if (record === undefined) return undefined;
    at += length;
    if (!take(record)) break;
  }
  return at;
}

const largest = 2 ** 26;

function readRecord(bytes: Buffer, start: number, end: number): FeedRecord | undefined {
  switch (bytes[start + 4]) {
    case kinds.new: {
      if (end - start < 28) return undefined;
      const count = bytes.readUInt16LE(start + 26);
      const text = start + 28 + count * 4;
      if (text > end) return undefined;
      const needs: number[] = [];
      for (let index = 0; index < count; index++) needs.push(bytes.readUInt32LE(start + 28 + index * 4));
      const stage = bytes.readUInt16LE(start + 20);
      const parent = bytes.readUInt32LE(start + 22);
      return {
        kind: 'new',
        app: bytes.readUInt16LE(start + 6),
        task: bytes.readUInt32LE(start + 8),
        at: bytes.readDoubleLE(start + 12),
        stage: stage === none16 ? null : stage,
        parent: parent === none32 ? null : parent,
        needs,
        arguments: text === end ? null : bytes.toString('utf8', text, end),
      };
    }
    case kinds.moved: {
      if (end - start < movedHead) return undefined;
      const place = bytes.readUInt32LE(start + 23);
      return {
        kind: 'moved',
        state: bytes[start + 5] as number,
        app: bytes.readUInt16LE(start + 6),
        task: bytes.readUInt32LE(start + 8),
        at: bytes.readDoubleLE(start + 12),
        from: bytes[start + 20] as number,
        try: bytes.readUInt16LE(start + 21),
        place: place === none32 ? null : place,
        text: end === start + movedHead ? null : bytes.toString('utf8', start + movedHead, end),
      };
    }
    case kinds.json:
      try {
        return JSON.parse(bytes.toString('utf8', start + 5, end)) as RareRecord;
      } catch {
        return undefined; // Not ours, or damaged: the reader says so.
      }
    default:
      return undefined;
  }
}

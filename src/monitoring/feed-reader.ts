// The writer's end of the feed: reads the files in order from a place that the database remembers, and deletes what is done.
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { segmentName } from './feed.ts';
import { largestRecord, type RecordSink, readRecords } from './records.ts';
import type { FeedPosition } from './rows.ts';

const pieceBytes = 4 * 2 ** 20;

export class FeedReader {
  readonly #directory: string;
  readonly #onProblem: (text: string) => void;
  #position: FeedPosition;
  #deleted: number;
  /** The file of whose damage was told. */
  #toldOf = -1;

  /** @param from what was read before: nothing in front of it is looked at again */
  constructor(directory: string, from: FeedPosition, onProblem: (text: string) => void) {
    this.#directory = directory;
    this.#onProblem = onProblem;
    const there = segmentsIn(directory);
    // A reader before this one may have died before it deleted what was done; or its database was another one.
    this.#deleted = Math.min(from.segment, ...there);
    this.tidy(from);
    const next = Math.min(...there.filter((segment) => segment >= from.segment));
    this.#position = next > from.segment && Number.isFinite(next) ? { segment: next, offset: 0 } : from;
  }

  get position(): FeedPosition {
    return this.#position;
  }

  /**
   * Hands out what is there, at most about `most` records, as many as `sink` takes, and nothing from `until` on.
   * @returns whether more is left
   */
  read(most: number, sink: RecordSink, until?: FeedPosition): boolean {
    let left = most;
    let atOnce = pieceBytes;
    while (left > 0 && sink.isFull !== true) {
      const { segment, offset } = this.#position;
      if (until !== undefined && !isBefore(this.#position, until)) return false;
      const bytes = this.#piece(
        segment,
        offset,
        until?.segment === segment ? Math.min(until.offset - offset, atOnce) : atOnce,
      );
      // A newer file means that nothing will be added to this one.
      const isLast = !existsSync(join(this.#directory, segmentName(segment + 1)));
      const read = readRecords(bytes, sink, left);
      left -= read.records;
      this.#position = { segment, offset: offset + read.bytes };
      if (read.isDamaged) {
        this.#tellDamage();
        if (isLast) return false;
        this.#position = { segment: segment + 1, offset: 0 };
      } else if (read.records > 0) {
        atOnce = pieceBytes;
      } else if (bytes.length === atOnce && atOnce < largestRecord) {
        atOnce = largestRecord;
      } else if (isLast) {
        return false;
      } else if (this.#piece(segment, offset, atOnce).length === bytes.length) {
        // Otherwise its end has come between the two looks.
        this.#position = { segment: segment + 1, offset: 0 };
      }
    }
    return true;
  }

  #tellDamage(): void {
    const { segment, offset } = this.#position;
    if (this.#toldOf === segment) return;
    this.#toldOf = segment;
    this.#onProblem(`${segmentName(segment)} is damaged from byte ${offset} on; the rest of it is passed over`);
  }

  /** Deletes files of which nothing is needed any more, all those before this place. */
  tidy(needed: FeedPosition): void {
    for (; this.#deleted < needed.segment; this.#deleted++)
      rmSync(join(this.#directory, segmentName(this.#deleted)), { force: true });
  }

  /** Deletes what is left of the feed. */
  remove(): void {
    try {
      for (const name of readdirSync(this.#directory))
        if (name.endsWith('.feed') || name === 'start.json') rmSync(join(this.#directory, name), { force: true });
      rmdirSync(this.#directory);
    } catch {
      // Somebody keeps other things there.
    }
  }

  #piece(segment: number, offset: number, most: number): Buffer {
    let descriptor: number;
    try {
      descriptor = openSync(join(this.#directory, segmentName(segment)), 'r');
    } catch {
      return Buffer.alloc(0); // Not begun yet.
    }
    try {
      const size = Math.min(most, Math.max(0, fstatSync(descriptor).size - offset));
      const bytes = Buffer.allocUnsafe(size);
      let done = 0;
      while (done < size) {
        const read = readSync(descriptor, bytes, done, size - done, offset + done);
        if (read === 0) break;
        done += read;
      }
      return bytes.subarray(0, done);
    } finally {
      closeSync(descriptor);
    }
  }
}

/** The numbers of the files that are there. */
function segmentsIn(directory: string): number[] {
  try {
    return readdirSync(directory).flatMap((name) => (/^\d+\.feed$/.test(name) ? [Number.parseInt(name, 10)] : []));
  } catch {
    return []; // Nothing was told yet, or everything is done.
  }
}

/** Whether one place in the feed stands before another. */
export function isBefore(a: FeedPosition, b: FeedPosition): boolean {
  return a.segment < b.segment || (a.segment === b.segment && a.offset < b.offset);
}

// The writer's end of the feed: reads the files in order from a place that the database remembers, and deletes what is done.
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { segmentName } from './feed.ts';
import { type FeedRecord, readRecords } from './records.ts';
import type { FeedPosition } from './rows.ts';

const pieceBytes = 4 * 2 ** 20;

export class FeedReader {
  readonly #directory: string;
  readonly #onProblem: (text: string) => void;
  #position: FeedPosition;
  #deleted: number;

  /** @param from what was read before: nothing in front of it is looked at again */
  constructor(directory: string, from: FeedPosition, onProblem: (text: string) => void) {
    this.#directory = directory;
    this.#position = from;
    this.#deleted = from.segment;
    this.#onProblem = onProblem;
  }

  get position(): FeedPosition {
    return this.#position;
  }

  /** Hands out what is there, at most about `most` records. @returns whether more is left */
  read(most: number, take: (record: FeedRecord) => void): boolean {
    let left = most;
    for (;;) {
      const { segment, offset } = this.#position;
      const bytes = this.#piece(segment, offset);
      // A newer file means that nothing will be added to this one.
      const isLast = !existsSync(join(this.#directory, segmentName(segment + 1)));
      const used =
        bytes.length === 0
          ? 0
          : readRecords(bytes, (record) => {
              take(record);
              return --left > 0;
            });
      if (used === undefined) {
        if (bytes.length >= pieceBytes || !isLast)
          this.#onProblem(`${segmentName(segment)} is damaged from byte ${offset} on; the rest of it is passed over`);
        if (isLast) return false;
        this.#position = { segment: segment + 1, offset: 0 };
      } else if (used > 0) {
        this.#position = { segment, offset: offset + used };
      } else if (isLast) {
        return false;
      } else {
        const rest = this.#piece(segment, offset);
        // Between the two looks its end may have come.
        if (rest.length > bytes.length) continue;
        this.#position = { segment: segment + 1, offset: 0 };
      }
      if (left <= 0) return true;
    }
  }

  /** Takes back what was read since `position`: it could not be written. */
  back(position: FeedPosition): void {
    this.#position = position;
  }

  /** Deletes files that are in the database from the first to the last byte. */
  tidy(): void {
    for (; this.#deleted < this.#position.segment; this.#deleted++)
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

  #piece(segment: number, offset: number): Buffer {
    let descriptor: number;
    try {
      descriptor = openSync(join(this.#directory, segmentName(segment)), 'r');
    } catch {
      return Buffer.alloc(0); // Not begun yet.
    }
    try {
      const size = Math.min(pieceBytes, Math.max(0, fstatSync(descriptor).size - offset));
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

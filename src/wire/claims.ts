// A few bytes that a pool and one of its workers share, in a file without a name: which job the worker began last, and which jobs
// were taken back from it. So a pool knows what a dead worker ran, and can take back what a busy one has not begun.
//
//   worker  writes what it begins, then reads what was taken back      one of the two always sees the other's word:
//   pool    writes what it takes back, then reads what was begun       a job is never run and given away

import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const beganAt = 0;
const takenAt = 8;

/** A new shared file, open for both; the caller closes it when its worker is gone. */
export function openClaims(): number {
  const path = join(tmpdir(), `chervil-${randomUUID()}.claims`);
  const fd = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  writeSync(fd, Buffer.alloc(16), 0, 16, 0);
  return fd;
}

/** The worker's side. Tickets grow from job to job. */
export class WorkerClaims {
  readonly #fd: number;
  readonly #own = Buffer.alloc(4);
  readonly #theirs = Buffer.alloc(8);

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Takes a job to run it. False when it was taken back. */
  begin(ticket: number): boolean {
    this.#own.writeUInt32LE(ticket);
    writeSync(this.#fd, this.#own, 0, 4, beganAt);
    readSync(this.#fd, this.#theirs, 0, 8, takenAt);
    const from = this.#theirs.readUInt32LE(0);
    return from === 0 || ticket < from || ticket > this.#theirs.readUInt32LE(4);
  }
}

/** The pool's side. */
export class PoolClaims {
  readonly fd: number;
  readonly #bytes = Buffer.alloc(8);

  constructor() {
    this.fd = openClaims();
  }

  /** The ticket of the job that the worker began last; 0 for none. */
  get begun(): number {
    readSync(this.fd, this.#bytes, 0, 4, beganAt);
    return this.#bytes.readUInt32LE(0);
  }

  /** Takes back all jobs up to `to` that the worker has not begun. @returns the ticket of the last that it had begun */
  takeBack(from: number, to: number): number {
    for (let first = from; ; ) {
      this.#bytes.writeUInt32LE(first, 0);
      this.#bytes.writeUInt32LE(to, 4);
      writeSync(this.fd, this.#bytes, 0, 8, takenAt);
      const { begun } = this;
      if (begun < first) return begun;
      first = begun + 1;
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

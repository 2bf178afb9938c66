// A log that costs next to nothing: lines gather as bytes, and leave in one write when there are many, after a moment, or
// at the end. Used for the logs of a run, of pools and of interchanges.
import { Buffer } from 'node:buffer';
import { closeSync, openSync, writeSync } from 'node:fs';
import { type LogText, putBytes } from './log-text.ts';

/** What has gathered is written when it has so many bytes. */
const fullBytes = 64 << 10;
/** Of a text in UTF-8 a unit takes so many bytes at most. */
const bytesPerUnit = 3;

/** @param path appended to; its directory must exist */
export class LogFile {
  readonly #path: string;
  #descriptor: number | undefined;
  #gathered: Buffer | undefined;
  /** The same bytes: of a plain array views are quicker. */
  #bytes: Uint8Array = new Uint8Array(0);
  #used = 0;
  #timer: NodeJS.Timeout | undefined;
  #isBroken = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** Adds text; a line should end with `\n`. */
  write(text: string): void {
    if (this.#isBroken) return;
    const most = text.length * bytesPerUnit;
    if (most > fullBytes) {
      this.flush();
      this.#put(Buffer.from(text));
      return;
    }
    const gathered = this.#roomFor(most);
    this.#used += gathered.write(text, this.#used);
  }

  /** Adds a line: what stands before its text, the text, and what stands behind it. */
  writeLine(before: Uint8Array, text: LogText, behind: Uint8Array): void {
    if (this.#isBroken) return;
    const most = before.length + text.wording.mostBytes + behind.length;
    if (most > fullBytes) {
      this.write(Buffer.concat([before, Buffer.from(String(text)), behind]).toString());
      return;
    }
    this.#roomFor(most);
    const bytes = this.#bytes;
    this.#used = putBytes(bytes, text.writeTo(bytes, putBytes(bytes, this.#used, before)), behind);
  }

  /** Writes what has gathered. A disk that takes no more ends the log, not the run. */
  flush(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#used === 0) return;
    const used = this.#used;
    this.#used = 0;
    this.#put(this.#bytes.subarray(0, used));
  }

  close(): void {
    this.flush();
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
    this.#isBroken = true;
    this.#gathered = undefined;
    this.#bytes = new Uint8Array(0);
  }

  /** Where `most` bytes more can be put, from `#used` on; they leave after a moment at the latest. */
  #roomFor(most: number): Buffer {
    if (this.#used + most > fullBytes) this.flush();
    this.#timer ??= setTimeout(() => this.flush(), 500).unref();
    if (this.#gathered === undefined) {
      this.#gathered = Buffer.allocUnsafeSlow(fullBytes);
      this.#bytes = new Uint8Array(this.#gathered.buffer);
    }
    return this.#gathered;
  }

  #put(bytes: Uint8Array): void {
    // A flush before this may have found it out: nothing follows behind a gap, and it is told once.
    if (this.#isBroken) return;
    try {
      this.#descriptor ??= openSync(this.#path, 'a');
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor, bytes, at);
    } catch (error) {
      this.#isBroken = true;
      process.stderr.write(
        `chervil: cannot write ${this.#path} (${(error as Error).message}); the run goes on without it\n`,
      );
    }
  }
}

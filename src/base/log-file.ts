// A log that costs next to nothing: lines gather as bytes, and leave in one write when there are many, after a moment, or
// at the end. Used for the logs of a run, of pools and of interchanges.
import { Buffer } from 'node:buffer';
import { closeSync, openSync, writeSync } from 'node:fs';
import { type LogText, putBytes } from './log-text.ts';

/** What has gathered is written when it has so many bytes. */
const fullBytes = 64 << 10;
/** Of a text in UTF-8 a unit takes so many bytes at most. */
const bytesPerUnit = 3;

/** After so long it is tried again to write what could not be written. */
const retryMs = 10_000;

/** A line that says what is missing, in the form of most logs. */
const gapLine = (bytes: number): string =>
  `${new Date().toISOString()} warning ${bytes} bytes of this log are missing here: they could not be written\n`;

/**
 * A disk that takes no more costs lines, not the run: what comes meanwhile is left out, and when there is room again a line says
 * how much that was.
 *
 * @param path appended to; its directory must exist
 * @param gap that line in the form of this log
 */
export class LogFile {
  readonly #path: string;
  readonly #gap: (bytes: number) => string;
  #descriptor: number | undefined;
  #gathered: Buffer | undefined;
  /** The same bytes: of a plain array views are quicker. */
  #bytes: Uint8Array = new Uint8Array(0);
  #used = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** Since what came could not be written: when it is tried again, in milliseconds, and how much is missing. */
  #broken: { retryAt: number; missing: number } | undefined;

  constructor(path: string, gap = gapLine) {
    this.#path = path;
    this.#gap = gap;
  }

  /** Adds text; a line should end with `\n`. */
  write(text: string): void {
    if (this.#isClosed || (this.#broken !== undefined && this.#leavesOut(Buffer.byteLength(text)))) return;
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
    if (this.#isClosed) return;
    if (this.#broken !== undefined) {
      this.write(Buffer.concat([before, Buffer.from(String(text)), behind]).toString());
      return;
    }
    const most = before.length + text.wording.mostBytes + behind.length;
    if (most > fullBytes) {
      this.write(Buffer.concat([before, Buffer.from(String(text)), behind]).toString());
      return;
    }
    this.#roomFor(most);
    const bytes = this.#bytes;
    this.#used = putBytes(bytes, text.writeTo(bytes, putBytes(bytes, this.#used, before)), behind);
  }

  /** Writes what has gathered. */
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
    this.#closeDescriptor();
    this.#isClosed = true;
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
    const broken = this.#broken;
    let written = 0;
    try {
      this.#descriptor ??= openSync(this.#path, 'a');
      if (broken !== undefined) {
        // What was written last may be a part of a line.
        const gap = Buffer.from(`\n${this.#gap(broken.missing)}`);
        for (let at = 0; at < gap.length; ) at += writeSync(this.#descriptor, gap, at);
        this.#broken = undefined;
      }
      while (written < bytes.length) written += writeSync(this.#descriptor, bytes, written);
      if (broken !== undefined)
        process.stderr.write(`chervil: ${this.#path} is written again; ${broken.missing} bytes are missing in it\n`);
    } catch (error) {
      const missing = (this.#broken?.missing ?? 0) + bytes.length - written;
      this.#broken = { retryAt: performance.now() + retryMs, missing };
      // What was opened may be gone, as on a file system that was mounted anew.
      this.#closeDescriptor();
      // Told once, until it was written again.
      if (broken === undefined)
        process.stderr.write(
          `chervil: cannot write ${this.#path} (${(error as Error).message}); the run goes on without it\n`,
        );
    }
  }

  /** Whether text of so many bytes is left out, as the last attempt to write was not long ago. */
  #leavesOut(bytes: number): boolean {
    const broken = this.#broken;
    if (broken === undefined || performance.now() >= broken.retryAt) return false;
    broken.missing += bytes;
    return true;
  }

  #closeDescriptor(): void {
    if (this.#descriptor === undefined) return;
    try {
      closeSync(this.#descriptor);
    } catch {
      // A disk that is full, or away, may say so only now.
    }
    this.#descriptor = undefined;
  }
}

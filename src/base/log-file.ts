// A log that costs next to nothing: lines gather as bytes, and leave in one write when there are many, after a moment, or
// at the end. Used for the logs of a run, of pools and of interchanges.
import { Buffer } from 'node:buffer';
import { closeSync, openSync, writeSync } from 'node:fs';
import { type LogText, putBytes } from './log-text.ts';

/** What has gathered is written when it has so many bytes. */
const fullBytes = 64 << 10;
/** Of a text in UTF-8 a unit takes so many bytes at most. */
const bytesPerUnit = 3;
const noBytes = new Uint8Array(0);

/** After so long it is tried again to write what could not be written. */
const retryMs = 10_000;

/** A line that says what is missing, in the form of most logs. */
const gapLine = (bytes: number): string =>
  `${new Date().toISOString()} warning ${bytes} bytes of this log are missing here: they could not be written\n`;

/** So many bytes of what came last are kept while nothing can be written: they tell how it went on, or ended. */
const mostKept = 16 << 10;

/** A time in which nothing could be written. */
interface Outage {
  /** When it is tried again, in milliseconds. */
  retryAt: number;
  /** Bytes that are left out: those that no line tells of yet, and those that one does. */
  missing: number;
  told: number;
  /** What came last and is not left out yet, and how many bytes that is. */
  kept: Uint8Array[];
  keptBytes: number;
}

/** Said where nobody may listen, and without harm to who says it. */
function sayOnStandardError(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // It may be on the same disk, or closed.
  }
}

/**
 * A disk that takes no more costs lines, not the run: what comes meanwhile is left out but for the last of it, and when there is
 * room again a line says how much is missing.
 *
 * @param path appended to; its directory must exist
 * @param gap that line in the form of this log
 * @param say hears that the file cannot be written, and that it can again
 */
export class LogFile {
  readonly #path: string;
  readonly #gap: (bytes: number) => string;
  readonly #say: (text: string) => void;
  #descriptor: number | undefined;
  #gathered: Buffer | undefined;
  /** The same bytes: of a plain array views are quicker. */
  #bytes: Uint8Array = noBytes;
  #used = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #isInLine = false;
  #outage: Outage | undefined;

  constructor(path: string, gap = gapLine, say = sayOnStandardError) {
    this.#path = path;
    this.#gap = gap;
    this.#say = say;
  }

  /** Adds text; a line should end with `\n`. */
  write(text: string): void {
    if (this.#isClosed) return;
    if (this.#outage !== undefined && performance.now() < this.#outage.retryAt) {
      keep(this.#outage, Buffer.from(text));
      return;
    }
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
    const most = before.length + text.wording.mostBytes + behind.length;
    if (this.#outage !== undefined || most > fullBytes) {
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
    // There may be room by now for what came last.
    if (this.#outage !== undefined) this.#recover(this.#outage);
    this.#closeDescriptor();
    this.#isClosed = true;
    this.#gathered = undefined;
    this.#bytes = noBytes;
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
    if (this.#outage !== undefined && !this.#recover(this.#outage)) {
      keep(this.#outage, new Uint8Array(bytes));
      return;
    }
    const { written, problem } = this.#write(bytes);
    if (problem === undefined) return;
    this.#outage = { retryAt: performance.now() + retryMs, missing: 0, told: 0, kept: [], keptBytes: 0 };
    keep(this.#outage, new Uint8Array(bytes.subarray(written)));
    this.#say(`chervil: cannot write ${this.#path} (${problem}); the run goes on without it\n`);
  }

  /** Tries to write what is kept, and before it what is missing. @returns whether that is over */
  #recover(outage: Outage): boolean {
    const { missing, kept } = outage;
    const gap = missing === 0 ? noBytes : Buffer.from(`${this.#isInLine ? '\n' : ''}${this.#gap(missing)}`);
    const { written, problem } = this.#write(Buffer.concat([gap, ...kept]));
    if (problem !== undefined) {
      outage.retryAt = performance.now() + retryMs;
      if (written < gap.length) return false;
      const rest = Buffer.concat(kept).subarray(written - gap.length);
      Object.assign(outage, { missing: 0, told: outage.told + missing, kept: [rest], keptBytes: rest.length });
      return false;
    }
    this.#outage = undefined;
    const left = outage.told + missing;
    const what = left === 0 ? 'nothing is missing' : `${left} bytes are missing`;
    this.#say(`chervil: ${this.#path} is written again; ${what} in it\n`);
    return true;
  }

  /** Never throws. @returns how many bytes were written, and why not all of them */
  #write(bytes: Uint8Array): { readonly written: number; readonly problem: string | undefined } {
    let written = 0;
    try {
      this.#descriptor ??= openSync(this.#path, 'a');
      while (written < bytes.length) {
        written += writeSync(this.#descriptor, bytes, written);
        this.#isInLine = bytes[written - 1] !== 0x0a;
      }
      return { written, problem: undefined };
    } catch (error) {
      // What was opened may be gone, as on a file system that was mounted anew.
      this.#closeDescriptor();
      return { written, problem: (error as Error).message };
    }
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

/** Keeps what came last; what no longer has room is left out. */
function keep(outage: Outage, bytes: Uint8Array): void {
  outage.kept.push(bytes);
  outage.keptBytes += bytes.length;
  while (outage.keptBytes > mostKept) {
    const oldest = outage.kept.shift() as Uint8Array;
    outage.keptBytes -= oldest.length;
    outage.missing += oldest.length;
  }
}

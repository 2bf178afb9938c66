// A log that costs next to nothing: lines gather in a text, and leave in one write when there are many, after a moment, or
// at the end. Used for the log of a run and for what its tasks print.
import { closeSync, openSync, writeSync } from 'node:fs';

/** @param path appended to; its directory must exist */
export class LogFile {
  readonly #path: string;
  #descriptor: number | undefined;
  #text = '';
  #timer: NodeJS.Timeout | undefined;
  #isBroken = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** Adds text; a line should end with `\n`. */
  write(text: string): void {
    if (this.#isBroken) return;
    this.#text += text;
    if (this.#text.length > 65_536) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), 500).unref();
  }

  /** Writes what has gathered. A disk that takes no more ends the log, not the run. */
  flush(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#text === '') return;
    try {
      this.#descriptor ??= openSync(this.#path, 'a');
      writeSync(this.#descriptor, this.#text);
    } catch (error) {
      this.#isBroken = true;
      process.stderr.write(
        `chervil: cannot write ${this.#path} (${(error as Error).message}); the run goes on without it\n`,
      );
    }
    this.#text = '';
  }

  close(): void {
    this.flush();
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
    this.#isBroken = true;
  }
}

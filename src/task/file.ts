// Files as values: what a user passes for a file, told by URL. Staging decides how it gets to where a task runs.
import { basename, isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/**
 * A file, told by URL. Inside a task `path` is where it can be opened.
 *
 * @example
 * const readings = file('data/readings.csv'); // a local file, absolute from here on
 * const remote = file('https://example.org/numbers.txt');
 */
export class File {
  /** The URL that identifies it. */
  readonly url: string;
  /** Where a staged copy lies, on the host where the task runs; `undefined` outside a task. */
  readonly localPath: string | undefined;

  constructor(url: string, localPath?: string) {
    this.url = url;
    this.localPath = localPath;
  }

  /** `file`, `https`, … */
  get scheme(): string {
    return this.url.slice(0, this.url.indexOf(':'));
  }

  /** The last part of its path. */
  get filename(): string {
    return basename(this.scheme === 'file' ? fileURLToPath(this.url) : new URL(this.url).pathname);
  }

  /** The path to open it by. A file that is neither local nor staged has none: a TypeError. */
  get path(): string {
    if (this.localPath !== undefined) return this.localPath;
    if (this.scheme === 'file') return fileURLToPath(this.url);
    throw new TypeError(`${this.url} has no path here: it is not staged. Pass it to an app, and open it there.`);
  }

  /** The path, so that a File can stand in a text. */
  toString(): string {
    return this.path;
  }

  toJSON(): string {
    return this.url;
  }
}

/** A file that a task makes. As an argument it names the place; the task's future has it in `outputs` once it is there. */
export class Output extends File {
  /** Only a type: keeps an input from being passed where an output is meant. */
  declare readonly isOutput: true;
}

/** URL of a path or URL as users write them: a relative path is taken from the current directory, once and for all. */
export function fileUrl(place: string | URL): string {
  if (place instanceof URL) return place.href;
  if (/^[a-zA-Z][a-zA-Z0-9+.-]+:/.test(place)) return place.startsWith('file:') ? new URL(place).href : place;
  return pathToFileURL(isAbsolute(place) ? place : resolve(place)).href;
}

/** A {@link File} by path or URL. A relative path is taken from the current directory. */
export function file(place: string | URL): File {
  return new File(fileUrl(place));
}

/** A file that a task will make, by path or URL. */
export function output(place: string | URL): Output {
  return new Output(fileUrl(place));
}

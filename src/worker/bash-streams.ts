// The files that a command's stdout and stderr go to: opened before it is started, and read again only when it has failed.
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectory } from '../base/directory.ts';
import type { Result } from '../base/result.ts';
import { BadStreamError } from '../task/errors.ts';
import type { StreamTarget } from '../task/ports.ts';

/** An open file that a command writes to. */
export interface OpenStream {
  readonly fd: number;
  readonly path: string;
  /** Where this command's own text begins, in bytes; `undefined` for a device or a pipe, which cannot be read again. */
  readonly from: number | undefined;
}

/**
 * Opens the target of a stream, with the directories above it; `undefined` without a target. With a `script` a banner with its exact
 * text is written first, as Parsl does to stderr.
 */
export function openStream(
  name: 'stdout' | 'stderr',
  target: StreamTarget | undefined,
  script?: string,
): Result<OpenStream | undefined, BadStreamError> {
  if (target === undefined) return { ok: true, value: undefined };
  const { path } = target;
  let fd: number | undefined;
  try {
    // Appending also after a truncation: two streams, or two tries, that share a file do not write over one another.
    const flags =
      constants.O_WRONLY |
      constants.O_CREAT |
      constants.O_APPEND |
      (target.mode === 'truncate' ? constants.O_TRUNC : 0);
    // Non-blocking: opening a named pipe that nobody reads would stop this thread for ever. So it is ENXIO.
    fd = openWithDirectory(path, flags | constants.O_NONBLOCK);
    const status = fstatSync(fd);
    if (!status.isFile()) {
      // The command must not get a non-blocking pipe.
      const blocking = openSync(path, flags);
      closeSync(fd);
      fd = blocking;
    }
    let from = status.size;
    if (script !== undefined) {
      const banner = Buffer.from(`--> executable follows <--\n${script}\n--> end executable <--\n`);
      from += banner.length;
      for (let written = 0; written < banner.length; ) written += writeSync(fd, banner, written);
    }
    return { ok: true, value: { fd, path, from: status.isFile() ? from : undefined } };
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    return { ok: false, error: new BadStreamError(name, String(path), error) };
  }
}

/** The last 2048 characters, at most, that a command wrote; nothing of what stood in the file before it. */
export function tailOf({ path, from }: OpenStream): string {
  if (from === undefined) return '';
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { size } = fstatSync(fd);
      const start = Math.max(from, size - 4 * tailCharacters);
      if (size <= start) return '';
      const bytes = Buffer.alloc(size - start);
      const read = readSync(fd, bytes, 0, bytes.length, start);
      // The cut may have hit a character: its rest is left away.
      let first = 0;
      if (start > from) while (first < 4 && ((bytes[first] ?? 0) & 0xc0) === 0x80) first++;
      const text = bytes.toString('utf8', first, read).trimEnd();
      return text.slice(-tailCharacters).replace(/^[\udc00-\udfff]/, '');
    } finally {
      closeSync(fd);
    }
  } catch {
    // The command may have removed the file. The exit code is still told.
    return '';
  }
}

const tailCharacters = 2048;

function openWithDirectory(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  makeDirectory(dirname(path));
  return openSync(path, flags);
}

// What of a file enters a memo key. Called by key-walk.ts, before anything is downloaded or staged.
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { FileNotFoundError, MemoKeyError } from '../../task/errors.ts';
import { type File, Output } from '../../task/file.ts';
import { type KeyBytes, tag } from './key-bytes.ts';

/**
 * How a local input file counts beside its URL: not at all, by size and time of change, or by its content, which is read
 * for it (once for each size and time of change). Files elsewhere count by URL, outputs too, always.
 */
export type FileIdentity = 'url' | 'stat' | 'content';

/** Writes what counts of `file`. `where` tells errors the argument. Throws FileNotFoundError and MemoKeyError. */
export function writeFile(bytes: KeyBytes, file: File, identity: FileIdentity, where: () => string): void {
  if (file instanceof Output) {
    bytes.byte(tag.output);
    bytes.string(file.url);
    return;
  }
  bytes.byte(tag.file);
  bytes.string(file.url);
  if (identity === 'url' || file.scheme !== 'file') {
    bytes.byte(tag.undefined);
    return;
  }
  // Not `file.path`: a staged copy has a time of its own.
  const path = fileURLToPath(file.url);
  try {
    const status = statSync(path, { bigint: true });
    if (identity === 'stat') {
      bytes.string(`${status.size} ${status.mtimeNs}`);
    } else if (status.isDirectory()) {
      throw new MemoKeyError(
        `${where()} names the directory ${path}, which has no content of its own. Name its files, or let files count by 'stat'.`,
      );
    } else {
      bytes.string(contentHash(path, status));
    }
  } catch (error) {
    if (error instanceof MemoKeyError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw new FileNotFoundError(path, where());
    throw new MemoKeyError(`${where()} names ${path}, which cannot be looked at: ${message}. Check its permissions.`, {
      cause: error,
    });
  }
}

/** Contents that were hashed, by path and what the file system says of them; the oldest are forgotten first. */
const known = new Map<string, string>();
const knownLimit = 1_024;

/** A file that changed this lately may change again within the same tick of its file system's clock. */
const settledMs = 2_000;

function contentHash(path: string, status: { ino: bigint; size: bigint; mtimeNs: bigint; mtimeMs: bigint }): string {
  const place = `${status.ino} ${status.size} ${status.mtimeNs} ${path}`;
  const before = known.get(place);
  if (before !== undefined) return before;
  const digest = hashFile(path);
  if (Date.now() - Number(status.mtimeMs) > settledMs) {
    if (known.size >= knownLimit) known.delete(known.keys().next().value!);
    known.set(place, digest);
  }
  return digest;
}

function hashFile(path: string): string {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(1 << 18);
  const handle = openSync(path, 'r');
  try {
    for (;;) {
      const size = readSync(handle, chunk, 0, chunk.length, null);
      if (size === 0) return hash.digest('hex');
      hash.update(chunk.subarray(0, size));
    }
  } finally {
    closeSync(handle);
  }
}

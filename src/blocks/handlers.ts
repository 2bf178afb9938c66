// When failed blocks mean that the executor has failed: pure functions from the blocks' states to a reason.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { JobStatus } from './provider.ts';

/** All blocks so far by their number, in order; how many there are at first. A text says that the executor has failed, and why. */
export type BlockErrorHandler = (blocks: ReadonlyMap<string, JobStatus>, initBlocks: number) => string | undefined;

/** Blocks may fail as they like. */
export const ignoreBlockErrors: BlockErrorHandler = () => undefined;

/** Blocks that worked and were lost say little about the next one; so many of them in a row do. */
const mostLost = 3;

/**
 * Fails when every block so far has failed, and there were as many as were started at first. While blocks have failed whose workers had
 * come, others are started in their place, until three have failed.
 */
export const simpleBlockErrors: BlockErrorHandler = (blocks, initBlocks) => {
  const all = [...blocks.values()];
  const least = all.some(({ hadWorkers }) => hadWorkers === true) ? mostLost : 1;
  if (blocks.size < Math.max(least, initBlocks)) return undefined;
  return all.every(hasFailed) ? describe(all) : undefined;
};

/**
 * Fails when the last blocks, by number, have all failed.
 *
 * @param threshold how many
 */
export function windowedBlockErrors(threshold = 3): BlockErrorHandler {
  return (blocks) => {
    const last = [...blocks].sort(([a], [b]) => Number(a) - Number(b)).slice(-threshold);
    const all = last.map(([, status]) => status);
    return all.length === threshold && all.every(hasFailed) ? describe(all) : undefined;
  };
}

function hasFailed({ state }: JobStatus): boolean {
  return state === 'failed' || state === 'missing';
}

function describe(all: readonly JobStatus[]): string {
  const shown = all.slice(-3).map((status) => {
    const words = [
      status.message,
      status.exitCode == null ? undefined : `exit code ${status.exitCode}`,
      summaryOf(status.stderrPath),
    ];
    return words.filter((word) => word !== undefined && word !== '').join('; ');
  });
  return `${all.length === 1 ? 'its block has failed' : `all ${all.length} blocks have failed`}: ${shown.join(' | ')}`;
}

/** At most 2048 characters of a file, the middle left out; empty when it cannot be read. */
export function summaryOf(path: string | undefined): string {
  if (path === undefined) return '';
  try {
    const fd = openSync(path, 'r');
    try {
      const { size } = fstatSync(fd);
      const part = (from: number, length: number): string => {
        const bytes = Buffer.alloc(Math.min(length, size - from));
        return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, from));
      };
      return (size <= 2_048 ? part(0, 2_048) : `${part(0, 1_024)}\n…\n${part(size - 1_024, 1_024)}`).trim();
    } finally {
      closeSync(fd);
    }
  } catch {
    // Not there, or removed with the run directory.
    return '';
  }
}

// File descriptors, of which a process and a machine have only so many: whether one is left, and how many there may be.
// Listeners ask it, and whoever tells of a shortage.
import { closeSync, openSync, readFileSync } from 'node:fs';

/** Which limit was met: EMFILE is that of this process, ENFILE that of the whole machine. */
export type DescriptorLimit = 'EMFILE' | 'ENFILE';

/** The limit that stands in the way of one more open file; `undefined` while one is left. Two short system calls. */
export function descriptorShortage(): DescriptorLimit | undefined {
  try {
    closeSync(openSync('/dev/null', 'r'));
    return undefined;
  } catch (error) {
    return limitOf(error);
  }
}

/** The limit that an error of the system names, if it is about descriptors. */
export function limitOf(error: unknown): DescriptorLimit | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'EMFILE' || code === 'ENFILE' ? code : undefined;
}

/**
 * How many files this process may have open; `undefined` where the system has no `/proc`. To be asked before there is a
 * shortage, since it opens a file.
 */
export function mostDescriptors(): number | undefined {
  try {
    const match = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
    return match === null ? undefined : Number(match[1]);
  } catch {
    // It is named in a message, and nothing depends on it.
    return undefined;
  }
}

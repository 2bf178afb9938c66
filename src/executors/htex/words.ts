// The last words of a process, from the file that its stderr went to. For error messages.
import { readFileSync } from 'node:fs';

const mostCharacters = 2_000;

/** The end of a text file; empty when it cannot be read. */
export function wordsOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim().slice(-mostCharacters);
  } catch {
    // Never written, or removed with the run directory.
    return '';
  }
}

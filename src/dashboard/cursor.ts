// Where the next part of a list begins: values of the last row, as one word of an address. Used by every list.

/** Numbers as a word that nobody should read anything into. */
export function writeCursor(values: readonly (number | null)[]): string {
  return Buffer.from(JSON.stringify(values)).toString('base64url');
}

/**
 * The numbers of a cursor, or `undefined` when there is none.
 *
 * @throws RangeError when it is not one of ours
 */
export function readCursor(text: string | undefined, length: number): number[] | undefined {
  if (text === undefined || text === '') return undefined;
  try {
    const values: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (Array.isArray(values) && values.length === length && values.every(isPossible)) return values as number[];
  } catch {
    // Told below.
  }
  throw new RangeError('cursor is not one that this server gave');
}

/** Databases refuse larger ones. */
function isPossible(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) <= Number.MAX_SAFE_INTEGER;
}

// Whether arguments may take long to read for a thread. Asked by outbox.ts for every job, so it looks at a thousand parts at most;
// what it does not know, or not to its end, may take long.

/** Parts of light arguments. Reading that many takes a thread a fraction of a millisecond. */
const lightParts = 1_000;
/** So many bytes, or UTF-16 units, count as one more part. */
const partLength = 256;

/** False when a thread surely reads them at once. */
export function isHeavy(args: unknown): boolean {
  try {
    return partsLeft(args, lightParts) < 0;
  } catch {
    // A getter has thrown. If it does so again, the value cannot be sent, and is refused as such.
    return true;
  }
}

/** What is left of `parts`; less than 0 when they do not suffice. A whole number: V8 has others on its heap. */
function partsLeft(value: unknown, parts: number): number {
  let left = parts - 1;
  switch (typeof value) {
    case 'string':
      return left - Math.trunc(value.length / partLength);
    case 'bigint':
      return -1;
    case 'object':
      break;
    default:
      return left;
  }
  if (value === null) return left;
  if (Array.isArray(value)) {
    if (value.length > left) return -1;
    for (let index = 0; index < value.length && left >= 0; index++) {
      const part: unknown = value[index];
      left = typeof part === 'number' ? left - 1 : partsLeft(part, left);
    }
    return left;
  }
  // A view is sent with the whole of what it looks at.
  if (ArrayBuffer.isView(value)) return left - Math.trunc(value.buffer.byteLength / partLength);
  if (Object.getPrototypeOf(value) !== Object.prototype) return -1;
  for (const key in value) {
    const part = (value as Record<string, unknown>)[key];
    left = typeof part === 'number' ? left - 1 : partsLeft(part, left);
    left -= Math.trunc(key.length / partLength);
    if (left < 0) break;
  }
  return left;
}

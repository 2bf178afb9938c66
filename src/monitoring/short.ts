// Arguments and results in short, for the database: enough to know a task again, and cheap, since every task has some.
import { inspect } from 'node:util';

/** The longest text that is kept of them. */
export const shortLength = 200;

/** How much of what a task prints is kept: the end of it. */
export const tailLength = 4_000;

/** A value as one would write it, cut to `most` characters. Never throws; getters are not called. */
export function short(value: unknown, most = shortLength): string {
  switch (typeof value) {
    case 'number':
    case 'boolean':
      return String(value);
    case 'undefined':
      return 'undefined';
    case 'string':
      return value.length <= most ? JSON.stringify(value) : `${JSON.stringify(value.slice(0, most - 3))}…`;
    default:
      return cut(inspected(value), most);
  }
}

/** Arguments as in a call: `'a.txt', { depth: 2 }`. */
export function shortArguments(values: readonly unknown[]): string {
  let text = '';
  for (const value of values) {
    if (text.length > shortLength) break;
    text += `${text === '' ? '' : ', '}${short(value, shortLength - Math.min(text.length, shortLength - 8))}`;
  }
  return cut(text, shortLength);
}

/** A text with the sign for a zero byte in the place of each: databases do not keep them. */
export function withoutZeros(text: string): string {
  return text.replaceAll('\0', '\u2400');
}

function inspected(value: unknown): string {
  if (value instanceof Uint8Array || ArrayBuffer.isView(value))
    return `${value.constructor.name}(${value.byteLength} bytes)`;
  // A list may have a million elements, and inspect() would look at its keys.
  if (Array.isArray(value) && value.length > 100) return `Array(${value.length})`;
  if (typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function') {
    const { id } = value as { id?: unknown };
    return typeof id === 'number' ? `task ${id}` : 'a promise';
  }
  try {
    return withoutZeros(
      inspect(value, {
        depth: 1,
        breakLength: Number.POSITIVE_INFINITY,
        maxArrayLength: 8,
        maxStringLength: 80,
        customInspect: false,
      }),
    );
  } catch {
    return typeof value; // A proxy that throws.
  }
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

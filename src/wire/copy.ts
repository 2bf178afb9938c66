// A value as it would arrive elsewhere, for executors in this process: the same refusals, the same copies.
import { checkValue, cloneFailure, decodeValue, encodeValue } from './values.ts';

/**
 * A copy of a value. A promise of it only when an instance of a class with a serializer is in it, whose module must be imported.
 * Throws a SerializationError for what cannot be sent.
 */
export function copyValue(value: unknown, path: string): unknown | Promise<unknown> {
  switch (checkValue(value, path)) {
    case 'plain':
      return value;
    case 'clone':
      return clone(value, path);
    case 'encode':
      return decodeValue(clone(encodeValue(value, path), path));
  }
}

function clone(value: unknown, path: string): unknown {
  try {
    return structuredClone(value);
  } catch (thrown) {
    throw cloneFailure(thrown, path);
  }
}

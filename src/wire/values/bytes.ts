// Values as bytes, for pipes and sockets between processes. One byte says the form, the rest is the value.
import v8 from 'node:v8';
import { DeserializationError, SerializationError } from '../../task/errors.ts';
import { checkValue } from './check.ts';
import { readCompact, writeCompact } from './compact.ts';
import { decodeValue } from './decode.ts';
import { encodeValue } from './encode.ts';

/** First bytes. Another version of a form gets another byte; none of them begins a Python payload (digits, `C`). */
const forms = { compact: 0xe1, v8: 0xe2 } as const;

/**
 * A value as bytes, checked and encoded. Small plain values get a short form of their own.
 *
 * The bytes may be a part of a larger piece of memory: write them or copy them, do not transfer their buffer.
 *
 * @param path What the value is, for messages: `argument 0`.
 * @throws SerializationError for what cannot cross.
 * @example
 * socket.write(toBytes([3, 'cats', { deep: true }], 'the arguments'));
 */
export function toBytes(value: unknown, path = 'the value'): Uint8Array {
  try {
    const compact = writeCompact(value, forms.compact);
    if (compact !== undefined) return compact;
  } catch {
    // A getter or a Proxy threw: the check below says which.
  }
  const data = checkValue(value, path) === 'encode' ? encodeValue(value, path) : value;
  try {
    // Views with their memory, as postMessage has them, rather than v8.serialize, which tears shared memory apart.
    const writer = new v8.Serializer();
    writer.writeRawBytes(Buffer.of(forms.v8));
    writer.writeHeader();
    writer.writeValue(data);
    return writer.releaseBuffer();
  } catch (thrown) {
    throw cloneFailure(thrown, path);
  }
}

/**
 * The value of which `toBytes` made these bytes. As `decodeValue`, it gives a promise only if a class must be loaded.
 *
 * @throws DeserializationError for any other bytes.
 */
export function fromBytes(bytes: Uint8Array): unknown | Promise<unknown> {
  switch (bytes[0]) {
    case forms.compact:
      return readCompact(bytes);
    case forms.v8:
      return decodeValue(readV8(bytes));
    default: {
      const what = bytes.length === 0 ? 'there are no bytes' : `its first byte is ${bytes[0]}`;
      throw new DeserializationError(
        `Cannot read a value: ${what}. Does the other end run another version of Chervil?`,
      );
    }
  }
}

/**
 * What `postMessage` or a serializer of V8 threw, as a SerializationError. The check before lets by what it cannot see:
 * a getter that gives another value when read again, or fields that were added to an array.
 */
export function cloneFailure(thrown: unknown, path: string): SerializationError {
  if (thrown instanceof SerializationError) return thrown;
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new SerializationError(path, `structured clone says: ${why} Pass a plain copy of the data.`);
}

function readV8(bytes: Uint8Array): unknown {
  try {
    const reader = new v8.Deserializer(bytes.subarray(1));
    reader.readHeader();
    return reader.readValue();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DeserializationError(`Cannot read a value of ${bytes.length} bytes: ${why}`, { cause });
  }
}

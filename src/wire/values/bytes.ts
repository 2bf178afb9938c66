// Values as bytes, for pipes and sockets between processes. One byte says the form, the rest is the value.
import v8 from 'node:v8';
import { DeserializationError, SerializationError } from '../../task/errors.ts';
import { checkValue } from './check.ts';
import { readCompact, writeCompact } from './compact.ts';
import { decodeValue } from './decode.ts';
import { encodeValue } from './encode.ts';
import { cutUp, type Pieces, putTogether } from './pieces.ts';

/** First bytes. Another version of a form gets another byte; none of them begins a Python payload (digits, `C`). */
const forms = { compact: 0xe1, v8: 0xe2, pieces: 0xe4 } as const;

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
  const pieces = cutUp(value);
  if (pieces !== undefined) return joined(pieces);
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
    case forms.pieces:
      return readJoined(bytes);
    default: {
      const what = bytes.length === 0 ? 'there are no bytes' : `its first byte is ${bytes[0]}`;
      throw new DeserializationError(
        `Cannot read a value: ${what}. Does the other end run another version of Chervil?`,
      );
    }
  }
}

/** Form, length of the plan u32, plan, parts. */
function joined({ plan, parts }: Pieces): Uint8Array {
  const start = 5 + plan.length;
  const bytes = Buffer.allocUnsafe(parts.reduce((sum, part) => sum + part.length, start));
  bytes[0] = forms.pieces;
  bytes.writeUInt32LE(plan.length, 1);
  bytes.set(plan, 5);
  let at = start;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function readJoined(bytes: Uint8Array): unknown {
  const length =
    (bytes[1] as number) | ((bytes[2] as number) << 8) | ((bytes[3] as number) << 16) | ((bytes[4] as number) << 24);
  let at = 5 + length;
  if (!(length > 0 && at <= bytes.length))
    throw new DeserializationError('Cannot read a value: its bytes end too early.');
  const value = putTogether(bytes.subarray(5, at), (count) => {
    const end = at + count;
    if (end > bytes.length) throw new DeserializationError('Cannot read a value: its bytes end too early.');
    const memory = new ArrayBuffer(count);
    new Uint8Array(memory).set(bytes.subarray(at, end));
    at = end;
    return memory;
  });
  if (at !== bytes.length)
    throw new DeserializationError(`Cannot read a value: ${bytes.length - at} bytes are left after its end.`);
  return value;
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

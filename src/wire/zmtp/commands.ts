// Commands of ZMTP 3.1 and the metadata in them. Pure; used by the mechanisms, the handshake and heartbeats.
import type { Result } from '../../base/result.ts';

/** A command's body: length of the name, name, data. */
export function encodeCommand(name: string, ...data: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from([name.length]), Buffer.from(name, 'latin1'), ...data]);
}

/** The command's name, or `''` when there is none that could be read. */
export function commandName(body: Buffer): string {
  const length = body[0] ?? 0;
  return length === 0 || 1 + length > body.length ? '' : body.toString('latin1', 1, 1 + length);
}

/** What follows the name. */
export function commandData(body: Buffer): Buffer {
  return body.subarray(1 + (body[0] ?? 0));
}

/** Properties a peer tells in its READY or INITIATE. Names are compared without regard to case. */
export interface Metadata {
  readonly socketType: string;
  readonly identity: Buffer;
}

/** The properties as bytes. An identity is sent by the types that may have one, even when it is empty, as libzmq does. */
export function encodeMetadata(socketType: string, identity: Uint8Array | undefined): Buffer {
  const parts = [property('Socket-Type', Buffer.from(socketType))];
  if (identity !== undefined) parts.push(property('Identity', identity));
  return Buffer.concat(parts);
}

/** Reads properties; unknown ones are skipped, cut ones are an error. */
export function decodeMetadata(bytes: Buffer): Result<Metadata> {
  let socketType = '';
  let identity: Buffer = Buffer.alloc(0);
  let at = 0;
  while (at < bytes.length) {
    const nameEnd = at + 1 + bytes[at]!;
    if (nameEnd + 4 > bytes.length) return { ok: false, error: 'the metadata ends within a property' };
    const name = bytes.toString('latin1', at + 1, nameEnd).toLowerCase();
    const valueEnd = nameEnd + 4 + bytes.readUInt32BE(nameEnd);
    if (valueEnd > bytes.length)
      return { ok: false, error: `the metadata ends within the property ${JSON.stringify(name)}` };
    const value = bytes.subarray(nameEnd + 4, valueEnd);
    if (name === 'socket-type') socketType = value.toString('latin1');
    else if (name === 'identity') identity = Buffer.from(value);
    at = valueEnd;
  }
  return { ok: true, value: { socketType, identity } };
}

function property(name: string, value: Uint8Array): Buffer {
  const head = Buffer.alloc(1 + name.length + 4);
  head[0] = name.length;
  head.write(name, 1, 'latin1');
  head.writeUInt32BE(value.length, 1 + name.length);
  return Buffer.concat([head, value]);
}

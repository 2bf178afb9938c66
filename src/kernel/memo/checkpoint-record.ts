// One remembered result, as it stands in a checkpoint file. Written by checkpoint.ts, read by checkpoint-load.ts.
import { join } from 'node:path';
import type { RecordKind } from '../../base/record-file.ts';

/** A result that a later run can use. Failures are never recorded: a later run tries again. */
export interface CheckpointRecord {
  /** The memo key of the call. */
  readonly key: string;
  /** The app's name, for people. */
  readonly app: string;
  /** The encoded result. */
  readonly value: Uint8Array;
  /** Milliseconds since the Unix epoch. */
  readonly savedAt: number;
  /** Absolute paths of local files that the task made; the result counts only while they exist. */
  readonly outputs: readonly string[];
}

/** Raise `version` when the encoding below changes. */
export const checkpointKind: RecordKind = { kind: 'CKPT', version: 1 };

/** Where a run's checkpoint lies. */
export function checkpointPath(runDirectory: string): string {
  return join(runDirectory, 'checkpoint', 'tasks.ckpt');
}

const rawKey = 1;
const textKey = 0;

/** All of a record but its value, which follows it: form of key, time, key, app, outputs. */
export function encodeHead({ key, app, savedAt, outputs }: Omit<CheckpointRecord, 'value'>): Buffer {
  // UTF-8 takes at most three bytes for each unit of a string.
  let size = 13 + 4 + key.length * 3 + 4 + app.length * 3;
  for (const output of outputs) size += 4 + output.length * 3;
  const bytes = Buffer.allocUnsafe(size);
  bytes.writeDoubleLE(savedAt, 1);
  bytes.writeUInt32LE(outputs.length, 9);
  const isRaw = isHash.test(key);
  bytes[0] = isRaw ? rawKey : textKey;
  let at = isRaw ? 13 + bytes.write(key, 13, 'hex') : writeText(bytes, 13, key);
  at = writeText(bytes, at, app);
  for (const output of outputs) at = writeText(bytes, at, output);
  return bytes.subarray(0, at);
}

const isHash = /^[0-9a-f]{64}$/;

function writeText(bytes: Buffer, at: number, text: string): number {
  const size = bytes.write(text, at + 4);
  bytes.writeUInt32LE(size, at);
  return at + 4 + size;
}

/** The key alone, for the index. `undefined` if these bytes are no checkpoint record. */
export function decodeKey(payload: Uint8Array): string | undefined {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  if (bytes[0] === rawKey) return bytes.length < 45 ? undefined : bytes.toString('hex', 13, 45);
  return bytes[0] === textKey ? textAt(bytes, 13)?.text : undefined;
}

/** The record; its value lies in `payload`. `undefined` if these bytes are no checkpoint record. */
export function decodeRecord(payload: Uint8Array): CheckpointRecord | undefined {
  const key = decodeKey(payload);
  if (key === undefined) return undefined;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const app = textAt(bytes, bytes[0] === rawKey ? 45 : textAt(bytes, 13)!.end);
  if (app === undefined) return undefined;
  const outputs: string[] = [];
  let end = app.end;
  for (let left = bytes.readUInt32LE(9); left > 0; left--) {
    const output = textAt(bytes, end);
    if (output === undefined) return undefined;
    outputs.push(output.text);
    end = output.end;
  }
  return { key, app: app.text, savedAt: bytes.readDoubleLE(1), outputs, value: payload.subarray(end) };
}

function textAt(bytes: Buffer, at: number): { readonly text: string; readonly end: number } | undefined {
  if (at + 4 > bytes.length) return undefined;
  const end = at + 4 + bytes.readUInt32LE(at);
  return end > bytes.length ? undefined : { text: bytes.toString('utf8', at + 4, end), end };
}

// Code on its way to pools that share no file system with the program: files by the hash of what is in them, sent once to the interchange,
// which keeps them, and once to each pool that asks. Between Chervil peers only.
import type { Result } from '../../base/result.ts';
import { decodePrefix, dict, encode, field, type PickleLimits } from '../pickle.ts';

/** A file of code. */
export interface CodeFile {
  /** A hash, and `.mjs` if it is a module. Peers take nothing else for a name: it becomes the name of a file. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

const limits: Partial<PickleLimits> = { maxGlobals: 0, maxDepth: 2 };

/** Whether a text can be the name of a file of code. */
export function isCodeName(text: unknown): text is string {
  return typeof text === 'string' && /^[\w-]{1,64}(?:\.mjs)?$/.test(text);
}

/** The frame that a submitter sends before the first task that needs the file. */
export function writeCodeFile({ name, bytes }: CodeFile): Uint8Array {
  return encode(dict({ chervil_code: name, bytes }));
}

/** Such a frame. It comes on the channel of tasks, and has no `task_id`. Never throws. */
export function readCodeFile(frame: Uint8Array): Result<CodeFile> {
  const decoded = decodePrefix(frame, limits);
  if (!decoded.ok) return { ok: false, error: decoded.error.message };
  const name = field(decoded.value.value, 'chervil_code');
  const bytes = field(decoded.value.value, 'bytes');
  if (!isCodeName(name) || !(bytes instanceof Uint8Array)) return { ok: false, error: 'it is no file of code' };
  return { ok: true, value: { name, bytes } };
}

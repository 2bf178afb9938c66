// A Python task as its pool reads it, and gives it to a worker (worker/worker.py).
//
//   flags u8 | length of context u32 | context, a pickle, mostly nothing | the task's buffer, as it came
//
// flags: 1 somebody wants to know when the body starts, 2 what it prints is wanted, 4 it has a timeout, 8 it is of TypeScript, 16 a large
// result may be left in a file (value-files.ts)
import { crc32 } from 'node:zlib';
import type { Result } from '../../base/result.ts';
import { encode, field, type PickleValue } from '../pickle.ts';
import { functionEndOf } from './call.ts';
import { readPythonFacts } from './facts.ts';

const headBytes = 5;
const flag = { told: 1, output: 2, timed: 4, chervil: 8, files: 16 } as const;

/** What a pool needs to know of a Python task, and what it gives to a worker. */
export interface PythonJob {
  readonly timeoutMs: number;
  /** The same for every call of a function; others have the same once in four billion. */
  readonly functionKey: number;
  /** Somebody wants to know when the body starts. */
  readonly isTold: boolean;
  /** Its submitter is Chervil, and reads failures as Chervil writes them. */
  readonly isChervil: boolean;
  readonly bytes: Buffer;
}

/** A task of Parsl's form as a job, or why it is none. Never throws. */
export function readPythonJob(buffer: Uint8Array, context: PickleValue): Result<PythonJob> {
  const functionEnd = functionEndOf(buffer);
  // A task with an executor of its own may have any buffer.
  const hasExecutor = field(context, 'task_executor') !== undefined;
  if (functionEnd === undefined && !hasExecutor)
    return { ok: false, error: `its buffer is not in Parsl's form (first byte ${buffer[0] ?? 'missing'})` };
  const facts = readPythonFacts(context);
  const given = hasExecutor || field(context, 'resource_spec') !== undefined ? encode(context) : nothing;
  const bytes = Buffer.allocUnsafe(headBytes + given.length + buffer.length);
  bytes[0] =
    (facts?.isTold ? flag.told : 0) |
    (facts?.wantsOutput ? flag.output : 0) |
    ((facts?.timeoutMs ?? 0) > 0 ? flag.timed : 0) |
    (facts?.takesFiles ? flag.files : 0) |
    (facts === undefined ? 0 : flag.chervil);
  bytes.writeUInt32LE(given.length, 1);
  bytes.set(given, headBytes);
  bytes.set(buffer, headBytes + given.length);
  const functionKey = crc32(Buffer.from(buffer.buffer, buffer.byteOffset, functionEnd ?? Math.min(64, buffer.length)));
  const { timeoutMs = 0, isTold = false } = facts ?? {};
  const job = { timeoutMs, functionKey, isTold, isChervil: facts !== undefined, bytes };
  return { ok: true, value: job };
}

const nothing = new Uint8Array(0);

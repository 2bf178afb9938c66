// One try of one task as the bytes that a Node worker needs: what stands in a task's `buffer` when its runtime is `node`.
// The submit side writes them, the pool looks at the head, the worker reads them whole. Nobody in between opens them.
//
//   0xe5 | flags | try u16 | task u32 | timeout u32 | kind of function u32 | length of function u32 | length of extra u32
//   function: its source, or, for a long one, the path of a file that has it | extra (mostly nothing) | arguments
//
// Values are as wire/values writes them. None of the first bytes begins a Python payload (digits, `C`).
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Result } from '../base/result.ts';
import { DeserializationError, FunctionNotFoundError } from '../task/errors.ts';
import type { CommandFiles, FunctionSource } from '../task/ports.ts';
import { codeNames, codePath } from './code-names.ts';
import { fromBytes, toBytes } from './values.ts';

const form = 0xe5;
const headBytes = 24;

const flag = { bash: 1, told: 2, output: 4, stored: 8, files: 16 } as const;

/** A function as it is sent. */
export interface SentFunction {
  readonly app: string;
  readonly kind: 'function' | 'bash';
  readonly source: FunctionSource;
}

/** What only some calls have. */
export interface CallExtra {
  readonly files: CommandFiles | undefined;
  readonly wrappers: readonly FunctionSource[];
  readonly resources: Readonly<Record<string, unknown>> | undefined;
}

/** What a call says beside its function. */
export interface CallFacts {
  readonly taskId: number;
  readonly tryNumber: number;
  /** 0 is without limit. */
  readonly timeoutMs: number;
  /** Whether somebody wants to know when the body starts. */
  readonly isTold: boolean;
  /** Whether a large result may be left in a file, as wire/value-files has it. */
  readonly takesFiles?: boolean;
  /** Whether somebody wants to see what the body prints. */
  readonly wantsOutput: boolean;
}

/** The head of a call: all that a pool needs to know. */
export interface CallHead extends CallFacts {
  readonly kind: 'function' | 'bash';
  /** The same for every call of a function; others have the same once in four billion. */
  readonly functionKey: number;
}

/** A function, written once for all its calls. */
export interface CallTemplate {
  readonly head: Buffer;
  /** The bytes to put into a file at the path given, before the first call is sent; `undefined`: they go along. */
  readonly stored: Uint8Array | undefined;
}

/** Longer functions are stored: each call would carry them through four processes. */
export const longestInline = 256;

/**
 * What all calls of a function begin with.
 *
 * @param pathOf where a long function is going to be stored, by its hash: a path, or a reference to code (code-names.ts)
 * @param isAlwaysStored also a short one
 * @throws SerializationError when what it captured cannot be sent
 */
export function callTemplate(fn: SentFunction, pathOf: (hash: string) => string, isAlwaysStored = false): CallTemplate {
  const bytes = toBytes([fn.app, fn.kind, fn.source], `the function ${fn.app}`);
  const hash = createHash('sha256').update(bytes).digest();
  const isStored = isAlwaysStored || bytes.length > longestInline;
  const body = isStored ? Buffer.from(pathOf(hash.toString('base64url').slice(0, 27))) : bytes;
  const head = Buffer.alloc(headBytes + body.length);
  head[0] = form;
  head[1] = (fn.kind === 'bash' ? flag.bash : 0) | (isStored ? flag.stored : 0);
  head.writeUInt32LE(hash.readUInt32LE(0), 12);
  head.writeUInt32LE(body.length, 16);
  head.set(body, headBytes);
  return { head, stored: isStored ? Buffer.from(bytes) : undefined };
}

/**
 * A call as bytes.
 *
 * @param write another way than `toBytes` to make bytes of the arguments
 * @throws SerializationError for arguments that cannot be sent
 */
export function writeCall(
  template: CallTemplate,
  facts: CallFacts,
  args: readonly unknown[],
  extra: CallExtra | undefined,
  app: string,
  write: (args: readonly unknown[], path: string) => Uint8Array = toBytes,
): Buffer {
  const argBytes = write(args, `an argument of ${app}()`);
  const extraBytes = extra === undefined ? none : toBytes(extra);
  const { head } = template;
  const call = Buffer.allocUnsafe(head.length + extraBytes.length + argBytes.length);
  head.copy(call);
  call[1] =
    (head[1] as number) |
    (facts.isTold ? flag.told : 0) |
    (facts.wantsOutput ? flag.output : 0) |
    (facts.takesFiles === true ? flag.files : 0);
  call.writeUInt16LE(Math.min(facts.tryNumber, 0xffff), 2);
  call.writeUInt32LE(facts.taskId % 2 ** 32, 4);
  call.writeUInt32LE(Math.min(facts.timeoutMs, 0xffff_ffff), 8);
  call.writeUInt32LE(extraBytes.length, 20);
  call.set(extraBytes, head.length);
  call.set(argBytes, head.length + extraBytes.length);
  return call;
}

const none = new Uint8Array(0);

/** Whether the bytes of a task are a call of a Node function, and not of a Python one. */
export function isNodeCall(bytes: Uint8Array): boolean {
  return bytes[0] === form;
}

/** The head of a call, or why the bytes are none. Never throws. */
export function readCallHead(bytes: Uint8Array): Result<CallHead> {
  if (bytes.length < headBytes || bytes[0] !== form)
    return { ok: false, error: `its buffer is no call of a Node function (first byte ${bytes[0] ?? 'missing'})` };
  if (headBytes + numberAt(bytes, 16) + numberAt(bytes, 20) > bytes.length)
    return { ok: false, error: 'its buffer is cut short' };
  const flags = bytes[1] as number;
  const head: CallHead = {
    kind: (flags & flag.bash) === 0 ? 'function' : 'bash',
    isTold: (flags & flag.told) !== 0,
    wantsOutput: (flags & flag.output) !== 0,
    takesFiles: (flags & flag.files) !== 0,
    tryNumber: (bytes[2] as number) | ((bytes[3] as number) << 8),
    taskId: numberAt(bytes, 4),
    timeoutMs: numberAt(bytes, 8),
    functionKey: numberAt(bytes, 12),
  };
  return { ok: true, value: head };
}

/** The parts of a call whose head could be read: views of its bytes. */
export interface CallParts {
  /** The same bytes for the same function. */
  readonly fn: Uint8Array;
  readonly isStored: boolean;
  readonly extra: Uint8Array | undefined;
  readonly args: Uint8Array;
}

export function callParts(bytes: Uint8Array): CallParts {
  const functionEnd = headBytes + numberAt(bytes, 16);
  const extraEnd = functionEnd + numberAt(bytes, 20);
  return {
    fn: bytes.subarray(headBytes, functionEnd),
    isStored: ((bytes[1] as number) & flag.stored) !== 0,
    extra: extraEnd === functionEnd ? undefined : bytes.subarray(functionEnd, extraEnd),
    args: bytes.subarray(extraEnd),
  };
}

/** A call with its arguments in it, for a worker that cannot see the file in which they are. */
export function withArguments(call: Uint8Array, args: Uint8Array): Buffer {
  const rest = call.subarray(0, call.length - callParts(call).args.length);
  const whole = Buffer.concat([rest, args]);
  whole[1] = (whole[1] as number) & ~flag.files;
  return whole;
}

/** Whether two calls are of the same function. */
export function isSameFunction(a: Uint8Array, b: Uint8Array): boolean {
  const length = numberAt(a, 16);
  if (a[1] === undefined || length !== numberAt(b, 16)) return false;
  const end = headBytes + length;
  for (let at = headBytes; at < end; at++) if (a[at] !== b[at]) return false;
  return (a[1] & flag.stored) === ((b[1] as number) & flag.stored);
}

function numberAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

/**
 * The function of a call, read from its file if it is stored. Not loaded yet.
 *
 * @throws FunctionNotFoundError when its file cannot be read here
 * @throws DeserializationError for bytes that are no function
 */
export function readFunction({ fn, isStored }: CallParts): SentFunction {
  const bytes = isStored ? readStored(Buffer.from(fn).toString()) : fn;
  const value = fromBytes(bytes);
  if (!Array.isArray(value) || value.length !== 3)
    throw new DeserializationError(
      'The function of the task cannot be read. Do both ends run the same version of Chervil?',
    );
  const [app, kind, source] = value as [string, 'function' | 'bash', FunctionSource];
  return { app, kind, source };
}

function readStored(reference: string): Buffer {
  const code = codeNames(reference)?.[0];
  const path = code === undefined ? reference : codePath(code);
  try {
    return readFileSync(path);
  } catch (error) {
    const why = (error as Error).message;
    throw new FunctionNotFoundError(
      path,
      `The function of the task is kept in ${path}, which cannot be read on ${hostname()}: ${why}. Workers need the run directory on a file system that they share with the program, or htex({ bundle: true }).`,
      error,
    );
  }
}

// Builds attempts, as the kernel gives them to executors.
import { capture } from '../app/capture.ts';
import type { Attempt, Body, CommandFiles, FunctionByReference, FunctionSource } from '../task/ports.ts';

/** What an attempt has beside its body and arguments. */
export interface AttemptOptions {
  /** The app's name. @default that of the function */
  readonly name?: string;
  /** `bash`: the function gives a command. @default 'function' */
  readonly kind?: 'function' | 'bash';
  /** @default a number that no other attempt has */
  readonly taskId?: number;
  /** @default 0 */
  readonly tryNumber?: number;
  /** Milliseconds. @default 0, without limit */
  readonly timeoutMs?: number;
  readonly wrappers?: readonly FunctionSource[];
  readonly files?: CommandFiles;
  /** Reports when the body starts and ends. @default true */
  readonly watched?: boolean;
}

let lastTask = 0;

/**
 * One try of a task: of a function, which is sent by value, or of an export of a module.
 *
 * @example
 * attemptOf((n: number) => n + 1, [1]);
 * attemptOf(referenceTo(new URL('./tasks.ts', import.meta.url), 'count'), ['a.txt'], { timeoutMs: 1_000 });
 */
export function attemptOf(
  body: CallableFunction | FunctionByReference,
  args: readonly unknown[] = [],
  options: AttemptOptions = {},
): Attempt {
  return {
    taskId: options.taskId ?? ++lastTask,
    tryNumber: options.tryNumber ?? 0,
    body: bodyOf(body, options),
    args,
    plainArgs: args.every((arg) => arg === null || !['object', 'function', 'symbol'].includes(typeof arg)),
    wrappers: options.wrappers ?? [],
    timeoutMs: options.timeoutMs ?? 0,
    files: options.files,
    resources: undefined,
    watched: options.watched ?? true,
    note: undefined,
  };
}

/** An export of a module. */
export function referenceTo(module: URL | string, name: string): FunctionByReference {
  return { by: 'reference', module: String(module), export: name };
}

const bodies = new WeakMap<object, Body>();

/** As with apps, all calls of one function share a body, unless it is called by another name. */
function bodyOf(given: CallableFunction | FunctionByReference, { name, kind = 'function' }: AttemptOptions): Body {
  const known = bodies.get(given);
  if (known !== undefined && known.kind === kind && (name === undefined || known.name === name)) return known;
  const body: Body =
    typeof given === 'function'
      ? {
          kind,
          name: name ?? (given.name || 'function'),
          local: given as unknown as Body['local'],
          get source() {
            return capture(given);
          },
        }
      : { kind, name: name ?? given.export, local: undefined, source: given };
  bodies.set(given, body);
  return body;
}

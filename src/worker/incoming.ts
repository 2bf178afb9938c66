// A job as it came from the pool, opened when its turn comes; and the functions that came before. For worker/main.ts.
import { type CallExtra, type CallHead, callParts, isSameFunction, readCallHead, readFunction } from '../wire/calls.ts';
import { loadFunction } from '../wire/functions.ts';
import { directoryVariable, isReference, ValueFiles } from '../wire/value-files.ts';
import { fromBytes } from '../wire/values.ts';
import type { KnownFunction, Pending } from './one-at-a-time.ts';

interface Kept extends KnownFunction {
  /** A call of it. */
  readonly call: Uint8Array;
}

/** By key; several functions hardly ever share one. */
const functions = new Map<number, Kept[]>();
const noWrappers: CallExtra['wrappers'] = [];

export class IncomingJob implements Pending {
  readonly ticket: number;
  readonly #bytes: Uint8Array;
  readonly #head: CallHead | string;
  #resources: CallExtra['resources'];

  constructor(ticket: number, bytes: Uint8Array) {
    this.ticket = ticket;
    this.#bytes = bytes;
    const head = readCallHead(bytes);
    this.#head = head.ok ? head.value : head.error;
  }

  /** The pool wants to know when its body begins. */
  get isTimed(): boolean {
    return typeof this.#head !== 'string' && this.#head.timeoutMs > 0;
  }

  /** The submit side wants to know when its body begins. */
  get isTold(): boolean {
    return typeof this.#head !== 'string' && this.#head.isTold;
  }

  /** The submit side reads large results from files. */
  get takesFiles(): boolean {
    return typeof this.#head !== 'string' && this.#head.takesFiles === true;
  }

  get wantsOutput(): boolean {
    return typeof this.#head !== 'string' && this.#head.wantsOutput;
  }

  open(): ReturnType<Pending['open']> {
    const head = this.#head;
    if (typeof head === 'string') throw new Error(head);
    const { taskId, tryNumber, timeoutMs } = head;
    const parts = callParts(this.#bytes);
    const known = functionOf(head.functionKey, this.#bytes) ?? keepFunction(head.functionKey, this.#bytes);
    // File names and references to functions: nothing that must be imported to be read.
    const extra = parts.extra === undefined ? undefined : (fromBytes(parts.extra) as CallExtra);
    this.#resources = extra?.resources;
    const { app, kind } = known;
    const job = {
      taskId,
      tryNumber,
      app,
      kind,
      wrappers: extra?.wrappers ?? noWrappers,
      files: extra?.files,
      timeoutMs,
    };
    return { known, job, args: isReference(parts.args) ? valueFiles().read(parts.args) : fromBytes(parts.args) };
  }

  /** PARSL_<KEY> of the task's resource specification, for as long as it runs. */
  enter(): (() => void) | undefined {
    if (this.#resources === undefined) return undefined;
    const { env } = process;
    const before = new Map<string, string | undefined>();
    for (const [key, value] of Object.entries(this.#resources)) {
      const name = `PARSL_${key.toUpperCase()}`;
      before.set(name, env[name]);
      env[name] = String(value);
    }
    return () => {
      for (const [name, value] of before) {
        if (value === undefined) delete env[name];
        else env[name] = value;
      }
    };
  }
}

/** The files of large values that this worker sees. */
export function valueFiles(): ValueFiles {
  files ??= new ValueFiles(process.env[directoryVariable] ?? '/nowhere');
  return files;
}
let files: ValueFiles | undefined;

function functionOf(key: number, call: Uint8Array): KnownFunction | undefined {
  return functions.get(key)?.find((one) => isSameFunction(one.call, call));
}

function keepFunction(key: number, call: Uint8Array): KnownFunction {
  const { app, kind, source } = readFunction(callParts(call));
  // A copy: the bytes are a part of all that came with them.
  const kept: Kept = {
    app,
    kind,
    call: call.slice(),
    loaded: undefined,
    load: () => loadFunction(source),
    runs: 0,
    slowestMs: 0,
  };
  const others = functions.get(key);
  if (others === undefined) functions.set(key, [kept]);
  else others.push(kept);
  return kept;
}

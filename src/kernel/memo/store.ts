// What a run remembers: in memory for this run, and, with a checkpoint, on disk for the next. The elaborator `memo` asks it.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { Waitable } from '../../task/cell.ts';
import { CheckpointError, MemoKeyError } from '../../task/errors.ts';
import { type Outcome, succeed } from '../../task/outcome.ts';
import type { ExecutorHost, FunctionSource, PythonFunction } from '../../task/ports.ts';
import { Signal } from '../signal.ts';
import type { Task } from '../task.ts';
import type { CheckpointWriter } from './checkpoint.ts';
import type { Checkpoints } from './checkpoint-load.ts';
import { type FunctionIdentity, memoKey, memoKeyOf } from './key.ts';

/** How values become bytes for the disk, and back. */
export interface ValueCodec {
  toBytes(value: unknown): Uint8Array;
  fromBytes(bytes: Uint8Array): unknown | Promise<unknown>;
  /** A copy, as a value is copied that crosses. */
  copy(value: unknown): unknown | Promise<unknown>;
}

export interface MemoStoreParts {
  readonly writer: CheckpointWriter | undefined;
  /** A future settles only when its result is on disk. */
  readonly waitsForDisk: boolean;
  /** Earlier runs' results. */
  readonly index: Checkpoints | undefined;
  readonly codec: ValueCodec;
  /** What identifies a function beside its name. */
  readonly identityOf: (source: FunctionSource | PythonFunction) => FunctionIdentity['source'];
  readonly log: ExecutorHost['log'];
}

interface Remembered {
  readonly outcome: Outcome;
  /** Paths that must still exist for it to count. */
  readonly outputs: readonly string[];
}

export class MemoStore {
  readonly #parts: MemoStoreParts;
  readonly #remembered = new Map<string, Remembered>();
  readonly #identities = new WeakMap<object, FunctionIdentity>();
  readonly #localKeys = new WeakMap<CallableFunction, string>();
  readonly #sameText = new Map<string, number>();

  constructor(parts: MemoStoreParts) {
    this.#parts = parts;
  }

  /** The key of a task whose arguments are ready. Throws MemoKeyError or FileNotFoundError. */
  keyOf(task: Task): string {
    const { record, args } = task;
    const option = record.memo ?? {};
    const identity = this.#identityOf(task);
    const options = {
      ...(option.files === undefined ? {} : { files: option.files }),
      ...(option.ignore === undefined ? {} : { ignore: option.ignore }),
    };
    if (option.key === undefined) return memoKey(identity, args, options);
    let part: unknown;
    try {
      part = option.key(...args);
    } catch (cause) {
      throw new MemoKeyError(
        `The memo key function of ${record.name} threw: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );
    }
    return memoKeyOf(identity, part, options);
  }

  #identityOf(task: Task): FunctionIdentity {
    const { record } = task;
    const known = this.#identities.get(record);
    if (known !== undefined) return known;
    const { source, local } = record.body;
    const byName = record.memo?.function === 'name';
    const own = byName
      ? undefined
      : source !== undefined
        ? this.#parts.identityOf(source)
        : local && this.#localIdentity(local);
    const identity = { name: record.name, source: own };
    this.#identities.set(record, identity);
    return identity;
  }

  /**
   * The body of a join is not sent, and what it captured is not known: it is its text. Functions made of the same text may
   * have captured different things, so they are told apart by the order of their first calls.
   */
  #localIdentity(local: CallableFunction): FunctionIdentity['source'] {
    let key = this.#localKeys.get(local);
    if (key === undefined) {
      const text = createHash('sha256').update(String(local)).digest('hex');
      const before = this.#sameText.get(text) ?? 0;
      this.#sameText.set(text, before + 1);
      key = `join ${text} ${before}`;
      this.#localKeys.set(local, key);
    }
    return { by: 'value', key };
  }

  /** The outcome of an equal call, from this run or an earlier one; its outputs still exist. */
  lookup(key: string): Outcome | undefined {
    const known = this.#remembered.get(key);
    if (known !== undefined) {
      if (known.outputs.every((path) => existsSync(path))) return this.#copyOf(known.outcome);
      this.#remembered.delete(key);
      return undefined;
    }
    const { index, codec, writer, log } = this.#parts;
    const record = index?.record(key);
    if (record === undefined || !record.outputs.every((path) => existsSync(path))) return undefined;
    try {
      const value = codec.fromBytes(record.value);
      if (value instanceof Promise) return undefined;
      const outcome = succeed(value);
      const own = this.#copyOf(outcome);
      this.#remembered.set(key, { outcome, outputs: record.outputs });
      // What this run uses again it also records again, so that the last checkpoint alone has all of it.
      writer?.reuse(key, () => record);
      return own;
    } catch (error) {
      log('warn', `checkpoint: a result of ${record.app} cannot be read and is computed anew: ${String(error)}`);
      return undefined;
    }
  }

  /** Every call gets a value of its own: what one does to it, another must not see. */
  #copyOf(outcome: Outcome): Outcome {
    if (!outcome.ok || typeof outcome.value !== 'object' || outcome.value === null) return outcome;
    try {
      const copy = this.#parts.codec.copy(outcome.value);
      return copy instanceof Promise ? outcome : succeed(copy);
    } catch {
      // Only what a join gave can be something that does not cross; it is shared then.
      return outcome;
    }
  }

  /** Remembers how a call ended. What is returned is done once the result is on disk, if it has to be. */
  remember(key: string, task: Task, outcome: Outcome): Waitable | undefined {
    const outputs = task.notes?.outputs ?? [];
    this.#remembered.set(key, { outcome: this.#copyOf(outcome), outputs });
    const { writer, codec, log, waitsForDisk } = this.#parts;
    if (!outcome.ok || writer === undefined) return undefined;
    let value: Uint8Array;
    try {
      value = codec.toBytes(outcome.value);
    } catch (error) {
      log('warn', `checkpoint: the result of task ${task.id} (${task.app}) cannot be written: ${String(error)}`);
      return undefined;
    }
    const saved = waitsForDisk ? new Signal() : undefined;
    writer.add({ key, app: task.app, value, outputs }, () => saved?.come());
    return saved;
  }

  /** Writes what has gathered. @returns how many records */
  checkpoint(): number {
    const written = this.#parts.writer?.checkpoint();
    if (written === undefined) return 0;
    if (!written.ok) throw new CheckpointError(`The checkpoint could not be written: ${written.error.message}`);
    return written.value;
  }

  close(): void {
    this.#parts.writer?.close();
    this.#parts.index?.close();
  }
}

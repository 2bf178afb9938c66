// Looks through the arguments of a call: what must be waited for, which files are among them, and, later, puts values where
// futures stood. Only arrays and plain objects are searched; everything else is a leaf.
import { fileURLToPath } from 'node:url';
import type { Cell } from '../task/cell.ts';
import { StagingError } from '../task/errors.ts';
import { File, Output } from '../task/file.ts';
import { ForeignCell, isThenable, TaskFuture } from '../task/future.ts';

/** What a call's arguments hold. */
export interface Gathered {
  /** The arguments; promises that are not futures are replaced by something that can be waited for. */
  readonly args: readonly unknown[];
  readonly plainArgs: boolean;
  readonly dependencies: Cell | readonly Cell[] | undefined;
  readonly inputs: readonly string[] | undefined;
  readonly outputs: readonly (readonly [key: string, file: Output])[] | undefined;
}

/** Stands in arguments where a promise stood that is not ours. */
class Foreign {
  readonly cell: ForeignCell;
  constructor(promise: PromiseLike<unknown>) {
    this.cell = new ForeignCell(promise);
  }
}

interface Found {
  cells: Cell[];
  foreign: Map<object, Foreign>;
  inputs: string[];
  outputs: [string, Output][];
}

/** @param deep search arrays and plain objects too, at any depth; otherwise only the arguments themselves and their direct elements */
export function gather(args: readonly unknown[], deep: boolean): Gathered {
  let isPlain = true;
  for (const arg of args) {
    if ((typeof arg === 'object' && arg !== null) || typeof arg === 'function') {
      isPlain = false;
      break;
    }
  }
  if (isPlain) return { args, plainArgs: true, dependencies: undefined, inputs: undefined, outputs: undefined };

  const found: Found = { cells: [], foreign: new Map(), inputs: [], outputs: [] };
  for (let index = 0; index < args.length; index++)
    search(args[index], String(index), found, deep ? Number.POSITIVE_INFINITY : 1);
  const { cells, foreign, inputs, outputs } = found;
  const unique = cells.length > 1 ? [...new Set(cells)] : cells;
  return {
    args: foreign.size === 0 ? args : (rebuild(args, (leaf) => foreign.get(leaf)) as unknown[]),
    plainArgs: false,
    dependencies: unique.length > 1 ? unique : unique[0],
    inputs: inputs.length > 0 ? inputs : undefined,
    outputs: outputs.length > 0 ? outputs : undefined,
  };
}

/** Iterative: the arguments may be as deep as the user likes, and may hold themselves. */
function search(root: unknown, key: string, found: Found, depth: number): void {
  if (typeof root !== 'object' || root === null) return;
  const stack: { value: object; key: string; depth: number }[] = [{ value: root, key, depth }];
  const seen = new Set<object>();
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { value } = next;
    if (seen.has(value)) continue;
    const cell = TaskFuture.cellOf(value);
    if (cell !== undefined) {
      found.cells.push(cell);
    } else if (value instanceof File) {
      noteFile(value, next.key, found);
    } else if (isThenable(value)) {
      let foreign = found.foreign.get(value);
      if (foreign === undefined) {
        foreign = new Foreign(value);
        found.foreign.set(value, foreign);
      }
      found.cells.push(foreign.cell);
    } else if (next.depth > 0 && isContainer(value)) {
      seen.add(value);
      const entries = Object.entries(value);
      for (let index = entries.length - 1; index >= 0; index--) {
        const [name, inner] = entries[index] as [string, unknown];
        if (typeof inner === 'object' && inner !== null) stack.push({ value: inner, key: name, depth: next.depth - 1 });
      }
    }
  }
}

function noteFile(file: File, key: string, found: Found): void {
  if (file.localPath === undefined && file.scheme !== 'file') {
    throw new StagingError(
      file.url,
      `No staging provider can bring ${file.url}: this run stages local files only. Fetch it in an app of its own, and pass on what that returns.`,
    );
  }
  if (file instanceof Output) found.outputs.push([key, file]);
  else if (file.localPath === undefined) found.inputs.push(fileURLToPath(file.url));
}

/** Arguments with the values of settled futures in their place. Containers without futures stay as they are. */
export function substitute(args: readonly unknown[]): { args: readonly unknown[]; isPlain: boolean } {
  const substituted = substituteFlat(args) ?? (rebuild(args, settledValue) as unknown[]);
  return {
    args: substituted,
    isPlain: substituted.every((arg) => (typeof arg !== 'object' || arg === null) && typeof arg !== 'function'),
  };
}

/** The common case, where futures stand only as arguments themselves; `undefined` when there is a container to search. */
function substituteFlat(args: readonly unknown[]): unknown[] | undefined {
  const values = new Array<unknown>(args.length);
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (typeof arg !== 'object' || arg === null) {
      values[index] = arg;
      continue;
    }
    const value = settledValue(arg);
    if (value !== undefined) values[index] = value.value;
    else if (isContainer(arg)) return undefined;
    else values[index] = arg;
  }
  return values;
}

function settledValue(leaf: object): Value | undefined {
  const cell = leaf instanceof Foreign ? leaf.cell : TaskFuture.cellOf(leaf);
  return cell?.outcome?.ok ? new Value(cell.outcome.value) : undefined;
}

/**
 * An argument as it is without the futures in it that are waited for, to check the rest of it; nothing is left of a future
 * itself. One that a shallow search did not find stays.
 */
export function withoutFutures(arg: unknown, awaited: Cell | readonly Cell[]): unknown {
  const cells = new Set([awaited].flat());
  return rebuild(arg, (leaf) => {
    const cell = leaf instanceof Foreign ? leaf.cell : TaskFuture.cellOf(leaf);
    return cell !== undefined && cells.has(cell) ? nothing : undefined;
  });
}

/** What {@link rebuild} puts in the place of a leaf; boxed where it may be `undefined`. */
class Value {
  readonly value: unknown;
  constructor(value: unknown) {
    this.value = value;
  }
}

const nothing = new Value(undefined);

/** A copy of `root` in which leaves are replaced; what holds no replaced leaf is not copied, and cycles stay cycles. */
function rebuild(root: unknown, replace: (leaf: object) => object | undefined): unknown {
  // First pass: find the containers and leaves that change, by walking once with the parents at hand.
  if (typeof root !== 'object' || root === null) return root;
  const replaced = new Map<object, unknown>();
  const parents = new Map<object, Set<object>>();
  const stack: object[] = [root];
  const seen = new Set<object>([root]);
  for (let value = stack.pop(); value !== undefined; value = stack.pop()) {
    const instead = replace(value);
    if (instead !== undefined) {
      replaced.set(value, instead instanceof Value ? instead.value : instead);
      continue;
    }
    if (!isContainer(value)) continue;
    for (const inner of Object.values(value)) {
      if (typeof inner !== 'object' || inner === null) continue;
      let above = parents.get(inner);
      if (above === undefined) {
        above = new Set();
        parents.set(inner, above);
      }
      above.add(value);
      if (!seen.has(inner)) {
        seen.add(inner);
        stack.push(inner);
      }
    }
  }
  if (replaced.size === 0) return root;
  // Second pass: everything above a replaced leaf is copied.
  const copies = new Map<object, object>();
  const upward = [...replaced.keys()];
  for (let value = upward.pop(); value !== undefined; value = upward.pop()) {
    for (const above of parents.get(value) ?? []) {
      if (copies.has(above)) continue;
      copies.set(above, Array.isArray(above) ? new Array(above.length) : Object.create(Object.getPrototypeOf(above)));
      upward.push(above);
    }
  }
  for (const [original, copy] of copies) {
    for (const [key, inner] of Object.entries(original)) {
      const isObject = typeof inner === 'object' && inner !== null;
      const value = !isObject ? inner : replaced.has(inner) ? replaced.get(inner) : (copies.get(inner) ?? inner);
      if (key === '__proto__')
        Object.defineProperty(copy, key, { value, enumerable: true, configurable: true, writable: true });
      else (copy as Record<string, unknown>)[key] = value;
    }
  }
  return replaced.has(root) ? replaced.get(root) : (copies.get(root) ?? root);
}

/** Arrays and plain objects, also without a prototype. */
export function isContainer(value: object): boolean {
  if (Array.isArray(value)) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

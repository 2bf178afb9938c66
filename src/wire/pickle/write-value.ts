// Writes any PickleValue with a PickleWriter: shared containers once, cycles by reference, and no recursion, however deep the value.
// Called by ../pickle.ts.
import {
  type PickleValue,
  PyByteArray,
  PyFloat,
  PyFrozenSet,
  PyGlobal,
  PyObject,
  PySet,
  type PyStep,
  PyTuple,
} from './values.ts';
import type { PickleWriter } from './writer.ts';

/** Items between a MARK and its APPENDS, SETITEMS or ADDITEMS: so many does a reader hold on its stack. CPython takes 1000 too. */
const batchItems = 1_000;
/** Texts and byte strings from this length on, and ints of as many bytes, are written once, however often they occur. */
const sharedLength = 256;
const sharedInt = 1n << BigInt(8 * sharedLength);
/** Deeper than any honest value: only a tuple that contains itself gets there. */
const deepest = 1_000_000;

const scannedMemo = 8;

const opcodes = { append: 0x65, set: 0x75, add: 0x90 } as const;

/** What is still to be written of an open container. `next` is the item to write next. */
type Open =
  | {
      readonly kind: 'items';
      readonly items: readonly PickleValue[];
      next: number;
      readonly batch: number;
      readonly opcode: number;
    }
  | {
      readonly kind: 'making';
      readonly made: PyTuple | PyFrozenSet | PyObject;
      readonly opcode: number;
      readonly remembered: boolean;
    }
  | { readonly kind: 'steps'; readonly steps: readonly PyStep[]; next: number }
  | { readonly kind: 'opcode'; readonly opcode: number };

/** Writes values into the pickle that `writer` has begun. One at a time; between values it holds on to nothing of them. */
export class ValueWriter {
  private readonly writer: PickleWriter;
  /** The first values written are few in most messages, and looking through them costs less than a Map. */
  private readonly memo: (object | string | bigint | undefined)[] = new Array<undefined>(scannedMemo).fill(undefined);
  private laterMemo: Map<object | string | bigint, number> | undefined;
  private memoCount = 0;
  private readonly open: Open[] = [];

  constructor(writer: PickleWriter) {
    this.writer = writer;
  }

  /** Writes `value`. Throws TypeError for what is no {@link PickleValue}, RangeError for what is too long or contains itself. */
  write(value: PickleValue): void {
    try {
      if (!this.writeSimple(value)) this.start(value);
      const { open } = this;
      while (open.length > 0) this.advance(open[open.length - 1]!);
    } finally {
      const scanned = Math.min(this.memoCount, scannedMemo);
      for (let index = 0; index < scanned; index++) this.memo[index] = undefined;
      this.memoCount = 0;
      this.laterMemo = undefined;
      if (this.open.length > 0) this.open.length = 0;
    }
  }

  /** Writes a value that holds no others. Says false, having written nothing, when it is a container. */
  private writeSimple(value: PickleValue): boolean {
    const { writer } = this;
    switch (typeof value) {
      case 'string':
        if (value.length < sharedLength) writer.text(value);
        else if (!this.recall(value)) {
          writer.text(value);
          this.memoize(value);
        }
        return true;
      case 'number':
        // -0 is no int.
        if (Number.isSafeInteger(value) && (value !== 0 || 1 / value > 0)) writer.int(value);
        else writer.float(value);
        return true;
      case 'boolean':
        writer.bool(value);
        return true;
      case 'bigint':
        if (value < sharedInt && value > -sharedInt) writer.int(value);
        else if (!this.recall(value)) {
          writer.int(value);
          this.memoize(value);
        }
        return true;
      case 'object':
        if (value === null) writer.none();
        else if (value instanceof Uint8Array) this.writeBytes(value);
        else if (value instanceof PyFloat) writer.float(value.value);
        else return false;
        return true;
      default:
        throw new TypeError(`cannot pickle ${typeof value}${this.place()}: give a PickleValue, null for nothing`);
    }
  }

  private writeBytes(value: Uint8Array): void {
    if (value.length < sharedLength) this.writer.byteString(value);
    else if (!this.recall(value)) {
      this.writer.byteString(value);
      this.memoize(value);
    }
  }

  /** Writes the beginning of a container and opens it. */
  private start(value: PickleValue): void {
    const { writer, open } = this;
    if (this.recall(value as object)) return;
    if (open.length > deepest)
      throw new RangeError(`cannot pickle a value deeper than ${deepest} containers, or a tuple that contains itself`);
    writer.splitFrame();
    if (value instanceof Map) {
      writer.opcode(0x7d);
      this.memoize(value);
      if (value.size > 0)
        open.push({ kind: 'items', items: flat(value), next: 0, batch: batchItems * 2, opcode: opcodes.set });
    } else if (Array.isArray(value)) {
      writer.opcode(0x5d);
      this.memoize(value);
      if (value.length > 0)
        open.push({ kind: 'items', items: value, next: 0, batch: batchItems, opcode: opcodes.append });
    } else if (value instanceof PyTuple) {
      const { length } = value.items;
      if (length === 0) {
        writer.opcode(0x29);
        return;
      }
      if (length > 3) writer.opcode(0x28);
      open.push({ kind: 'making', made: value, opcode: length > 3 ? 0x74 : 0x84 + length, remembered: true });
      this.openParts(value.items);
    } else if (value instanceof PySet) {
      writer.opcode(0x8f);
      this.memoize(value);
      if (value.items.length > 0)
        open.push({ kind: 'items', items: value.items, next: 0, batch: batchItems, opcode: opcodes.add });
    } else if (value instanceof PyFrozenSet) {
      writer.opcode(0x28);
      open.push({ kind: 'making', made: value, opcode: 0x91, remembered: true });
      this.openParts(value.items);
    } else if (value instanceof PyObject) this.startObject(value, true);
    else if (value instanceof PyGlobal) {
      writer.global(value.module, value.name);
      this.memoize(value);
    } else if (value instanceof PyByteArray) {
      writer.global('builtins', 'bytearray');
      writer.byteString(value.bytes);
      writer.opcode(0x85);
      writer.call();
      this.memoize(value);
    } else
      throw new TypeError(`cannot pickle ${nameOf(value)}${this.place()}: use a Map for a dict, PyTuple for a tuple`);
  }

  private startObject(object: PyObject, remembered: boolean): void {
    const { callee, args, kwargs } = object;
    if (kwargs !== undefined && object.made === 'call')
      throw new TypeError('cannot pickle a call with keyword arguments; use made "new"');
    this.open.push({
      kind: 'making',
      made: object,
      opcode: object.made === 'call' ? 0x52 : kwargs === undefined ? 0x81 : 0x92,
      remembered,
    });
    this.openParts(kwargs === undefined ? [callee, args] : [callee, args, kwargs]);
  }

  private openParts(items: readonly PickleValue[]): void {
    this.open.push({ kind: 'items', items, next: 0, batch: 0, opcode: 0 });
  }

  /** Writes on at the innermost open container, up to the next container inside it or to its end. */
  private advance(open: Open): void {
    const { writer } = this;
    switch (open.kind) {
      case 'items':
        this.advanceItems(open);
        return;
      case 'making': {
        this.open.pop();
        writer.opcode(open.opcode);
        const { made } = open;
        if (!open.remembered) return;
        // A cycle through its parts may have made it already: then that one counts, and this one goes.
        if (this.isRemembered(made)) {
          writer.opcode(0x30);
          this.recall(made);
          return;
        }
        this.memoize(made);
        if (made instanceof PyObject && made.steps.length > 0)
          this.open.push({ kind: 'steps', steps: made.steps, next: 0 });
        return;
      }
      case 'steps': {
        const step = open.steps[open.next++];
        if (step === undefined) this.open.pop();
        else this.startStep(step);
        return;
      }
      case 'opcode':
        this.open.pop();
        writer.opcode(open.opcode);
    }
  }

  private advanceItems(open: Open & { kind: 'items' }): void {
    const { items, batch, opcode } = open;
    const { writer } = this;
    while (open.next < items.length) {
      if (batch > 0 && open.next % batch === 0) {
        if (open.next > 0) writer.opcode(opcode);
        writer.splitFrame();
        writer.opcode(0x28);
      }
      const item = items[open.next++] as PickleValue;
      if (this.writeSimple(item)) continue;
      this.start(item);
      return;
    }
    if (batch > 0 && items.length > 0) writer.opcode(opcode);
    this.open.pop();
  }

  private startStep(step: PyStep): void {
    switch (step.do) {
      case 'state':
        this.open.push({ kind: 'opcode', opcode: 0x62 });
        this.openParts([step.state]);
        return;
      case 'call':
        this.open.push({ kind: 'opcode', opcode: 0x30 });
        this.startObject(step.call, false);
        return;
      case 'set':
        this.open.push({
          kind: 'items',
          items: step.entries.flat(),
          next: 0,
          batch: batchItems * 2,
          opcode: opcodes.set,
        });
        return;
      default:
        this.open.push({ kind: 'items', items: step.items, next: 0, batch: batchItems, opcode: opcodes[step.do] });
    }
  }

  private memoize(value: object | string | bigint): void {
    this.writer.opcode(0x94);
    const index = this.memoCount++;
    if (index < scannedMemo) {
      this.memo[index] = value;
      return;
    }
    this.laterMemo ??= new Map();
    this.laterMemo.set(value, index);
  }

  /** Writes a reference, if `value` was written before. */
  private recall(value: object | string | bigint): boolean {
    const { memo, memoCount } = this;
    const scanned = Math.min(memoCount, scannedMemo);
    let index = 0;
    while (index < scanned && memo[index] !== value) index++;
    if (index === scanned) {
      const later = this.laterMemo?.get(value);
      if (later === undefined) return false;
      index = later;
    }
    this.writer.get(index);
    return true;
  }

  private isRemembered(value: object): boolean {
    return this.memo.includes(value) || this.laterMemo?.has(value) === true;
  }

  private place(): string {
    const open = this.open[this.open.length - 1];
    return open?.kind === 'items' ? ` (part ${open.next} of a container at depth ${this.open.length})` : '';
  }
}

function flat(map: ReadonlyMap<PickleValue, PickleValue>): PickleValue[] {
  const items: PickleValue[] = [];
  for (const [key, value] of map) items.push(key, value);
  return items;
}

function nameOf(value: unknown): string {
  return (Object.getPrototypeOf(value)?.constructor?.name as string | undefined) ?? 'an object without a class';
}

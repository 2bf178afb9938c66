// The machine that a pickle drives: input, stack, marks and memo, with a limit on each. It is Python's own machine without anything that
// could run code. The opcodes (reader.ts, rare-opcodes.ts) are written in its terms; all it throws is PickleFault.
import { defaultPickleLimits, overLimit, PickleFault, type PickleLimits } from './limits.ts';
import { modernGlobal } from './old-names.ts';
import { readText } from './text.ts';
import { integerFromBytes } from './text-opcodes.ts';
import { type PickleValue, PyByteArray, type PyDict, PyFloat, PyGlobal, PyObject, PySet, PyTuple } from './values.ts';

const keptStack = 32;
const keptMemo = 64;
const noBytes = Buffer.alloc(0);
const doubleBytes = new Uint8Array(8);
const double = new Float64Array(doubleBytes.buffer);

/** What the opcodes work on. `begin` comes before each pickle and `forget` after it; between pickles it holds on to nothing of them. */
export class PickleMachine {
  /** Offset of the next byte; in the end, where the pickle ended. */
  at = 0;
  /** Offset of the opcode at work, for error messages. */
  opcodeAt = 0;
  bytes: Buffer = noBytes;
  end = 0;
  limits: PickleLimits = defaultPickleLimits;
  protocol = 0;
  readonly stack: PickleValue[] = new Array<PickleValue>(keptStack).fill(null);
  top = 0;
  /** Nothing below may be popped: the place of the innermost mark. */
  fence = 0;
  readonly marks: number[] = [];
  readonly memo: PickleValue[] = new Array<PickleValue>(keptMemo).fill(null);
  memoCount = 0;
  /** Memo entries of pickles that number them with gaps. */
  sparseMemo: Map<number, PickleValue> | undefined;
  containers = 0;
  copied = 0;
  globals = 0;
  /** Where the last call ended: a POP right there means that it was made for its effect. */
  callEnd = -1;

  /** Takes a pickle in. */
  begin(bytes: Uint8Array, limits: PickleLimits): void {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = bytes.byteLength;
    this.limits = limits;
    this.at = 0;
    this.opcodeAt = 0;
    this.protocol = 0;
    this.top = 0;
    this.fence = 0;
    this.memoCount = 0;
    this.containers = 0;
    this.copied = 0;
    this.globals = 0;
    this.callEnd = -1;
    if (this.end > limits.maxBytes) throw overLimit('maxBytes', limits);
  }

  /** Lets go of everything. */
  forget(): void {
    // By hand: on arrays this short a loop is much faster than fill().
    const { stack, memo } = this;
    if (stack.length > keptStack) stack.length = keptStack;
    for (let index = 0; index < keptStack; index++) stack[index] = null;
    if (memo.length > keptMemo) memo.length = keptMemo;
    const remembered = Math.min(this.memoCount, keptMemo);
    for (let index = 0; index < remembered; index++) memo[index] = null;
    if (this.marks.length > 0) this.marks.length = 0;
    this.sparseMemo = undefined;
    this.bytes = noBytes;
  }

  // Input

  /** Claims the next `length` bytes and says where they start. */
  take(length: number): number {
    const start = this.at;
    if (length > this.end - start) throw truncated();
    this.at = start + length;
    return start;
  }

  length8(): number {
    const start = this.take(8);
    const high = this.bytes.readUInt32LE(start + 4);
    if (high >= 2 ** 21) throw new PickleFault('MALFORMED', 'a length beyond 2**53');
    return high * 2 ** 32 + this.bytes.readUInt32LE(start);
  }

  /** The bytes up to the next line feed, one character each. */
  line(): string {
    const newline = this.bytes.indexOf(10, this.at);
    if (newline < 0 || newline >= this.end) throw truncated();
    if (newline - this.at > this.limits.maxTextBytes) throw overLimit('maxTextBytes', this.limits);
    const line = this.bytes.toString('latin1', this.at, newline);
    this.at = newline + 1;
    return line;
  }

  textLine(): string {
    const start = this.at;
    this.line();
    return readText(this.bytes, start, this.at - 1);
  }

  // Stack

  push(value: PickleValue): void {
    const top = this.top;
    if (top >= this.limits.maxStack) throw overLimit('maxStack', this.limits);
    this.stack[top] = value;
    this.top = top + 1;
  }

  pop(): PickleValue {
    if (this.top <= this.fence) throw underflow();
    return this.stack[--this.top]!;
  }

  peek(): PickleValue {
    if (this.top <= this.fence) throw underflow();
    return this.stack[this.top - 1]!;
  }

  /** One past the last item that the mark just popped had above it. */
  stackEnd = 0;

  /** Takes the innermost mark and all above it away; says where its first item stands. The items end at `stackEnd`. */
  popMark(): number {
    const start = this.marks.pop();
    if (start === undefined) throw new PickleFault('MALFORMED', 'no mark to go back to');
    this.stackEnd = this.top;
    this.top = start;
    this.fence = this.marks.length > 0 ? this.marks[this.marks.length - 1]! : 0;
    return start;
  }

  itemsFromMark(): PickleValue[] {
    const start = this.popMark();
    return this.stack.slice(start, this.stackEnd);
  }

  pairs(start: number): [PickleValue, PickleValue][] {
    const entries: [PickleValue, PickleValue][] = [];
    if ((this.stackEnd - start) % 2 !== 0) throw oddEntries();
    for (let index = start; index < this.stackEnd; index += 2)
      entries.push([this.stack[index]!, this.stack[index + 1]!]);
    return entries;
  }

  discard(): void {
    if (this.top <= this.fence) {
      if (this.marks.length === 0) throw underflow();
      this.popMark();
      return;
    }
    const thrownAway = this.stack[--this.top]!;
    // Popped right after its call: made for what the call does to the object below.
    if (this.callEnd !== this.at - 1 || !(thrownAway instanceof PyObject)) return;
    const below = this.top > this.fence ? this.stack[this.top - 1] : undefined;
    if (!(below instanceof PyObject)) {
      // Followed by a GET it is how picklers throw away a second copy of what a cycle through its parts has made already.
      const next = this.bytes[this.at];
      if (next === 0x68 || next === 0x6a || next === 0x67) return;
      throw new PickleFault('UNSUPPORTED', 'a call whose result is thrown away, with no object below it');
    }
    below.steps.push({ do: 'call', call: thrownAway });
  }

  // Memo

  memoize(index: number, value: PickleValue): void {
    const memoSize = this.memoCount + (this.sparseMemo?.size ?? 0);
    if (memoSize >= this.limits.maxMemo) throw overLimit('maxMemo', this.limits);
    if (index < this.memoCount) this.memo[index] = value;
    else if (index === this.memoCount && this.sparseMemo === undefined) this.memo[this.memoCount++] = value;
    else {
      this.sparseMemo ??= new Map();
      this.sparseMemo.set(index, value);
    }
  }

  recall(index: number): PickleValue {
    if (index < this.memoCount) return this.memo[index]!;
    const value = this.sparseMemo?.get(index);
    if (value === undefined)
      throw new PickleFault('MALFORMED', `a reference to memo entry ${index}, which was never made`);
    return value;
  }

  // Values

  countContainer(): void {
    if (++this.containers > this.limits.maxContainers) throw overLimit('maxContainers', this.limits);
  }

  /** Counts what is copied out of a list or text. What a pickler writes is copied once at most, so never more than the input is long. */
  readonly charge = (items: number): void => {
    this.copied += items;
    if (this.copied > this.end)
      throw new PickleFault('LIMIT', 'the same list or text is turned into other data again and again');
  };

  pushOwn(container: PickleValue): void {
    this.countContainer();
    this.push(container);
  }

  pushTuple(length: number): void {
    this.countContainer();
    const start = this.top - length;
    if (start < this.fence) throw underflow();
    const { stack } = this;
    const first = stack[start]!;
    const items =
      length === 1
        ? [first]
        : length === 2
          ? [first, stack[start + 1]!]
          : [first, stack[start + 1]!, stack[start + 2]!];
    stack[start] = new PyTuple(items);
    this.top = start + 1;
  }

  pushBytes(length: number): void {
    const start = this.take(length);
    this.countContainer();
    this.push(new Uint8Array(this.bytes.buffer as ArrayBuffer, this.bytes.byteOffset + start, length));
  }

  pushText(length: number): void {
    if (length > this.limits.maxTextBytes) throw overLimit('maxTextBytes', this.limits);
    const start = this.take(length);
    this.push(readText(this.bytes, start, start + length));
  }

  pushOldString(length: number): void {
    if (length > this.limits.maxTextBytes) throw overLimit('maxTextBytes', this.limits);
    const start = this.take(length);
    const text = this.bytes.toString('latin1', start, start + length);
    if (!/^[\0-\x7f]*$/.test(text)) throw new PickleFault('UNSUPPORTED', 'a Python 2 string with bytes above 127');
    this.push(text);
  }

  pushInteger(length: number): void {
    if (length > this.limits.maxIntegerBytes) throw overLimit('maxIntegerBytes', this.limits);
    const start = this.take(length);
    this.push(integerFromBytes(this.bytes, start, length));
  }

  pushFloat(start: number): void {
    const { bytes } = this;
    for (let index = 0; index < 8; index++) doubleBytes[index] = bytes[start + 7 - index]!;
    this.push(floatValue(double[0]!));
  }

  pushGlobal(module: string, name: string): void {
    if (++this.globals > this.limits.maxGlobals) throw overLimit('maxGlobals', this.limits);
    this.pushOwn(this.protocol < 3 ? modernGlobal(module, name) : new PyGlobal(module, name));
  }

  setEntriesFromStack(into: PyDict, start: number): void {
    const { stack, stackEnd } = this;
    if ((stackEnd - start) % 2 !== 0) throw oddEntries();
    for (let index = start; index < stackEnd; index += 2) this.setEntry(into, stack[index]!, stack[index + 1]!);
  }

  setEntry(into: PyDict, key: PickleValue, value: PickleValue): void {
    if (into.size >= this.limits.maxDictEntries) throw overLimit('maxDictEntries', this.limits);
    // Two NaN keys are two keys in Python.
    into.set(
      typeof key === 'string' ? key : typeof key === 'number' && Number.isNaN(key) ? new PyFloat(key) : hashable(key),
      value,
    );
  }
}

export function floatValue(value: number): PickleValue {
  return Number.isInteger(value) ? new PyFloat(value) : value;
}

/** `value`, unless Python would refuse it as a key of a dict or a member of a set. */
export function hashable(value: PickleValue): PickleValue {
  if (Array.isArray(value) || value instanceof Map || value instanceof PySet || value instanceof PyByteArray)
    throw new PickleFault('MALFORMED', 'a list, dict, set or bytearray as a key or a member of a set');
  return value;
}

export function truncated(): PickleFault {
  return new PickleFault('TRUNCATED', 'the bytes end in the middle');
}

export function underflow(): PickleFault {
  return new PickleFault('MALFORMED', 'the stack holds too little');
}

function oddEntries(): PickleFault {
  return new PickleFault('MALFORMED', 'a key without a value');
}

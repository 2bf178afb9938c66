// The machine that reads a pickle: a stack, marks and a memo, driven by one byte at a time. It is Python's own machine with everything
// that could run code taken out. Used by ../pickle.ts, which catches the faults thrown here.
import { isDeeperThan } from './depth.ts';
import { defaultPickleLimits, overLimit, PickleFault, type PickleLimits } from './limits.ts';
import { addItems, applyState, build, callObject, newObject, setEntries } from './objects.ts';
import { modernGlobal } from './old-names.ts';
import { readText } from './text.ts';
import {
  decimalInteger,
  integerFromBytes,
  readFloatLine,
  readIntegerLine,
  unescapeBytes,
  unescapeText,
} from './text-opcodes.ts';
import {
  type PickleValue,
  PyByteArray,
  type PyDict,
  PyFloat,
  PyFrozenSet,
  PyGlobal,
  PyObject,
  PySet,
  PyTuple,
} from './values.ts';

const keptStack = 32;
const keptMemo = 64;
const doubleBytes = new Uint8Array(8);
const double = new Float64Array(doubleBytes.buffer);

/** Reads one pickle at a time. Between pickles it holds on to nothing of them. */
export class PickleReader {
  /** Offset of the next byte; after `read`, where the pickle ended. */
  at = 0;
  /** Offset of the opcode at work, for error messages. */
  opcodeAt = 0;
  private bytes: Buffer = Buffer.alloc(0);
  private end = 0;
  private limits: PickleLimits = defaultPickleLimits;
  private protocol = 0;
  private readonly stack: PickleValue[] = new Array<PickleValue>(keptStack).fill(null);
  private top = 0;
  /** Nothing below may be popped: the place of the innermost mark. */
  private fence = 0;
  private readonly marks: number[] = [];
  private readonly memo: PickleValue[] = new Array<PickleValue>(keptMemo).fill(null);
  private memoCount = 0;
  /** Memo entries of pickles that number them with gaps. */
  private sparseMemo: Map<number, PickleValue> | undefined;
  private containers = 0;
  private globals = 0;
  /** Where the last call ended: a POP right there means that it was made for its effect. */
  private callEnd = -1;

  /** The value of the pickle at the start of `bytes`. Throws {@link PickleFault} and nothing else. */
  read(bytes: Uint8Array, limits: PickleLimits): PickleValue {
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
    this.globals = 0;
    this.callEnd = -1;
    try {
      if (this.end > limits.maxBytes) throw overLimit('maxBytes', limits);
      const value = this.run();
      // A value cannot be deeper than it has containers, so small messages need no look.
      if (this.containers > limits.maxDepth && isDeeperThan(value, limits.maxDepth))
        throw overLimit('maxDepth', limits);
      return value;
    } finally {
      this.forget();
    }
  }

  private forget(): void {
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

  private run(): PickleValue {
    const { stack, bytes } = this;
    for (;;) {
      const opcodeAt = this.at;
      this.opcodeAt = opcodeAt;
      if (opcodeAt >= this.end) throw truncated();
      this.at = opcodeAt + 1;
      // Literal opcodes, not names, let the engine make a jump table of this.
      switch (bytes[opcodeAt]) {
        case 0x94: // MEMOIZE
          this.memoize(this.memoCount + (this.sparseMemo?.size ?? 0), this.peek());
          break;
        case 0x8c: {
          // SHORT_BINUNICODE
          const start = this.take(1) + 1;
          const length = bytes[start - 1]!;
          this.take(length);
          this.push(readText(bytes, start, start + length));
          break;
        }
        case 0x68: // BINGET
          this.push(this.recall(bytes[this.take(1)]!));
          break;
        case 0x71: // BINPUT
          this.memoize(bytes[this.take(1)]!, this.peek());
          break;
        case 0x4b: // BININT1
          this.push(bytes[this.take(1)]!);
          break;
        case 0x4d: // BININT2
          this.push(bytes.readUInt16LE(this.take(2)));
          break;
        case 0x4a: // BININT
          this.push(bytes.readInt32LE(this.take(4)));
          break;
        case 0x8a: // LONG1
          this.pushInteger(bytes[this.take(1)]!);
          break;
        case 0x47: // BINFLOAT
          this.pushFloat(this.take(8));
          break;
        case 0x43: // SHORT_BINBYTES
          this.pushBytes(bytes[this.take(1)]!);
          break;
        case 0x42: // BINBYTES
          this.pushBytes(bytes.readUInt32LE(this.take(4)));
          break;
        case 0x4e: // NONE
          this.push(null);
          break;
        case 0x88: // NEWTRUE
          this.push(true);
          break;
        case 0x89: // NEWFALSE
          this.push(false);
          break;
        case 0x28: // MARK
          if (this.marks.length >= this.limits.maxStack) throw overLimit('maxStack', this.limits);
          this.marks.push(this.top);
          this.fence = this.top;
          break;
        case 0x7d: // EMPTY_DICT
          this.countContainer();
          this.push(new Map());
          break;
        case 0x73: {
          // SETITEM
          const value = this.pop();
          const key = this.pop();
          const into = this.peek();
          if (into instanceof Map) this.setEntry(into, key, value);
          else setEntries(into, [[key, value]]);
          break;
        }
        case 0x75: {
          // SETITEMS
          const start = this.popMark();
          const into = this.peek();
          if (into instanceof Map) this.setEntriesFromStack(into, start);
          else setEntries(into, this.pairs(start));
          break;
        }
        case 0x5d: // EMPTY_LIST
          this.countContainer();
          this.push([]);
          break;
        case 0x61: {
          // APPEND
          const item = this.pop();
          const into = this.peek();
          if (Array.isArray(into)) into.push(item);
          else addItems(into, 'append', [item]);
          break;
        }
        case 0x65: {
          // APPENDS
          const start = this.popMark();
          const into = this.peek();
          if (Array.isArray(into)) for (let index = start; index < this.stackEnd; index++) into.push(stack[index]!);
          else addItems(into, 'append', stack.slice(start, this.stackEnd));
          break;
        }
        case 0x29: // EMPTY_TUPLE
          this.countContainer();
          this.push(new PyTuple([]));
          break;
        case 0x85: // TUPLE1
          this.pushTuple(1);
          break;
        case 0x86: // TUPLE2
          this.pushTuple(2);
          break;
        case 0x87: // TUPLE3
          this.pushTuple(3);
          break;
        case 0x95: {
          // FRAME
          const length = this.length8();
          if (length > this.end - this.at) throw truncated();
          break;
        }
        case 0x80: // PROTO
          this.protocol = bytes[this.take(1)]!;
          if (this.protocol > 5) throw new PickleFault('UNSUPPORTED', `protocol ${this.protocol}, newer than 5`);
          break;
        case 0x2e: // STOP
          return this.pop();
        default:
          this.runRare(bytes[opcodeAt]!);
      }
    }
  }

  /** The opcodes that envelopes never use, so that the loop above stays small enough to be compiled well. */
  private runRare(opcode: number): void {
    const { bytes } = this;
    switch (opcode) {
      case 0x58: // BINUNICODE
        this.pushText(bytes.readUInt32LE(this.take(4)));
        return;
      case 0x8d: // BINUNICODE8
        this.pushText(this.length8());
        return;
      case 0x8e: // BINBYTES8
        this.pushBytes(this.length8());
        return;
      case 0x96: // BYTEARRAY8
        this.pushBytes(this.length8());
        this.push(new PyByteArray(this.pop() as Uint8Array));
        return;
      case 0x6a: // LONG_BINGET
        this.push(this.recall(bytes.readUInt32LE(this.take(4))));
        return;
      case 0x72: // LONG_BINPUT
        this.memoize(bytes.readUInt32LE(this.take(4)), this.peek());
        return;
      case 0x8b: {
        // LONG4
        const length = bytes.readInt32LE(this.take(4));
        if (length < 0) throw new PickleFault('MALFORMED', 'an int of negative length');
        this.pushInteger(length);
        return;
      }
      case 0x74: // TUPLE
        this.pushOwn(new PyTuple(this.itemsFromMark()));
        return;
      case 0x6c: // LIST
        this.pushOwn(this.itemsFromMark());
        return;
      case 0x64: {
        // DICT
        const start = this.popMark();
        const made: PyDict = new Map();
        this.setEntriesFromStack(made, start);
        this.pushOwn(made);
        return;
      }
      case 0x8f: // EMPTY_SET
        this.pushOwn(new PySet([]));
        return;
      case 0x90: {
        // ADDITEMS
        const items = this.itemsFromMark();
        const into = this.peek();
        if (into instanceof PySet) for (const item of items) into.items.push(hashable(item));
        else addItems(into, 'add', items);
        return;
      }
      case 0x91: {
        // FROZENSET
        const items = this.itemsFromMark();
        for (const item of items) hashable(item);
        this.pushOwn(new PyFrozenSet(items));
        return;
      }
      case 0x93: {
        // STACK_GLOBAL
        const name = this.pop();
        const module = this.pop();
        if (typeof name !== 'string' || typeof module !== 'string')
          throw new PickleFault('MALFORMED', 'a global whose name is no text');
        this.pushGlobal(module, name);
        return;
      }
      case 0x63: // GLOBAL
        this.pushGlobal(this.textLine(), this.textLine());
        return;
      case 0x52: {
        // REDUCE
        const args = this.pop();
        this.pushOwn(callObject(this.pop(), args));
        this.callEnd = this.at;
        return;
      }
      case 0x81: {
        // NEWOBJ
        const args = this.pop();
        this.pushOwn(newObject(this.pop(), args, undefined));
        return;
      }
      case 0x92: {
        // NEWOBJ_EX
        const kwargs = this.pop();
        const args = this.pop();
        this.pushOwn(newObject(this.pop(), args, kwargs));
        return;
      }
      case 0x6f: {
        // OBJ
        const [callee, ...args] = this.itemsFromMark();
        if (callee === undefined) throw underflow();
        this.pushOwn(build(callee, args));
        return;
      }
      case 0x69: {
        // INST
        this.pushGlobal(this.textLine(), this.textLine());
        const callee = this.stack[--this.top]!;
        this.pushOwn(build(callee, this.itemsFromMark()));
        return;
      }
      case 0x62: {
        // BUILD
        const state = this.pop();
        applyState(this.peek(), state);
        return;
      }
      case 0x30: // POP
        this.discard();
        return;
      case 0x31: // POP_MARK
        this.popMark();
        return;
      case 0x32: // DUP
        this.push(this.peek());
        return;
      case 0x49: // INT
        this.push(readIntegerLine(this.line()));
        return;
      case 0x4c: {
        // LONG
        const digits = this.line();
        this.push(decimalInteger(digits.endsWith('L') ? digits.slice(0, -1) : digits));
        return;
      }
      case 0x46: // FLOAT
        this.push(floatValue(readFloatLine(this.line())));
        return;
      case 0x53: // STRING
        this.push(unescapeBytes(this.line()));
        return;
      case 0x56: // UNICODE
        this.push(unescapeText(this.line()));
        return;
      case 0x55: // SHORT_BINSTRING
        this.pushOldString(bytes[this.take(1)]!);
        return;
      case 0x54: {
        // BINSTRING
        const length = bytes.readInt32LE(this.take(4));
        if (length < 0) throw new PickleFault('MALFORMED', 'a string of negative length');
        this.pushOldString(length);
        return;
      }
      case 0x70: // PUT
        this.memoize(memoIndex(this.line()), this.peek());
        return;
      case 0x67: // GET
        this.push(this.recall(memoIndex(this.line())));
        return;
      case 0x50: // PERSID
      case 0x51: // BINPERSID
        throw new PickleFault('UNSUPPORTED', 'a persistent id, which only its sender understands');
      case 0x82: // EXT1
      case 0x83: // EXT2
      case 0x84: // EXT4
        throw new PickleFault('UNSUPPORTED', 'a copyreg extension code, which only its sender understands');
      case 0x97: // NEXT_BUFFER
      case 0x98: // READONLY_BUFFER
        throw new PickleFault('UNSUPPORTED', 'an out-of-band buffer; the sender must pickle without buffer_callback');
      default:
        throw new PickleFault('MALFORMED', `unknown opcode 0x${opcode.toString(16).padStart(2, '0')}`);
    }
  }

  // Input

  /** Claims the next `length` bytes and says where they start. */
  private take(length: number): number {
    const start = this.at;
    if (length > this.end - start) throw truncated();
    this.at = start + length;
    return start;
  }

  private length8(): number {
    const start = this.take(8);
    const high = this.bytes.readUInt32LE(start + 4);
    if (high >= 2 ** 21) throw new PickleFault('MALFORMED', 'a length beyond 2**53');
    return high * 2 ** 32 + this.bytes.readUInt32LE(start);
  }

  /** The bytes up to the next line feed, one character each. */
  private line(): string {
    const newline = this.bytes.indexOf(10, this.at);
    if (newline < 0 || newline >= this.end) throw truncated();
    if (newline - this.at > this.limits.maxTextBytes) throw overLimit('maxTextBytes', this.limits);
    const line = this.bytes.toString('latin1', this.at, newline);
    this.at = newline + 1;
    return line;
  }

  private textLine(): string {
    const start = this.at;
    this.line();
    return readText(this.bytes, start, this.at - 1);
  }

  // Stack

  private push(value: PickleValue): void {
    const top = this.top;
    if (top >= this.limits.maxStack) throw overLimit('maxStack', this.limits);
    this.stack[top] = value;
    this.top = top + 1;
  }

  private pop(): PickleValue {
    if (this.top <= this.fence) throw underflow();
    return this.stack[--this.top]!;
  }

  private peek(): PickleValue {
    if (this.top <= this.fence) throw underflow();
    return this.stack[this.top - 1]!;
  }

  /** One past the last item that the mark just popped had above it. */
  private stackEnd = 0;

  /** Takes the innermost mark and all above it away; says where its first item stands. The items end at `stackEnd`. */
  private popMark(): number {
    const start = this.marks.pop();
    if (start === undefined) throw new PickleFault('MALFORMED', 'no mark to go back to');
    this.stackEnd = this.top;
    this.top = start;
    this.fence = this.marks.length > 0 ? this.marks[this.marks.length - 1]! : 0;
    return start;
  }

  private itemsFromMark(): PickleValue[] {
    const start = this.popMark();
    return this.stack.slice(start, this.stackEnd);
  }

  private pairs(start: number): [PickleValue, PickleValue][] {
    const entries: [PickleValue, PickleValue][] = [];
    if ((this.stackEnd - start) % 2 !== 0) throw oddEntries();
    for (let index = start; index < this.stackEnd; index += 2)
      entries.push([this.stack[index]!, this.stack[index + 1]!]);
    return entries;
  }

  private discard(): void {
    if (this.top <= this.fence) {
      if (this.marks.length === 0) throw underflow();
      this.popMark();
      return;
    }
    const thrownAway = this.stack[--this.top]!;
    // Popped right after its call. Followed by a GET, it is how picklers leave out what a cycle has made already; otherwise the call
    // was made for what it does to the object below.
    if (this.callEnd !== this.at - 1 || !(thrownAway instanceof PyObject)) return;
    const next = this.bytes[this.at];
    if (next === 0x68 || next === 0x6a || next === 0x67) return;
    const below = this.top > this.fence ? this.stack[this.top - 1] : undefined;
    if (!(below instanceof PyObject))
      throw new PickleFault('UNSUPPORTED', 'a call whose result is thrown away, with no object below it');
    below.steps.push({ do: 'call', call: thrownAway });
  }

  // Memo

  private memoize(index: number, value: PickleValue): void {
    const memoSize = this.memoCount + (this.sparseMemo?.size ?? 0);
    if (memoSize >= this.limits.maxMemo) throw overLimit('maxMemo', this.limits);
    if (index < this.memoCount) this.memo[index] = value;
    else if (index === this.memoCount && this.sparseMemo === undefined) this.memo[this.memoCount++] = value;
    else (this.sparseMemo ??= new Map()).set(index, value);
  }

  private recall(index: number): PickleValue {
    if (index < this.memoCount) return this.memo[index]!;
    const value = this.sparseMemo?.get(index);
    if (value === undefined)
      throw new PickleFault('MALFORMED', `a reference to memo entry ${index}, which was never made`);
    return value;
  }

  // Values

  private countContainer(): void {
    if (++this.containers > this.limits.maxContainers) throw overLimit('maxContainers', this.limits);
  }

  private pushOwn(container: PickleValue): void {
    this.countContainer();
    this.push(container);
  }

  private pushTuple(length: number): void {
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

  private pushBytes(length: number): void {
    const start = this.take(length);
    this.countContainer();
    this.push(new Uint8Array(this.bytes.buffer as ArrayBuffer, this.bytes.byteOffset + start, length));
  }

  private pushText(length: number): void {
    if (length > this.limits.maxTextBytes) throw overLimit('maxTextBytes', this.limits);
    const start = this.take(length);
    this.push(readText(this.bytes, start, start + length));
  }

  private pushOldString(length: number): void {
    if (length > this.limits.maxTextBytes) throw overLimit('maxTextBytes', this.limits);
    const start = this.take(length);
    const text = this.bytes.toString('latin1', start, start + length);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is meant
    if (!/^[\0-\x7f]*$/.test(text)) throw new PickleFault('UNSUPPORTED', 'a Python 2 string with bytes above 127');
    this.push(text);
  }

  private pushInteger(length: number): void {
    if (length > this.limits.maxIntegerBytes) throw overLimit('maxIntegerBytes', this.limits);
    const start = this.take(length);
    this.push(integerFromBytes(this.bytes, start, length));
  }

  private pushFloat(start: number): void {
    const { bytes } = this;
    for (let index = 0; index < 8; index++) doubleBytes[index] = bytes[start + 7 - index]!;
    this.push(floatValue(double[0]!));
  }

  private pushGlobal(module: string, name: string): void {
    if (++this.globals > this.limits.maxGlobals) throw overLimit('maxGlobals', this.limits);
    this.pushOwn(this.protocol < 3 ? modernGlobal(module, name) : new PyGlobal(module, name));
  }

  private setEntriesFromStack(into: PyDict, start: number): void {
    const { stack, stackEnd } = this;
    if ((stackEnd - start) % 2 !== 0) throw oddEntries();
    for (let index = start; index < stackEnd; index += 2) this.setEntry(into, stack[index]!, stack[index + 1]!);
  }

  private setEntry(into: PyDict, key: PickleValue, value: PickleValue): void {
    if (into.size >= this.limits.maxDictEntries) throw overLimit('maxDictEntries', this.limits);
    // Two NaN keys are two keys in Python.
    into.set(
      typeof key === 'string' ? key : typeof key === 'number' && key !== key ? new PyFloat(key) : hashable(key),
      value,
    );
  }
}

const noBytes = Buffer.alloc(0);

function floatValue(value: number): PickleValue {
  return Number.isInteger(value) ? new PyFloat(value) : value;
}

/** `value`, unless Python would refuse it as a key of a dict or a member of a set. */
function hashable(value: PickleValue): PickleValue {
  if (Array.isArray(value) || value instanceof Map || value instanceof PySet || value instanceof PyByteArray)
    throw new PickleFault('MALFORMED', 'a list, dict, set or bytearray as a key or a member of a set');
  return value;
}

function memoIndex(line: string): number {
  if (!/^\d{1,10}$/.test(line)) throw new PickleFault('MALFORMED', 'a memo index that is no number');
  return Number(line);
}

function truncated(): PickleFault {
  return new PickleFault('TRUNCATED', 'the bytes end in the middle');
}

function underflow(): PickleFault {
  return new PickleFault('MALFORMED', 'the stack holds too little');
}

function oddEntries(): PickleFault {
  return new PickleFault('MALFORMED', 'a key without a value');
}

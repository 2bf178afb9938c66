// Reads pickles: the loop over the opcodes that envelopes are made of. Used by ../pickle.ts, which catches the faults thrown here.
import { isDeeperThan } from './depth.ts';
import { overLimit, PickleFault, type PickleLimits } from './limits.ts';
import { PickleMachine, truncated } from './machine.ts';
import { addItems, setEntries } from './objects.ts';
import { runRare } from './rare-opcodes.ts';
import { readText } from './text.ts';
import { type PickleValue, PyTuple } from './values.ts';

// Reading is one synchronous run that calls nobody back, so one machine is enough.
const machine = new PickleMachine();

/** The value of the pickle at the start of `bytes`. Throws {@link PickleFault} and nothing else; {@link readingOffset} then says where. */
export function readPickle(bytes: Uint8Array, limits: PickleLimits): PickleValue {
  try {
    machine.begin(bytes, limits);
    const value = run();
    // A value cannot be deeper than it has containers, so small messages need no look.
    if (machine.containers > limits.maxDepth && isDeeperThan(value, limits.maxDepth))
      throw overLimit('maxDepth', limits);
    return value;
  } finally {
    machine.forget();
  }
}

/** Where the pickle read last ended. */
export function endOffset(): number {
  return machine.at;
}

/** The opcode that the reading ended at. */
export function readingOffset(): number {
  return machine.opcodeAt;
}

function run(): PickleValue {
  const { stack, bytes } = machine;
  for (;;) {
    const opcodeAt = machine.at;
    machine.opcodeAt = opcodeAt;
    if (opcodeAt >= machine.end) throw truncated();
    machine.at = opcodeAt + 1;
    // Literal opcodes, not names, let the engine make a jump table of machine.
    switch (bytes[opcodeAt]) {
      case 0x94: // MEMOIZE
        machine.memoize(machine.memoCount + (machine.sparseMemo?.size ?? 0), machine.peek());
        break;
      case 0x8c: {
        // SHORT_BINUNICODE
        const start = machine.take(1) + 1;
        const length = bytes[start - 1]!;
        machine.take(length);
        machine.push(readText(bytes, start, start + length));
        break;
      }
      case 0x68: // BINGET
        machine.push(machine.recall(bytes[machine.take(1)]!));
        break;
      case 0x71: // BINPUT
        machine.memoize(bytes[machine.take(1)]!, machine.peek());
        break;
      case 0x4b: // BININT1
        machine.push(bytes[machine.take(1)]!);
        break;
      case 0x4d: // BININT2
        machine.push(bytes.readUInt16LE(machine.take(2)));
        break;
      case 0x4a: // BININT
        machine.push(bytes.readInt32LE(machine.take(4)));
        break;
      case 0x8a: // LONG1
        machine.pushInteger(bytes[machine.take(1)]!);
        break;
      case 0x47: // BINFLOAT
        machine.pushFloat(machine.take(8));
        break;
      case 0x43: // SHORT_BINBYTES
        machine.pushBytes(bytes[machine.take(1)]!);
        break;
      case 0x42: // BINBYTES
        machine.pushBytes(bytes.readUInt32LE(machine.take(4)));
        break;
      case 0x4e: // NONE
        machine.push(null);
        break;
      case 0x88: // NEWTRUE
        machine.push(true);
        break;
      case 0x89: // NEWFALSE
        machine.push(false);
        break;
      case 0x28: // MARK
        if (machine.marks.length >= machine.limits.maxStack) throw overLimit('maxStack', machine.limits);
        machine.marks.push(machine.top);
        machine.fence = machine.top;
        break;
      case 0x7d: // EMPTY_DICT
        machine.countContainer();
        machine.push(new Map());
        break;
      case 0x73: {
        // SETITEM
        const value = machine.pop();
        const key = machine.pop();
        const into = machine.peek();
        if (into instanceof Map) machine.setEntry(into, key, value);
        else setEntries(into, [[key, value]]);
        break;
      }
      case 0x75: {
        // SETITEMS
        const start = machine.popMark();
        const into = machine.peek();
        if (into instanceof Map) machine.setEntriesFromStack(into, start);
        else setEntries(into, machine.pairs(start));
        break;
      }
      case 0x5d: // EMPTY_LIST
        machine.countContainer();
        machine.push([]);
        break;
      case 0x61: {
        // APPEND
        const item = machine.pop();
        const into = machine.peek();
        if (Array.isArray(into)) into.push(item);
        else addItems(into, 'append', [item]);
        break;
      }
      case 0x65: {
        // APPENDS
        const start = machine.popMark();
        const into = machine.peek();
        if (Array.isArray(into)) for (let index = start; index < machine.stackEnd; index++) into.push(stack[index]!);
        else addItems(into, 'append', stack.slice(start, machine.stackEnd));
        break;
      }
      case 0x29: // EMPTY_TUPLE
        machine.countContainer();
        machine.push(new PyTuple([]));
        break;
      case 0x85: // TUPLE1
        machine.pushTuple(1);
        break;
      case 0x86: // TUPLE2
        machine.pushTuple(2);
        break;
      case 0x87: // TUPLE3
        machine.pushTuple(3);
        break;
      case 0x95: {
        // FRAME
        const length = machine.length8();
        if (length > machine.end - machine.at) throw truncated();
        break;
      }
      case 0x80: // PROTO
        machine.protocol = bytes[machine.take(1)]!;
        if (machine.protocol > 5) throw new PickleFault('UNSUPPORTED', `protocol ${machine.protocol}, newer than 5`);
        break;
      case 0x2e: // STOP
        return machine.pop();
      default:
        runRare(machine, bytes[opcodeAt]!);
    }
  }
}

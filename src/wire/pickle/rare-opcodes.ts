// The opcodes of objects, of long values, and of protocols 0 to 2 in their own spelling. Called by reader.ts for what its loop does not know.
import { PickleFault } from './limits.ts';
import { floatValue, hashable, type PickleMachine, underflow } from './machine.ts';
import { addItems, applyState, build, callObject, newObject } from './objects.ts';
import { decimalInteger, readFloatLine, readIntegerLine, unescapeBytes, unescapeText } from './text-opcodes.ts';
import { PyByteArray, type PyDict, PyFrozenSet, PySet, PyTuple } from './values.ts';

/** The opcodes that envelopes never use, so that the loop in reader.ts stays small enough to be compiled well. */
export function runRare(machine: PickleMachine, opcode: number): void {
  const { bytes } = machine;
  switch (opcode) {
    case 0x58: // BINUNICODE
      machine.pushText(bytes.readUInt32LE(machine.take(4)));
      return;
    case 0x8d: // BINUNICODE8
      machine.pushText(machine.length8());
      return;
    case 0x8e: // BINBYTES8
      machine.pushBytes(machine.length8());
      return;
    case 0x96: // BYTEARRAY8
      machine.pushBytes(machine.length8());
      machine.push(new PyByteArray(machine.pop() as Uint8Array));
      return;
    case 0x6a: // LONG_BINGET
      machine.push(machine.recall(bytes.readUInt32LE(machine.take(4))));
      return;
    case 0x72: // LONG_BINPUT
      machine.memoize(bytes.readUInt32LE(machine.take(4)), machine.peek());
      return;
    case 0x8b: {
      // LONG4
      const length = bytes.readInt32LE(machine.take(4));
      if (length < 0) throw new PickleFault('MALFORMED', 'an int of negative length');
      machine.pushInteger(length);
      return;
    }
    case 0x74: // TUPLE
      machine.pushOwn(new PyTuple(machine.itemsFromMark()));
      return;
    case 0x6c: // LIST
      machine.pushOwn(machine.itemsFromMark());
      return;
    case 0x64: {
      // DICT
      const start = machine.popMark();
      const made: PyDict = new Map();
      machine.setEntriesFromStack(made, start);
      machine.pushOwn(made);
      return;
    }
    case 0x8f: // EMPTY_SET
      machine.pushOwn(new PySet([]));
      return;
    case 0x90: {
      // ADDITEMS
      const items = machine.itemsFromMark();
      const into = machine.peek();
      if (into instanceof PySet) for (const item of items) into.items.push(hashable(item));
      else addItems(into, 'add', items);
      return;
    }
    case 0x91: {
      // FROZENSET
      const items = machine.itemsFromMark();
      for (const item of items) hashable(item);
      machine.pushOwn(new PyFrozenSet(items));
      return;
    }
    case 0x93: {
      // STACK_GLOBAL
      const name = machine.pop();
      const module = machine.pop();
      if (typeof name !== 'string' || typeof module !== 'string')
        throw new PickleFault('MALFORMED', 'a global whose name is no text');
      machine.pushGlobal(module, name);
      return;
    }
    case 0x63: // GLOBAL
      machine.pushGlobal(machine.textLine(), machine.textLine());
      return;
    case 0x52: {
      // REDUCE
      const args = machine.pop();
      machine.pushOwn(callObject(machine.pop(), args, machine.charge));
      machine.callEnd = machine.at;
      return;
    }
    case 0x81: {
      // NEWOBJ
      const args = machine.pop();
      machine.pushOwn(newObject(machine.pop(), args, undefined));
      return;
    }
    case 0x92: {
      // NEWOBJ_EX
      const kwargs = machine.pop();
      const args = machine.pop();
      machine.pushOwn(newObject(machine.pop(), args, kwargs));
      return;
    }
    case 0x6f: {
      // OBJ
      const [callee, ...args] = machine.itemsFromMark();
      if (callee === undefined) throw underflow();
      machine.pushOwn(build(callee, args));
      return;
    }
    case 0x69: {
      // INST
      machine.pushGlobal(machine.textLine(), machine.textLine());
      const callee = machine.stack[--machine.top]!;
      machine.pushOwn(build(callee, machine.itemsFromMark()));
      return;
    }
    case 0x62: {
      // BUILD
      const state = machine.pop();
      applyState(machine.peek(), state);
      return;
    }
    case 0x30: // POP
      machine.discard();
      return;
    case 0x31: // POP_MARK
      machine.popMark();
      return;
    case 0x32: // DUP
      machine.push(machine.peek());
      return;
    case 0x49: // INT
      machine.push(readIntegerLine(machine.line()));
      return;
    case 0x4c: {
      // LONG
      const digits = machine.line();
      machine.push(decimalInteger(digits.endsWith('L') ? digits.slice(0, -1) : digits));
      return;
    }
    case 0x46: // FLOAT
      machine.push(floatValue(readFloatLine(machine.line())));
      return;
    case 0x53: // STRING
      machine.push(unescapeBytes(machine.line()));
      return;
    case 0x56: // UNICODE
      machine.push(unescapeText(machine.line()));
      return;
    case 0x55: // SHORT_BINSTRING
      machine.pushOldString(bytes[machine.take(1)]!);
      return;
    case 0x54: {
      // BINSTRING
      const length = bytes.readInt32LE(machine.take(4));
      if (length < 0) throw new PickleFault('MALFORMED', 'a string of negative length');
      machine.pushOldString(length);
      return;
    }
    case 0x70: // PUT
      machine.memoize(memoIndex(machine.line()), machine.peek());
      return;
    case 0x67: // GET
      machine.push(machine.recall(memoIndex(machine.line())));
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

function memoIndex(line: string): number {
  if (!/^\d{1,10}$/.test(line)) throw new PickleFault('MALFORMED', 'a memo index that is no number');
  return Number(line);
}

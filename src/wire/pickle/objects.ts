// What the reader makes of a pickle's calls: inert objects, except for the few calls by which older protocols spell plain data.
import { PickleFault } from './limits.ts';
import { isGlobal, type PickleValue, PyByteArray, PyFrozenSet, PyGlobal, PyObject, PySet, PyTuple } from './values.ts';

/** Told before data is copied, since a few bytes can refer to the same large list or text again and again. Throws when it is too much. */
export type Charge = (items: number) => void;

/** REDUCE: `callee(*args)`. */
export function callObject(callee: PickleValue, args: PickleValue, charge: Charge): PickleValue {
  if (!(args instanceof PyTuple)) throw new PickleFault('MALFORMED', 'a call whose arguments are no tuple');
  checkCallee(callee);
  return plainData(callee, args.items, charge) ?? new PyObject('call', callee, args);
}

/** NEWOBJ and NEWOBJ_EX: `class.__new__(class, *args, **kwargs)`. */
export function newObject(callee: PickleValue, args: PickleValue, kwargs: PickleValue | undefined): PyObject {
  if (!(args instanceof PyTuple)) throw new PickleFault('MALFORMED', 'an object whose arguments are no tuple');
  if (kwargs !== undefined && !(kwargs instanceof Map))
    throw new PickleFault('MALFORMED', 'an object whose keyword arguments are no dict');
  checkCallee(callee);
  return new PyObject('new', callee, args, kwargs);
}

/** OBJ and INST: a class called when there are arguments, otherwise only made. */
export function build(callee: PickleValue, args: PickleValue[]): PickleValue {
  checkCallee(callee);
  return new PyObject(args.length > 0 ? 'call' : 'new', callee, new PyTuple(args));
}

/** BUILD. */
export function applyState(object: PickleValue, state: PickleValue): void {
  if (!(object instanceof PyObject)) throw notAnObject('a state');
  object.steps.push({ do: 'state', state });
}

/** SETITEM and SETITEMS on what is no dict. */
export function setEntries(object: PickleValue, entries: [PickleValue, PickleValue][]): void {
  if (!(object instanceof PyObject)) throw notAnObject('entries');
  object.steps.push({ do: 'set', entries });
}

/** APPEND(S) on what is no list, ADDITEMS on what is no set. */
export function addItems(object: PickleValue, how: 'append' | 'add', items: PickleValue[]): void {
  if (!(object instanceof PyObject)) throw notAnObject('items');
  object.steps.push({ do: how, items });
}

function checkCallee(callee: PickleValue): void {
  if (!(callee instanceof PyObject) && !(callee instanceof PyGlobal))
    throw new PickleFault('MALFORMED', 'a call of something that is no class or function');
}

function notAnObject(what: string): PickleFault {
  return new PickleFault('UNSUPPORTED', `${what} for something that is neither a container of that kind nor an object`);
}

/** bytes (protocols 0 to 2), sets (0 to 3) and bytearrays (0 to 4) are spelled as calls. */
function plainData(callee: PickleValue, items: PickleValue[], charge: Charge): PickleValue | undefined {
  const [first, second] = items;
  if (isGlobal(callee, '_codecs', 'encode'))
    return items.length === 2 && second === 'latin1' ? latin1(first, charge) : undefined;
  if (!isGlobal(callee, 'builtins') || items.length > 2) return undefined;
  switch (callee.name) {
    case 'bytes':
      return items.length === 0 ? new Uint8Array(0) : undefined;
    case 'bytearray': {
      if (items.length === 0) return new PyByteArray(new Uint8Array(0));
      if (items.length === 1 && first instanceof Uint8Array) return new PyByteArray(first);
      const bytes = second === 'latin-1' ? latin1(first, charge) : undefined;
      return bytes && new PyByteArray(bytes);
    }
    case 'set':
      return items.length === 1 && Array.isArray(first) ? new PySet(copy(first, charge)) : undefined;
    case 'frozenset':
      return items.length === 1 && Array.isArray(first) ? new PyFrozenSet(copy(first, charge)) : undefined;
    default:
      return undefined;
  }
}

function copy(items: PickleValue[], charge: Charge): PickleValue[] {
  charge(items.length);
  return [...items];
}

function latin1(text: PickleValue | undefined, charge: Charge): Uint8Array | undefined {
  if (typeof text !== 'string') return undefined;
  charge(text.length);
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 255) return undefined;
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

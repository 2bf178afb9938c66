// What a pickle is made of on our side: the types that keep Python's kinds apart where JavaScript has only one.
// The codec (../pickle.ts) makes and writes them; whoever reads messages asks them for fields.

/** Anything a pickle can hold. The table in `../pickle.ts` says which Python type each one stands for. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PyFloat
  | PickleValue[]
  | PyDict
  | PyTuple
  | PySet
  | PyFrozenSet
  | PyByteArray
  | PyGlobal
  | PyObject;

/** A Python dict, in Python's order. Keys other than texts, numbers, booleans and null are found by identity only. */
export type PyDict = Map<PickleValue, PickleValue>;

/** A Python float that a bare number could not keep apart from an int: 1.0, 1e300, -0.0; and NaN where it is a key. */
export class PyFloat {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A Python tuple. */
export class PyTuple {
  readonly items: PickleValue[];
  constructor(items: PickleValue[]) {
    this.items = items;
  }
}

/** A Python set, in the order of the pickle. */
export class PySet {
  readonly items: PickleValue[];
  constructor(items: PickleValue[]) {
    this.items = items;
  }
}

/** A Python frozenset, in the order of the pickle. */
export class PyFrozenSet {
  readonly items: PickleValue[];
  constructor(items: PickleValue[]) {
    this.items = items;
  }
}

/** A Python bytearray (plain `bytes` are a bare `Uint8Array`). */
export class PyByteArray {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** The name of something importable in Python: a class, a function. Inert: nothing is ever looked up or called. */
export class PyGlobal {
  /** As in Python 3, also when the pickle used the Python 2 name: `builtins`, never `__builtin__`. */
  readonly module: string;
  /** May have dots: `Outer.Inner`. */
  readonly name: string;
  constructor(module: string, name: string) {
    this.module = module;
    this.name = name;
  }
}

/** What a pickle did to an object after making it, in order. `call` is a call made for its effect only, its result thrown away. */
export type PyStep =
  | { readonly do: 'state'; readonly state: PickleValue }
  | { readonly do: 'append'; readonly items: PickleValue[] }
  | { readonly do: 'set'; readonly entries: [key: PickleValue, value: PickleValue][] }
  | { readonly do: 'add'; readonly items: PickleValue[] }
  | { readonly do: 'call'; readonly call: PyObject };

/**
 * An object as its pickle describes it, kept as a description: how it would be made and what would be done to it. Inert, and complete
 * enough to be written back.
 *
 * @example
 * // uuid.UUID: made by `new`, its 128 bits in the state
 * const uuid = new PyObject('new', new PyGlobal('uuid', 'UUID'), new PyTuple([]));
 * uuid.steps.push({ do: 'state', state: new Map([['int', 2n ** 100n]]) });
 */
export class PyObject {
  /** `call`: the callee is called with the arguments; `new`: the class's `__new__` is. */
  readonly made: 'call' | 'new';
  /** Usually a {@link PyGlobal}; may itself be an object that a pickle made, such as a class looked up by dill. */
  readonly callee: PickleValue;
  readonly args: PyTuple;
  /** Only with `new`. */
  readonly kwargs: PyDict | undefined;
  readonly steps: PyStep[] = [];
  constructor(made: 'call' | 'new', callee: PickleValue, args: PyTuple, kwargs?: PyDict) {
    this.made = made;
    this.callee = callee;
    this.args = args;
    this.kwargs = kwargs;
  }

  /** The state given last, `undefined` when there is none. */
  get state(): PickleValue | undefined {
    for (let index = this.steps.length - 1; index >= 0; index--) {
      const step = this.steps[index];
      if (step?.do === 'state') return step.state;
    }
    return undefined;
  }
}

/**
 * A dict with text keys.
 *
 * @example
 * encode(dict({ type: 'heartbeat' }))
 */
export function dict(fields: Readonly<Record<string, PickleValue>>): PyDict {
  return new Map(Object.entries(fields));
}

/**
 * The value under a text key, `undefined` when there is none or `value` is no dict.
 *
 * @example
 * field(message, 'task_id')
 */
export function field(value: PickleValue | undefined, key: string): PickleValue | undefined {
  return value instanceof Map ? value.get(key) : undefined;
}

/**
 * An int or float as a number, `undefined` for anything else (booleans too). An int beyond 2**53 is rounded.
 *
 * @example
 * toNumber(field(spec, 'priority')) // 2, whether Python wrote 2 or 2.0
 */
export function toNumber(value: PickleValue | undefined): number | undefined {
  if (typeof value === 'number') return value;
  if (value instanceof PyFloat) return value.value;
  return typeof value === 'bigint' ? Number(value) : undefined;
}

/** Whether `value` is a name `module.name`; without `name`, any name of that module. */
export function isGlobal(value: PickleValue | undefined, module: string, name?: string): value is PyGlobal {
  return value instanceof PyGlobal && value.module === module && (name === undefined || value.name === name);
}

// What a value of Python is in TypeScript: results of Python functions, read out of their pickle. docs/python.md has the table. No
// recursion; what stands in a value twice stands there twice here, also in cycles.
import { SerializationError } from '../../task/errors.ts';
import {
  isGlobal,
  type PickleValue,
  PyByteArray,
  PyFloat,
  PyFrozenSet,
  PyGlobal,
  PyObject,
  PySet,
  PyTuple,
  toNumber,
} from '../pickle.ts';
import { fromNumpy, isNumpy } from './numpy.ts';

/**
 * A value of Python.
 *
 * @param path what it is, for messages
 * @throws SerializationError for what has no form here: instances of classes
 */
export function fromPython(value: PickleValue, path: string): unknown {
  return new Conversion(path).convert(value);
}

class Conversion {
  readonly #path: string;
  readonly #known = new Map<object, unknown>();
  readonly #open: (() => void)[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  convert(value: PickleValue): unknown {
    const converted = this.#one(value);
    for (let fill = this.#open.pop(); fill !== undefined; fill = this.#open.pop()) fill();
    return converted;
  }

  #one(value: PickleValue): unknown {
    if (typeof value !== 'object' || value === null) return value;
    if (this.#known.has(value)) return this.#known.get(value);
    const made = this.#make(value);
    this.#known.set(value, made);
    return made;
  }

  #make(value: Exclude<PickleValue, null | boolean | number | bigint | string>): unknown {
    if (value instanceof PyFloat) return value.value;
    if (value instanceof Uint8Array) return Buffer.from(value);
    if (value instanceof PyByteArray) return Buffer.from(value.bytes);
    if (Array.isArray(value)) return this.#list(value);
    if (value instanceof PyTuple) return this.#list(value.items);
    if (value instanceof PySet || value instanceof PyFrozenSet) return this.#set(value.items);
    if (value instanceof PyGlobal) throw this.#refusal(`${value.module}.${value.name}`, 'Return plain data.');
    if (value instanceof PyObject) return this.#object(value);
    return this.#dict(value);
  }

  #list(items: readonly PickleValue[]): unknown[] {
    const list: unknown[] = [];
    this.#open.push(() => {
      for (const item of items) list.push(this.#one(item));
    });
    return list;
  }

  #set(items: readonly PickleValue[]): Set<unknown> {
    const set = new Set<unknown>();
    this.#open.push(() => {
      for (const item of items) set.add(this.#one(item));
    });
    return set;
  }

  /** An object if all keys are texts, else a Map. */
  #dict(entries: ReadonlyMap<PickleValue, PickleValue>): object {
    if ([...entries.keys()].every((key) => typeof key === 'string')) {
      const object: Record<string, unknown> = {};
      this.#open.push(() => {
        for (const [key, value] of entries as Map<string, PickleValue>) {
          Object.defineProperty(object, key, {
            value: this.#one(value),
            enumerable: true,
            configurable: true,
            writable: true,
          });
        }
      });
      return object;
    }
    const map = new Map<unknown, unknown>();
    this.#open.push(() => {
      for (const [key, value] of entries) map.set(this.#one(key), this.#one(value));
    });
    return map;
  }

  #object(value: PyObject): unknown {
    const { callee, args } = value;
    if (isNumpy(value)) {
      const read = fromNumpy(value);
      if (read.ok) return read.value;
      throw this.#refusal(read.error, 'Return numbers, or array.tolist().');
    }
    if (isGlobal(callee, 'datetime', 'datetime')) {
      const date = dateOf(args.items);
      if (date !== undefined) return date;
    }
    if (isGlobal(callee, 'collections', 'OrderedDict') || isGlobal(callee, 'collections', 'defaultdict')) {
      const entries = value.steps.flatMap((step) => (step.do === 'set' ? step.entries : []));
      return this.#dict(new Map(entries));
    }
    if (isGlobal(callee, 'builtins', 'range')) return rangeOf(args.items);
    throw this.#refusal(`an instance of ${nameOf(callee)}`, 'Return plain data: numbers, texts, lists, dicts, arrays.');
  }

  #refusal(what: string, hint: string): SerializationError {
    return new SerializationError(this.#path, `from Python it cannot come with ${what} in it. ${hint}`);
  }
}

/** A `datetime`; one without a zone is taken to be UTC. `undefined` when its zone cannot be known. */
function dateOf([form, zone]: readonly PickleValue[]): Date | undefined {
  if (!(form instanceof Uint8Array) || form.length !== 10) return undefined;
  const offsetMs = zone === undefined ? 0 : zoneMs(zone);
  if (offsetMs === undefined) return undefined;
  const [century = 0, year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0, a = 0, b = 0, c = 0] = form;
  const date = new Date(0);
  // The first bit of the month says which of two equal hours it is, where the clock is put back.
  date.setUTCFullYear(century * 256 + year, (month & 0x7f) - 1, day);
  date.setUTCHours(hour, minute, second, Math.floor((a * 65_536 + b * 256 + c) / 1_000));
  return new Date(date.getTime() - offsetMs);
}

function zoneMs(zone: PickleValue): number | undefined {
  if (!(zone instanceof PyObject) || !isGlobal(zone.callee, 'datetime', 'timezone')) return undefined;
  const [delta] = zone.args.items;
  if (!(delta instanceof PyObject)) return undefined;
  const [days = 0, seconds = 0, microseconds = 0] = delta.args.items.map((part) => toNumber(part) ?? 0);
  return (days * 86_400 + seconds) * 1_000 + microseconds / 1_000;
}

const longestRange = 10_000_000;

function rangeOf(items: readonly PickleValue[]): number[] {
  const [from = 0, to = 0, step = 1] = items.map((item) => toNumber(item) ?? 0);
  const length = Math.min(longestRange, Math.max(0, Math.ceil((to - from) / step)));
  return Array.from({ length }, (_, index) => from + index * step);
}

function nameOf(callee: PickleValue): string {
  if (callee instanceof PyGlobal) {
    // Objects of plain classes are made by a helper, whose first argument is the class: not known here.
    return callee.module === 'copyreg' ? 'a class' : `${callee.module}.${callee.name}`;
  }
  return 'a class that came by value';
}

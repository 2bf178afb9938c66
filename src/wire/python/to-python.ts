// What a value of TypeScript is in Python: arguments of Python functions. docs/python.md has the table. No recursion, and what stands
// in a value twice stands there twice in Python, also in cycles.
import { SerializationError } from '../../task/errors.ts';
import type { File } from '../../task/file.ts';
import { type PickleValue, PyGlobal, PyObject, PySet, PyTuple } from '../pickle.ts';
import { kindOf } from '../values/kind.ts';
import { ArrayMaker } from './numpy.ts';

/**
 * A value for Python.
 *
 * @param path what it is, for messages
 * @throws SerializationError for what Python has no place for
 */
export function toPython(value: unknown, path: string): PickleValue {
  return new Conversion(path).convert(value);
}

class Conversion {
  readonly #path: string;
  readonly #arrays = new ArrayMaker();
  readonly #known = new Map<object, PickleValue>();
  /** Containers whose members are still to be converted. */
  readonly #open: (() => void)[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  convert(value: unknown): PickleValue {
    const converted = this.#one(value);
    for (let fill = this.#open.pop(); fill !== undefined; fill = this.#open.pop()) fill();
    return converted;
  }

  #one(value: unknown): PickleValue {
    switch (typeof value) {
      case 'undefined':
        return null;
      case 'string':
      case 'number':
      case 'boolean':
      case 'bigint':
        return value;
      case 'object':
        return value === null ? null : this.#object(value);
      default:
        throw this.#refusal(`a ${typeof value}`, 'Pass data.');
    }
  }

  #object(value: object): PickleValue {
    const known = this.#known.get(value);
    if (known !== undefined) return known;
    const made = this.#make(value);
    if (typeof made === 'object' && made !== null) this.#known.set(value, made);
    return made;
  }

  #make(value: object): PickleValue {
    const kind = kindOf(value);
    switch (kind) {
      case 'array':
      case 'array proxy': {
        const list: PickleValue[] = [];
        this.#open.push(() => {
          for (const member of value as unknown[]) list.push(this.#one(member));
        });
        return list;
      }
      case 'object':
      case 'object proxy': {
        const dict = new Map<PickleValue, PickleValue>();
        this.#open.push(() => {
          for (const [key, member] of Object.entries(value)) dict.set(key, this.#one(member));
        });
        return dict;
      }
      case 'map': {
        const dict = new Map<PickleValue, PickleValue>();
        this.#open.push(() => {
          for (const [key, member] of value as Map<unknown, unknown>)
            dict.set(this.#key(key, 'a key'), this.#one(member));
        });
        return dict;
      }
      case 'set':
        return new PySet([...(value as Set<unknown>)].map((member) => this.#key(member, 'a member of a set')));
      case 'buffer':
        return value as Buffer;
      case 'url':
        return (value as URL).href;
      case 'file': {
        const { localPath, url } = value as File;
        return localPath ?? url;
      }
      case 'leaf':
      case 'part':
        return this.#leaf(value);
      case 'error':
        throw this.#refusal('an error', 'Pass its message, or what it is about.');
      case 'instance':
      case 'refused':
        throw this.#refusal(`an instance of ${value.constructor?.name ?? 'an unknown class'}`, 'Pass plain data.');
      default:
        return kind satisfies never;
    }
  }

  /** Keys and members of sets are hashed before anything else is done: only what holds nothing else can be one. */
  #key(key: unknown, what: string): PickleValue {
    if (typeof key !== 'object' || key === null) return this.#one(key);
    throw this.#refusal(`${what} that is an object`, 'Python takes texts and numbers there.');
  }

  #leaf(value: object): PickleValue {
    if (value instanceof Date) return this.#date(value);
    if (ArrayBuffer.isView(value)) {
      if (value instanceof DataView) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      const array = this.#arrays.make(value);
      if (array !== undefined) return array;
    }
    if (value instanceof ArrayBuffer) return new Uint8Array(value);
    if (value instanceof Number || value instanceof String || value instanceof Boolean)
      return value.valueOf() as PickleValue;
    throw this.#refusal(`a ${Object.prototype.toString.call(value).slice(8, -1)}`, 'Python has nothing like it.');
  }

  /** A `datetime` with its zone, which is UTC. */
  #date(date: Date): PickleValue {
    if (Number.isNaN(date.getTime())) throw this.#refusal('a Date without a time', 'Pass null.');
    const year = date.getUTCFullYear();
    if (year < 1 || year > 9_999)
      throw this.#refusal(`a Date of the year ${year}`, 'Python knows the years 1 to 9999.');
    const none = call('datetime', 'timedelta', [0]);
    const parts = [
      year,
      date.getUTCMonth() + 1,
      date.getUTCDate(),
      date.getUTCHours(),
      date.getUTCMinutes(),
      date.getUTCSeconds(),
      date.getUTCMilliseconds() * 1_000,
    ];
    return call('datetime', 'datetime', [...parts, call('datetime', 'timezone', [none])]);
  }

  #refusal(what: string, hint: string): SerializationError {
    return new SerializationError(this.#path, `to Python it cannot go with ${what} in it. ${hint}`);
  }
}

/** What Python gets by calling this. */
export function call(module: string, name: string, args: PickleValue[]): PyObject {
  return new PyObject('call', new PyGlobal(module, name), new PyTuple(args));
}

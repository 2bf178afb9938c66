// Captured values: what may be copied, and why the rest may not. The seam to wire/values: `encodeCaptures` alone would call it.
// Called by collect.ts.
import { types } from 'node:util';

/** Why a value cannot be copied. */
export interface ValueProblem {
  /** Where inside of the value: `.hooks[0]`; empty for the value itself. */
  readonly path: string;
  /** What is there: `instance of Socket`. */
  readonly what: string;
  readonly why: string;
}

/** The values of a function's variables as they are now, in the form in which they travel. */
export function encodeCaptures(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return structuredClone(values);
}

/** True for an object or array that only holds things together: `{ … }` or `[ … ]`. */
export function isPlainHolder(value: unknown): value is Record<string, unknown> | unknown[] {
  if (typeof value !== 'object' || value === null || types.isProxy(value)) return false;
  if (Array.isArray(value)) return Object.getPrototypeOf(value) === Array.prototype;
  const prototype = Object.getPrototypeOf(value);
  return (prototype === Object.prototype || prototype === null) && !types.isModuleNamespaceObject(value);
}

/** The first thing in a value that cannot be copied, or undefined if all of it can. */
export function problemOf(value: unknown, path = '', seen: Set<unknown> = new Set()): ValueProblem | undefined {
  switch (typeof value) {
    case 'function':
      return { path, what: 'a function', why: 'a function inside of this value cannot be copied' };
    case 'symbol':
      return { path, what: 'a unique symbol', why: 'a copy would be another symbol; use Symbol.for()' };
    case 'object':
      break;
    default:
      return undefined;
  }
  if (value === null || seen.has(value)) return undefined;
  seen.add(value);
  if (types.isProxy(value)) return { path, what: 'a Proxy', why: 'its handler cannot be copied' };
  if (types.isPromise(value) || isThenable(value)) {
    return { path, what: 'a promise', why: 'it settles in this process only; await it first, or pass the future as an argument' };
  }
  if (value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef) {
    return { path, what: `a ${value.constructor.name}`, why: 'it refers to objects of this process' };
  }
  if (isPlainHolder(value)) return problemOfMembers(value, path, seen);
  if (types.isModuleNamespaceObject(value)) {
    return { path, what: 'a module', why: 'use the name that the import statement gives it' };
  }
  if (types.isMap(value) && isExactly(value, Map)) {
    let index = 0;
    for (const [key, inner] of value) {
      const problem = problemOf(key, `${path} key ${index}`, seen) ?? problemOf(inner, `${path}.get(${show(key)})`, seen);
      if (problem) return problem;
      index++;
    }
    return undefined;
  }
  if (types.isSet(value) && isExactly(value, Set)) {
    let index = 0;
    for (const inner of value) {
      const problem = problemOf(inner, `${path} member ${index++}`, seen);
      if (problem) return problem;
    }
    return undefined;
  }
  if (copiedWhole.some((type) => isExactly(value, type)) || (ArrayBuffer.isView(value) && isBuiltInView(value))) return undefined;
  if (types.isNativeError(value) && builtInErrors.has(Object.getPrototypeOf(value))) return undefined;
  const name = classNameOf(value);
  return { path, what: name ? `instance of ${name}` : 'an object with its own prototype', why: 'it would lose its class and may hold state of this process' };
}

// biome-ignore lint/complexity/noBannedTypes: constructors of several kinds
const copiedWhole: readonly Function[] = [Date, RegExp, ArrayBuffer, SharedArrayBuffer, Boolean, Number, String, BigInt];
const builtInErrors: ReadonlySet<unknown> = new Set(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map(({ prototype }) => prototype),
);

function problemOfMembers(holder: object, path: string, seen: Set<unknown>): ValueProblem | undefined {
  for (const key of Reflect.ownKeys(holder)) {
    const property = Object.getOwnPropertyDescriptor(holder, key);
    if (property === undefined || (Array.isArray(holder) && key === 'length')) continue;
    const inner = typeof key === 'symbol' ? `${path}[${String(key)}]` : `${path}${memberPath(key, Array.isArray(holder))}`;
    if (typeof key === 'symbol') return { path: inner, what: 'a property with a symbol as its name', why: 'it would be lost' };
    if (property.get || property.set) return { path: inner, what: 'a getter', why: 'a copy would have its value of now only; read it into a const' };
    const problem = problemOf(property.value, inner, seen);
    if (problem) return problem;
  }
  return undefined;
}

/** `.name`, `[3]` or `["odd name"]`. */
export function memberPath(key: string, isArray: boolean): string {
  if (isArray && /^\d+$/.test(key)) return `[${key}]`;
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

/** Class name of an object, or undefined. */
function classNameOf(value: object): string | undefined {
  const constructor: unknown = Object.getPrototypeOf(value)?.constructor;
  return typeof constructor === 'function' && constructor.name !== '' ? constructor.name : undefined;
}

function isThenable(value: object): boolean {
  // Getters are not called: they could do anything.
  for (let holder: object | null = value; holder; holder = Object.getPrototypeOf(holder)) {
    const property = Object.getOwnPropertyDescriptor(holder, 'then');
    if (property) return typeof property.value === 'function';
  }
  return false;
}

function isExactly(value: object, type: { readonly prototype: unknown }): boolean {
  return Object.getPrototypeOf(value) === type.prototype;
}

function isBuiltInView(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Buffer.prototype || Object.hasOwn(globalThis, prototype?.constructor?.name ?? '');
}

function show(key: unknown): string {
  return typeof key === 'string' ? JSON.stringify(key) : typeof key === 'object' ? 'an object' : String(key);
}

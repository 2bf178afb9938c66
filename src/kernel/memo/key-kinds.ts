// Which type a value has, as far as memo keys know types. Asked by key-walk.ts for what is no plain object and no array.
import { File, Output } from '../../task/file.ts';

/** Types that memo keys know without a hook. */
export type BuiltIn = 'object' | 'array' | 'map' | 'set' | 'date' | 'regexp' | 'url' | 'bytes' | 'file' | 'error';

const kindByName: Readonly<Record<string, BuiltIn>> = {
  Object: 'object',
  Array: 'array',
  Map: 'map',
  Set: 'set',
  Date: 'date',
  RegExp: 'regexp',
  URL: 'url',
  ArrayBuffer: 'bytes',
  SharedArrayBuffer: 'bytes',
  DataView: 'bytes',
};

const kindByPrototype = new Map<object, BuiltIn>([
  [Map.prototype, 'map'],
  [Set.prototype, 'set'],
  [Date.prototype, 'date'],
  [RegExp.prototype, 'regexp'],
  [URL.prototype, 'url'],
  [ArrayBuffer.prototype, 'bytes'],
  [Buffer.prototype, 'bytes'],
  [File.prototype, 'file'],
  [Output.prototype, 'file'],
]);

/** Which of the types that everybody has; a class made from one of them is the user's, and needs a hook. */
export function builtIn(value: object, prototype: object): BuiltIn | undefined {
  const kind = kindByPrototype.get(prototype);
  if (kind !== undefined) return kind;
  if (value instanceof Error) return 'error';
  if (value instanceof File) return 'file';
  // Typed arrays, and values from another realm, as test runners make them: their prototypes are others, and native too.
  const type: unknown = Object.hasOwn(prototype, 'constructor') ? prototype.constructor : undefined;
  if (typeof type !== 'function') return undefined;
  const { name } = type;
  if (Function.prototype.toString.call(type) !== `function ${name}() { [native code] }`) return undefined;
  if (ArrayBuffer.isView(value)) return 'bytes';
  return /Error$/.test(name) ? 'error' : Object.hasOwn(kindByName, name) ? kindByName[name] : undefined;
}

/** The bytes that a view or a buffer shows. */
export function bytesOf(value: ArrayBufferView | ArrayBuffer): Uint8Array {
  return ArrayBuffer.isView(value)
    ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    : new Uint8Array(value);
}

/** For the key of an instance, and for people. */
export function className(prototype: object): string {
  const name: unknown = prototype.constructor?.name;
  return typeof name === 'string' && name !== '' ? name : 'a nameless class';
}

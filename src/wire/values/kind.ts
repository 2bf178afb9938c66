// Which kind of value an object is, for everything that walks through values. The only place that decides it.
import { types } from 'node:util';
import { File, Output } from '../../task/file.ts';
import { serializerOf } from './serializer.ts';

/**
 * `array`, `object`, `map`, `set`: containers. `leaf`: structured clone does it right, nothing to look into.
 * `array proxy`, `object proxy`: containers behind a Proxy, which must be copied.
 * `part`: a view that shows a part of its memory. `instance`: of a class with a serializer. `refused`: cannot cross.
 */
export type Kind =
  | 'array'
  | 'object'
  | 'map'
  | 'set'
  | 'leaf'
  | 'array proxy'
  | 'object proxy'
  | 'part'
  | 'buffer'
  | 'url'
  | 'file'
  | 'error'
  | 'instance'
  | 'refused';

/** The kind of an object. Throws what a Proxy or a getter throws. */
export function kindOf(value: object): Kind {
  if (types.isProxy(value)) return kindOfProxy(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) {
    // `arguments` looks like an ordinary object but for its iterator, and structured clone refuses it.
    return (value as Iterable<unknown>)[Symbol.iterator] !== undefined && types.isArgumentsObject(value)
      ? 'refused'
      : 'object';
  }
  if (Array.isArray(value)) return Array.isArray(prototype) ? 'array' : kindOfInstance(value);
  if (prototype === null) return types.isModuleNamespaceObject(value) || types.isExternal(value) ? 'refused' : 'object';
  if (ArrayBuffer.isView(value)) return kindOfView(value, prototype as object);
  if (types.isMap(value)) return isBuiltIn(prototype as object) ? 'map' : kindOfInstance(value);
  if (types.isSet(value)) return isBuiltIn(prototype as object) ? 'set' : kindOfInstance(value);
  if (types.isDate(value) || types.isRegExp(value) || types.isBoxedPrimitive(value)) {
    return isBuiltIn(prototype as object) && !types.isSymbolObject(value) ? 'leaf' : kindOfInstance(value);
  }
  if (types.isArrayBuffer(value)) return isDetached(value) ? 'refused' : 'leaf';
  if (prototype === URL.prototype) return 'url';
  if (prototype === File.prototype || prototype === Output.prototype) return 'file';
  if (types.isNativeError(value) || value instanceof Error || value instanceof DOMException) {
    return serializerOf(value) === undefined ? 'error' : 'instance';
  }
  // An ordinary object of another realm, as test runners make them.
  if (isOrdinaryPrototype(prototype as object)) return 'object';
  return kindOfInstance(value);
}

/** True for memory that was transferred away. */
export function isDetached(buffer: ArrayBuffer): boolean {
  if (buffer.byteLength > 0) return false;
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true; // That is what making a view of it throws for.
  }
}

function kindOfInstance(value: object): Kind {
  return serializerOf(value) === undefined ? 'refused' : 'instance';
}

function kindOfProxy(value: object): Kind {
  try {
    if (Array.isArray(value)) return 'array proxy';
  } catch {
    return 'refused'; // It was revoked: nothing else throws here.
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || isOrdinaryPrototype(prototype as object)) return 'object proxy';
  return kindOfInstance(value);
}

function kindOfView(view: ArrayBufferView, prototype: object): Kind {
  if (!types.isArrayBuffer(view.buffer) || isDetached(view.buffer)) return 'refused';
  if (prototype === Buffer.prototype) return 'buffer';
  if (!isBuiltIn(prototype)) return kindOfInstance(view);
  return view.byteLength === view.buffer.byteLength ? 'leaf' : 'part';
}

function isOrdinaryPrototype(prototype: object): boolean {
  return prototype === Object.prototype || (Object.getPrototypeOf(prototype) === null && isBuiltIn(prototype));
}

/** Prototypes known to be the language's own. */
const builtIn = new WeakSet<object>();

/** True for the prototype of a class of the language, of any realm; false for a class that extends one. */
export function isBuiltIn(prototype: object): boolean {
  if (builtIn.has(prototype)) return true;
  if (!Object.hasOwn(prototype, 'constructor')) return false;
  const made: unknown = (prototype as { constructor: unknown }).constructor;
  if (typeof made !== 'function' || !/\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(made)))
    return false;
  builtIn.add(prototype);
  return true;
}

// Why a value cannot cross, in words: what it is, and what to do instead. check and encode put a path before it.
import { types } from 'node:util';
import { TaskFuture } from '../../task/future.ts';
import { classOf, serializer } from './serializer.ts';

/** What a value is that cannot cross. */
export interface Refusal {
  /** Two words at most: `function`, `Socket`. Stands in `[cannot be sent: function]`. */
  readonly label: string;
  /** A sentence on what it is, and one on what to do. */
  readonly problem: string;
}

/** Why this value, which is refused, cannot cross. Never throws. */
export function refusalOf(value: unknown): Refusal {
  switch (typeof value) {
    case 'function':
      return {
        label: 'function',
        problem: `it is a ${/^class\b/.test(textOf(value)) ? 'class' : 'function'}${named(value)}. Pass data, or make it an app.`,
      };
    case 'symbol':
      return { label: 'symbol', problem: `it is a symbol, ${String(value)}. Pass a string instead.` };
    default:
      try {
        return refusalOfObject(value as object);
      } catch (thrown) {
        return threw(thrown);
      }
  }
}

/** For values that throw when they are looked at: a revoked Proxy, a getter. */
export function threw(thrown: unknown): Refusal {
  let why = 'something that has no text';
  try {
    why = thrown instanceof Error ? thrown.message : String(thrown);
  } catch {
    // What was thrown throws itself when read: the text above has to do.
  }
  return { label: 'unreadable', problem: `reading it threw: ${why}. Pass a plain copy of the data.` };
}

function refusalOfObject(value: object): Refusal {
  for (const [matches, label, problem] of known) if (matches(value)) return { label, problem };
  const made = classOf(value);
  const name = nameOf(made);
  if (made === undefined || name === '') {
    return {
      label: 'object with a prototype',
      problem: 'it is an object with a prototype of its own. Pass a plain copy: { ...it }.',
    };
  }
  if (Object.hasOwn(made, serializer)) {
    return {
      label: name,
      problem: `it is an instance of class ${name}, whose serializer is incomplete. It needs module, export, to and from.`,
    };
  }
  const inherited = serializer in made ? ' The serializer of the class that it extends does not count for it.' : '';
  return {
    label: name,
    problem: `it is an instance of class ${name}. Pass its data, such as { ...it }, or give the class a serializer.${inherited}`,
  };
}

/** What can be told by more than its class. The first match counts. */
const known: readonly (readonly [(value: object) => boolean, string, string])[] = [
  [isRevoked, 'revoked Proxy', 'it is a revoked Proxy. Pass the data that it stood for.'],
  [
    (value) => TaskFuture.cellOf(value) !== undefined,
    'future',
    "it is a future that nothing waits for. As an argument it is found at any depth with dependencies: 'deep'; elsewhere, await it.",
  ],
  [types.isPromise, 'promise', 'it is a promise. Await it, or pass the future itself as an argument.'],
  [(value) => types.isWeakMap(value), 'WeakMap', 'it is a WeakMap. Pass a Map.'],
  [(value) => types.isWeakSet(value), 'WeakSet', 'it is a WeakSet. Pass a Set.'],
  [(value) => value instanceof WeakRef, 'WeakRef', 'it is a WeakRef. Pass what it refers to.'],
  [types.isArgumentsObject, 'arguments', 'it is the `arguments` of a function. Pass an array: [...arguments].'],
  [
    types.isModuleNamespaceObject,
    'module',
    'it is a module. Pass what you need of it, or use apps() for its functions.',
  ],
  [types.isSymbolObject, 'symbol', 'it is a symbol. Pass a string instead.'],
  [
    isShared,
    'SharedArrayBuffer',
    'it is shared memory, which only one process has. Pass a copy: new Uint8Array(it).slice().',
  ],
  [types.isAnyArrayBuffer, 'ArrayBuffer', 'it is an ArrayBuffer that was transferred away. Pass it before, or a copy.'],
  [
    ArrayBuffer.isView,
    'view',
    'it is a view of memory that was transferred away, or of a class of its own. Pass a copy.',
  ],
  [
    isStream,
    'stream',
    'it is a stream or a socket, which only its process has. Pass a path or a URL, and open it in the task.',
  ],
  [
    (value) => value instanceof AbortSignal || value instanceof AbortController,
    'AbortSignal',
    'it is an AbortSignal. Cancel with the app’s `signal` option, and use `task.signal` in the task.',
  ],
  [isIterator, 'iterator', 'it is an iterator. Pass an array: [...it].'],
];

function isRevoked(value: object): boolean {
  if (!types.isProxy(value)) return false;
  try {
    Array.isArray(value);
    return false;
  } catch {
    return true; // Only a revoked Proxy throws here.
  }
}

function isShared(value: object): boolean {
  return types.isSharedArrayBuffer(ArrayBuffer.isView(value) ? value.buffer : value);
}

function isStream(value: object): boolean {
  const { pipe, pipeTo, getWriter, write, on } = value as Record<string, unknown>;
  if (typeof pipe === 'function' || typeof pipeTo === 'function' || typeof getWriter === 'function') return true;
  return typeof write === 'function' && typeof on === 'function';
}

function isIterator(value: object): boolean {
  return !Array.isArray(value) && typeof (value as Record<string, unknown>)['next'] === 'function';
}

function nameOf(made: unknown): string {
  const name: unknown = typeof made === 'function' ? made.name : '';
  return typeof name === 'string' ? name : '';
}

function named(made: unknown): string {
  const name = nameOf(made);
  return name === '' ? '' : `, ${name}`;
}

function textOf(made: unknown): string {
  return Function.prototype.toString.call(made);
}

// Native functions and symbols that every JavaScript process has under the same name: `Object.defineProperty`, `Symbol.iterator`.
// They are sent by that name. Called by collect.ts.

let names: Map<unknown, string> | undefined;

/** An expression that gives this very thing in any process, or undefined if there is none. */
export function globalName(value: CallableFunction | symbol): string | undefined {
  if (typeof value === 'symbol') {
    const key = Symbol.keyFor(value);
    if (key !== undefined) return `Symbol.for(${JSON.stringify(key)})`;
  }
  names ??= listGlobals();
  return names.get(value);
}

function listGlobals(): Map<unknown, string> {
  const found = new Map<unknown, string>();
  for (const [name, value] of members(globalThis)) {
    if (isFunction(value)) add(found, value, name);
    if (!isFunction(value) && !/^(Math|JSON|Reflect|Atomics|Intl|console|crypto|performance)$/.test(name)) continue;
    for (const [inner, member] of members(value as object)) {
      if (isFunction(member) || typeof member === 'symbol') add(found, member, `${name}.${inner}`);
      if (inner !== 'prototype') continue;
      for (const [method, own] of members(member as object)) {
        if (isFunction(own)) add(found, own, `${name}.prototype.${method}`);
      }
    }
  }
  return found;
}

/** Data properties with identifiers as names; getters are left alone, because reading some of them loads or warns. */
function* members(holder: object): Generator<[string, unknown]> {
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(holder))) {
    if ('value' in property && /^[A-Za-z]\w*$/.test(name)) yield [name, property.value];
  }
}

function add(found: Map<unknown, string>, value: unknown, name: string): void {
  const isNative = typeof value === 'symbol' || /\{\s*\[native code\]\s*\}\s*$/.test(String(value));
  if (isNative && !found.has(value)) found.set(value, name);
}

function isFunction(value: unknown): value is CallableFunction {
  return typeof value === 'function';
}

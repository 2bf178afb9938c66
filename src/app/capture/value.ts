// Captured values: which may be copied, and what stands in the way of the rest. The values that cross are those of
// wire/values; on top of that, nothing live is copied (getters, promises of any kind), because a copy would be stale.
// Called by collect.ts and capture.ts.
import { types } from 'node:util';
import { crossingOf } from '../../wire/values/check.ts';
import { showPath } from '../../wire/values/path.ts';
import { encodeValue } from '../../wire/values.ts';

/** Why a value cannot be copied. */
export interface ValueProblem {
  /** Where, beginning with the given name: `config.hooks[0]`. */
  readonly path: string;
  /** What is the matter, and what to do instead. */
  readonly problem: string;
}

/** The values of a function's variables as they are now, in the form in which they travel. */
export function encodeCaptures(values: Readonly<Record<string, unknown>>): unknown {
  return structuredClone(encodeValue(values, 'captured values'));
}

/** The first thing in a value that cannot be copied, or undefined if all of it can. */
export function problemOf(value: unknown, name: string): ValueProblem | undefined {
  const live = liveIn(value, name, new Set());
  if (live) return live;
  const crossing = crossingOf(value, true);
  if (typeof crossing === 'string') return undefined;
  return { path: showPath(name, crossing.steps).replace(' ', ''), problem: crossing.refusal.problem };
}

/** True for an object or array that only holds things together: `{ … }` or `[ … ]`. */
export function isPlainHolder(value: unknown): value is Record<string, unknown> | unknown[] {
  if (typeof value !== 'object' || value === null || types.isProxy(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (Array.isArray(value)) return prototype === Array.prototype;
  return (prototype === Object.prototype || prototype === null) && !types.isModuleNamespaceObject(value);
}

/** True if there are functions in a value, at any depth of plain objects and arrays. */
export function holdsFunctions(value: unknown, seen: Set<unknown> = new Set()): boolean {
  if (typeof value === 'function') return true;
  if (!isPlainHolder(value) || seen.has(value)) return false;
  seen.add(value);
  return Object.values(Object.getOwnPropertyDescriptors(value)).some((property) =>
    holdsFunctions(property.value, seen),
  );
}

/** True for what `await` would wait for. Getters are not called: they could do anything. */
export function isThenable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || types.isProxy(value)) return false;
  for (let holder: object | null = value; holder; holder = Object.getPrototypeOf(holder)) {
    const property = Object.getOwnPropertyDescriptor(holder, 'then');
    if (property) return typeof property.value === 'function';
  }
  return false;
}

/** `.name`, `[3]` or `["odd name"]`. */
export function memberPath(key: string, isArray: boolean): string {
  return showPath('', [isArray ? Number(key) : key]).trimStart();
}

/** What is told of a getter. */
export const getterProblem = 'it is a getter, and a copy would keep the value of now. Read it into a const first.';

function liveIn(value: unknown, path: string, seen: Set<unknown>): ValueProblem | undefined {
  if (typeof value !== 'object' || value === null || seen.has(value)) return undefined;
  seen.add(value);
  if (types.isProxy(value)) {
    return { path, problem: 'it is a Proxy, whose handler cannot be copied. Copy its data into a const first.' };
  }
  if (isThenable(value)) {
    const problem =
      'it is a promise or future, which settles in this process only. Pass it as an argument, or await it first.';
    return { path, problem };
  }
  if (!isPlainHolder(value)) return undefined;
  for (const [key, property] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
    const inner = `${path}${memberPath(key, Array.isArray(value) && key !== 'length')}`;
    if (property.get || property.set) return { path: inner, problem: getterProblem };
    const problem = liveIn(property.value, inner, seen);
    if (problem) return problem;
  }
  return undefined;
}

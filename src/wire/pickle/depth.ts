// How deep a value is, found without recursion. The reader asks it about values with many containers; the writer needs no depth.
import { type PickleValue, PyFrozenSet, PyObject, PySet, PyTuple } from './values.ts';

interface Visit {
  readonly container: object;
  readonly parts: PickleValue[];
  next: number;
  height: number;
}

/** Whether some way from `root` inwards passes more than `limit` containers. A way ends where it would come back to itself. */
export function isDeeperThan(root: PickleValue, limit: number): boolean {
  // Known heights make shared parts cost one visit, yet count on every way through them. 0 stands for "on the way now".
  const heights = new Map<object, number>();
  const first = partsOf(root);
  if (first === undefined) return false;
  const way: Visit[] = [{ container: root as object, parts: first, next: 0, height: 1 }];
  heights.set(root as object, 0);
  for (let visit = way[way.length - 1]; visit !== undefined; visit = way[way.length - 1]) {
    if (visit.height > limit || way.length > limit) return true;
    if (visit.next === visit.parts.length) {
      heights.set(visit.container, visit.height);
      way.pop();
      const outer = way[way.length - 1];
      if (outer !== undefined) outer.height = Math.max(outer.height, visit.height + 1);
      continue;
    }
    const part = visit.parts[visit.next++]!;
    const parts = partsOf(part);
    if (parts === undefined) continue;
    const known = heights.get(part as object);
    if (known !== undefined) visit.height = Math.max(visit.height, known + 1);
    else {
      heights.set(part as object, 0);
      way.push({ container: part as object, parts, next: 0, height: 1 });
    }
  }
  return false;
}

/** What a container holds, `undefined` for what holds nothing. */
function partsOf(value: PickleValue): PickleValue[] | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value)) return value;
  if (value instanceof PyTuple || value instanceof PySet || value instanceof PyFrozenSet) return value.items;
  if (value instanceof Map) return [...value.keys(), ...value.values()];
  if (!(value instanceof PyObject)) return undefined;
  const parts: PickleValue[] = [value.callee, value.args];
  if (value.kwargs !== undefined) parts.push(value.kwargs);
  for (const step of value.steps) {
    if (step.do === 'state') parts.push(step.state);
    else if (step.do === 'call') parts.push(step.call);
    else if (step.do === 'set') for (const [key, item] of step.entries) parts.push(key, item);
    else for (const item of step.items) parts.push(item);
  }
  return parts;
}

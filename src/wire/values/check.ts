// Says whether a value can cross, before anything is sent: called for every argument of every call, so it is one walk
// without recursion, and next to nothing for a primitive.
import { SerializationError } from '../../task/errors.ts';
import { type Kind, kindOf } from './kind.ts';
import { mark } from './mark.ts';
import { type Step, showPath } from './path.ts';
import { type Refusal, refusalOf, threw } from './refusal.ts';

/**
 * How a value crosses. `plain`: a primitive. `clone`: structured clone does it right as it is.
 * `encode`: something in it (or its depth) needs `encodeValue`.
 */
export type Crossing = 'plain' | 'clone' | 'encode';

/** Containers in one another beyond which a value is encoded: structured clone recurses, and fails beyond some 1,600. */
export const deepest = 250;

/** A value that cannot cross, and where. */
export interface Refused {
  readonly refusal: Refusal;
  readonly steps: readonly Step[];
}

/**
 * Checks that a value can cross, and says how. Errors in it are not looked into: what cannot be sent of an error is
 * replaced by a text. What a serializer of a class makes is checked when it is encoded.
 *
 * @param path What the value is, for the message: `argument 0`.
 * @throws SerializationError naming the place of what cannot cross, and what to do instead.
 * @example
 * checkValue(7, 'argument 0') // 'plain'
 * checkValue({ from: file('a.csv') }, 'argument 0') // 'encode'
 * checkValue({ done: () => {} }, 'argument 0') // SerializationError: Cannot send argument 0 .done: it is a function …
 */
export function checkValue(value: unknown, path = 'the value'): Crossing {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'undefined':
    case 'bigint':
      return 'plain';
    case 'object': {
      if (value === null) return 'plain';
      const found = walk(value, true);
      if (typeof found === 'string') return found;
      throw new SerializationError(showPath(path, found.steps), found.refusal.problem);
    }
    default:
      throw new SerializationError(path, refusalOf(value).problem);
  }
}

/** As {@link checkValue}, but says what cannot cross instead of throwing. */
export function crossingOf(value: unknown, allowInstances: boolean): Crossing | Refused {
  if (typeof value === 'object' && value !== null) return walk(value, allowInstances);
  if (typeof value === 'function' || typeof value === 'symbol') return { refusal: refusalOf(value), steps: [] };
  return 'plain';
}

/** Goes through a value level by level. The list of what was found is the queue and, while short, the set of what was seen. */
function walk(root: object, allowInstances: boolean): Crossing | Refused {
  const found = new Found(root);
  let crossing: Crossing = 'clone';
  let depth = 1;
  let levelEnd = 1;
  for (let at = 0; at < found.objects.length; at++) {
    if (at === levelEnd) {
      depth++;
      levelEnd = found.objects.length;
    }
    const value = found.objects[at]!;
    let kind: Kind;
    try {
      kind = kindOf(value);
    } catch (thrown) {
      return { refusal: threw(thrown), steps: found.steps(at) };
    }
    switch (kind) {
      case 'leaf':
        continue;
      case 'refused':
        return { refusal: refusalOf(value), steps: found.steps(at) };
      case 'instance':
        if (!allowInstances) return { refusal: refusalOf(value), steps: found.steps(at) };
        crossing = 'encode';
        continue;
      case 'part':
      case 'buffer':
      case 'url':
      case 'file':
      case 'error':
        crossing = 'encode';
        continue;
      case 'array proxy':
      case 'object proxy':
        crossing = 'encode';
        break;
      case 'array':
        if (at === 0 && (root as unknown[])[0] === mark) crossing = 'encode';
        break;
      default:
    }
    found.current = at;
    try {
      eachChild(kind, value, found.add);
    } catch (thrown) {
      return { refusal: threw(thrown), steps: found.steps(at) };
    }
    if (found.refused !== undefined) return found.refused;
  }
  // In a tree, levels are what structured clone would recurse through; where things are shared, only encode can tell.
  if (found.objects.length > deepest && (depth > deepest || found.isShared)) return 'encode';
  return crossing;
}

class Found {
  readonly objects: object[];
  current = 0;
  isShared = false;
  refused: Refused | undefined;
  #parents: number[] = [-1];
  #steps: Step[] = [''];
  #seen: Set<object> | undefined;

  constructor(root: object) {
    this.objects = [root];
  }

  /** Takes a part of the object at `current`. False ends the walk. */
  readonly add = (part: unknown, step: Step): boolean => {
    if (typeof part === 'object') {
      if (part === null) return true;
      if (this.#wasSeen(part)) {
        this.isShared = true;
        return true;
      }
      this.objects.push(part);
      this.#parents.push(this.current);
      this.#steps.push(step);
      return true;
    }
    if (typeof part !== 'function' && typeof part !== 'symbol') return true;
    this.refused = { refusal: refusalOf(part), steps: [...this.steps(this.current), step] };
    return false;
  };

  steps(at: number): Step[] {
    const steps: Step[] = [];
    for (let up = at; up > 0; up = this.#parents[up]!) steps.push(this.#steps[up]!);
    return steps.reverse();
  }

  #wasSeen(part: object): boolean {
    if (this.#seen === undefined) {
      if (this.objects.length <= 16) return this.objects.includes(part);
      this.#seen = new Set(this.objects);
    }
    if (this.#seen.has(part)) return true;
    this.#seen.add(part);
    return false;
  }
}

/** Gives every part of a container that is not a number, string, boolean or bigint, until `take` says false. */
export function eachChild(kind: Kind, container: object, take: (part: unknown, step: Step) => boolean): void {
  switch (kind) {
    case 'array':
    case 'array proxy':
      eachElement(container as unknown[], take);
      return;
    case 'object':
    case 'object proxy': {
      const source = container as Record<string, unknown>;
      for (const key of Object.keys(source)) {
        const part = source[key];
        if (isInteresting(part) && !take(part, key)) return;
      }
      return;
    }
    case 'map':
      for (const [key, part] of Map.prototype.entries.call(container as Map<unknown, unknown>)) {
        if (isInteresting(key) && !take(key, { in: 'key', of: key })) return;
        if (isInteresting(part) && !take(part, { in: 'value', of: key })) return;
      }
      return;
    case 'set': {
      let index = 0;
      for (const part of Set.prototype.values.call(container as Set<unknown>)) {
        if (isInteresting(part) && !take(part, { in: 'member', of: index })) return;
        index++;
      }
      return;
    }
    default:
  }
}

function eachElement(array: unknown[], take: (part: unknown, step: Step) => boolean): void {
  let empty = 0;
  for (let index = 0; index < array.length; index++) {
    const part = array[index];
    if (isInteresting(part)) {
      if (!take(part, index)) return;
    } else if (part === undefined && ++empty > 10_000 && empty > index >> 1) {
      // Mostly holes: going on by index would take as long as the array pretends to be.
      for (const key of Object.keys(array)) {
        const rest = Number(key) > index ? array[Number(key)] : undefined;
        if (isInteresting(rest) && !take(rest, Number(key))) return;
      }
      return;
    }
  }
}

function isInteresting(part: unknown): boolean {
  return (typeof part === 'object' && part !== null) || typeof part === 'function' || typeof part === 'symbol';
}

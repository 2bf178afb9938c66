// A value as nodes and edges, for encode: what holds what, and where. One node for each object that is not a leaf.
import { SerializationError } from '../../task/errors.ts';
import { crossingOf, eachChild } from './check.ts';
import { type Kind, kindOf } from './kind.ts';
import type { ErrorContent, InstanceContent } from './mark.ts';
import { type Step, showPath } from './path.ts';
import { refusalOf, threw } from './refusal.ts';
import { serializerOf } from './serializer.ts';
import { put, readError } from './thrown.ts';

/** One object of a value. */
export class Node {
  readonly kind: Kind;
  readonly source: object;
  /** What its parts are read from: itself, or for special things the array or object that stands in their record. */
  content: object;
  readonly children: Node[] = [];
  /** The key in `content` of each child. */
  readonly keys: (string | number)[] = [];
  /** The nodes that hold it. */
  readonly users: Node[] = [];
  readonly #from: Node | undefined;
  readonly #step: Step;
  /** It cannot be sent as it is: it, or something in it, is special. */
  isDirty = false;
  /** It becomes a record. */
  isSpecial = false;
  /** Number of its record. */
  record = -1;
  /** What takes its place: a copy, if it is dirty. */
  copy: object | undefined;
  /** Children, by position, that are taken out because they are too deep. */
  cuts: Set<number> | undefined;

  constructor(kind: Kind, source: object, from: Node | undefined, step: Step) {
    this.kind = kind;
    this.source = source;
    this.content = source;
    this.#from = from;
    this.#step = step;
  }

  /** Where it stands in the value. */
  path(root: string): string {
    const steps: Step[] = [];
    for (let up: Node = this; up.#from !== undefined; up = up.#from) steps.push(up.#step);
    return showPath(root, steps.reverse());
  }

  hold(child: Node, key: string | number): void {
    this.children.push(child);
    this.keys.push(key);
    child.users.push(this);
  }
}

/** Every node of a value, the root first. Throws SerializationError for what cannot cross. */
export function graphOf(root: object, path: string, allowInstances: boolean): Node[] {
  const nodes: Node[] = [];
  const byObject = new Map<object, Node | undefined>();
  const fail = (from: Node | undefined, step: Step, problem: string): never => {
    const at = from === undefined ? path : new Node('refused', root, from, step).path(path);
    throw new SerializationError(at, problem);
  };
  const nodeOf = (value: unknown, from: Node | undefined, step: Step): Node | undefined => {
    if (typeof value !== 'object' || value === null) return fail(from, step, refusalOf(value).problem);
    const known = byObject.get(value);
    if (known !== undefined || byObject.has(value)) return known;
    let kind: Kind;
    try {
      kind = kindOf(value);
    } catch (thrown) {
      return fail(from, step, threw(thrown).problem);
    }
    if (kind === 'refused') return fail(from, step, refusalOf(value).problem);
    const node = kind === 'leaf' ? undefined : new Node(kind, value, from, step);
    byObject.set(value, node);
    if (node !== undefined) nodes.push(node);
    return node;
  };

  nodeOf(root, undefined, '');
  for (let at = 0; at < nodes.length; at++) {
    const node = nodes[at]!;
    try {
      prepare(node, allowInstances);
      scan(node, (child, key, step) => {
        const held = nodeOf(child, node, step);
        if (held !== undefined) node.hold(held, key);
      });
    } catch (thrown) {
      if (thrown instanceof SerializationError) throw thrown;
      throw new SerializationError(node.path(path), threw(thrown).problem);
    }
  }
  return nodes;
}

/** Decides what a node becomes by itself, and makes the content of its record. */
function prepare(node: Node, allowInstances: boolean): void {
  switch (node.kind) {
    case 'array proxy':
    case 'object proxy':
    case 'part':
      node.isDirty = true;
      return;
    case 'url':
    case 'file':
    case 'buffer':
      node.isDirty = node.isSpecial = true;
      return;
    case 'error':
      node.isDirty = node.isSpecial = true;
      node.content = errorContent(node.source, allowInstances);
      return;
    case 'instance':
      node.isDirty = node.isSpecial = true;
      node.content = instanceContent(node.source);
      return;
    default:
  }
}

function scan(node: Node, take: (child: unknown, key: string | number, step: Step) => void): void {
  switch (node.kind) {
    case 'map': {
      let at = 0;
      for (const [key, value] of node.source as Map<unknown, unknown>) {
        if (isPart(key)) take(key, at, { in: 'key', of: key });
        if (isPart(value)) take(value, at + 1, { in: 'value', of: key });
        at += 2;
      }
      return;
    }
    case 'set': {
      let at = 0;
      for (const value of node.source as Set<unknown>) {
        if (isPart(value)) take(value, at, { in: 'member', of: at });
        at++;
      }
      return;
    }
    case 'error':
    case 'instance':
      eachChild('object', node.content, (part, step) => {
        take(part, step as string, step);
        return true;
      });
      return;
    case 'array':
    case 'array proxy':
    case 'object':
    case 'object proxy':
      eachChild(node.kind, node.source, (part, step) => {
        take(part, step as string | number, step);
        return true;
      });
      return;
    default:
  }
}

function isPart(value: unknown): boolean {
  return (typeof value === 'object' && value !== null) || typeof value === 'function' || typeof value === 'symbol';
}

function errorContent(error: object, allowInstances: boolean): ErrorContent {
  const { base, name, message, stack, fields, cause, errors } = readError(error);
  const sendable: Record<string, unknown> = {};
  for (const [key, value] of fields) put(sendable, key, orText(value, allowInstances));
  return {
    base,
    name,
    message,
    stack,
    fields: sendable,
    ...(cause === undefined ? {} : { cause: orText(cause.value, allowInstances) }),
    ...(errors === undefined ? {} : { errors: errors.map((member) => orText(member, allowInstances)) }),
  };
}

/** A part of an error, or a text that says what it was if it cannot be sent. */
function orText(value: unknown, allowInstances: boolean): unknown {
  const crossing = crossingOf(value, allowInstances);
  return typeof crossing === 'string' ? value : `[cannot be sent: ${crossing.refusal.label}]`;
}

function instanceContent(instance: object): InstanceContent {
  const found = serializerOf(instance)!; // That makes it an `instance`.
  return { module: found.module, export: found.export, data: found.to(instance) };
}

// Turns a value into data that structured clone carries. Called by executors, for values of which check says `encode`.
import { types } from 'node:util';
import { SerializationError } from '../../task/errors.ts';
import { type File, Output } from '../../task/file.ts';
import { deepest } from './check.ts';
import { graphOf, type Node } from './graph.ts';
import { type Encoded, mark, type RecordKind } from './mark.ts';
import { type Cut, cutDeepEdges, orderOf } from './order.ts';
import { refusalOf } from './refusal.ts';
import { set } from './thrown.ts';

/**
 * Data for structured clone (`postMessage`, `v8.serialize`) from which `decodeValue` makes the value again: with URLs,
 * files, errors and instances, with cycles, and with what was shared still shared. The value is not changed; of its
 * containers only those are copied that lead to something special. A value without any is returned as it is.
 *
 * @param path What the value is, for messages: `argument 0`.
 * @throws SerializationError for what cannot cross.
 * @example
 * port.postMessage(encodeValue({ page: new URL('https://example.org') }));
 */
export function encodeValue(value: unknown, path = 'the value'): unknown {
  if (typeof value === 'function' || typeof value === 'symbol')
    throw new SerializationError(path, refusalOf(value).problem);
  if (typeof value !== 'object' || value === null) return value;
  return encode(value, path, true);
}

/** As {@link encodeValue}, for what was checked not to hold instances: those in fields of errors become texts. */
export function encodeFailure(failure: object): unknown {
  return encode(failure, 'a failure', false);
}

function encode(value: object, path: string, allowInstances: boolean): unknown {
  const nodes = graphOf(value, path, allowInstances);
  const root = nodes[0];
  if (root === undefined) return value;
  const plan = planOf(nodes, path);
  if (!root.isDirty) return Array.isArray(value) && value[0] === mark ? [mark, value, [], []] : value;
  return write(root, nodes, plan);
}

/** What becomes a record, in the order in which records can be read, and what is cut out because it is too deep. */
interface Plan {
  readonly specials: readonly Node[];
  readonly cuts: readonly Cut[];
}

function planOf(nodes: readonly Node[], path: string): Plan {
  const order = nodes.some((node) => node.kind === 'instance') ? orderWithInstances(nodes[0]!, path) : nodes;
  const specials = specialsAmong(order);
  if (nodes.length <= deepest || cutDeepEdges(nodes[0]!, specials).length === 0) return { specials, cuts: [] };
  // A cut changes its container, and a Map that changes becomes a record: with all of them as records, cut again.
  for (const node of nodes) {
    node.cuts = undefined;
    if (node.kind === 'map' || node.kind === 'set') node.isDirty = true;
  }
  const all = specialsAmong(order);
  const cuts = cutDeepEdges(nodes[0]!, all);
  for (const { node } of cuts) node.isDirty = true;
  propagate(nodes);
  return { specials: all, cuts };
}

/** An order in which every instance comes after all that its data holds. */
function orderWithInstances(root: Node, path: string): readonly Node[] {
  const { order, inCycle } = orderOf(root);
  for (const node of inCycle) {
    if (node.kind !== 'instance') continue;
    const problem =
      'its class has a serializer whose data leads back to the instance itself. Leave that reference out of the data.';
    throw new SerializationError(node.path(path), problem);
  }
  return order;
}

function specialsAmong(order: readonly Node[]): readonly Node[] {
  propagate(order);
  for (const node of order) if (node.isDirty && (node.kind === 'map' || node.kind === 'set')) node.isSpecial = true;
  return order.filter((node) => node.isSpecial);
}

/** What holds something dirty is dirty. */
function propagate(nodes: readonly Node[]): void {
  const dirty = nodes.filter((node) => node.isDirty);
  for (let at = 0; at < dirty.length; at++) {
    for (const user of dirty[at]!.users) {
      if (user.isDirty) continue;
      user.isDirty = true;
      dirty.push(user);
    }
  }
}

function write(root: Node, nodes: readonly Node[], { specials, cuts }: Plan): Encoded {
  const encoded: Encoded = [mark, 0, [], []];
  const [, , records, places] = encoded;
  for (const [index, node] of specials.entries()) node.record = index;
  for (const node of nodes) if (node.isDirty) node.copy = copyOf(node);
  for (const node of specials) records.push(recordKind(node), node.copy);
  // IMPORTANT: cut edges come first and in the order in which they were found. So their ends are written one after the
  // other, each from the top; a container among the places below must not be the first way to something deep.
  for (const { node, position } of cuts) {
    const child = node.children[position]!;
    places.push(node.copy, node.keys[position], child.copy ?? child.source);
  }
  for (const node of nodes) {
    if (!node.isDirty) continue;
    const container = node.copy as Record<string, unknown>;
    for (const [position, child] of node.children.entries()) {
      const key = node.keys[position]!;
      if (child.isSpecial) places.push(container, key, child.record);
      if (child.isSpecial || node.cuts?.has(position) === true) set(container, key, 0);
      else if (child.isDirty) set(container, key, child.copy);
    }
  }
  if (root.isSpecial) places.push(encoded, 1, root.record);
  else encoded[1] = root.copy;
  return encoded;
}

function recordKind(node: Node): RecordKind {
  switch (node.kind) {
    case 'file':
      return node.source instanceof Output ? 'output' : 'file';
    case 'url':
    case 'buffer':
    case 'error':
    case 'map':
    case 'set':
    case 'instance':
      return node.kind;
    default:
      throw new TypeError(`no record for ${node.kind}`);
  }
}

/** What travels in the place of a node: a shallow copy, or the content of its record. */
function copyOf(node: Node): object {
  const { source } = node;
  switch (node.kind) {
    case 'array':
    case 'array proxy':
      return copyArray(source as unknown[]);
    case 'map':
      return [...(source as Map<unknown, unknown>)].flat();
    case 'set':
      return [...(source as Set<unknown>)];
    case 'error':
    case 'instance':
      return node.content;
    case 'url':
      return [(source as URL).href];
    case 'file':
      return [(source as File).url, (source as File).localPath];
    case 'buffer':
      return new Uint8Array(source as Buffer);
    case 'part':
      return copyView(source as ArrayBufferView);
    default:
      return copyObject(source as Record<string, unknown>);
  }
}

function copyArray(source: unknown[]): unknown[] {
  const copy: unknown[] = new Array(source.length);
  for (const key of Object.keys(source)) set(copy, key, source[key as unknown as number]);
  return copy;
}

function copyObject(source: Record<string, unknown>): object {
  const copy = {};
  for (const key of Object.keys(source)) set(copy, key, source[key]);
  return copy;
}

/** The same kind of view, of the part of memory that it shows and no more. */
function copyView(view: ArrayBufferView): object {
  const memory = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  const made = types.isDataView(view)
    ? DataView
    : (view.constructor as new (
        buffer: ArrayBufferLike,
      ) => ArrayBufferView);
  return new made(memory as ArrayBuffer);
}

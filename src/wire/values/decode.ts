// Makes a value again of the data that encode made. Called where a value has arrived; the data is not to be trusted.
import { DeserializationError } from '../../task/errors.ts';
import { File, Output } from '../../task/file.ts';
import { whileLoading } from '../loading.ts';
import { type Encoded, mark, type RecordKind } from './mark.ts';
import { type AnySerializer, ownSerializer } from './serializer.ts';
import { fillError, makeError, set } from './thrown.ts';

/**
 * The value of which `encodeValue` made this data; data that was never encoded is given back as it is. The data is used
 * up: its containers become those of the value.
 *
 * Gives a promise only if the value holds instances of a class whose module was not loaded here before. A value is never
 * a promise itself, so `instanceof Promise` tells.
 *
 * @throws DeserializationError (or rejects with it) for data that cannot be made a value again.
 * @example
 * const value = decodeValue(message);
 * run(value instanceof Promise ? await value : value);
 */
export function decodeValue(data: unknown): unknown | Promise<unknown> {
  if (!isEncoded(data)) return data;
  const missing = modulesOf(data);
  if (missing.length === 0) return decode(data);
  return Promise.all(missing.map(load)).then(() => decode(data));
}

/** As {@link decodeValue}, for data that must not make this process load modules: instances in it are an error. */
export function decodeWithoutInstances(data: unknown): unknown {
  if (!isEncoded(data)) return data;
  if (modulesOf(data).length > 0)
    throw new DeserializationError('Cannot read a value: it needs classes that are not loaded here.');
  return decode(data);
}

/** Serializers by module and export. */
const loaded = new Map<string, AnySerializer>();

interface ClassPlace {
  readonly module: string;
  readonly export: string;
}

function isEncoded(data: unknown): data is Encoded {
  return Array.isArray(data) && data[0] === mark;
}

function modulesOf([, , records]: Encoded): ClassPlace[] {
  const missing = new Map<string, ClassPlace>();
  if (!Array.isArray(records)) throw broken('it has no list of records');
  for (let at = 0; at < records.length; at += 2) {
    // Also what keeps an array that pretends to have billions of elements from being walked.
    textOf(records[at]);
    if (records[at] !== 'instance') continue;
    const { module, export: name } = objectOf(records[at + 1]);
    const place = { module: textOf(module), export: textOf(name) };
    if (!loaded.has(keyOf(place))) missing.set(keyOf(place), place);
  }
  return [...missing.values()];
}

async function load(place: ClassPlace): Promise<void> {
  const hint =
    'A class with a serializer must be exported by a module that can be imported where its instances arrive.';
  let exports: Record<string, unknown>;
  try {
    exports = await whileLoading(place.module, () => import(place.module));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DeserializationError(`Cannot import ${place.module} for its class ${place.export}: ${why}. ${hint}`, {
      cause,
    });
  }
  const made = exports[place.export];
  const found = typeof made === 'function' ? ownSerializer(made) : undefined;
  if (found === undefined) {
    throw new DeserializationError(`${place.module} exports no class '${place.export}' with a serializer. ${hint}`);
  }
  loaded.set(keyOf(place), found);
}

function keyOf({ module, export: name }: ClassPlace): string {
  return `${name} ${module}`;
}

/** Makes what stands alone, puts everything into its place, then makes instances and fills what holds others. */
function decode(encoded: Encoded): unknown {
  const [, , records, places] = encoded;
  if (!Array.isArray(places)) throw broken('it has no list of places');
  const made: unknown[] = [];
  const later = new Map<number, number[]>();
  for (let at = 0; at < records.length; at += 2) {
    const kind = records[at] as RecordKind;
    if (kind === 'instance') later.set(at / 2, []);
    made.push(kind === 'instance' ? undefined : make(kind, records[at + 1]));
  }
  for (let at = 0; at < places.length; at += 3) {
    const target = places[at + 2];
    if (typeof target !== 'number') {
      set(objectOf(places[at]), keyIn(places[at + 1]), target);
      continue;
    }
    if (!(target in made)) throw broken(`there is no record ${target}`);
    const waiting = later.get(target);
    if (waiting !== undefined) waiting.push(at);
    else set(objectOf(places[at]), keyIn(places[at + 1]), made[target]);
  }
  for (let at = 0; at < made.length; at++) {
    const content = records[at * 2 + 1];
    const waiting = later.get(at);
    if (waiting === undefined) {
      fill(records[at * 2] as RecordKind, made[at], content);
      continue;
    }
    const instance = makeInstance(content);
    for (const place of waiting) set(objectOf(places[place]), keyIn(places[place + 1]), instance);
  }
  return encoded[1];
}

function make(kind: RecordKind, content: unknown): unknown {
  switch (kind) {
    case 'url':
      return urlOf(textOf(objectOf(content)[0]));
    case 'file':
      return new File(textOf(objectOf(content)[0]), textOrNone(objectOf(content)[1]));
    case 'output':
      return new Output(textOf(objectOf(content)[0]), textOrNone(objectOf(content)[1]));
    case 'buffer':
      if (!(content instanceof Uint8Array)) throw broken('a Buffer has no bytes');
      return Buffer.from(content.buffer, content.byteOffset, content.byteLength);
    case 'error': {
      const { base, name, message, stack } = objectOf(content);
      return makeError(textOf(base), textOf(name), textOrNone(message), textOrNone(stack));
    }
    case 'map':
      return new Map();
    case 'set':
      return new Set();
    default:
      throw broken(`it holds a thing of unknown kind ${JSON.stringify(kind)}; was it sent by a newer Chervil?`);
  }
}

function fill(kind: RecordKind, made: unknown, content: unknown): void {
  switch (kind) {
    case 'map': {
      const list = listOf(content);
      for (let at = 0; at < list.length; at += 2)
        (made as Map<unknown, unknown>).set(elementOf(list, at), elementOf(list, at + 1));
      return;
    }
    case 'set': {
      const list = listOf(content);
      for (let at = 0; at < list.length; at++) (made as Set<unknown>).add(elementOf(list, at));
      return;
    }
    case 'error': {
      const { fields, cause, errors } = objectOf(content);
      const hasCause = Object.hasOwn(content as object, 'cause');
      const members = errors === undefined ? undefined : listOf(errors);
      fillError(made as Error, objectOf(fields), hasCause ? { value: cause } : undefined, members);
      return;
    }
    default:
  }
}

function makeInstance(content: unknown): unknown {
  const { module, export: name, data } = objectOf(content);
  const place = { module: textOf(module), export: textOf(name) };
  const found = loaded.get(keyOf(place));
  if (found === undefined) throw broken(`the class ${place.export} was not loaded`);
  try {
    return found.from(data);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DeserializationError(`The serializer of class ${place.export} threw in \`from\`: ${why}`, { cause });
  }
}

function urlOf(text: string): URL {
  if (!URL.canParse(text)) throw broken(`${JSON.stringify(text.slice(0, 80))} is no URL`);
  return new URL(text);
}

function objectOf(value: unknown): Record<string | number, unknown> {
  if (typeof value !== 'object' || value === null) throw broken('an object is missing in it');
  return value as Record<string | number, unknown>;
}

function listOf(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw broken('a list is missing in it');
  return value;
}

/** An element that must be there: a list with holes may pretend to any length. */
function elementOf(list: readonly unknown[], at: number): unknown {
  if (!(at in list)) throw broken('a list has holes');
  return list[at];
}

function keyIn(value: unknown): string | number {
  if (typeof value !== 'string' && typeof value !== 'number') throw broken('a key is missing in it');
  return value;
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw broken('a text is missing in it');
  return value;
}

function textOrNone(value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : textOf(value);
}

function broken(why: string): DeserializationError {
  return new DeserializationError(`Cannot read a value that arrived: ${why}.`);
}

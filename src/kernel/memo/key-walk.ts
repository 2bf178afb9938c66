// Walks through the arguments of a call and writes what counts of them. Used by key.ts alone, which says what that is.
// The bytes: key-bytes.ts; types: key-kinds.ts; the users' classes: key-hooks.ts; files: key-files.ts.
import { assertNever } from '../../base/assert.ts';
import { FileNotFoundError, MemoKeyError } from '../../task/errors.ts';
import type { File } from '../../task/file.ts';
import type { FunctionIdentity, MemoKeyOptions } from './key.ts';
import { encodingVersion, KeyBytes, tag } from './key-bytes.ts';
import { writeFile } from './key-files.ts';
import { hookOf } from './key-hooks.ts';
import { builtIn, bytesOf, className } from './key-kinds.ts';

/** A value that is being walked through: on a stack of our own, because values may be deeper than the machine's. */
interface Frame {
  readonly value: object;
  readonly kind: 'arguments' | 'array' | 'object' | 'map' | 'set' | 'hook';
  /** Members; of an object its property names, of a Map its keys and values by turns. */
  readonly members: readonly unknown[];
  next: number;
  /** Digests of the members so far, where order does not count. */
  readonly digests: string[] | undefined;
}

/** How many levels deep a cycle is looked for: every cycle gets there, and most values do not. */
const shallow = 32;
const nothingIgnored: ReadonlySet<number | string> = new Set();

/** Writes one call after the other; not two at once. */
export class Walker {
  options: MemoKeyOptions = {};
  readonly #bytes = new KeyBytes();
  readonly #frames: Frame[] = [];
  readonly #deep = new Set<object>();
  #ignored = nothingIgnored;

  clear(): void {
    this.#bytes.clear();
    this.#frames.length = 0;
    this.#deep.clear();
    this.options = {};
  }

  call(identity: FunctionIdentity, args: readonly unknown[]): string {
    this.#begin(identity, tag.arguments);
    // An ignored argument at the end is as if it were not given.
    let size = args.length;
    while (size > 0 && this.#ignored.has(size - 1)) size--;
    this.#bytes.count(size);
    this.#open(args, 'arguments', size === args.length ? args : args.slice(0, size));
    return this.#walk();
  }

  part(identity: FunctionIdentity, part: unknown): string {
    this.#begin(identity, tag.key);
    this.#ignored = nothingIgnored;
    this.#open([part], 'hook', [part]);
    return this.#walk();
  }

  #begin(identity: FunctionIdentity, what: number): void {
    const { ignore } = this.options;
    this.#ignored = ignore === undefined || ignore.length === 0 ? nothingIgnored : new Set(ignore);
    const bytes = this.#bytes;
    bytes.begin();
    bytes.byte(encodingVersion);
    bytes.byte(tag.function);
    bytes.string(identity.name);
    const source = this.options.identity === 'name' ? undefined : identity.source;
    if (source === undefined) {
      bytes.byte(tag.undefined);
    } else if (source.by === 'value') {
      bytes.string(source.key);
    } else {
      bytes.byte(tag.array);
      bytes.string(source.module);
      bytes.string(source.export);
      bytes.string(source.contentHash);
    }
    bytes.byte(what);
  }

  #walk(): string {
    const frames = this.#frames;
    try {
      for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) this.#step(frame);
    } catch (error) {
      if (error instanceof MemoKeyError || error instanceof FileNotFoundError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new MemoKeyError(`No memo key: reading ${this.#path()} failed: ${message}`, { cause: error });
    }
    return this.#bytes.end('hex');
  }

  /** Writes members of the innermost frame until one opens a frame of its own, or all are written. */
  #step(frame: Frame): void {
    const { members, kind, digests } = frame;
    const bytes = this.#bytes;
    const depth = this.#frames.length;
    while (frame.next < members.length) {
      const index = frame.next++;
      if (digests !== undefined && (kind === 'set' || index % 2 === 0)) {
        if (index > 0) digests.push(bytes.end('binary'));
        bytes.begin();
      }
      const member = members[index];
      if (kind === 'object') {
        bytes.string(member as string);
        this.#value((frame.value as Record<string, unknown>)[member as string]);
      } else if (kind === 'arguments' && this.#ignored.has(index)) {
        bytes.byte(tag.ignored);
      } else if (member === undefined && kind === 'array' && !(index in members)) {
        bytes.byte(tag.hole);
      } else {
        this.#value(member);
      }
      if (this.#frames.length > depth) return;
    }
    if (digests !== undefined) {
      if (members.length > 0) digests.push(bytes.end('binary'));
      for (const digest of digests.sort()) bytes.string(digest);
    }
    this.#frames.pop();
    if (depth === shallow + 1) this.#deep.clear();
    else if (depth > shallow) this.#deep.delete(frame.value);
  }

  #value(value: unknown): void {
    const bytes = this.#bytes;
    if (typeof value === 'string') {
      bytes.string(value);
    } else if (typeof value === 'number') {
      bytes.byte(tag.number);
      bytes.number(value);
    } else if (typeof value === 'object') {
      if (value === null) bytes.byte(tag.null);
      else this.#object(value);
    } else if (typeof value === 'boolean') {
      bytes.byte(value ? tag.true : tag.false);
    } else if (value === undefined) {
      bytes.byte(tag.undefined);
    } else if (typeof value === 'bigint') {
      bytes.byte(tag.bigint);
      bytes.string(value.toString(16));
    } else {
      throw this.#refusal(`a ${typeof value}`);
    }
  }

  #object(value: object): void {
    const prototype: object | null = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) {
      this.#plain(value);
    } else if (prototype === Array.prototype) {
      this.#array(value as unknown[]);
    } else {
      const hook = hookOf(prototype);
      if (hook === undefined) this.#builtIn(value, prototype);
      else this.#hooked(value, hook);
    }
  }

  #builtIn(value: object, prototype: object): void {
    const bytes = this.#bytes;
    const kind = builtIn(value, prototype);
    switch (kind) {
      case 'object':
        this.#plain(value);
        break;
      case 'array':
        this.#array(value as unknown[]);
        break;
      case 'map':
        bytes.byte(tag.map);
        bytes.count((value as Map<unknown, unknown>).size);
        this.#open(value, 'map', [...(value as Map<unknown, unknown>)].flat(1), []);
        break;
      case 'set':
        bytes.byte(tag.set);
        bytes.count((value as Set<unknown>).size);
        this.#open(value, 'set', [...(value as Set<unknown>)], []);
        break;
      case 'date':
        bytes.byte(tag.date);
        bytes.number((value as Date).getTime());
        break;
      case 'regexp':
        bytes.byte(tag.regexp);
        bytes.string((value as RegExp).source);
        bytes.string((value as RegExp).flags);
        break;
      case 'url':
        bytes.byte(tag.url);
        bytes.string((value as URL).href);
        break;
      case 'bytes':
        bytes.byte(tag.bytes);
        bytes.string(className(prototype));
        bytes.block(bytesOf(value as ArrayBufferView | ArrayBuffer));
        break;
      case 'file':
        writeFile(bytes, value as File, this.options.files ?? 'stat', () => capitalized(this.#path()));
        break;
      case 'error':
        this.#error(value as Error);
        break;
      case undefined:
        throw this.#refusal(
          value instanceof Promise ? 'a promise' : `an instance of ${className(prototype)}`,
          prototype,
        );
      default:
        assertNever(kind);
    }
  }

  #plain(value: object): void {
    let names = Object.keys(value);
    if (this.#ignored.size > 0 && this.#frames.length === 1) names = names.filter((name) => !this.#ignored.has(name));
    this.#bytes.byte(tag.object);
    this.#bytes.count(names.length);
    if (names.length > 0) this.#open(value, 'object', names.length > 1 ? names.sort() : names);
  }

  #array(value: unknown[]): void {
    this.#bytes.byte(tag.array);
    this.#bytes.count(value.length);
    if (value.length > 0) this.#open(value, 'array', value);
  }

  #error(error: Error): void {
    // `cause` and `errors` are not enumerable; where it was thrown does not count.
    const names = new Set(Object.keys(error));
    for (const name of ['cause', 'errors']) if (Object.hasOwn(error, name)) names.add(name);
    for (const name of ['name', 'message', 'stack']) names.delete(name);
    this.#bytes.byte(tag.error);
    this.#bytes.string(String(error.name));
    this.#bytes.string(String(error.message));
    this.#bytes.count(names.size);
    this.#open(error, 'object', [...names].sort());
  }

  #hooked(value: object, hook: (value: object) => unknown): void {
    const name = className(Object.getPrototypeOf(value));
    let part: unknown;
    try {
      part = hook(value);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new MemoKeyError(`No memo key: the memo hook for ${name} failed on ${this.#path()}: ${message}`, {
        cause: error,
      });
    }
    this.#bytes.byte(tag.hook);
    this.#bytes.string(name);
    this.#open(value, 'hook', [part]);
  }

  #open(value: object, kind: Frame['kind'], members: readonly unknown[], digests?: string[]): void {
    const frames = this.#frames;
    if (frames.length >= shallow) {
      if (this.#deep.size === 0) for (const frame of frames) this.#deep.add(frame.value);
      if (this.#deep.has(value)) throw this.#cycle(value);
      this.#deep.add(value);
    }
    frames.push({ value, kind, members, next: 0, digests });
  }

  /** By now the cycle was followed some way: its path is that of where it first closes. */
  #cycle(value: object): MemoKeyError {
    const seen = new Set<object>();
    let closes = this.#frames.length;
    for (const [index, frame] of this.#frames.entries()) {
      if (seen.has(frame.value)) {
        closes = index;
        break;
      }
      seen.add(frame.value);
    }
    const again = this.#frames[closes]?.value ?? value;
    const first = this.#frames.findIndex((frame) => frame.value === again);
    return new MemoKeyError(
      `No memo key: ${this.#path(closes)} is ${this.#path(first)} again, a cycle. ${instead(undefined, this.#ofKeyFunction)}`,
    );
  }

  #refusal(what: string, prototype?: object): MemoKeyError {
    return new MemoKeyError(`No memo key: ${this.#path()} is ${what}. ${instead(prototype, this.#ofKeyFunction)}`);
  }

  get #ofKeyFunction(): boolean {
    return this.#frames[0]?.kind === 'hook';
  }

  /** Where the walk is: `argument 0 .options.callback`. Of a long path the ends. */
  #path(depth = this.#frames.length): string {
    const [root, ...inner] = this.#frames.slice(0, depth).map(showStep);
    const shown = inner.length > 24 ? [...inner.slice(0, 12), ' … ', ...inner.slice(-12)] : inner;
    const start = this.#ofKeyFunction ? 'the answer of the key function' : (root ?? 'the arguments');
    return shown.length === 0 ? start : `${start} ${shown.join('')}`;
  }
}

function showStep({ kind, members, next }: Frame): string {
  const index = next - 1;
  switch (kind) {
    case 'arguments':
      return `argument ${index}`;
    case 'array':
      return `[${index}]`;
    case 'object': {
      const name = String(members[index]);
      return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
    }
    case 'map':
      return index % 2 === 0 ? `{key ${index / 2}}` : `{value ${(index - 1) / 2}}`;
    case 'set':
      return `{member ${index}}`;
    case 'hook':
      return '(by its memo hook)';
  }
}

function instead(prototype: object | undefined, ofKeyFunction: boolean): string {
  if (ofKeyFunction) return 'Let the key function answer with plain data, and at once.';
  const hook = prototype === undefined ? '' : `Register a hook with memoHook(${className(prototype)}, …), or give`;
  return `${hook || 'Give'} the app a key function: memo: (...args) => …, or leave the argument out with ignore.`;
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

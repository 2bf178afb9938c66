// The memo key of a call: a SHA-256 over the function's identity and the arguments, the same in every run.
// The kernel's memo elaborator asks for it when all arguments are there. The work is done in key-walk.ts.
import type { FileIdentity } from './key-files.ts';
import { Walker } from './key-walk.ts';

/** Which function a call calls. A FunctionByValue can stand as `source`. */
export interface FunctionIdentity {
  /** The app's name. */
  readonly name: string;
  /**
   * What it does: the key of its text and captures, or its module with a hash of the module's content, which the caller
   * computes. `undefined` for what has no source here, such as a Python function.
   */
  readonly source:
    | { readonly by: 'value'; readonly key: string }
    | { readonly by: 'reference'; readonly module: string; readonly export: string; readonly contentHash: string }
    | undefined;
}

/** What counts in a memo key. */
export interface MemoKeyOptions {
  /**
   * Arguments that do not count: by index, or the name of a property of arguments that are plain objects (of these
   * themselves, not of what they contain). One that a call does not have is no error.
   * @default []
   */
  readonly ignore?: readonly (number | string)[];
  /**
   * How local input files count beside their URL.
   * @default 'stat'
   */
  readonly files?: FileIdentity;
  /**
   * `'source'`: an edited function computes anew. `'name'`: Parsl's rule, a function is its name.
   * @default 'source'
   */
  readonly identity?: 'source' | 'name';
}

/**
 * The memo key of a call, 64 hex digits. Calls with the same key are the same call.
 *
 * What counts: numbers as `Object.is` has it (0 is not -0, NaN is NaN), strings by their characters, dates by time, arrays
 * and plain objects by their own enumerable string-keyed members (the order of keys does not matter, a property that is
 * `undefined` counts), Map and Set without their order, typed arrays and buffers by type and bytes, regular expressions,
 * URLs, errors (without their stack), {@link File}s by URL and `options.files`, outputs by URL, and instances of classes
 * that have a `memoHook`. Two references to one object count as two equal objects, and are read twice.
 *
 * Throws MemoKeyError, with the path of the part, for everything else (functions, symbols, other instances, cycles), and
 * FileNotFoundError for a local input file that is not there.
 *
 * @example
 * memoKey({ name: 'simulate', source: undefined }, [{ temperature: 300 }, file('start.xyz')]);
 */
export function memoKey(identity: FunctionIdentity, args: readonly unknown[], options: MemoKeyOptions = {}): string {
  return withWalker(options, (walker) => walker.call(identity, args));
}

/**
 * The memo key of a call for which the app's own key function answered `part`. Otherwise as {@link memoKey}; never equal to
 * a key of it.
 */
export function memoKeyOf(identity: FunctionIdentity, part: unknown, options: MemoKeyOptions = {}): string {
  return withWalker(options, (walker) => walker.part(identity, part));
}

/** One is kept; a hook that asks for another memo key inside makes its own. */
let spare: Walker | undefined;

function withWalker(options: MemoKeyOptions, action: (walker: Walker) => string): string {
  const walker = spare ?? new Walker();
  spare = undefined;
  try {
    walker.options = options;
    return action(walker);
  } finally {
    walker.clear();
    spare = walker;
  }
}

// How much a pickle may ask of us, and what is said when it asks for more. Every limit is checked before memory is taken.

/** Upper bounds for reading one pickle. */
export interface PickleLimits {
  /** Length of the input in bytes. @default 1073741824 */
  readonly maxBytes: number;
  /** Containers within containers, so that code that walks the value may use recursion. @default 5000 */
  readonly maxDepth: number;
  /** Lists, dicts, tuples, sets, byte strings and objects: what costs memory beyond its bytes. @default 2000000 */
  readonly maxContainers: number;
  /** Values on the pickle's stack at one time. @default 4000000 */
  readonly maxStack: number;
  /** Values a pickle remembers for later reference. @default 4000000 */
  readonly maxMemo: number;
  /** Entries of one dict. At most 16000000, a JavaScript Map's own limit being 2**24. @default 8000000 */
  readonly maxDictEntries: number;
  /** Bytes of one text. At most 268435456. @default 268435456 */
  readonly maxTextBytes: number;
  /** Bytes of one int. At most 1048576. Decimal ints (protocols 0 and 1) have 4300 digits at most, as in Python. @default 65536 */
  readonly maxIntegerBytes: number;
  /** Names of classes and functions; 0 admits plain data only. @default 1000000 */
  readonly maxGlobals: number;
}

/** What applies where the caller says nothing. */
export const defaultPickleLimits: PickleLimits = Object.freeze({
  maxBytes: 2 ** 30,
  maxDepth: 5_000,
  maxContainers: 2_000_000,
  maxStack: 4_000_000,
  maxMemo: 4_000_000,
  maxDictEntries: 8_000_000,
  maxTextBytes: 2 ** 28,
  maxIntegerBytes: 65_536,
  maxGlobals: 1_000_000,
});

/**
 * Why a pickle was not read.
 * - `TRUNCATED`: it ends in the middle; more bytes could make it whole.
 * - `MALFORMED`: no pickler writes such bytes.
 * - `UNSUPPORTED`: a legal pickle that needs what data alone cannot give (persistent ids, extension codes, out-of-band buffers).
 * - `LIMIT`: it asks for more than {@link PickleLimits} allow.
 * - `TRAILING`: bytes follow its end (only `decode`, not `decodePrefix`).
 */
export interface PickleError {
  readonly code: 'TRUNCATED' | 'MALFORMED' | 'UNSUPPORTED' | 'LIMIT' | 'TRAILING';
  /** Where in the input, in bytes from its start. */
  readonly offset: number;
  /** A sentence for a log, offset included. */
  readonly message: string;
}

/** Thrown inside the reader and caught at its border; never seen outside. It has no stack: hostile input must stay cheap. */
export class PickleFault {
  readonly code: PickleError['code'];
  readonly what: string;
  constructor(code: PickleError['code'], what: string) {
    this.code = code;
    this.what = what;
  }
}

/** Says that a limit was passed. */
export function overLimit(name: keyof PickleLimits, limits: PickleLimits): PickleFault {
  return new PickleFault(
    'LIMIT',
    `more than ${name} = ${limits[name]} allows; raise that limit if the sender is trusted`,
  );
}

const ceilings: Partial<PickleLimits> = { maxDictEntries: 16_000_000, maxTextBytes: 2 ** 28, maxIntegerBytes: 2 ** 20 };

let lastGiven: Partial<PickleLimits> | undefined;
let lastComplete = defaultPickleLimits;

/** Fills in the defaults. The same object given again costs nothing, so keep one and do not change it. */
export function completeLimits(given: Partial<PickleLimits> | undefined): PickleLimits {
  if (given === undefined) return defaultPickleLimits;
  if (given === lastGiven) return lastComplete;
  const complete: Record<string, number> = { ...defaultPickleLimits };
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined) complete[name] = Math.min(value, ceilings[name as keyof PickleLimits] ?? value);
  }
  lastGiven = given;
  lastComplete = complete as unknown as PickleLimits;
  return lastComplete;
}

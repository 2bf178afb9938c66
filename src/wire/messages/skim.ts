// Looks at the top level of a pickled dict without building it: which keys, what kind of value, from where to where.
// The task and result readers use it, so that an interchange never builds what it only passes on. Whatever is unusual
// (old protocols with named memo entries, references to containers, huge stacks) is left to the full codec.

/** What stands under a key. `other`: any further data; `object`: something with a class or function in it. */
export const kind = {
  none: 0,
  int: 1,
  float: 2,
  text: 3,
  bytes: 4,
  bool: 5,
  null: 6,
  dict: 7,
  other: 8,
  object: 9,
  mark: 10,
  emptyDict: 11,
  list: 12,
} as const;

const mostDeep = 512;
const mostMemo = 4096;
/** Places in a pickle are kept in 31 bits; a longer one is for the full codec. */
export const mostPickleBytes = 2 ** 31 - 1;

/** Whether the FRAME at `at` does not claim more than there is; then Python reads it. */
export function isFrame(bytes: Uint8Array, at: number): boolean {
  for (let high = at + 5; high < at + 9; high++) if (bytes[high] !== 0) return false;
  return uint32(bytes, at + 1) <= bytes.length - at - 9;
}

/**
 * Skims one pickle after the other; what it found stands in its fields until the next. Its stack machine knows where
 * each value starts and ends and nothing else.
 *
 * @example
 * const skim = new Skim();
 * if (skim.read(frame)) for (let at = 0; at < skim.count; at++) skim.keyIs(at, taskIdKey);
 */
export class Skim {
  /** Entries of the dict. Entry `n` has its key at `2 n` and its value at `2 n + 1` of these. */
  count = 0;
  /** Where the value of the last entry ends, and the pickle's STOP stands. */
  stopAt = 0;
  /** Where the dict itself begins, behind PROTO and FRAME. */
  bodyAt = 0;
  /** True when the pickle refers to its memo: then its parts cannot be moved. */
  hasReferences = false;
  /** True when it has classes or functions in it. Envelopes of tasks and results must not. */
  hasObjects = false;
  /** How many FRAMEs it has. */
  frames = 0;

  #bytes: Uint8Array = new Uint8Array(0);
  readonly #kinds = new Uint8Array(mostDeep);
  /** Where the opcode that begins a value stands, and from where to where the content of a text or byte string lies. */
  readonly #forms = new Int32Array(mostDeep);
  readonly #starts = new Int32Array(mostDeep);
  readonly #ends = new Int32Array(mostDeep);
  readonly #numbers = new Float64Array(mostDeep);
  #size = 0;
  readonly #memoKinds = new Uint8Array(mostMemo);
  readonly #memoStarts = new Int32Array(mostMemo);
  readonly #memoEnds = new Int32Array(mostMemo);
  #memoSize = 0;

  keyKind(entry: number): number {
    return this.#kinds[1 + 2 * entry] as number;
  }

  valueKind(entry: number): number {
    return this.#kinds[2 + 2 * entry] as number;
  }

  /** The value as a number, for the kinds `int`, `float` and `bool`. */
  valueNumber(entry: number): number {
    return this.#numbers[2 + 2 * entry] as number;
  }

  /** The content of a value of the kind `bytes`: a view of what was read. */
  valueBytes(entry: number): Uint8Array {
    return this.#bytes.subarray(this.#starts[2 + 2 * entry], this.#ends[2 + 2 * entry]);
  }

  /** From where to where that content lies in what was read. */
  valueStart(entry: number): number {
    return this.#starts[2 + 2 * entry] as number;
  }

  valueEnd(entry: number): number {
    return this.#ends[2 + 2 * entry] as number;
  }

  /** Where the pickled form of the value begins, opcode included. */
  formStart(entry: number): number {
    return this.#forms[2 + 2 * entry] as number;
  }

  /** Where the pickled form of the value ends. Only known once `read` gave true. */
  formEnd(entry: number): number {
    return entry + 1 < this.count ? (this.#forms[3 + 2 * entry] as number) : this.stopAt - 1;
  }

  /** Whether the key of this entry is the text with these bytes. */
  keyIs(entry: number, text: Uint8Array): boolean {
    return this.#isText(1 + 2 * entry, text);
  }

  valueIs(entry: number, text: Uint8Array): boolean {
    return this.#isText(2 + 2 * entry, text);
  }

  #isText(place: number, text: Uint8Array): boolean {
    if (this.#kinds[place] !== kind.text) return false;
    const start = this.#starts[place] as number;
    if ((this.#ends[place] as number) - start !== text.length) return false;
    const bytes = this.#bytes;
    for (let at = 0; at < text.length; at++) if (bytes[start + at] !== text[at]) return false;
    return true;
  }

  /**
   * Skims a pickle. False: unusual or broken, the full codec must say which. Entries read up to there can still be
   * asked for, as a broken message may have a readable task id.
   */
  read(bytes: Uint8Array): boolean {
    const isWhole = this.#run(bytes);
    // Place 0 is the dict, then keys and values in turn.
    this.count = this.#kinds[0] === kind.dict || this.#kinds[0] === kind.emptyDict ? (this.#size - 1) >> 1 : 0;
    return isWhole;
  }

  #run(bytes: Uint8Array): boolean {
    const kinds = this.#kinds;
    const forms = this.#forms;
    const starts = this.#starts;
    const ends = this.#ends;
    const length = bytes.length;
    this.#bytes = bytes;
    this.#size = 0;
    kinds[0] = kind.none;
    this.hasReferences = false;
    this.hasObjects = false;
    this.frames = 0;
    this.#memoSize = 0;
    if (length > mostPickleBytes) return false;
    let isSound = true;
    // The opening: PROTO, FRAME, EMPTY_DICT, MEMOIZE, MARK; or one entry without MARK.
    let at = 0;
    if (bytes[0] === 0x80) {
      if ((bytes[1] as number) > 5) return false;
      at = 2;
    }
    if (bytes[at] === 0x95) {
      // A broken frame is skimmed all the same: the task's id may be readable.
      isSound = isFrame(bytes, at);
      at += 9;
      this.frames = 1;
    }
    this.bodyAt = at;
    if (bytes[at++] !== 0x7d) return false;
    kinds[0] = kind.dict;
    let size = 1;
    this.#size = 1;
    if (bytes[at] === 0x94) {
      this.#remember(kind.other, 0, 0);
      at++;
    }
    let hasMark = false;
    if (bytes[at] === 0x28) {
      hasMark = true;
      at++;
    }
    // From here on the machine runs at the level of that dict; marks of inner containers lie on the stack.
    while (at < length) {
      const opcode = bytes[at] as number;
      const startAt = at++;
      let made: number = kind.other;
      let form = startAt;
      let from = 0;
      let to = 0;
      switch (opcode) {
        case 0x94: {
          // MEMOIZE: the value on top.
          if (size < 2) return false;
          const top = size - 1;
          if (kinds[top] === kind.mark) return false;
          if (!this.#remember(kinds[top] as number, starts[top] as number, ends[top] as number)) return false;
          continue;
        }
        case 0x95: // FRAME
          isSound = isSound && isFrame(bytes, startAt);
          at += 8;
          this.frames++;
          continue;
        case 0x8c: // SHORT_BINUNICODE
          made = kind.text;
          from = at + 1;
          to = from + (bytes[at] as number);
          at = to;
          if (!isAscii(bytes, from, to)) return false;
          break;
        case 0x58: // BINUNICODE
          made = kind.text;
          from = at + 4;
          to = from + uint32(bytes, at);
          at = to;
          if (!isAscii(bytes, from, to)) return false;
          break;
        case 0x43: // SHORT_BINBYTES
          made = kind.bytes;
          from = at + 1;
          to = from + (bytes[at] as number);
          at = to;
          break;
        case 0x42: // BINBYTES
          made = kind.bytes;
          from = at + 4;
          to = from + uint32(bytes, at);
          at = to;
          break;
        case 0x4b: // BININT1
          made = kind.int;
          this.#numbers[size] = bytes[at] as number;
          at += 1;
          break;
        case 0x4d: // BININT2
          made = kind.int;
          this.#numbers[size] = (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
          at += 2;
          break;
        case 0x4a: // BININT
          made = kind.int;
          this.#numbers[size] = uint32(bytes, at) | 0;
          at += 4;
          break;
        case 0x8a: {
          // LONG1, as far as a number is exact.
          const width = bytes[at] as number;
          if (width > 6 || at + 1 + width > length) return false;
          let value = 0;
          for (let digit = width; digit > 0; digit--) value = value * 256 + (bytes[at + digit] as number);
          if (width > 0 && (bytes[at + width] as number) >= 0x80) value -= 256 ** width;
          made = kind.int;
          this.#numbers[size] = value;
          at += 1 + width;
          break;
        }
        case 0x47: // BINFLOAT
          if (at + 8 > length) return false;
          made = kind.float;
          this.#numbers[size] = new DataView(bytes.buffer, bytes.byteOffset + at, 8).getFloat64(0);
          at += 8;
          break;
        case 0x4e: // NONE
          made = kind.null;
          break;
        case 0x88: // NEWTRUE
        case 0x89: // NEWFALSE
          made = kind.bool;
          this.#numbers[size] = opcode === 0x88 ? 1 : 0;
          break;
        case 0x7d: // EMPTY_DICT
          made = kind.emptyDict;
          break;
        case 0x5d: // EMPTY_LIST
          made = kind.list;
          break;
        case 0x29: // EMPTY_TUPLE
          break;
        case 0x28: // MARK
          made = kind.mark;
          break;
        case 0x68: // BINGET
        case 0x6a: {
          // LONG_BINGET. Only texts: a container met twice is for the full codec.
          const index = opcode === 0x68 ? (bytes[at] as number) : uint32(bytes, at);
          at += opcode === 0x68 ? 1 : 4;
          this.hasReferences = true;
          if (index >= this.#memoSize || this.#memoKinds[index] !== kind.text) return false;
          made = kind.text;
          from = this.#memoStarts[index] as number;
          to = this.#memoEnds[index] as number;
          break;
        }
        case 0x85: // TUPLE1
        case 0x86: // TUPLE2
        case 0x87: // TUPLE3
        case 0x93: // STACK_GLOBAL
        case 0x52: // REDUCE
        case 0x81: // NEWOBJ
        case 0x62: // BUILD
        case 0x73: // SETITEM
        case 0x61: {
          // APPEND. Each takes so many values off the stack and leaves one.
          const takes = opcode === 0x85 ? 1 : opcode === 0x87 || opcode === 0x73 ? 3 : 2;
          if (opcode === 0x73 && size === 3 && !hasMark) {
            // The one entry of the outermost dict.
            if (bytes[at] !== 0x2e || !this.#areKeys(1, size)) return false;
            this.#size = size;
            this.stopAt = at;
            return isSound;
          }
          const first = size - takes;
          if (first < 1) return false;
          let isObject = opcode === 0x93 || opcode === 0x52 || opcode === 0x81 || opcode === 0x62;
          if (isObject) this.hasObjects = true;
          for (let place = first; place < size; place++) {
            if (kinds[place] === kind.mark) return false;
            if (kinds[place] === kind.object) isObject = true;
          }
          if (opcode === 0x73) {
            if (kinds[first] !== kind.dict && kinds[first] !== kind.emptyDict) return false;
            if (!this.#areKeys(first + 1, size)) return false;
          }
          if (opcode === 0x61 && kinds[first] !== kind.list) return false;
          made = isObject ? kind.object : opcode === 0x73 ? kind.dict : opcode === 0x61 ? kind.list : kind.other;
          form = forms[first] as number;
          size = first;
          break;
        }
        case 0x75: // SETITEMS
        case 0x65: // APPENDS
        case 0x74: {
          // TUPLE. All take what lies above the last mark.
          let place = size - 1;
          let isObject = false;
          while (place > 0 && kinds[place] !== kind.mark) {
            if (kinds[place] === kind.object) isObject = true;
            place--;
          }
          if (place === 0) {
            // The end of the outermost dict.
            if (opcode !== 0x75 || !hasMark || (size & 1) === 0 || bytes[at] !== 0x2e) return false;
            if (!this.#areKeys(1, size)) return false;
            this.#size = size;
            this.stopAt = at;
            return isSound;
          }
          if (opcode === 0x74) {
            made = isObject ? kind.object : kind.other;
            form = forms[place] as number;
            size = place;
            break;
          }
          const container = place - 1;
          if (container < 1) return false;
          const isDict = kinds[container] === kind.dict || kinds[container] === kind.emptyDict;
          if (opcode === 0x75 && (!isDict || (size - place) % 2 === 0)) return false;
          if (opcode === 0x75 && !this.#areKeys(place + 1, size)) return false;
          if (opcode === 0x65 && kinds[container] !== kind.list) return false;
          made = isObject ? kind.object : opcode === 0x75 ? kind.dict : kind.list;
          form = forms[container] as number;
          size = container;
          break;
        }
        default:
          return false;
      }
      if (at > length || size >= mostDeep) return false;
      kinds[size] = made;
      forms[size] = form;
      starts[size] = from;
      ends[size] = to;
      size++;
      this.#size = size;
    }
    return false;
  }

  /** Whether every second place from `first` on can be a key for sure. A list as a key ends whoever unpickles it. */
  #areKeys(first: number, end: number): boolean {
    for (let place = first; place < end; place += 2) {
      const what = this.#kinds[place] as number;
      if (what < kind.int || what > kind.null) return false;
    }
    return true;
  }

  #remember(what: number, start: number, end: number): boolean {
    if (this.#memoSize >= mostMemo) return false;
    this.#memoKinds[this.#memoSize] = what;
    this.#memoStarts[this.#memoSize] = start;
    this.#memoEnds[this.#memoSize] = end;
    this.#memoSize++;
    return true;
  }
}

/** Text that is not plain ASCII is left to the codec, which knows what Python refuses. */
function isAscii(bytes: Uint8Array, from: number, to: number): boolean {
  if (to > bytes.length) return false;
  for (let at = from; at < to; at++) if ((bytes[at] as number) > 127) return false;
  return true;
}

function uint32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

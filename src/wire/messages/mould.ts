// What messages of one kind have in common. A program writes its pickled dicts in one way: they differ in the id of a task and
// in what is packed for it, and in nothing else. So most of them need not be skimmed, only held against one that was.
// The readers of tasks and of results (task.ts, item.ts) keep a mould each.
import { isFrame, kind, mostPickleBytes, type Skim } from './skim.ts';

/** No mould is larger: so many bytes at most are compared in vain with a message that does not fit. */
const mostMouldBytes = 512;
/** So many sound messages in a row must not fit before another one is learnt from. */
const mostMisfits = 16;

/**
 * The bytes of a pickled dict around a whole number and a byte string. In a pickle that fits, everything that a {@link Skim}
 * would find is as in the one that was learnt from, except these two and where what stands behind them lies.
 *
 * @example
 * if (mould.fits(frame)) use(mould.number, frame.subarray(mould.start, mould.end));
 * else if (skim.read(frame)) mould.learn(frame, skim, 0, 2);
 */
export class Mould {
  /** The number in what was found to fit. */
  number = 0;
  /** From where to where the content of the byte string lies in it. */
  start = 0;
  end = 0;
  /** Where the dict begins. */
  bodyAt = 0;

  #protocol = -1;
  #front: Uint8Array = new Uint8Array(0);
  #middle: Uint8Array = new Uint8Array(0);
  #back: Uint8Array = new Uint8Array(0);
  #misfits = mostMisfits;

  /** Whether this is such a pickle, and nothing behind it. Finds the number and the byte string. */
  fits(bytes: Uint8Array): boolean {
    const length = bytes.length;
    const front = this.#front;
    const middle = this.#middle;
    const back = this.#back;
    let at = this.bodyAt;
    if (bytes[1] !== this.#protocol || bytes[0] !== 0x80 || at + front.length + 5 > length) return false;
    if (length > mostPickleBytes) return false;
    if (at > 2 && (bytes[2] !== 0x95 || !isFrame(bytes, 2))) return false;
    for (let index = 0; index < front.length; index++, at++) if (bytes[at] !== front[index]) return false;
    const width = widthOf(bytes[at] as number);
    if (width === 0) return false;
    this.number = numberAt(bytes, at + 1, width);
    at += 1 + width;
    if (at + middle.length + 2 + back.length > length) return false;
    for (let index = 0; index < middle.length; index++, at++) if (bytes[at] !== middle[index]) return false;
    // SHORT_BINBYTES, BINBYTES
    if (bytes[at] === 0x43) {
      this.start = at + 2;
      this.end = this.start + (bytes[at + 1] as number);
    } else if (bytes[at] === 0x42) {
      this.start = at + 5;
      this.end = this.start + (numberAt(bytes, at + 1, 4) >>> 0);
    } else return false;
    at = this.end;
    if (at + back.length !== length) return false;
    for (let index = 0; index < back.length; index++, at++) if (bytes[at] !== back[index]) return false;
    this.#misfits = 0;
    return true;
  }

  /**
   * Takes its form from a pickle that was skimmed and is sound, with the number and the byte string in these entries. One that
   * does not lend itself to it is not learnt from, nor is one before which fewer than sixteen in a row did not fit.
   *
   * What fits has references to its memo where that one has: whoever cannot do with these must look before.
   *
   * @returns whether it was learnt
   */
  learn(bytes: Uint8Array, skim: Skim, numberEntry: number, bytesEntry: number): boolean {
    if (this.#misfits < mostMisfits) {
      this.#misfits++;
      return false;
    }
    const { bodyAt, stopAt, frames, hasObjects } = skim;
    const isFramed = frames === 1 && bodyAt === 11;
    if (bytes[0] !== 0x80 || hasObjects || !(isFramed || (frames === 0 && bodyAt === 2))) return false;
    if (stopAt + 1 !== bytes.length || skim.valueKind(bytesEntry) !== kind.bytes) return false;
    const frontEnd = skim.formStart(numberEntry);
    const width = widthOf(bytes[frontEnd] as number);
    const middleStart = frontEnd + 1 + width;
    const middleEnd = skim.formStart(bytesEntry);
    const backStart = skim.valueEnd(bytesEntry);
    const fixed = middleEnd - bodyAt + bytes.length - backStart;
    if (width === 0 || middleEnd < middleStart || fixed > mostMouldBytes) return false;
    this.#protocol = bytes[1] as number;
    this.#front = new Uint8Array(bytes.subarray(bodyAt, frontEnd));
    this.#middle = new Uint8Array(bytes.subarray(middleStart, middleEnd));
    this.#back = new Uint8Array(bytes.subarray(backStart));
    this.bodyAt = bodyAt;
    this.#misfits = 0;
    return true;
  }
}

/** How many bytes the number behind this opcode has: BININT1, BININT2, BININT; 0 for any other. */
function widthOf(opcode: number): 0 | 1 | 2 | 4 {
  return opcode === 0x4a ? 4 : opcode === 0x4d ? 2 : opcode === 0x4b ? 1 : 0;
}

function numberAt(bytes: Uint8Array, at: number, width: 1 | 2 | 4): number {
  const low = bytes[at] as number;
  if (width === 1) return low;
  const two = low | ((bytes[at + 1] as number) << 8);
  return width === 2 ? two : two | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
}

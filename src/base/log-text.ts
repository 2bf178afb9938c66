// Texts that a log says over and over, with other numbers each time: their words are made bytes once, and the numbers are
// written between them digit by digit. Used where every task has such a line.
import { Buffer } from 'node:buffer';

/** So many bytes at most has a number. */
const longestNumber = 24;

/**
 * The words of a text with up to two numbers in it.
 *
 * @example
 * const found = new Wording('Found ', ' of ', ' files');
 * String(found.with(2, 3)); // 'Found 2 of 3 files'
 */
export class Wording {
  /** The words before, between and behind the numbers, as bytes. */
  readonly pieces: readonly Uint8Array[];
  /** So many bytes at most has the text. */
  readonly mostBytes: number;

  /** @param pieces - one more than there are numbers, three at most */
  constructor(...pieces: readonly string[]) {
    this.pieces = pieces.map((piece) => new Uint8Array(Buffer.from(piece)));
    this.mostBytes = this.pieces.reduce((sum, piece) => sum + piece.length + longestNumber, 0);
  }

  with(first: number = 0, second: number = 0): LogText {
    return new LogText(this, first, second);
  }
}

/** A text in the form in which a log file takes it fastest. */
export class LogText {
  readonly wording: Wording;
  readonly first: number;
  readonly second: number;

  constructor(wording: Wording, first: number, second: number) {
    this.wording = wording;
    this.first = first;
    this.second = second;
  }

  /** Writes the text, of which there must be room for all, and returns where it ends. */
  writeTo(target: Uint8Array, at: number): number {
    const { pieces } = this.wording;
    let end = putBytes(target, at, pieces[0] as Uint8Array);
    for (let index = 1; index < pieces.length; index++) {
      end = putNumber(target, end, index === 1 ? this.first : this.second);
      end = putBytes(target, end, pieces[index] as Uint8Array);
    }
    return end;
  }

  toString(): string {
    const bytes = Buffer.allocUnsafe(this.wording.mostBytes);
    return bytes.toString('utf8', 0, this.writeTo(bytes, 0));
  }
}

/** A call to copy costs as much as so many bytes one by one, measured with the words of the log's usual lines. */
const fewBytes = 16;

/** Copies all of `bytes` and returns where they end. */
export function putBytes(target: Uint8Array, at: number, bytes: Uint8Array): number {
  if (bytes.length > fewBytes) target.set(bytes, at);
  else for (let from = 0; from < bytes.length; from++) target[at + from] = bytes[from] as number;
  return at + bytes.length;
}

/** The digits of a number, and where they end. */
function putNumber(target: Uint8Array, at: number, value: number): number {
  if (value >>> 0 !== value) {
    const text = String(value);
    for (let from = 0; from < text.length; from++) target[at + from] = text.charCodeAt(from);
    return at + text.length;
  }
  let digits = 1;
  for (let least = 10; least <= value; least *= 10) digits++;
  // `>>> 0` keeps all of it in whole numbers, as it fits 32 bits: dividing and rounding fractions takes several times as long.
  let rest = value >>> 0;
  for (let place = at + digits - 1; place >= at; place--) {
    const tenth = (rest / 10) >>> 0;
    target[place] = 0x30 + ((rest - tenth * 10) | 0);
    rest = tenth;
  }
  return at + digits;
}

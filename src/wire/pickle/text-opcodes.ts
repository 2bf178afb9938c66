// Numbers and texts as protocols 0 and 1 spell them, and ints of any length. Used by the reader; pure functions of bytes and lines.
import { PickleFault } from './limits.ts';
import type { PickleValue } from './values.ts';

/** A little-endian two's complement int of `length` bytes, the caller having checked that they are there. */
export function integerFromBytes(bytes: Buffer, start: number, length: number): PickleValue {
  if (length <= 6) return length === 0 ? 0 : bytes.readIntLE(start, length);
  const reversed = Buffer.from(bytes.subarray(start, start + length)).reverse();
  const unsigned = BigInt(`0x${reversed.toString('hex')}`);
  return smallest(reversed[0]! > 127 ? unsigned - (1n << BigInt(8 * length)) : unsigned);
}

/** The bytes that {@link integerFromBytes} reads back, as few as CPython writes. */
export function integerToBytes(value: bigint): Uint8Array {
  const magnitude = value < 0n ? -value - 1n : value;
  const hex = magnitude.toString(16);
  // One bit more than the magnitude has, for the sign.
  const bits = hex.length * 4 - Math.clz32(Number.parseInt(hex[0]!, 16)) + 28;
  const length = Math.floor(bits / 8) + 1;
  const bytes = Buffer.from(hex.padStart(length * 2, '0'), 'hex').reverse();
  if (value < 0n) for (let index = 0; index < length; index++) bytes[index] = ~bytes[index]! & 0xff;
  return bytes;
}

/** INT: also how protocols 0 and 1 spell booleans. */
export function readIntegerLine(line: string): PickleValue {
  if (line === '00') return false;
  if (line === '01') return true;
  return decimalInteger(line);
}

/** A decimal int of at most 4300 digits. */
export function decimalInteger(digits: string): PickleValue {
  if (digits.length > 4_301) throw new PickleFault('LIMIT', 'a decimal int of more than 4300 digits');
  const match = /^\s*([+-]?)(\d+)\s*$/.exec(digits);
  if (!match) throw new PickleFault('MALFORMED', 'an int that is no number');
  const value = BigInt(match[2]!);
  return smallest(match[1] === '-' ? -value : value);
}

/** FLOAT, as Python's `repr` of a float. */
export function readFloatLine(line: string): number {
  const text = line.trim();
  const special = /^([+-]?)(nan|inf(?:inity)?)$/i.exec(text);
  if (special) {
    const value = special[2]!.toLowerCase() === 'nan' ? Number.NaN : Number.POSITIVE_INFINITY;
    return special[1] === '-' ? -value : value;
  }
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text))
    throw new PickleFault('MALFORMED', 'a float that is no number');
  return Number(text);
}

const escapes: Readonly<Record<string, string>> = {
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** STRING: a Python 2 string literal in quotes. ASCII only, as Python 3 reads it. */
export function unescapeBytes(line: string): string {
  const quoted = line.trimEnd();
  const quote = quoted[0];
  if (quoted.length < 2 || (quote !== "'" && quote !== '"') || !quoted.endsWith(quote))
    throw new PickleFault('MALFORMED', 'a string without quotes');
  const text = quoted
    .slice(1, -1)
    .replace(/\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([\\'"abfnrtv])|([\s\S]?))/g, (whole, hex, octal, letter, other) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
      if (letter !== undefined) return escapes[letter]!;
      if (other === '' || other === 'x') throw new PickleFault('MALFORMED', 'a string with a broken escape');
      return whole;
    });
  if (!/^[\0-\x7f]*$/.test(text)) throw new PickleFault('UNSUPPORTED', 'a Python 2 string with bytes above 127');
  return text;
}

/** UNICODE: one character a byte, others as `\uXXXX` or `\UXXXXXXXX`. */
export function unescapeText(line: string): string {
  // A backslash is an escape only if an odd number of them stand in a row; picklers write a real one as \u005c.
  return line.replace(
    /(\\+)(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[uU])?/g,
    (whole, slashes: string, code16: string | undefined) => {
      if (code16 === undefined || slashes.length % 2 === 0) return whole;
      const code = Number.parseInt(code16.slice(1), 16);
      if (Number.isNaN(code) || code > 0x10ffff) throw new PickleFault('MALFORMED', 'a text with a broken escape');
      return slashes.slice(1) + String.fromCodePoint(code);
    },
  );
}

function smallest(value: bigint): PickleValue {
  return value >= -9_007_199_254_740_991n && value <= 9_007_199_254_740_991n ? Number(value) : value;
}

// Texts of pickles: UTF-8 in which Python also writes lone surrogates ("surrogatepass"). Used by the reader and the writer.
import { PickleFault } from './limits.ts';

// Field names come again with every message. A text found here needs no new string, and Map lookups find its hash ready.
// Bounded: 1,024 texts of at most 24 characters.
const knownSlots = 1_024;
const knownLength = 24;
const known: string[] = new Array<string>(knownSlots).fill('');

/** The text in `bytes[start..end)`. Throws {@link PickleFault} when the bytes are not a Python text. */
export function readText(bytes: Buffer, start: number, end: number): string {
  const length = end - start;
  if (length > knownLength) return readLongText(bytes, start, end);
  let hash = length;
  for (let index = start; index < end; index++) {
    const byte = bytes[index]!;
    if (byte > 127) return readLongText(bytes, start, end);
    hash = (Math.imul(hash, 31) + byte) | 0;
  }
  const slot = (hash ^ (hash >>> 15)) & (knownSlots - 1);
  const candidate = known[slot]!;
  if (candidate.length === length) {
    let index = 0;
    while (index < length && candidate.charCodeAt(index) === bytes[start + index]) index++;
    if (index === length) return candidate;
  }
  const text = bytes.toString('latin1', start, end);
  known[slot] = text;
  return text;
}

function readLongText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end);
  // U+FFFD is what broken bytes become; it may also stand there rightly, so look closer only then.
  return text.includes('\ufffd') ? readSurrogates(bytes, start, end) : text;
}

/** UTF-8 read by hand: strict, except that surrogates may stand alone. */
function readSurrogates(bytes: Buffer, start: number, end: number): string {
  const parts: string[] = [];
  let units: number[] = [];
  for (let index = start; index < end; ) {
    const first = bytes[index]!;
    const length =
      first < 0x80
        ? 1
        : first >= 0xc2 && first < 0xe0
          ? 2
          : first >= 0xe0 && first < 0xf0
            ? 3
            : first >= 0xf0 && first < 0xf5
              ? 4
              : 0;
    if (length === 0 || index + length > end) throw notText();
    let code = length === 1 ? first : first & (0x7f >> length);
    for (let next = 1; next < length; next++) {
      const byte = bytes[index + next]!;
      if ((byte & 0xc0) !== 0x80) throw notText();
      code = (code << 6) | (byte & 0x3f);
    }
    if ((length === 3 && code < 0x800) || (length === 4 && (code < 0x10000 || code > 0x10ffff))) throw notText();
    if (code < 0x10000) units.push(code);
    else units.push(0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff));
    index += length;
    if (units.length >= 4_096) {
      parts.push(String.fromCharCode(...units));
      units = [];
    }
  }
  return parts.join('') + String.fromCharCode(...units);
}

function notText(): PickleFault {
  return new PickleFault('MALFORMED', 'a text that is not UTF-8');
}

const surrogate = /[\ud800-\udfff]/;

/** Writes a text at `offset`: `length` bytes, which is what `Buffer.byteLength(text)` says, and counts a lone surrogate as the 3 bytes it gets here. */
export function writeText(into: Buffer, text: string, offset: number, length: number): void {
  if (length === text.length) {
    into.write(text, offset, 'latin1');
    return;
  }
  if (!surrogate.test(text)) {
    into.write(text, offset, 'utf8');
    return;
  }
  for (let index = 0; index < text.length; index++) {
    const code = text.codePointAt(index)!;
    if (code < 0x80) into[offset++] = code;
    else if (code < 0x800) {
      into[offset++] = 0xc0 | (code >> 6);
      into[offset++] = 0x80 | (code & 0x3f);
    } else if (code < 0x10000) {
      into[offset++] = 0xe0 | (code >> 12);
      into[offset++] = 0x80 | ((code >> 6) & 0x3f);
      into[offset++] = 0x80 | (code & 0x3f);
    } else {
      index++;
      into[offset++] = 0xf0 | (code >> 18);
      into[offset++] = 0x80 | ((code >> 12) & 0x3f);
      into[offset++] = 0x80 | ((code >> 6) & 0x3f);
      into[offset++] = 0x80 | (code & 0x3f);
    }
  }
}

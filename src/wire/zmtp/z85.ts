// Z85 (ZeroMQ RFC 32): bytes as printable text, four bytes in five characters. Used for CURVE keys.

const alphabet = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';
const values = new Map([...alphabet].map((character, value) => [character, value]));

/**
 * The text of `bytes`, whose length must be a multiple of four.
 *
 * @example
 * encodeZ85(Buffer.from('864fd26fb559f75b', 'hex')) // 'HelloWorld'
 */
export function encodeZ85(bytes: Uint8Array): string {
  if (bytes.length % 4 !== 0) throw new RangeError(`Z85 needs a multiple of four bytes, got ${bytes.length}.`);
  let text = '';
  for (let at = 0; at < bytes.length; at += 4) {
    let value = ((bytes[at]! * 256 + bytes[at + 1]!) * 256 + bytes[at + 2]!) * 256 + bytes[at + 3]!;
    let five = '';
    for (let digit = 0; digit < 5; digit++) {
      five = alphabet[value % 85]! + five;
      value = Math.floor(value / 85);
    }
    text += five;
  }
  return text;
}

/** The bytes of a Z85 text, or `undefined` when it is not one. */
export function decodeZ85(text: string): Buffer | undefined {
  if (text.length % 5 !== 0) return undefined;
  const bytes = Buffer.alloc((text.length / 5) * 4);
  for (let at = 0; at < text.length; at += 5) {
    let value = 0;
    for (let digit = 0; digit < 5; digit++) {
      const one = values.get(text[at + digit]!);
      if (one === undefined) return undefined;
      value = value * 85 + one;
    }
    if (value > 0xffff_ffff) return undefined;
    bytes.writeUInt32BE(value, (at / 5) * 4);
  }
  return bytes;
}

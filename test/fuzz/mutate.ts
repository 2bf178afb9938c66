// Damages frames in the ways that find faults: flipped bits, cuts, repeated and foreign parts, lengths that lie, opcodes
// in the wrong place. Everything comes from one seeded source of chance.

/** Whole numbers from 0 up to, not including, `below`. */
export type Chance = (below: number) => number;

/** Bytes that mean something to a reader of pickles or of ZMTP frames. */
const telling = Buffer.from(
  '00010204067f80ff28292e304b4d4a495d7d655d5b5c8c8d8e8f939495968a8b8842436358708071726a68675262819192986f6969744e55473b7b22',
  'hex',
);
const lies = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];

/**
 * A damaged copy of `frame`, at most `mostBytes` long.
 *
 * @param others - frames to take foreign parts from
 */
export function mutate(frame: Uint8Array, others: readonly Uint8Array[], chance: Chance, mostBytes = 100_000): Buffer {
  let bytes = Buffer.from(frame);
  for (let rounds = 1 + chance(3); rounds > 0; rounds--) bytes = once(bytes, others, chance);
  return bytes.length > mostBytes ? bytes.subarray(0, mostBytes) : bytes;
}

function once(bytes: Buffer, others: readonly Uint8Array[], chance: Chance): Buffer<ArrayBuffer> {
  const copy = Buffer.from(bytes);
  const at = chance(copy.length + 1);
  const here = Math.min(at, Math.max(0, copy.length - 1));
  switch (chance(10)) {
    case 0:
      if (copy.length > 0) copy[here] = (copy[here] as number) ^ (1 << chance(8));
      return copy;
    case 1:
      if (copy.length > 0) copy[here] = chance(256);
      return copy;
    case 2:
      if (copy.length > 0) copy[here] = telling[chance(telling.length)] as number;
      return copy;
    case 3:
      return Buffer.from(copy.subarray(0, at));
    case 4: {
      const end = Math.min(copy.length, at + 1 + chance(16));
      return Buffer.concat([copy.subarray(0, at), copy.subarray(end)]);
    }
    case 5: {
      const part = copy.subarray(at, Math.min(copy.length, at + 1 + chance(64)));
      return Buffer.concat([copy.subarray(0, at), part, copy.subarray(at)]);
    }
    case 6: {
      const other = others[chance(others.length)] ?? copy;
      const from = chance(other.length + 1);
      return Buffer.concat([copy.subarray(0, at), other.subarray(from, from + chance(200)), copy.subarray(at)]);
    }
    case 7: {
      const lie = Buffer.alloc(8);
      const value = lies[chance(lies.length)] as number;
      if (chance(2) === 0) lie.writeUInt32LE(value);
      else lie.writeUInt32BE(value, 4);
      return Buffer.concat([copy.subarray(0, at), lie.subarray(0, 1 + chance(8)), copy.subarray(at + chance(9))]);
    }
    case 8:
      return Buffer.concat([copy.subarray(0, at), Buffer.alloc(chance(300), telling[chance(telling.length)])]);
    default: {
      const noise = Buffer.alloc(chance(12));
      for (let index = 0; index < noise.length; index++) noise[index] = chance(256);
      return Buffer.concat([copy.subarray(0, at), noise, copy.subarray(at)]);
    }
  }
}

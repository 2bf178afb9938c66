// Random numbers that can be had again: the seed is printed, and CHERVIL_SEED sets it.

/** The seed of this run. */
export const seed = Number(process.env['CHERVIL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
console.log(`CHERVIL_SEED=${seed}`);

/** A generator of whole numbers from 0 up to, not including, `below`. */
export function randomIntegers(from = seed): (below: number) => number {
  let state = from >>> 0;
  return (below) => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

// What it costs to check, encode and write values. `node --import tsx bench/values.ts` after `npm run build`.
// Each number is the median of seven rounds, in microseconds a call.
import v8 from 'node:v8';
import { checkValue, decodeValue, encodeValue, fromBytes, toBytes } from '#src/wire/values.js';

const samples: Record<string, unknown> = {
  number: 7,
  'short text': 'hello, world',
  'three arguments': [3, 'cats', { deep: true, rate: 0.5 }],
  'ten numbers': Array.from({ length: 10 }, (_, index) => index * 1.5),
  'record of twelve': Object.fromEntries(
    Array.from({ length: 12 }, (_, index) => [`field${index}`, index % 2 ? index : `text ${index}`]),
  ),
  'a thousand numbers': Array.from({ length: 1_000 }, (_, index) => index),
  'a thousand records': Array.from({ length: 1_000 }, (_, id) => ({ id, name: `n${id}` })),
  'a url': { page: new URL('https://example.org/a') },
  'an error': new RangeError('too hot', { cause: 1 }),
};

let kept: unknown;

function microseconds(action: () => unknown): number {
  let calls = 1;
  for (;;) {
    const start = process.hrtime.bigint();
    for (let call = 0; call < calls; call++) kept = action();
    if (process.hrtime.bigint() - start > 5_000_000n) break;
    calls *= 2;
  }
  const rounds = Array.from({ length: 7 }, () => {
    const start = process.hrtime.bigint();
    for (let call = 0; call < calls; call++) kept = action();
    return Number(process.hrtime.bigint() - start) / calls / 1_000;
  });
  return rounds.sort((a, b) => a - b)[3]!;
}

const rows = Object.entries(samples).map(([name, value]) => {
  const bytes = toBytes(value);
  const isSpecial = checkValue(value) === 'encode';
  const data = (): unknown => (isSpecial ? encodeValue(value) : value);
  const plainBytes = v8.serialize(data());
  return {
    value: name,
    check: microseconds(() => checkValue(value)).toFixed(3),
    'encode+decode': isSpecial ? microseconds(() => decodeValue(encodeValue(value))).toFixed(2) : '-',
    toBytes: microseconds(() => toBytes(value)).toFixed(2),
    fromBytes: microseconds(() => fromBytes(bytes)).toFixed(2),
    'v8.serialize': microseconds(() => v8.serialize(data())).toFixed(2),
    'v8.deserialize': microseconds(() => v8.deserialize(plainBytes)).toFixed(2),
    bytes: bytes.length,
  };
});
console.table(rows);
if (kept === undefined) console.log(kept);

// What reading and writing the envelopes of the wire costs. Prints thousand messages a second and CPU microseconds a message; asserts nothing.
// Run after a build: node --import tsx bench/pickle.ts
// For comparison, a prototype of 60 lines without objects, cycles and limits reached 2872 / 1107 thousand tasks/s (write / read) and 1700 / 889
// thousand results/s on two shared cores, CPython 588 / 119. Repeats on a busy machine differ by a factor of 2 to 4.
import { decode, dict, encode, type PickleValue, PickleWriter, PyFloat } from '#src/wire/pickle.js';

const buffer = new Uint8Array(160).fill(7);
const task = dict({ task_id: 123_456, context: new Map(), buffer });
const withPriority = dict({
  task_id: 123_456,
  context: dict({ resource_spec: dict({ priority: new PyFloat(2) }) }),
  buffer,
});
const result = dict({ type: 'result', task_id: 123_456, result: buffer.subarray(0, 60) });
const batch: PickleValue = Array.from({ length: 64 }, (_, index) =>
  dict({ task_id: index, context: new Map(), buffer }),
);
const packages = new Map<PickleValue, PickleValue>(
  Array.from({ length: 400 }, (_, index) => [`package-${index}`, `1.${index}.0`]),
);
// A task as CPython pickles it, with every text memoized.
const pythons = Buffer.from(
  '8004952c000000000000007d94288c077461736b5f6964944b018c07636f6e74657874947d948c0662756666657294430361626394752e',
  'hex',
);

function measure(name: string, messages: number, once: () => unknown): void {
  const rounds = Math.max(1, Math.round(200_000 / messages));
  const costs: number[] = [];
  for (let repeat = 0; repeat < 6; repeat++) {
    const start = process.cpuUsage();
    for (let round = 0; round < rounds; round++) once();
    const { user, system } = process.cpuUsage(start);
    costs.push((user + system) / (rounds * messages));
  }
  const best = Math.min(...costs.slice(1));
  console.log(`${name.padEnd(34)} ${(1_000 / best).toFixed(0).padStart(6)} k/s  ${best.toFixed(2).padStart(6)} us`);
}

const writer = new PickleWriter();
const field = (name: string): Uint8Array => Buffer.from([0x8c, name.length, ...Buffer.from(name)]);
const [taskId, context, bufferField] = [field('task_id'), field('context'), field('buffer')];

measure('task, written by hand', 1, () => {
  writer.begin();
  writer.dictStart();
  writer.raw(taskId);
  writer.int(123_456);
  writer.raw(context);
  writer.opcode(0x7d);
  writer.raw(bufferField);
  writer.byteString(buffer);
  writer.dictEnd();
  return writer.finish();
});
for (const [name, value, messages] of [
  ['task', task, 1],
  ['task with priority', withPriority, 1],
  ['result', result, 1],
  ['heartbeat', dict({ type: 'heartbeat' }), 1],
  ['heartbeat reply', 2 ** 32 - 1, 1],
  ['batch of 64 tasks, each', batch, 64],
  ['400 packages, all', packages, 1],
] as const) {
  const bytes = encode(value);
  measure(`${name}: write`, messages, () => encode(value));
  measure(`${name}: read`, messages, () => decode(bytes));
}
measure("CPython's small task: read", 1, () => decode(pythons));
const check = decode(pythons);
if (!check.ok) throw new Error(check.error.message);

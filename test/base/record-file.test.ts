import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  ftruncateSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { firstRecord, type RecordDisk, RecordWriter, recordOverhead } from '#src/base/record-file.js';
import { RecordReader } from '#src/base/record-reader.js';

const seed = Number(process.env['CHERVIL_SEED'] ?? Date.now() % 2 ** 31);
console.log(`CHERVIL_SEED=${seed}`);

const kind = { kind: 'TEST', version: 3 };
const directory = mkdtempSync(join(tmpdir(), 'chervil-records-'));
after(() => rmSync(directory, { recursive: true }));
let files = 0;
const freshPath = (): string => join(directory, `${files++}.records`);

function create(path = freshPath(), options: { disk?: RecordDisk; pendingLimit?: number } = {}): RecordWriter {
  const opened = RecordWriter.create(path, { ...kind, ...options });
  assert.ok(opened.ok, opened.ok ? '' : opened.error.message);
  return opened.value;
}

function write(payloads: readonly Uint8Array[]): string {
  const writer = create();
  for (const payload of payloads) assert.ok(writer.append(payload).ok);
  assert.deepEqual(writer.close({ sync: true }), { ok: true, value: payloads.length });
  return writer.path;
}

interface Contents {
  readonly records: { readonly offset: number; readonly text: string }[];
  readonly gaps: { readonly what: string; readonly offset: number; readonly bytes: number }[];
}

function read(path: string): Contents {
  const opened = RecordReader.open(path, kind);
  assert.ok(opened.ok, opened.ok ? '' : opened.error.message);
  const contents: Contents = { records: [], gaps: [] };
  for (const item of opened.value) {
    if (item.what === 'record') {
      contents.records.push({ offset: item.offset, text: Buffer.from(item.payload).toString('latin1') });
      assert.deepEqual(opened.value.read(item.offset, item.payload.length), Buffer.from(item.payload));
    } else contents.gaps.push(item);
  }
  opened.value.close();
  return contents;
}

const texts = (path: string): string[] => read(path).records.map(({ text }) => text);
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const payloadLists = fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 8 });
const asTexts = (payloads: readonly Uint8Array[]): string[] =>
  payloads.map((one) => Buffer.from(one).toString('latin1'));

test('records are read as they were written, also empty ones and large ones', () => {
  const payloads = [
    bytes('one'),
    bytes(''),
    Buffer.alloc(3_000_000, 'x'),
    bytes('four'),
    Buffer.alloc(262_144, 'y'),
    bytes('six'),
  ];
  const path = write(payloads);
  assert.deepEqual(texts(path), asTexts(payloads));
  assert.deepEqual(read(path).gaps, []);
});

test('many records are read across the limits of what is held in memory', () => {
  const payloads = Array.from({ length: 20_000 }, (_, index) => bytes(`record ${index} ${'z'.repeat(index % 97)}`));
  assert.deepEqual(texts(write(payloads)), asTexts(payloads));
});

test('a record given in parts is their concatenation, and the parts may change afterwards', () => {
  const writer = create();
  const part = bytes('ab');
  writer.append(part, bytes(''), bytes('cd'));
  part.fill('x');
  writer.close();
  assert.deepEqual(texts(writer.path), ['abcd']);
});

test('nothing is written before a flush, and a flush is one write', () => {
  const lengths: number[] = [];
  const disk: RecordDisk = {
    write(...args) {
      lengths.push(args[3]);
      return writeSync(...args);
    },
    truncate: () => assert.fail('nothing to truncate'),
  };
  const writer = create(freshPath(), { disk });
  for (let count = 0; count < 1_000; count++) writer.append(bytes('12345678'));
  assert.equal(writer.pendingRecords, 1_000);
  assert.deepEqual(lengths, []);
  assert.deepEqual(writer.flush(), { ok: true, value: 1_000 });
  assert.deepEqual(writer.flush(), { ok: true, value: 0 });
  assert.deepEqual(lengths, [firstRecord + 1_000 * (recordOverhead + 8)]);
  assert.equal(texts(writer.path).length, 1_000);
  writer.close();
});

test('a writer never opens a file that is there', () => {
  const path = write([bytes('one')]);
  const opened = RecordWriter.create(path, kind);
  assert.equal(!opened.ok && opened.error.code, 'EXISTS');
  assert.deepEqual(texts(path), ['one']);
});

test('a closed writer refuses records and can be closed again', () => {
  const writer = create();
  writer.close();
  const refused = writer.append(bytes('late'));
  assert.equal(!refused.ok && refused.error.code, 'CLOSED');
  const unflushed = writer.flush();
  assert.equal(!unflushed.ok && unflushed.error.code, 'CLOSED');
  assert.ok(writer.close().ok);
});

test('an empty file has no records', () => {
  const path = freshPath();
  writeFileSync(path, '');
  assert.deepEqual(read(path), { records: [], gaps: [] });
});

test('a missing file, a foreign file, another kind and a later version are refused with a reason', () => {
  const foreign = freshPath();
  writeFileSync(foreign, '{"this": "is JSON, and it is longer than a header would be"}');
  const short = freshPath();
  writeFileSync(short, 'no');
  const path = write([bytes('one')]);
  const code = (place: string, expected = kind): string | false => {
    const opened = RecordReader.open(place, expected);
    assert.ok(!opened.ok);
    assert.match(opened.error.message, new RegExp(place));
    return opened.error.code;
  };
  assert.equal(code(join(directory, 'none')), 'MISSING');
  assert.equal(code(foreign), 'FOREIGN');
  assert.equal(code(short), 'FOREIGN');
  assert.equal(code(path, { kind: 'ELSE', version: 3 }), 'FOREIGN');
  assert.equal(code(path, { kind: 'TEST', version: 2 }), 'NEWER');
  assert.equal(code(directory), 'IO');
});

test('property: a file cut at any byte loses only what was cut', () => {
  fc.assert(
    fc.property(payloadLists, (payloads) => {
      const path = write(payloads);
      const whole = readFileSync(path);
      const ends = payloads.map((_, index) =>
        payloads.slice(0, index + 1).reduce((sum, payload) => sum + recordOverhead + payload.length, firstRecord),
      );
      for (let size = whole.length - 1; size >= 0; size--) {
        truncateSync(path, size);
        const { records, gaps } = read(path);
        const kept = ends.filter((end) => end <= size).length;
        assert.deepEqual(
          records.map(({ text }) => text),
          asTexts(payloads.slice(0, kept)),
        );
        const good = kept > 0 ? ends[kept - 1]! : size < firstRecord ? 0 : firstRecord;
        assert.deepEqual(gaps, good === size ? [] : [{ what: 'torn', offset: good, bytes: size - good }]);
      }
    }),
    { seed, numRuns: 15 },
  );
});

test('property: a flipped byte costs the record that it hits, and no other', () => {
  fc.assert(
    fc.property(payloadLists, fc.nat(), fc.integer({ min: 1, max: 255 }), (payloads, place, change) => {
      const path = write(payloads);
      const whole = readFileSync(path);
      const { records: before } = read(path);
      const hit = place % whole.length;
      whole[hit]! ^= change;
      writeFileSync(path, whole);
      const { records, gaps } = read(path);
      const survivors = before.filter(
        ({ offset, text }) => hit < offset || hit >= offset + recordOverhead + text.length,
      );
      assert.deepEqual(records, survivors);
      const lost = before.filter((record) => !survivors.includes(record));
      assert.deepEqual(
        gaps.map(({ offset, bytes: size }) => [offset, size]),
        lost.map(({ offset, text }) => [offset, recordOverhead + text.length]),
      );
    }),
    { seed, numRuns: 300 },
  );
});

test('property: records survive whatever is overwritten, removed or added elsewhere in the file', () => {
  const damage = fc.record({ at: fc.nat(), remove: fc.nat(100), add: fc.uint8Array({ maxLength: 100 }) });
  fc.assert(
    fc.property(payloadLists, damage, (payloads, { at, remove, add }) => {
      const path = write(payloads);
      const whole = readFileSync(path);
      const { records: before } = read(path);
      const from = firstRecord + (at % (whole.length - firstRecord));
      const to = Math.min(whole.length, from + remove);
      writeFileSync(path, Buffer.concat([whole.subarray(0, from), add, whole.subarray(to)]));
      const untouched = before.filter(
        ({ offset, text }) => offset + recordOverhead + text.length <= from || offset >= to,
      );
      const found = texts(path);
      assert.deepEqual(
        found.filter((text) => untouched.some((record) => record.text === text)).length >= untouched.length,
        true,
      );
      for (const text of found) assert.ok(before.some((record) => record.text === text));
    }),
    { seed, numRuns: 300 },
  );
});

test('what is inside a damaged record is never taken for a record, not even a whole record file', () => {
  const inner = readFileSync(write([bytes('inner one'), bytes('inner two')]));
  const path = write([bytes('first'), inner, bytes('last')]);
  const whole = readFileSync(path);
  const second = read(path).records[1]!.offset;
  whole[second + 5]! ^= 1;
  writeFileSync(path, whole);
  assert.deepEqual(texts(path), ['first', 'last']);
  assert.deepEqual(read(path).gaps, [{ what: 'damaged', offset: second, bytes: recordOverhead + inner.length }]);
});

test('a file that was filled up with zeros by a crash loses nothing before them', () => {
  const path = write([bytes('one'), bytes('two')]);
  const size = statSync(path).size;
  truncateSync(path, size + 1_000_000);
  assert.deepEqual(texts(path), ['one', 'two']);
  assert.deepEqual(read(path).gaps, [{ what: 'torn', offset: size, bytes: 1_000_000 }]);
});

test('records behind more than two gigabytes are read, in little memory', () => {
  const path = write([bytes('one')]);
  const record = readFileSync(path).subarray(firstRecord);
  const start = statSync(path).size;
  const gap = 2 ** 31 + 12_345;
  truncateSync(path, start + gap); // zeros that take no disk
  appendFileSync(path, record);
  const opened = RecordReader.open(path, kind);
  assert.ok(opened.ok);
  const before = process.memoryUsage().rss;
  const items = [...opened.value].map(({ what, offset }) => ({ what, offset }));
  assert.deepEqual(items, [
    { what: 'record', offset: firstRecord },
    { what: 'damaged', offset: start },
    { what: 'record', offset: start + gap },
  ]);
  assert.ok(process.memoryUsage().rss - before < 500_000_000);
  opened.value.close();
});

test('a short write is continued', () => {
  const disk: RecordDisk = {
    write: (handle, data, offset, length, position) => writeSync(handle, data, offset, Math.min(length, 7), position),
    truncate: () => assert.fail('nothing to truncate'),
  };
  const writer = create(freshPath(), { disk });
  writer.append(bytes('one'));
  writer.append(bytes('two'));
  assert.deepEqual(writer.close(), { ok: true, value: 2 });
  assert.deepEqual(texts(writer.path), ['one', 'two']);
});

test('property: a full disk leaves whole records, and the rest is written when there is room again', () => {
  fc.assert(
    fc.property(payloadLists, payloadLists, fc.nat(600), (first, second, room) => {
      let free = room;
      const disk: RecordDisk = {
        write(handle, data, offset, length, position) {
          if (free === 0) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
          const size = writeSync(handle, data, offset, Math.min(length, free), position);
          free -= size;
          return size;
        },
        truncate: ftruncateSync,
      };
      const path = freshPath();
      const writer = create(path, { disk });
      for (const payload of first) writer.append(payload);
      const flushed = writer.flush();
      if (!flushed.ok) {
        assert.equal(flushed.error.code, 'NO_SPACE');
        const { records, gaps } = read(path);
        assert.deepEqual(gaps, []);
        assert.equal(records.length + writer.pendingRecords, first.length);
      }
      free = Number.POSITIVE_INFINITY;
      for (const payload of second) writer.append(payload);
      assert.ok(writer.close().ok);
      assert.deepEqual(texts(path), asTexts([...first, ...second]));
      assert.deepEqual(read(path).gaps, []);
    }),
    { seed, numRuns: 100 },
  );
});

test('what may wait for a flush is limited, and a record that is too large is refused', () => {
  const writer = create(freshPath(), { pendingLimit: 1_000 });
  assert.ok(writer.append(Buffer.alloc(5_000)).ok);
  const refused = writer.append(bytes('more'));
  assert.equal(!refused.ok && refused.error.code, 'FULL');
  writer.flush();
  assert.ok(writer.append(bytes('more')).ok);
  const large = { length: 2 ** 30 + 1 } as Uint8Array;
  const tooLarge = writer.append(large);
  assert.equal(!tooLarge.ok && tooLarge.error.code, 'TOO_LARGE');
  writer.close();
  assert.equal(texts(writer.path).length, 2);
});

test('a process killed while it writes leaves a readable file with every record that it had flushed', async () => {
  const path = freshPath();
  const module = new URL('../../dist/base/record-file.js', import.meta.url).href;
  const program = `
    import { RecordWriter } from ${JSON.stringify(module)};
    const writer = RecordWriter.create(${JSON.stringify(path)}, { kind: 'TEST', version: 3 }).value;
    for (let turn = 0; ; turn++) {
      for (let count = 0; count < 10; count++) writer.append(Buffer.from((turn * 10 + count) + ' ' + 'x'.repeat(10_000)));
      writer.flush();
      if (turn % 10 === 0) process.stdout.write(turn * 10 + 9 + '\\n');
      if (turn > 3_000) break;
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  let flushed = -1;
  for await (const line of createInterface({ input: child.stdout })) {
    flushed = Number(line);
    if (flushed >= 500) child.kill('SIGKILL');
  }
  await ended;
  const { records, gaps } = read(path);
  assert.ok(records.length > flushed);
  records.forEach(({ text }, index) => {
    assert.equal(text, `${index} ${'x'.repeat(10_000)}`);
  });
  assert.ok(gaps.length <= 1);
});

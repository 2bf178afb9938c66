// Frames between pool and worker, and calls of Node functions as bytes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  callParts,
  callTemplate,
  isSameFunction,
  longestInline,
  readCallHead,
  readFunction,
  writeCall,
} from '#src/wire/calls.js';
import { FrameCutter, FrameGatherer, readEnd } from '#src/wire/link.js';
import { readNote, writeNote } from '#src/wire/notes.js';
import { fromBytes } from '#src/wire/values.js';

test('how a body ended comes out as it went in, as do its bytes', () => {
  const gatherer = new FrameGatherer();
  gatherer.addEnd(2, 7, Buffer.from('the result'), 0.25, 1_764_000_000_000.5);
  const ends: unknown[] = [];
  new FrameCutter((what, ticket, frame) => {
    const { tookMs, beganAt, bytes } = readEnd(frame);
    ends.push([what, ticket, tookMs, beganAt, bytes.toString()]);
  }).add(gatherer.take());
  assert.deepEqual(ends, [[2, 7, 0.25, 1_764_000_000_000.5, 'the result']]);
});

test('frames come out as they went in, whatever the pieces', () => {
  const gatherer = new FrameGatherer();
  const expected: [number, number, string][] = [];
  for (const [index, size] of [0, 1, 5, 100, 40_000, 3].entries()) {
    const text = String(index).repeat(size);
    gatherer.add(index, index * 1_000_000, Buffer.from(text));
    expected.push([index, index * 1_000_000, text]);
  }
  const bytes = gatherer.take();
  assert.equal(gatherer.length, 0);
  for (const size of [1, 2, 3, 7, 1_000, bytes.length]) {
    const found: [number, number, string][] = [];
    const cutter = new FrameCutter((what, ticket, content) => found.push([what, ticket, content.toString()]));
    for (let at = 0; at < bytes.length; at += size) cutter.add(bytes.subarray(at, at + size));
    assert.deepEqual(found, expected, `in pieces of ${size}`);
  }
});

const facts = { taskId: 41, tryNumber: 2, timeoutMs: 1_500, isTold: true, wantsOutput: false, takesFiles: true };
const source = { by: 'reference', module: 'file:///tasks.js', export: 'count' } as const;

test('a call arrives with its head, its function, its arguments and what else it has', () => {
  const template = callTemplate({ app: 'count', kind: 'bash', source }, () => assert.fail('it is short'));
  const call = writeCall(
    template,
    facts,
    ['a.txt', { deep: [1] }],
    { files: undefined, wrappers: [source], resources: { priority: 1 } },
    'count',
  );
  const head = readCallHead(call);
  assert.ok(head.ok);
  const { functionKey, ...rest } = head.value;
  assert.deepEqual(rest, { ...facts, kind: 'bash' });
  assert.ok(functionKey > 0);
  const parts = callParts(call);
  assert.deepEqual(readFunction(parts), { app: 'count', kind: 'bash', source });
  assert.deepEqual(fromBytes(parts.args), ['a.txt', { deep: [1] }]);
  assert.ok(isSameFunction(call, writeCall(template, facts, [], undefined, 'count')));
  const other = callTemplate({ app: 'other', kind: 'bash', source }, () => '');
  assert.ok(!isSameFunction(call, writeCall(other, facts, [], undefined, 'other')));
  assert.deepEqual((fromBytes(parts.extra!) as { wrappers: unknown }).wrappers, [source]);
});

test('a long function is kept in a file, and one that is missing there is said by name', () => {
  const long = { ...source, module: `file:///${'x'.repeat(longestInline)}.js` };
  const template = callTemplate({ app: 'count', kind: 'function', source: long }, (hash) => `/nowhere/${hash}`);
  assert.ok(template.stored !== undefined);
  const call = writeCall(template, facts, [], undefined, 'count');
  assert.throws(() => readFunction(callParts(call)), { code: 'FUNCTION_NOT_FOUND' });
});

test('bytes that are no call are told apart, cut short at any place', () => {
  const call = writeCall(
    callTemplate({ app: 'count', kind: 'function', source }, () => ''),
    facts,
    [],
    undefined,
    'count',
  );
  for (let length = 0; length < 24; length++) assert.ok(!readCallHead(call.subarray(0, length)).ok);
  assert.ok(!readCallHead(Buffer.from('33\nC2\n, which Python writes')).ok);
});

test('notes arrive as they were written, and strange ones do not throw', () => {
  for (const note of [
    { what: 'running', place: { host: 'nid12', worker: 'p/3', block: '0' } },
    { what: 'output', stream: 'stderr', text: 'caf\u00e9\n' },
  ] as const) {
    assert.deepEqual(readNote(writeNote(note)), { ok: true, value: note });
  }
  for (const bytes of [[], [0], [0x72], [0x72, 0x7b]]) assert.ok(!readNote(Uint8Array.from(bytes)).ok);
});

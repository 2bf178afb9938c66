// Parts of the page that need no browser: what is made of texts of tasks, of numbers and times, and where a graph's nodes stand.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { plainJson, plainText } from '#src/dashboard/plain-text.js';
import { duration, shortNumber, when } from '../../web/format.ts';
import { type LayoutInput, type LayoutOutput, layout } from '../../web/graph/layout.ts';

test('what a task wrote for a terminal is shown without colours and moves, and nothing in it is hidden', () => {
  for (const [text, shown] of [
    ['plain, \t tab\nand ünïcödé 漢字 👍🏽', 'plain, \t tab\nand ünïcödé 漢字 👍🏽'],
    ['\x1b[1;31mred\x1b[0m and \x1b[38;5;12mblue\x1b[m', 'red and blue'],
    ['\x1b]0;title\x07text \x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\', 'text link'],
    ['10 %\r50 %\r100 %\ndone\r\n', '100 %\ndone\n'],
    ['\x1b[1mbold\x1b(B\x1b[m of tput', 'bold of tput'],
    ['one\r\rtwo\r\r\n\r\n\rthree', 'two\n\nthree'],
    ['bell\x07 null\0 escape\x1b', 'bell␇ null␀ escape␛'],
    ['safe\u202Egnp.exe', 'safe\\u202egnp.exe'],
    ['\u2066isolated\u2069', '\\u2066isolated\\u2069'],
    ['<b>bold</b> &amp;', '<b>bold</b> &amp;'],
  ] as const) {
    assert.equal(plainText(text), shown);
    assert.equal((JSON.parse(plainJson({ in: [text] })) as { in: [string] }).in[0], shown);
  }
});

test('a long line of a task does not hold up the server', () => {
  const source = `
    import { plainText } from '#src/dashboard/plain-text.js';
    const lines = ['\\x1b[m' + 'x'.repeat(1_000_000), '\\r'.repeat(1_000_000) + 'x', '\\x1b]'.repeat(500_000)];
    console.log(lines.map((line) => plainText(line).length).join());`;
  // Looked at again from each of its characters, each of them would take minutes.
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    cwd: new URL('../..', import.meta.url),
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.equal(stdout, '1000000,1,1000000\n', stderr);
});

test('numbers and times are told as people read them', () => {
  assert.deepEqual([9_999, 50_000, 12_345, 999_400, 1_000_000].map(shortNumber), [
    '9,999',
    '50k',
    '12.3k',
    '999k',
    '1M',
  ]);
  assert.deepEqual([0, 999, 61_000, -5, null].map(duration), ['0 ms', '999 ms', '1 m 1 s', '0 ms', '–']);
  const noon = new Date(2026, 4, 5, 12, 0, 0).getTime();
  assert.deepEqual([when(noon, noon + 1_000), when(noon, noon + 86_400_000)], ['12:00:00', '05-05 12:00:00']);
});

/** No two nodes overlap, and none is outside. */
function checkPlaces(input: LayoutInput, { x, y, width, height }: LayoutOutput): void {
  for (let one = 0; one < input.count; one++) {
    const [atX, atY] = [x[one] as number, y[one] as number];
    assert.ok(atX >= input.width / 2 && atX <= width - input.width / 2, `node ${one} is outside`);
    assert.ok(atY >= input.height / 2 && atY <= height - input.height / 2, `node ${one} is outside`);
    for (let other = 0; other < one; other++)
      assert.ok(
        Math.abs(atX - (x[other] as number)) >= input.width || Math.abs(atY - (y[other] as number)) >= input.height,
        `nodes ${one} and ${other} overlap`,
      );
  }
}

test('what hangs together stands together, each to the right of what it needs; parts stand in rows that fit a screen', () => {
  const box = { width: 140, height: 32 };
  // 60 pairs, and 60 on their own.
  const pairs: LayoutInput = { ...box, count: 180, edges: Array.from({ length: 60 }, (_, n) => [2 * n, 2 * n + 1]) };
  const placed = layout(pairs);
  checkPlaces(pairs, placed);
  for (const [from, to] of pairs.edges) {
    assert.ok((placed.x[from] as number) < (placed.x[to] as number), `${from} is left of ${to}`);
    assert.equal(placed.y[from], placed.y[to], 'one beside the other');
  }
  assert.ok(placed.width / placed.height > 1 && placed.width / placed.height < 3, `${placed.width} x ${placed.height}`);
  for (const input of [
    { ...box, count: 1, edges: [] },
    {
      ...box,
      count: 3,
      edges: [
        [0, 1],
        [1, 2],
        [2, 0],
        [1, 1],
      ],
    },
    { ...box, count: 2_000, edges: Array.from({ length: 1_999 }, (_, n) => [n, n + 1]) },
  ] as LayoutInput[])
    checkPlaces(input, layout(input));
});

// Logs that gather their lines as bytes.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { LogFile } from '#src/base/log-file.js';
import { Wording } from '#src/base/log-text.js';

const directory = mkdtempSync(join(tmpdir(), 'chervil-log-file-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const noBytes = new Uint8Array(0);
const newline = Uint8Array.of(10);

it('texts and lines stand in the order in which they came, however long they are', () => {
  const path = join(directory, 'order.log');
  const file = new LogFile(path);
  const pieces: string[] = [];
  for (let round = 0; round < 40; round++) {
    for (const text of ['', 'plain\n', 'é😀\n', 'x'.repeat(21_845), 'é'.repeat(30_000)]) {
      file.write(text);
      pieces.push(text);
      const line = new Wording(`${round} `, ' of ', round % 10 === 0 ? 'ü'.repeat(40_000) : '').with(round, 2 ** 40);
      file.writeLine(noBytes, line, newline);
      pieces.push(`${line}\n`);
    }
  }
  file.close();
  file.write('behind its end');
  assert.equal(readFileSync(path, 'utf8'), pieces.join(''));
});

it('numbers are written as everybody does', () => {
  const numbers = [0, 9, 10, 4_294_967_295, 4_294_967_296, 2 ** 53, -1, 1.5, 1e21, Number.NaN, -Number.MAX_VALUE];
  for (const number of numbers)
    assert.equal(String(new Wording('', ' ', '').with(number, number)), `${number} ${number}`);
});

it('a disk that takes nothing is told of once, whatever was to be written', (t) => {
  if (!existsSync('/dev/full')) {
    t.skip('this system has no /dev/full');
    return;
  }
  const said = t.mock.method(process.stderr, 'write', () => true);
  for (const length of [1, 21_845, 100_000]) {
    said.mock.resetCalls();
    const file = new LogFile('/dev/full');
    for (let time = 0; time < 5; time++) file.write('x'.repeat(length));
    file.flush();
    file.close();
    assert.equal(said.mock.callCount(), 1, `texts of ${length}`);
  }
});

it('what is missing, while a disk takes nothing, is told of in its place when it takes something again', (t) => {
  const said = t.mock.method(process.stderr, 'write', () => true);
  let now = 1_000;
  t.mock.method(performance, 'now', () => now);
  const place = join(directory, 'away');
  const path = join(place, 'run.log');
  const file = new LogFile(path, (bytes) => `(${bytes} bytes are missing)\n`);
  const line = (text: string): void => {
    file.writeLine(noBytes, new Wording(text, '').with(1), newline);
    file.flush();
  };
  const outage = (seconds: number): void => {
    rmSync(place, { recursive: true, force: true });
    for (let second = 0; second < seconds; second++, now += 1_000) {
      file.write('nine bytes'.slice(0, 9));
      file.flush();
    }
  };
  outage(25);
  assert.equal(said.mock.callCount(), 1);
  mkdirSync(place);
  line('early ');
  assert.ok(!existsSync(path), 'it is not tried with each line');
  now += 10_000;
  line('line ');
  line('line ');
  file.close();
  line('behind its end');
  // 25 texts of 9 bytes, and `early 1` with its end.
  assert.equal(readFileSync(path, 'utf8'), `\n(${25 * 9 + 8} bytes are missing)\nline 1\nline 1\n`);
  const words = said.mock.calls.map(({ arguments: [text] }) => String(text));
  assert.match(
    words.join(''),
    /^chervil: cannot write .*; the run goes on without it\nchervil: .* is written again; 233 bytes are missing in it\n$/,
  );
});

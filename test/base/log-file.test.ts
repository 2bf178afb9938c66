// Logs that gather their lines as bytes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it, type TestContext } from 'node:test';
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
    t.skip('for want of /dev/full');
    return;
  }
  for (const length of [1, 21_845, 100_000]) {
    const said: string[] = [];
    const file = new LogFile('/dev/full', undefined, (text) => said.push(text));
    for (let time = 0; time < 5; time++) file.write('x'.repeat(length));
    file.flush();
    file.close();
    assert.equal(said.length, 1, `texts of ${length}`);
    assert.match(said[0] ?? '', /^chervil: cannot write \/dev\/full \(ENOSPC.*\); the run goes on without it\n$/);
  }
});

it('not even standard error has to take that', (t) => {
  if (!existsSync('/dev/full')) {
    t.skip('for want of /dev/full');
    return;
  }
  const module = import.meta.resolve('#src/base/log-file.js');
  const program = `
    import { LogFile } from ${JSON.stringify(module)};
    const file = new LogFile('/dev/full');
    file.write('a line\\n');
    file.flush();
    file.close();
    setTimeout(() => console.log('it goes on'), 20);`;
  const full = openSync('/dev/full', 'w');
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', full],
    encoding: 'utf8',
  });
  closeSync(full);
  assert.deepEqual([stdout, status], ['it goes on\n', 0]);
});

/** A log whose directory comes and goes, as a disk does, and whose time stands still. */
class Disk {
  readonly place = mkdtempSync(join(directory, 'disk-'));
  readonly path = join(this.place, 'run.log');
  readonly said: string[] = [];
  now = 1_000;
  readonly file: LogFile;

  constructor(t: TestContext) {
    t.mock.method(performance, 'now', () => this.now);
    this.file = new LogFile(
      this.path,
      (bytes) => `(${bytes} bytes are missing)\n`,
      (text) => this.said.push(text.replace(this.path, 'PATH').replace(/ \(.*\)/, '')),
    );
  }

  away(): void {
    rmSync(this.place, { recursive: true, force: true });
  }

  back(): void {
    mkdirSync(this.place);
  }

  lines(...texts: string[]): void {
    for (const text of texts) {
      this.file.writeLine(noBytes, new Wording(text, '').with(1), newline);
      this.file.flush();
    }
  }

  text(): string {
    return existsSync(this.path) ? readFileSync(this.path, 'utf8') : '';
  }
}

it('what came last while a disk took nothing is written when it takes something again', (t) => {
  const disk = new Disk(t);
  disk.away();
  disk.lines('one ');
  disk.now += 10_000;
  disk.lines('two ');
  disk.back();
  disk.lines('three ');
  assert.equal(disk.text(), '', 'it is not tried with each line');
  disk.now += 10_000;
  disk.lines('four ', 'five ');
  assert.equal(disk.text(), 'one 1\ntwo 1\nthree 1\nfour 1\nfive 1\n');
  disk.file.close();
  disk.lines('behind its end ');
  assert.equal(disk.text(), 'one 1\ntwo 1\nthree 1\nfour 1\nfive 1\n');
  assert.deepEqual(disk.said, [
    'chervil: cannot write PATH; the run goes on without it\n',
    'chervil: PATH is written again; nothing is missing in it\n',
  ]);
});

it('what is missing is told of in its place, and standard error hears how much it is', (t) => {
  const disk = new Disk(t);
  disk.away();
  for (let count = 0; count < 5_000; count++) disk.file.write(`${'x'.repeat(9)}\n`);
  disk.file.flush();
  disk.file.write(`${'y'.repeat(99)}\n`);
  disk.back();
  disk.now += 10_000;
  disk.lines('now ');
  assert.equal(disk.text(), `(50000 bytes are missing)\n${'y'.repeat(99)}\nnow 1\n`);
  assert.equal(disk.said.at(-1), 'chervil: PATH is written again; 50000 bytes are missing in it\n');
});

it('when it is closed it tries once more, whenever it tried last', (t) => {
  const disk = new Disk(t);
  disk.away();
  disk.lines('one ');
  disk.back();
  disk.lines('the end ');
  disk.file.close();
  assert.equal(disk.text(), 'one 1\nthe end 1\n');
});

it('a line that was cut is ended before the line about what is missing', () => {
  const path = join(directory, 'cut.log');
  const module = import.meta.resolve('#src/base/log-file.js');
  const program = `
    import { truncateSync } from 'node:fs';
    import { LogFile } from ${JSON.stringify(module)};
    const file = new LogFile(${JSON.stringify(path)}, (bytes) => '(' + bytes + ' bytes are missing)\\n');
    file.write('x'.repeat(30_000) + '\\n');
    file.flush();
    truncateSync(${JSON.stringify(path)}, 5);
    file.write('after\\n');
    file.close();`;
  // No file may have more than 8 KiB.
  const limited = spawnSync('bash', [
    '-c',
    'ulimit -f 8 && exec "$0" --input-type=module --eval "$1"',
    process.execPath,
    program,
  ]);
  assert.equal(limited.status, 0, String(limited.stderr));
  assert.equal(readFileSync(path, 'utf8'), `xxxxx\n(${30_001 - 8_192} bytes are missing)\nafter\n`);
});

it('what was told of in the file is told on standard error too, if a second attempt takes part of it only', () => {
  const path = join(directory, 'twice.log');
  const module = import.meta.resolve('#src/base/log-file.js');
  const program = `
    import { truncateSync } from 'node:fs';
    import { LogFile } from ${JSON.stringify(module)};
    let now = 0;
    performance.now = () => now;
    const path = ${JSON.stringify(path)};
    const say = (text) => console.log(text.replace(path, 'PATH').replace(/ \\(.*\\)/, ''));
    const file = new LogFile(path, (bytes) => '(' + bytes + ' bytes are missing)\\n', say);
    file.write('x'.repeat(30_000) + '\\n');
    file.flush();
    file.write('y'.repeat(100) + '\\n');
    // Room for the line about what is missing, and for 20 bytes more.
    truncateSync(path, 8_192 - '\\n(21809 bytes are missing)\\n'.length - 20);
    now += 10_000;
    file.write('z\\n');
    file.flush();
    truncateSync(path, 0);
    file.close();`;
  const limited = spawnSync(
    'bash',
    ['-c', 'ulimit -f 8 && exec "$0" --input-type=module --eval "$1"', process.execPath, program],
    { encoding: 'utf8' },
  );
  assert.equal(limited.status, 0, limited.stderr);
  assert.equal(
    limited.stdout,
    'chervil: cannot write PATH; the run goes on without it\n\nchervil: PATH is written again; 21809 bytes are missing in it\n\n',
  );
  assert.equal(readFileSync(path, 'utf8'), `${'y'.repeat(80)}\nz\n`);
});

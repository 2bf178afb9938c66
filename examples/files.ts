// Commands as apps, with files between them: `files.ts [FILE of numbers]`. What a command makes is an output, and another
// task that takes it waits for it.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bashApp, type File, file, load, type Output, output, sh } from 'chervil';

const sort = bashApp((io: { from: File; to: Output }) => sh`sort -n ${io.from} > ${io.to}`);
const head = bashApp((io: { from: File; lines: number }) => sh`head -n ${io.lines} ${io.from}`);

const folder = mkdtempSync(join(tmpdir(), 'chervil-files-'));
const numbers = join(folder, 'numbers.txt');
writeFileSync(numbers, Array.from({ length: 1000 }, (_, index) => `${(index * 7919) % 1000}\n`).join(''));

await using run = await load();
const sorted = sort({ from: file(process.argv[2] ?? numbers), to: output(join(folder, 'sorted.txt')) });
const first = head({ from: sorted.outputs.to, lines: 3 }); // waits for sort
process.stdout.write(await first.stdout);

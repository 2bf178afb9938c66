// A census of source code: `census.ts [FOLDER]`. It reads every JavaScript and TypeScript file under a folder (without one:
// the project's own node_modules), parses them in parallel, and reports what is in them, by package and in all.
//
//   find (bash) ─> packagesOf ─> census (a join app: only now is known which tasks there are)
//                                  ├─ readFiles … readFiles ─> reportOf   one for each package
//                                  └─ …                                     └─> add ─> the table
//
// What was read is remembered in a checkpoint: the second time only files that changed since are read.

import { existsSync, realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { app, apps, bashApp, type Future, joinApp, load, sh } from 'chervil';
import { reportText } from './table.ts';
import type * as tasks from './tasks.ts';
import type { Counts, Package, PackageReport } from './tasks.ts';

const project = fileURLToPath(new URL('../../', import.meta.url));

// Commands: their output is captured. The disk is asked how much there is while everything else goes on.
const find = bashApp((folder: string) => {
  const endings = ['js', 'mjs', 'cjs', 'jsx', 'ts', 'mts', 'cts', 'tsx'].flatMap((ending, index) =>
    index === 0 ? ['-name', `*.${ending}`] : ['-o', '-name', `*.${ending}`],
  );
  return sh`find ${folder} -type f ${'('} ${endings} ${')'} -print`;
});
const size = bashApp((folder: string) => sh`du -sk ${folder}`);

// By reference: workers import tasks.ts, with the parser that it uses.
const { packagesOf, add } = apps<typeof tasks>(new URL('./tasks.ts', import.meta.url));
const { readFiles } = apps<typeof tasks>(new URL('./tasks.ts', import.meta.url), { memo: true });

// By value: small enough to be sent as it stands.
const reportOf = app((name: string, licence: string, counts: Counts): PackageReport => ({ name, licence, ...counts }));

const census = joinApp((packages: Package[]): Future<PackageReport>[] =>
  packages.map(({ name, licence, chunks }) => reportOf(name, licence, add(chunks.map((chunk) => readFiles(chunk))))),
);

const root = folderOf(process.argv[2]);
const startedAt = performance.now();
await using run = await load({ runDir: resolve(project, '.cache/census'), checkpoint: { when: 'task_exit' } });

const disk = size(root);
const packages = packagesOf(find(root).stdout, root);
const reports = census(packages);
const all = await add(reports);

if (all.files === 0) {
  console.log(`There is no JavaScript or TypeScript file in ${root}.`);
} else {
  const megabytes = Math.round(Number.parseInt(await disk.stdout, 10) / 1024);
  const { memoized } = run.summary();
  const chunks = (await packages).reduce((sum, one) => sum + one.chunks.length, 0);
  const portion = (count: number): string => `${count} ${count === 1 ? 'portion' : 'portions'}`;
  const from =
    memoized === 0
      ? 'all read now'
      : memoized >= chunks
        ? 'all from the checkpoint'
        : `${portion(memoized)} from the checkpoint, ${chunks - memoized} read now`;
  console.log(`${root}, ${megabytes} MB on disk\n`);
  console.log(reportText(await reports, all, root));
  console.log(
    `\n${all.files.toLocaleString('en')} files in ${portion(chunks)}: ${from}; ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`,
  );
}

function folderOf(given: string | undefined): string {
  const folder = resolve(given ?? resolve(project, 'node_modules'));
  const problem = !existsSync(folder) ? 'does not exist' : !statSync(folder).isDirectory() ? 'is no folder' : undefined;
  if (problem !== undefined) {
    console.error(
      `census: ${folder} ${problem}. Give it the path of a folder with source code, or nothing for ${resolve(project, 'node_modules')}.`,
    );
    process.exit(1);
  }
  return realpathSync(folder);
}

// The most frequent words of some texts: `map-reduce.ts [URL or file …]`. Without any it counts its own two files.
// Functions go by reference here: workers import tasks.ts, so it may use whatever it likes.

import { pathToFileURL } from 'node:url';
import { apps, asCompleted, load } from 'chervil';
import type * as tasks from './tasks.ts';

const { count, merge } = apps<typeof tasks>(new URL('./tasks.ts', import.meta.url));

await using run = await load();
const given = process.argv.slice(2).map((text) => (URL.canParse(text) ? text : pathToFileURL(text).href));
const urls = given.length > 0 ? given : [import.meta.url, new URL('./tasks.ts', import.meta.url).href];
const parts = urls.map((url) => count(url));

for await (const part of asCompleted(parts)) {
  if (!part.ok) console.error(`task ${part.future.id}: ${part.error.code}`);
}

const top = merge(parts).map((all) =>
  Object.entries(all)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 10),
);
console.table(await top);

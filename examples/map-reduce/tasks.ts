// The tasks of map-reduce.ts: plain functions of a module, which workers import.
import { readFile } from 'node:fs/promises';

/** How often each word stands in the text behind a URL. */
export async function count(url: string): Promise<Record<string, number>> {
  const text = url.startsWith('file:') ? await readFile(new URL(url), 'utf8') : await (await fetch(url)).text();
  const counts: Record<string, number> = Object.create(null) as Record<string, number>;
  for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) counts[word] = (counts[word] ?? 0) + 1;
  return { ...counts };
}

/** The counts of all parts together. */
export function merge(parts: Record<string, number>[]): Record<string, number> {
  const all = new Map<string, number>();
  for (const part of parts)
    for (const [word, times] of Object.entries(part)) all.set(word, (all.get(word) ?? 0) + times);
  return Object.fromEntries(all);
}

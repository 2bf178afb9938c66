// From places in code as it runs to places in the file that the user wrote, where a loader keeps a source map (tsx).
// script.ts tells it of each script that functions were taken from; whoever shows a worker's stack calls mapStack.
import { findSourceMap, SourceMap, type SourceMapPayload } from 'node:module';
import { pathToFileURL } from 'node:url';

/** A place in a file; line and column from 1. */
export interface SourcePlace {
  readonly url: string;
  readonly line: number;
  readonly column: number;
}

/**
 * Ends the URL of a shipped function whose positions need mapping. The worker thus never takes them for positions of the
 * file itself, and mapStack cannot map a frame twice.
 */
export const compiledMark = '#compiled';

const maps = new Map<string, SourceMap>();

/**
 * Keeps the source map of a script.
 * @returns true if there is one
 */
export function keepSourceMap(url: string, sourceMapUrl: string): boolean {
  if (maps.has(url)) return true;
  const map = url === '' ? undefined : (findSourceMap(url) ?? readDataUrl(sourceMapUrl));
  if (map === undefined) return false;
  maps.set(url, map);
  return true;
}

/** The place in the user's file. A place that no kept source map knows is returned as it is. */
export function originalPlace(place: SourcePlace): SourcePlace {
  const entry = maps.get(place.url)?.findEntry(place.line - 1, place.column - 1);
  if (entry === undefined || !('originalSource' in entry)) return place;
  const { originalSource, originalLine, originalColumn } = entry;
  return { url: urlOf(originalSource, place.url), line: originalLine + 1, column: originalColumn + 1 };
}

/**
 * Gives the frames of shipped functions in a stack their original lines. Other frames stay.
 * @example
 * mapStack('Error: no\n    at f (file:///home/me/pi.ts#compiled:1:407)'); // '… at f (file:///home/me/pi.ts:12:9)'
 */
export function mapStack(stack: string): string {
  if (!stack.includes(compiledMark)) return stack;
  // Word by word, as whitespace ends a URL: a search for URLs in all of it takes quadratic time on a long message.
  return stack
    .split(/(\s+)/)
    .map((word) => (word.includes(compiledMark) ? mapWord(word) : word))
    .join('');
}

/** Maps `(file:///home/me/pi.ts#compiled:1:407)`, with whatever stands around it. */
function mapWord(word: string): string {
  const scheme = word.search(/\w:\/\//);
  if (scheme < 0) return word;
  let start = scheme;
  while (start > 0 && /[a-z]/.test(word[start - 1] as string)) start--;
  const mark = word.indexOf(compiledMark, start);
  const place = /^:(\d+):(\d+)/.exec(word.slice(mark + compiledMark.length));
  if (mark < 0 || place === null) return word;
  const original = originalPlace({ url: word.slice(start, mark), line: Number(place[1]), column: Number(place[2]) });
  const rest = word.slice(mark + compiledMark.length + place[0].length);
  return `${word.slice(0, start)}${original.url}:${original.line}:${original.column}${rest}`;
}

function readDataUrl(sourceMapUrl: string): SourceMap | undefined {
  const match = /^data:application\/json[^,]*?(;base64)?,(.*)$/s.exec(sourceMapUrl);
  if (match === null) return undefined;
  const text =
    match[1] === undefined ? decodeURIComponent(match[2] ?? '') : Buffer.from(match[2] ?? '', 'base64').toString();
  try {
    return new SourceMap(JSON.parse(text) as SourceMapPayload);
  } catch {
    return undefined; // A broken map costs the original lines, not the task.
  }
}

function urlOf(source: string, base: string): string {
  if (source.startsWith('/') || /^[a-z]:[\\/]/i.test(source)) return pathToFileURL(source).href;
  return URL.canParse(source, base) ? new URL(source, base).href : base;
}

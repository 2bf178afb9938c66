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
  return stack.replace(
    /([a-z]+:\/\/[^\s()]*?)#compiled:(\d+):(\d+)/g,
    (_, url: string, line: string, column: string) => {
      const original = originalPlace({ url, line: Number(line), column: Number(column) });
      return `${original.url}:${original.line}:${original.column}`;
    },
  );
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

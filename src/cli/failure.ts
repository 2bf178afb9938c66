// An error that ended the user's program, as it is shown: what happened, the user's own lines, and where they stand.
import { readFileSync } from 'node:fs';
import { isAbsolute, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { mapStack } from '../app/capture.ts';
import { ChervilError } from '../task/errors.ts';

const own = fileURLToPath(new URL('../', import.meta.url));
const linesAround = 2;
const mostFrames = 8;

/** Writes an error to stderr. */
export function printFailure(thrown: unknown): void {
  process.stderr.write(`${describeFailure(thrown)}\n`);
}

/** As text. The frames of Chervil itself and of Node.js are left out, unless there are no others. */
export function describeFailure(thrown: unknown): string {
  if (!(thrown instanceof Error)) return `Thrown: ${inspect(thrown, { depth: 4 })}`;
  const parts = [`${thrown.name}: ${thrown.message}`];
  const frames = framesOf(mapStack(thrown.stack ?? ''));
  const users = frames.filter(({ path }) => isUsers(path));
  const first = users[0];
  if (first !== undefined) parts.push(excerpt(first));
  const shown = users.length > 0 ? users : frames;
  parts.push(...shown.slice(0, mostFrames).map(({ text }) => `    ${text}`));
  const cause = causeOf(thrown);
  if (cause !== undefined) parts.push(`Caused by ${describeFailure(cause)}`);
  if (thrown instanceof AggregateError)
    parts.push(...thrown.errors.slice(0, 5).map((one, index) => `[${index}] ${describeFailure(one)}`));
  return parts.filter((part) => part !== '').join('\n');
}

/** The cause, if it says more than the error: an AppError's is the error that it already tells of. */
function causeOf(error: Error): unknown {
  const { cause } = error;
  if (!(cause instanceof Error)) return undefined;
  return error instanceof ChervilError && error.code === 'APP_ERROR' ? causeOf(cause) : cause;
}

interface Frame {
  readonly text: string;
  readonly path: string;
  readonly line: number;
  readonly column: number;
}

function framesOf(stack: string): Frame[] {
  const frames: Frame[] = [];
  for (const text of stack.split('\n')) {
    const match =
      /^\s*at (?:.*\()?((?:file:\/\/)?\/.*?):(\d+):(\d+)\)?$/.exec(text) ??
      /^()((?:file:\/\/)?\/\S*?\.\w+):(\d+)$/.exec(text);
    if (match === null) continue;
    const place = match[1] as string;
    frames.push({
      text: text.trim(),
      path: place.startsWith('file:') ? pathOf(place) : place,
      line: Number(match[2]),
      column: Number(match[3]),
    });
  }
  return frames;
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    return url;
  }
}

function isUsers(path: string): boolean {
  return isAbsolute(path) && !path.startsWith(own) && !path.includes('/node_modules/');
}

/** The lines around a place, with a mark under it. */
function excerpt({ path, line, column }: Frame): string {
  let lines: string[];
  try {
    lines = readFileSync(path, 'utf8').split('\n');
  } catch {
    return ''; // The file is not here any more; the place is told in any case.
  }
  if (line > lines.length) return '';
  const from = Math.max(1, line - linesAround);
  const to = Math.min(lines.length, line + linesAround);
  const width = String(to).length;
  const shown: string[] = [`  ${nearby(path)}:${line}`];
  for (let number = from; number <= to; number++) {
    const text = (lines[number - 1] as string).slice(0, 160);
    shown.push(`${number === line ? '>' : ' '} ${String(number).padStart(width)} | ${text}`.trimEnd());
    if (number === line && column <= 160)
      shown.push(`  ${' '.repeat(width)} | ${text.slice(0, column - 1).replaceAll(/[^\t]/g, ' ')}^`);
  }
  return shown.join('\n');
}

function nearby(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}

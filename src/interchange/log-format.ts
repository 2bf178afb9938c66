// Format strings of Python's logging: the user of a FileLogging wrote one, and the interchange's lines follow it. Used by
// log.ts.
import { Buffer } from 'node:buffer';
import type { LogLevel } from './events.ts';

/** One event for the log. */
export interface LogRecord {
  readonly level: LogLevel;
  readonly text: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** What Python calls the levels, and the numbers by which it compares them. */
export const levelNumbers = { debug: 10, info: 20, warning: 30, error: 40 } as const satisfies Record<LogLevel, number>;

/** Parsl's own name of the logger, by which people filter. */
export const loggerName = 'parsl.executors.high_throughput.interchange';

const startedAt = Date.now();

/** The attributes of a LogRecord that mean something here; a line of Python code is not among them. */
const attributes: Readonly<Record<string, (record: LogRecord) => string | number>> = {
  created: (record) => record.at / 1_000,
  asctime: (record) => localTime(record.at),
  msecs: (record) => record.at % 1_000,
  relativeCreated: (record) => record.at - startedAt,
  levelname: (record) => record.level.toUpperCase(),
  levelno: (record) => levelNumbers[record.level],
  message: (record) => record.text,
  msg: (record) => record.text,
  name: () => loggerName,
  module: () => 'interchange',
  filename: () => 'interchange.py',
  pathname: () => 'interchange.py',
  funcName: () => 'interchange',
  lineno: () => 0,
  process: () => process.pid,
  processName: () => 'MainProcess',
  thread: () => process.pid,
  threadName: () => 'MainThread',
  taskName: () => 'None',
};

/** What a format says, piece by piece. */
interface Format {
  readonly pieces: readonly (string | ((record: LogRecord) => string))[];
  /** Where its text stands, and whether it stands there as it is; `undefined` with none, or with several. */
  readonly text: { readonly at: number; readonly isAsItIs: boolean } | undefined;
}

/**
 * Makes lines of this format, in Python's `%` style. What it names and nobody knows stays as it is written.
 *
 * @example
 * compileFormat('%(levelname)-8s %(message)s')({ level: 'info', text: 'ready', at: 0 }) // 'INFO     ready'
 */
export function compileFormat(format: string): (record: LogRecord) => string {
  const { pieces } = parse(format);
  return (record) => join(pieces, record);
}

/** What stands before and behind the text of a line, in UTF-8. */
export interface Surroundings {
  readonly before: Uint8Array;
  readonly behind: Uint8Array;
}

/**
 * Makes what stands around the text in lines of this format, or `undefined` for a format that does more with the text than
 * to show it once. Lines of one level within one millisecond have the same around them, which is then made once.
 *
 * @example
 * const around = compileSurroundings('%(levelname)s: %(message)s\n');
 * around?.('info', 0).before // the bytes of 'INFO: '
 */
export function compileSurroundings(format: string): ((level: LogLevel, at: number) => Surroundings) | undefined {
  const { pieces, text } = parse(format);
  if (text?.isAsItIs !== true) return undefined;
  const [front, back] = [pieces.slice(0, text.at), pieces.slice(text.at + 1)];
  const bytes = (part: Format['pieces'], record: LogRecord): Uint8Array =>
    new Uint8Array(Buffer.from(join(part, record)));
  let last: Surroundings & { readonly level: LogLevel | undefined; readonly at: number } = {
    level: undefined,
    at: 0,
    before: new Uint8Array(0),
    behind: new Uint8Array(0),
  };
  return (level, at) => {
    if (at !== last.at || level !== last.level) {
      const record = { level, at, text: '' };
      last = { level, at, before: bytes(front, record), behind: bytes(back, record) };
    }
    return last;
  };
}

function join(pieces: Format['pieces'], record: LogRecord): string {
  return pieces.map((piece) => (typeof piece === 'string' ? piece : piece(record))).join('');
}

function parse(format: string): Format {
  const pieces: (string | ((record: LogRecord) => string))[] = [];
  const texts: { readonly at: number; readonly isAsItIs: boolean }[] = [];
  let end = 0;
  for (const match of format.matchAll(/%%|%\((\w+)\)([-+ 0#]*)(\d{0,3})(?:\.(\d{1,3}))?([sdifrFeEgGxXu])/g)) {
    const [whole, name = '', flags = '', width = '', precision, conversion = 's'] = match;
    pieces.push(format.slice(end, match.index));
    end = match.index + whole.length;
    const read = Object.hasOwn(attributes, name) ? attributes[name] : undefined;
    if (whole === '%%') pieces.push('%');
    else if (read === undefined) pieces.push(whole);
    else {
      const digits = precision === undefined ? undefined : Number(precision);
      const isAsItIs = conversion === 's' && digits === undefined && width === '';
      if (name === 'message' || name === 'msg') texts.push({ at: pieces.length, isAsItIs });
      pieces.push(
        isAsItIs
          ? (record) => String(read(record))
          : (record) => pad(convert(read(record), conversion, digits), flags, Number(width)),
      );
    }
  }
  pieces.push(format.slice(end));
  return { pieces, text: texts.length === 1 ? texts[0] : undefined };
}

function convert(value: string | number, conversion: string, precision: number | undefined): string {
  if (typeof value === 'number') {
    if ('fF'.includes(conversion)) return value.toFixed(precision ?? 6);
    if ('diu'.includes(conversion)) return String(Math.trunc(value));
    if ('eE'.includes(conversion)) return value.toExponential(precision ?? 6);
    if ('xX'.includes(conversion)) return Math.trunc(value).toString(16);
    return String(value);
  }
  const text = conversion === 'r' ? `'${value}'` : value;
  return precision === undefined ? text : text.slice(0, precision);
}

function pad(text: string, flags: string, width: number): string {
  if (flags.includes('-')) return text.padEnd(width);
  return text.padStart(width, flags.includes('0') ? '0' : ' ');
}

let lastSecond = 0;
let lastStamp = '';

/** Local time up to the second, in the form all of Parsl's logs have. Made once a second. */
export function localTime(at: number): string {
  const second = Math.floor(at / 1_000);
  if (second !== lastSecond) {
    const time = new Date(at);
    const two = (number: number): string => String(number).padStart(2, '0');
    lastSecond = second;
    lastStamp = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  }
  return lastStamp;
}

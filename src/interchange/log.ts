// The interchange's log: where Parsl has it, one line an event, buffered. The shell owns it.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { LogFile } from '../base/log-file.ts';
import type { LogChoice } from '../wire/messages/config.ts';
import type { LogLevel } from './events.ts';

/** Takes lines; nothing a peer said can break one. */
export interface InterchangeLog {
  write(level: LogLevel, text: string): void;
  close(): void;
}

/**
 * Opens the log a submitter wants in `directory`, which is made if missing: `interchange.log`, or `interchange.jsonlog`,
 * or none.
 */
export function openLog(choice: LogChoice, directory: string): InterchangeLog {
  if (choice.kind === 'none') return { write: () => {}, close: () => {} };
  mkdirSync(directory, { recursive: true });
  const isJson = choice.kind === 'json';
  const file = new LogFile(join(directory, isJson ? 'interchange.jsonlog' : 'interchange.log'));
  const format = choice.kind === 'file' ? choice.format : undefined;
  const form = isJson ? jsonLine : format === undefined ? textLine : formattedLine(format);
  let isEmpty = true;
  const write = (level: LogLevel, text: string): void => {
    file.write(form(level, text));
    // People look for the file as soon as the interchange answers.
    if (isEmpty) file.flush();
    isEmpty = false;
  };
  return { write, close: () => file.close() };
}

let lastSecond = 0;
let lastStamp = '';

/** Local time as Python's logging writes it. The part up to the second is made once a second. */
function stamp(): string {
  const now = Date.now();
  const second = Math.floor(now / 1_000);
  if (second !== lastSecond) {
    const time = new Date(now);
    const two = (number: number): string => String(number).padStart(2, '0');
    lastSecond = second;
    lastStamp = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  }
  return `${lastStamp}.${String(now % 1_000).padStart(3, '0')}`;
}

function textLine(level: LogLevel, text: string): string {
  return `${stamp()} interchange ${process.pid} [${level.toUpperCase()}] ${escapeControls(text)}\n`;
}

/** Lines in a form of Python's logging, `%(message)s` and the like. What has no meaning here stays empty. */
function formattedLine(format: string): (level: LogLevel, text: string) => string {
  const parts = format.split(/%\((\w+)\)([-0-9.]*)[sdf]|%(%)/);
  return (level, text) => {
    const fields: Readonly<Record<string, string>> = {
      message: escapeControls(text),
      asctime: stamp().replace('.', ','),
      created: (Date.now() / 1_000).toFixed(6),
      levelname: level.toUpperCase(),
      name: 'interchange',
      process: String(process.pid),
      processName: 'interchange',
    };
    let line = '';
    for (let at = 0; at < parts.length; at += 4) {
      line += parts[at];
      if (at + 3 >= parts.length) break;
      line += parts[at + 3] ?? padded(fields[parts[at + 1] ?? ''] ?? '', parts[at + 2] ?? '');
    }
    return `${line}\n`;
  };
}

/** As `%-8s` does it. */
function padded(text: string, width: string): string {
  const wide = Math.min(Number.parseInt(width.replace('-', ''), 10) || 0, 200);
  return width.startsWith('-') ? text.padEnd(wide) : text.padStart(wide);
}

function jsonLine(level: LogLevel, text: string): string {
  return `${JSON.stringify({ created: Date.now() / 1_000, levelname: level.toUpperCase(), name: 'interchange', process: process.pid, msg: text })}\n`;
}

/** Control characters as `\xNN`: what a peer sent must not start a line of its own or steer a terminal. */
function escapeControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

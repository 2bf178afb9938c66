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
  const form = isJson ? jsonLine : textLine;
  return { write: (level, text) => file.write(form(level, text)), close: () => file.close() };
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

function jsonLine(level: LogLevel, text: string): string {
  return `${JSON.stringify({ created: Date.now() / 1_000, levelname: level.toUpperCase(), name: 'interchange', process: process.pid, msg: text })}\n`;
}

/** Control characters as `\xNN`: what a peer sent must not start a line of its own or steer a terminal. */
function escapeControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

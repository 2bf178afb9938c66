// The interchange's log: where Parsl has it, one line an event, buffered, in the form the submitter's log configuration
// asks for. The shell owns it.
import { join } from 'node:path';
import { makeDirectory } from '../base/directory.ts';
import { LogFile } from '../base/log-file.ts';
import type { LogText } from '../base/log-text.ts';
import { printable } from '../base/printable.ts';
import type { LogChoice } from '../wire/messages/config.ts';
import type { LogLevel } from './events.ts';
import { compileFormat, compileSurroundings, type LogRecord, levelNumbers, loggerName } from './log-format.ts';

/** Takes lines; nothing a peer said can break one. Of a {@link LogText} that is the caller's duty: every task has such lines. */
export interface InterchangeLog {
  /** @param at - milliseconds since the epoch, whole. @default now */
  write(level: LogLevel, text: string | LogText, at?: number): void;
  close(): void;
}

/**
 * Opens the log a submitter wants in `directory`, which is made if missing: `interchange.log`, or `interchange.jsonlog`,
 * or none.
 */
export function openLog(choice: LogChoice, directory: string): InterchangeLog {
  if (choice.kind === 'none') return { write: () => {}, close: () => {} };
  try {
    makeDirectory(directory);
  } catch (error) {
    throw new Error(`Cannot make the log directory ${directory}: ${(error as Error).message}`, { cause: error });
  }
  const isJson = choice.kind === 'json';
  const format = `${(choice.kind === 'file' ? choice.format : undefined) ?? usualFormat}\n`;
  const line = isJson ? (record: LogRecord): string => `${jsonLine(record)}\n` : compileFormat(format);
  const gap = (bytes: number): string =>
    line({
      level: 'warning',
      text: `${bytes} bytes of this log are missing here: they could not be written`,
      at: Date.now(),
    });
  const file = new LogFile(join(directory, isJson ? 'interchange.jsonlog' : 'interchange.log'), gap);
  const around = isJson ? undefined : compileSurroundings(format);
  let isEmpty = true;
  return {
    write: (level, text, at = Date.now()) => {
      if (levelNumbers[level] < choice.level) return;
      if (typeof text === 'string') file.write(line({ level, text: isJson ? text : printable(text), at }));
      else if (around === undefined) file.write(line({ level, text: String(text), at }));
      else {
        const { before, behind } = around(level, at);
        file.writeLine(before, text, behind);
      }
      // People look for the file as soon as the interchange answers.
      if (isEmpty) file.flush();
      isEmpty = false;
    },
    close: () => file.close(),
  };
}

/** The least level of which lines are wanted; `error` is the highest there is. */
export function leastLevel(choice: LogChoice): LogLevel {
  if (choice.kind === 'none') return 'error';
  const levels = ['debug', 'info', 'warning', 'error'] as const;
  return levels.find((level) => levelNumbers[level] >= choice.level) ?? 'error';
}

const usualFormat = '%(asctime)s.%(msecs)03d interchange %(process)d [%(levelname)s] %(message)s';

/** The keys of Parsl's JSONLogging. */
function jsonLine({ level, text, at }: LogRecord): string {
  return JSON.stringify({
    created: at / 1_000,
    process: process.pid,
    processName: 'MainProcess',
    threadName: 'MainThread',
    thread: process.pid,
    name: loggerName,
    lineno: 0,
    funcname: 'interchange',
    levelname: level.toUpperCase(),
    msg: text,
    formatted: text,
  });
}

// The interchange's log: where Parsl has it, one line an event, buffered, in the form the submitter's log configuration
// asks for. The shell owns it.
import { join } from 'node:path';
import { makeDirectory } from '../base/directory.ts';
import { LogFile } from '../base/log-file.ts';
import { printable } from '../base/printable.ts';
import type { LogChoice } from '../wire/messages/config.ts';
import type { LogLevel } from './events.ts';
import { compileFormat, type LogRecord, levelNumbers, loggerName } from './log-format.ts';

/** Takes lines; nothing a peer said can break one. At the level `debug` that is the caller's duty: every task has such lines. */
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
  try {
    makeDirectory(directory);
  } catch (error) {
    throw new Error(`Cannot make the log directory ${directory}: ${(error as Error).message}`, { cause: error });
  }
  const isJson = choice.kind === 'json';
  const file = new LogFile(join(directory, isJson ? 'interchange.jsonlog' : 'interchange.log'));
  const line = lineOf(choice);
  let isEmpty = true;
  return {
    write: (level, text) => {
      if (levelNumbers[level] < choice.level) return;
      // The core makes its lines of `debug` of numbers, and of names of managers as they are shown.
      const isPlain = isJson || level === 'debug';
      file.write(line({ level, text: isPlain ? text : printable(text), at: Date.now() }));
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

/** Makes lines, each with its end. */
function lineOf(choice: Exclude<LogChoice, { kind: 'none' }>): (record: LogRecord) => string {
  if (choice.kind === 'json') return (record) => `${jsonLine(record)}\n`;
  return compileFormat(`${(choice.kind === 'file' ? choice.format : undefined) ?? usualFormat}\n`);
}

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

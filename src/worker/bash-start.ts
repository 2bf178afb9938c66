// Starting bash: scripts that are too long for an argument, and what it means when it cannot be started. For worker/bash.ts.
import { randomUUID } from 'node:crypto';
import { existsSync, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError, BashNoCommandError } from '../task/errors.ts';

/** Linux takes 128 KiB for one argument; other systems have limits for all of them, and for the environment, together. */
const longestArgumentBytes = 100_000;

export function isTooLongForArgument(script: string): boolean {
  // A character has at most three bytes for each unit of a string.
  return script.length * 3 > longestArgumentBytes && Buffer.byteLength(script) > longestArgumentBytes;
}

/** A descriptor to read the script from. The file has no name any more: nothing is left of it when it is closed. */
export function openScript(script: string): number {
  const path = join(tmpdir(), `chervil-${randomUUID()}.sh`);
  try {
    writeFileSync(path, script, { flag: 'wx', mode: 0o600 });
    return openSync(path, 'r');
  } finally {
    if (existsSync(path)) unlinkSync(path);
  }
}

/** The failure of a command whose bash could not be started: an AppError, whose cause is named CommandStartError. */
export function startError(
  error: NodeJS.ErrnoException,
  script: string,
  cwd: string | undefined,
): AppError | BashNoCommandError {
  const { code } = error;
  if (code === 'ERR_INVALID_ARG_VALUE' && script.includes('\0')) {
    return new BashNoCommandError('The command has a NUL character, which bash cannot be given.');
  }
  const message = `The command could not be started: ${reasonOf(error, cwd)}`;
  return new AppError(
    { name: 'CommandStartError', message, stack: '', ...(code === undefined ? {} : { code }) },
    error,
  );
}

function reasonOf({ code, message }: NodeJS.ErrnoException, cwd: string | undefined): string {
  switch (code) {
    case 'ENOENT':
      if (cwd !== undefined && !existsSync(cwd)) return `its directory ${cwd} does not exist.`;
      return existsSync('/bin/bash') ? 'the current directory was removed.' : 'there is no /bin/bash on this machine.';
    case 'EACCES':
    case 'ENOTDIR':
      return cwd === undefined
        ? `/bin/bash is not executable (${code}).`
        : `its directory ${cwd} cannot be entered (${code}).`;
    case 'EAGAIN':
      return 'this user may have no more processes (EAGAIN). Run fewer at once, or raise `ulimit -u`.';
    case 'ENOMEM':
      return 'there is no memory for another process (ENOMEM). Run fewer at once.';
    case 'EMFILE':
    case 'ENFILE':
      return `there are too many open files (${code}). Run fewer at once, or raise \`ulimit -n\`.`;
    case 'E2BIG':
      return 'its environment is too long (E2BIG). Put long values in files.';
    default:
      return message;
  }
}

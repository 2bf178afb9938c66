// `chervil run`: runs the user's program in this process, and decides how the process ends.
//
// In this process, and not in a child of it: then Ctrl-C, kill -9, exit codes and debuggers concern one process, nothing can be
// left behind, and it starts 0.25 s sooner on Node.js 20 (0.1 s on 24). Threads load TypeScript by themselves (wire/typescript.ts).
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setCommandLine } from '../load/command-line.ts';
import type { Run } from '../load/run.ts';
import { importing } from '../wire/typescript.ts';
import { CommandError } from './command-error.ts';
import { configFrom } from './config-file.ts';
import { printFailure } from './failure.ts';
import { Progress, type ProgressWish } from './progress.ts';

export interface RunOptions {
  readonly config: string | undefined;
  readonly progress: ProgressWish;
  readonly echo: boolean;
}

/** Codes of a process that was ended by SIGINT or SIGTERM. */
const interrupted: readonly unknown[] = [130, 143];

/** Resolves when the program's module has run to its end; tasks and timers of it may go on. */
export async function run(given: string, args: readonly string[], options: RunOptions): Promise<void> {
  const file = programFile(given);
  const base = options.config === undefined ? undefined : await configFrom(options.config);
  const runs: Run[] = [];
  const progress = new Progress(options.progress);
  setCommandLine({
    ...(base === undefined ? {} : { base }),
    ...(options.echo ? { over: { echo: true } } : {}),
    onLoaded(loaded) {
      runs.push(loaded);
      progress.watch(loaded);
    },
  });
  process.argv = [process.execPath, file, ...args];

  let isEnding = false;
  const onUncaught = (thrown: unknown): void => {
    if (isEnding) return;
    isEnding = true;
    progress.stop();
    // After Ctrl-C a program that awaits a cancelled task throws: that is no news.
    const isNews = !(interrupted.includes(process.exitCode) && isCancellation(thrown));
    if (isNews) printFailure(thrown);
    if (isNews || !interrupted.includes(process.exitCode)) process.exitCode = 1;
    void endSoon(runs);
  };
  process.on('uncaughtException', onUncaught);
  process.on('unhandledRejection', onUncaught);

  let hasReturned = false;
  process.on('exit', () => {
    progress.finish();
    if (interrupted.includes(process.exitCode) || isEnding) return;
    if (!hasReturned && !process.exitCode) {
      process.stderr.write(
        `chervil: ${file} never came to its end: it awaits something at its top that nothing will settle\n`,
      );
      process.exitCode = 1;
    }
    if (!process.exitCode && runs.some(hasUnseenFailures)) process.exitCode = 1;
  });
  // A program that calls process.exit() itself has returned, as far as that goes.
  const { exit } = process;
  process.exit = ((...code: [number?]) => {
    hasReturned = true;
    return Reflect.apply(exit, process, code);
  }) as typeof exit;

  const { href } = pathToFileURL(file);
  try {
    await importing(href, () => import(href));
  } catch (thrown) {
    onUncaught(thrown);
  }
  hasReturned = true;
}

function programFile(given: string): string {
  const file = resolve(given);
  let isFile: boolean;
  try {
    isFile = statSync(file).isFile();
  } catch {
    throw new CommandError(
      `there is no file ${file}; chervil run takes the path of a program, from the current directory`,
    );
  }
  if (!isFile) throw new CommandError(`${file} is a directory; chervil run takes the path of a program`);
  return file;
}

/** Cancels what is left, cleans up, and ends the process, even if that should hang. */
async function endSoon(runs: readonly Run[]): Promise<void> {
  setTimeout(() => process.exit(), 5_000).unref();
  await Promise.allSettled(runs.map((one) => one.close({ exit: 'cancel' })));
  process.exit();
}

function hasUnseenFailures(run: Run): boolean {
  return run.unseenFailures().some(({ error }) => !isCancellation(error));
}

/** CANCELLED, or a consequence of it. */
function isCancellation(thrown: unknown): boolean {
  const { code, rootCause, error, suppressed } = (thrown ?? {}) as {
    code?: unknown;
    rootCause?: unknown;
    error?: unknown;
    suppressed?: unknown;
  };
  if (suppressed !== undefined) return isCancellation(error) && isCancellation(suppressed);
  return code === 'CANCELLED' || code === 'CLOSED' || (rootCause !== undefined && isCancellation(rootCause));
}

// Runs one command of a bash app: opens its files, starts /bin/bash in a process group of its own, and answers when bash has ended.
// worker/runner.ts calls it with what the app's function returned. Output goes to files, never through pipes, so that nothing that
// the command leaves in the background can delay the answer.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { closeSync, existsSync } from 'node:fs';
import { endProcesses } from '../base/processes.ts';
import { registerGroup, releaseGroup } from '../base/reaper.ts';
import { systemClock } from '../base/time.ts';
import { type Command, scriptOf } from '../task/command.ts';
import {
  BashExitError,
  BashNoCommandError,
  CancelledError,
  ChervilError,
  MissingOutputsError,
  type TaskError,
  TimeoutError,
} from '../task/errors.ts';
import type { Answer, CommandFiles } from '../task/ports.ts';
import { isTooLongForArgument, openScript, startError } from './bash-start.ts';
import { type OpenStream, openStream, tailOf } from './bash-streams.ts';

/** One command and all that is needed to run it. */
export interface CommandOptions {
  readonly command: Command | string;
  /** A stream without a target is the stream of this process. Input is always empty. */
  readonly files: CommandFiles;
  /** Milliseconds until the command and all that it started are ended; 0 is without limit. */
  readonly timeoutMs: number;
  /** What is left of that, when the function that gave the command took some. @default all of it */
  readonly leftMs?: number | undefined;
  /** Ends the command, too. Its reason becomes the answer if it is one of Chervil's errors, else a CancelledError's cause. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds between SIGTERM and SIGKILL, when it is ended. @default 500 */
  readonly graceMs?: number | undefined;
  /** Working directory. @default that of this process */
  readonly cwd?: string | undefined;
  /** Variables beside those of this process; `undefined` takes one away. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** CHERVIL_RUN of the command: the run it belongs to. */
  readonly mark: string;
  readonly taskId: number;
  readonly tryNumber: number;
  /** Descriptor of the reaper to tell of the process group, where nobody else does. */
  readonly reaperFd?: number | undefined;
  /**
   * Called when bash has been started, with its process group. Whoever can end this thread from outside must keep it: a thread
   * that is terminated leaves its commands running.
   */
  readonly onStart?: ((group: number) => void) | undefined;
  /** Called when bash has ended, before the answer. Background processes of the group may go on. */
  readonly onEnd?: ((group: number) => void) | undefined;
}

/**
 * Runs a command with /bin/bash. Exit code 0 answers 0. Otherwise a failure: BASH_EXIT, MISSING_OUTPUTS, BAD_STREAM (then nothing was
 * run), TIMEOUT and CANCELLED (then the group and everything else that carries the marks of this try is gone), BASH_NO_COMMAND,
 * and APP_ERROR with a `CommandStartError` if bash cannot be started. Never rejects.
 *
 * The command finds CHERVIL_RUN and CHERVIL_TASK (`41.0`: task and try) in its environment. What it leaves in the background goes on
 * after a normal end, at most until the run ends.
 *
 * @example
 * const answer = await runCommand({ command: sh`sort ${path}`, files, timeoutMs: 0, mark, taskId: 41, tryNumber: 0 });
 */
export function runCommand(options: CommandOptions): Promise<Answer> {
  const { files, signal } = options;
  const script = scriptOf(options.command);
  if (!script.ok)
    return failed(new BashNoCommandError(`The command must be sh\`…\` or a string, but is ${script.error}.`));
  if (signal?.aborted) return failed(stopError(signal.reason));
  const stdout = openStream('stdout', files.stdout);
  if (!stdout.ok) return failed(stdout.error);
  const stderr = openStream('stderr', files.stderr, script.value);
  if (!stderr.ok) {
    if (stdout.value) closeSync(stdout.value.fd);
    return failed(stderr.error);
  }
  let child: ChildProcess;
  try {
    child = start(script.value, options, stdout.value, stderr.value);
  } catch (error) {
    return failed(startError(error as NodeJS.ErrnoException, script.value, options.cwd));
  } finally {
    // The command has its own; ours would only cost descriptors.
    if (stdout.value) closeSync(stdout.value.fd);
    if (stderr.value) closeSync(stderr.value.fd);
  }
  return new Promise((resolve) => {
    watch(child, script.value, stderr.value, options, resolve);
  });
}

function start(
  script: string,
  options: CommandOptions,
  stdout: OpenStream | undefined,
  stderr: OpenStream | undefined,
): ChildProcess {
  const streams = ['ignore', stdout?.fd ?? 'inherit', stderr?.fd ?? 'inherit'] as const;
  const spawnOptions: SpawnOptions = {
    // A session of its own: no Ctrl-C from the terminal, and one number to end it by.
    detached: true,
    cwd: options.cwd,
    env: {
      ...process.env,
      ...options.environment,
      CHERVIL_RUN: options.mark,
      CHERVIL_TASK: `${options.taskId}.${options.tryNumber}`,
    },
  };
  if (!isTooLongForArgument(script)) {
    return spawn('/bin/bash', ['-c', '--', script], { ...spawnOptions, stdio: [...streams] });
  }
  const fd = openScript(script);
  try {
    return spawn('/bin/bash', ['-c', '--', '. /dev/fd/3'], { ...spawnOptions, stdio: [...streams, fd] });
  } finally {
    closeSync(fd);
  }
}

function watch(
  child: ChildProcess,
  script: string,
  stderr: OpenStream | undefined,
  options: CommandOptions,
  resolve: (answer: Answer) => void,
): void {
  const { signal, timeoutMs, leftMs = timeoutMs, reaperFd } = options;
  const { pid: group } = child;
  if (group === undefined) {
    // It could not be started; why comes as an event.
    child.once('error', (error) => resolve({ ok: false, error: startError(error, script, options.cwd) }));
    return;
  }
  /** Set once it is being stopped: then this is the answer, whatever bash's exit code. */
  let stopped: TaskError | undefined;
  let ended: () => void = () => {};
  let endTimer: (() => void) | undefined;

  const stop = (error: TaskError): void => {
    if (stopped) return;
    stopped = error;
    const exit = new Promise<void>((done) => {
      ended = done;
    });
    const marks = { CHERVIL_RUN: options.mark, CHERVIL_TASK: `${options.taskId}.${options.tryNumber}` };
    void endProcesses({ group, marks }, { graceMs: options.graceMs ?? 500 }).then(async (isGone) => {
      // What even SIGKILL cannot end, in a broken file system perhaps, must not hold the task.
      if (isGone) await exit;
      resolve({ ok: false, error });
    });
  };
  const onAbort = (): void => stop(stopError(signal?.reason));

  child.once('exit', (exitCode, exitSignal) => {
    endTimer?.();
    signal?.removeEventListener('abort', onAbort);
    if (reaperFd !== undefined) releaseGroup(reaperFd, group);
    options.onEnd?.(group);
    if (stopped) ended();
    else resolve(answerOf(exitCode, exitSignal, script, stderr, options.files.outputs));
  });
  // After a start the only error is one of kill(), which is not used.
  child.on('error', () => {});
  if (reaperFd !== undefined) registerGroup(reaperFd, group);
  options.onStart?.(group);
  if (timeoutMs > 0) endTimer = systemClock.after(leftMs, () => stop(new TimeoutError(timeoutMs)));
  signal?.addEventListener('abort', onAbort, { once: true });
  // `onStart` may have aborted it.
  if (signal?.aborted) onAbort();
}

function answerOf(
  exitCode: number | null,
  signal: NodeJS.Signals | null,
  script: string,
  stderr: OpenStream | undefined,
  outputs: readonly string[],
): Answer {
  if (exitCode !== 0) {
    return {
      ok: false,
      error: new BashExitError({ exitCode, signal, command: script, stderrTail: stderr ? tailOf(stderr) : '' }),
    };
  }
  if (outputs.length > 0) {
    const missing = outputs.filter((path) => !existsSync(path));
    if (missing.length > 0) return { ok: false, error: new MissingOutputsError(missing) };
  }
  return { ok: true, value: 0 };
}

function stopError(reason: unknown): TaskError {
  // The kernel stops a try with the error that it has for the task.
  if (reason instanceof ChervilError) return reason as TaskError;
  // AbortController.abort() without a reason says only that.
  const isPlain = reason instanceof DOMException && reason.name === 'AbortError';
  return new CancelledError(isPlain ? undefined : reason);
}

function failed(error: TaskError): Promise<Answer> {
  return Promise.resolve({ ok: false, error });
}

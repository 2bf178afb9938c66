// Checks the options of an app where it is made, and brings them into the one shape that the kernel knows.
import type { AppRecord, RetryPolicy } from '../kernel/app-record.ts';
import { ConfigError } from '../task/errors.ts';
import type { Body } from '../task/ports.ts';
import { checkRetry, checkStream, Problems } from './check.ts';
import type { BashOptions } from './types.ts';

const known = ['name', 'retry', 'timeout', 'deadline', 'memo', 'executors', 'resources', 'signal'];
const knownToBash = [...known, 'stdout', 'stderr', 'label'];

/** The record of an app. Throws a ConfigError with everything that is wrong. */
export function recordOf(body: Body, options: BashOptions<never[]>): AppRecord {
  const problems = new Problems();
  if (typeof options !== 'object' || options === null) {
    throw new ConfigError(`The options of ${body.name}`, [
      { path: 'options', problem: `expected an object, not ${String(options)}` },
    ]);
  }
  const names = body.kind === 'bash' ? knownToBash : known;
  problems.unknownKeys(options, names, '');
  const timeoutMs = problems.duration(options.timeout, 'timeout');
  const deadlineMs = problems.duration(options.deadline, 'deadline');
  const retry = checkRetry(options.retry, 'retry', problems);
  checkStream(options.stdout, 'stdout', problems);
  checkStream(options.stderr, 'stderr', problems);
  const { memo, executors, signal, resources, name, label } = options;
  if (
    memo !== undefined &&
    typeof memo !== 'boolean' &&
    typeof memo !== 'function' &&
    (typeof memo !== 'object' || memo === null)
  ) {
    problems.add('memo', `expected true, false, a key function or an object, not ${String(memo)}`);
  }
  if (executors !== undefined && executors !== 'all') {
    if (!Array.isArray(executors) || executors.some((one) => typeof one !== 'string')) {
      problems.add('executors', `expected 'all' or a list of labels, not ${JSON.stringify(executors)}`);
    } else if (executors.length === 0) {
      problems.add('executors', 'an empty list allows no executor; leave it out to allow all');
    }
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) problems.add('signal', 'expected an AbortSignal');
  if (resources !== undefined && (typeof resources !== 'object' || resources === null))
    problems.add('resources', 'expected an object');
  if (name !== undefined && (typeof name !== 'string' || name === '')) problems.add('name', 'expected a text');
  if (label !== undefined && typeof label !== 'string') problems.add('label', 'expected a text');
  if (body.kind === 'join') {
    for (const key of ['executors', 'timeout', 'resources'] as const) {
      if (options[key] !== undefined)
        problems.add(key, 'join apps have none: their body runs in this process, and only calls other apps');
    }
  }
  problems.throwIfAny(`The options of ${body.name}`);
  return {
    name: body.name,
    body,
    retry: retry as RetryPolicy | undefined,
    timeoutMs: timeoutMs ?? 0,
    deadlineMs: deadlineMs ?? 0,
    memo:
      memo === undefined || memo === false
        ? undefined
        : memo === true
          ? {}
          : typeof memo === 'function'
            ? { key: memo }
            : memo,
    executors: executors === 'all' ? undefined : executors,
    resources,
    signal,
    stdout: options.stdout,
    stderr: options.stderr,
    label,
  };
}

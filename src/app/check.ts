// Gathers everything that is wrong with a set of options, by path, so that one error can say it all.
import { nearest } from '../base/nearest.ts';
import { parseDuration } from '../base/time.ts';
import { AUTO_LOGNAME, type RetryPolicy } from '../kernel/app-record.ts';
import { ConfigError, type ConfigProblem } from '../task/errors.ts';

/** Problems found so far. */
export class Problems {
  readonly list: ConfigProblem[] = [];

  add(path: string, problem: string): void {
    this.list.push({ path, problem });
  }

  /** Keys that are not known, with the nearest one that is. */
  unknownKeys(options: object, known: readonly string[], path: string): void {
    for (const key of Object.keys(options)) {
      if (known.includes(key)) continue;
      const near = nearest(key, known);
      this.add(
        path === '' ? key : `${path}.${key}`,
        near ? `unknown option; did you mean '${near}'?` : `unknown option; there are ${known.join(', ')}`,
      );
    }
  }

  /** Milliseconds of a duration; `undefined` when there is none, or it is wrong. */
  duration(value: unknown, path: string): number | undefined {
    if (value === undefined) return undefined;
    const ms = parseDuration(value);
    if (ms === undefined)
      this.add(path, `expected milliseconds or a duration such as '90s', '5m' or '1.5h', not ${show(value)}`);
    else if (ms === 0) this.add(path, 'must be more than 0; leave it out for no limit');
    return ms;
  }

  /** A whole number of at least `least`. */
  count(value: unknown, path: string, least: number): void {
    if (value === undefined) return;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least) {
      this.add(path, `expected a whole number from ${least} up, not ${show(value)}`);
    }
  }

  oneOf(value: unknown, path: string, allowed: readonly unknown[]): void {
    if (value !== undefined && !allowed.includes(value))
      this.add(path, `expected ${allowed.map(show).join(' or ')}, not ${show(value)}`);
  }

  throwIfAny(what: string): void {
    if (this.list.length > 0) throw new ConfigError(what, this.list);
  }
}

/** A value as it is shown in a message. */
export function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint') return `${value}n`;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

/** A retry policy from its short form: a number is a budget. */
export function checkRetry(value: unknown, path: string, problems: Problems): RetryPolicy | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number') {
    if (Number.isNaN(value) || value < 0) problems.add(path, `expected a number from 0 up, not ${value}`);
    return { budget: value };
  }
  if (typeof value !== 'object' || value === null) {
    problems.add(path, `expected a number of retries or a policy { budget, cost, delay, losses }, not ${show(value)}`);
    return undefined;
  }
  const { budget, cost, delay, losses } = value as Record<string, unknown>;
  problems.unknownKeys(value, ['budget', 'cost', 'delay', 'losses'], path);
  if (budget !== undefined && (typeof budget !== 'number' || Number.isNaN(budget) || budget < 0)) {
    problems.add(`${path}.budget`, `expected a number from 0 up, not ${show(budget)}`);
  }
  if (cost !== undefined && typeof cost !== 'function')
    problems.add(`${path}.cost`, `expected a function (error, context) => number, not ${show(cost)}`);
  if (delay !== undefined && typeof delay !== 'function' && parseDuration(delay) === undefined) {
    problems.add(`${path}.delay`, `expected a duration or a function (tries) => milliseconds, not ${show(delay)}`);
  }
  problems.count(losses, `${path}.losses`, 0);
  return value;
}

/** Where an output stream goes. */
export function checkStream(value: unknown, path: string, problems: Problems): void {
  if (value === undefined || value === AUTO_LOGNAME) return;
  if (typeof value === 'string' || value instanceof URL) {
    checkPlace(value, path, problems);
    return;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !('path' in value)) {
    problems.add(path, `expected a path, { path, mode }, 'inherit' or AUTO_LOGNAME, not ${show(value)}`);
    return;
  }
  const { path: target, mode } = value as Record<string, unknown>;
  problems.unknownKeys(value, ['path', 'mode'], path);
  checkPlace(target, `${path}.path`, problems);
  problems.oneOf(mode, `${path}.mode`, ['append', 'truncate']);
}

/** A path or a `file:` URL. */
function checkPlace(value: unknown, path: string, problems: Problems): void {
  const url = value instanceof URL ? value.href : value;
  if (typeof url !== 'string' || url === '' || url.includes('\0'))
    problems.add(path, `expected a path, not ${show(value)}`);
  else if (/^[a-zA-Z][a-zA-Z0-9+.-]+:/.test(url) && !url.startsWith('file:')) {
    problems.add(path, `expected a path or a file: URL, not ${show(url)}; a command writes to local files only`);
  }
}

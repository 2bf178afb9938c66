// backoff(): growing waits between the tries of a retry policy, with jitter, so that what failed together does not return together.
import { type Duration, parseDuration } from '../base/time.ts';
import { ConfigError } from '../task/errors.ts';

export interface BackoffOptions {
  /** No wait is longer. @default '5m' */
  readonly max?: Duration;
  /** Each wait is so many times the last. @default 2 */
  readonly factor?: number;
  /** Part of each wait that is left to chance: 0 none, 1 all of it. @default 0.5 */
  readonly jitter?: number;
  /** Gives numbers from 0 up to 1, for tests. @default Math.random */
  readonly random?: () => number;
}

/**
 * Waits that grow: `first`, then `factor` times as long, up to `max`.
 *
 * @example
 * const patient = { budget: 3, delay: backoff('1s', { max: '1m' }) };
 */
export function backoff(first: Duration, options: BackoffOptions = {}): (tries: number) => number {
  const { max = '5m', factor = 2, jitter = 0.5, random = Math.random } = options;
  const firstMs = parseDuration(first);
  const maxMs = parseDuration(max);
  const problems = [];
  if (firstMs === undefined)
    problems.push({ path: 'first', problem: `expected a duration such as '1s', not ${String(first)}` });
  if (maxMs === undefined)
    problems.push({ path: 'max', problem: `expected a duration such as '1m', not ${String(max)}` });
  if (!(factor >= 1)) problems.push({ path: 'factor', problem: `expected a number from 1 up, not ${factor}` });
  if (!(jitter >= 0 && jitter <= 1))
    problems.push({ path: 'jitter', problem: `expected a number from 0 to 1, not ${jitter}` });
  if (firstMs === undefined || maxMs === undefined || problems.length > 0) throw new ConfigError('backoff()', problems);
  return (tries) => {
    const whole = Math.min(maxMs, firstMs * factor ** Math.max(0, tries - 1));
    return whole * (1 - jitter * random());
  };
}

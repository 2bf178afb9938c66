// Durations as people write them, and the clock as a port.
import { assert } from './assert.ts';

/** A length of time: milliseconds as a number, or a number with a unit: `'250ms'`, `'90s'`, `'5m'`, `'1.5h'`, `'2d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`;

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Milliseconds of a {@link Duration}, or `undefined` when it is not one (negative, not finite, unknown unit).
 *
 * @example
 * parseDuration('1.5h') // 5400000
 */
export function parseDuration(duration: unknown): number | undefined {
  if (typeof duration === 'number') return Number.isFinite(duration) && duration >= 0 ? duration : undefined;
  if (typeof duration !== 'string') return undefined;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration.trim());
  if (!match) return undefined;
  return Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
}

/** As {@link parseDuration}, for a duration that was checked before. */
export function milliseconds(duration: Duration): number {
  const ms = parseDuration(duration);
  assert(ms !== undefined, `not a duration: ${String(duration)}`);
  return ms;
}

/** `412 ms`, `1.2 s`, `3 m 20 s`, `2 h 5 m`: for people. */
export function showDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} m`;
}

/** What a core may know of time. Tests pass one that stands still until told. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Calls `action` once, after `ms`. The returned function takes that back. A waiting timer keeps the process alive only if `keepAlive`. */
  after(ms: number, action: () => void, keepAlive?: boolean): () => void;
}

const longestTimerMs = 2 ** 31 - 1;

/** The machine's clock. Delays beyond Node's limit of 24.8 days are waited for in steps. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, action, keepAlive = true) {
    let timer: NodeJS.Timeout;
    const arm = (left: number): void => {
      timer = setTimeout(
        () => (left > longestTimerMs ? arm(left - longestTimerMs) : action()),
        Math.min(left, longestTimerMs),
      );
      if (!keepAlive) timer.unref();
    };
    arm(Math.max(0, ms));
    return () => clearTimeout(timer);
  },
};

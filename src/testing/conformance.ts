// The conformance suite: what every executor does, whoever wrote it. One group of tests to a file, in conformance/.
import { test } from 'node:test';
import type { Executor } from '../task/ports.ts';
import { testBodies } from './conformance/bodies-run.ts';
import { testCommands } from './conformance/commands.ts';
import { testEnds } from './conformance/ends.ts';
import { testFailures } from './conformance/failures.ts';
import { testLosses } from './conformance/losses.ts';
import { testRuns } from './conformance/runs.ts';
import { testValues } from './conformance/values.ts';

/** Registers a test, as `test` of node:test and `it` of others do. */
export type TestLike = (title: string, body: () => Promise<void>) => unknown;

/** What an executor can do beyond the least. */
export interface Supports {
  /** It can end a body that computes without end. @default true */
  readonly kill?: boolean;
  /** A body that ends its worker costs nobody else anything. @default true */
  readonly crash?: boolean;
  /** A body that takes too much memory is ended. What `make` gives should have a low limit then. @default false */
  readonly memory?: boolean;
  /** It runs commands of bash apps. @default true */
  readonly bash?: boolean;
  /** What bodies print is told to the host. @default true */
  readonly output?: boolean;
}

export interface ConformanceOptions {
  /** Stands before each title. */
  readonly name: string;
  /** Makes a new executor: one for each test. Two bodies at once, or four, are enough. */
  readonly make: () => Executor;
  readonly supports?: Supports;
  /** @default test of node:test */
  readonly test?: TestLike;
}

/** What the groups of the suite work with. */
export interface Suite {
  readonly make: () => Executor;
  readonly supports: Required<Supports>;
  readonly test: TestLike;
}

/**
 * Registers the tests that every executor passes.
 *
 * @example
 * import { conformance } from 'chervil/testing';
 * conformance({ name: 'mine', make: () => mine({ max: 2 }), supports: { kill: false } });
 */
export function conformance(options: ConformanceOptions): void {
  const register: TestLike = options.test ?? ((title, body) => test(title, { timeout: 60_000 }, body));
  const suite: Suite = {
    make: options.make,
    supports: { kill: true, crash: true, memory: false, bash: true, output: true, ...options.supports },
    test: (title, body) => register(`${options.name}: ${title}`, body),
  };
  for (const group of [testBodies, testValues, testFailures, testEnds, testLosses, testCommands, testRuns])
    group(suite);
}

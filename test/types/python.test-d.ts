// What the types of Python apps promise, and the mistakes that they must refuse. Checked by the compiler; nothing here is run.
import {
  defineConfig,
  type Future,
  keywords,
  pythonApp,
  pythonWrapper,
  type StandardSchema,
  wrapper,
} from '#src/index.js';

const peak = pythonApp<(samples: number[], rate: number) => { at: number }>('signals:peak');
declare const rate: Future<number>;

peak([1, 2], 8) satisfies Future<{ at: number }>;
peak([1, rate], rate).get('at') satisfies Future<number>;
peak([1, 2], keywords({ rate })) satisfies Future<{ at: number }>;
peak(keywords({ samples: [1], rate: 8 })) satisfies Future<{ at: number }>;
peak.with({ timeout: '1s' })([1], 2) satisfies Future<{ at: number }>;
// @ts-expect-error samples are numbers
peak(['a'], 8);
// @ts-expect-error one is missing
peak([1]);
// @ts-expect-error arguments by name are made by keywords()
peak([1], { rate: 8 });

const unknownOne = pythonApp('signals:peak');
unknownOne(1, 'a', { b: rate }) satisfies Future<unknown>;
// @ts-expect-error nobody said what it gives
unknownOne() satisfies Future<number>;

const half = pythonApp.source<(x: number, by?: number) => number>('def half(x, by=2):\n    return x / by\n');
half(1) satisfies Future<number>;
half(1, keywords({ by: 3 })) satisfies Future<number>;
half.map([1, 2]) satisfies Future<number>[];

declare const schema: StandardSchema<{ power: number[] }>;
pythonApp('signals:power', { returns: schema })(1, 2) satisfies Future<{ power: number[] }>;
pythonApp.source('def f(): pass', { returns: schema, retry: 1 })() satisfies Future<{ power: number[] }>;

const around = pythonWrapper('timing:timed');
defineConfig({ wrap: [around, wrapper(new URL('file:///timing.ts'), 'timed', { python: 'skip' })] });
// @ts-expect-error an app is no wrapper
defineConfig({ wrap: [half] });
// @ts-expect-error it can be skipped, or refused
wrapper(new URL('file:///timing.ts'), 'timed', { python: 'wrap' });

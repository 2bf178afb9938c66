// What TypeScript must infer of apps, and the errors that it must give. Only compiled, never run.
import {
  type App,
  app,
  apps,
  asCompleted,
  type BashFuture,
  bashApp,
  type Completed,
  defineConfig,
  type File,
  type Future,
  file,
  inline,
  joinApp,
  load,
  type Output,
  output,
  type RetryPolicy,
  sh,
  stream,
  type TaskError,
  threads,
} from '#src/index.js';
import type * as tasks from './tasks.ts';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Fails to compile unless both types are the same. */
declare function same<A, B>(_: Same<A, B>): void;

// A value, a future of it, or any promise of it.
const square = app((n: number) => n * n);
const shout = app(async (text: string, loud: boolean) => (loud ? text.toUpperCase() : text));
same<ReturnType<typeof square>, Future<number>>(true);
same<ReturnType<typeof shout>, Future<string>>(true);
square(2);
square(square(2));
square(Promise.resolve(2));
shout(shout('a', true), Promise.resolve(false));
// @ts-expect-error a text is no number
square('2');
// @ts-expect-error nor is the future of one
square(shout('a', true));
// @ts-expect-error nor a promise of one
square(Promise.resolve('2'));
// @ts-expect-error an argument is missing
shout('a');
// @ts-expect-error there is one too many
square(1, 2);
// @ts-expect-error a future is not its value
square(2) + 1;
await load();
same<Awaited<ReturnType<typeof shout>>, string>(true);

// Futures at any depth.
const mean = app((hits: number[], points: number) => hits.length * points);
const hits = Array.from({ length: 8 }, () => square(3));
mean(hits, 10);
mean([1, square(2), Promise.resolve(3)], square(4));
mean(Promise.resolve([1, 2]), 10);
// @ts-expect-error a list of texts
mean(['a'], 1);
// @ts-expect-error a list of futures of texts
mean([shout('a', true)], 1);

interface Job {
  readonly name: string;
  readonly steps: readonly { readonly n: number; readonly tags?: string[] }[];
  readonly pair: [number, string];
  readonly mode: 'fast' | 'slow';
  readonly when: Date;
  readonly byName: Map<string, number>;
  readonly more?: { deep: { deeper: number } };
}
const run = app((job: Job) => job.name);
declare const job: Job;
run(job);
run({ ...job, name: shout('a', true) });
run({ ...job, steps: [{ n: square(1) }, { n: 2, tags: [shout('t', false)] }] });
run({ ...job, pair: [square(1), shout('a', true)] });
run({ ...job, mode: 'fast' });
run({ ...job, more: { deep: { deeper: square(1) } } });
run({ ...job, more: Promise.resolve({ deep: { deeper: 1 } }) });
run({ ...job, when: Promise.resolve(new Date()) });
// @ts-expect-error no such mode
run({ ...job, mode: 'quick' });
// @ts-expect-error wrong at depth
run({ ...job, more: { deep: { deeper: shout('a', true) } } });
// @ts-expect-error maps are not searched
run({ ...job, byName: new Map([['a', square(1)]]) });
// @ts-expect-error a property is missing
run({ name: 'x' });
// @ts-expect-error a tuple has its length
run({ ...job, pair: [1, 'a', 2] });

// Types that hold themselves, unions, records, optional and rest parameters.
interface Tree {
  value: number;
  children: Tree[];
}
const sumTree = app((tree: Tree): number => tree.value);
sumTree({ value: square(1), children: [{ value: 2, children: [] }, Promise.resolve({ value: 3, children: [] })] });
// @ts-expect-error wrong in a branch
sumTree({ value: 1, children: [{ value: 'x', children: [] }] });
const either = app((value: number | string) => String(value));
either(square(1));
either(shout('a', true));
either(Math.random() > 0.5 ? square(1) : 'two');
const total = app((counts: Record<string, number>) => Object.keys(counts).length);
total({ a: 1, b: square(2) });
// @ts-expect-error a record of numbers
total({ a: 'x' });
const optional = app((a: number, b?: number, ...rest: string[]) => [a, b, rest]);
optional(1);
optional(1, square(2), 'x', shout('y', true));
// @ts-expect-error rest has its type
optional(1, 2, 3);
const withDefault = app((a: number, b = 2) => a + b);
withDefault(1);
same<ReturnType<typeof withDefault>, Future<number>>(true);
const nothing = app(() => {});
same<ReturnType<typeof nothing>, Future<void>>(true);
const maybe = app((n: number): number | undefined => (n > 0 ? n : undefined));
same<ReturnType<typeof maybe>, Future<number | undefined>>(true);
// @ts-expect-error it may be undefined
square(maybe(1));
const anything = app((value: unknown) => typeof value);
anything(square(1));
anything({ deep: [square(1)] });
// The known limit: a generic function loses its type parameter.
const first = app(<T>(list: T[]) => list[0]);
same<ReturnType<typeof first>, Future<unknown>>(true);
const typeless = app((n) => n);
// @ts-expect-error a parameter without a type takes nothing
typeless(1);
const keyed = app(async (x: { a: number }, y = 3) => x.a + y, { memo: (x, y) => [x.a, y] });
same<ReturnType<typeof keyed>, Future<number>>(true);
keyed({ a: square(1) });
// @ts-expect-error a class is no app
app(class {});
// @ts-expect-error an app is made of a function
app(5);

// Futures: get, map, and what they are.
const found = app((n: number) => ({ peak: n, power: [n], label: 'x' as string | undefined }))(1);
same<Awaited<typeof found>, { peak: number; power: number[]; label: string | undefined }>(true);
const peak = found.get('peak');
same<typeof peak, Future<number>>(true);
mean(found.get('power'), found.get('peak'));
// @ts-expect-error no such property
found.get('valley');
const mapped = found.map(async ({ power }) => power.length > 0);
same<typeof mapped, Future<boolean>>(true);
const flat = found.map(({ peak: n }) => square(n));
same<typeof flat, Future<number>>(true);
same<(typeof found)['id'], number>(true);
const all = await Promise.all([square(1), shout('a', true)]);
same<typeof all, [number, string]>(true);
// @ts-expect-error there is no such state
found.state === 'cancelled';
found.catch((error: TaskError) => error.code);

// apps(): the functions of a module, and nothing else.
const { count, merge } = apps<typeof tasks>(new URL('./tasks.ts', import.meta.url));
same<ReturnType<typeof count>, Future<Record<string, number>>>(true);
merge([count('a'), count('b')]);
merge(['a', 'b'].map((url) => count(url))).map((parts) => Object.entries(parts).sort((a, b) => b[1] - a[1]));
const module = apps<typeof tasks>(new URL('./tasks.ts', import.meta.url));
same<Awaited<ReturnType<typeof module.default>>, number>(true);
// @ts-expect-error a number is no app
module.limit;
// @ts-expect-error a list is no app
module.words;
// @ts-expect-error a class is no app
module.Tally;
// @ts-expect-error there is no such export
module.counts;
// @ts-expect-error its parameter is a text
count(5);

// bashApp: outputs has exactly the keys whose type is Output.
const sort = bashApp(
  (io: { from: File; to: Output; log?: Output; lines: number }) => sh`sort -n ${io.from} > ${io.to}`,
);
const sorted = sort({ from: file('a'), to: output('b'), lines: 3 });
same<typeof sorted.outputs.to, Future<File>>(true);
sort({ from: sorted.outputs.to, to: output('c'), lines: square(3) });
// @ts-expect-error from is an input
sorted.outputs.from;
// @ts-expect-error lines is a number
sorted.outputs.lines;
// @ts-expect-error an input is no output
sort({ from: file('a'), to: file('b'), lines: 3 });
same<Awaited<typeof sorted>, number>(true);
same<Awaited<typeof sorted.stdout>, string>(true);
same<typeof sorted.stdout.path, string | undefined>(true);
const copy = bashApp((from: File, to: Output) => sh`cp ${from} ${to}`);
same<(typeof copied.outputs)[1], Future<File>>(true);
const copied = copy(sorted.outputs.to, output('d'));
// @ts-expect-error the first is an input
copied.outputs[0];
const plain = bashApp((n: number) => `head -n ${n}`);
// @ts-expect-error it has no outputs
plain(1).outputs.to;
same<ReturnType<typeof plain.map>, BashFuture<ReturnType<typeof plain>['outputs']>[]>(true);
// @ts-expect-error a command is a text or sh`…`
bashApp(() => 5);

// joinApp: the values of the futures that its body gives.
const add = app((a: number, b: number) => a + b);
const one = app(() => 1);
const fibonacci = joinApp((n: number): Future<number> => (n < 2 ? one() : add(fibonacci(n - 1), fibonacci(n - 2))));
same<ReturnType<typeof fibonacci>, Future<number>>(true);
const many = joinApp((n: number) => Array.from({ length: n }, (_, index) => square(index)));
same<ReturnType<typeof many>, Future<number[]>>(true);
const later = joinApp(async (n: number) => (await square(n)) + 1);
same<ReturnType<typeof later>, Future<number>>(true);
const laterList = joinApp(async () => [square(1), square(2)]);
same<ReturnType<typeof laterList>, Future<number[]>>(true);
const ofList = joinApp(() => found.get('power'));
same<ReturnType<typeof ofList>, Future<number[]>>(true);
const empty = joinApp((): Future<string>[] => []);
same<ReturnType<typeof empty>, Future<string[]>>(true);
many(square(2));
// @ts-expect-error a join gives futures
joinApp(() => 5);
// @ts-expect-error or a list of nothing but futures
joinApp(() => [square(1), 2]);
// @ts-expect-error a join has no timeout: its body only calls
joinApp(() => square(1), { timeout: '1s' });

// Options, on the app and with .with().
const tried = app((n: number, label: string) => `${n} ${label}`, {
  retry: 3,
  timeout: '90s',
  memo: (n, label) => [n, label.length],
});
const elsewhere = tried.with({ executors: ['gpu'], deadline: '1.5h', signal: AbortSignal.timeout(5) });
same<typeof elsewhere, App<[n: number, label: string], string>>(true);
elsewhere(1, 'a');
// @ts-expect-error options have names
app((n: number) => n, { walltime: 5 });
// @ts-expect-error a duration has a unit
app((n: number) => n, { timeout: '5 minutes' });
// @ts-expect-error a key function gets the app's arguments
app((n: number) => n, { memo: (text: string) => text });
// @ts-expect-error only bash apps have a stdout
square.with({ stdout: 'x' });
copy.with({ stdout: { path: 'x', mode: 'truncate' } });
// @ts-expect-error there are two modes
copy.with({ stdout: { path: 'x', mode: 'w' } });

// Labels.
const config = defineConfig({ executors: [threads({ label: 'cpu', max: 2 }), inline({ label: 'gpu' }), inline()] });
same<(typeof config.executors)[number]['label'], 'cpu' | 'gpu' | 'inline'>(true);
defineConfig({ retry: 2 });
// @ts-expect-error a config has names
defineConfig({ executor: [threads()] });
// @ts-expect-error exit waits or cancels
defineConfig({ exit: 'now' });
// @ts-expect-error an executor is made by a function
defineConfig({ executors: ['threads'] });

// map and stream.
const squares = square.map([1, 2, square(3)]);
same<typeof squares, Future<number>[]>(true);
shout.map(['a', 'b'], true);
// @ts-expect-error the second argument is for all, and a boolean
shout.map(['a', 'b'], 1);
// @ts-expect-error its elements are numbers
square.map(['a']);
function* numbers(): Generator<number> {
  yield 1;
}
async function* slowly(): AsyncGenerator<number> {
  yield 1;
}
for await (const n of stream(square, numbers(), { ahead: 10 })) same<typeof n, number>(true);
for await (const n of stream(square, slowly(), { ordered: false, onError: 'throw' })) same<typeof n, number>(true);
for await (const done of stream(square, [1, 2], { onError: 'yield' })) {
  same<typeof done, Completed<number>>(true);
  if (done.ok) same<typeof done.value, number>(true);
  else same<typeof done.error, TaskError>(true);
}
// @ts-expect-error a source of texts
stream(square, ['a']);
for await (const done of asCompleted([square(1), square(2)])) {
  if (done.ok) same<typeof done.value, number>(true);
  else done.error.code;
  // @ts-expect-error there is a value only when it is ok
  done.value;
}
for await (const done of asCompleted([square(1), shout('a', true)]))
  if (done.ok) same<typeof done.value, string | number>(true);

// Errors narrow by their code, and a new code is a compile error here.
function advice(error: TaskError): string {
  switch (error.code) {
    case 'APP_ERROR':
      return error.remote.name;
    case 'BASH_EXIT':
      return `${error.exitCode} ${error.command}`;
    case 'WORKER_LOST':
      return error.host;
    case 'MANAGER_LOST':
      return error.manager;
    case 'TIMEOUT':
      return String(error.timeoutMs);
    case 'DEADLINE':
      return String(error.deadlineMs);
    case 'DEPENDENCY':
    case 'JOIN':
      return error.failures.map(({ description }) => description).join();
    case 'MISSING_OUTPUTS':
      return error.missing.join();
    case 'BAD_STREAM':
    case 'FILE_NOT_FOUND':
    case 'SERIALIZATION':
      return error.path;
    case 'EXECUTOR_FAILED':
      return error.executor;
    case 'ELABORATOR':
      return error.elaborator;
    case 'FUNCTION_NOT_FOUND':
      return error.module;
    case 'STAGING':
      return error.url;
    case 'RETRY_POLICY':
      return String(error.original);
    case 'BASH_NO_COMMAND':
    case 'CANCELLED':
    case 'JOIN_RESULT':
    case 'DESERIALIZATION':
    case 'MEMO_KEY':
    case 'MEMO_CYCLE':
    case 'UNSUPPORTED':
      return error.shortMessage;
    default:
      error satisfies never;
      return '';
  }
}
advice(
  await square(1).then(
    () => Promise.reject(),
    (error) => error,
  ),
);

const patient: RetryPolicy = {
  budget: 3,
  cost: (error) => {
    switch (error.code) {
      case 'WORKER_LOST':
        return 0.5;
      case 'APP_ERROR':
        return error.remote.name === 'RangeError' ? Number.POSITIVE_INFINITY : 1;
      default:
        return 1;
    }
  },
};
app((n: number) => n, { retry: patient });
// @ts-expect-error a cost is a number
({ cost: () => 'much' }) satisfies RetryPolicy;

// What is passed is copied, so a list that cannot be changed goes where a list is wanted.
const totalOf = app((all: number[]) => all.reduce((sum, n) => sum + n, 0));
declare const futures: readonly Future<number>[];
declare const fixed: readonly number[];
totalOf(futures);
totalOf(fixed);
// @ts-expect-error texts are no numbers
totalOf(['a'] as readonly string[]);

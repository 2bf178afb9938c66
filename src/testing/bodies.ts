// Bodies of the conformance suite that are sent by reference.
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { task } from '../inside.ts';
import { assertSame, madeOf } from './value-table.ts';

export function add(a: number, b: number): number {
  return a + b;
}

export async function addLater(a: number, b: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 1));
  return a + b;
}

export const notAFunction = 7;

/** Makes a value of the table where the task runs. */
export function give(expression: string): unknown {
  return madeOf(expression);
}

/** Compares what arrived with a value of the table, where the task runs. */
export function take(value: unknown, expression: string): string {
  assertSame(value, madeOf(expression));
  return 'the same';
}

export function sizeOf(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return sum;
}

export function echo(value: unknown): unknown {
  return value;
}

export function fail(): never {
  const cause = Object.assign(new TypeError('the cause'), { code: 'E_CAUSE' });
  throw Object.assign(new RangeError('too hot', { cause }), { code: 'E_HOT', degrees: 451 });
}

export async function failLater(): Promise<never> {
  await null;
  throw new AggregateError([new TypeError('one'), new Error('two')], 'several');
}

export function throwValue(value: unknown): never {
  throw value;
}

/** Computes for a while. */
export function compute(ms: number): number {
  const until = performance.now() + ms;
  while (performance.now() < until);
  return ms;
}

/** Computes without end. */
export function spin(): never {
  for (;;);
}

/** Writes a mark, and computes without end. */
export function markAndSpin(path: string): never {
  appendFileSync(path, 'x');
  spin();
}

/** Waits without end. */
export function wait(): Promise<never> {
  return new Promise(() => {});
}

/** Says that it is there, waits until it is told to stop, and leaves a note of that. */
export function waitForSignal(up: string, path: string): Promise<string> {
  const { signal } = task;
  writeFileSync(up, 'x');
  return new Promise((resolve) => {
    const timer = setInterval(() => {}, 1_000);
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      writeFileSync(path, String((signal.reason as Error).message));
      resolve('stopped');
    });
  });
}

export function exit(code: number): never {
  process.exit(code);
}

/** Throws where nobody can catch it. */
export function throwOutside(): Promise<never> {
  setTimeout(() => {
    throw new Error('outside');
  }, 1);
  return wait();
}

export function forgetRejection(): Promise<never> {
  void Promise.reject(new Error('forgotten'));
  return wait();
}

export function eatMemory(): never {
  const all: unknown[] = [];
  for (;;) all.push(new Array(10_000).fill(all.length));
}

/** Loses its worker in the first try. */
export function exitOnce(path: string): number {
  if (!existsSync(path)) {
    writeFileSync(path, '');
    process.exit(1);
  }
  return task.try;
}

export function facts(): unknown {
  const { id, app, signal, workdir } = task;
  task.log('noted');
  return { id, try: task.try, app, isAborted: signal.aborted, hasDirectory: existsSync(workdir) };
}

export function print(text: string): void {
  console.log(text);
  console.error(`${text} on stderr`);
}

/** Gives its argument as the command. */
export function command(text: string): string {
  return text;
}

/** A wrapper. */
export async function twice(next: () => unknown, facts: { id: number; try: number; app: string }): Promise<unknown> {
  return [await next(), facts.app];
}

export async function outer(next: () => unknown): Promise<unknown> {
  return { outer: await next() };
}

// A join app calls other apps, itself too, and is done when they are: `fibonacci.ts [n]`.
import { app, type Future, joinApp, load } from 'chervil';

const add = app((a: number, b: number) => a + b);
const one = app(() => 1);
const fibonacci = joinApp((n: number): Future<number> => (n < 2 ? one() : add(fibonacci(n - 1), fibonacci(n - 2))));

await using run = await load();
console.log(await fibonacci(Number(process.argv[2] ?? 12))); // 233

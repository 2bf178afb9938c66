// The smallest program: a function becomes an app, its call a task, and its result comes by `await`.
import { app, load } from 'chervil';

const hello = app((name: string) => `Hello, ${name}!`);

await using run = await load();
console.log(await hello(process.argv[2] ?? 'world'));

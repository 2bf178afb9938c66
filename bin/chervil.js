#!/usr/bin/env node
// The command `chervil`. Everything is in dist/cli; here only what has to work when there is no dist/ yet.
import { existsSync } from 'node:fs';

const main = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(main)) {
  const { chervil } = await import(main.href);
  // Not awaited: a program that never ends its top-level await is told so by the command itself.
  void chervil(process.argv.slice(2));
} else {
  process.stderr.write('chervil: not built yet; run `npm run build` in the folder of the package first\n');
  process.exitCode = 1;
}

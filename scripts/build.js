// Builds dist/ from src/ with the TypeScript compiler, and the page of the dashboard from web/. `npm run build`; npm start and
// npm test call it too.
import { spawnSync } from 'node:child_process';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPage } from './build-page.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
// What was built of sources that are gone must not be packed.
rmSync(join(root, 'dist'), { recursive: true, force: true });
const result = spawnSync(
  process.execPath,
  [compiler, '-p', join(root, 'tsconfig.build.json'), ...process.argv.slice(2)],
  {
    stdio: 'inherit',
    cwd: root,
  },
);
// Python workers run this as it is.
cpSync(join(root, 'src', 'worker', 'worker.py'), join(root, 'dist', 'worker', 'worker.py'));
process.exitCode = result.status ?? 1;
if (result.status === 0) await buildPage();
// Tells that dist/ is whole, and as of when: a build with errors leaves files as well.
if (result.status === 0) writeFileSync(join(root, 'dist', '.built'), '');

// Bundles the page of the dashboard, web/, into dist/dashboard/page/. Called by build.js, after the compiler.
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const web = join(root, 'web');
const page = join(root, 'dist', 'dashboard', 'page');

/** Throws when a source is wrong; prints how large the page is when `isTold`. */
export async function buildPage(isTold = false) {
  mkdirSync(page, { recursive: true });
  await build({
    entryPoints: {
      app: join(web, 'main.tsx'),
      layout: join(web, 'graph', 'worker.ts'),
    },
    outdir: page,
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['es2022'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'inline',
    logLevel: 'warning',
    tsconfig: join(web, 'tsconfig.json'),
  });
  for (const name of ['index.html', 'icon.svg']) cpSync(join(web, name), join(page, name));
  if (!isTold) return;
  for (const name of ['app.js', 'app.css', 'layout.js'])
    console.log(`${name}: ${(gzipSync(readFileSync(join(page, name))).length / 1024).toFixed(1)} kB compressed`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPage(true);

// The package as users get it: packed, installed in an empty project, and run.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** Set up by `npm test` (scripts/node24.js). */
const node24 = join(root, '.cache', 'node24', 'node_modules', 'node', 'bin', 'node');

const hello = `import { app, load } from 'chervil';

const hello = app((name: string) => \`Hello, \${name}!\`);

await using run = await load();
console.log(await hello('world'));
`;
/** For JavaScript without \`using\`. */
const plain = `import { app, load } from 'chervil';

const hello = app((name) => \`Hello, \${name}!\`);

const run = await load();
console.log(await hello('world'));
await run.close();
`;

describe('the package, installed in an empty project', { timeout: 240_000 }, () => {
  const project = mkdtempSync(join(tmpdir(), 'chervil-project-'));
  let missing: string | undefined;

  before(() => {
    const packed = join(project, 'packed');
    mkdirSync(packed);
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const pack = spawnSync('npm', ['pack', '--ignore-scripts', '--pack-destination', packed], {
      cwd: root,
      encoding: 'utf8',
      env,
    });
    assert.equal(pack.status, 0, pack.stderr);
    const [tarball = ''] = readdirSync(packed);
    writeFileSync(join(project, 'package.json'), '{ "name": "empty", "private": true, "type": "module" }\n');
    const install = spawnSync(
      'npm',
      ['install', '--prefer-offline', '--no-audit', '--no-fund', `./packed/${tarball}`],
      { cwd: project, encoding: 'utf8', env },
    );
    // Without the registry its dependencies can only come from the cache.
    if (install.status !== 0 && /ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENOTCACHED/.test(install.stderr))
      missing = 'the npm registry';
    else assert.equal(install.status, 0, install.stderr);
    writeFileSync(join(project, 'hello.ts'), hello);
    writeFileSync(join(project, 'hello.js'), plain);
  });

  after(() => rmSync(project, { recursive: true, force: true }));

  const runs: [title: string, node: string, args: string[]][] = [
    ['JavaScript on this Node', process.execPath, ['hello.js']],
    ['TypeScript on this Node, loaded by tsx', process.execPath, ['--import', 'tsx', 'hello.ts']],
    ['JavaScript on Node 24', node24, ['hello.js']],
    ['TypeScript on Node 24, by itself', node24, ['hello.ts']],
  ];
  for (const [title, node, args] of runs) {
    test(`runs a first program: ${title}`, (context) => {
      if (missing !== undefined) return context.skip(`for want of ${missing}`);
      if (!existsSync(node)) return context.skip('for want of Node 24 (npm test sets it up)');
      const { status, stdout, stderr } = spawnSync(node, args, { cwd: project, encoding: 'utf8' });
      assert.deepEqual({ status, stdout }, { status: 0, stdout: 'Hello, world!\n' }, stderr);
    });
  }

  test('has the modules that its names promise, and nothing of the tests', (context) => {
    if (missing !== undefined) return context.skip(`for want of ${missing}`);
    const installed = join(project, 'node_modules', 'chervil');
    writeFileSync(
      join(project, 'names.js'),
      "import 'chervil/task'; import { conformance } from 'chervil/testing'; console.log(typeof conformance);\n",
    );
    const { stdout, stderr } = spawnSync(process.execPath, ['names.js'], { cwd: project, encoding: 'utf8' });
    assert.equal(stdout, 'function\n', stderr);
    assert.ok(!existsSync(join(installed, 'test')) && !existsSync(join(installed, 'src')));
  });
});

// Bundles: pools in a place of their own, where none of the program's files can be seen.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Bundler } from '#src/executors/htex/bundle.js';
import { htex } from '#src/index.js';
import type { Executor } from '#src/task/ports.js';
import { attemptOf, referenceTo } from '#src/testing/index.js';
import { killMarked, onHost } from './htex-bench.ts';

const limit = { timeout: 120_000 };
const root = fileURLToPath(new URL('../../', import.meta.url));

test('functions by reference and by value run where no file of the program is', limit, async (t) => {
  const place = await elsewhere(t);
  if (place === undefined) return;
  const project = makeProject(t);
  const program = (await import(pathToFileURL(join(project, 'program.ts')).href)) as Program;
  await onHost({ bundle: true, launchCommand: place.launchCommand }, async (executor, host) => {
    const tasks = pathToFileURL(join(project, 'tasks.ts'));
    assert.deepEqual(await host.value(byReference(executor, tasks, 'count', ['a b a'])), { a: 2, b: 1 });
    assert.equal(await host.value(byReference(executor, tasks, 'directory')), '/', 'it runs in the other root');
    assert.equal(
      await host.value(byReference(executor, tasks, 'canSee', [project])),
      false,
      'the project cannot be seen',
    );
    assert.equal(await host.value(byReference(executor, tasks, 'app')), 'of an app');
    assert.match(
      String(await host.value(byReference(executor, tasks, 'facts'))),
      /^task \d+$/,
      'chervil/task is there',
    );
    assert.deepEqual(await host.value(byValue(executor, program.useImports, [3])), [
      'LOUD!',
      'left 3',
      'commonjs true',
    ]);
    assert.equal(await host.value(byValue(executor, program.importLater, [])), 'LATER!');
    assert.equal(await host.value(byValue(executor, program.long, [1])), 101);
    const large = 'x '.repeat(200_000);
    assert.deepEqual(await host.value(byReference(executor, tasks, 'count', [large])), { '': 1, x: 200_000 });
    assert.equal(await host.value(byReference(executor, tasks, 'echo', [large])), large, 'no memory is shared either');
    const many = Array.from({ length: 300 }, (_, n) => byValue(executor, program.useImports, [n]));
    for (const [n, attempt] of many.entries())
      assert.deepEqual(await host.value(attempt), ['LOUD!', `left ${n}`, 'commonjs true']);
  });
});

test('a new interchange and new pools get the code again', limit, async (t) => {
  const place = await elsewhere(t);
  if (place === undefined) return;
  const tasks = pathToFileURL(join(makeProject(t), 'tasks.ts'));
  const options = { bundle: true, launchCommand: place.launchCommand, onInterchangeLost: 'resend' } as const;
  await onHost(options, async (executor, host) => {
    assert.deepEqual(await host.value(byReference(executor, tasks, 'count', ['a'])), { a: 1 });
    killMarked(host.mark, 'interchange/start.js');
    assert.deepEqual(await host.value(byReference(executor, tasks, 'count', ['b'])), { b: 1 });
  });
});

test('a pool in another network gets its code over the network', limit, async (t) => {
  const network = otherNetwork(t);
  const place = network && (await elsewhere(t, network.enter));
  if (place === undefined || network === undefined) return;
  const tasks = pathToFileURL(join(makeProject(t), 'tasks.ts'));
  await onHost(
    { bundle: true, launchCommand: place.launchCommand, address: network.address },
    async (executor, host) => {
      assert.deepEqual(await host.value(byReference(executor, tasks, 'count', ['a b'])), { a: 1, b: 1 });
      assert.deepEqual(await host.value(byReference(executor, tasks, 'addresses')), [network.other]);
    },
  );
});

test('what cannot be bundled fails its task, with the place and the reason', limit, (t) => {
  const project = makeProject(t);
  writeFileSync(
    join(project, 'broken.ts'),
    "import { nothing } from './missing.ts';\nexport const f = () => nothing;\n",
  );
  return onHost({ bundle: true, blocks: { init: 0, max: 1 } }, async (executor, host) => {
    const error = await host.error(byReference(executor, pathToFileURL(join(project, 'broken.ts')), 'f'));
    assert.equal(error.code, 'SERIALIZATION');
    assert.match(error.message, /f\(\): it cannot be bundled: .*broken\.ts:1: Could not resolve "\.\/missing\.ts"/);
    const wrappers = [referenceTo(pathToFileURL(join(project, 'nowhere.ts')), 'around')];
    const wrapped = attemptOf(() => 1, [], { name: 'one', wrappers });
    executor.submit(wrapped);
    assert.match((await host.error(wrapped)).message, /a wrapper of one\(\): it cannot be bundled: .*nowhere\.ts/);
  });
});

test('a module is bundled once for all of its functions, and what is external stays out', (t) => {
  const project = makeProject(t);
  const url = pathToFileURL(join(project, 'tasks.ts')).href;
  const bundler = new Bundler({ external: ['left'] });
  const [first] = bundler.bundled({ by: 'reference', module: url, export: 'count' }, 'count').files;
  const [second] = bundler.bundled({ by: 'reference', module: url, export: 'app' }, 'app').files;
  assert.equal(first, second);
  const text = Buffer.from(first?.bytes ?? []).toString();
  assert.match(text, /from "left"/);
  assert.doesNotMatch(text, /:\s*string/, 'types are gone');
});

test('bundle takes true, or packages that are external, and no interchange of others', () => {
  assert.throws(() => htex({ bundle: { extern: ['a'] } as never }), /bundle: expected true, or \{ external/);
  assert.throws(() => htex({ bundle: true, interchangeCommand: ['interchange.py'] }), /cannot carry it/);
});

interface Program {
  readonly useImports: CallableFunction;
  readonly importLater: CallableFunction;
  readonly long: CallableFunction;
}

function byReference(executor: Executor, module: URL, name: string, args: readonly unknown[] = []) {
  const attempt = attemptOf(referenceTo(module, name), args);
  executor.submit(attempt);
  return attempt;
}

function byValue(executor: Executor, body: CallableFunction, args: readonly unknown[]) {
  const attempt = attemptOf(body, args);
  executor.submit(attempt);
  return attempt;
}

/** A project with modules, a package and a CommonJS package, in a directory of its own. */
function makeProject(t: TestContext): string {
  const project = mkdtempSync(join(tmpdir(), 'chervil-project-'));
  t.after(() => rmSync(project, { recursive: true, force: true }));
  const files: Record<string, string> = {
    'package.json': '{ "type": "module" }',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a template of the module
    'helper.ts': 'export const shout = (text: string): string => `${text.toUpperCase()}!`;\n',
    'node_modules/left/package.json': '{ "name": "left", "type": "module", "exports": "./index.js" }',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a template of the module
    'node_modules/left/index.js': 'export default (n) => `left ${n}`;\n',
    'node_modules/old/package.json': '{ "name": "old" }',
    'node_modules/old/index.js':
      "const fs = require('fs');\nexports.works = () => typeof fs.readFileSync === 'function';\n",
    'tasks.ts': `
import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import left from 'left';
import { app as makeApp } from 'chervil';
import { task } from 'chervil/task';
export function count(text: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of text.split(' ')) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}
export const echo = <Value>(value: Value): Value => value;
export const directory = (): string => process.cwd();
export const canSee = (path: string): boolean => existsSync(path);
export const used = left(1);
export const app = makeApp(() => 'of an app');
export const facts = (): string => \`task \${task.id}\`;
export const addresses = (): string[] => Object.values(networkInterfaces()).flatMap((all) => (all ?? []).filter(({ family, internal }) => family === 'IPv4' && !internal).map(({ address }) => address));
`,
    'program.ts': `
import { shout } from './helper.ts';
import left from 'left';
import { works } from 'old';
const offset = 100;
export const useImports = (n: number) => [shout('loud'), left(n), \`commonjs \${works()}\`];
export const importLater = async () => (await import('./helper.ts')).shout('later');
export const long = (n: number) => { /* ${'long '.repeat(100)} */ return n + offset; };
`,
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(project, dirname(name)), { recursive: true });
    writeFileSync(join(project, name), text);
  }
  // The program's own copy of chervil, for its imports; it is never bundled.
  symlinkSync(root, join(project, 'node_modules/chervil'));
  return project;
}

/** A root directory with Node.js and Chervil in it and nothing of the program, and how a pool is started there. */
async function elsewhere(t: TestContext, enter = ''): Promise<{ readonly launchCommand: string } | undefined> {
  if (spawnSync('unshare', ['-m', 'mount', '--version']).status !== 0) return wanting(t, 'the right to make mounts');
  const place = mkdtempSync(join(tmpdir(), 'chervil-elsewhere-'));
  t.after(() => rmSync(place, { recursive: true, force: true }));
  // Chervil's own dependencies, as an installation has them.
  const installed = realpathSync(join(root, 'node_modules'));
  const shared = ['/usr', '/lib', '/lib64', '/bin', '/proc', '/dev'].filter((path) => existsSync(path));
  for (const path of [...shared, '/opt/chervil/node_modules', '/tmp'])
    mkdirSync(join(place, path), { recursive: true });
  cpSync(join(root, 'dist'), join(place, 'opt/chervil/dist'), { recursive: true });
  cpSync(join(root, 'package.json'), join(place, 'opt/chervil/package.json'));
  cpSync(process.execPath, join(place, 'opt/node'));
  // The certificates are all that has to be brought there beside the program.
  writeFileSync(
    join(place, 'start.sh'),
    `set -e
certificates=$1; shift
mkdir -p -m 700 ${place}$certificates && cp -a $certificates/. ${place}$certificates
exec ${enter} unshare -m /bin/bash -c '${shared.map((path) => `mount --rbind ${path} ${place}${path} && `).join('')} mount --bind ${installed} ${place}/opt/chervil/node_modules && mount -t tmpfs none ${place}/dev/shm && exec chroot ${place} /opt/node /opt/chervil/dist/pool/start.js "$@"' pool "$@"
`,
  );
  return { launchCommand: `/bin/bash ${place}/start.sh {cert_dir} {arguments}` };
}

/** Another network, which this one has one wire to. */
function otherNetwork(
  t: TestContext,
): { readonly address: string; readonly other: string; readonly enter: string } | undefined {
  const run = (command: string) => spawnSync('/bin/bash', ['-ec', command], { encoding: 'utf8' });
  const name = `cv${process.pid}`;
  const [address, other] = ['10.231.77.1', '10.231.77.2'];
  t.after(() => run(`ip netns del ${name}; ip link del ${name}a`));
  const made = run(`ip netns add ${name}
ip link add ${name}a type veth peer name ${name}b netns ${name}
ip addr add ${address}/24 dev ${name}a && ip link set ${name}a up
ip -n ${name} addr add ${other}/24 dev ${name}b && ip -n ${name} link set ${name}b up && ip -n ${name} link set lo up`);
  if (made.status !== 0) return wanting(t, `the right to make networks: ${made.stderr}`);
  return { address, other, enter: `ip netns exec ${name}` };
}

function wanting(t: TestContext, what: string): undefined {
  assert.notEqual(process.env['CHERVIL_REQUIRE'], '1', `this test needs ${what}`);
  t.skip(`for want of ${what}`);
}

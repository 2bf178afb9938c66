// `npm test`: sets up what is missing; then lint, types, and every test: each file in a process of its own, two at a time, on
// this Node.js, and, if this one is older, much of it again on Node.js 24 (node24.js).
//
//   npm test                     everything
//   npm test -- PATTERN …        only the test files whose path contains a PATTERN
//   CHERVIL_REQUIRE=1 npm test   a test that is skipped "for want of" something counts as failed
//
// The last line is always `N passed, N failed, N skipped`.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { ensureNode24, node24 } from './node24.js';
import { ensureBuilt, ensureInstalled, root } from './ready.js';

const filesAtOnce = 2;
/** For one file. A million damaged frames take a minute on a free machine, and several on one that is shared. */
const limitMs = 10 * 60_000;
const graceMs = 5_000;
/** What runs on Node.js 24 as well: units, the conformance of executors, the command line and the examples. */
const alsoOnNewest =
  /^test\/(?:app|base|cli|executors|kernel|load|run|task|testing|types|wire|worker)\/|^test\/[^/]+\.test\.ts$/;

const isStrict = !['', '0', undefined].includes(process.env.CHERVIL_REQUIRE);
const patterns = process.argv.slice(2).filter((argument) => argument !== '--');
const counts = { passed: 0, failed: 0, skipped: 0 };
const failures = [];
const skips = new Map();
const running = new Set();
const scratch = mkdtempSync(join(tmpdir(), 'chervil-test-'));

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    for (const child of running) end(child, 'SIGKILL');
    counts.failed++;
    failures.push({ title: `ended by ${signal} before the end`, text: '' });
    report();
    process.exit();
  });
}
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

ensureInstalled();
ensureBuilt();
const files = testFiles(join(root, 'test')).filter(
  (file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)),
);
if (files.length === 0) {
  console.log(`no test file's path contains ${patterns.join(' or ')}`);
  counts.failed++;
} else {
  if (patterns.length === 0) {
    await check('lint', [join(root, 'node_modules', '.bin', 'biome'), 'check', '.']);
    for (const [name, project] of [
      ['types', 'tsconfig.json'],
      ['types of the page', 'web/tsconfig.json'],
    ]) {
      const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
      await check(name, [process.execPath, compiler, '-p', join(root, project)]);
    }
  }
  if (majorOf(process.version) < 24) ensureNode24();
  const here = { program: process.execPath, version: process.version };
  await runAll(here, files);
  if (majorOf(here.version) < 24) await runOnNewest();
}
report();

async function runOnNewest() {
  const again = files.filter((file) => alsoOnNewest.test(file));
  if (again.length === 0) return;
  if (ensureNode24()) {
    const { output } = await execute([node24, '--version']);
    await runAll({ program: node24, version: output.trim() }, again);
  } else skip('tests on Node.js 24', 'for want of Node.js 24 (the package `node` has none for this machine)');
}

/** Runs files on one Node.js, so many at a time. */
async function runAll(node, chosen) {
  console.log(`\nNode.js ${node.version}, ${chosen.length} test ${chosen.length === 1 ? 'file' : 'files'}`);
  const queue = [...chosen];
  const work = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runFile(node, file);
  };
  await Promise.all(Array.from({ length: filesAtOnce }, work));
}

async function runFile(node, file) {
  const results = join(scratch, `${node.version}-${file.replaceAll('/', '-')}.jsonl`);
  const loader = majorOf(node.version) >= 24 ? [] : ['--import', import.meta.resolve('tsx')];
  const reporter = [
    `--test-reporter=${new URL('./reporter.js', import.meta.url).href}`,
    `--test-reporter-destination=${results}`,
  ];
  const startedAt = Date.now();
  const { code, signal, output, isOverdue } = await execute([node.program, ...loader, ...reporter, join(root, file)]);
  const tests = existsSync(results)
    ? readFileSync(results, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line))
    : [];
  const own = { passed: 0, failed: 0, skipped: 0 };
  const add = (how) => {
    own[how]++;
    counts[how]++;
  };
  const name = majorOf(node.version) === majorOf(process.version) ? file : `${file} on Node.js ${node.version}`;
  for (const { how, title, reason, place, error } of tests) {
    const isWanting = how === 'skipped' && isStrict && reason.includes('for want of');
    add(isWanting ? 'failed' : how);
    if (how === 'skipped' && !isWanting) noteSkip(reason, `${name}: ${title}`);
    else if (how !== 'passed')
      failures.push({
        title: `${name}${place === undefined ? '' : `:${place}`}: ${title}`,
        text: isWanting ? `skipped ${reason}, and CHERVIL_REQUIRE is set` : error,
      });
  }
  const isBroken = isOverdue || (code !== 0 && own.failed === 0);
  if (isBroken) {
    add('failed');
    const why = isOverdue
      ? `it took more than ${limitMs / 60_000} minutes and was killed`
      : signal === null
        ? `exit code ${code}, without a test that failed`
        : `ended by ${signal}`;
    failures.push({ title: `${name}: ${why}`, text: '' });
  }
  if (own.failed > 0 && output.trim() !== '')
    failures.push({ title: `${name}: what it printed`, text: output.trim().slice(-8_000) });
  const skipped = own.skipped > 0 ? `, ${own.skipped} skipped` : '';
  console.log(
    `${own.failed > 0 ? 'FAILED' : 'ok    '} ${file}: ${own.passed} passed${own.failed > 0 ? `, ${own.failed} failed` : ''}${skipped} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`,
  );
}

/** A check that is one program: it passes when that ends well. */
async function check(name, command) {
  const startedAt = Date.now();
  const { code, output } = await execute(command);
  const isOk = code === 0;
  counts[isOk ? 'passed' : 'failed']++;
  if (!isOk) failures.push({ title: name, text: output.trim().slice(-20_000) });
  console.log(`${isOk ? 'ok    ' : 'FAILED'} ${name} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`);
}

/** Runs a program to its end, or until its time is up: then it and its whole process group are killed. */
function execute([program, ...args]) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let isOverdue = false;
    running.add(child);
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    const timer = setTimeout(() => {
      isOverdue = true;
      end(child, 'SIGTERM');
      setTimeout(() => end(child, 'SIGKILL'), graceMs).unref();
    }, limitMs);
    const finish = (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      resolve({ code, signal, output, isOverdue });
    };
    child.on('error', (error) => {
      output += error.message;
      finish(1, null);
    });
    // A process that it left behind could hold its pipes open: what it printed until a moment after its end is enough.
    child.on('exit', (code, signal) => {
      const late = setTimeout(() => finish(code, signal), 1_000);
      child.on('close', () => {
        clearTimeout(late);
        finish(code, signal);
      });
    });
  });
}

function end(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended already.
  }
}

function skip(title, reason) {
  if (isStrict) {
    counts.failed++;
    failures.push({ title, text: `skipped ${reason}, and CHERVIL_REQUIRE is set` });
  } else {
    counts.skipped++;
    noteSkip(reason, title);
  }
}

function noteSkip(reason, title) {
  const known = skips.get(reason);
  if (known === undefined) skips.set(reason, [title]);
  else known.push(title);
}

function report() {
  if (skips.size > 0) console.log('\nSkipped:');
  for (const [reason, titles] of skips) {
    console.log(`  ${reason}: ${titles.length} ${titles.length === 1 ? 'test' : 'tests'}`);
    for (const title of titles.slice(0, 3)) console.log(`    ${title}`);
    if (titles.length > 3) console.log(`    and ${titles.length - 3} more`);
  }
  for (const { title, text } of failures)
    console.log(`\nFAILED ${title}\n${(text ?? '').replaceAll(/^(?=.)/gm, '    ')}`);
  console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  process.exitCode = counts.failed > 0 ? 1 : 0;
}

function testFiles(folder) {
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (entry.name !== 'fixtures') found.push(...testFiles(path));
    } else if (entry.name.endsWith('.test.ts')) {
      found.push(relative(root, path));
    }
  }
  return found.sort();
}

function majorOf(version) {
  return Number(/\d+/.exec(version)?.[0]);
}

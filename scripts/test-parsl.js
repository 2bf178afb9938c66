// Runs Parsl's own tests of its newest release with Chervil's interchange in place of interchange.py:
//   npm run test:parsl                 (about 16 minutes)
//   npm run test:parsl -- --baseline   with Parsl's own interchange, for comparison
//   npm run test:parsl -- --only test_htex
// The tests come inside Parsl's wheel. docs/parsl-own-tests.md says what came of it. It fails when one of them fails.
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import './typescript.js';

const { values } = parseArgs({
  options: { baseline: { type: 'boolean', default: false }, only: { type: 'string' }, keep: { type: 'boolean' } },
});
const { newestRelease, parslEnvironment, interchangeCommand, endWhoWorksIn } = await import('../test/support/parsl.ts');

const folders = ['test_htex', 'test_error_handling', 'test_scaling', 'test_monitoring', 'test_shutdown'];
const environment = await parslEnvironment(newestRelease, ['pytest<8', 'pytest-timeout', 'pandas']);
if (!('python' in environment)) {
  console.log(`Skipped: ${environment.missing}`);
  process.exit(process.env['CHERVIL_REQUIRE'] === '1' ? 1 : 0);
}
const { python } = environment;
const place = mkdtempSync(join(tmpdir(), 'chervil-parsl-tests-'));
const onPath = join(place, 'bin');
mkdirSync(onPath);
if (!values.baseline) {
  // Parsl's own policy towards other versions, which its tests expect: the run ends.
  const version = await output(['-c', 'import platform; print(platform.python_version())']);
  const release = newestRelease.replace(/\b(\d)\b/g, '0$1');
  const policy = ['--on-mismatch', 'end', '--parsl-version', release, '--python-version', version.trim()];
  const words = interchangeCommand(...policy).map((word) => `'${word}'`);
  writeFileSync(join(onPath, 'interchange.py'), `#!/bin/sh\nexec ${words.join(' ')}\n`);
  chmodSync(join(onPath, 'interchange.py'), 0o755);
}
const tests = join((await output(['-c', 'import parsl.tests as t; print(t.__path__[0])'])).trim());
// Lists of host names for the tests of MPI mode, which Parsl's packages leave out.
const mocks = join(tests, 'test_htex', 'mpi', 'mocks');
mkdirSync(mocks, { recursive: true });
const hosts = (count) => Array.from({ length: count }, (_, at) => `node${at}\n`).join('');
writeFileSync(join(mocks, 'pbs_nodefile'), hosts(4));
writeFileSync(join(mocks, 'pbs_nodefile.8'), hosts(8));
const configs = ['local', join(tests, 'configs', 'htex_local.py')];
const found = new Map();
const started = performance.now();
for (const config of configs) {
  const report = join(place, `report-${found.size}.xml`);
  const chosen = folders.filter((folder) => values.only === undefined || folder === values.only);
  await pytest(
    chosen.map((folder) => join(tests, folder)),
    config,
    report,
  );
  for (const [name, outcome] of readReport(report))
    found.set(`${config === 'local' ? 'local' : 'htex'} ${name}`, outcome);
}
// Many of these tests give processes a few seconds to start: on a busy machine up to three more tries, alone, tell more.
const again = [];
for (const [name, outcome] of found) {
  if (outcome !== 'failed') continue;
  const [kind, test] = [name.slice(0, name.indexOf(' ')), name.slice(name.indexOf(' ') + 1)];
  for (let number = 2; number <= 4 && found.get(name) === 'failed'; number++) {
    const report = join(place, 'report-again.xml');
    rmSync(report, { force: true });
    await pytest([join(tests, test)], kind === 'local' ? 'local' : configs[1], report);
    if (!readReport(report).some(([, outcome]) => outcome === 'passed')) continue;
    found.set(name, 'passed');
    again.push(`${name} (try ${number})`);
  }
}
endWhoWorksIn(place);
if (!values.keep) rmSync(place, { recursive: true, force: true });

const count = { passed: 0, skipped: 0, failed: 0 };
const wrong = [];
for (const [name, outcome] of found) {
  count[outcome]++;
  if (outcome === 'failed') wrong.push(name);
}
const minutes = ((performance.now() - started) / 60_000).toFixed(1);
const which = values.baseline ? "Parsl's own interchange" : "Chervil's interchange";
console.log(
  `Parsl ${newestRelease} with ${which}: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped in ${minutes} min`,
);
for (const name of again) console.log(`passed at a later try: ${name}`);
for (const name of wrong) console.log(`failed: ${name}`);
if (values.keep) writeFileSync(join(place, 'outcomes.json'), JSON.stringify([...found], null, 1));
process.exitCode = wrong.length > 0 || found.size === 0 ? 1 : 0;

/** Runs tests and writes pytest's report. */
function pytest(chosen, config, report) {
  return run([
    ...['-m', 'pytest', ...chosen, '--config', config, '--rootdir', tests],
    ...['-p', 'no:cacheprovider', '-q', '--timeout=180', `--junit-xml=${report}`, '-o', 'junit_family=xunit1'],
    // The last one draws plots, with libraries that nothing else here needs.
    ...['-k', 'not cleannet and not test_viz_colouring', '-m', 'not workqueue and not taskvine and not globus_compute'],
  ]);
}

/** Names and outcomes out of pytest's report. */
function readReport(path) {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, 'utf8');
  const outcomes = [];
  for (const [, head, body] of text.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const value = (key) => new RegExp(`\\b${key}="([^"]*)"`).exec(head)?.[1] ?? '';
    const file = value('classname').replace(
      /^.*?(test_\w+)\.(.*)$/,
      (_, folder, rest) => `${folder}/${rest.replaceAll('.', '/')}.py`,
    );
    const failed = /<(failure|error)\b/.test(body ?? '');
    const outcome = failed ? 'failed' : /<skipped\b/.test(body ?? '') ? 'skipped' : 'passed';
    outcomes.push([`${file}::${value('name')}`, outcome]);
  }
  return outcomes;
}

function environmentOf() {
  const path = [onPath, dirname(python), process.env['PATH'] ?? ''].join(':');
  return { ...process.env, PATH: path, PYTHONUNBUFFERED: '1' };
}

function run(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(python, args, { cwd: place, env: environmentOf(), stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject);
    child.once('exit', resolve);
  });
}

function output(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(python, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += String(chunk);
    });
    child.once('error', reject);
    child.once('close', () => resolve(text));
  });
}

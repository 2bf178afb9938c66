// Runs the same Python program with one release of each era of Parsl's protocol and Chervil's interchange, then runs in
// which submitter and pool are of different eras. `npm run test:parsl-eras` (about 10 minutes); with `-- --only A,C` a
// part of it, with `-- --pairs` or `-- --no-pairs` the mixed runs alone or not at all. Environments come from the package index once and are kept under .cache/python.
// All releases of the eras A to I run on one Python (3.9 to 3.12 as the index has it); one that does not install is
// skipped with its reason, and fails under CHERVIL_REQUIRE=1.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import './typescript.js';

const { eraReleases, interchangeOnPath, ParslRun, parslEnvironment } = await import('../test/support/parsl.ts');
const { values } = parseArgs({
  options: { only: { type: 'string' }, 'no-pairs': { type: 'boolean' }, pairs: { type: 'boolean' } },
});
const wanted = values.only?.split(',');
const releaseOf = new Map(eraReleases);

/** Eras whose payloads are alike: envelopes are translated between them. */
const joining = [
  ['A', 'B'],
  ['B', 'A'],
  ['A', 'D'],
  ['B', 'C'],
  ['C', 'D'],
  ['D', 'C'],
  ['E', 'F'],
  ['F', 'E'],
  ['G', 'I'],
  ['I', 'G'],
  ['H', 'I'],
  ['I', 'H'],
];
const refused = [
  ['A', 'I'],
  ['I', 'A'],
  ['D', 'E'],
  ['F', 'G'],
  ['G', 'F'],
];

const place = mkdtempSync(join(tmpdir(), 'chervil-eras-'));
const onPath = interchangeOnPath(place);
let failures = 0;
const report = (what, isRight, detail = '') => {
  if (isRight === false) failures++;
  console.log(
    `${isRight === undefined ? 'skipped' : isRight ? 'passed' : 'FAILED'}  ${what}${detail === '' ? '' : `: ${detail}`}`,
  );
};

for (const [era, release] of eraReleases) {
  if (values.pairs || (wanted !== undefined && !wanted.includes(era))) continue;
  const python = await pythonOf(era);
  if (python === undefined) continue;
  const variables = { PATH: [onPath, dirname(python), process.env['PATH'] ?? ''].join(':') };
  const { status, stdout, stderr } = await ended({ python, program: 'workflow.py', variables });
  const told = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
  const errors = told.filter((line) => line.error !== undefined || line.isRight === false);
  const isRight = status === 0 && errors.length === 0 && told.length === 11;
  const detail = isRight ? '' : `${JSON.stringify(errors, null, 1)}\n${stdout}\n${stderr}`;
  report(`era ${era}, Parsl ${release}: ${told.length - 2} scenarios`, isRight, detail);
}

for (const [expected, pairs] of values['no-pairs']
  ? []
  : [
      ['joins', joining],
      ['refused', refused],
    ]) {
  for (const [home, foreign] of pairs) {
    if (wanted !== undefined && !(wanted.includes(home) && wanted.includes(foreign))) continue;
    const python = await pythonOf(home);
    const stranger = await pythonOf(foreign);
    if (python === undefined || stranger === undefined) continue;
    const style = foreign < 'C' ? 'two-port' : 'one-port';
    const args = [stranger, style, releaseOf.get(foreign), expected];
    const { status, stdout, stderr } = await ended({ python, program: 'mixed.py', args });
    const facts = JSON.parse(stdout.split('\n').findLast((line) => line.startsWith('{')) ?? '{}');
    const isRight =
      status === 0 &&
      facts.isRight === true &&
      facts.alive === null &&
      facts.refusals?.length === (expected === 'refused' ? 1 : 0);
    const what = `submitter of era ${home} (${releaseOf.get(home)}), pool of era ${foreign} (${releaseOf.get(foreign)}) ${expected}`;
    report(what, isRight, isRight ? '' : `${stdout}\n${stderr.slice(-2_000)}`);
  }
}
rmSync(place, { recursive: true, force: true });
process.exitCode = failures > 0 ? 1 : 0;

/** Runs a program and leaves nothing of it. */
async function ended(program) {
  const run = new ParslRun(program);
  try {
    return await run.ended;
  } finally {
    await run[Symbol.asyncDispose]();
  }
}

async function pythonOf(era) {
  const release = releaseOf.get(era);
  const environment = await parslEnvironment(release);
  if ('python' in environment) return environment.python;
  report(
    `era ${era}, Parsl ${release}`,
    process.env['CHERVIL_REQUIRE'] === '1' ? false : undefined,
    environment.missing,
  );
  return undefined;
}

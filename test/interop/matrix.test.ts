// The matrix of submitters, interchanges and pools: real Parsl of the newest release beside ours, and what a small workflow sees in each
// combination. docs/interop.md has the table, and is wrong when it is not what was seen here.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { interchangeCommand, newestRelease, parslOrSkip } from '../support/parsl.ts';

const programs = fileURLToPath(new URL('programs/', import.meta.url));
const page = fileURLToPath(new URL('../../docs/interop.md', import.meta.url));
const poolProgram = fileURLToPath(new URL('../../dist/pool/start.js', import.meta.url));
const limitMs = 280_000;

interface Row {
  readonly submitter: 'Parsl' | 'Chervil';
  readonly interchange: string;
  readonly pool: string;
  readonly functions: string;
  readonly encrypted: boolean;
  readonly [fact: string]: unknown;
}

const rows: Row[] = [];
const directory = mkdtempSync(join(tmpdir(), 'chervil-matrix-'));
after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));

describe('real Parsl and Chervil, in every combination of submitter, interchange and pool', {
  timeout: limitMs * 2,
}, () => {
  it('Parsl submits', async (t) => {
    const python = await parslOrSkip(t, newestRelease);
    if (python === undefined) return;
    const variables = {
      CHERVIL_INTERCHANGE: JSON.stringify(interchangeCommand()),
      CHERVIL_POOL: `${process.execPath} ${poolProgram} --python ${python} --node_workers 0`,
    };
    rows.push(...(await run('Parsl', python, [join(programs, 'submit.py')], { python, variables })));
  });

  it('Chervil submits', async (t) => {
    const python = await parslOrSkip(t, newestRelease);
    if (python === undefined) return;
    // Newer Node.js needs nothing to run TypeScript; the name of a loader is looked up in the directory where it is used.
    const loader =
      'typescript' in process.features && process.features.typescript ? [] : ['--import', import.meta.resolve('tsx')];
    const args = [...loader, join(programs, 'submit.ts'), python, directory];
    rows.push(...(await run('Chervil', process.execPath, args, { python, variables: {} })));
  });

  it('and docs/interop.md says what was seen', (t) => {
    if (rows.length === 0) {
      t.skip('nothing was seen');
      return;
    }
    const expected = table(rows);
    const found = /<!-- matrix -->\n(.*?)\n<!-- end -->/s.exec(readFileSync(page, 'utf8'))?.[1];
    assert.equal(found, expected, `the table of docs/interop.md should be\n\n${expected}\n`);
  });
});

/** Runs a program to its end, and then looks for what is left of it. */
async function run(
  submitter: Row['submitter'],
  file: string,
  args: readonly string[],
  { python, variables }: { readonly python: string; readonly variables: Readonly<Record<string, string>> },
): Promise<Row[]> {
  const mark = randomUUID();
  const place = join(directory, mark);
  mkdirSync(place);
  const child = spawn(file, args, {
    cwd: place,
    env: {
      ...process.env,
      PATH: `${dirname(python)}:${process.env['PATH'] ?? ''}`,
      ...variables,
      CHERVIL_MATRIX: mark,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-20_000);
  });
  const late = setTimeout(() => child.kill('SIGKILL'), limitMs);
  const status = await new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  clearTimeout(late);
  try {
    assert.equal(status, 0, `${stdout}\n${stderr}`);
    const left = await leftOf(mark);
    return stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => {
        const facts = JSON.parse(line) as Row;
        assert.equal(facts['error'], undefined, `${JSON.stringify(facts, null, 1)}\n${stderr}`);
        return { ...facts, submitter, left };
      });
  } finally {
    for (const { pid } of marked(mark)) process.kill(pid, 'SIGKILL');
  }
}

/** The command lines of what has not ended within a while. */
async function leftOf(mark: string): Promise<string[]> {
  for (let tries = 0; tries < 100 && marked(mark).length > 0; tries++) await pause(100);
  return marked(mark).map(({ command }) => command);
}

/** By its environment; or by its place, since Parsl's interchange writes its title over its environment. */
function marked(mark: string): { pid: number; command: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const isIn = readlinkSync(`/proc/${name}/cwd`).includes(mark);
      if (!isIn && !readFileSync(`/proc/${name}/environ`, 'latin1').includes(mark)) return [];
      return [{ pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ') }];
    } catch {
      // It ended meanwhile, or is not ours to see.
      return [];
    }
  });
}

const columns: readonly (readonly [title: string, cell: (row: Row) => string])[] = [
  ['submitter', ({ submitter }) => submitter],
  ['interchange', ({ interchange }) => interchange],
  ['pool', ({ pool }) => pool],
  ['functions', ({ functions }) => functions],
  ['a value', yes('value')],
  ['an exception', name('exception')],
  ['1 MB and back', yes('large')],
  ['arguments by name', yes('named')],
  ['50 tasks', yes('many')],
  ['a killed worker', name('lost')],
  ['the next task', yes('after')],
  ['left at the end', ({ left }) => ((left as string[]).length === 0 ? 'nothing' : (left as string[]).join(', '))],
];

function yes(fact: string): (row: Row) => string {
  return (row) => (row[fact] === true ? 'yes' : 'no');
}

function name(fact: string): (row: Row) => string {
  return (row) => `\`${String(row[fact])}\``;
}

/** A line for each combination: what was seen without encryption and with it must be the same. */
function table(seen: readonly Row[]): string {
  const lines = new Map<string, { plain: string | undefined; encrypted: string | undefined }>();
  for (const row of seen) {
    const key = [row.submitter, row.interchange, row.pool, row.functions].join('|');
    const text = `| ${columns.map(([, cell]) => cell(row)).join(' | ')} |`;
    const line = lines.get(key) ?? { plain: undefined, encrypted: undefined };
    lines.set(key, row.encrypted ? { ...line, encrypted: text } : { ...line, plain: text });
  }
  const sorted = [...lines].sort(([a], [b]) => (a < b ? 1 : -1)).map(([, line]) => line);
  for (const { plain, encrypted } of sorted) assert.equal(encrypted, plain, 'encryption changes nothing');
  return [
    `| ${columns.map(([title]) => title).join(' | ')} |`,
    `|${columns.map(() => '---').join('|')}|`,
    ...sorted.map(({ plain }) => plain),
  ].join('\n');
}

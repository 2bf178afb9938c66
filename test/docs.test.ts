// The guide is true: its programs run and print what it says, they and the examples in the source are well typed, its tables
// have every option, error and event that there is, and its links lead somewhere.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as chervil from 'chervil';
import { examplesIn, fieldsOf } from './support/doc-comments.ts';
import { anchorsOf, fits, linksOf, type Program, programsOf, tableUnder } from './support/markdown.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const scratch = join(root, '.cache', `docs-${process.pid}`);
const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', ...markdownIn('docs')];
const hasTesting = existsSync(join(root, 'src/testing/index.ts'));
const text = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Where a program of the guide stands while it is tried, with what belongs to it. */
interface Placed {
  readonly page: string;
  readonly program: Program;
  readonly directory: string;
}

const placed = pages
  .flatMap((page) =>
    programsOf(text(page)).map((program): Placed => {
      const directory = join(scratch, page.replaceAll(/[^\w]/g, '-'), String(program.line));
      return { page, program, directory };
    }),
  )
  .filter(({ program }) => hasTesting || !program.text.includes("'chervil/testing'"));

before(() => {
  for (const { program, directory } of placed) {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'program.ts'), program.text);
    for (const [name, file] of program.files) writeFileSync(join(directory, name), file.text);
  }
});

after(() => rmSync(scratch, { recursive: true, force: true }));

describe('programs of the guide', { concurrency: 2 }, () => {
  for (const { page, program, directory } of placed) {
    if (!program.isRun) continue;
    test(`the program in ${page}, line ${program.line}, does what the page says`, async () => {
      const { exitCode, stdout, stderr } = await runNode([...runner, 'program.ts'], directory);
      const all = `It printed:\n${stdout}\nand to stderr:\n${stderr}`;
      assert.equal(exitCode, program.leavesFailure && runner.length > 0 ? 1 : program.exitCode, all);
      if (program.stdout !== undefined)
        assert.ok(fits(stdout, program.stdout), `The page says:\n${program.stdout}\n${all}`);
      if (program.stderr !== undefined)
        assert.ok(fits(stderr, program.stderr), `The page says:\n${program.stderr}\n${all}`);
      else if (program.exitCode === 0) assert.equal(stderr, '');
    });
  }
});

/** Examples in doc comments that cannot stand by themselves, and what is around them. Keyed by file and by a word of the example. */
const surroundings: readonly { file: string; word: string; code: string }[] = [
  {
    file: 'task/command.ts',
    word: 'sort -n',
    code: 'declare const io: { from: File; to: Output }, lines: number, archive: string, files: File[], verbose: boolean;',
  },
  { file: 'task/future.ts', word: 'sum.id', code: 'const add = app((a: number, b: number) => a + b);' },
  { file: 'load/run.ts', word: 'run.events', code: 'declare const run: Run;' },
  { file: 'app/streams.ts', word: 'asCompleted', code: 'declare const parts: Future<number>[];' },
  {
    file: 'app/streams.ts',
    word: 'stream(',
    code: 'const square = app((n: number) => n * n); declare function numbers(): Iterable<number>;',
  },
  { file: 'app/app.ts', word: 'apps<', code: '// tasks.ts' },
  {
    file: 'testing/conformance.ts',
    word: 'mine',
    code: "declare function mine(options: { max: number }): import('chervil').Executor;",
  },
  {
    file: 'testing/host.ts',
    word: 'FakeHost',
    code: "import assert from 'node:assert/strict'; import { attemptOf } from 'chervil/testing'; declare const executor: import('chervil').Executor, directory: string;",
  },
];

describe('types', () => {
  test('the programs of the guide and the examples in the source are well typed', async () => {
    const names = new Map<string, string>();
    for (const { page, program, directory } of placed)
      names.set(relative(scratch, join(directory, 'program.ts')), `${page}:${program.line}`);
    writeExamples(names);
    writeFileSync(
      join(scratch, 'tasks.ts'),
      'export const count = (text: string) => text.length;\nexport const merge = (counts: number[]) => counts.length;\n',
    );
    writeFileSync(
      join(scratch, 'tsconfig.json'),
      JSON.stringify({
        extends: '../../tsconfig.json',
        compilerOptions: { typeRoots: [join(root, 'node_modules', '@types')] },
        include: ['**/*.ts'],
        exclude: [],
      }),
    );
    const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
    const { stdout, stderr } = await runNode([compiler, '-p', scratch, '--pretty', 'false'], scratch);
    const told = `${stdout}${stderr}`.replaceAll(
      /^(?:.*?\.cache\/docs-\d+\/)?([^\s(]+\.ts)\(/gm,
      (_, path: string) => `${names.get(path) ?? path} (`,
    );
    assert.equal(told, '');
  });
});

function writeExamples(names: Map<string, string>): void {
  let number = 0;
  const exported = new Map(Object.entries(chervil));
  for (const file of publicFiles()) {
    for (const example of examplesIn(join(root, 'src', file))) {
      const around = surroundings.find((one) => one.file === file && example.text.includes(one.word));
      const code = `${around?.code ?? ''}\n${example.text}`;
      const own = exportsOf(file);
      const imported = (name: string): boolean =>
        new RegExp(`\\b${name}\\b`).test(code) &&
        !new RegExp(`(?:const|function|class|let|import \\{[^}]*)\\s*\\b${name}\\b`).test(code);
      const fromOwn = own.filter(imported);
      const fromPublic = [...exported.keys(), 'Future', 'RetryPolicy', 'Serializer'].filter(
        (name) => !fromOwn.includes(name) && imported(name),
      );
      const lines = [
        fromOwn.length > 0 ? `import { ${fromOwn.join(', ')} } from '#src/${file.replace(/ts$/, 'js')}';` : '',
        fromPublic.length > 0
          ? `import { ${fromPublic.map((name) => (exported.has(name) ? name : `type ${name}`)).join(', ')} } from 'chervil';`
          : '',
        code,
        'export {};',
      ];
      const path = `example-${++number}.ts`;
      writeFileSync(join(scratch, path), `${lines.join('\n')}\n`);
      names.set(path, `src/${file}:${example.line}`);
    }
  }
}

function exportsOf(file: string): string[] {
  const source = readFileSync(join(root, 'src', file), 'utf8');
  const found = [...source.matchAll(/^export (?:async )?(?:abstract )?(?:const|function\*?|class) (\w+)/gm)].map(
    (match) => match[1] ?? '',
  );
  return [...new Set(found)];
}

/** Files of which users see something. Examples elsewhere are for those who read the source, and lean on what is around them. */
function publicFiles(): string[] {
  const entries = ['index.ts', 'inside.ts', ...(hasTesting ? ['testing/index.ts'] : [])];
  const files = new Set(entries);
  for (const entry of entries) {
    for (const [, path = ''] of text(`src/${entry}`).matchAll(/^export .* from '(\..*)';$/gm))
      files.add(join(dirname(entry), path));
  }
  return [...files].sort();
}

describe('tables of the guide', () => {
  const configTs = join(root, 'src/load/config.ts');
  const typesTs = join(root, 'src/app/types.ts');
  const optionTables: readonly { page: string; heading: string; file: string; type: string }[] = [
    { page: 'docs/configuration.md', heading: 'Fields of the configuration', file: configTs, type: 'Config' },
    { page: 'docs/configuration.md', heading: 'checkpoint', file: configTs, type: 'CheckpointConfig' },
    {
      page: 'docs/configuration.md',
      heading: 'Options of load()',
      file: join(root, 'src/load/load.ts'),
      type: 'LoadOptions',
    },
    { page: 'docs/configuration.md', heading: 'Options of an app', file: typesTs, type: 'AppOptions' },
    { page: 'docs/configuration.md', heading: 'Further options of a bash app', file: typesTs, type: 'BashOptions' },
    {
      page: 'docs/retries-timeouts-cancel.md',
      heading: 'A retry policy',
      file: join(root, 'src/kernel/app-record.ts'),
      type: 'RetryPolicy',
    },
    {
      page: 'docs/retries-timeouts-cancel.md',
      heading: 'backoff',
      file: join(root, 'src/kernel/backoff.ts'),
      type: 'BackoffOptions',
    },
    {
      page: 'docs/memo-and-checkpoints.md',
      heading: 'Options of memo',
      file: join(root, 'src/kernel/elaborators/memo.ts'),
      type: 'MemoOption',
    },
    {
      page: 'docs/streaming.md',
      heading: 'Options of stream()',
      file: join(root, 'src/app/streams.ts'),
      type: 'StreamOptions',
    },
    {
      page: 'docs/executors.md',
      heading: 'Options of inline()',
      file: join(root, 'src/executors/inline.ts'),
      type: 'InlineOptions',
    },
    {
      page: 'docs/executors.md',
      heading: 'Options of threads()',
      file: join(root, 'src/executors/threads.ts'),
      type: 'ThreadsOptions',
    },
    {
      page: 'docs/events-and-logs.md',
      heading: 'Fields of an event',
      file: join(root, 'src/task/channels.ts'),
      type: 'TaskEvent',
    },
  ];
  for (const { page, heading, file, type } of optionTables) {
    test(`${page} has every field of ${type}, with its default`, () => {
      const rows = tableUnder(text(page), heading);
      const fields = fieldsOf(file, type);
      assert.deepEqual(rows.map(([name]) => bare(name)).sort(), fields.map(({ name }) => name).sort());
      for (const field of fields) {
        if (field.default === undefined) continue;
        const row = rows.find(([name]) => bare(name) === field.name) ?? [];
        assert.ok(
          row.some((cell) => bare(cell) === bare(field.default)),
          `${field.name}: the source says @default ${field.default}, the page says ${row.join(' | ')}`,
        );
      }
    });
  }

  test('docs/dependencies-and-errors.md has every code of an error', () => {
    const codes = [...text('src/task/errors.ts').matchAll(/^ {2}readonly code = '(\w+)';/gm)].map((match) => match[1]);
    const page = text('docs/dependencies-and-errors.md');
    const told = [...tableUnder(page, 'Errors of tasks'), ...tableUnder(page, 'Errors of use')].map(([code]) =>
      bare(code),
    );
    assert.deepEqual([...new Set(told)].sort(), codes.sort());
  });

  test('the guide has every state of a task, and says what may follow it', async () => {
    const { mayFollow, taskStates } = (await import(
      pathToFileURL(join(root, 'dist/task/state.js')).href
    )) as typeof import('#src/task/state.js');
    const rows = tableUnder(text('docs/events-and-logs.md'), 'States');
    assert.deepEqual(rows.map(([name]) => bare(name)).sort(), Object.keys(taskStates).sort());
    for (const [name, number, next] of rows) {
      const state = bare(name) as keyof typeof taskStates;
      assert.equal(Number(number), taskStates[state]);
      assert.deepEqual(
        (next ?? '')
          .split(/[,\s]+/)
          .map(bare)
          .filter((word) => word !== '' && word !== 'final'),
        [...mayFollow[state]],
        state,
      );
    }
  });

  for (const command of ['run', 'perf']) {
    test(`docs/command-line.md has every option of chervil ${command}`, async () => {
      const { stdout, exitCode } = await runNode([join(root, 'bin', 'chervil.js'), command, '--help'], root);
      assert.equal(exitCode, 0);
      const there = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map((match) => match[1]);
      const rows = tableUnder(text('docs/command-line.md'), `chervil ${command}`);
      const told = rows.map(([name]) => bare(name).split(' ')[0]);
      assert.deepEqual(told.sort(), there.filter((name) => name !== '--help').sort());
    });
  }

  test('the guide names the elaborators in the order of the path', () => {
    const told = tableUnder(text('ARCHITECTURE.md'), 'The path of a task').map(([name]) => bare(name));
    assert.deepEqual(told, [...chervil.elaboratorNames]);
  });
});

/** Without backquotes and quotes of Markdown. */
function bare(cell: string | undefined): string {
  return (cell ?? '').replaceAll('`', '').replaceAll(/\s+/g, ' ').trim();
}

describe('links of the guide', () => {
  for (const page of [...pages, 'STYLE.md', 'CHANGELOG.md']) {
    test(`the links of ${page} lead somewhere`, () => {
      for (const link of linksOf(text(page))) {
        const [path = '', anchor] = link.split('#');
        const target = path === '' ? join(root, page) : resolve(root, dirname(page), path);
        assert.ok(existsSync(target), `${link}: there is no ${relative(root, target)}`);
        if (anchor !== undefined)
          assert.ok(anchorsOf(readFileSync(target, 'utf8')).has(anchor), `${link}: there is no such heading`);
      }
    });
  }

  test('every page of the guide can be reached from the README', () => {
    const told = new Set(linksOf(text('README.md')).map((link) => link.split('#')[0]));
    for (const page of markdownIn('docs'))
      if (!page.startsWith('docs/adr/')) assert.ok(told.has(page), `README.md does not name ${page}`);
  });
});

function markdownIn(directory: string): string[] {
  return readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => join(directory, path))
    .sort();
}

/** What the guide tells to run a program with: Node itself where it can, `chervil run` elsewhere. */
const runner = (process.features as { typescript?: unknown }).typescript
  ? []
  : [join(root, 'bin', 'chervil.js'), 'run', '--no-progress'];

/** Runs Node in a folder until it ends by itself. */
async function runNode(
  args: readonly string[],
  cwd: string,
): Promise<{ exitCode: number | null; stdout: string; stderr: string }> {
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, FORCE_COLOR: ___, ...environment } = process.env;
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...environment, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stdout: string[] = [];
  const stderr: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => stdout.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => stderr.push(chunk));
  const watchdog = setTimeout(() => child.kill('SIGKILL'), 120_000);
  const exitCode = await new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done));
  clearTimeout(watchdog);
  return { exitCode, stdout: stdout.join(''), stderr: stderr.join('') };
}

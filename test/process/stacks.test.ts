// A failure tells the lines of the file that the user wrote, whatever the program was loaded with.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { onStage, typescriptFlags } from './program.ts';

const programs = fileURLToPath(new URL('../fixtures/programs/', import.meta.url));
const packageRoot = fileURLToPath(new URL('../../', import.meta.url));

/** The line of a fixture that has a mark. */
function lineOf(path: string, mark: string): string {
  const lines = readFileSync(path, 'utf8').split('\n');
  const index = lines.findIndex((line) => line.includes(mark));
  assert.ok(index >= 0, `${path} has no ${mark}`);
  return `${path}:${index + 1}:`;
}

async function assertPlaces(
  fixture: string,
  flags: readonly string[],
  executor: string,
  extension: 'js' | 'ts',
  sources: string,
): Promise<void> {
  await onStage(async ({ start, directory }) => {
    const { code, stdout, stderr } = await start(fixture, [executor], { flags, cwd: directory }).ended;
    assert.equal(code, 0, stderr);
    const told = JSON.parse(stdout) as Record<'byValue' | 'byReference', Record<string, string>>;
    const program = join(sources, `stacks.${extension}`);
    const [helper, body, tooHot] = [
      lineOf(program, '// HELPER'),
      lineOf(program, '// BODY'),
      lineOf(join(sources, `tasks.${extension}`), '// TOO HOT'),
    ];
    for (const key of ['stack', 'remote', 'rebuilt', 'cause']) {
      const stack = told.byValue[key] ?? '';
      assert.ok(stack.includes(helper) && stack.indexOf(body) > stack.indexOf(helper), `${key}: ${stack}`);
    }
    for (const key of ['stack', 'remote', 'rebuilt'])
      assert.ok(told.byReference[key]?.includes(tooHot), `${key}: ${told.byReference[key]}`);
  });
}

describe('the stack of a failed app has the lines of the file as it was written', {
  concurrency: 1,
  timeout: 120_000,
}, () => {
  for (const executor of ['threads', 'inline']) {
    const how = typescriptFlags.length > 0 ? 'under tsx' : 'by Node itself';
    test(`TypeScript, loaded ${how}, ${executor}`, () =>
      assertPlaces('stacks.ts', typescriptFlags, executor, 'ts', programs));
  }

  test('JavaScript, compiled before; with source maps the lines of the TypeScript', async () => {
    // In the package, as the fixtures import it by name.
    const compiled = join(packageRoot, '.cache', `stacks-${process.pid}`);
    mkdirSync(compiled, { recursive: true });
    try {
      const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
      const flags = `--rootDir ${programs} --outDir ${compiled} --sourceMap --module nodenext --target es2022 --types node --skipLibCheck --rewriteRelativeImportExtensions --ignoreConfig`;
      const result = spawnSync(
        process.execPath,
        [compiler, ...flags.split(' '), join(programs, 'stacks.ts'), join(programs, 'tasks.ts')],
        { encoding: 'utf8', cwd: packageRoot },
      );
      assert.equal(result.status, 0, result.stdout + result.stderr);
      // The reference to tasks.ts in a URL is text, which no compiler changes.
      const program = join(compiled, 'stacks.js');
      writeFileSync(program, readFileSync(program, 'utf8').replace("'./tasks.ts'", "'./tasks.js'"));
      for (const executor of ['threads', 'inline']) {
        await assertPlaces(program, [], executor, 'js', compiled);
        await assertPlaces(program, ['--enable-source-maps'], executor, 'ts', programs);
      }
    } finally {
      rmSync(compiled, { recursive: true, force: true });
    }
  });
});

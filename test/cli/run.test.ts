import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { chervil, commandLine, fixtures, root, scratch, start } from './command.ts';

const fixture = (name: string): string => join(fixtures, name);

describe('chervil run', { concurrency: false }, () => {
  test('runs a TypeScript file from any directory and hands it its arguments', async (t) => {
    const { code, stdout, stderr } = await chervil(t, [
      'run',
      fixture('arguments.ts'),
      'a',
      '--size',
      '3',
      '--',
      '--config',
      'x',
    ]);
    assert.equal(stderr, '');
    assert.equal(stdout, 'a|--size|3|--config|x\n');
    assert.equal(code, 0);
  });

  test('finds the program from the current directory', async (t) => {
    const { stdout } = await chervil(t, ['run', 'arguments.ts', 'b'], fixtures);
    t.after(() => spawnSync('rm', ['-rf', join(fixtures, 'runinfo')]));
    assert.equal(stdout, 'b\n');
  });

  test('compiles what Node.js cannot run by leaving out types, also in threads, also where no package.json names a type', async (t) => {
    const directory = scratch(t);
    const chervilModule = JSON.stringify(new URL('../../dist/index.js', import.meta.url).href);
    writeFileSync(
      join(directory, 'tasks.ts'),
      `enum Size { One = 1 }
       const base: number = await Promise.resolve(40);
       export async function add(n: number): Promise<number> {
         await using scope = { async [Symbol.asyncDispose](): Promise<void> {} };
         return base + n + Size.One;
       }`,
    );
    writeFileSync(
      join(directory, 'program.ts'),
      `import { apps, load } from ${chervilModule};
       import type * as tasks from './tasks.ts';
       enum Size { One = 1 }
       const { add } = apps<typeof tasks>(new URL('./tasks.ts', import.meta.url));
       await using run = await load();
       console.log(await add(Size.One));`,
    );
    const { code, stdout, stderr } = await chervil(t, ['run', join(directory, 'program.ts')]);
    assert.equal(stderr, '');
    assert.equal(stdout, '42\n');
    assert.equal(code, 0);
  });

  test('ends with 1 when a task failed and nobody looked, and names it', async (t) => {
    const { code, stdout, stderr } = await chervil(t, ['run', fixture('failing.ts'), 'unseen']);
    assert.equal(stdout, 'returned\n');
    assert.match(stderr, /1 task failed and nobody looked:\n {2}Task 0 \(bad\): RangeError: out of luck/);
    assert.equal(code, 1);
  });

  test('ends with 0 when the program handled the failure', async (t) => {
    const { code, stdout, stderr } = await chervil(t, ['run', fixture('failing.ts'), 'handled']);
    assert.equal(stderr, '');
    assert.equal(stdout, 'APP_ERROR\nreturned\n');
    assert.equal(code, 0);
  });

  test('shows the lines of the program where a task failed that it awaited', async (t) => {
    const { code, stderr } = await chervil(t, ['run', fixture('failing.ts'), 'awaited']);
    assert.match(stderr, /^AppError: Task 0 \(bad\): RangeError: out of luck$/m);
    assert.match(stderr, /^> 4 \| {3}throw new RangeError\('out of luck'\);$/m);
    assert.match(stderr, /^ {4}\| +\^$/m);
    assert.doesNotMatch(stderr, /dist\/|node:internal/);
    assert.equal(code, 1);
  });

  for (const when of ['thrown', 'later']) {
    test(`shows the line of an error that the program threw ${when === 'later' ? 'in a timer' : 'at its top'}`, async (t) => {
      const { code, stderr } = await chervil(t, ['run', fixture('failing.ts'), when]);
      assert.match(stderr, /^TypeError: not my day$/m);
      assert.match(stderr, /^> \d+ \| +throw new TypeError\('not my day'\);$/m);
      assert.equal(code, 1);
    });
  }

  test('keeps the exit code that the program chose', async (t) => {
    assert.equal((await chervil(t, ['run', fixture('failing.ts'), 'exit'])).code, 7);
  });

  test('says so when the program awaits at its top what nothing will settle', async (t) => {
    const { code, stderr } = await chervil(t, ['run', fixture('failing.ts'), 'never']);
    assert.match(stderr, /never came to its end/);
    assert.equal(code, 1);
  });

  test('says in one line that there is no such file', async (t) => {
    const { code, stderr } = await chervil(t, ['run', 'no-such.ts']);
    assert.match(stderr, /^chervil: there is no file \/.*no-such\.ts; .*\n$/);
    assert.equal(code, 1);
  });
});

describe('chervil run --config', { concurrency: false }, () => {
  test('is used by a load() that has no configuration of its own', async (t) => {
    const { stdout, stderr } = await chervil(t, ['run', fixture('labels.ts'), '--config', fixture('config.ts')]);
    assert.equal(stderr, '');
    assert.equal(stdout, 'on here\n');
  });

  test('takes an export named config, and TypeScript that must be compiled', async (t) => {
    const { stdout, stderr } = await chervil(t, ['run', '--config', fixture('config-named.ts'), fixture('labels.ts')]);
    assert.equal(stderr, '');
    assert.equal(stdout, 'on named\n');
  });

  test('gives way to what the program says itself', async (t) => {
    const { stdout } = await chervil(t, ['run', fixture('labels.ts'), 'own', '--config', fixture('config.ts')]);
    assert.equal(stdout, 'on mine\n');
  });

  test('is checked before the program begins', async (t) => {
    const { code, stdout, stderr } = await chervil(t, [
      'run',
      fixture('labels.ts'),
      '--config',
      fixture('config-wrong.ts'),
    ]);
    assert.match(stderr, /ConfigError: The configuration has 2 problems/);
    assert.match(stderr, /retries: .*retry/);
    assert.equal(stdout, '');
    assert.equal(code, 1);
  });

  test('that does not exist is said in one line', async (t) => {
    const { code, stderr } = await chervil(t, ['run', fixture('labels.ts'), '--config', 'no-such.ts']);
    assert.match(stderr, /^chervil: there is no config file \/.*no-such\.ts; .*\n$/);
    assert.equal(code, 1);
  });
});

describe('Ctrl-C', { concurrency: false }, () => {
  const marked = (marker: string): number[] =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith(`sleep\x00600.${marker}`);
        } catch {
          return false;
        }
      });
  const noProc = process.platform === 'linux' ? false : 'for want of /proc';

  test('once cancels the tasks, cleans up and ends with 130', { skip: noProc }, async (t) => {
    const marker = `${process.pid}1`;
    const [program = '', ...args] = commandLine(['run', fixture('waiting.ts'), marker]);
    const { child, ended, until } = start(t, program, args);
    await until('waiting');
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    assert.match(stderr, /cancelling 2 tasks; Ctrl-C again ends at once/);
    assert.doesNotMatch(stderr, /CancelledError/);
    assert.equal(code, 130);
    assert.deepEqual(marked(marker), []);
  });

  test('twice ends a program at once that goes on after the first', { skip: noProc }, async (t) => {
    const marker = `${process.pid}2`;
    const [program = '', ...args] = commandLine(['run', fixture('waiting.ts'), marker, 'deaf']);
    const { child, ended, until } = start(t, program, args);
    await until('waiting');
    child.kill('SIGINT');
    await until('cancelled');
    child.kill('SIGINT');
    assert.equal((await ended).code, 130);
    assert.deepEqual(marked(marker), []);
  });
});

describe('progress', { concurrency: false }, () => {
  test('is told in plain lines where there is no terminal', async (t) => {
    const { stdout, stderr } = await chervil(t, ['run', '--progress', fixture('steps.ts')]);
    assert.equal(stdout, 'half a line\nall\n');
    assert.match(stderr, /^(?:chervil: .* of 30 done.*\n)*chervil: 30 tasks in [\d.]+ m?s: 30 done\n$/);
    assert.equal(visible(stderr).includes('<'), false, stderr);
  });

  test('says nothing of a short run unless it is asked for', async (t) => {
    assert.equal((await chervil(t, ['run', fixture('steps.ts')])).stderr, '');
    assert.equal((await chervil(t, ['run', fixture('steps.ts'), '--no-progress'])).stderr, '');
  });

  const noScript =
    spawnSync('script', ['--version']).status === 0 ? false : 'for want of script(1), which makes a terminal';

  test('is one live line on a terminal, below what the program prints', { skip: noScript }, async (t) => {
    const command = commandLine(['run', fixture('steps.ts')])
      .map((word) => `'${word}'`)
      .join(' ');
    const { stdout } = await start(t, 'script', ['-qec', command, '/dev/null']).ended;
    const shown = screen(stdout);
    assert.match(visible(stdout), /<CR><EL>chervil: \d+ of 30 done/);
    assert.match(shown, /^half a line\nall\nchervil: 30 tasks in [\d.]+ m?s: 30 done\n$/);
  });

  test('is off on a terminal with --no-progress', { skip: noScript }, async (t) => {
    const command = commandLine(['run', '--no-progress', fixture('steps.ts')])
      .map((word) => `'${word}'`)
      .join(' ');
    const { stdout } = await start(t, 'script', ['-qec', command, '/dev/null']).ended;
    assert.equal(stdout, 'half a line\r\nall\r\n');
  });

  /** Control characters by name. */
  function visible(output: string): string {
    return output.replaceAll('\r\n', '\n').replaceAll('\r', '<CR>').replaceAll('\x1b[K', '<EL>');
  }

  /** What a terminal shows in the end. */
  function screen(output: string): string {
    const lines = [''];
    let isAtStart = false;
    for (const [token] of visible(output).matchAll(/<CR>|<EL>|\n|[^<\n]+/g)) {
      const last = lines.length - 1;
      if (token === '\n') lines.push('');
      else if (token === '<CR>') isAtStart = true;
      else if (token === '<EL>') lines[last] = isAtStart ? '' : (lines[last] as string);
      else lines[last] = isAtStart ? token : `${lines[last]}${token}`;
      if (token !== '<CR>') isAtStart = false;
    }
    return lines.join('\n');
  }
});

test('chervil --echo shows what bodies print, with the name of their task', async (t) => {
  const { stdout } = await chervil(t, ['run', '--echo', fixture('labels.ts'), 'say']);
  assert.match(stdout, /^\[task 0 label\] said inside$/m);
});

test('chervil --version prints the version of the package', async (t) => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  assert.equal((await chervil(t, ['--version'])).stdout, `${version}\n`);
});

test('an unknown command or option is told with what there is', async (t) => {
  const command = await chervil(t, ['rum', 'x.ts']);
  assert.match(command.stderr, /unknown command 'rum'\n\(Did you mean run\?\)/);
  assert.equal(command.code, 1);
  const option = await chervil(t, ['perf', '--tim', '3']);
  assert.match(option.stderr, /unknown option '--tim'\n\(Did you mean --time\?\)/);
  assert.equal(option.code, 1);
});

test('a program in a directory can keep its own folder of runs', async (t) => {
  const directory = scratch(t);
  mkdirSync(join(directory, 'runinfo'));
  await chervil(t, ['run', fixture('arguments.ts')], directory);
  assert.deepEqual(readdirSync(join(directory, 'runinfo')), ['000']);
});

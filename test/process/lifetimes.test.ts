// A user's program always ends by itself, whatever it forgets, and leaves no process behind, however it ends.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isUp } from '../fixtures/programs/up.ts';
import { onStage, typescriptFlags } from './program.ts';

describe('a program', { concurrency: 1, timeout: 120_000 }, () => {
  test('that forgets to close its run ends by itself', () =>
    onStage(async ({ start, directory, nothingLeft }) => {
      const { code, stdout, stderr } = await start('lifetimes.ts', ['forgets', directory]).ended;
      assert.deepEqual({ code, stdout }, { code: 0, stdout: '42\n' }, stderr);
      await nothingLeft();
    }));

  test('that forgets its futures and its run ends when all tasks are done', () =>
    onStage(async ({ start, directory }) => {
      const { code, stderr } = await start('lifetimes.ts', ['forgetsAll', directory]).ended;
      assert.equal(code, 0, stderr);
      const log = readFileSync(join(directory, 'runinfo/000/chervil.log'), 'utf8');
      assert.match(log, /exec_done: 100/);
    }));

  test('that closes its runs while threads are being ended goes on to its last line', () =>
    onStage(async ({ start, directory }) => {
      const { code, stdout, stderr } = await start('lifetimes.ts', ['endsThreadsAgainAndAgain', directory]).ended;
      assert.deepEqual({ code, stdout }, { code: 0, stdout: 'the end\n' }, stderr);
    }));

  test('that throws ends with 1, and its tasks and commands with it', () =>
    onStage(async ({ start, directory, nothingLeft }) => {
      const { code, stderr } = await start('lifetimes.ts', ['throws', directory]).ended;
      assert.equal(code, 1);
      assert.match(stderr, /the program itself/);
      await nothingLeft();
    }));

  test('that throws in the scope of its run waits for its tasks, and ends with 1', () =>
    onStage(async ({ start, directory, nothingLeft }) => {
      const { code, stderr } = await start('lifetimes.ts', ['throwsInScope', directory]).ended;
      assert.equal(code, 1);
      assert.match(stderr, /the program itself/);
      await nothingLeft();
    }));

  test('that calls process.exit() ends at once, and leaves nothing', () =>
    onStage(async ({ start, directory, nothingLeft }) => {
      const { code, stderr } = await start('lifetimes.ts', ['exits', directory]).ended;
      assert.equal(code, 5, stderr);
      await nothingLeft();
    }));

  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    test(`that gets ${signal} cancels its tasks, lets commands tidy up, and ends with ${exitCode}`, () =>
      onStage(async ({ start, directory, nothingLeft }) => {
        const program = start('lifetimes.ts', ['waits', directory]);
        await isUp(join(directory, 'up'));
        program.child.kill(signal);
        const { code, stdout, stderr } = await program.ended;
        assert.deepEqual({ code, stdout }, { code: exitCode, stdout: 'CANCELLED\nCANCELLED\ncleaned up 0\n' }, stderr);
        assert.match(stderr, /cancelling 2 tasks; Ctrl-C again ends at once/);
        assert.equal(readFileSync(join(directory, 'tidied'), 'utf8'), 'tidied\n');
        await nothingLeft();
      }));
  }

  test('that hangs after the first Ctrl-C is ended by the second', () =>
    onStage(async ({ start, directory, nothingLeft }) => {
      const program = start('lifetimes.ts', ['hangsInCleanup', directory]);
      await isUp(join(directory, 'up'));
      program.child.kill('SIGINT');
      await program.printed('cleaning up');
      program.child.kill('SIGINT');
      assert.equal((await program.ended).code, 130);
      await nothingLeft();
    }));

  test('that is killed leaves no process, and the next run goes on from its checkpoint', () =>
    onStage(async ({ start, directory, nothingLeft }) => {
      const program = start('lifetimes.ts', ['resumes', directory, 'hang']);
      await isUp(join(directory, 'up'));
      program.child.kill('SIGKILL');
      const killed = await program.ended;
      assert.equal(killed.signal, 'SIGKILL');
      assert.deepEqual(JSON.parse(killed.stdout), { values: [10, 20, 30], memoized: 0 });
      await nothingLeft();
      const next = await start('lifetimes.ts', ['resumes', directory]).ended;
      assert.deepEqual(JSON.parse(next.stdout), { values: [10, 20, 30], memoized: 3 }, next.stderr);
    }));

  test('whose failed futures nobody awaits does not crash, and names them at the end', () =>
    onStage(async ({ start, directory }) => {
      const { code, stderr } = await start('lifetimes.ts', ['failsUnseen', directory]).ended;
      assert.equal(code, 0, stderr);
      assert.match(stderr, /3 tasks failed and nobody looked/);
      assert.match(stderr, /failed 1/);
    }));

  test('that is started many times at once has a run directory of its own each time', () =>
    onStage(async ({ start, directory }) => {
      const all = await Promise.all(
        Array.from({ length: 4 }, () => start('lifetimes.ts', ['directory', directory]).ended),
      );
      for (const { code, stderr } of all) assert.equal(code, 0, stderr);
      assert.equal(new Set(all.map(({ stdout }) => stdout)).size, 4);
      assert.deepEqual(
        readdirSync(join(directory, 'runinfo'))
          .filter((name) => /^\d+$/.test(name))
          .sort(),
        ['000', '001', '002', '003'],
      );
    }));

  test('whose disk takes no log says so once, and goes on', () =>
    onStage(async ({ start, directory }) => {
      const { code, stdout, stderr } = await start('lifetimes.ts', ['logless', directory]).ended;
      assert.deepEqual({ code, stdout }, { code: 0, stdout: '42\n' }, stderr);
      assert.equal(stderr.match(/cannot write .*chervil\.log/g)?.length, 1, stderr);
    }));

  test('whose threads cannot start is told so by each task, and ends', () =>
    onStage(async ({ start, directory, nothingLeft }) => {
      const text =
        "import { isMainThread } from 'node:worker_threads'; if (!isMainThread) throw new Error('no threads here');";
      const flags = [...typescriptFlags, '--import', `data:text/javascript,${encodeURIComponent(text)}`];
      const { code, stderr } = await start('lifetimes.ts', ['forgets', directory], { flags }).ended;
      assert.equal(code, 1);
      assert.match(stderr, /Executor 'threads' cannot run tasks: its threads cannot be started: no threads here/);
      await nothingLeft();
    }));

  test('finds the modules of its apps from any working directory', () =>
    onStage(async ({ start, directory }) => {
      const { code, stdout, stderr } = await start('lifetimes.ts', ['forgets', directory], { cwd: '/' }).ended;
      assert.deepEqual({ code, stdout }, { code: 0, stdout: '42\n' }, stderr);
    }));
});

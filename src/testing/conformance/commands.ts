// Commands of bash apps: their streams, exit codes and outputs, and that nothing is left of one that was ended.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BashExitError } from '../../task/errors.ts';
import type { CommandFiles } from '../../task/ports.ts';
import type { Suite } from '../conformance.ts';
import { fileText, onBench } from './bench.ts';

export function testCommands({ test, make, supports }: Suite): void {
  if (!supports.bash) return;
  const filesIn = (directory: string, outputs: readonly string[] = []): CommandFiles => ({
    stdout: { path: join(directory, 'out'), mode: 'truncate' },
    stderr: { path: join(directory, 'err'), mode: 'truncate' },
    outputs: outputs.map((name) => join(directory, name)),
  });

  test('a command writes its output to files, and gives 0', () =>
    onBench(make, async ({ host, submit, directory }) => {
      const files = filesIn(directory, ['made']);
      const attempt = submit('command', [`echo said; echo complained >&2; echo x > ${files.outputs[0]}`], {
        kind: 'bash',
        files,
      });
      assert.equal(await host.value(attempt), 0);
      assert.equal(readFileSync(join(directory, 'out'), 'utf8'), 'said\n');
      assert.match(readFileSync(join(directory, 'err'), 'utf8'), /complained\n$/);
    }));

  test('a command that fails tells its exit code, and the end of its stderr', () =>
    onBench(make, async ({ host, submit, directory }) => {
      const failing = [
        ['echo why >&2; exit 3', 3],
        ['/no/such/program', 127],
        ['/', 126],
      ] as const;
      for (const [text, exitCode] of failing) {
        const error = (await host.error(
          submit('command', [text], { kind: 'bash', files: filesIn(directory) }),
        )) as BashExitError;
        assert.equal(error.code, 'BASH_EXIT');
        assert.equal(error.exitCode, exitCode);
        if (exitCode === 3) assert.match(error.stderrTail, /why/);
      }
      const missing = await host.error(
        submit('command', ['true'], { kind: 'bash', files: filesIn(directory, ['never-made']) }),
      );
      assert.equal(missing.code, 'MISSING_OUTPUTS');
      const nothing = await host.error(submit('echo', [7], { kind: 'bash' }));
      assert.equal(nothing.code, 'BASH_NO_COMMAND');
    }));

  const tree = (directory: string): string =>
    `sleep 1000 & echo $! >> ${directory}/pids; setsid sleep 1000 & echo $! >> ${directory}/pids; echo $$ >> ${directory}/pids; echo done >> ${directory}/pids; wait`;
  const assertGone = async (directory: string): Promise<void> => {
    const pids = readFileSync(join(directory, 'pids'), 'utf8').split('\n').map(Number).filter(Boolean);
    assert.ok(pids.length >= 2);
    for (const pid of pids) assert.ok(!isAlive(pid), `process ${pid} was left`);
  };

  test('a command that runs longer than its timeout is ended with all that it started', () =>
    onBench(make, async ({ host, submit, directory }) => {
      const attempt = submit('command', [tree(directory)], { kind: 'bash', timeoutMs: 1_500 });
      assert.equal((await host.error(attempt)).code, 'TIMEOUT');
      await assertGone(directory);
    }));

  test('a command that is stopped is ended with all that it started', () =>
    onBench(make, async ({ host, executor, submit, stop, directory }) => {
      const attempt = submit('command', [tree(directory)], { kind: 'bash' });
      while (!(await fileText(directory, 'pids')).includes('done'))
        await new Promise((resolve) => setImmediate(resolve));
      stop(attempt);
      assert.equal(await host.value(submit('add', [1, 2])), 3);
      await executor.close();
      await assertGone(directory);
    }));

  test('a command gets SIGTERM first, also when its executor is closed', () =>
    onBench(make, async ({ executor, submit, directory }) => {
      submit(
        'command',
        [
          `trap 'echo tidied > ${directory}/tidied; exit' TERM; echo up > ${directory}/up; while :; do sleep 0.01; done`,
        ],
        { kind: 'bash' },
      );
      await fileText(directory, 'up');
      await executor.close();
      assert.equal(readFileSync(join(directory, 'tidied'), 'utf8'), 'tidied\n');
    }));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie that nobody has collected is gone, too.
    return process.platform !== 'linux' || !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

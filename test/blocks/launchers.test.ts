// Launchers in jobs of the provider `local`, with real processes: words, environment, exit codes, and that nothing survives.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { endProcesses, findMarked } from '#src/base/processes.js';
import {
  type Launcher,
  local,
  type Provider,
  simpleLauncher,
  singleNodeLauncher,
  wrappedLauncher,
} from '#src/index.js';
import { within } from '../support/happenings.ts';

const place = mkdtempSync(join(tmpdir(), 'chervil-launchers-'));
after(() => rmSync(place, { recursive: true, force: true }));

const launchers: readonly (readonly [string, Launcher])[] = [
  ['simpleLauncher()', simpleLauncher()],
  ['singleNodeLauncher()', singleNodeLauncher()],
  ['wrappedLauncher()', wrappedLauncher('env "ADDED=a b"')],
];

let jobs = 0;

class JobBench {
  readonly directory = join(place, String(jobs++));
  readonly mark = `launchers-${process.pid}-${jobs}`;
  readonly provider: Provider;
  readonly id: Promise<string>;
  readonly #ended: Promise<void>;

  constructor(launcher: Launcher, command: string, workerInit = '') {
    mkdirSync(this.directory);
    this.provider = local({ launcher, workerInit });
    this.#ended = new Promise((resolve) => {
      this.provider.onEnded = () => resolve();
    });
    const environment = { CHERVIL_TEST_JOB: this.mark, GIVEN: 'it\'s "given" $HOME' };
    this.id = this.provider.submit(command, { name: 'block-0', directory: this.directory, environment });
  }

  async status() {
    const [status] = await this.provider.status([await this.id]);
    assert.ok(status !== undefined);
    return status;
  }

  async end() {
    await within(this.#ended, 'the job to end');
    return this.status();
  }

  /** The pids that the command wrote. */
  async pids(): Promise<number[]> {
    const path = join(this.directory, 'pids');
    while (!existsSync(path)) await pause(20);
    return readFileSync(path, 'utf8').trim().split(' ').map(Number);
  }

  /** Fails, and cleans up, if something with the mark of this job is still there after a while. */
  async nothingLeft(): Promise<void> {
    const marks = { CHERVIL_TEST_JOB: this.mark };
    const until = performance.now() + 10_000;
    let left = await findMarked(marks);
    while (left.length > 0 && performance.now() < until) {
      await pause(20);
      left = await findMarked(marks);
    }
    await endProcesses({ marks }, { graceMs: 0 });
    assert.deepEqual(left, [], 'processes were left');
  }

  /** A command of several processes: one stays in its place, one ignores every polite signal. */
  static stubborn(directory: string): string {
    const body = `sleep 1000 & (trap "" TERM INT HUP; exec sleep 1001) & echo $$ $! $PPID > pids.new; mv pids.new pids; wait`;
    return `/bin/bash -c 'cd "$1"; ${body}' stubborn '${directory}'`;
  }
}

for (const [name, launcher] of launchers) {
  describe(`a job with ${name}`, () => {
    it('gets every word of its command as it is, and all of its environment', async () => {
      const words = `/bin/bash -c 'printf "%s\\n" "$@" "$GIVEN" "$FROM_INIT" "$JOBNAME" "$ADDED" "$CORES"; echo words >&2' name 'a  b' "c 'd' \\"e\\"" '$HOME' '*' 'x;y' ''`;
      const bench = new JobBench(launcher, words, "export FROM_INIT='from  init'");
      assert.equal((await bench.end()).state, 'completed');
      assert.deepEqual(readFileSync(join(bench.directory, 'block-0.out'), 'utf8').split('\n').slice(0, -1), [
        'a  b',
        `c 'd' "e"`,
        '$HOME',
        '*',
        'x;y',
        '',
        'it\'s "given" $HOME',
        'from  init',
        'block-0',
        name === 'wrappedLauncher()' ? 'a b' : '',
        name === 'singleNodeLauncher()' ? String(availableParallelism()) : '',
      ]);
      assert.equal(readFileSync(join(bench.directory, 'block-0.err'), 'utf8'), 'words\n');
      await bench.nothingLeft();
    });

    it('ends with the exit code of its command', async () => {
      const bench = new JobBench(launcher, `/bin/bash -c 'echo last words >&2; exit 7'`);
      const { state, exitCode, stderrPath } = await bench.end();
      assert.deepEqual([state, exitCode], ['failed', 7]);
      assert.equal(readFileSync(stderrPath ?? '', 'utf8'), 'last words\n');
      const missing = await new JobBench(launcher, '/nowhere/pool --flag').end();
      assert.deepEqual([missing.state, missing.exitCode], ['failed', 127]);
    });

    it('leaves nothing when it is cancelled, though a part of it ignores every polite signal', async () => {
      const bench = new JobBench(launcher, JobBench.stubborn(join(place, String(jobs))));
      await bench.pids();
      assert.equal((await bench.status()).state, 'running');
      assert.deepEqual(await bench.provider.cancel([await bench.id]), [true]);
      assert.equal((await bench.status()).state, 'cancelled');
      await bench.nothingLeft();
    });

    it('leaves nothing when somebody kills its script, and says by what it was killed', async () => {
      const bench = new JobBench(launcher, JobBench.stubborn(join(place, String(jobs))));
      await bench.pids();
      process.kill(Number(await bench.id), 'SIGKILL');
      const { state, message } = await bench.end();
      assert.deepEqual([state, message], ['failed', 'killed by SIGKILL']);
      await bench.nothingLeft();
    });

    it('leaves nothing when its command ends and forgot what it had started', async () => {
      const bench = new JobBench(launcher, `/bin/bash -c 'sleep 1000 & exit 0'`);
      assert.equal((await bench.end()).state, 'completed');
      await bench.nothingLeft();
    });
  });
}

it('a script with singleNodeLauncher() passes a signal on and waits for its command to tidy up, also under set -eu', async () => {
  const tidies = `trap "sleep 0.2; echo tidy; exit 3" TERM; echo $$ > pids.new; mv pids.new pids; while :; do sleep 0.05; done`;
  const directory = join(place, String(jobs));
  const bench = new JobBench(
    singleNodeLauncher(),
    `/bin/bash -c 'cd "$1"; ${tidies}' tidies '${directory}'`,
    'set -euo pipefail',
  );
  await bench.pids();
  process.kill(Number(await bench.id), 'SIGTERM');
  const { state, exitCode } = await bench.end();
  assert.deepEqual([state, exitCode], ['failed', 3]);
  assert.equal(readFileSync(join(bench.directory, 'block-0.out'), 'utf8'), 'tidy\n');
  await bench.nothingLeft();
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { on } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type Command, sh } from '#src/app/sh.js';
import { endProcesses, findMarked, signalGroup } from '#src/base/processes.js';
import { DeadlineError } from '#src/task/errors.js';
import type { Answer, StreamTarget } from '#src/task/ports.js';
import { type CommandOptions, runCommand } from '#src/worker/bash.js';
import { startError } from '#src/worker/bash-start.js';

const directory = mkdtempSync(join(tmpdir(), 'chervil-bash-'));
const mark = `test-bash-${process.pid}`;
let taskId = 0;

after(async () => {
  rmSync(directory, { recursive: true });
  assert.deepEqual(await findMarked({ CHERVIL_RUN: mark }), [], 'a command stayed behind');
});

const place = (name: string): string => join(directory, `${taskId}-${name}`);
const append = (path: string): StreamTarget => ({ path, mode: 'append' });

interface Extra extends Partial<Omit<CommandOptions, 'files'>> {
  stdout?: StreamTarget;
  stderr?: StreamTarget;
  outputs?: readonly string[];
}

function run(command: Command | string, { stdout, stderr, outputs = [], ...extra }: Extra = {}): Promise<Answer> {
  const files = { stdout: stdout ?? append('/dev/null'), stderr: stderr ?? append('/dev/null'), outputs };
  return runCommand({ command, files, timeoutMs: 0, mark, taskId: ++taskId, tryNumber: 0, ...extra });
}

async function failureOf<Code extends string>(answer: Promise<Answer>, code: Code) {
  const settled = await answer;
  assert.ok(!settled.ok, 'it should have failed');
  assert.equal(settled.error.code, code, settled.error.message);
  return settled.error as Extract<typeof settled.error, { code: Code }>;
}

/** Waits until something is so, 20 seconds at most. */
async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 20_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < end, `waited too long: ${what}`);
    await delay(5);
  }
}

const isLinux = process.platform === 'linux';

describe('how a command ends', () => {
  test('exit code 0 answers 0', async () => {
    assert.deepEqual(await run(sh`true`), { ok: true, value: 0 });
    assert.deepEqual(await run('true'), { ok: true, value: 0 });
    assert.deepEqual(await run(''), { ok: true, value: 0 });
  });

  for (const [command, exitCode] of [
    ['exit 15', 15],
    ['/no/such/program', 127],
    ['no-such-program', 127],
    ['/dev/null', 126],
    ['echo $((5/0))', 1],
    ['false\n', 1],
    ['if then', 2],
    ['-x', 127],
  ] as const) {
    test(`\`${command.trim()}\` fails with exit code ${exitCode}`, async () => {
      const error = await failureOf(run(command), 'BASH_EXIT');
      assert.deepEqual([error.exitCode, error.signal, error.command], [exitCode, null, command]);
    });
  }

  test('bash that is killed by a signal fails with the signal', async () => {
    const error = await failureOf(run('kill -SEGV $$; sleep 1000'), 'BASH_EXIT');
    assert.deepEqual([error.exitCode, error.signal], [null, 'SIGSEGV']);
    assert.match(error.message, /was ended by SIGSEGV/);
  });

  test('a command of several lines is one command', async () => {
    const stdout = append(place('lines'));
    await run('a=1\nfor i in 1 2; do\n  echo "$a$i"\ndone\n', { stdout });
    assert.equal(readFileSync(stdout.path, 'utf8'), '11\n12\n');
  });

  test('a script that is too long for an argument runs all the same, and leaves no file', async () => {
    const stdout = append(place('long'));
    const before = process.env['TMPDIR'];
    process.env['TMPDIR'] = directory;
    const filling = 'é'.repeat(200_000);
    const answer = await run(`x='${filling}'\necho "\${#x} $0"; exit 3`, { stdout, environment: { LC_ALL: 'C' } });
    assert.ok(!answer.ok && answer.error.code === 'BASH_EXIT' && answer.error.exitCode === 3);
    assert.equal(readFileSync(stdout.path, 'utf8'), '400000 /bin/bash\n');
    assert.deepEqual(
      readdirSync(directory).filter((name) => /^chervil-.*\.sh$/.test(name)),
      [],
    );
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  });

  test('what a function returned and is no command is refused', async () => {
    const error = await failureOf(run(undefined as unknown as string), 'BASH_NO_COMMAND');
    assert.match(error.message, /but is undefined/);
    await failureOf(run('echo a\0b'), 'BASH_NO_COMMAND');
  });

  test('standard input is empty', async () => {
    assert.deepEqual(await run('test -z "$(cat)"'), { ok: true, value: 0 });
  });

  test('a background process does not delay the answer, and is found by the mark', async () => {
    const stdout = append(place('background'));
    assert.deepEqual(await run('sleep 1000 & echo started', { stdout, stderr: append(place('err')) }), {
      ok: true,
      value: 0,
    });
    assert.equal(readFileSync(stdout.path, 'utf8'), 'started\n');
    const marks = { CHERVIL_RUN: mark, CHERVIL_TASK: `${taskId}.0` };
    if (isLinux) assert.equal((await findMarked(marks)).length, 1);
    assert.equal(await endProcesses({ marks }, { graceMs: 0 }), true);
  });

  test('a hundred at once all answer', async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => run(`exit ${index % 2}`)));
    assert.equal(answers.filter((answer) => answer.ok).length, 50);
  });
});

describe('the files of a command', () => {
  test('appending twice gives two lines', async () => {
    const stdout = append(place('twice'));
    await run('echo a', { stdout });
    await run('echo b', { stdout });
    assert.equal(readFileSync(stdout.path, 'utf8'), 'a\nb\n');
  });

  test('truncating keeps the last one only', async () => {
    const stdout = { path: place('once'), mode: 'truncate' } as const;
    await run('echo first', { stdout });
    await run('echo b', { stdout });
    assert.equal(readFileSync(stdout.path, 'utf8'), 'b\n');
  });

  test('directories above are made', async () => {
    const stdout = append(join(place('a'), 'b', 'c.txt'));
    assert.deepEqual(await run('echo x', { stdout }), { ok: true, value: 0 });
    assert.equal(readFileSync(stdout.path, 'utf8'), 'x\n');
  });

  test('stdout and stderr in one file do not write over one another', async () => {
    const target = { path: place('both'), mode: 'truncate' } as const;
    await run('echo 1; echo 2 >&2; echo 3', { stdout: target, stderr: target });
    assert.match(readFileSync(target.path, 'utf8'), /<--\n1\n2\n3\n$/);
  });

  test('stderr begins with the exact command, stdout does not', async () => {
    const stdout = append(place('out'));
    const stderr = append(place('err'));
    await run(sh`echo ${'a  b'} >&2`, { stdout, stderr });
    assert.equal(readFileSync(stdout.path, 'utf8'), '');
    assert.equal(
      readFileSync(stderr.path, 'utf8'),
      "--> executable follows <--\necho 'a  b' >&2\n--> end executable <--\na  b\n",
    );
  });

  test('a file that cannot be opened fails the task and nothing is run', async () => {
    const ran = place('ran');
    const file = place('file');
    writeFileSync(file, '');
    for (const path of [directory, join(file, 'x'), '/proc/no/file', '', 'a\0b', 5 as unknown as string]) {
      for (const stream of ['stdout', 'stderr'] as const) {
        const error = await failureOf(run(`touch ${ran}`, { [stream]: append(path) }), 'BAD_STREAM');
        assert.equal(error.path, String(path));
        assert.match(error.message, new RegExp(`for ${stream}`));
        assert.ok(error.cause instanceof Error);
      }
    }
    assert.equal(existsSync(ran), false);
  });

  test('a named pipe that nobody reads is refused, not waited for', async () => {
    const path = place('pipe');
    await run(sh`mkfifo ${path}`);
    await failureOf(run('true', { stdout: append(path) }), 'BAD_STREAM');
  });

  test('a file without permission is refused', {
    skip: process.getuid?.() === 0 && 'the superuser may write everywhere',
  }, async () => {
    const path = place('locked');
    writeFileSync(path, '');
    chmodSync(path, 0o400);
    await failureOf(run('true', { stdout: append(path) }), 'BAD_STREAM');
  });

  test('descriptors are not kept', { skip: !isLinux }, async () => {
    const open = () => readdirSync('/proc/self/fd').length;
    await run('true', { stdout: append(place('o')), stderr: append(place('e')) });
    const before = open();
    for (let index = 0; index < 10; index++)
      await run('true', { stdout: append(place('o')), stderr: append(directory) });
    for (let index = 0; index < 10; index++)
      await run('false', { stdout: append(place('o')), stderr: append(place('e')) });
    assert.equal(open(), before);
  });

  test('a command has no other descriptors than its three', { skip: !isLinux }, async () => {
    // Whoever started these tests may have let them have some that every child gets, too.
    const list = 'for fd in /proc/$$/fd/*; do readlink $fd; done | sort';
    const inherited = spawnSync('/bin/bash', ['-c', list], { encoding: 'utf8' }).stdout.split('\n');
    const stdout = append(place('fds'));
    await run(list, { stdout, stderr: append('/dev/null') });
    const lines = readFileSync(stdout.path, 'utf8').trim().split('\n');
    const own = lines.filter((line) => !/^pipe:|^.dev.null$/.test(line) && !inherited.includes(line));
    assert.deepEqual(own, [stdout.path]);
  });

  test('a hundred megabytes of output are no trouble', async () => {
    const stdout = { path: place('much'), mode: 'truncate' } as const;
    assert.deepEqual(await run('head -c 100000000 /dev/zero', { stdout }), { ok: true, value: 0 });
    assert.equal(statSync(stdout.path).size, 100_000_000);
    rmSync(stdout.path);
  });

  test('missing outputs are all named', async () => {
    const [there, first, second] = [place('there'), place('first'), place('second')];
    const error = await failureOf(run(sh`touch ${there}`, { outputs: [first, there, second] }), 'MISSING_OUTPUTS');
    assert.deepEqual(error.missing, [first, second]);
    assert.deepEqual(await run(sh`touch ${first}`, { outputs: [first] }), { ok: true, value: 0 });
  });

  test('a wrong exit code goes before missing outputs', async () => {
    await failureOf(run('exit 1', { outputs: [place('none')] }), 'BASH_EXIT');
  });
});

describe('the last lines of stderr in a failure', () => {
  test('only those of this command', async () => {
    const stderr = append(place('tail'));
    await failureOf(run('echo old >&2; exit 1', { stderr }), 'BASH_EXIT');
    const error = await failureOf(run('echo new >&2; exit 1', { stderr }), 'BASH_EXIT');
    assert.equal(error.stderrTail, 'new');
    assert.match(error.message, /ended with exit code 1: echo new >&2; exit 1\nnew$/);
  });

  test('at most 2048 characters, and no broken ones', async () => {
    const stderr = append(place('tail'));
    const error = await failureOf(run(`for i in {1..3000}; do printf '€'; done >&2; exit 1`, { stderr }), 'BASH_EXIT');
    assert.equal(error.stderrTail, '€'.repeat(2048));
    const other = await failureOf(run(`printf '😀%.0s' {1..3000} >&2; printf x >&2; exit 1`, { stderr }), 'BASH_EXIT');
    assert.equal(other.stderrTail, `${'😀'.repeat(1023)}x`);
  });

  test('nothing when nothing was written, or stderr is no file, or was removed', async () => {
    const stderr = append(place('tail'));
    assert.equal((await failureOf(run('exit 1', { stderr }), 'BASH_EXIT')).stderrTail, '');
    assert.equal((await failureOf(run('echo a >&2; exit 1'), 'BASH_EXIT')).stderrTail, '');
    assert.equal((await failureOf(run(sh`rm ${stderr.path}; exit 1`, { stderr }), 'BASH_EXIT')).stderrTail, '');
  });
});

describe('where a command runs', () => {
  test('it finds its run and its task in the environment', async () => {
    const stdout = append(place('env'));
    await run('echo "$CHERVIL_RUN $CHERVIL_TASK $ADDED $HOME."', {
      stdout,
      taskId: 41,
      tryNumber: 2,
      environment: { ADDED: 'x', HOME: undefined },
    });
    assert.equal(readFileSync(stdout.path, 'utf8'), `${mark} 41.2 x .\n`);
  });

  test('the working directory can be chosen', async () => {
    const stdout = append(place('cwd'));
    await run('pwd -P', { stdout, cwd: '/' });
    assert.equal(readFileSync(stdout.path, 'utf8'), '/\n');
  });

  test('a directory that does not exist is named', async () => {
    const error = await failureOf(run('true', { cwd: '/no/such' }), 'APP_ERROR');
    assert.equal(error.remote.name, 'CommandStartError');
    assert.match(error.message, /its directory \/no\/such does not exist/);
  });

  test('an environment that is too long is a failure that says so', { skip: !isLinux }, async () => {
    const error = await failureOf(run('true', { environment: { LONG: 'x'.repeat(200_000) } }), 'APP_ERROR');
    assert.deepEqual([error.remote.name, error.remote.code], ['CommandStartError', 'E2BIG']);
    assert.match(error.message, /environment is too long/);
  });
});

describe('a bash that cannot be started', () => {
  for (const [code, message] of [
    ['EAGAIN', /no more processes \(EAGAIN\)/],
    ['EMFILE', /too many open files \(EMFILE\)/],
    ['ENOMEM', /no memory for another process/],
    ['EPERM', /because of EPERM/],
  ] as const) {
    test(`${code} says what to try`, () => {
      const error = startError(Object.assign(new Error(`because of ${code}`), { code }), 'true', undefined);
      assert.ok(error.code === 'APP_ERROR' && error.remote.code === code);
      assert.match(error.message, message);
    });
  }
});

// Three that listen to SIGTERM or not, in the group and outside of it; `ready` appears when all of them run.
const family = (ready: string, before = '') => `${before}
sleep 1000 &
setsid sleep 1000 &
setsid bash -c 'trap "" TERM; touch ${ready}; while :; do sleep 1000; done' &
wait; wait; wait`;

describe('ending a command', () => {
  test('a timeout ends the command, its children, and those that left its group', async () => {
    const ready = place('ready');
    const error = await failureOf(run(family(ready), { timeoutMs: 500, graceMs: 100 }), 'TIMEOUT');
    assert.equal(error.timeoutMs, 500);
    assert.deepEqual(await findMarked({ CHERVIL_RUN: mark, CHERVIL_TASK: `${taskId}.0` }), []);
  });

  test('a timeout that is not reached does nothing', async () => {
    assert.deepEqual(await run('true', { timeoutMs: 600_000 }), { ok: true, value: 0 });
  });

  test('a signal cancels it with its reason', async () => {
    const ready = place('ready');
    const abort = new AbortController();
    const answer = run(family(ready, "trap '' TERM"), { signal: abort.signal, graceMs: 50 });
    await until('the command runs', () => existsSync(ready));
    abort.abort(new Error('changed my mind'));
    const error = await failureOf(answer, 'CANCELLED');
    assert.match(error.message, /changed my mind/);
    assert.deepEqual(await findMarked({ CHERVIL_RUN: mark, CHERVIL_TASK: `${taskId}.0` }), []);
  });

  test('a signal without a reason has no cause', async () => {
    const answer = run('sleep 1000', { signal: AbortSignal.abort() });
    const error = await failureOf(answer, 'CANCELLED');
    assert.deepEqual([error.message, error.cause], ['The task was cancelled.', undefined]);
  });

  test("an error of Chervil's own as the reason is the answer", async () => {
    const abort = new AbortController();
    const answer = run('sleep 1000', { signal: abort.signal, onStart: () => abort.abort(new DeadlineError(10)) });
    assert.equal((await failureOf(answer, 'DEADLINE')).deadlineMs, 10);
  });

  test('a signal that was given before runs nothing', async () => {
    const ran = place('ran');
    await failureOf(run(sh`touch ${ran}`, { signal: AbortSignal.abort() }), 'CANCELLED');
    assert.equal(existsSync(ran), false);
  });

  test('a command has the time to clean up after SIGTERM, and its exit code does not matter', async () => {
    const [ready, clean] = [place('ready'), place('clean')];
    const abort = new AbortController();
    const script = sh`trap ${sh`touch ${clean}; exit 0`.script} TERM; sleep 1000 & touch ${ready}; wait`;
    const answer = run(script, { signal: abort.signal, graceMs: 10_000 });
    await until('the command runs', () => existsSync(ready));
    abort.abort();
    await failureOf(answer, 'CANCELLED');
    assert.ok(existsSync(clean));
  });

  test('a command that was stopped by SIGSTOP is ended, too', async () => {
    const abort = new AbortController();
    let group = 0;
    const answer = run('kill -STOP $$', {
      signal: abort.signal,
      onStart(started) {
        group = started;
      },
    });
    if (isLinux) {
      await until('bash stops', () => readFileSync(`/proc/${group}/stat`, 'latin1').includes(') T '));
    }
    abort.abort();
    await failureOf(answer, 'CANCELLED');
    assert.equal(signalGroup(group, 0), false);
  });

  test('nobody listens to the signal any more when the command has ended', async () => {
    const abort = new AbortController();
    await run('true', { signal: abort.signal });
    abort.abort(); // would end another group with the same number
    assert.deepEqual(await run('true'), { ok: true, value: 0 });
  });

  test('fifty can be cancelled at once', async () => {
    const abort = new AbortController();
    let started = 0;
    const signals = Array.from({ length: 50 }, () => new AbortController());
    const answers = signals.map(({ signal }) =>
      run('setsid sleep 1000 & sleep 1000', { signal, onStart: () => started++ }),
    );
    await until('all have started', () => started === 50);
    for (const one of signals) one.abort(abort.signal.reason);
    for (const answer of answers) await failureOf(answer, 'CANCELLED');
    assert.deepEqual(await findMarked({ CHERVIL_RUN: mark }), []);
  });

  test('its start and its end are told, with its process group', async () => {
    const told: string[] = [];
    await run('true', {
      onStart: (group) => told.push(`start ${group > 1}`),
      onEnd: (group) => told.push(`end ${group > 1}`),
    });
    assert.deepEqual(told, ['start true', 'end true']);
  });
});

describe('in a worker thread', () => {
  interface Message {
    readonly group?: number;
    readonly code?: string;
  }
  const thread = (command: string): { worker: Worker; next: () => Promise<Message> } => {
    const files = { stdout: undefined, stderr: undefined, outputs: [] };
    const workerData = { command, files, timeoutMs: 0, mark, taskId: ++taskId, tryNumber: 0 };
    const worker = new Worker(new URL('../fixtures/processes/thread.js', import.meta.url), { workerData });
    // Keeps messages that come before somebody asks for them.
    const messages = on(worker, 'message');
    return { worker, next: async () => (await messages.next()).value[0] };
  };

  test('commands run there as everywhere', async () => {
    const { worker, next } = thread('exit 4');
    const started = await next();
    assert.ok((started.group ?? 0) > 1);
    assert.deepEqual(await next(), { code: 'BASH_EXIT' });
    await worker.terminate();
  });

  test('what a terminated thread leaves behind is ended by whoever was told its group', async () => {
    const ready = place('ready');
    const { worker, next } = thread(family(ready));
    const { group } = await next();
    assert.ok(group !== undefined);
    await until('the command runs', () => existsSync(ready));
    await worker.terminate();
    assert.equal(signalGroup(group, 0), true, 'nobody has ended it yet');
    const marks = { CHERVIL_RUN: mark, CHERVIL_TASK: `${taskId}.0` };
    assert.equal(await endProcesses({ group, marks }, { graceMs: 50 }), true);
    assert.deepEqual(await findMarked(marks), []);
  });

  test('… and the mark alone finds it, if the group was never told', { skip: !isLinux }, async () => {
    const ready = place('ready');
    const { worker } = thread(family(ready));
    await until('the command runs', () => existsSync(ready));
    await worker.terminate();
    const marks = { CHERVIL_RUN: mark, CHERVIL_TASK: `${taskId}.0` };
    assert.ok((await findMarked(marks)).length >= 3);
    assert.equal(await endProcesses({ marks }, { graceMs: 0 }), true);
    assert.deepEqual(await findMarked(marks), []);
  });
});

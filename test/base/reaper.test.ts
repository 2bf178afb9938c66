import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { InternalError } from '#src/base/assert.js';
import { endProcesses, findMarked, signalGroup } from '#src/base/processes.js';
import { registerGroup, releaseGroup, startReaper } from '#src/base/reaper.js';

const isLinux = process.platform === 'linux';
const linuxOnly = { skip: isLinux ? false : 'the mark is found on Linux only' };
const directory = mkdtempSync(join(tmpdir(), 'chervil-reaper-'));
const mine: ChildProcess[] = [];
let count = 0;
const newMark = (): string => `test-reaper-${process.pid}-${++count}`;

after(() => {
  rmSync(directory, { recursive: true });
  for (const child of mine) child.kill('SIGKILL');
});

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 20_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < end, `waited too long: ${what}`);
    await delay(5);
  }
}

/** A process with a group of its own. */
function sleeper(mark?: string): { pid: number; ended: Promise<unknown> } {
  const env = mark === undefined ? { PATH: process.env['PATH'] } : { PATH: process.env['PATH'], CHERVIL_RUN: mark };
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore', env });
  mine.push(child);
  assert.ok(child.pid);
  return { pid: child.pid, ended: new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal))) };
}

/** Zombies, which wait for their parent, are not alive. */
function isAlive(pid: number): boolean {
  if (!isLinux) return signalGroup(pid, 0);
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

/** What a process has open beside what whoever started these tests lets every child have. */
function descriptorsOf(pid: number, from = 0): string[] {
  const open = readdirSync(`/proc/${pid}/fd`).filter((fd) => Number(fd) >= from);
  const names = open.map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  return names.filter((name) => !inherited.has(name));
}

const closeOnExec = 0o2000000;
const inherited = new Set(
  (isLinux ? readdirSync('/proc/self/fd') : []).flatMap((fd) => {
    try {
      const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0';
      return Number(fd) > 2 && (Number.parseInt(flags, 8) & closeOnExec) === 0
        ? [readlinkSync(`/proc/self/fd/${fd}`)]
        : [];
    } catch {
      return []; // the one that read the directory
    }
  }),
);

/** A reaper ignores signals as the first thing that it does; then it only waits. */
const hasBegun = (pid: number): Promise<void> =>
  until('the reaper ignores signals and waits', () => {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const ignored = Number.parseInt(/^SigIgn:\s+(\w+)/m.exec(status)?.[1] ?? '0', 16);
    const hangupAndTerm = 0x4001;
    return (ignored & hangupAndTerm) === hangupAndTerm && /^State:\s+S/m.test(status);
  });

/** A program that starts a reaper and runs commands: see the fixture. */
async function parent(
  mark: string,
  how: 'wait' | 'exit' | 'close',
  scripts: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
) {
  const fixture = fileURLToPath(new URL('../fixtures/processes/parent.js', import.meta.url));
  const child = spawn(process.execPath, [fixture, mark, how, ...scripts], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  mine.push(child);
  const ended = new Promise<unknown>((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const nextLine = async () => String((await lines.next()).value);
  const started: { reaper: number; groups: number[] } = JSON.parse(await nextLine());
  return { child, ended, nextLine, ...started };
}

const pidIn = async (path: string): Promise<number> => {
  let pid = 0;
  await until(`${path} is written`, () => {
    try {
      pid = Number(readFileSync(path, 'utf8').trim());
    } catch {
      return false;
    }
    return pid > 1;
  });
  return pid;
};

describe('ending processes', () => {
  test('a group is asked first: SIGTERM', async () => {
    const { pid, ended } = sleeper();
    assert.equal(await endProcesses({ group: pid }, { graceMs: 20_000 }), true);
    assert.equal(await ended, 'SIGTERM');
  });

  test('without grace it is SIGKILL at once', async () => {
    const { pid, ended } = sleeper();
    assert.equal(await endProcesses({ group: pid }, { graceMs: 0 }), true);
    assert.equal(await ended, 'SIGKILL');
  });

  test('what is gone already is no trouble', async () => {
    const { pid } = sleeper();
    await endProcesses({ group: pid });
    assert.equal(await endProcesses({ group: pid, marks: { CHERVIL_RUN: newMark() } }), true);
  });

  test('processes are found when they have all the marks, and only then', linuxOnly, async () => {
    const mark = newMark();
    const { pid } = sleeper(mark);
    await until('it runs', async () => (await findMarked({ CHERVIL_RUN: mark })).length === 1);
    assert.deepEqual(await findMarked({ CHERVIL_RUN: mark }), [pid]);
    assert.deepEqual(await findMarked({ CHERVIL_RUN: mark.slice(0, -1) }), []);
    assert.deepEqual(await findMarked({ CHERVIL_RUN: mark, CHERVIL_TASK: '1.0' }), []);
    assert.equal(await endProcesses({ marks: { CHERVIL_RUN: mark } }), true);
    assert.deepEqual(await findMarked({ CHERVIL_RUN: mark }), []);
  });

  test('numbers that would mean everybody are refused', () => {
    for (const group of [1, 0, -5, 1.5, Number.NaN]) assert.throws(() => signalGroup(group, 0), InternalError);
  });
});

describe('the reaper', () => {
  test('kills registered groups and marked processes when it is closed, and ends', async () => {
    const mark = newMark();
    const reaper = startReaper(mark);
    const [registered, marked, other] = [sleeper(), sleeper(mark), sleeper()];
    registerGroup(reaper.fd, registered.pid);
    if (!isLinux) registerGroup(reaper.fd, marked.pid);
    await reaper.close();
    assert.deepEqual([await registered.ended, await marked.ended], ['SIGKILL', 'SIGKILL']);
    assert.ok(isAlive(other.pid), 'it killed somebody else');
    assert.ok(!isAlive(reaper.pid));
    await reaper.close();
  });

  const isRegistered = (fd: number, group: number): boolean => {
    const byte = Buffer.alloc(1);
    readSync(fd, byte, 0, 1, group);
    return byte[0] !== 0;
  };

  test('forgets a group that has ended, so that its number is free for others', async () => {
    const reaper = startReaper(newMark());
    const [first, second] = [sleeper(), sleeper()];
    for (const { pid } of [first, second]) registerGroup(reaper.fd, pid);
    await endProcesses({ group: first.pid });
    await first.ended;
    releaseGroup(reaper.fd, first.pid);
    assert.deepEqual([isRegistered(reaper.fd, first.pid), isRegistered(reaper.fd, second.pid)], [false, true]);
    await reaper.close();
    assert.equal(await second.ended, 'SIGKILL');
  });

  test('keeps a group whose background processes go on, and forgets it when a later call finds them gone', async () => {
    const reaper = startReaper(newMark());
    const [stays, goes, last] = [sleeper(), sleeper(), sleeper()];
    for (const { pid } of [stays, goes, last]) registerGroup(reaper.fd, pid);
    for (const { pid } of [stays, goes]) releaseGroup(reaper.fd, pid);
    assert.deepEqual([isRegistered(reaper.fd, stays.pid), isRegistered(reaper.fd, goes.pid)], [true, true]);
    for (const one of [goes, last]) {
      await endProcesses({ group: one.pid });
      await one.ended;
    }
    releaseGroup(reaper.fd, last.pid);
    assert.deepEqual([isRegistered(reaper.fd, stays.pid), isRegistered(reaper.fd, goes.pid)], [true, false]);
    await reaper.close();
    assert.equal(await stays.ended, 'SIGKILL');
  });

  test('knows nothing of another run, even if its mark begins with the same letters', linuxOnly, async () => {
    const mark = newMark();
    const first = startReaper(mark);
    const second = startReaper(`${mark}0`);
    const [ours, theirs] = [sleeper(mark), sleeper(`${mark}0`)];
    await first.close();
    assert.equal(await ours.ended, 'SIGKILL');
    assert.ok(isAlive(theirs.pid) && isAlive(second.pid));
    await second.close();
    assert.equal(await theirs.ended, 'SIGKILL');
  });

  test('can look for another variable', linuxOnly, async () => {
    const mark = newMark();
    const reaper = startReaper(mark, 'CHERVIL_POOL');
    const theirs = sleeper(mark);
    await reaper.close();
    assert.ok(isAlive(theirs.pid));
  });

  test('does not listen to the signals that end a program', async () => {
    const reaper = startReaper(newMark());
    const { pid, ended } = sleeper();
    registerGroup(reaper.fd, pid);
    if (isLinux) await hasBegun(reaper.pid);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(reaper.pid, signal);
    await reaper.close();
    assert.equal(await ended, 'SIGKILL');
  });

  test('is in a session of its own, and has nothing of ours but the pipe and the table', linuxOnly, async () => {
    const reaper = startReaper(newMark());
    await hasBegun(reaper.pid);
    const own = /\) \S \d+ (\d+) (\d+)/.exec(readFileSync(`/proc/${reaper.pid}/stat`, 'latin1'));
    assert.deepEqual([Number(own?.[1]), Number(own?.[2])], [reaper.pid, reaper.pid]);
    const more = descriptorsOf(reaper.pid).filter((name) => name !== '/dev/null');
    assert.equal(more.length, 2, more.join(' '));
    assert.match(more.join(' '), /socket:/);
    assert.match(more.join(' '), /chervil-.*\.groups \(deleted\)/);
    await reaper.close();
  });

  test('that was killed is missed, and groups can be told all the same', async () => {
    const reaper = startReaper(newMark());
    process.kill(reaper.pid, 'SIGKILL');
    await reaper.ended;
    const { pid } = sleeper();
    registerGroup(reaper.fd, pid);
    await reaper.close();
    assert.ok(isAlive(pid));
  });

  test('takes ten thousand groups', async () => {
    const reaper = startReaper(newMark());
    const { pid, ended } = sleeper();
    // Numbers beyond those that a system gives.
    for (let group = 4_200_000; group < 4_210_000; group++) {
      registerGroup(reaper.fd, group);
      releaseGroup(reaper.fd, group);
    }
    registerGroup(reaper.fd, pid);
    await reaper.close();
    assert.equal(await ended, 'SIGKILL');
  });

  test('refuses a mark that could be taken for something else', () => {
    for (const mark of ['', 'a b', 'a\nb', '*']) assert.throws(() => startReaper(mark), InternalError);
  });
});

describe('when the program is gone', () => {
  const scripts = (name: string) => [
    `setsid sleep 1000 & sleep 1000 & env -i sleep 1000 & echo $! > ${directory}/${name}; sleep 1000`,
    `trap '' TERM INT HUP; while :; do sleep 1000; done`,
  ];

  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGABRT'] as const) {
    test(`nothing of it is left after ${signal}`, async () => {
      const mark = newMark();
      const program = await parent(mark, 'wait', scripts(mark));
      const unmarked = await pidIn(join(directory, mark));
      if (isLinux) await until('all run', async () => (await findMarked({ CHERVIL_RUN: mark })).length >= 5);
      program.child.kill(signal);
      assert.equal(await program.ended, signal);
      await until('the reaper ends', () => !isAlive(program.reaper));
      assert.deepEqual(await findMarked({ CHERVIL_RUN: mark }), []);
      assert.deepEqual([unmarked, ...program.groups].filter(isAlive), []);
    });
  }

  test('nothing is left when it just exits', async () => {
    const mark = newMark();
    const program = await parent(mark, 'exit', scripts(mark));
    assert.equal(await program.ended, 0);
    await until('the reaper ends', () => !isAlive(program.reaper));
    assert.deepEqual(await findMarked({ CHERVIL_RUN: mark }), []);
    assert.deepEqual(program.groups.filter(isAlive), []);
  });

  test('closing does not kill the program itself, if it carries the mark of the run', async () => {
    const mark = newMark();
    const program = await parent(mark, 'close', scripts(mark), { ...process.env, CHERVIL_RUN: mark });
    assert.equal(await program.nextLine(), 'closed');
    if (isLinux) assert.deepEqual(await findMarked({ CHERVIL_RUN: mark }), [program.child.pid]);
    program.child.kill('SIGKILL');
    await program.ended;
  });

  test('commands do not have the pipe, so that they do not keep the reaper waiting', linuxOnly, async () => {
    const mark = newMark();
    const program = await parent(mark, 'wait', ['sleep 1000', 'sleep 1000']);
    for (const group of program.groups) {
      await until('it is no Node any more', () => !readlinkSync(`/proc/${group}/exe`).includes('node'));
      assert.deepEqual(descriptorsOf(group, 3), []);
    }
    program.child.kill('SIGKILL');
    await until('the reaper ends', () => !isAlive(program.reaper));
  });
});

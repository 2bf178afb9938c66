// Databases that Python Parsl itself writes, of its oldest era and of its newest: our dashboard and our commands open them.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type {
  About,
  Attention,
  BlockRow,
  Graph,
  Managers,
  OutputText,
  Page,
  Part,
  RunDetail,
  RunRow,
  Series,
  TaskDetail,
  TaskRow,
  Timeline,
} from '#src/dashboard/api.js';
import { serveDashboard } from '#src/dashboard/server.js';
import { commandLine, start } from '../cli/command.ts';
import { viewOrSkip } from '../support/browser.ts';
import { newestRelease, oldestRelease, ParslRun, parslWish } from '../support/parsl.ts';
import { pythonOrSkip } from '../support/python.ts';

// monitored.py: three doubled and one slow, then what collects them; what fails twice and the two that need it; what fails once;
// a command; a join of three more; and the slow one again, which is remembered.
const expected: readonly (readonly [app: string, state: string, tries: number])[] = [
  ['double', 'exec_done', 1],
  ['double', 'exec_done', 1],
  ['double', 'exec_done', 1],
  ['slow', 'exec_done', 1],
  ['collect', 'exec_done', 1],
  ['fails', 'failed', 2],
  ['follows', 'dep_fail', 0],
  ['flaky', 'exec_done', 2],
  ['speak', 'exec_done', 1],
  ['fan', 'exec_done', 1],
  ['follows', 'dep_fail', 0],
  ['double', 'exec_done', 1],
  ['double', 'exec_done', 1],
  ['double', 'exec_done', 1],
  ['slow', 'memo_done', 0],
];

/** A run that Parsl ended well. It is not what is tested: where its pool does not come up on a busy machine, it is run again. */
async function monitoredRun(python: string): Promise<ParslRun> {
  for (let attempt = 1; ; attempt++) {
    const run = new ParslRun({ python, program: 'monitored.py', args: ['tried-once'] });
    const { status, stdout, stderr } = await run.ended;
    if (status === 0) return run;
    await run[Symbol.asyncDispose]();
    assert.ok(attempt < 3, `${stdout}\n${stderr}`);
  }
}

for (const release of [oldestRelease, newestRelease]) {
  test(`a database that Parsl ${release} wrote is shown by the dashboard and by the commands`, async (t) => {
    const wish =
      release === newestRelease
        ? parslWish(release)
        : { name: `parsl-${release}-monitoring`, packages: [`parsl[monitoring]==${release}`] };
    const python = await pythonOrSkip(t, wish);
    if (python === undefined) return;
    await using parsl = await monitoredRun(python);
    const { directory } = parsl;

    const dashboard = await serveDashboard(join(directory, 'runinfo', 'monitoring.db'));
    t.after(() => dashboard.close());
    const get = async <Answer>(question: string): Promise<Answer> => {
      const response = await fetch(new URL(`api/${question}`, dashboard.url));
      const text = await response.text();
      assert.equal(response.status, 200, `${question}: ${text}`);
      return JSON.parse(text) as Answer;
    };
    assert.equal((await get<About>('about')).madeBy, 'parsl');
    const [run] = (await get<Page<RunRow>>('runs')).rows;
    assert.deepEqual([run?.name, run?.version, run?.status, run?.total], ['monitored.py', '7', 'failed', 15]);
    assert.ok(Math.abs(Date.now() - (run?.began ?? 0)) < 600_000, 'times are of this zone');
    const of = <Answer>(question: string): Promise<Answer> => get(`runs/${run?.id}${question}`);
    const { counts, hasResources } = await of<RunDetail>('');
    assert.deepEqual([counts, hasResources], [{ exec_done: 11, memo_done: 1, failed: 1, dep_fail: 2 }, true]);
    const { rows } = await of<Page<TaskRow>>('/tasks');
    const idOf = (app: string, which = 0): number => rows.filter((row) => row.app === app)[which]?.id ?? -1;
    assert.deepEqual(
      rows.map(({ app, state, tries }) => [app, state, tries]).sort(),
      [...expected].sort(),
      'apps, states and tries',
    );

    const collect = await of<TaskDetail>(`/tasks/${idOf('collect')}`);
    assert.deepEqual(collect.dependsOn.map(({ app }) => app).sort(), ['double', 'double', 'double', 'slow']);
    assert.equal(collect.inputs, 'inputs=[0, 2, 4]');
    const flaky = await of<TaskDetail>(`/tasks/${idOf('flaky')}`);
    assert.deepEqual(
      flaky.tryRows.map(({ error }) => error),
      ['OSError: not yet', null],
    );
    assert.match(flaky.tryRows[1]?.host ?? '', /./, 'where it ran');
    const last = await of<TaskDetail>(`/tasks/${idOf('follows', 1)}`);
    assert.equal(last.rootTask?.id, idOf('fails'), 'with what it began');
    assert.match(
      last.error ?? '',
      /^DependencyError: task 5 failed: ValueError\('quality 7 is <b>out of range<\/b>'\)$/,
    );
    const fan = await of<TaskDetail>(`/tasks/${idOf('fan')}`);
    assert.deepEqual(
      fan.joins.map(({ app }) => app),
      ['double', 'double', 'double'],
    );
    const slow = await of<TaskDetail>(`/tasks/${idOf('slow')}`);
    assert.ok(slow.resources.length >= 2, 'samples each second of three');
    assert.match((await of<OutputText>(`/tasks/${idOf('speak')}/output/stdout`)).text, /^hello\n$/m);

    const timeline = await of<Timeline>('/timeline');
    assert.equal(
      timeline.rows.reduce((sum, { tries }) => sum + tries, 0),
      14,
      'a bar for each try that ran',
    );
    assert.equal((await of<Graph>('/graph?by=task')).nodes.length, 15);
    assert.deepEqual([(await of<Series>('/series')).done.at(-1), (await of<Series>('/series')).failed.at(-1)], [12, 3]);
    const { concerns } = await of<Attention>('/attention');
    const [first] = concerns;
    assert.match(first?.title ?? '', /ValueError: quality 7/, JSON.stringify(concerns));
    assert.ok(!concerns.some(({ title }) => title.includes('DependencyError')), 'consequences stand with their cause');
    const managers = await of<Managers>('/managers');
    assert.deepEqual([managers.total, managers.rows[0]?.workers], [1, 2], JSON.stringify(managers));
    assert.equal((await of<Part<BlockRow>>('/blocks')).total, 1);

    const view = await viewOrSkip(t, dashboard.url);
    if (view !== undefined) {
      for (const place of ['', '/tasks', '/attention', '/graph', '/timeline', '/executors', `/task/${idOf('fails')}`]) {
        await view.open(`/run/${run?.id}${place}`);
        await view.check();
        await view.picture(`parsl-${release}${place.replaceAll('/', '-') || '-overview'}`);
      }
    }

    // Each copies the database first, and leaves nothing of that behind.
    const temporary = join(directory, 'temporary');
    mkdirSync(temporary);
    const command = async (...args: string[]): Promise<string> => {
      const { ended } = start(t, 'env', [`TMPDIR=${temporary}`, ...commandLine(args)], directory);
      const { code, stdout: out, stderr: err } = await ended;
      assert.equal(code, 0, err);
      return out;
    };
    const shown = await command('status');
    assert.match(shown, /run 1: monitored\.py \(7\), closed after/);
    assert.match(shown, /15 of 15 tasks settled/);
    assert.match(shown, /2 × ValueError: quality 7 is <b>out of range<\/b> \(first: task 5\)/);
    const failed = await command('tasks', '--failed');
    assert.deepEqual(
      [...failed.matchAll(/^ +(\d+) +(\w+) +(failed|dep_fail)/gm)].map(([, , app, state]) => [app, state]),
      [
        ['fails', 'failed'],
        ['follows', 'dep_fail'],
        ['follows', 'dep_fail'],
      ],
    );
    assert.match(await command('task', String(idOf('speak'))), /stdout in .*task_0008_speak\.stdout\n {2}hello/);
    assert.equal((await command('export')).trim().split('\n').length, 16);
    assert.deepEqual(readdirSync(temporary), []);
    const monitor = start(t, 'env', [`TMPDIR=${temporary}`, ...commandLine(['monitor', '--port', '0'])], directory);
    await monitor.until('Ctrl-C ends it');
    assert.equal(readdirSync(temporary).length, 1, 'its copy');
    monitor.child.kill('SIGINT');
    const { code, stderr: said } = await monitor.ended;
    assert.equal(code, 0, said);
    assert.match(said, /Python Parsl made this database/);
    assert.deepEqual(readdirSync(temporary), [], 'which is gone with it');
  });
}

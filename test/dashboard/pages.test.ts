// The dashboard in a real browser: every page, with runs that happened, that failed, that go on, and that are very large.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { app } from '#src/app/app.js';
import { bashApp } from '#src/app/bash-app.js';
import { joinApp } from '#src/app/join-app.js';
import { sh } from '#src/app/sh.js';
import { type Dashboard, serveDashboard } from '#src/dashboard/server.js';
import { threads } from '#src/executors/threads.js';
import { load } from '#src/load/load.js';
import { type View, viewOrSkip } from '../support/browser.ts';
import { copyWithoutWal, lockElsewhere } from '../support/lock.ts';
import { addCrowd, makeSynthetic } from '../support/synthetic.ts';

// A census of a folder: which files there are, what is in each, and all of it together.
const find = bashApp((folder: string) => sh`find ${folder} -type f | sort; echo looked through ${folder} >&2`);
const listOf = app((text: string) => text.trim().split('\n'));
const count = app(
  async (path: string) => {
    const { readFile } = await import('node:fs/promises');
    const text = await readFile(path, 'utf8');
    if (text.includes('broken')) throw new SyntaxError(`<img src=x onerror="globalThis.hacked = 1"> in ${path}`);
    return text.split('\n').length;
  },
  { memo: true },
);
const census = joinApp((paths: string[]) => paths.map((path) => count(path)));
const add = app((counts: number[]) => counts.reduce((sum, one) => sum + one, 0));
const retried = app(
  (path: string) => {
    throw new RangeError(`${path} is out of range`);
  },
  { retry: 2 },
);

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'chervil-dashboard-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function served(t: TestContext, database: string): Promise<Dashboard> {
  const dashboard = await serveDashboard(database);
  t.after(() => dashboard.close());
  return dashboard;
}

/** Some files with some lines, of which one may be broken. */
function files(t: TestContext, hasBroken: boolean): string {
  const path = join(folder(t), 'source');
  mkdirSync(path);
  for (let file = 0; file < 12; file++)
    writeFileSync(
      join(path, `file-${file}.txt`),
      `${'line\n'.repeat(file + 1)}${hasBroken && file === 7 ? 'broken' : ''}`,
    );
  return path;
}

interface Census {
  readonly database: string;
  readonly run: string;
}

async function runCensus(t: TestContext, hasBroken: boolean): Promise<Census> {
  const directory = folder(t);
  const source = files(t, hasBroken);
  await using run = await load({
    signals: false,
    runDir: directory,
    executors: [threads({ max: 2 })],
    monitoring: { name: 'census.ts', resources: '100ms' },
  });
  await run.enter(async () => {
    const found = find(source);
    const paths = listOf(found.stdout);
    const total = add(census(paths));
    if (hasBroken)
      await Promise.allSettled([total, retried('sample-1'), retried('sample-2'), add([retried('sample-3')])]);
    else await total;
  });
  return { database: join(directory, 'monitoring.db'), run: run.id };
}

const places = ['', '/attention', '/tasks', '/graph?by=app', '/graph?by=task', '/timeline', '/executors'] as const;

/** Looks at every page of a run, and keeps a picture of each. */
async function lookAtAll(view: View, run: string, name: string): Promise<void> {
  for (const place of places) {
    await view.open(`/run/${run}${place}`);
    if (place.startsWith('/graph')) await view.page.locator('.graph-canvas').waitFor();
    await view.check();
    await view.picture(`${name}${place.replaceAll(/[/?=]/g, '-') || '-overview'}`);
  }
}

test('every page tells of a run that succeeded', async (t) => {
  const { database, run } = await runCensus(t, false);
  const dashboard = await served(t, database);
  const view = await viewOrSkip(t, dashboard.url);
  if (view === undefined) return;
  const { page } = view;
  await page.getByRole('link', { name: 'census.ts' }).waitFor();
  await view.check();
  await view.picture('succeeded-runs');
  await lookAtAll(view, run, 'succeeded');

  await view.open(`/run/${run}/attention`);
  await page.getByText('Nothing wants attention').waitFor();
  await view.open(`/run/${run}/tasks`);
  await page.getByText('16 in all').waitFor();
  await page.getByRole('link', { name: '0', exact: true }).click();
  await page.getByRole('heading', { name: 'find #0' }).waitFor();
  await page.getByText('file-11.txt').first().waitFor();
  await page.getByText('looked through').waitFor();
  await view.check();
  await view.picture('succeeded-task');
  await view.open(`/run/${run}/task/2`);
  await page.getByRole('link', { name: /^listOf #1/ }).click();
  await page.getByRole('heading', { name: 'listOf #1' }).waitFor();
  await page.getByRole('link', { name: /^census #2/ }).waitFor();
});

test('a run that failed says what failed and why, and text of tasks is never markup', async (t) => {
  const { database, run } = await runCensus(t, true);
  const dashboard = await served(t, database);
  const view = await viewOrSkip(t, dashboard.url);
  if (view === undefined) return;
  const { page } = view;
  await lookAtAll(view, run, 'failed');
  await view.open(`/run/${run}/attention`);
  const concern = page.getByRole('listitem').filter({ hasText: 'RangeError: sample-1 is out of range' }).first();
  await concern
    .getByRole('link', { name: /retried #/ })
    .first()
    .click();
  await page.getByRole('heading', { name: /retried #/ }).waitFor();
  await page.getByRole('region', { name: 'Error with its stack' }).getByText('RangeError: sample-1').first().waitFor();
  assert.equal(await page.getByText(/^Try 3$/).count(), 1, 'each try has its bar');
  await view.check();
  await view.picture('failed-task');

  await view.open(`/run/${run}/tasks?state=failed,dep_fail`);
  await page.getByText('onerror=').first().waitFor();
  await view.check();
  await view.picture('failed-tasks-filtered');
  await page.getByRole('link', { name: /^\d+$/ }).first().click();
  await page.getByText('onerror=').first().waitFor();
  await view.check();
  assert.equal(await page.evaluate('document.images.length'), 0, 'an image was made of text');
  assert.equal(await page.evaluate(() => 'hacked' in globalThis), false, 'text of a task was executed');
});

test('whatever a task is called and writes is shown as text, and nothing of it moves, hides or runs', async (t) => {
  const directory = folder(t);
  const named = Object.defineProperty(
    (n: number): never => {
      console.log('\x1b[2J\x1b[31mpainted\x1b[0m\u202edrawn\r<script>globalThis.hacked = 1</script>');
      throw new RangeError(`\u202e<b onclick="hacked">right to left</b> ${n} ${'x'.repeat(2_000)}`);
    },
    'name',
    { value: '\x1b[31m<i>"app"</i>\u202e' },
  );
  const hostile = app(named);
  await using run = await load({
    signals: false,
    runDir: directory,
    executors: [threads({ max: 1 })],
    monitoring: { name: `"run" <b>of</b> \u202e${'long '.repeat(40)}` },
  });
  await run.enter(() => Promise.allSettled([hostile(1), hostile(2)]));
  await run.close();
  const dashboard = await served(t, join(directory, 'monitoring.db'));
  for (const size of ['laptop', 'phone'] as const) {
    const view = await viewOrSkip(t, dashboard.url, { size });
    if (view === undefined) return;
    const { page } = view;
    await lookAtAll(view, run.id, `hostile-${size}`);
    await view.open(`/run/${run.id}/task/0`);
    await page.getByRole('heading', { name: '<i>"app"</i>\\u202e #0' }).waitFor();
    await page.getByText('\\u202e<b onclick="hacked">right to left</b> 1').first().waitFor();
    await page.getByText('<script>globalThis.hacked = 1</script>').waitFor();
    await view.check();
    await view.picture(`hostile-${size}-task`);
    // An app is found by its name, whatever that is.
    await view.open(`/run/${run.id}`);
    await page.getByRole('link', { name: '<i>"app"</i>\\u202e', exact: true }).click();
    await page.getByText(/^2 fit$/).waitFor();
    assert.equal(await page.evaluate(() => 'hacked' in globalThis), false, 'text of a task was executed');
  }
});

test('every page of a run without tasks says that there is nothing, and why', async (t) => {
  const directory = folder(t);
  await using run = await load({
    signals: false,
    runDir: directory,
    monitoring: { name: 'empty.ts' },
    executors: [threads({ max: 1 })],
  });
  await run.close();
  const dashboard = await served(t, join(directory, 'monitoring.db'));
  const view = await viewOrSkip(t, dashboard.url);
  if (view === undefined) return;
  for (const [place, words] of [
    ['', 'No task was called.'],
    ['/attention', 'Nothing wants attention'],
    ['/tasks', 'No task yet'],
    ['/graph', 'Nothing to draw yet'],
    ['/timeline', 'No task has run on a worker yet'],
    ['/executors', 'No executor has been used'],
  ] as const) {
    await view.open(`/run/${run.id}${place}`);
    await view.page.getByText(words).first().waitFor();
    await view.check();
    await view.picture(`empty${place.replaceAll('/', '-') || '-overview'}`);
  }
});

test('a run that was killed is told as lost, and so are the tasks that it left', async (t) => {
  const database = join(folder(t), 'monitoring.db');
  const { runId } = await makeSynthetic(database, { tasks: 400, isLive: true });
  const dashboard = await served(t, database);
  const view = await viewOrSkip(t, dashboard.url);
  if (view === undefined) return;
  const { page } = view;
  await page.getByText('No sign of life').waitFor();
  await view.open(`/run/${runId}/executors`);
  await page.getByText('with its run').first().waitFor();
  await view.open(`/run/${runId}/tasks?state=running`);
  await page.getByRole('link', { name: /^\d+$/ }).first().click();
  await page.getByText('what became of this task is not known').waitFor();
  await view.check();
  await view.picture('lost-task');
});

test('a run that goes on is followed without loading the page again', async (t) => {
  const directory = folder(t);
  const gate = join(directory, 'gate');
  await using run = await load({
    signals: false,
    runDir: directory,
    executors: [threads({ max: 2 })],
    monitoring: { name: 'live.ts' },
  });
  // Also when the test fails: the run waits for its tasks.
  await using _opening = { [Symbol.asyncDispose]: async () => writeFileSync(gate, '') };
  const wait = bashApp((path: string) => sh`while [ ! -e ${path} ]; do sleep 0.05; done`);
  const after = app((code: unknown) => code !== undefined);
  const database = join(directory, 'monitoring.db');
  const { ended, view } = await run.enter(async () => {
    const waiting = wait(gate);
    const ended = [waiting, ...Array.from({ length: 5 }, () => after(waiting))];
    const dashboard = await served(t, database);
    const view = await viewOrSkip(t, dashboard.url);
    return { ended, view };
  });
  if (view !== undefined) {
    const { page } = view;
    await lookAtAll(view, run.id, 'live');
    await view.open(`/run/${run.id}`);
    await page.evaluate(() => {
      (globalThis as { isSame?: boolean }).isSame = true;
    });
    const done = page.locator('.figure', { hasText: 'Done' });
    await done.getByText('of 6').waitFor();
    await page.getByRole('link', { name: /Waiting 5/ }).waitFor();
  }
  writeFileSync(gate, '');
  await Promise.all(ended);
  if (view !== undefined) {
    const { page } = view;
    await page.getByText('of 6 · 100 %').waitFor();
    await run.close();
    await page.locator('.page-head').getByText('Succeeded').waitFor();
    assert.equal(
      await page.evaluate(() => (globalThis as { isSame?: boolean }).isSame),
      true,
      'the page was loaded again',
    );
    await view.check();
  }
});

test('200,000 tasks are shown, searched and scrolled', async (t) => {
  const database = join(folder(t), 'monitoring.db');
  const { runId } = await makeSynthetic(database, { tasks: 200_000 });
  const dashboard = await served(t, database);
  const view = await viewOrSkip(t, dashboard.url);
  if (view === undefined) return;
  const { page } = view;
  await lookAtAll(view, runId, 'large');
  await view.open(`/run/${runId}/tasks`);
  await page.getByText('200,000 in all').waitFor();
  const table = page.getByRole('table', { name: 'Tasks' });
  assert.equal(await table.getAttribute('aria-rowcount'), '200001');
  // Scrolling fetches what follows; only what is in sight is in the page.
  await table.evaluate((element) => {
    element.scrollTop = 199 * 40;
  });
  await page.getByRole('link', { name: '205', exact: true }).waitFor();
  assert.ok((await table.getByRole('row').count()) < 100, 'rows out of sight are in the page');

  await page.getByLabel('Search by').selectOption('error');
  await page.getByLabel('Search text').fill('TimeoutError');
  await page.getByText(/^[\d,]+ fit$/).waitFor();
  await table.getByText('TimeoutError').first().waitFor();
  await view.check();
  await view.picture('large-tasks-searched');
  await page.getByRole('button', { name: 'Clear' }).click();
  await page.getByRole('button', { name: /^Ran/ }).click();
  await page.getByRole('columnheader', { name: /Ran/ }).and(page.locator('[aria-sort=descending]')).waitFor();

  await view.open(`/run/${runId}/graph?around=100`);
  await page.locator('.graph-canvas').waitFor();
  await view.check();
  await view.picture('large-graph-around');
  await view.open(`/run/${runId}/timeline`);
  await page.getByText('How busy each was').waitFor();
  for (let step = 0; step < 8; step++) await page.getByRole('button', { name: 'Closer' }).click();
  await page.getByText('Each bar is a try').waitFor();
  await view.check();
  await view.picture('large-timeline-zoomed');
});

test('a hundred thousand apps, managers and blocks are shown a page at a time, searched and sorted, by keyboard too', async (t) => {
  const database = join(folder(t), 'monitoring.db');
  const { run, runId } = await makeSynthetic(database, { tasks: 600, began: Date.now() - 60_000, isLive: true });
  await addCrowd(database, run, { apps: 99_988, managers: 99_996, blocks: 99_996 });
  const dashboard = await served(t, database);
  const view = await viewOrSkip(t, dashboard.url);
  if (view === undefined) return;
  const { page } = view;
  await view.open(`/run/${runId}`);
  const apps = page.getByRole('region', { name: 'Apps' });
  await apps.getByText('1–15 of 100,000 apps').waitFor();
  await apps.scrollIntoViewIfNeeded();
  await view.check();
  await view.picture('crowd-apps');
  await apps.getByRole('button', { name: 'Next page of the apps' }).focus();
  await page.keyboard.press('Enter');
  await apps.getByRole('status').getByText('16–30 of 100,000 apps').waitFor();
  await page.keyboard.press('Enter');
  await apps.getByRole('status').getByText('31–45 of 100,000 apps').waitFor();
  await apps.getByRole('button', { name: 'Failed' }).click();
  await apps.getByRole('status').getByText('1–15 of 100,000 apps').waitFor();
  await apps.getByRole('columnheader', { name: 'Failed' }).and(page.locator('[aria-sort=descending]')).waitFor();
  await apps.getByRole('searchbox').fill('app777');
  await apps.getByText('1–15 of 111 apps that fit').waitFor();
  await apps.getByRole('link', { name: 'app777', exact: true }).waitFor();
  await apps.getByRole('searchbox').fill('nothing like it');
  await apps.getByText('None of the apps fits.').waitFor();
  await view.check();

  await view.open(`/run/${runId}/executors`);
  const managers = page.getByRole('region', { name: 'Managers' });
  await managers.getByText('90,001 of 100,000 active').waitFor();
  await managers.getByText('1–100 of 100,000 managers').waitFor();
  await view.check();
  await view.picture('crowd-managers');
  assert.equal(await managers.getByRole('row').count(), 101);
  await managers.getByRole('searchbox').fill('node7770');
  await managers.getByText('9 of 11 active').waitFor();
  const blocks = page.getByRole('region', { name: 'Blocks' });
  await blocks.getByText('1–50 of 100,000 blocks').waitFor();
  await blocks.getByRole('searchbox').fill('job4242');
  await blocks.getByText('1–11 of 11 blocks that fit').waitFor();
  await blocks.scrollIntoViewIfNeeded();
  await view.check();
  await view.picture('crowd-searched');
});

test('every page is usable by keyboard alone', async (t) => {
  const database = join(folder(t), 'monitoring.db');
  const { runId } = await makeSynthetic(database, { tasks: 60 });
  const dashboard = await served(t, database);
  const view = await viewOrSkip(t, dashboard.url);
  if (view === undefined) return;
  const { page } = view;
  await view.open(`/run/${runId}/tasks`);
  await page.getByRole('link', { name: '0', exact: true }).focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'align #2' }).waitFor();

  await view.open(`/run/${runId}/graph?by=task`);
  await page.locator('.graph-canvas').focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  const told = page.locator('.canvas-note');
  await told.getByText('split #').waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: /split #/ }).waitFor();
});

for (const [size, colours] of [
  ['phone', 'light'],
  ['phone', 'dark'],
  ['laptop', 'dark'],
] as const) {
  test(`pages fit a ${size} in ${colours} colours`, async (t) => {
    const database = join(folder(t), 'monitoring.db');
    const { runId } = await makeSynthetic(database, { tasks: 1_500 });
    const dashboard = await served(t, database);
    const view = await viewOrSkip(t, dashboard.url, { size, colours });
    if (view === undefined) return;
    await view.page.getByRole('link', { name: 'synthetic.ts' }).waitFor();
    await view.check();
    await view.picture(`${size}-${colours}-runs`);
    await lookAtAll(view, runId, `${size}-${colours}`);
    await view.open(`/run/${runId}/task/30`);
    await view.check();
    await view.picture(`${size}-${colours}-task`);
  });
}

test('pages say that the database was deleted, and show the one that takes its place', async (t) => {
  const directory = folder(t);
  const database = join(directory, 'monitoring.db');
  const { runId } = await makeSynthetic(database, { tasks: 10 });
  const dashboard = await served(t, database);
  const view = await viewOrSkip(t, dashboard.url);
  if (view === undefined) return;
  const { page } = view;
  await view.open(`/run/${runId}`);
  await page.getByText('Live', { exact: true }).waitFor();
  for (const suffix of ['', '-wal', '-shm']) rmSync(database + suffix, { force: true });
  await page.getByText('is not there any more').first().waitFor();
  await view.picture('database-gone');
  const other = await makeSynthetic(database, { tasks: 12, seed: 2 });
  await page.getByText('there is no run').first().waitFor();
  await view.open('/');
  await page.getByRole('link', { name: 'synthetic.ts' }).waitFor();
  await view.open(`/run/${other.runId}`);
  await page.getByText('of 12').first().waitFor();
});

test('pages say once that the database is locked, keep what they show, and go on when it is free', async (t) => {
  const directory = folder(t);
  const { runId } = await makeSynthetic(join(directory, 'first.db'), { tasks: 40, isLive: true });
  const database = join(directory, 'monitoring.db');
  copyWithoutWal(join(directory, 'first.db'), database);
  const dashboard = await served(t, database);
  const view = await viewOrSkip(t, dashboard.url);
  if (view === undefined) return;
  const { page } = view;
  const alert = page.getByRole('alert');
  await view.open(`/run/${runId}`);
  await page.getByRole('link', { name: 'fetch' }).waitFor();
  const lock = await lockElsewhere(t, database);
  // Sorting asks anew; what stands there stays.
  await page.getByRole('button', { name: 'App', exact: true }).click();
  await alert.getByText('The database is locked by another program.').waitFor();
  await alert.getByText('It is asked again in a moment.').waitFor();
  await page.getByRole('link', { name: 'fetch' }).waitFor();
  await page.getByRole('region', { name: 'Apps' }).scrollIntoViewIfNeeded();
  await view.picture('database-locked-apps');
  // A page that has nothing to show yet.
  await view.open(`/run/${runId}/executors`);
  await alert.getByText('The database is locked by another program.').first().waitFor();
  await page.getByText('Live', { exact: true }).waitFor();
  await view.picture('database-locked');
  assert.equal(await alert.count(), 1);
  await lock.release();
  await alert.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('region', { name: 'Managers' }).getByText('nid0011').first().waitFor();
  await alert.waitFor({ state: 'detached' });
});

test('pages say what is wrong when there is nothing, or no answer', async (t) => {
  const database = join(folder(t), 'monitoring.db');
  const { runId } = await makeSynthetic(database, { tasks: 10 });
  const dashboard = await serveDashboard(database);
  t.after(() => dashboard.close());
  const view = await viewOrSkip(t, dashboard.url);
  if (view === undefined) return;
  const { page } = view;
  await view.open(`/run/${runId}/tasks?name=nothing-like-that`);
  await page.getByText('No task fits').waitFor();
  await view.check();
  await view.picture('nothing-fits');
  await view.open('/nowhere');
  await page.getByText('There is no such page').waitFor();
  await view.open(`/run/${runId}`);
  await page.getByText('Live', { exact: true }).waitFor();
  await dashboard.close();
  await page.getByText('Connection lost').waitFor();
  await page.evaluate(`location.hash = '/run/${runId}/attention'`);
  await page.getByText('server does not answer').first().waitFor();
  await view.picture('server-gone');
  // It comes back by itself with the server.
  const again = await serveDashboard(database, { port: dashboard.port });
  t.after(() => again.close());
  await page.getByText('Live', { exact: true }).waitFor();
  await page
    .getByRole('heading', { name: /never ran|failed|Nothing wants/ })
    .first()
    .waitFor();
});

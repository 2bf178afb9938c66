// Databases of another version of our tables: older ones are read as they are, later ones are refused, and none is changed.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { sql } from 'kysely';
import { serveDashboard } from '#src/dashboard/server.js';
import { openDatabase } from '#src/monitoring/database.js';
import { migrations } from '#src/monitoring/schema.js';
import { chervil } from '../cli/command.ts';
import { makeOlder, makeOlderPostgres } from '../support/older-database.ts';
import { postgresOrSkip } from '../support/postgres.ts';
import { makeSynthetic } from '../support/synthetic.ts';

const questions = [
  '',
  '/series',
  '/facets',
  '/tasks?state=failed,dep_fail&sort=ended&order=desc',
  '/tasks?worker=nid0012/3',
  '/count?retried=1',
  '/tasks/26',
  '/graph?by=app',
  '/graph?by=task',
  '/timeline',
  '/apps?sort=failed&limit=5&offset=3',
  '/apps?name=A',
  '/executors',
  '/managers?limit=2&offset=1',
  '/managers?text=NID0012',
  '/blocks?limit=3',
  '/attention',
];

const commands = [
  ['status'],
  ['tasks', '--failed'],
  ['tasks', '--app', 'merge', '--json'],
  ['task', '26'],
  ['export'],
  ['export', '--format', 'chrome-trace'],
];

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'chervil-older-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A digest of all bytes of a file. */
const contents = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/** A database of today, and one of the first version with the same rows. */
async function both(t: TestContext): Promise<{ today: string; older: string; runId: string }> {
  const [today, older] = [join(folder(t), 'monitoring.db'), join(folder(t), 'monitoring.db')];
  const { runId } = await makeSynthetic(today, { tasks: 600 });
  await makeOlder(older, today);
  return { today, older, runId };
}

async function assertSameAnswers(one: string, other: string, runId: string): Promise<void> {
  await using expected = await serveDashboard(one);
  await using found = await serveDashboard(other);
  for (const question of questions) {
    const [a, b] = await Promise.all(
      [expected, found].map(async ({ url }) => {
        const response = await fetch(new URL(`api/runs/${runId}${question}`, url));
        const answer = (await response.json()) as Record<string, unknown>;
        delete answer['now'];
        return { status: response.status, answer };
      }),
    );
    assert.deepEqual(b, a, question);
    assert.equal(b?.status, 200, question);
  }
}

test('the dashboard shows a database of an earlier version as it is, and does not change it', async (t) => {
  const { today, older, runId } = await both(t);
  const before = contents(older);
  await assertSameAnswers(today, older, runId);
  assert.equal(contents(older), before);
});

test('status, tasks, task and export read a database of an earlier version as it is', async (t) => {
  const { today, older } = await both(t);
  const before = contents(older);
  for (const command of commands) {
    const [expected, found] = await Promise.all(
      [today, older].map((database) => chervil(t, [...command, '-d', database])),
    );
    assert.equal(found?.code, 0, found?.stderr);
    assert.deepEqual(found, expected, command.join(' '));
  }
  assert.equal(contents(older), before);
});

test('in PostgreSQL tables of an earlier version are read as they are, too, until a run brings them up to date', async (t) => {
  const url = await postgresOrSkip(t);
  if (url === undefined) return;
  const { today, runId } = await both(t);
  await makeOlderPostgres(url, today);
  await assertSameAnswers(today, url, runId);
  const version = async (): Promise<number> => {
    await using database = await openDatabase(url);
    return (await database.db.selectFrom('chervil_schema').select('version').executeTakeFirstOrThrow()).version;
  };
  assert.equal(await version(), 1);
  await (await openDatabase(url, { mode: 'write' })).close();
  assert.equal(await version(), migrations.length);
  await assertSameAnswers(today, url, runId);
});

test('while the dashboard shows a database of an earlier version, a run may bring it up to date', async (t) => {
  const { older, runId } = await both(t);
  await using dashboard = await serveDashboard(older);
  const ask = async (): Promise<string> => {
    const response = await fetch(new URL(`api/runs/${runId}/tasks`, dashboard.url));
    assert.equal(response.status, 200);
    return response.text();
  };
  const before = await ask();
  await (await openDatabase(older, { mode: 'write' })).close();
  assert.equal(await ask(), before);
});

test('a database of a later version is refused in one line that says what to do', async (t) => {
  const path = join(folder(t), 'monitoring.db');
  await makeSynthetic(path, { tasks: 20 });
  {
    await using database = await openDatabase(path, { mode: 'write' });
    await sql`update chervil_schema set version = ${migrations.length + 1}`.execute(database.db);
  }
  await assert.rejects(openDatabase(path), { name: 'DatabaseError', code: 'TOO_NEW' });
  for (const command of [['monitor', path], ...commands.map((one) => [...one, '-d', path])]) {
    const { code, stdout, stderr } = await chervil(t, command);
    assert.notEqual(code, 0);
    assert.equal(stdout, '');
    assert.match(stderr, /^chervil: .* was made by a later Chervil: .*Use that Chervil, or another database\.\n$/);
  }
});

test('tables that cannot be read any more are refused with how they are brought up to date', async (t) => {
  const path = join(folder(t), 'monitoring.db');
  await makeSynthetic(path, { tasks: 20 });
  {
    await using database = await openDatabase(path, { mode: 'write' });
    await sql`update chervil_schema set version = 0`.execute(database.db);
  }
  await assert.rejects(openDatabase(path), {
    name: 'DatabaseError',
    code: 'TOO_OLD',
    message: /chervil monitor prune --keep 100000 -d .*copy/,
  });
});

test('what cannot be read where it is, or is no database, is told in one line', async (t) => {
  const path = join(folder(t), 'monitoring.db');
  await makeSynthetic(path, { tasks: 20 });
  const told = async (file: string): Promise<string> => {
    const { code, stdout, stderr } = await chervil(t, ['status', '-d', file]);
    assert.deepEqual([code === 0, stdout], [false, '']);
    return stderr;
  };
  // Where SQLite wants to make a file beside the database there is something else.
  const blocked = join(folder(t), 'monitoring.db');
  cpSync(path, blocked);
  mkdirSync(`${blocked}-wal`);
  assert.match(await told(blocked), /^chervil: .* cannot be read where it is: .*Copy it, .*\n$/);
  await assert.rejects(openDatabase(blocked), { name: 'DatabaseError', code: 'UNREADABLE' });
  const text = join(folder(t), 'notes.txt');
  writeFileSync(text, 'nothing of the kind\n'.repeat(200));
  assert.match(await told(text), /^chervil: .* is no monitoring database: .*\n$/);
});

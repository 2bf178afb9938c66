// The way from the run to the database: records in bytes, rows that are written once or twice, and writers that are killed in between.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type MonitoringDatabase, openDatabase } from '#src/monitoring/database.js';
import { Feed } from '#src/monitoring/feed.js';
import { RecordBuffer, type RecordSink, readRecords } from '#src/monitoring/records.js';
import { runWriter, type WriterPorts, type WriterStart } from '#src/monitoring/writer.js';
import { taskStates } from '#src/task/state.js';
import { randomIntegers } from '../support/random.ts';

const { pending, launched, running, running_ended, exec_done, fail_retryable } = taskStates;

/** Keeps what it is told, as text. */
class Told implements RecordSink {
  readonly lines: string[] = [];
  opened(...what: Parameters<RecordSink['opened']>): void {
    this.lines.push(JSON.stringify(['opened', ...what]));
  }
  moved(...what: Parameters<RecordSink['moved']>): void {
    this.lines.push(JSON.stringify(['moved', ...what]));
  }
  rare(record: Parameters<RecordSink['rare']>[0]): void {
    this.lines.push(JSON.stringify(record));
  }
}

/** What somebody tells, both to the buffer and as it is to come out again. */
function randomTale(integer: (below: number) => number, events: number) {
  const buffer = new RecordBuffer();
  const told = new Told();
  const texts = ['', '1', '[0, 1]', 'x'.repeat(63), 'ä'.repeat(40), 'x'.repeat(200), '\u{1f33f} "quoted"'];
  const text = (): string => texts[integer(texts.length)] as string;
  const states = new Map<number, { state: number; number: number }>();
  let at = 1_764_000_000_000;
  for (let event = 0; event < events; event++) {
    at += integer(3);
    const task = integer(4) === 0 ? states.size : integer(Math.max(1, states.size));
    const known = states.get(task);
    if (known === undefined) {
      const needs = Array.from({ length: integer(4) }, () => integer(100));
      const [stage, parent] = [integer(2) === 0 ? undefined : integer(9), integer(2) === 0 ? undefined : integer(99)];
      const given = text();
      buffer.opened(task, 7, at, stage, parent, needs, given);
      told.opened(task, 7, at, stage ?? null, parent ?? null, needs, given === '' ? null : given);
      states.set(task, { state: pending, number: 0 });
      continue;
    }
    if (integer(20) === 0) {
      const record = { kind: 'notice', at, level: 'warn', text: text() } as const;
      buffer.rare(record);
      told.rare(record);
    }
    for (let steps = integer(4); steps >= 0; steps--) {
      const from = known.state;
      known.state = integer(9);
      if (from === fail_retryable) known.number++;
      const place = integer(2) === 0 ? undefined : integer(70_000);
      const given = known.state === exec_done ? text() : '';
      const when = at - integer(10);
      buffer.moved(task, 7, when, from, known.state, known.number, place, given);
      told.moved(task, 7, when, from, known.state, known.number, place ?? null, given === '' ? null : given);
    }
  }
  return { bytes: Buffer.from(buffer.take()), told };
}

test('what is told comes out as it went in, also in pieces and cut short', () => {
  const integer = randomIntegers();
  for (let round = 0; round < 30; round++) {
    const { bytes, told } = randomTale(integer, 200);
    const whole = new Told();
    assert.equal(readRecords(bytes, whole)?.bytes, bytes.length);
    assert.deepEqual(whole.lines, told.lines);
    const pieces = new Told();
    for (let at = 0; at < bytes.length; ) {
      const read = readRecords(bytes.subarray(at, at + 1_500), pieces, 1 + integer(5));
      assert.ok(read !== undefined && read.bytes > 0, 'each piece has a whole record');
      at += read.bytes;
    }
    assert.deepEqual(pieces.lines, told.lines);
    const length = integer(bytes.length);
    const cut = new Told();
    const read = readRecords(bytes.subarray(0, length), cut);
    assert.ok(read !== undefined && read.bytes <= length);
    assert.deepEqual(cut.lines, told.lines.slice(0, cut.lines.length));
  }
});

test('damaged records are told as such, or read as others, and never throw', () => {
  const integer = randomIntegers();
  const { bytes } = randomTale(integer, 300);
  for (let round = 0; round < 3_000; round++) {
    const damaged = Buffer.from(bytes.subarray(0, 2_000));
    for (let count = 1 + integer(4); count > 0; count--) damaged[integer(damaged.length)] = integer(256);
    const read = readRecords(damaged, new Told());
    assert.ok(read === undefined || read.bytes <= damaged.length);
  }
});

test('what happens to one task without anything in between is one record', () => {
  const buffer = new RecordBuffer();
  buffer.opened(1, 0, 10, undefined, undefined, undefined, 'a');
  buffer.moved(1, 0, 10, pending, launched, 0, 1, '');
  assert.equal(buffer.records, 1);
  buffer.opened(2, 0, 11, undefined, undefined, undefined, 'b');
  buffer.moved(1, 0, 12, launched, running, 0, 2, '');
  buffer.moved(1, 0, 12, running, running_ended, 0, 2, '');
  buffer.moved(1, 0, 12, running_ended, exec_done, 0, undefined, 'result');
  assert.equal(buffer.records, 3);
});

const run = {
  run_id: 'a-run',
  name: 'program.ts',
  version: '1',
  began: 1,
  ended: null,
  end_reason: null,
  host: 'h',
  user: 'u',
  directory: '/',
  pid: 1,
  command: '',
  chervil_version: '1',
  node_version: 'v24',
  tasks: 0,
  completed: 0,
  memoized: 0,
  failed: 0,
  sample_ms: 0,
  written: null,
  lag_ms: null,
  lost_events: 0,
};

class World {
  readonly path: string;
  readonly directory: string;
  readonly feed: Feed;

  constructor(t: TestContext) {
    const folder = mkdtempSync(join(tmpdir(), 'chervil-writer-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    this.path = join(folder, 'monitoring.db');
    this.directory = join(folder, 'feed');
    this.feed = new Feed({ directory: this.directory, onWritten: () => {}, onProblem: () => {} });
    this.feed.records.rare({ kind: 'app', app: 0, name: 'f', body: 'function', memoize: false });
  }

  open(first: number, last: number, at = Date.now()): this {
    for (let task = first; task <= last; task++) {
      this.feed.records.opened(task, 0, at, undefined, undefined, undefined, String(task));
      this.feed.records.moved(task, 0, at, pending, launched, 0, undefined, '');
    }
    this.feed.flush();
    return this;
  }

  settle(first: number, last: number, at = Date.now()): this {
    for (let task = first; task <= last; task++) {
      this.feed.records.moved(task, 0, at, launched, running, 0, 1, '');
      this.feed.records.moved(task, 0, at, running, exec_done, 0, 1, `r${task}`);
    }
    this.feed.flush();
    return this;
  }

  /** A writer, until it has nothing to do for the time that `after` says; then it dies as it stands. `undefined`: until the run is over. */
  async write(diesAfter?: number): Promise<void> {
    const start: WriterStart = {
      database: this.path,
      feed: this.directory,
      run,
      batchMs: 1,
      batchRecords: 1_000_000,
      busyMs: 1_000,
      patienceMs: 1_000,
    };
    let waits = 0;
    const ports: WriterPorts = {
      tell: (word) => assert.equal(word.say, 'ready'),
      wait: async () => {
        if (diesAfter !== undefined && ++waits > diesAfter) throw new Error('killed');
      },
      isSourceGone: () => diesAfter === undefined,
    };
    const ended = runWriter(start, ports);
    if (diesAfter === undefined) await ended;
    else await assert.rejects(ended, /killed/);
  }

  async look<Value>(body: (database: MonitoringDatabase) => Promise<Value>): Promise<Value> {
    await using database = await openDatabase(this.path);
    return await body(database);
  }

  /** Rows of tasks, those of them that are done, and the counters of the run. */
  async standing(): Promise<readonly number[]> {
    return await this.look(async ({ db }) => {
      const { tasks, completed } = await db.selectFrom('runs').select(['tasks', 'completed']).executeTakeFirstOrThrow();
      const rows = await db.selectFrom('tasks').select(['state', 'arguments', 'result', 'task']).execute();
      for (const row of rows) {
        assert.equal(row.arguments, String(row.task));
        if (row.state === exec_done) assert.equal(row.result, `r${row.task}`);
      }
      const states = await db.selectFrom('app_states').select(['state', 'tasks']).execute();
      assert.equal(
        states.reduce((sum, one) => sum + one.tasks, 0),
        tasks,
      );
      return [rows.length, rows.filter(({ state }) => state === exec_done).length, tasks, completed];
    });
  }
}

test('few new tasks are in the database at once', async (t) => {
  const world = new World(t).open(0, 99).settle(0, 49);
  await world.write(0);
  assert.deepEqual(await world.standing(), [100, 50, 100, 50]);
});

test('of a flood those are counted at once that are not settled, and written when they are', async (t) => {
  const world = new World(t).open(0, 29_999).settle(0, 9_999);
  await world.write(0);
  assert.deepEqual(await world.standing(), [10_000, 10_000, 30_000, 10_000]);
  world.settle(10_000, 29_999);
  await world.write();
  assert.deepEqual(await world.standing(), [30_000, 30_000, 30_000, 30_000]);
  assert.throws(() => readdirSync(world.directory), { code: 'ENOENT' }, 'nothing is left of the feed');
});

test('what was held back when a writer was killed is written by the next, however often that happens', async (t) => {
  const world = new World(t).open(0, 29_999).settle(5_000, 9_999);
  await world.write(0);
  assert.deepEqual(await world.standing(), [5_000, 5_000, 30_000, 5_000]);
  // A second dies at once, with another flood behind it, and a third in the quiet after it.
  world.open(30_000, 59_999).settle(0, 4_999);
  await world.write(0);
  assert.deepEqual(await world.standing(), [10_000, 10_000, 60_000, 10_000]);
  world.settle(30_000, 30_009);
  await world.write(1);
  assert.deepEqual(await world.standing(), [60_000, 10_010, 60_000, 10_010], 'when it is quiet, all are written');
  await world.write();
  assert.deepEqual(await world.standing(), [60_000, 10_010, 60_000, 10_010]);
});

test('new tasks of a flood that wait for long are written while they wait', async (t) => {
  const world = new World(t).open(0, 9_999, Date.now() - 60_000).open(10_000, 29_999);
  await world.write(0);
  assert.deepEqual(await world.standing(), [10_000, 0, 30_000, 0]);
});

test('a database of an earlier version is brought up to date', async (t) => {
  const world = new World(t).open(0, 9);
  await world.write(0);
  {
    await using old = await openDatabase(world.path, { mode: 'write' });
    old.sqlite?.exec(`alter table runs drop column held_segment; alter table runs drop column held_offset;
      drop index tasks_place; create index tasks_place on tasks (run, place, running);
      update chervil_schema set version = 1`);
  }
  await assert.rejects(openDatabase(world.path), { code: 'TOO_OLD' });
  world.settle(0, 9);
  await world.write();
  assert.deepEqual(await world.standing(), [10, 10, 10, 10]);
});

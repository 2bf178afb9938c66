// The way from the run to the database: records in bytes, rows that are written once or twice, and writers that are killed in between.
import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Batch } from '#src/monitoring/batch.js';
import { type MonitoringDatabase, openDatabase } from '#src/monitoring/database.js';
import { Feed, segmentName } from '#src/monitoring/feed.js';
import { FeedReader } from '#src/monitoring/feed-reader.js';
import { RecordBuffer, type RecordSink, readRecords } from '#src/monitoring/records.js';
import { short } from '#src/monitoring/short.js';
import { openSqlite } from '#src/monitoring/sqlite.js';
import { runWriter, type WriterPorts, type WriterStart } from '#src/monitoring/writer.js';
import { noCounts, taskStates } from '#src/task/state.js';
import { runRow } from '../support/monitored-run.ts';
import { postgresOrSkip } from '../support/postgres.ts';
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
    assert.equal(readRecords(bytes, whole).bytes, bytes.length);
    assert.deepEqual(whole.lines, told.lines);
    const pieces = new Told();
    for (let at = 0; at < bytes.length; ) {
      const read = readRecords(bytes.subarray(at, at + 1_500), pieces, 1 + integer(5));
      assert.ok(!read.isDamaged && read.bytes > 0, 'each piece has a whole record');
      at += read.bytes;
    }
    assert.deepEqual(pieces.lines, told.lines);
    const length = integer(bytes.length);
    const cut = new Told();
    const read = readRecords(bytes.subarray(0, length), cut);
    assert.ok(!read.isDamaged && read.bytes <= length);
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
    assert.ok(read.bytes <= damaged.length);
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

test('numbers and texts of any size come out as they went in', () => {
  const buffer = new RecordBuffer();
  const told = new Told();
  const at = 1_764_000_000_000;
  const many = Array.from({ length: 70_000 }, (_, index) => index);
  const opened: readonly Parameters<RecordSink['opened']>[] = [
    [2 ** 32 - 2, 65_535, at, 65_534, 2 ** 32 - 3, [2 ** 32 - 4], 'x'.repeat(8_192)],
    [2 ** 32 - 1, 0, at, null, 2 ** 32 - 2, [2 ** 32 - 3], 'ä'.repeat(8_192)],
    [2 ** 40, 0, at, null, 2 ** 40 - 1, [2 ** 40 - 2], '\u{1f33f}'.repeat(4_096)],
    [1, 65_536, at, 65_535, null, [], null],
    [2, 1_000_000, at, 65_536, null, [], 'text'],
    [70_001, 0, at, null, null, many, null],
    [70_002, 0, at, null, null, many.slice(0, 65_535), null],
  ];
  for (const one of opened) {
    const [task, app, time, stage, parent, needs, text] = one;
    buffer.opened(task, app, time + 0.4, stage ?? undefined, parent ?? undefined, needs, text ?? '');
    told.opened(...one);
    const moved: readonly Parameters<RecordSink['moved']>[] = [
      [task, app, time + 1, pending, launched, 0, 2 ** 32 - 2, null],
      [task, app, time + 2, launched, fail_retryable, 0, 2 ** 32, null],
      [task, app, time + 2 ** 33, fail_retryable, pending, 70_000, null, null],
      [task, app, time - 2 ** 33, pending, exec_done, 70_000, null, text],
    ];
    for (const [id, of, when, from, state, number, place, result] of moved)
      buffer.moved(id, of, when - 0.4, from, state, number, place ?? undefined, result ?? '');
    for (const step of moved) told.moved(...step);
  }
  // A text that is cut in the middle of a character, or is longer than there is room for, is no fault.
  buffer.opened(3, 0, at, undefined, undefined, undefined, `${'x'.repeat(8_191)}\u{1f33f}`);
  told.opened(3, 0, at, null, null, [], `${'x'.repeat(8_191)}\ufffd`);
  buffer.moved(3, 0, at, pending, exec_done, 0, undefined, 'y'.repeat(9_000));
  told.moved(3, 0, at, pending, exec_done, 0, null, 'y'.repeat(8_192));
  const bytes = Buffer.from(buffer.take());
  const found = new Told();
  assert.equal(readRecords(bytes, found).bytes, bytes.length);
  assert.deepEqual(found.lines, told.lines);
});

/** Keeps others from reading and writing a database that has no WAL. */
class Lock {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  take(ms: number): void {
    const connection = openSqlite(this.#path, 'write');
    connection.exec('begin exclusive');
    setTimeout(() => {
      connection.exec('rollback');
      connection.close();
    }, ms);
  }
}

class World {
  path: string;
  readonly directory: string;
  readonly #folder: string;
  readonly feed: Feed;

  /** @param segmentBytes of the files of the feed; most are to have one */
  constructor(t: TestContext, segmentBytes = 8 * 2 ** 20) {
    this.#folder = mkdtempSync(join(tmpdir(), 'chervil-writer-'));
    t.after(() => rmSync(this.#folder, { recursive: true, force: true }));
    this.path = join(this.#folder, 'monitoring.db');
    this.directory = join(this.#folder, 'feed');
    this.feed = new Feed({ directory: this.directory, segmentBytes, onWritten: () => {}, onProblem: () => {} });
    this.feed.records.rare({ kind: 'app', app: 0, name: 'f', body: 'function', memoize: false });
  }

  /** From here on with this database. */
  at(name: string): this {
    this.path = join(this.#folder, name);
    return this;
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
  async write(
    diesAfter?: number,
    changes: Partial<WriterStart> & Partial<Pick<WriterPorts, 'tell' | 'wait'>> = {},
  ): Promise<string[]> {
    const { tell, wait, ...others } = changes;
    const start: WriterStart = {
      database: this.path,
      feed: this.directory,
      run: runRow,
      batchMs: 1,
      batchRecords: 1_000_000,
      busyMs: 1_000,
      patienceMs: 1_000,
      ...others,
    };
    let waits = 0;
    const problems: string[] = [];
    const ports: WriterPorts = {
      tell: (word) => {
        tell?.(word);
        if (word.say === 'problem') problems.push(word.text);
        assert.notEqual(word.say, 'refused');
      },
      wait: async (ms) => {
        await wait?.(ms);
        if (diesAfter !== undefined && ++waits > diesAfter) throw new Error('killed');
      },
      isSourceGone: () => diesAfter === undefined,
    };
    const ended = runWriter(start, ports);
    if (diesAfter === undefined || wait !== undefined) problems.push(`done: ${await ended}`);
    else await assert.rejects(ended, /killed/);
    return problems;
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

test('of a flood nothing is held back while the feed is short of room, as its files would have to stay', async (t) => {
  const world = new World(t, 100).open(0, 9_999).open(10_000, 19_999).open(20_000, 29_999);
  await world.write(0, { mostSegments: 4 });
  assert.deepEqual(await world.standing(), [30_000, 0, 30_000, 0]);
  world.open(30_000, 59_999);
  await world.write(0, { mostSegments: 4 });
  assert.deepEqual(await world.standing(), [30_000, 0, 60_000, 0], 'one file leaves room enough');
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

test('of a flood that is too large the first are held back, and the next writer finds just those', async (t) => {
  const world = new World(t).open(0, 29_999);
  await world.write(0, { mostHeld: 10_000 });
  assert.deepEqual(await world.standing(), [20_000, 0, 30_000, 0]);
  const first = await world.look(({ db }) => db.selectFrom('tasks').select('task').orderBy('task').execute());
  assert.equal(first[0]?.task, 10_000);
  // Of both, and a flood behind them: what was held back is still first.
  world.settle(9_000, 10_999).open(30_000, 59_999);
  await world.write(0, { mostHeld: 10_000 });
  assert.deepEqual(await world.standing(), [50_000, 2_000, 60_000, 2_000]);
  world.settle(0, 8_999).settle(11_000, 59_999);
  await world.write();
  assert.deepEqual(await world.standing(), [60_000, 60_000, 60_000, 60_000]);
});

test('new tasks of a flood that wait for long are written while they wait', async (t) => {
  const world = new World(t).open(0, 9_999, Date.now() - 60_000).open(10_000, 29_999);
  await world.write(0);
  assert.deepEqual(await world.standing(), [10_000, 0, 30_000, 0]);
  await world.write();
  assert.deepEqual(await world.standing(), [30_000, 0, 30_000, 0], 'and the next writer adds the others');
});

test('of two writers of one run, as when somebody loads a feed that is still being written, one goes on and counts once', async (t) => {
  const world = new World(t).open(0, 9);
  let waits = 0;
  const problems = await world.write(1, {
    wait: async () => {
      if (++waits > 1) return;
      world.settle(0, 4);
      await world.write(0);
      world.settle(5, 9);
    },
  });
  assert.deepEqual(problems, ['another writer is at work on this run; this one ends', 'done: false']);
  assert.deepEqual(await world.standing(), [10, 5, 10, 5]);
  await world.write();
  assert.deepEqual(await world.standing(), [10, 10, 10, 10]);
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
  assert.deepEqual(await world.standing(), [10, 0, 10, 0], 'and is read before that');
  world.settle(0, 9);
  await world.write();
  assert.deepEqual(await world.standing(), [10, 10, 10, 10]);
});

test('files that a writer could not delete before it died are deleted by the next', async (t) => {
  const world = new World(t, 100).open(0, 9);
  const first = join(world.directory, segmentName(0));
  const kept = readFileSync(first);
  world.open(10, 99);
  await world.write(0);
  assert.ok(!existsSync(first));
  writeFileSync(first, kept);
  world.open(100, 109);
  await world.write(0);
  assert.ok(!existsSync(first), 'the run looks at the first of them to see whether the writer comes on');
  await world.write();
  assert.deepEqual(await world.standing(), [110, 0, 110, 0]);
});

test('what is left of a feed goes into another database, though its first files are gone', async (t) => {
  const world = new World(t, 100).open(0, 9).open(10, 19).open(20, 99);
  await world.write(0);
  const other = world.open(100, 199).at('other.db');
  await other.write();
  const tasks = await other.look(({ db }) => db.selectFrom('tasks').select('task').orderBy('task').execute());
  assert.deepEqual([tasks.length >= 100, tasks.at(-1)?.task], [true, 199]);
});

test('a file that could not be opened leaves no gap behind which nothing is read', async (t) => {
  const world = new World(t, 1_000).open(0, 99);
  const next = join(world.directory, segmentName(readdirSync(world.directory).length));
  mkdirSync(next);
  world.open(100, 109);
  rmdirSync(next);
  world.open(200, 299);
  await world.write();
  const [rows, , tasks] = await world.standing();
  assert.deepEqual([rows, tasks], [200, 200]);
  assert.equal(
    await world.look(
      async ({ db }) => (await db.selectFrom('runs').select('lost_events').executeTakeFirstOrThrow()).lost_events,
    ),
    10,
  );
});

test('what stands before a damaged place is written once, and what is behind it from the next file on', async (t) => {
  const world = new World(t, 100).open(0, 9);
  const [file] = readdirSync(world.directory);
  appendFileSync(join(world.directory, file as string), Buffer.from([1, 0, 0, 0, 9, 9, 9, 9]));
  const problems = await world.write(4);
  assert.deepEqual(await world.standing(), [10, 0, 10, 0]);
  assert.match(problems.join(), /^00000000.feed is damaged from byte \d+ on; the rest of it is passed over$/);
  world.open(10, 19);
  await world.write();
  assert.deepEqual(await world.standing(), [20, 0, 20, 0]);
});

test('of a task that is tried again and again no more than a thousand tries are taken at once, and all are written', async (t) => {
  const world = new World(t).open(0, 1);
  const { records } = world.feed;
  const at = Date.now();
  for (let number = 0; number < 2_500; number++) {
    if (number > 0) records.moved(1, 0, at, pending, launched, number, undefined, '');
    records.moved(1, 0, at, launched, fail_retryable, number, undefined, '');
    records.moved(1, 0, at, fail_retryable, pending, number + 1, undefined, '');
  }
  world.feed.flush();
  const reader = new FeedReader(world.directory, { segment: 0, offset: 0 }, () => {});
  const rounds: number[] = [];
  for (let isMore = true; isMore; ) {
    const batch = new Batch(noCounts());
    isMore = reader.read(1_000_000, batch);
    rounds.push(batch.rounds.length);
  }
  assert.deepEqual(rounds, [1_001, 1_001, 501]);
  await world.write();
  assert.deepEqual(await world.standing(), [2, 0, 2, 0]);
  const tries = await world.look(({ db }) => db.selectFrom('tries').select('try').orderBy('try').execute());
  assert.deepEqual(
    tries.map((row) => row.try),
    Array.from({ length: 2_500 }, (_, number) => number),
  );
});

test('what is told of a task in a later try, since no try before it was launched, is in its row', async (t) => {
  const world = new World(t).open(0, 1);
  const { records } = world.feed;
  const at = Date.now();
  records.moved(1, 0, at, launched, fail_retryable, 0, undefined, '');
  records.moved(1, 0, at, fail_retryable, pending, 1, undefined, '');
  records.rare({ kind: 'details', task: 1, columns: { stdout: '/data/out', memo_key: 'k' } });
  records.moved(1, 0, at, pending, launched, 1, 3, '');
  world.feed.flush();
  await world.write();
  const row = await world.look(({ db }) =>
    db.selectFrom('tasks').selectAll().where('task', '=', 1).executeTakeFirstOrThrow(),
  );
  assert.deepEqual([row.stdout, row.memo_key, row.try, row.state, row.place], ['/data/out', 'k', 1, launched, 3]);
});

test('a record that is longer than what is read at once is read', async (t) => {
  const world = new World(t).open(0, 9);
  const inputs = Array.from({ length: 300_000 }, (_, index) => `/data/${index}`.padEnd(20, 'x')).join('\n');
  world.feed.records.rare({ kind: 'details', task: 3, columns: { inputs } });
  world.open(10, 19);
  await world.write();
  assert.deepEqual(await world.standing(), [20, 0, 20, 0]);
  const row = await world.look(({ db }) =>
    db.selectFrom('tasks').select('inputs').where('task', '=', 3).executeTakeFirstOrThrow(),
  );
  assert.equal(row.inputs, inputs);
});

test('a database that is locked while a writer looks for what was held back loses nothing', async (t) => {
  const world = new World(t).open(0, 29_999);
  // There no WAL is used, and readers wait.
  const network = 'a file server';
  await world.write(0, { network });
  assert.deepEqual(await world.standing(), [0, 0, 30_000, 0]);
  let isLocked = false;
  const lock = new Lock(world.path);
  await world.write(undefined, {
    network,
    busyMs: 10,
    tell: ({ say }) => {
      if (say === 'ready') lock.take(400);
      // The row of the run was found; what comes next is what was held back.
      else if (say === 'well again' && !isLocked) {
        isLocked = true;
        lock.take(400);
      }
    },
  });
  assert.ok(isLocked);
  assert.deepEqual(await world.standing(), [30_000, 0, 30_000, 0]);
});

/** What a task does that handles bytes as text. */
async function tellZeros(world: World): Promise<void> {
  world.feed.records.rare({ kind: 'app', app: 0, name: 'f', body: 'function', memoize: false });
  world.feed.records.rare({ kind: 'output', task: 1, stream: 'stdout', text: 'before\0after' });
  world.feed.records.rare({ kind: 'notice', at: 1, level: 'warn', text: String.raw`\u0000 and \0` });
  const failure = {
    kind: 'failure',
    task: 1,
    try: 0,
    at: 1,
    app: 0,
    final: true,
    code: 'APP',
    class: 'Error',
  } as const;
  world.feed.records.rare({ ...failure, message: 'a\0b', stack: null, root: null });
  const text = short(new Error('a\0b')).slice(0, 10);
  world.feed.records.opened(1, 0, 1, undefined, undefined, undefined, text);
  world.feed.flush();
  await world.write();
  await world.look(async ({ db }) => {
    const { lost_events } = await db.selectFrom('runs').select('lost_events').executeTakeFirstOrThrow();
    const failed = await db.selectFrom('failures').select('message').executeTakeFirst();
    const output = await db.selectFrom('output_tails').select('text').executeTakeFirst();
    const notice = await db.selectFrom('notices').select('text').executeTakeFirst();
    const task = await db.selectFrom('tasks').select('arguments').executeTakeFirst();
    assert.deepEqual(
      [lost_events, failed?.message, output?.text, notice?.text, task?.arguments],
      [0, 'a\u2400b', 'before\u2400after', String.raw`\u0000 and \0`, 'Error: a\u2400b'],
    );
  });
}

test('zero bytes in texts, which databases do not keep, are shown as signs', (t) => tellZeros(new World(t)));

test('PostgreSQL, which refuses rows with zero bytes, gets the signs, too', async (t) => {
  const url = await postgresOrSkip(t);
  if (url === undefined) return;
  const world = new World(t);
  world.path = url;
  await tellZeros(world);
});

test('a run in which nothing happens for long says now and then that it goes on', async (t) => {
  const world = new World(t).open(0, 0, 1_000);
  const written = async (): Promise<number | null> =>
    await world.look(
      async ({ db }) => (await db.selectFrom('runs').select('written').executeTakeFirstOrThrow()).written,
    );
  await world.write(0);
  const first = await written();
  // Nothing is new, and each look comes after the time in which something must be said.
  await world.write(3, { aliveMs: 0 });
  const second = await written();
  assert.ok(first !== null && second !== null && second > first, `${first}, and then ${second}`);
  await world.write(3, { aliveMs: 60_000 });
  assert.equal(await written(), second, 'soon after that it need not be said again');
});

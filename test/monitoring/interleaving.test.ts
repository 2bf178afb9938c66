// Runs as they might go: records of all kinds in any order that the kernel knows, floods and quiet, writers that die at any moment, and
// databases that are locked. At the end the database has what was told, once.
import assert from 'node:assert/strict';
import { appendFileSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openDatabase } from '#src/monitoring/database.js';
import { Feed } from '#src/monitoring/feed.js';
import { runWriter, type WriterStart } from '#src/monitoring/writer.js';
import { isFinal, mayFollow, type TaskState, taskStates } from '#src/task/state.js';
import { runRow } from '../support/monitored-run.ts';
import { randomIntegers } from '../support/random.ts';

type Integer = (below: number) => number;
type Columns = Record<string, number | string | null>;

const ofTry = {
  place: null,
  launched: null,
  running: null,
  running_ended: null,
  joining: null,
  returned: null,
} as const;
const totalOf: Partial<Record<TaskState, 'completed' | 'memoized' | 'failed'>> = {
  exec_done: 'completed',
  memo_done: 'memoized',
  failed: 'failed',
  dep_fail: 'failed',
};

/** What one run tells, and what the database must have of it in the end. */
class Tale {
  readonly tasks: Columns[] = [];
  readonly tries: Columns[] = [];
  readonly failures = new Set<string>();
  readonly edges: string[] = [];
  readonly outputs = new Map<string, { bytes: number; text: string }>();
  readonly totals = { tasks: 0, completed: 0, memoized: 0, failed: 0 };
  readonly #feed: Feed;
  readonly #integer: Integer;
  readonly #states: TaskState[] = [];
  readonly #live: number[] = [];
  readonly #joined = new Set<number>();

  constructor(feed: Feed, integer: Integer) {
    this.#feed = feed;
    this.#integer = integer;
    for (let app = 0; app < 3; app++)
      feed.records.rare({ kind: 'app', app, name: `f${app}`, body: 'function', memoize: false });
  }

  /** So many things happen. */
  go(count: number): void {
    const integer = this.#integer;
    const opensMore = integer(4) !== 0;
    for (let left = count; left > 0; left--) {
      if (integer(opensMore ? 2 : 8) === 0 || this.#live.length === 0) this.#open();
      else this.#advance(integer(this.#live.length));
      if (integer(20) === 0) this.#print();
      if (integer(200) === 0) this.#feed.flush();
    }
    this.#feed.flush();
  }

  #open(): void {
    const integer = this.#integer;
    const task = this.tasks.length;
    const at = Date.now() - integer(20);
    const needs = [...new Set(Array.from({ length: integer(3) }, () => integer(Math.max(1, task))))];
    const parent = integer(5) === 0 && task > 0 ? integer(task) : undefined;
    const [app, stage] = [integer(3), integer(3) === 0 ? integer(9) : undefined];
    const text = integer(4) === 0 ? '' : `a${task}`;
    this.#feed.records.opened(task, app, at, stage, parent, needs, text);
    const row: Columns = {
      ...{ task, app, state: taskStates.pending, try: 0, invoked: at, ...ofTry },
      ...{ parent: parent ?? null, stage: stage ?? null, arguments: text || null, result: null },
      ...{ memo_key: null, inputs: null },
    };
    this.tasks.push(row);
    this.#states.push('pending');
    this.#live.push(task);
    this.totals.tasks++;
    for (const one of needs) if (one !== task) this.edges.push(`${task} ${one} argument`);
    if (integer(10) === 0) this.#detail(row, 'inputs', `/in/${task}`);
    if (integer(3) === 0) this.#move(task, 'launched');
  }

  #detail(row: Columns, column: 'inputs' | 'memo_key', text: string): void {
    this.#feed.records.rare({ kind: 'details', task: row['task'] as number, columns: { [column]: text } });
    row[column] = text;
  }

  #advance(which: number): void {
    const task = this.#live[which] as number;
    for (let steps = 1 + this.#integer(4); steps > 0 && !isFinal(this.#states[task] as TaskState); steps--) {
      const next = mayFollow[this.#states[task] as TaskState] as readonly TaskState[];
      this.#move(task, next[this.#integer(next.length)] as TaskState);
    }
    if (!isFinal(this.#states[task] as TaskState)) return;
    this.#live[which] = this.#live.at(-1) as number;
    this.#live.pop();
  }

  #move(task: number, state: TaskState): void {
    const integer = this.#integer;
    const { records } = this.#feed;
    const row = this.tasks[task] as Columns;
    const from = this.#states[task] as TaskState;
    const at = Date.now();
    this.#states[task] = state;
    if (state === 'pending') Object.assign(row, ofTry, { try: (row['try'] as number) + 1 });
    const number = row['try'] as number;
    const place = state === 'launched' || state === 'running' ? integer(70_000) : undefined;
    let text = '';
    if (state === 'launched' && number === 0 && integer(5) === 0) this.#detail(row, 'memo_key', `k${task}`);
    if (state === 'joining' && task > 0 && !this.#joined.has(task)) {
      this.#joined.add(task);
      const needs = task + 1 + integer(9);
      records.rare({ kind: 'joins', task, needs: [needs] });
      this.edges.push(`${task} ${needs} join`);
    }
    if (state === 'failed' || state === 'dep_fail' || state === 'fail_retryable') {
      const final = state !== 'fail_retryable';
      const what = { kind: 'failure', code: 'APP', class: 'E', message: 'm', stack: null, root: null } as const;
      records.rare({ ...what, task, try: number, at, app: row['app'] as number, final });
      // A delay before the next try may be cancelled: then the task's failure stands in place of the try's.
      if (from === 'fail_retryable') this.failures.delete(`${task} ${number} false`);
      this.failures.add(`${task} ${number} ${final}`);
    }
    if (state === 'exec_done' && integer(3) > 0) text = `r${task}`;
    records.moved(task, row['app'] as number, at, taskStates[from], taskStates[state], number, place, text);
    row['state'] = taskStates[state];
    if (place !== undefined) row['place'] = place;
    if (text !== '') row['result'] = text;
    if (['launched', 'running', 'running_ended', 'joining'].includes(state)) row[state] = at;
    if (isFinal(state)) row['returned'] = at;
    if (state === 'fail_retryable') {
      const { place, launched, running, running_ended } = row;
      this.tries.push({ task, try: number, place, launched, running, running_ended, returned: at } as Columns);
    }
    const total = totalOf[state];
    if (total !== undefined) this.totals[total]++;
  }

  #print(): void {
    if (this.tasks.length === 0) return;
    const task = this.#integer(this.tasks.length);
    const text = 'x'.repeat(this.#integer(50));
    this.#feed.records.rare({ kind: 'output', task, stream: 'stdout', text });
    const known = this.outputs.get(String(task)) ?? { bytes: 0, text: '' };
    this.outputs.set(String(task), { bytes: known.bytes + text.length, text: known.text + text });
  }
}

class World {
  readonly path: string;
  readonly directory: string;
  readonly #kept: string;

  constructor(t: TestContext) {
    const folder = mkdtempSync(join(tmpdir(), 'chervil-interleaving-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    this.path = join(folder, 'monitoring.db');
    this.directory = join(folder, 'feed');
    this.#kept = join(folder, 'kept');
    mkdirSync(this.#kept);
  }

  get start(): WriterStart {
    const { path: database, directory: feed } = this;
    return { database, feed, run: runRow, batchMs: 1, batchRecords: 1_000_000, busyMs: 1_000, patienceMs: 1_000 };
  }

  keepFiles(): void {
    for (const name of readdirSync(this.directory)) copyFileSync(join(this.directory, name), join(this.#kept, name));
  }

  /** As if the writer had died behind its last transaction, before it deleted files. */
  undelete(): void {
    for (const name of readdirSync(this.#kept))
      if (!existsSync(join(this.directory, name))) copyFileSync(join(this.#kept, name), join(this.directory, name));
  }

  async check(tale: Tale, reason: 'closed' | 'lost'): Promise<void> {
    await using database = await openDatabase(this.path);
    const { db } = database;
    const runs = await db.selectFrom('runs').selectAll().execute();
    assert.equal(runs.length, 1);
    const { tasks, completed, memoized, failed, lost_events, end_reason } = runs[0] as (typeof runs)[0];
    assert.deepEqual({ tasks, completed, memoized, failed }, tale.totals);
    assert.deepEqual({ lost_events, end_reason }, { lost_events: 0, end_reason: reason });
    const columns = Object.keys(tale.tasks[0] as Columns) as 'task'[];
    const rows = await db.selectFrom('tasks').select(columns).orderBy('task').execute();
    assert.deepEqual(
      rows.map((row) => ({ ...row })),
      tale.tasks,
    );
    const tries = await db.selectFrom('tries').selectAll().orderBy('task').orderBy('try').execute();
    const sorted = tale.tries.toSorted(
      (a, b) => Number(a['task']) - Number(b['task']) || Number(a['try']) - Number(b['try']),
    );
    assert.deepEqual(
      tries.map(({ run: _, pid: __, ...row }) => row),
      sorted,
    );
    const failures = await db.selectFrom('failures').select(['task', 'try', 'final']).execute();
    assert.deepEqual(new Set(failures.map((one) => `${one.task} ${one.try} ${one.final === 1}`)), tale.failures);
    const edges = await db.selectFrom('edges').select(['task', 'needs', 'kind']).execute();
    assert.deepEqual(edges.map((one) => `${one.task} ${one.needs} ${one.kind}`).sort(), tale.edges.sort());
    const outputs = await db.selectFrom('output_tails').select(['task', 'bytes', 'text']).execute();
    assert.deepEqual(new Map(outputs.map(({ task, bytes, text }) => [String(task), { bytes, text }])), tale.outputs);
    const counted = new Map<string, number>();
    for (const row of tale.tasks)
      counted.set(`${row['app']} ${row['state']}`, (counted.get(`${row['app']} ${row['state']}`) ?? 0) + 1);
    const states = await db
      .selectFrom('app_states')
      .select(['app', 'state', 'tasks'])
      .where('tasks', '<>', 0)
      .execute();
    assert.deepEqual(new Map(states.map((one) => [`${one.app} ${one.state}`, one.tasks])), counted);
    const level = await db.selectFrom('levels').selectAll().orderBy('at', 'desc').executeTakeFirstOrThrow();
    for (const [name, number] of Object.entries(taskStates)) {
      const here = tale.tasks.filter(({ state }) => state === number).length;
      assert.equal(level[name as TaskState], here, `how many are ${name} in the end`);
    }
    assert.ok(!existsSync(this.directory), 'nothing is left of the feed');
  }
}

test('whatever is told, and whatever dies meanwhile, everything is in the database once', async (t) => {
  const integer = randomIntegers();
  for (let round = 0; round < 10; round++) {
    const world = new World(t);
    const feed = new Feed({
      directory: world.directory,
      segmentBytes: 500 + integer(20_000),
      mostSegments: 100_000,
      onWritten: () => {},
      onProblem: (text) => assert.fail(text),
    });
    const tale = new Tale(feed, integer);
    const isLost = integer(2) === 0;
    const size = 10 ** (1 + integer(3));
    for (let writers = integer(6); writers >= 0; writers--) {
      const isLast = writers === 0;
      tale.go(1 + integer(size));
      if (isLast) {
        if (!isLost) feed.records.rare({ kind: 'end', at: Date.now(), reason: 'closed' });
        feed.close();
        const file = readdirSync(world.directory).sort().at(-1);
        // A run that was killed wrote half of a record.
        if (isLost && file !== undefined)
          appendFileSync(join(world.directory, file), Buffer.from([40, 0, 0, 0, 1, 0, 7]));
      }
      let waits = integer(5);
      const start: WriterStart = {
        ...world.start,
        batchRecords: integer(2) === 0 ? 1_000_000 : 1 + integer(2 * size),
        manyRecords: integer(2) === 0 ? 0 : integer(size),
        holdMs: [0, 3, 30, 1_000_000][integer(4)] as number,
        mostHeld: [0, size, 1_000_000][integer(3)] as number,
        mostSegments: [3, 30, 1_000_000][integer(3)] as number,
      };
      world.keepFiles();
      const written = runWriter(start, {
        tell: (word) => assert.equal(word.say, 'ready', JSON.stringify(word)),
        isSourceGone: () => {
          if (!isLast && integer(20) === 0) throw new Error('killed');
          return isLast;
        },
        wait: async () => {
          if (!isLast && waits-- <= 0) throw new Error('killed');
          if (!isLast && integer(3) > 0) tale.go(1 + integer(size));
          world.keepFiles();
        },
      });
      if (isLast) await written;
      else await assert.rejects(written, /killed/);
      if (!isLast && integer(3) === 0) world.undelete();
    }
    await world.check(tale, isLost ? 'lost' : 'closed');
  }
});

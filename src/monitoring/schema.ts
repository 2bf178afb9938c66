// The monitoring database: every table, every index, and what has changed from version to version, in one place. The writer
// fills it, the dashboard and the command line read it; views.ts shows it under Parsl's names, as Parsl's readers expect it.
//
// Times are milliseconds since the epoch, in UTC. A run, an app, a place and a stage are numbers, given out in each run, so
// that the row of a task is short: a million of them are written in seconds and searched in milliseconds.
import { type Generated, type Kysely, type RawBuilder, sql } from 'kysely';
import { assertNever } from '../base/assert.ts';
import { taskStates } from '../task/state.ts';
import { createViews, dropViews, type Views } from './views.ts';

type Column = 'integer' | 'integer?' | 'real' | 'real?' | 'text' | 'text?' | 'serial';

interface Table {
  readonly columns: Readonly<Record<string, Column>>;
  /** A column `serial` is its own key. */
  readonly key?: readonly string[];
  /** By name: the columns, or the columns and the condition of a partial index. */
  readonly indexes?: Readonly<Record<string, readonly string[] | { on: readonly string[]; where: string }>>;
}

/** The tables. Columns with `?` may be null. */
export const tables = {
  /** One row for each load(). */
  runs: {
    columns: {
      run: 'serial',
      /** The id that all the world knows it by. */
      run_id: 'text',
      /** Name of the program, and when it began, unless told otherwise. */
      name: 'text',
      version: 'text',
      began: 'integer',
      /** Null while it goes on. */
      ended: 'integer?',
      /** `closed`, or `lost`: the program ended without closing its run. */
      end_reason: 'text?',
      host: 'text',
      user: 'text',
      directory: 'text',
      pid: 'integer',
      command: 'text?',
      chervil_version: 'text?',
      node_version: 'text?',
      /** Tasks submitted. */
      tasks: 'integer',
      /** Settled tasks: `exec_done`, `memo_done`, `failed` with `dep_fail`. */
      completed: 'integer',
      memoized: 'integer',
      failed: 'integer',
      /** Milliseconds between resource samples; 0: none. */
      sample_ms: 'integer',
      /** When the writer wrote last, and how old the newest of that was then: its lag, in milliseconds. */
      written: 'integer?',
      lag_ms: 'integer?',
      /** Events that were dropped because nothing could be written for too long. */
      lost_events: 'integer',
      /** How far the writer has come in the run's feed; and from where on tasks may be missing of which rows are still held back. */
      feed_segment: 'integer',
      feed_offset: 'integer',
      held_segment: 'integer',
      held_offset: 'integer',
    },
    indexes: { runs_run_id: ['run_id'], runs_began: ['began'] },
  },
  apps: {
    columns: { run: 'integer', app: 'integer', name: 'text', kind: 'text', memoize: 'integer' },
    key: ['run', 'app'],
  },
  stages: {
    columns: { run: 'integer', stage: 'integer', name: 'text', began: 'integer' },
    key: ['run', 'stage'],
  },
  /** Where tries run. First with the executor alone, when a try is launched; with the worker once it is known. */
  places: {
    columns: {
      run: 'integer',
      place: 'integer',
      executor: 'text',
      host: 'text?',
      block: 'text?',
      manager: 'text?',
      worker: 'text?',
    },
    key: ['run', 'place'],
  },
  /** One row a task. What belongs to a try is of its last one; those before stand in `tries`. */
  tasks: {
    columns: {
      run: 'integer',
      /** From 0, in the order of calls: so `invoked` grows with it. */
      task: 'integer',
      app: 'integer',
      /** Parsl's number: see taskStates in src/task/state.ts. */
      state: 'integer',
      /** Number of the last try, from 0. */
      try: 'integer',
      place: 'integer?',
      pid: 'integer?',
      invoked: 'integer',
      launched: 'integer?',
      running: 'integer?',
      running_ended: 'integer?',
      /** When the body of a join app had given what it joins. */
      joining: 'integer?',
      /** When it settled. */
      returned: 'integer?',
      /** The join task whose body called it. */
      parent: 'integer?',
      stage: 'integer?',
      memo_key: 'text?',
      /** Arguments and result, in short. */
      arguments: 'text?',
      result: 'text?',
      /** Paths, a line each. */
      inputs: 'text?',
      outputs: 'text?',
      stdout: 'text?',
      stderr: 'text?',
    },
    key: ['run', 'task'],
    indexes: {
      tasks_state: ['run', 'state', 'task'],
      tasks_app: ['run', 'app', 'task'],
      // What waits has no worker yet, and is not moved about in it.
      tasks_place: { on: ['run', 'place', 'running'], where: 'running is not null' },
      tasks_returned: { on: ['run', 'returned'], where: 'returned is not null' },
      tasks_parent: { on: ['run', 'parent'], where: 'parent is not null' },
      tasks_stage: { on: ['run', 'stage', 'task'], where: 'stage is not null' },
      tasks_memo_key: { on: ['run', 'memo_key'], where: 'memo_key is not null' },
    },
  },
  /** Tries that were followed by another. */
  tries: {
    columns: {
      run: 'integer',
      task: 'integer',
      try: 'integer',
      place: 'integer?',
      pid: 'integer?',
      launched: 'integer?',
      running: 'integer?',
      running_ended: 'integer?',
      returned: 'integer?',
    },
    key: ['run', 'task', 'try'],
    indexes: { tries_place: ['run', 'place', 'running'] },
  },
  /** How a try ended that did not end well. */
  failures: {
    columns: {
      run: 'integer',
      task: 'integer',
      try: 'integer',
      at: 'integer',
      app: 'integer',
      /** 1: the task failed with it; 0: another try followed. */
      final: 'integer',
      /** Of Chervil: `APP_ERROR`, `WORKER_LOST`, `DEPENDENCY`, … */
      code: 'text',
      /** Of the error that the app threw, or else of Chervil's. */
      class: 'text',
      /** The first 500 characters. */
      message: 'text',
      /** Where it was thrown, with the user's own lines where they are known. */
      stack: 'text?',
      /** For a consequence: the task with which it began, if it is known. */
      root_task: 'integer?',
    },
    key: ['run', 'task', 'try'],
    indexes: { failures_message: ['run', 'message'], failures_class: ['run', 'class', 'task'] },
  },
  /** Task `task` needs `needs`: as an argument, or because its body joined it. */
  edges: {
    columns: { run: 'integer', task: 'integer', needs: 'integer', kind: 'text' },
    key: ['run', 'task', 'needs'],
    indexes: { edges_needs: ['run', 'needs', 'task'] },
  },
  /** The end of what a task printed. */
  output_tails: {
    columns: { run: 'integer', task: 'integer', stream: 'text', bytes: 'integer', text: 'text' },
    key: ['run', 'task', 'stream'],
  },
  /** How many tasks of each app are in each state now. */
  app_states: {
    columns: { run: 'integer', app: 'integer', state: 'integer', tasks: 'integer' },
    key: ['run', 'app', 'state'],
  },
  /** How many tasks were in each state at the end of a second; one row for each second in which that changed. */
  levels: {
    columns: {
      run: 'integer',
      /** The second, in milliseconds: a multiple of 1000. */
      at: 'integer',
      pending: 'integer',
      launched: 'integer',
      running: 'integer',
      running_ended: 'integer',
      joining: 'integer',
      fail_retryable: 'integer',
      exec_done: 'integer',
      memo_done: 'integer',
      failed: 'integer',
      dep_fail: 'integer',
    },
    key: ['run', 'at'],
  },
  executors: {
    columns: {
      run: 'integer',
      executor: 'text',
      /** `threads`, `htex`, `inline`, or the name of its class. */
      kind: 'text',
      /** What it said of itself last, as JSON: workers, blocks, versions, addresses. */
      facts: 'text',
    },
    key: ['run', 'executor'],
  },
  /** How an executor stood: a row when something changed, at most one a second. */
  executor_samples: {
    columns: {
      run: 'integer',
      executor: 'text',
      at: 'integer',
      /** Tries that were given to it and are not answered. */
      outstanding: 'integer',
      /** Those of them that no worker has begun, as far as it is known. */
      queued: 'integer?',
      workers: 'integer?',
      busy: 'integer?',
      managers: 'integer?',
      blocks: 'integer?',
    },
    key: ['run', 'executor', 'at'],
  },
  /** Every change of a block. */
  block_events: {
    columns: {
      id: 'serial',
      run: 'integer',
      executor: 'text',
      block: 'text',
      at: 'integer',
      job: 'text?',
      /** Parsl's words: PENDING, RUNNING, COMPLETED, CANCELLED, FAILED, SCALED_IN, … */
      status: 'text',
      /** Why it was started or ended. */
      reason: 'text?',
      /** The end of what its job wrote to stderr, if it failed. */
      detail: 'text?',
    },
    indexes: { block_events_run: ['run', 'executor', 'block', 'at'] },
  },
  /** A manager's registration, its heartbeats and changes: the newest row is how it stands. */
  manager_events: {
    columns: {
      id: 'serial',
      run: 'integer',
      executor: 'text',
      manager: 'text',
      at: 'integer',
      host: 'text',
      block: 'text?',
      workers: 'integer',
      busy: 'integer?',
      cpus: 'integer?',
      memory_bytes: 'integer?',
      /** 0: it is gone, or draining. */
      active: 'integer',
      heartbeat: 'integer?',
      /** `node` or `python`, and its version. */
      runtime: 'text?',
      version: 'text?',
      /** Why it went, or what is unusual. */
      reason: 'text?',
    },
    indexes: { manager_events_run: ['run', 'executor', 'manager', 'at'] },
  },
  /** What a try used, with its children. Sums go from its beginning. */
  samples: {
    columns: {
      run: 'integer',
      task: 'integer',
      try: 'integer',
      at: 'integer',
      interval_ms: 'integer',
      pid: 'integer?',
      user_seconds: 'real?',
      system_seconds: 'real?',
      resident_bytes: 'integer?',
      virtual_bytes: 'integer?',
      memory_percent: 'real?',
      read_bytes: 'integer?',
      write_bytes: 'integer?',
      voluntary_switches: 'integer?',
      involuntary_switches: 'integer?',
      children: 'integer?',
      status: 'text?',
      cpu: 'text?',
    },
    key: ['run', 'task', 'try', 'at'],
    indexes: { samples_at: ['run', 'at'] },
  },
  /** Warnings and errors of the run's log, and what monitoring has to say of itself. */
  notices: {
    columns: { id: 'serial', run: 'integer', at: 'integer', level: 'text', text: 'text' },
    indexes: { notices_run: ['run', 'at'] },
  },
  /** One row: the version of the schema. */
  chervil_schema: { columns: { version: 'integer' } },
} as const satisfies Readonly<Record<string, Table>>;

type ValueOf<Of> = Of extends 'integer' | 'real'
  ? number
  : Of extends 'integer?' | 'real?'
    ? number | null
    : Of extends 'text'
      ? string
      : Of extends 'text?'
        ? string | null
        : Of extends 'serial'
          ? Generated<number>
          : never;

/** The tables, as kysely wants them: `Kysely<Schema>`. Selected rows are `Selectable<Schema['tasks']>`. */
export type Schema = {
  [Name in keyof typeof tables]: {
    [Key in keyof (typeof tables)[Name]['columns']]: ValueOf<(typeof tables)[Name]['columns'][Key]>;
  };
} & Views;

export type Dialect = 'sqlite' | 'postgres';

/** Names of states by their number. */
export const stateNames: ReadonlyMap<number, keyof typeof taskStates> = new Map(
  Object.entries(taskStates).map(([name, number]) => [number, name as keyof typeof taskStates]),
);

/**
 * Each takes a database from the version before to its own, and is never changed once it is released. Views are made anew
 * after the last one.
 */
export const migrations: readonly ((db: Kysely<Schema>, dialect: Dialect) => Promise<void>)[] = [
  async function first(db, dialect) {
    for (const [name, table] of Object.entries(tables)) await createTable(db, dialect, name, table);
    await db.insertInto('chervil_schema').values({ version: 0 }).execute();
  },
  async function holdsBack(db, dialect) {
    // What `first` makes today has all of this.
    if (await hasColumn(db, dialect, 'runs', 'held_segment')) return;
    for (const column of ['held_segment', 'held_offset'])
      await sql`alter table runs add column ${sql.ref(column)} ${sqlType('integer', dialect)} not null default 0`.execute(
        db,
      );
    await sql`update runs set held_segment = feed_segment, held_offset = feed_offset`.execute(db);
    await sql`drop index tasks_place`.execute(db);
    await createIndex(db, 'tasks', 'tasks_place', tables.tasks.indexes.tasks_place);
  },
];

/**
 * From this version on tables are read as they are, also where nobody may write: what came later is for the writer alone. A
 * migration without which readers go wrong raises it to its own version.
 */
export const oldestRead = 1;

async function hasColumn(db: Kysely<Schema>, dialect: Dialect, table: string, column: string): Promise<boolean> {
  const { rows } =
    dialect === 'sqlite'
      ? await sql`select name from pragma_table_info(${table}) where name = ${column}`.execute(db)
      : await sql`select column_name from information_schema.columns
          where table_schema = current_schema() and table_name = ${table} and column_name = ${column}`.execute(db);
  return rows.length > 0;
}

/** Brings the tables to the newest version. Inside a transaction that nobody else can be in: see migrate.ts. */
export async function applyMigrations(db: Kysely<Schema>, dialect: Dialect, from: number): Promise<void> {
  if (from > 0) await dropViews(db);
  for (const migration of migrations.slice(from)) await migration(db, dialect);
  await createViews(db, dialect);
  await db.updateTable('chervil_schema').set({ version: migrations.length }).execute();
}

async function createTable(db: Kysely<Schema>, dialect: Dialect, name: string, table: Table): Promise<void> {
  let builder = db.schema.createTable(name);
  for (const [column, type] of Object.entries(table.columns)) {
    const isSerial = type === 'serial';
    builder = builder.addColumn(column, sqlType(type, dialect), (of) => {
      if (!isSerial) return type.endsWith('?') ? of : of.notNull();
      return dialect === 'sqlite' ? of.primaryKey().autoIncrement() : of.primaryKey();
    });
  }
  if (table.key !== undefined) builder = builder.addPrimaryKeyConstraint(`${name}_key`, [...table.key] as never);
  // The rows stand in the tree of the key itself: one tree less to write.
  if (table.key !== undefined && dialect === 'sqlite') builder = builder.modifyEnd(sql`without rowid`);
  await builder.execute();
  for (const [index, given] of Object.entries(table.indexes ?? {})) await createIndex(db, name, index, given);
}

type Index = NonNullable<Table['indexes']>[string];

async function createIndex(db: Kysely<Schema>, table: string, index: string, given: Index): Promise<void> {
  const { on, where } = 'on' in given ? given : { on: given, where: undefined };
  await sql`create ${sql.raw(unique.includes(index) ? 'unique index' : 'index')} ${sql.ref(index)} on ${sql.table(table)}
    (${sql.join(on.map((column) => sql.ref(column)))}) ${sql.raw(where === undefined ? '' : `where ${where}`)}`.execute(
    db,
  );
}

const unique: readonly string[] = ['runs_run_id'];

/** PostgreSQL compares text by bytes here, as SQLite does: then one index serves order and prefixes in both. */
function sqlType(type: Column, dialect: Dialect): RawBuilder<unknown> {
  switch (type) {
    case 'serial':
      return sql.raw(dialect === 'sqlite' ? 'integer' : 'bigserial');
    case 'integer':
    case 'integer?':
      return sql.raw(dialect === 'sqlite' ? 'integer' : 'bigint');
    case 'real':
    case 'real?':
      return sql.raw(dialect === 'sqlite' ? 'real' : 'double precision');
    case 'text':
    case 'text?':
      return sql.raw(dialect === 'sqlite' ? 'text' : 'text collate "C"');
    default:
      return assertNever(type);
  }
}

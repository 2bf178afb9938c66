// A database of Python Parsl, copied into tables of ours, in a file that is deleted at the end: so the dashboard has one set of
// queries, and they are as fast as for ours. Runs that are over are copied once, those that go on when something has changed.
// Called by source.ts.
//
// Parsl's tables have changed from version to version: a table or column that is missing is as one without values. What they
// never tell, which worker of a host had a task, is made up: of the workers that a host must have had, the first that was free.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import { Heap } from '../base/heap.ts';
import { type MonitoringDatabase, openDatabase } from '../monitoring/database.ts';
import type { Schema, tables } from '../monitoring/schema.ts';
import type { SqliteConnection } from '../monitoring/sqlite.ts';
import { taskStates } from '../task/state.ts';
import type { Opened } from './source.ts';

type Row = Readonly<Record<string, unknown>>;
type Value = number | string | null;

/** Tasks at a time: each has several rows. */
const portion = 10_000;

export async function copyOfParsl(parsl: MonitoringDatabase): Promise<Opened> {
  const directory = mkdtempSync(join(tmpdir(), 'chervil-monitor-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  const path = join(directory, 'copy.db');
  const copy = await openDatabase(path, { mode: 'write' });
  // It can be made again: nothing needs to be safe.
  copy.sqlite?.exec('pragma synchronous = off');
  const copier = new Copier(parsl, copy);
  const close = async (): Promise<void> => {
    await copy.close();
    process.off('exit', remove);
    remove();
  };
  try {
    await copier.refresh();
  } catch (error) {
    await close();
    throw error;
  }
  // By another connection than the one that writes: a run that is being copied again is seen as it was before.
  const shown = await openDatabase(path);
  return {
    db: shown.db,
    name: parsl.name,
    madeBy: 'parsl',
    notes: [...parsl.notes, 'Python Parsl made this database: it names hosts, but not the worker that ran a task.'],
    refresh: () => copier.refresh(),
    close: async () => {
      await parsl.close();
      await shown.close();
      await close();
    },
  };
}

class Copier {
  readonly #from: Kysely<Schema>;
  readonly #dialect: MonitoringDatabase['dialect'];
  readonly #to: Writer;
  readonly #copied = new Map<string, { run: number; signature: string }>();
  #tables: ReadonlySet<string> = new Set();
  #version = '';
  #under: Promise<void> | undefined;
  #notBefore = 0;

  constructor(from: MonitoringDatabase, to: MonitoringDatabase) {
    this.#from = from.db;
    this.#dialect = from.dialect;
    this.#to = new Writer(to.sqlite as SqliteConnection);
  }

  refresh(): Promise<void> {
    if (this.#under !== undefined) return this.#under;
    if (performance.now() < this.#notBefore) return Promise.resolve();
    this.#under = this.#refresh().finally(() => {
      this.#under = undefined;
    });
    return this.#under;
  }

  async #refresh(): Promise<void> {
    const startedAt = performance.now();
    const version = await this.#versionNow();
    if (version === this.#version) return;
    this.#tables = await this.#tableNames();
    for (const workflow of await this.#rows('workflow', sql`1 = 1`)) {
      const id = String(workflow['run_id']);
      const known = this.#copied.get(id);
      const isOver = workflow['time_completed'] !== null && workflow['time_completed'] !== undefined;
      const signature = JSON.stringify(workflow);
      if (known !== undefined && isOver && known.signature === signature) continue;
      await this.#copyRun(workflow, id, known?.run);
      this.#copied.set(id, { run: this.#to.runNumber(id), signature });
    }
    this.#version = version;
    this.#notBefore = performance.now() + Math.max(900, 5 * (performance.now() - startedAt));
  }

  /** Another text when something was written. */
  async #versionNow(): Promise<string> {
    if (this.#dialect === 'sqlite') return JSON.stringify((await sql`pragma data_version`.execute(this.#from)).rows);
    const found = await sql`select count(*) as n, max(timestamp) as at from status`.execute(this.#from);
    const runs = await sql`select count(*) as n, max(time_completed) as at from workflow`.execute(this.#from);
    return JSON.stringify([found.rows, runs.rows]);
  }

  async #tableNames(): Promise<ReadonlySet<string>> {
    const { rows } =
      this.#dialect === 'sqlite'
        ? await sql<{ name: string }>`select name from sqlite_master where type in ('table', 'view')`.execute(
            this.#from,
          )
        : await sql<{ name: string }>`
            select table_name as name from information_schema.tables where table_schema = current_schema()`.execute(
            this.#from,
          );
    return new Set(rows.map(({ name }) => name));
  }

  async #rows(table: string, where: ReturnType<typeof sql>): Promise<readonly Row[]> {
    if (!this.#tables.has(table)) return [];
    return ((await sql`select * from ${sql.table(table)} where ${where}`.execute(this.#from)) as { rows: Row[] }).rows;
  }

  async #copyRun(workflow: Row, id: string, before: number | undefined): Promise<void> {
    const ofRun = sql`run_id = ${id}`;
    const nodes = await this.#rows('node', ofRun);
    const blocks = await this.#rows('block', ofRun);
    const lanes = this.#lanes(await this.#rows('try', ofRun));
    const last = this.#tables.has('task')
      ? (await sql<{ last: number | null }>`select max(task_id) as last from task where ${ofRun}`.execute(this.#from))
          .rows[0]?.last
      : null;
    const into = this.#to;
    into.begin();
    try {
      if (before !== undefined) into.forget(before);
      const run = new RunCopy(into, workflow, id, before, lanes);
      for (let from = 0; from <= Number(last ?? -1); from += portion) {
        const part = sql`run_id = ${id} and task_id >= ${from} and task_id < ${from + portion}`;
        run.addTasks(
          await this.#rows('task', part),
          grouped(await this.#rows('status', part)),
          grouped(await this.#rows('try', part)),
        );
        run.addSamples(await this.#rows('resource', part));
        // Before there is anything to show nobody asks in between, and Ctrl-C must be heard.
        if (this.#version === '') await new Promise(setImmediate);
      }
      run.finish(nodes, blocks);
      into.commit();
    } catch (error) {
      into.rollback();
      throw error;
    }
  }

  /** A made-up worker for each try: `task/try` to its number on the host. */
  #lanes(tries: readonly Row[]): Map<string, number> {
    const spans = tries
      .flatMap((row) => {
        const from = time(row['task_try_time_running']);
        const to = time(row['task_try_time_returned']) ?? Number.MAX_SAFE_INTEGER;
        const key = `${row['task_id']}/${row['try_id']}`;
        return from === null ? [] : [{ key, from, to, place: `${row['task_executor']}\n${row['hostname']}` }];
      })
      .sort((a, b) => a.from - b.from);
    const byPlace = new Map<string, Workers>();
    const lanes = new Map<string, number>();
    for (const { key, from, to, place } of spans) {
      const own = byPlace.get(place) ?? new Workers();
      byPlace.set(place, own);
      lanes.set(key, own.take(from, to));
    }
    return lanes;
  }
}

/** The made-up workers of one host, or of all where no host is known: then they may be thousands. */
class Workers {
  readonly #busy = new Heap<{ readonly number: number; readonly until: number }>((a, b) => a.until < b.until);
  readonly #free = new Heap<number>((a, b) => a < b);
  #count = 0;

  /** The first that is free at `from`, which never goes back; it is busy up to `to` then. */
  take(from: number, to: number): number {
    for (let next = this.#busy.peek(); next !== undefined && next.until <= from; next = this.#busy.peek()) {
      this.#busy.pop();
      this.#free.push(next.number);
    }
    const number = this.#free.pop() ?? this.#count++;
    this.#busy.push({ number, until: to });
    return number;
  }
}

/** Rows of one task each. */
function grouped(rows: readonly Row[]): Map<number, Row[]> {
  const groups = new Map<number, Row[]>();
  for (const row of rows) {
    const task = Number(row['task_id']);
    const group = groups.get(task);
    if (group === undefined) groups.set(task, [row]);
    else group.push(row);
  }
  return groups;
}

/** Copies one run, table by table. */
class RunCopy {
  readonly #into: Writer;
  readonly #run: number;
  readonly #lanes: ReadonlyMap<string, number>;
  readonly #apps = new Map<string, number>();
  readonly #places = new Map<string, number>();
  readonly #counts = new Map<string, number>();
  readonly #changes = new Map<number, Map<number, number>>();
  #tasks = 0;
  #newest: number;
  #sampleMs = 0;

  constructor(into: Writer, workflow: Row, id: string, number: number | undefined, lanes: ReadonlyMap<string, number>) {
    this.#into = into;
    this.#lanes = lanes;
    const began = time(workflow['time_began']) ?? 0;
    const ended = time(workflow['time_completed']);
    this.#newest = began;
    this.#run = into.insert('runs', {
      ...(number === undefined ? {} : { run: number }),
      run_id: id,
      name: text(workflow['workflow_name']) ?? id,
      version: text(workflow['workflow_version']) ?? '',
      began,
      ended,
      end_reason: ended === null ? null : 'closed',
      host: text(workflow['host']) ?? '',
      user: text(workflow['user']) ?? '',
      directory: text(workflow['rundir']) ?? '',
      pid: 0,
      tasks: 0,
      completed: 0,
      memoized: 0,
      failed: 0,
      sample_ms: 0,
      lost_events: 0,
      feed_segment: 0,
      feed_offset: 0,
      held_segment: 0,
      held_offset: 0,
    });
  }

  addTasks(tasks: readonly Row[], statuses: ReadonlyMap<number, Row[]>, tries: ReadonlyMap<number, Row[]>): void {
    for (const task of tasks) {
      const id = Number(task['task_id']);
      this.#addTask(id, task, statuses.get(id) ?? [], tries.get(id) ?? []);
    }
  }

  #addTask(id: number, task: Row, statuses: readonly Row[], tries: readonly Row[]): void {
    const run = this.#run;
    const history = statuses
      .map((row) => ({
        state: taskStates[String(row['task_status_name']) as keyof typeof taskStates],
        at: time(row['timestamp']) ?? 0,
        try: Number(row['try_id'] ?? 0),
      }))
      .filter(({ state }) => state !== undefined)
      .sort((a, b) => a.at - b.at);
    const finals: readonly number[] = [
      taskStates.exec_done,
      taskStates.memo_done,
      taskStates.failed,
      taskStates.dep_fail,
    ];
    const state =
      (history.findLast((one) => finals.includes(one.state)) ?? history.at(-1))?.state ?? taskStates.pending;
    const isFinal = finals.includes(state);
    const ordered = [...tries].sort((a, b) => Number(a['try_id']) - Number(b['try_id']));
    const last = ordered.at(-1);
    const invoked = time(task['task_time_invoked']) ?? history[0]?.at ?? 0;
    const returned = time(task['task_time_returned']) ?? (isFinal ? (history.at(-1)?.at ?? null) : null);
    const timeOf = (name: keyof typeof taskStates, tryNumber: number): number | null =>
      history.findLast((one) => one.state === taskStates[name] && one.try === tryNumber)?.at ?? null;
    const timesOf = (row: Row | undefined) => {
      const number = Number(row?.['try_id'] ?? 0);
      return {
        try: number,
        place: row === undefined ? null : this.#placeOf(row, `${id}/${number}`),
        launched: time(row?.['task_try_time_launched']) ?? timeOf('launched', number),
        running: time(row?.['task_try_time_running']) ?? timeOf('running', number),
        running_ended: timeOf('running_ended', number),
      };
    };
    const app = this.#appOf(text(task['task_func_name']) ?? '?', text(task['task_memoize']) === '1');
    const lastTimes = timesOf(last);
    this.#into.insert('tasks', {
      run,
      task: id,
      app,
      state,
      ...lastTimes,
      invoked,
      returned: isFinal ? returned : null,
      joining: timeOf('joining', lastTimes.try),
      memo_key: text(task['task_hashsum']),
      arguments: shown(task),
      stdout: text(task['task_stdout']),
      stderr: text(task['task_stderr']),
    });
    for (const row of ordered.slice(0, -1)) {
      this.#into.insert('tries', { run, task: id, ...timesOf(row), returned: time(row['task_try_time_returned']) });
      this.#addFailure(id, app, row, false);
    }
    if (state === taskStates.failed || state === taskStates.dep_fail)
      this.#addFailure(id, app, last ?? { try_id: 0 }, true, state === taskStates.dep_fail);
    for (const needs of numbers(task['task_depends'])) this.#into.addEdge(run, id, needs, 'argument');
    for (const needs of numbers(last?.['task_joins'])) this.#into.addEdge(run, id, needs, 'join');
    this.#tasks++;
    this.#counts.set(`${app} ${state}`, (this.#counts.get(`${app} ${state}`) ?? 0) + 1);
    this.#addChanges(history, state);
    this.#newest = Math.max(this.#newest, history.at(-1)?.at ?? 0);
  }

  #addFailure(task: number, app: number, row: Row, isFinal: boolean, isDependency = false): void {
    const history = text(row['task_fail_history']) ?? '';
    const match = /^(\w+)\((['"]?)([\s\S]*?)\2,?\)$/.exec(history);
    const root = isDependency ? rootOf(history) : undefined;
    this.#into.insert('failures', {
      run: this.#run,
      task,
      try: Number(row['try_id'] ?? 0),
      at: time(row['task_try_time_returned']) ?? 0,
      app,
      final: isFinal ? 1 : 0,
      code: isDependency ? 'DEPENDENCY' : 'APP_ERROR',
      class: match?.[1] ?? (isDependency ? 'DependencyError' : 'Exception'),
      message:
        root !== undefined
          ? `task ${root.task} failed: ${root.error}`
          : (match?.[3] ?? (history === '' ? 'Parsl did not note why' : history)),
      root_task: root?.task ?? null,
    });
  }

  #appOf(name: string, isMemoized: boolean): number {
    const known = this.#apps.get(name);
    if (known !== undefined) return known;
    const app = this.#apps.size;
    this.#apps.set(name, app);
    this.#into.insert('apps', { run: this.#run, app, name, kind: 'python', memoize: isMemoized ? 1 : 0 });
    return app;
  }

  #placeOf(row: Row, key: string): number | null {
    const executor = text(row['task_executor']);
    if (executor === null) return null;
    const host = text(row['hostname']);
    const block = text(row['block_id']);
    const lane = this.#lanes.get(key);
    const name = [executor, host, block, lane].join('\n');
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    const place = this.#places.size;
    this.#places.set(name, place);
    const worker = lane === undefined ? null : String(lane);
    this.#into.insert('places', { run: this.#run, place, executor, host, block, worker });
    return place;
  }

  #addChanges(history: readonly { state: number; at: number }[], final: number): void {
    let before: number | undefined;
    for (const { state, at } of history) {
      const second = Math.floor(at / 1_000) * 1_000;
      const change = this.#changes.get(second) ?? new Map<number, number>();
      this.#changes.set(second, change);
      if (before !== undefined) change.set(before, (change.get(before) ?? 0) - 1);
      change.set(state, (change.get(state) ?? 0) + 1);
      before = state;
      // Times of the worker and of the submitter may be out of order by a little.
      if (state === final) break;
    }
  }

  addSamples(rows: readonly Row[]): void {
    const number = (value: unknown): number | null => (value === null || value === undefined ? null : Number(value));
    for (const row of rows) {
      // A long task says nothing else while it runs.
      this.#newest = Math.max(this.#newest, time(row['timestamp']) ?? 0);
      this.#sampleMs = Math.max(this.#sampleMs, 1_000 * Number(row['resource_monitoring_interval'] ?? 1));
      this.#into.insertOrIgnore('samples', {
        run: this.#run,
        task: Number(row['task_id']),
        try: Number(row['try_id'] ?? 0),
        at: time(row['timestamp']) ?? 0,
        interval_ms: Math.round(1_000 * Number(row['resource_monitoring_interval'] ?? 0)),
        pid: number(row['psutil_process_pid']),
        user_seconds: number(row['psutil_process_time_user']),
        system_seconds: number(row['psutil_process_time_system']),
        resident_bytes: number(row['psutil_process_memory_resident']),
        virtual_bytes: number(row['psutil_process_memory_virtual']),
        memory_percent: number(row['psutil_process_memory_percent']),
        read_bytes: number(row['psutil_process_disk_read']),
        write_bytes: number(row['psutil_process_disk_write']),
        voluntary_switches: number(row['psutil_process_num_ctx_switches_voluntary']),
        involuntary_switches: number(row['psutil_process_num_ctx_switches_involuntary']),
        children: number(row['psutil_process_children_count']),
        status: text(row['psutil_process_status']),
        cpu: text(row['psutil_cpu_num']),
      });
    }
  }

  finish(nodes: readonly Row[], blocks: readonly Row[]): void {
    const run = this.#run;
    const byState = (state: number): number =>
      [...this.#counts].reduce((sum, [key, n]) => sum + (key.endsWith(` ${state}`) ? n : 0), 0);
    for (const [key, tasks] of this.#counts) {
      const [app = 0, state = 0] = key.split(' ').map(Number);
      this.#into.insert('app_states', { run, app, state, tasks });
    }
    const executorOf = new Map(blocks.map((row) => [text(row['block_id']), text(row['executor_label'])]));
    for (const row of blocks)
      this.#into.insert('block_events', {
        run,
        executor: text(row['executor_label']) ?? '?',
        block: text(row['block_id']) ?? '?',
        at: time(row['timestamp']) ?? 0,
        job: text(row['job_id']),
        status: text(row['status']) ?? '?',
      });
    for (const row of [...nodes].sort((a, b) => (time(a['timestamp']) ?? 0) - (time(b['timestamp']) ?? 0)))
      this.#into.insert('manager_events', {
        run,
        executor: executorOf.get(text(row['block_id'])) ?? 'htex',
        manager: text(row['uid']) ?? '?',
        at: time(row['timestamp']) ?? 0,
        host: text(row['hostname']) ?? '?',
        block: text(row['block_id']),
        workers: Number(row['worker_count'] ?? 0),
        cpus: row['cpu_count'] === null || row['cpu_count'] === undefined ? null : Number(row['cpu_count']),
        memory_bytes:
          row['total_memory'] === null || row['total_memory'] === undefined ? null : Number(row['total_memory']),
        active: row['active'] === true || Number(row['active']) === 1 ? 1 : 0,
        heartbeat: time(row['last_heartbeat']),
        runtime: 'python',
        version: text(row['python_v']),
      });
    this.#addLevels(nodes, executorOf.values().next().value ?? 'htex');
    this.#into.update(run, {
      tasks: this.#tasks,
      completed: byState(taskStates.exec_done),
      memoized: byState(taskStates.memo_done),
      failed: byState(taskStates.failed) + byState(taskStates.dep_fail),
      sample_ms: this.#sampleMs,
      written: this.#newest,
    });
  }

  #addLevels(nodes: readonly Row[], executor: string): void {
    const capacity = nodes
      .map((row) => ({
        at: time(row['timestamp']) ?? 0,
        manager: text(row['uid']) ?? '',
        workers: row['active'] === true || Number(row['active']) === 1 ? Number(row['worker_count'] ?? 0) : 0,
      }))
      .sort((a, b) => a.at - b.at);
    const workers = new Map<string, number>();
    const level = new Map<number, number>();
    let next = 0;
    for (const [at, change] of [...this.#changes].sort(([a], [b]) => a - b)) {
      for (const [state, by] of change) level.set(state, (level.get(state) ?? 0) + by);
      const row: Record<string, number> = { run: this.#run, at };
      for (const [name, state] of Object.entries(taskStates)) row[name] = Math.max(0, level.get(state) ?? 0);
      this.#into.insert('levels', row);
      if (capacity.length === 0) continue;
      for (; next < capacity.length && (capacity[next] as { at: number }).at <= at + 1_000; next++) {
        const one = capacity[next] as (typeof capacity)[number];
        workers.set(one.manager, one.workers);
      }
      const total = [...workers.values()].reduce((sum, n) => sum + n, 0);
      const running = level.get(taskStates.running) ?? 0;
      this.#into.insert('executor_samples', {
        run: this.#run,
        executor,
        at,
        outstanding: running + (level.get(taskStates.launched) ?? 0),
        queued: level.get(taskStates.launched) ?? 0,
        workers: total,
        busy: Math.min(total, running),
        managers: [...workers.values()].filter((n) => n > 0).length,
      });
    }
  }
}

/** Statements of the copy, each prepared once. */
class Writer {
  readonly #sqlite: SqliteConnection;
  readonly #statements = new Map<string, ReturnType<SqliteConnection['prepare']>>();

  constructor(sqlite: SqliteConnection) {
    this.#sqlite = sqlite;
  }

  begin(): void {
    this.#sqlite.exec('begin');
  }

  commit(): void {
    this.#sqlite.exec('commit');
  }

  rollback(): void {
    this.#sqlite.exec('rollback');
  }

  runNumber(id: string): number {
    const rows = this.#sqlite.prepare('select run from runs where run_id = ?').all([id]) as { run: number }[];
    return Number(rows[0]?.run ?? 0);
  }

  forget(run: number): void {
    for (const table of forgotten) this.#sqlite.exec(`delete from ${table} where run = ${run}`);
  }

  insert(table: keyof typeof tables, row: Readonly<Record<string, Value>>, how = 'insert'): number {
    const names = Object.keys(row);
    const key = `${how} ${table} ${names.join()}`;
    let statement = this.#statements.get(key);
    if (statement === undefined) {
      const columns = names.map((name) => `"${name}"`).join();
      statement = this.#sqlite.prepare(`${how} into "${table}" (${columns}) values (${names.map(() => '?').join()})`);
      this.#statements.set(key, statement);
    }
    return Number(statement.run(Object.values(row)).lastInsertRowid);
  }

  insertOrIgnore(table: keyof typeof tables, row: Readonly<Record<string, Value>>): void {
    this.insert(table, row, 'insert or ignore');
  }

  addEdge(run: number, task: number, needs: number, kind: string): void {
    this.insertOrIgnore('edges', { run, task, needs, kind });
  }

  update(run: number, values: Readonly<Record<string, Value>>): void {
    const names = Object.keys(values);
    this.#sqlite
      .prepare(`update runs set ${names.map((name) => `${name} = ?`).join()} where run = ?`)
      .run([...Object.values(values), run]);
  }
}

const forgotten = [
  'runs',
  'apps',
  'places',
  'tasks',
  'tries',
  'failures',
  'edges',
  'app_states',
  'levels',
  'executor_samples',
  'block_events',
  'manager_events',
  'samples',
] as const satisfies (keyof typeof tables)[];

function text(value: unknown): string | null {
  return value === null || value === undefined || value === '' ? null : String(value);
}

/** Of its arguments Parsl notes two, as Python shows them. */
function shown(task: Row): string | null {
  const parts = ['inputs', 'outputs'].flatMap((name) => {
    const value = text(task[`task_${name}`]);
    return value === null || value === 'None' || value === '[]' ? [] : [`${name}=${value}`];
  });
  return parts.length === 0 ? null : parts.join(', ').slice(0, 200);
}

/** Of `DependencyError([(ValueError('no data'), 'task 6')], 7)`, or such within such, the task with which it began. */
function rootOf(history: string): { readonly task: number; readonly error: string } | undefined {
  const found = /, 'task (\d+)'\)/.exec(history);
  if (found === null) return undefined;
  const before = history.slice(0, found.index);
  return { task: Number(found[1]), error: before.slice(before.lastIndexOf('[(') + 2) };
}

/** Parsl writes times as the clock of its machine showed them; this one is taken to show the same. */
function time(value: unknown): number | null {
  if (value === null || value === undefined || value === '') return null;
  if (value instanceof Date) return value.getTime();
  if (typeof value === 'number') return value * 1_000;
  const parsed = Date.parse(
    String(value)
      .replace(' ', 'T')
      .replace(/(\.\d{3})\d+/, '$1'),
  );
  return Number.isNaN(parsed) ? null : parsed;
}

function numbers(list: unknown): number[] {
  return String(list ?? '')
    .split(',')
    .filter((part) => /^\s*\d+\s*$/.test(part))
    .map(Number);
}

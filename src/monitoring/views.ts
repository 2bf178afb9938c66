// Parsl's tables, with its names and columns, as views of ours: its own visualizer, and scripts written for its database,
// read them as they are. Parsl writes a time as its machine's wall clock shows it, so these views do, too.
//
// docs/monitoring.md tells what they hold; nothing is stored for them.
import { type Kysely, sql } from 'kysely';
import { taskStates } from '../task/state.ts';
import type { Dialect, Schema } from './schema.ts';

/** What the views give. A time is text in SQLite, and a Date from PostgreSQL. */
export interface Views {
  workflow: {
    run_id: string;
    workflow_name: string;
    workflow_version: string;
    time_began: Time;
    time_completed: Time | null;
    host: string;
    user: string;
    rundir: string;
    tasks_failed_count: number;
    tasks_completed_count: number;
  };
  task: {
    task_id: number;
    run_id: string;
    task_depends: string;
    task_func_name: string;
    task_memoize: string;
    task_hashsum: string | null;
    task_inputs: string;
    task_outputs: string;
    task_stdin: string;
    task_stdout: string;
    task_stderr: string;
    task_time_invoked: Time;
    task_time_returned: Time | null;
    task_fail_count: number;
    task_fail_cost: number;
  };
  try: {
    try_id: number;
    task_id: number;
    run_id: string;
    block_id: string | null;
    hostname: string | null;
    task_executor: string;
    task_try_time_launched: Time | null;
    task_try_time_running: Time | null;
    task_try_time_returned: Time | null;
    task_fail_history: string;
    task_joins: string;
  };
  status: {
    task_id: number;
    task_status_name: string;
    timestamp: Time;
    run_id: string;
    try_id: number;
  };
  resource: {
    try_id: number;
    task_id: number;
    run_id: string;
    timestamp: Time;
    resource_monitoring_interval: number;
    psutil_process_pid: number | null;
    psutil_process_memory_percent: number | null;
    psutil_process_children_count: number | null;
    psutil_process_time_user: number | null;
    psutil_process_time_system: number | null;
    psutil_process_memory_virtual: number | null;
    psutil_process_memory_resident: number | null;
    psutil_process_disk_read: number | null;
    psutil_process_disk_write: number | null;
    psutil_process_status: string | null;
    psutil_cpu_num: string | null;
    psutil_process_num_ctx_switches_voluntary: number | null;
    psutil_process_num_ctx_switches_involuntary: number | null;
  };
  block: {
    run_id: string;
    executor_label: string;
    block_id: string;
    job_id: string | null;
    timestamp: Time;
    status: string;
  };
  node: {
    id: number;
    run_id: string;
    hostname: string;
    uid: string;
    block_id: string | null;
    cpu_count: number | null;
    total_memory: number | null;
    active: number | boolean;
    worker_count: number;
    python_v: string | null;
    timestamp: Time;
    last_heartbeat: Time | null;
  };
}
type Time = string | Date;

const names = ['workflow', 'task', 'try', 'status', 'resource', 'block', 'node'] as const satisfies (keyof Views)[];

export async function dropViews(db: Kysely<Schema>): Promise<void> {
  for (const name of [...names].reverse()) await db.schema.dropView(name).ifExists().execute();
}

/** Makes every view. There must be none. */
export async function createViews(db: Kysely<Schema>, dialect: Dialect): Promise<void> {
  const definitions = viewDefinitions(dialect === 'sqlite' ? sqliteWords : postgresWords);
  for (const name of names) await sql`create view ${sql.ref(name)} as ${sql.raw(definitions[name])}`.execute(db);
}

/** What the two dialects say in different words. */
interface Words {
  /** Milliseconds as a time of the wall clock. */
  readonly time: (milliseconds: string) => string;
  /** All values of `value`, in order, between commas. */
  readonly list: (value: string, from: string, order: string) => string;
  readonly boolean: (value: string) => string;
}

const sqliteWords: Words = {
  time: (ms) => `strftime('%Y-%m-%d %H:%M:%f000', ${ms} / 1000.0, 'unixepoch', 'localtime')`,
  list: (value, from, order) =>
    `coalesce((select group_concat(v, ',') from (select ${value} as v from ${from} order by ${order})), '')`,
  boolean: (value) => value,
};

const postgresWords: Words = {
  time: (ms) => `to_timestamp(${ms} / 1000.0)::timestamp`,
  list: (value, from, order) =>
    `coalesce((select string_agg((${value})::text, ',' order by ${order}) from ${from}), '')`,
  boolean: (value) => `(${value} <> 0)`,
};

const stateName = `case t.state ${Object.entries(taskStates)
  .map(([name, number]) => `when ${number} then '${name}'`)
  .join(' ')} end`;
const { exec_done, memo_done, failed, dep_fail } = taskStates;
const isFinal = `t.state in (${[exec_done, memo_done, failed, dep_fail].join(', ')})`;

function viewDefinitions({ time, list, boolean }: Words): Record<keyof Views, string> {
  /** One state that a task, or an earlier try of it, went through. */
  const passed = (from: 'tasks' | 'tries', name: string, at: string, where = `t.${at} is not null`): string =>
    `select t.task as task_id, ${name} as task_status_name, ${time(`t.${at}`)} as "timestamp", r.run_id, t.try as try_id
     from runs r join ${from} t on t.run = r.run where ${where}`;
  const tryColumns = (
    joins: string,
  ): string => `t.try as try_id, t.task as task_id, r.run_id, p.block as block_id, p.host as hostname,
     coalesce(p.executor, '') as task_executor, ${time('t.launched')} as task_try_time_launched,
     ${time('t.running')} as task_try_time_running, ${time('t.returned')} as task_try_time_returned,
     ${list('f.message', 'failures f where f.run = t.run and f.task = t.task and f.try < t.try', 'f.try')} as task_fail_history, ${joins} as task_joins`;
  const edges = (kind: string): string =>
    list('e.needs', `edges e where e.run = t.run and e.task = t.task and e.kind = '${kind}'`, 'e.needs');
  return {
    workflow: `select run_id, name as workflow_name, version as workflow_version, ${time('began')} as time_began,
      ${time('ended')} as time_completed, host, "user", directory as rundir, failed as tasks_failed_count,
      completed as tasks_completed_count from runs`,
    task: `select t.task as task_id, r.run_id, ${edges('argument')} as task_depends, a.name as task_func_name,
      case a.memoize when 0 then '0' else '1' end as task_memoize, t.memo_key as task_hashsum,
      coalesce(t.inputs, '') as task_inputs, coalesce(t.outputs, '') as task_outputs, '' as task_stdin,
      coalesce(t.stdout, '') as task_stdout, coalesce(t.stderr, '') as task_stderr,
      ${time('t.invoked')} as task_time_invoked, ${time('t.returned')} as task_time_returned,
      (select count(*) from failures f where f.run = t.run and f.task = t.task and f.code <> 'DEPENDENCY') as task_fail_count,
      (select count(*) from failures f where f.run = t.run and f.task = t.task and f.code <> 'DEPENDENCY') * 1.0 as task_fail_cost
      from runs r join tasks t on t.run = r.run join apps a on a.run = t.run and a.app = t.app`,
    try: `select ${tryColumns(edges('join'))} from runs r join tasks t on t.run = r.run
      left join places p on p.run = t.run and p.place = t.place where t.launched is not null
      union all select ${tryColumns("''")} from runs r join tries t on t.run = r.run
      left join places p on p.run = t.run and p.place = t.place`,
    status: [
      passed('tasks', "'pending'", 'invoked').replace('t.try as try_id', '0 as try_id'),
      passed('tasks', "'launched'", 'launched'),
      passed('tasks', "'running'", 'running'),
      passed('tasks', "'running_ended'", 'running_ended'),
      passed('tasks', "'joining'", 'joining'),
      passed('tasks', stateName, 'returned', `${isFinal} and t.returned is not null`),
      passed('tries', "'launched'", 'launched'),
      passed('tries', "'running'", 'running'),
      passed('tries', "'running_ended'", 'running_ended'),
      passed('tries', "'fail_retryable'", 'returned'),
    ].join('\nunion all '),
    resource: `select s.try as try_id, s.task as task_id, r.run_id, ${time('s.at')} as "timestamp",
      s.interval_ms / 1000.0 as resource_monitoring_interval, s.pid as psutil_process_pid,
      s.memory_percent as psutil_process_memory_percent, s.children as psutil_process_children_count,
      s.user_seconds as psutil_process_time_user, s.system_seconds as psutil_process_time_system,
      s.virtual_bytes as psutil_process_memory_virtual, s.resident_bytes as psutil_process_memory_resident,
      s.read_bytes as psutil_process_disk_read, s.write_bytes as psutil_process_disk_write,
      s.status as psutil_process_status, s.cpu as psutil_cpu_num,
      s.voluntary_switches as psutil_process_num_ctx_switches_voluntary,
      s.involuntary_switches as psutil_process_num_ctx_switches_involuntary
      from runs r join samples s on s.run = r.run`,
    block: `select r.run_id, b.executor as executor_label, b.block as block_id, b.job as job_id, ${time('b.at')} as "timestamp",
      b.status from runs r join block_events b on b.run = r.run`,
    node: `select m.id, r.run_id, m.host as hostname, m.manager as uid, m.block as block_id, m.cpus as cpu_count,
      m.memory_bytes as total_memory, ${boolean('m.active')} as active, m.workers as worker_count, m.version as python_v,
      ${time('m.at')} as "timestamp", ${time('m.heartbeat')} as last_heartbeat
      from runs r join manager_events m on m.run = r.run`,
  };
}

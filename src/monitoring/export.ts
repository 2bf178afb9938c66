// A run as files for others: CSV and JSON lines for tables, and Chrome's trace format for time lines (chrome://tracing,
// ui.perfetto.dev). Called by `chervil export`; writes piece by piece, whatever the size of the run.
import { type Readable, type RunRow, type TaskLine, tasksOf } from './reading.ts';
import { stateNames } from './schema.ts';

export type ExportFormat = 'csv' | 'json' | 'chrome-trace';

const page = 5_000;

/** The run, piece by piece. */
export async function* exportRun(database: Readable, run: RunRow, format: ExportFormat): AsyncGenerator<string> {
  switch (format) {
    case 'csv':
      yield `${columns.join(',')}\n`;
      for await (const tasks of pages(database, run))
        yield tasks.map((task) => `${fields(task).map(quoted).join(',')}\n`).join('');
      return;
    case 'json':
      // One object a line: the run, then its tasks.
      yield `${JSON.stringify({ run: { ...run, began: iso(run.began), ended: iso(run.ended) } })}\n`;
      for await (const tasks of pages(database, run)) {
        yield tasks
          .map(
            (task) =>
              `${JSON.stringify(Object.fromEntries(fields(task).map((value, index) => [columns[index], value])))}\n`,
          )
          .join('');
      }
      return;
    case 'chrome-trace':
      yield* trace(database, run);
      return;
    default:
      return format satisfies never;
  }
}

const columns = [
  'task',
  'app',
  'state',
  'tries',
  'executor',
  'host',
  'worker',
  'block',
  'invoked',
  'launched',
  'running',
  'running_ended',
  'returned',
  'waited_ms',
  'ran_ms',
  'parent',
  'memo_key',
  'arguments',
  'result',
  'error_class',
  'error',
  'stdout',
  'stderr',
];

function fields(task: TaskLine): (string | number | null)[] {
  const { running, running_ended, returned, invoked } = task;
  const end = running_ended ?? returned;
  return [
    task.task,
    task.name,
    stateNames.get(task.state) ?? String(task.state),
    task.launched === null ? 0 : task.try + 1,
    task.executor,
    task.host,
    task.worker,
    task.block,
    iso(invoked),
    iso(task.launched),
    iso(running),
    iso(running_ended),
    iso(returned),
    // The clocks of two machines may disagree.
    running === null ? null : Math.max(0, running - invoked),
    running === null || end === null ? null : Math.max(0, end - running),
    task.parent,
    task.memo_key,
    task.arguments,
    task.result,
    task.class,
    task.message,
    task.stdout,
    task.stderr,
  ];
}

async function* pages(database: Readable, { run }: RunRow): AsyncGenerator<TaskLine[]> {
  for (let after = -1; ; ) {
    const tasks = await tasksOf(database, run, { after, most: page });
    if (tasks.length > 0) yield tasks;
    if (tasks.length < page) return;
    after = tasks.at(-1)?.task ?? after;
  }
}

/** A process for each host, a thread for each worker, a bar for each try. */
async function* trace(database: Readable, run: RunRow): AsyncGenerator<string> {
  const places = await database.db.selectFrom('places').selectAll().where('run', '=', run.run).execute();
  const hosts = [...new Set(places.map((place) => place.host ?? place.executor))];
  const processOf = new Map(places.map((place) => [place.place, hosts.indexOf(place.host ?? place.executor) + 1]));
  yield '{"displayTimeUnit":"ms","traceEvents":[\n';
  const names = [
    ...hosts.map((name, index) => ({ ph: 'M', name: 'process_name', pid: index + 1, args: { name } })),
    ...places.map((place) => ({
      ph: 'M',
      name: 'thread_name',
      pid: processOf.get(place.place),
      tid: place.place,
      args: { name: [place.executor, place.block, place.worker].filter((part) => part !== null).join('/') },
    })),
  ];
  yield names.map((event) => JSON.stringify(event)).join(',\n');
  const bar = (
    task: number,
    name: string,
    number: number,
    state: string,
    place: number,
    from: number,
    to: number,
  ): string =>
    `,\n${JSON.stringify({
      ph: 'X',
      name,
      cat: state,
      pid: processOf.get(place) ?? 0,
      tid: place,
      ts: (from - run.began) * 1_000,
      dur: Math.max(0, to - from) * 1_000,
      args: { task, try: number, state },
    })}`;
  for await (const tasks of pages(database, run)) {
    let piece = '';
    for (const { task, name, try: number, state, place, running, running_ended, returned } of tasks) {
      if (place === null || running === null) continue;
      piece += bar(
        task,
        name,
        number,
        stateNames.get(state) ?? '',
        place,
        running,
        running_ended ?? returned ?? running,
      );
    }
    yield piece;
  }
  const earlier = await database.db
    .selectFrom('tries as t')
    .innerJoin('tasks as k', (join) => join.onRef('k.run', '=', 't.run').onRef('k.task', '=', 't.task'))
    .innerJoin('apps as a', (join) => join.onRef('a.run', '=', 'k.run').onRef('a.app', '=', 'k.app'))
    .select(['t.task', 't.try', 't.place', 't.running', 't.running_ended', 't.returned', 'a.name'])
    .where('t.run', '=', run.run)
    .execute();
  for (const { task, name, try: number, place, running, running_ended, returned } of earlier)
    if (place !== null && running !== null)
      yield bar(task, name, number, 'fail_retryable', place, running, running_ended ?? returned ?? running);
  yield '\n]}\n';
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** As RFC 4180 has it; what a spreadsheet would take for a formula is text. */
function quoted(value: string | number | null): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) && Number.isNaN(Number(value)) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

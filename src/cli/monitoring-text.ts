// What `chervil status`, `task` and `tasks` show, as text.
import { printable } from '../base/printable.ts';
import { showDuration } from '../base/time.ts';
import type { Life } from '../monitoring/life.ts';
import type { AppCount, executorsNow, failedMost, RunRow, TaskDetails, TaskLine } from '../monitoring/reading.ts';
import { stateNames } from '../monitoring/schema.ts';
import type { TaskState } from '../task/state.ts';

/** How a run stands; also the object of `--json`. */
export interface Status {
  readonly run: RunRow;
  readonly life: Life;
  readonly apps: readonly AppCount[];
  readonly perSecond: number;
  readonly executors: Awaited<ReturnType<typeof executorsNow>>;
  readonly failures: Awaited<ReturnType<typeof failedMost>>;
  readonly notices: readonly { readonly at: number; readonly level: string; readonly text: string }[];
  readonly stage: string | undefined;
}

const finals: readonly TaskState[] = ['exec_done', 'memo_done', 'failed', 'dep_fail'];

export function statusText(status: Status, now: number): string {
  const { run, life, apps, perSecond, executors, failures, notices, stage } = status;
  const count = (...states: TaskState[]): number =>
    apps.reduce((sum, app) => sum + states.reduce((all, state) => all + (app.states[state] ?? 0), 0), 0);
  const settled = count(...finals);
  const left = run.tasks - settled;
  const lasted = lasting((run.ended ?? (life === 'lost' ? (run.written ?? run.began) : now)) - run.began);
  const lives = {
    running: `running for ${lasted}`,
    closed: `closed after ${lasted}`,
    lost: `lost after ${lasted}: its process ended without closing it`,
  };
  const lines = [
    `run ${run.run}: ${run.name} (${run.version}), ${lives[life]}`,
    `${run.user} on ${run.host}, ${run.directory}${stage === undefined ? '' : `, stage ${stage}`}`,
    '',
    run.tasks === 0
      ? `no task ${life === 'running' ? 'has been called yet' : 'was called'}`
      : `${bar(settled / run.tasks)} ${number(settled)} of ${counted(run.tasks, 'task')} settled${
          life === 'running' && perSecond > 0
            ? `, ${number(perSecond)}/s${left > 0 ? `, ETA ${showDuration((left / perSecond) * 1_000)}` : ''}`
            : ''
        }`,
  ];
  if (apps.length > 0) {
    lines.push(
      '',
      ...table(
        ['app', 'waiting', 'queued', 'running', 'done', 'cached', 'failed', 'dep. failed'],
        apps
          .slice(0, 15)
          .map(({ app, states }) => [
            app,
            (states.pending ?? 0) + (states.fail_retryable ?? 0) + (states.joining ?? 0),
            states.launched ?? 0,
            (states.running ?? 0) + (states.running_ended ?? 0),
            states.exec_done ?? 0,
            states.memo_done ?? 0,
            states.failed ?? 0,
            states.dep_fail ?? 0,
          ]),
      ),
    );
  }
  if (apps.length > 15) lines.push(`  and ${apps.length - 15} more apps`);
  // Afterwards nothing of them is there any more.
  if (executors.length > 0 && life === 'running') {
    lines.push(
      '',
      ...table(
        ['executor', 'blocks', 'managers', 'workers', 'busy', 'outstanding'],
        executors.map((one) => [
          one.executor,
          one.blocks ?? '-',
          one.managers ?? '-',
          one.workers ?? '-',
          one.busy ?? '-',
          one.outstanding,
        ]),
      ),
    );
  }
  if (failures.length > 0) {
    lines.push('', 'tries that failed, by error:');
    for (const { class: kind, message, times, first } of failures)
      lines.push(`  ${number(times).padStart(6)} × ${kind}: ${oneLine(message, 90)} (first: task ${first})`);
  }
  if (notices.length > 0) {
    lines.push('', 'lately:');
    for (const { at, level, text } of [...notices].reverse())
      lines.push(`  ${new Date(at).toLocaleTimeString('en-GB')} ${level} ${oneLine(text, 110)}`);
  }
  if (run.lost_events > 0)
    lines.push('', `${number(run.lost_events)} events were dropped: what is shown is not complete`);
  if ((run.lag_ms ?? 0) > 10_000 && life === 'running')
    lines.push('', `the database is ${showDuration(run.lag_ms ?? 0)} behind the run`);
  return `${lines.map(printable).join('\n')}\n`;
}

export function taskText(
  run: RunRow,
  life: Life,
  details: TaskDetails,
  outputOf: (path: string) => string | undefined,
): string {
  const { row, earlier, failures, outputs, needs, neededBy, sample, stage } = details;
  const state = stateNames.get(row.state) ?? row.state;
  const lines = [
    `task ${row.task} of run ${run.run} (${run.name}): ${row.name}(${row.arguments ?? (run.chervil_version === null ? '…' : '')}), ${state}${
      life === 'lost' && row.returned === null ? ' when its run was lost' : ''
    }`,
    ...(row.result === null ? [] : [`  result      ${row.result}`]),
    ...(stage === undefined ? [] : [`  stage       ${stage}`]),
    ...(row.parent === null ? [] : [`  called by   task ${row.parent}`]),
    `  called      ${time(row.invoked)}`,
    ...(row.returned === null
      ? []
      : [`  settled     ${time(row.returned)}, after ${lasting(row.returned - row.invoked)}`]),
    ...(needs.length === 0
      ? []
      : [
          `  needs       ${needs.map((one) => `task ${one.needs}${one.kind === 'join' ? ' (joined)' : ''}`).join(', ')}`,
        ]),
    ...(neededBy.length === 0 ? [] : [`  needed by   ${neededBy.map((one) => `task ${one}`).join(', ')}`]),
    ...(row.memo_key === null ? [] : [`  memo key    ${row.memo_key}`]),
  ];
  const tries = row.launched === null ? earlier : [...earlier, row];
  for (const one of tries) {
    const where = [
      one.executor,
      one.host,
      one.block === null ? null : `block ${one.block}`,
      one.worker === null ? null : `worker ${one.worker}`,
    ];
    lines.push(
      '',
      `try ${one.try}  ${where.filter((part) => part !== null).join(', ')}${one.pid === null ? '' : `, pid ${one.pid}`}`,
    );
    if (one.launched !== null) lines.push(`  launched    ${time(one.launched)}`);
    if (one.running !== null) {
      const end = one.running_ended ?? one.returned;
      lines.push(
        `  ran         ${time(one.running)}${
          end !== null
            ? ` for ${lasting(end - one.running)}`
            : life === 'running'
              ? ', still'
              : ', its end is not known'
        }`,
      );
    }
    const failure = failures.find((other) => other.try === one.try);
    if (failure !== undefined) lines.push(...failureLines(failure));
  }
  for (const failure of failures)
    if (!tries.some((one) => one.try === failure.try)) lines.push('', ...failureLines(failure));
  if (sample !== undefined)
    lines.push(
      '',
      `used  ${(sample.user_seconds ?? 0).toFixed(2)} s user, ${(sample.system_seconds ?? 0).toFixed(2)} s system, ${megabytes(sample.resident_bytes)} MB resident`,
    );
  for (const stream of ['stdout', 'stderr'] as const) {
    const path = row[stream];
    const tail = outputs.find((one) => one.stream === stream)?.text ?? (path === null ? undefined : outputOf(path));
    if (path !== null) lines.push('', `${stream} in ${path}`);
    else if (tail !== undefined) lines.push('', stream);
    if (tail !== undefined && tail !== '') lines.push(...indented(tail));
    else if (path !== null && tail === undefined) lines.push('  (it cannot be read from here)');
  }
  return `${lines.map(printable).join('\n')}\n`;
}

export function taskLines(tasks: readonly TaskLine[], most: number): string {
  if (tasks.length === 0) return 'no such tasks\n';
  const lines = table(
    ['task', 'app', 'state', 'where', 'took', ''],
    tasks.map((task) => [
      task.task,
      task.name,
      stateNames.get(task.state) ?? task.state,
      [task.executor, task.host, task.worker].filter((part) => part !== null).join('/') || '-',
      took(task),
      task.message === null
        ? task.result === null
          ? ''
          : `= ${oneLine(task.result, 40)}`
        : oneLine(`${task.class}: ${task.message}`, 80),
    ]),
  );
  if (tasks.length === most) lines.push(`the first ${most}; more with --limit, or --after ${tasks.at(-1)?.task}`);
  return `${lines.map(printable).join('\n')}\n`;
}

/** What never came to run took no time, however long it waited. */
function took({ returned, running, launched }: TaskLine): string {
  const from = running ?? launched;
  return returned === null || from === null ? '-' : lasting(returned - from);
}

function failureLines(failure: TaskDetails['failures'][number]): string[] {
  const root = failure.root_task === null ? '' : ` (it began with task ${failure.root_task})`;
  const [first = '', ...more] = failure.message.split('\n');
  const lines = [`  ${failure.class} (${failure.code})${root}: ${first}`, ...more.map((line) => `    ${line}`)];
  // Most stacks begin with what is told already.
  const told = [`${failure.class}: ${failure.message}`, failure.message].find((text) =>
    failure.stack?.startsWith(text),
  );
  const stack =
    failure.stack
      ?.slice(told?.length ?? 0)
      .replace(/^\n+/, '')
      .trimEnd() ?? '';
  return stack === '' ? lines : [...lines, ...indented(stack)];
}

function indented(text: string, by = '  '): string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `${by}${line}`);
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = [head, ...rows].map((row) =>
    row.map((cell, column) =>
      typeof cell === 'number' ? number(cell) : cut(printable(cell), column === head.length - 1 ? 160 : 48),
    ),
  );
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  const isNumber = head.map(
    (_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number' || row[column] === '-'),
  );
  return cells.map((row) =>
    row
      .map((cell, column) => (isNumber[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

function bar(part: number): string {
  const full = Math.round(Math.min(1, Math.max(0, part)) * 30);
  return `[${'#'.repeat(full)}${'.'.repeat(30 - full)}]`;
}

function time(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').replace('Z', ' UTC');
}

function number(count: number): string {
  return count < 10 && !Number.isInteger(count) ? count.toFixed(1) : Math.round(count).toLocaleString('en');
}

/** The clocks of two machines may disagree: Parsl's workers write down their own. */
function lasting(ms: number): string {
  return showDuration(Math.max(0, ms));
}

function counted(count: number, one: string): string {
  return `${number(count)} ${count === 1 ? one : `${one}s`}`;
}

function megabytes(bytes: number | null): string {
  return ((bytes ?? 0) / 1e6).toFixed(1);
}

function oneLine(text: string, most: number): string {
  return cut(text.replaceAll(/\s+/g, ' '), most);
}

function cut(line: string, most: number): string {
  // Not through the middle of a character.
  return line.length <= most ? line : `${line.slice(0, most - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

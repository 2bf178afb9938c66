// What the commands about the monitoring database do. monitoring.ts has their options, monitoring-text.ts what they show.
import {
  closeSync,
  constants,
  createWriteStream,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { printable } from '../base/printable.ts';
import { openSource, type Source } from '../dashboard/source.ts';
import { isPostgres, openDatabase } from '../monitoring/database.ts';
import { type ExportFormat, exportRun } from '../monitoring/export.ts';
import { type LifeSigns, lifeOf } from '../monitoring/life.ts';
import { prune } from '../monitoring/prune.ts';
import { appCounts, executorsNow, failedMost, findRun, rate, taskDetails, tasksOf } from '../monitoring/reading.ts';
import { runWriter, type WriterStart } from '../monitoring/writer.ts';
import type { TaskState } from '../task/state.ts';
import { CommandError } from './command-error.ts';
import { type Status, statusText, taskLines, taskText } from './monitoring-text.ts';
import { Screen } from './screen.ts';

export async function showStatus(
  wish: string | undefined,
  options: { database: string; watch?: boolean; json?: boolean },
): Promise<void> {
  await using opened = await open(options.database);
  await status(opened, wish, options);
}

export async function showTask(id: number, options: { run?: string; database: string; json?: boolean }): Promise<void> {
  await using opened = await open(options.database);
  const which = await findRun(opened, options.run);
  const details = await taskDetails(opened, which.run, id);
  if (details === undefined)
    throw new CommandError(
      `run ${which.run} (${which.name}) has no task ${id}; its tasks go from 0 to ${which.tasks - 1}`,
    );
  print(options.json ? `${JSON.stringify(details)}\n` : taskText(which, lifeOf(which), details, outputOf));
}

export async function showTasks(options: {
  run?: string;
  database: string;
  failed?: boolean;
  state?: TaskState;
  app?: string;
  limit: number;
  after?: number;
  json?: boolean;
}): Promise<void> {
  await using opened = await open(options.database);
  const which = await findRun(opened, options.run);
  const states: TaskState[] | undefined = options.failed
    ? ['failed', 'dep_fail']
    : options.state === undefined
      ? undefined
      : [options.state];
  const tasks = await tasksOf(opened, which.run, {
    app: options.app,
    most: options.limit,
    ...(states === undefined ? {} : { states }),
    ...(options.after === undefined ? {} : { after: options.after }),
  });
  print(options.json ? tasks.map((task) => `${JSON.stringify(task)}\n`).join('') : taskLines(tasks, options.limit));
}

export async function writeExport(
  wish: string | undefined,
  options: { database: string; format: ExportFormat; output?: string },
): Promise<void> {
  await using opened = await open(options.database);
  const which = await findRun(opened, wish);
  await write(exportRun(opened, which, options.format), options.output);
}

export async function pruneRuns(options: {
  database: string;
  olderThan?: number;
  keep?: number;
  dryRun?: boolean;
}): Promise<void> {
  if (options.olderThan === undefined && options.keep === undefined)
    throw new CommandError('prune wants --older-than or --keep, such as: chervil monitor prune --older-than 30d');
  await using opened = await openDatabase(where(options.database), { mode: 'write' });
  const old = await prune(opened, {
    endedBefore: options.olderThan === undefined ? undefined : Date.now() - options.olderThan,
    keep: options.keep,
    isDryRun: options.dryRun ?? false,
  });
  for (const { run: number, name, tasks, directory } of old)
    print(`run ${number}, ${name}, ${tasks} tasks, ${directory}\n`);
  print(`${old.length} ${old.length === 1 ? 'run' : 'runs'} ${options.dryRun ? 'would be deleted' : 'deleted'}\n`);
}

export async function loadLeft(feed: string, options: { database: string }): Promise<void> {
  await loadFeed(feed, where(options.database));
}

async function status(
  database: Source,
  wish: string | undefined,
  options: { watch?: boolean; json?: boolean },
): Promise<void> {
  using screen = new Screen();
  for (;;) {
    await database.refresh();
    const run = await findRun(database, wish);
    const now: Status = {
      run,
      life: lifeOf(run),
      apps: await appCounts(database, run.run),
      perSecond: await rate(database, run.run),
      executors: await executorsNow(database, run.run),
      failures: await failedMost(database, run.run),
      notices: await database.db
        .selectFrom('notices')
        .selectAll()
        .where('run', '=', run.run)
        .orderBy('id', 'desc')
        .limit(3)
        .execute(),
      stage: (
        await database.db
          .selectFrom('stages')
          .select('name')
          .where('run', '=', run.run)
          .orderBy('stage', 'desc')
          .executeTakeFirst()
      )?.name,
    };
    const text = options.json ? `${JSON.stringify(now)}\n` : statusText(now, Date.now());
    if (options.watch && !options.json && process.stdout.isTTY && now.life === 'running') screen.show(text);
    else {
      screen.leave();
      print(text);
    }
    if (!options.watch || now.life !== 'running') return;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

/** Puts what is left of a feed into the database that its run was to have. */
async function loadFeed(feed: string, database: string): Promise<void> {
  let start: WriterStart;
  try {
    start = JSON.parse(readFileSync(join(feed, 'start.json'), 'utf8')) as WriterStart;
  } catch (error) {
    throw new CommandError(`${resolve(feed)} is no feed of a run: ${(error as Error).message}`);
  }
  const life = start.run as unknown as LifeSigns;
  // Elsewhere nobody can tell; here what it goes on to write would be deleted.
  if (life.host === hostname() && lifeOf(life) === 'running')
    throw new CommandError(
      `run ${start.run.run_id} goes on: its program, process ${life.pid}, is still running, and sees to its database by itself. Wait for its end`,
    );
  const problems: string[] = [];
  await runWriter(
    { ...start, database, feed: resolve(feed), patienceMs: 5_000 },
    {
      tell: (word) => {
        if (word.say === 'problem') problems.push(word.text);
        if (word.say === 'refused') problems.push(word.reason);
      },
      wait: async () => {},
      isSourceGone: () => true,
    },
  );
  if (problems.length > 0) throw new CommandError(problems.join('; '));
  print(`run ${start.run.run_id} is in ${database} now\n`);
}

/** As the dashboard has it: one of Python Parsl is copied first. */
async function open(given: string): Promise<Source & AsyncDisposable> {
  const source = await openSource(where(given));
  return Object.assign(source, { [Symbol.asyncDispose]: () => source.close() });
}

/** A directory stands for the database in it, or beside it. */
function where(given: string): string {
  if (isPostgres(given)) return given;
  for (const path of [join(given, 'monitoring.db'), join(given, '..', 'monitoring.db')])
    if (isDirectory(given) && isFile(path)) return path;
  return given;
}

const shownBytes = 4_000;

/** The end of a file of a task's output, however long it is. */
function outputOf(path: string): string | undefined {
  try {
    // A named pipe would be waited for.
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const facts = fstatSync(file);
      if (!facts.isFile()) return undefined;
      const from = Math.max(0, facts.size - shownBytes);
      const bytes = Buffer.alloc(facts.size - from);
      const length = readSync(file, bytes, 0, bytes.length, from);
      const text = bytes.toString('utf8', 0, length);
      // It may begin in the middle of a character.
      return from > 0 ? text.replace(/^\ufffd+/, '') : text;
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined; // It was moved, or stands on another machine.
  }
}

async function write(pieces: AsyncIterable<string>, output: string | undefined): Promise<void> {
  const stream = output === undefined ? process.stdout : createWriteStream(output);
  let problem: Error | undefined;
  stream.on('error', (error) => {
    problem = error;
  });
  for await (const piece of pieces) {
    // Whoever reads may want no more: `chervil export | head`.
    if (problem !== undefined) break;
    // A file has what is there; a terminal would act upon some of it.
    const text =
      stream === process.stdout && process.stdout.isTTY ? piece.split('\n').map(printable).join('\n') : piece;
    if (!stream.write(text))
      await new Promise<void>((resolve) => stream.once('drain', resolve).once('error', () => resolve()));
  }
  if (output !== undefined) await new Promise<void>((resolve) => stream.end(resolve));
  if (problem !== undefined && (problem as NodeJS.ErrnoException).code !== 'EPIPE')
    throw new CommandError(`${output ?? 'stdout'} cannot be written: ${problem.message}`);
  if (output !== undefined) process.stderr.write(`chervil: written to ${output} (${statSync(output).size} bytes)\n`);
}

function print(text: string): void {
  process.stdout.write(text);
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

// The commands about the monitoring database, and their options: status, task, tasks, export, and monitor prune and load. What
// they do stands in monitoring-actions.ts, which is loaded only when one of them is asked for.
import { join } from 'node:path';
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../base/time.ts';
import type { ExportFormat } from '../monitoring/export.ts';
import { type TaskState, taskStates } from '../task/state.ts';

const defaultDatabase = join('runinfo', 'monitoring.db');

const actions = () => import('./monitoring-actions.ts');

/** Adds the commands. */
export function addMonitoringCommands(program: Command): void {
  const database = (): Option =>
    new Option('-d, --database <where>', 'a monitoring database: a file, a run directory, or postgres://…').default(
      defaultDatabase,
    );
  const run = (): Option => new Option('-r, --run <run>', 'number, id or directory of the run (default: the last)');

  program
    .command('status')
    .description('how a run stands, on one screen')
    .argument('[run]', 'number, id or directory of the run (default: the last)')
    .addOption(database())
    .option('-w, --watch', 'again every second, until the run is over')
    .option('--json', 'print one JSON object')
    .action(async (wish: string | undefined, options: { database: string; watch?: boolean; json?: boolean }) =>
      (await actions()).showStatus(wish, options),
    );

  program
    .command('task')
    .description('everything about one task: its tries, where it ran, its error, what it printed')
    .argument('<id>', 'its number', wholeNumber)
    .addOption(run())
    .addOption(database())
    .option('--json', 'print one JSON object')
    .action(async (id: number, options: { run?: string; database: string; json?: boolean }) =>
      (await actions()).showTask(id, options),
    );

  program
    .command('tasks')
    .description('tasks of a run, a line each')
    .addOption(run())
    .addOption(database())
    .option('--failed', 'those that failed')
    .addOption(new Option('--state <state>', 'those in this state').choices(Object.keys(taskStates)))
    .option('--app <name>', 'those of one app')
    .addOption(new Option('--limit <n>', 'at most so many').default(50).argParser(wholeNumber))
    .addOption(new Option('--after <id>', 'only with higher numbers').argParser(wholeNumber))
    .option('--json', 'print one JSON object a line')
    .action(
      async (options: {
        run?: string;
        database: string;
        failed?: boolean;
        state?: TaskState;
        app?: string;
        limit: number;
        after?: number;
        json?: boolean;
      }) => (await actions()).showTasks(options),
    );

  program
    .command('export')
    .description('a run as a table, or as a time line for chrome://tracing and ui.perfetto.dev')
    .argument('[run]', 'number, id or directory of the run (default: the last)')
    .addOption(database())
    .addOption(
      new Option('-f, --format <format>', 'csv, json (one object a line), or chrome-trace')
        .choices(['csv', 'json', 'chrome-trace'])
        .default('csv'),
    )
    .option('-o, --output <file>', 'where to (default: stdout)')
    .action(async (wish: string | undefined, options: { database: string; format: ExportFormat; output?: string }) =>
      (await actions()).writeExport(wish, options),
    );

  const found = program.commands.find((command) => command.name() === 'monitor');
  const monitor = found ?? program.command('monitor').description('the monitoring database: prune, load');
  monitor
    .command('prune')
    .description('delete old runs from a monitoring database')
    .addOption(new Option('-d, --database <where>', 'a monitoring database').default(defaultDatabase))
    .addOption(new Option('--older-than <duration>', "runs that ended longer ago, such as '30d'").argParser(duration))
    .addOption(new Option('--keep <n>', 'keep the newest n, whatever their age').argParser(wholeNumber))
    .option('--dry-run', 'only tell which')
    .action(async (options: { database: string; olderThan?: number; keep?: number; dryRun?: boolean }) =>
      (await actions()).pruneRuns(options),
    );
  monitor
    .command('load')
    .description(
      'take in what a run left that could not write its database: the folder `monitoring` of its run directory',
    )
    .argument('<feed>')
    .addOption(new Option('-d, --database <where>', 'a monitoring database').default(defaultDatabase))
    .action(async (feed: string, options: { database: string }) => (await actions()).loadLeft(feed, options));
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 0 up.');
  return Number(text);
}

function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError("It must be a duration such as '30d' or '12h'.");
  return ms;
}

// The command `chervil`: its subcommands, their options, and what is said about a wrong one. Called by bin/chervil.js.
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { CommandError } from './command-error.ts';
import { printFailure } from './failure.ts';
import { interchange } from './interchange.ts';
import { addMonitoringCommands } from './monitoring.ts';
import { perf } from './perf.ts';
import { run } from './run.ts';

/** @param args what stands behind `chervil` on the command line */
export async function chervil(args: readonly string[]): Promise<void> {
  // What stands behind `--` is the program's, whatever it looks like.
  const dashes = args.indexOf('--');
  const own = dashes < 0 ? args : args.slice(0, dashes);
  const rest = dashes < 0 ? [] : args.slice(dashes + 1);
  try {
    if (own[0] === 'interchange') await interchange(own.slice(1));
    else if (own[0] === 'worker-pool') await workerPoolCommand(args.slice(1));
    else await commands(rest).parseAsync(own, { from: 'user' });
  } catch (error) {
    if (
      error instanceof CommandError ||
      ['DatabaseError', 'DatabaseGone'].includes((error as Error | undefined)?.name ?? '')
    )
      process.stderr.write(`chervil: ${(error as Error).message}\n`);
    else printFailure(error);
    process.exitCode = 1;
  }
}

/** Loaded only when it is asked for: no other command needs it. */
async function workerPoolCommand(args: readonly string[]): Promise<void> {
  const { workerPool } = await import('../pool/main.ts');
  process.exitCode = await workerPool(args);
}

function commands(rest: readonly string[]): Command {
  const program = new Command('chervil')
    .description('Parallel scripting for TypeScript: apps, futures and dataflow.')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .showHelpAfterError('(chervil --help tells the options)')
    .showSuggestionAfterError();

  program
    .command('run')
    .description('run a workflow file, in TypeScript or JavaScript')
    .usage('FILE [options] [--] [arguments of the program]')
    .argument('<file>', 'the program; all that is not an option of chervil is handed to it')
    .argument('[args...]')
    .option(
      '--config <file>',
      "a module whose export `default` or `config` is used where the program's load() says nothing",
    )
    .option(
      '--progress',
      'tell how far it is, on stderr: a live line on a terminal, a line every few seconds elsewhere (default)',
    )
    .option('--no-progress', 'tell nothing')
    .option('--echo', 'show what the bodies of apps print, with the name of their task')
    .allowUnknownOption()
    .addHelpText(
      'after',
      '\nExit code: 0 if the program returned and every task that nobody handled succeeded; 1 otherwise; 130 after Ctrl-C.',
    )
    .action(
      async (
        file: string,
        args: string[],
        options: { config?: string; progress?: boolean; echo?: boolean },
        command: Command,
      ) => {
        const isAsked = command.getOptionValueSource('progress') === 'cli';
        const progress = options.progress === false ? 'off' : isAsked ? 'on' : 'auto';
        await run(file, [...args, ...rest], { config: options.config, progress, echo: options.echo ?? false });
      },
    );

  program
    .command('perf')
    .description('measure an executor with tasks that do nothing')
    .option(
      '--config <name>',
      "'inline', 'threads', 'htex', or a module whose export `default` or `config` is a configuration",
      'threads',
    )
    .option(
      '--iterate <mode>',
      "'estimate': grow to a size that takes --time; 'exponential': double until it takes --time; or sizes, such as 1000,10000",
    )
    .addOption(new Option('--time <seconds>', 'how long the largest size should take').default(10).argParser(positive))
    .addOption(
      new Option('--argsize <bytes>', 'give each call an argument of so many bytes').default(0).argParser(count),
    )
    .addOption(new Option('--latency <n>', 'n tasks, one at a time: p50, p90 and p99').argParser(count))
    .addOption(new Option('--pending <n>', 'bytes of memory that each of n waiting tasks takes').argParser(count))
    .option('--json', 'print one JSON object a line, and nothing else')
    .option('--csv <file>', 'write the measurements to a file as well')
    .action(async (options: Parameters<typeof perf>[0]) => {
      if (rest.length > 0) throw new CommandError(`perf takes no arguments, but was given ${rest.join(' ')}`);
      await perf(options);
    });

  program
    .command('monitor')
    .description('serve a web page that shows runs, live or over, until Ctrl-C')
    .argument(
      '[where]',
      'a directory of runs, a monitoring database (also of Python Parsl), or postgres://…',
      'runinfo',
    )
    .option('--address <address>', 'where to listen; beyond this machine a token is needed', '127.0.0.1')
    .addOption(new Option('--port <port>', 'default: 8080, or one that is free').argParser(count))
    .option('--token', 'ask for a token on this machine, too: others may be logged in here')
    .option('--allow-host <name>', 'a further name by which the page may be opened (repeatable)', collected, [])
    .action(
      async (where: string, options: { address: string; port?: number; token?: boolean; allowHost: string[] }) => {
        if (rest.length > 0)
          throw new CommandError(`monitor takes one argument, and was given ${rest.join(' ')} besides`);
        // Loaded only when it is asked for: no other command needs it.
        const { monitor } = await import('./monitor.ts');
        const { address, port, token = false, allowHost } = options;
        await monitor(where, { address, port, token, allowHost });
      },
    );

  addMonitoringCommands(program);

  // Only to be listed: it reads its arguments itself.
  program
    .command('interchange')
    .description("the broker between a submitter and its pools, also in place of Parsl's interchange.py")
    .usage('[--config FILE.json] | --status HOST:PORT')
    .allowUnknownOption();
  program
    .command('worker-pool')
    .description("the workers of one node, with the flags of Parsl's process_worker_pool.py")
    .usage('-a ADDRESSES --port PORT --cert_dir DIR …')
    .allowUnknownOption();

  return program;
}

function collected(text: string, before: string[]): string[] {
  return [...before, text];
}

function count(text: string): number {
  const number = Number(text.replaceAll('_', ''));
  if (!Number.isSafeInteger(number) || number < 0 || text.trim() === '')
    throw new InvalidArgumentError('It must be a whole number from 0 up.');
  return number;
}

function positive(text: string): number {
  const number = Number(text);
  if (!Number.isFinite(number) || number <= 0) throw new InvalidArgumentError('It must be a number above 0.');
  return number;
}

function version(): string {
  return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string })
    .version;
}

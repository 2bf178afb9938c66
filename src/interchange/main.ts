// `chervil interchange`: reads its configuration, runs until its submitter is gone or a signal comes, or shows the status
// of a running interchange. The command line calls `interchangeMain`; interchange.py's place in Parsl can be taken by
// start.ts.
import { readFile } from 'node:fs/promises';
import { isatty } from 'node:tty';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import type { Result } from '../base/result.ts';
import { type InterchangeConfig, readConfig, readConfigJson } from '../wire/messages/config.ts';
import { removeIfOrphaned } from '../wire/value-directory.ts';
import { directoryVariable } from '../wire/value-files.ts';
import type { VersionPolicy } from './events.ts';
import { findInstallation } from './installation.ts';
import { openPromise } from './promise.ts';
import { Interchange } from './shell.ts';
import { showStatus } from './show-status.ts';
import { readStandardInput } from './standard-input.ts';

const usage = `chervil interchange [--config FILE.json] [--on-mismatch refuse|end|accept] [--parsl-version V] [--python-version V]
chervil interchange --status HOST:PORT [--cert-dir DIR] [--json]

Without --config and --status the configuration is read from standard input, as Parsl writes it.
--status asks a running interchange at one of its ports for pools; with --cert-dir if it is encrypted.
--on-mismatch says what becomes of a manager of other versions: refuse it (usual), end the run as Parsl does, or accept it.
See docs/interchange.md.`;

/** Runs the command with these arguments; resolves with the exit status. */
export async function interchangeMain(args: readonly string[]): Promise<number> {
  let values: Options;
  try {
    values = parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    process.stderr.write(`chervil interchange: ${(error as Error).message}\n${usage}\n`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const idle = withoutEffect(values);
  if (idle !== undefined) {
    process.stderr.write(`chervil interchange: ${idle}\n${usage}\n`);
    return 2;
  }
  if (values.status !== undefined) return showStatus(values.status, values['cert-dir'], values.json === true);
  const policy = values['on-mismatch'] ?? 'refuse';
  if (policy !== 'refuse' && policy !== 'end' && policy !== 'accept') {
    process.stderr.write(`--on-mismatch must be refuse, end or accept, and is ${JSON.stringify(policy)}\n`);
    return 2;
  }
  const versions: VersionPolicy = {
    onMismatch: policy,
    ...(values['parsl-version'] === undefined ? {} : { parsl: values['parsl-version'] }),
    ...(values['python-version'] === undefined ? {} : { python: values['python-version'] }),
  };
  return values.config === undefined ? runFromInput(versions) : runFromFile(values.config, versions);
}

/** What is wrong with options that would change nothing beside the others, or `undefined`. */
function withoutEffect(values: Options): string | undefined {
  const isStatus = values.status !== undefined;
  for (const name of ['cert-dir', 'json'] as const)
    if (values[name] !== undefined && !isStatus) return `--${name} goes with --status only`;
  for (const name of ['config', 'on-mismatch', 'parsl-version', 'python-version'] as const)
    if (values[name] !== undefined && isStatus) return `--${name} does not go with --status`;
  return undefined;
}

const options = {
  config: { type: 'string' },
  status: { type: 'string' },
  'cert-dir': { type: 'string' },
  'on-mismatch': { type: 'string' },
  'parsl-version': { type: 'string' },
  'python-version': { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

interface Options {
  readonly config?: string;
  readonly status?: string;
  readonly 'cert-dir'?: string;
  readonly 'on-mismatch'?: string;
  readonly 'parsl-version'?: string;
  readonly 'python-version'?: string;
  readonly json?: boolean;
  readonly help?: boolean;
}

async function runFromFile(path: string, versions: VersionPolicy): Promise<number> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    process.stderr.write(`Cannot read the configuration ${path}: ${(error as Error).message}\n`);
    return 2;
  }
  const config = readConfigJson(text);
  if (!config.ok) {
    process.stderr.write(`The interchange cannot start with ${path}: ${config.error}.\n`);
    return 2;
  }
  return run(config, versions, false);
}

async function runFromInput(versions: VersionPolicy): Promise<number> {
  if (process.stdin.isTTY)
    process.stderr.write('Waiting for the configuration on standard input; --config FILE.json takes it from a file.\n');
  const input = await readStandardInput();
  if (input.bytes.length === 0) {
    process.stderr.write(
      'There is no configuration on standard input, where Parsl writes it. By hand: --config FILE.json; see --help\n',
    );
    return 2;
  }
  const config =
    input.bytes[0] === 0x7b ? readConfigJson(Buffer.from(input.bytes).toString('utf8')) : readConfig(input.bytes);
  return run(config, versions, true, input.closed);
}

/** What a terminal sends to all that runs in it: Ctrl-C, Ctrl-\, and when it closes. */
const fromTerminals = ['SIGINT', 'SIGQUIT', 'SIGHUP'] as const;

/** @param closed - resolves when standard input ends, if it was still open after the configuration */
async function run(
  config: Result<InterchangeConfig>,
  versions: VersionPolicy,
  endsWithSubmitter: boolean,
  closed?: Promise<void>,
): Promise<number> {
  if (!config.ok) {
    process.stderr.write(`The interchange cannot start: ${config.error}.\n`);
    return 1;
  }
  // New objects get 1 MiB and not up to 16: what a burst of registrations leaves behind would stay resident for the whole
  // run, ten KiB a manager with 2,000 of them. A task costs a tenth more CPU time for it.
  setFlagsFromString('--semi-space-growth-factor=1');
  const { promise, resolve } = openPromise<{ readonly reason: string; readonly exitStatus: 0 | 1 }>();
  let interchange: Interchange | undefined;
  const end = (reason: string): void =>
    interchange === undefined ? resolve({ reason, exitStatus: 0 }) : interchange.end(reason);
  const onSignal = (signal: string): void => end(`it was told to by ${signal}`);
  // Whoever read standard error may be gone, or its disk full: what was to be said there is lost, and nothing else.
  process.stderr.on('error', () => {});
  const hasTerminal = isatty(0) || isatty(1) || isatty(2);
  const onInterrupt = (signal: NodeJS.Signals): void => {
    if (interchange !== undefined) interchange.interrupt(signal as (typeof fromTerminals)[number], hasTerminal);
    else if (signal !== 'SIGHUP' || hasTerminal) resolve({ reason: signal, exitStatus: 0 });
  };
  process.once('SIGTERM', onSignal);
  for (const signal of fromTerminals) process.on(signal, onInterrupt);
  void closed?.then(() => end('standard input was closed'));
  const installation = await findInstallation();
  try {
    await using started = await Interchange.start(config.value, {
      versions: { ...versions, ...(installation === undefined ? {} : { installation }) },
      onEnd: (reason, exitStatus) => resolve({ reason, exitStatus }),
      endsWithSubmitter,
    });
    interchange = started;
    if (!endsWithSubmitter) process.stderr.write(`${started.whereabouts}\n`);
    const { reason, exitStatus } = await promise;
    if (exitStatus !== 0) process.stderr.write(`The interchange ends: ${reason}.\n`);
    return exitStatus;
  } catch (error) {
    process.stderr.write(`The interchange cannot start: ${(error as Error).message}\n`);
    return 1;
  } finally {
    const values = process.env[directoryVariable];
    if (values !== undefined) removeIfOrphaned(values);
    process.off('SIGTERM', onSignal);
    for (const signal of fromTerminals) process.off(signal, onInterrupt);
  }
}

// load(): starts a run. One of the few places that know everything: configuration, kernel, executors, files, signals.
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { identityOf, mapStack } from '../app/capture.ts';
import { Problems, show } from '../app/check.ts';
import { JoinExecutor } from '../app/join-executor.ts';
import { LogFile } from '../base/log-file.ts';
import { milliseconds, systemClock } from '../base/time.ts';
import { htex } from '../executors/htex.ts';
import { threads } from '../executors/threads.ts';
import { ambientKernel, setAmbient } from '../kernel/current.ts';
import { cancel } from '../kernel/elaborators/cancel.ts';
import { deadline } from '../kernel/elaborators/deadline.ts';
import { dependencies } from '../kernel/elaborators/dependencies.ts';
import { files, logNamesIn } from '../kernel/elaborators/files.ts';
import { join as joinElaborator } from '../kernel/elaborators/join.ts';
import { memo } from '../kernel/elaborators/memo.ts';
import { FailureLedger, observe } from '../kernel/elaborators/observe.ts';
import { retry } from '../kernel/elaborators/retry.ts';
import { route } from '../kernel/elaborators/route.ts';
import { timeout } from '../kernel/elaborators/timeout.ts';
import { wrap } from '../kernel/elaborators/wrap.ts';
import { Kernel } from '../kernel/kernel.ts';
import { CheckpointWriter } from '../kernel/memo/checkpoint.ts';
import { loadCheckpoints } from '../kernel/memo/checkpoint-load.ts';
import type { FunctionIdentity } from '../kernel/memo/key.ts';
import { MemoStore } from '../kernel/memo/store.ts';
import type { ElaboratorMaker } from '../kernel/path.ts';
import { createRunDirectory } from '../kernel/run-directory.ts';
import { Monitor } from '../monitoring/monitor.ts';
import { channels, type OutputEvent } from '../task/channels.ts';
import { AlreadyLoadedError, ConfigError } from '../task/errors.ts';
import type { Executor, FunctionSource, PythonFunction } from '../task/ports.ts';
import { copyValue } from '../wire/copy.ts';
import { moduleHash } from '../wire/functions.ts';
import { fromBytes, toBytes } from '../wire/values.ts';
import { commandLine, mergedWithCommandLine } from './command-line.ts';
import { type Config, checkConfig, type ElaboratorName, elaboratorNames } from './config.ts';
import { openRunLog, type RunLog, stateLine } from './log.ts';
import { OnDemand } from './on-demand.ts';
import { Run } from './run.ts';
import { watchSignals } from './signals.ts';

/** What belongs to one call of load(), not to a configuration. */
export interface LoadOptions {
  /** Cancels every task of the run when it is aborted. */
  readonly signal?: AbortSignal;
  /** Apps are called on this run from anywhere; otherwise only inside `run.enter(…)`. @default true */
  readonly ambient?: boolean;
}

const used = new WeakSet<Executor>();

/**
 * Starts a run: apps can be called from here on. Without a configuration tasks run in threads, one per available core.
 * Throws ConfigError, AlreadyLoadedError, CheckpointError, or what an executor says that cannot start.
 *
 * @example
 * await using run = await load({ executors: [threads({ max: 4 })], retry: 2 });
 */
export async function load(own: Config = {}, options: LoadOptions = {}): Promise<Run> {
  checkConfig(own);
  const config = await mergedWithCommandLine(own);
  checkConfig(config);
  checkLoadOptions(options);
  const { signal, ambient = true } = options;
  if (ambient && (isLoading || ambientKernel() !== undefined)) {
    throw new AlreadyLoadedError(
      'A run is loaded already. Close it first (`await run.close()`, or let its `await using` scope end), or load this one beside it: load(config, { ambient: false }), and call apps in run.enter(() => …).',
    );
  }
  const executors = config.executors ?? usual();
  refuseUsed(executors);
  if (ambient) isLoading = true;
  try {
    return await start(config, executors, signal, ambient);
  } finally {
    if (ambient) isLoading = false;
  }
}

/** An ambient run is being loaded: another is refused meanwhile. */
let isLoading = false;

async function start(
  config: Config,
  executors: readonly Executor[],
  signal: AbortSignal | undefined,
  ambient: boolean,
): Promise<Run> {
  const base = resolve(config.runDir ?? 'runinfo');
  const { path: directory } = createRunDirectory(base);
  let log = openRunLog(join(directory, 'chervil.log'), config.log ?? 'info');
  const undo: (() => void | Promise<void>)[] = [];
  let memoStore: MemoStore | undefined;
  let monitor: Monitor | undefined;
  try {
    const run = randomUUID();
    const monitoring = config.monitoring === true ? {} : config.monitoring;
    if (monitoring) {
      monitor = await Monitor.start(monitoring, { run, directory, base, chervilVersion: version, log: log.write });
      log = noticed(log, monitor);
    }
    memoStore = config.memo === false ? undefined : await openMemo(config, base, directory, log);
    const ledger = new FailureLedger();
    const kernel = new Kernel({
      run,
      executors,
      joinExecutor: new JoinExecutor(),
      searchesDeep: config.dependencies !== 'shallow',
      path: planPath(config, directory, ledger, memoStore, signal),
      clock: systemClock,
      directoryOf: (executor) => {
        const own = join(directory, executor.label);
        if (executor.label !== '_parsl_internal') mkdirSync(own, { recursive: true });
        return own;
      },
      mark: run,
      log: log.write,
      watchOf: (executor) => monitor?.watch(executor.label),
    });
    // What was started once is used up; before that, a load() that failed can be repeated.
    refuseUsed(executors);
    for (const executor of executors) used.add(executor);
    if (monitor !== undefined) kernel.observe(monitor.onTask);
    await kernel.start();
    if (ambient) setAmbient(kernel);
    if (config.log === 'debug') undo.push(kernel.listen((event) => log.write('debug', stateLine(event))));
    monitor?.listen();
    undo.push(keepOutput(run, directory, config.echo ?? false));
    if (config.signals !== false) undo.push(watchSignals(kernel));
    log.write(
      'info',
      `run ${run} in ${directory}, executors ${executors.map((executor) => executor.label).join(', ')}, node ${process.version}, pid ${process.pid}`,
    );
    channels.run.publish({ run, what: 'started', directory, time: Date.now() });
    undo.push(() => channels.run.publish({ run, what: 'closed', directory, time: Date.now() }));
    const loaded = new Run({
      kernel,
      directory,
      exit: config.exit ?? 'wait',
      ledger,
      memo: memoStore,
      log: log.file,
      undo,
      monitor,
    });
    undo.push(closeBeforeExit(loaded));
    commandLine()?.onLoaded?.(loaded);
    return loaded;
  } catch (error) {
    log.write('error', `load() failed: ${error instanceof Error ? error.stack : String(error)}`);
    memoStore?.close();
    await monitor?.close();
    for (const one of undo.reverse()) await one();
    log.file?.close();
    throw error;
  }
}

/** What is told as a warning or an error is kept in the database, too. */
function noticed(log: RunLog, monitor: Monitor): RunLog {
  return {
    file: log.file,
    write: (level, message) => {
      log.write(level, message);
      if ((level === 'warn' || level === 'error') && !message.startsWith('monitoring')) monitor.notice(level, message);
    },
  };
}

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

/** Threads for TypeScript; workers for Python, should there be a Python app. */
function usual(): Executor[] {
  const python = (): Executor => htex({ label: 'python', python: true, nodeWorkers: 0 });
  return [threads(), new OnDemand('python', ['python'], python)];
}

function refuseUsed(executors: readonly Executor[]): void {
  executors.forEach((executor, index) => {
    if (!used.has(executor)) return;
    const problem = `'${executor.label}' was loaded before, and an executor serves one run only; make a new one`;
    throw new ConfigError('The configuration', [{ path: `executors[${index}]`, problem }]);
  });
}

function checkLoadOptions(options: unknown): void {
  const problems = new Problems();
  if (typeof options !== 'object' || options === null) {
    problems.add('options', `expected { signal, ambient }, not ${show(options)}`);
  } else {
    const { signal, ambient } = options as Record<string, unknown>;
    problems.unknownKeys(options, ['signal', 'ambient'], '');
    if (signal !== undefined && !(signal instanceof AbortSignal))
      problems.add('signal', `expected an AbortSignal, not ${show(signal)}`);
    problems.oneOf(ambient, 'ambient', [true, false]);
  }
  problems.throwIfAny('The second argument of load()');
}

function planPath(
  config: Config,
  directory: string,
  ledger: FailureLedger,
  memoStore: MemoStore | undefined,
  signal: AbortSignal | undefined,
): ElaboratorMaker[] {
  const own: Record<ElaboratorName, ElaboratorMaker | undefined> = {
    observe: observe(ledger, mapStack),
    cancel: cancel(signal),
    deadline,
    files: files(config.nameLog ?? logNamesIn(directory)),
    dependencies: dependencies(config.failFast ?? false),
    memo: memoStore === undefined ? undefined : memo(memoStore),
    join: joinElaborator,
    retry: retry(typeof config.retry === 'number' ? { budget: config.retry } : config.retry),
    timeout,
    wrap: wrap(config.wrap ?? []),
    route,
  };
  const path: ElaboratorMaker[] = [];
  for (const name of elaboratorNames) {
    for (const extra of config.elaborators ?? []) if (extra.before === name) path.push(extra.make);
    const maker = own[name];
    if (maker !== undefined) path.push(maker);
  }
  return path;
}

async function openMemo(config: Config, base: string, directory: string, log: RunLog): Promise<MemoStore> {
  const { checkpoint } = config;
  const when = checkpoint?.when ?? 'task_exit';
  let index: Awaited<ReturnType<typeof loadCheckpoints>> | undefined;
  if (checkpoint !== undefined && checkpoint.load !== 'none') {
    index = await loadCheckpoints(checkpoint.load ?? 'all', base);
    const { records, files: read, lostBytes, problems } = index.report;
    const from = `${records} ${records === 1 ? 'result' : 'results'} from ${read.length} ${read.length === 1 ? 'file' : 'files'}`;
    if (lostBytes > 0) log.write('warn', `checkpoint: ${from}; ${lostBytes} damaged bytes were passed over`);
    else log.write('info', `checkpoint: ${from}`);
    for (const problem of problems) log.write('warn', `checkpoint: ${problem.message}`);
  }
  const writer =
    checkpoint === undefined
      ? undefined
      : new CheckpointWriter({
          runDirectory: directory,
          when,
          ...(when === 'periodic' ? { periodMs: milliseconds(checkpoint.period ?? '30s') } : {}),
          onProblem: (problem) => log.write('error', `checkpoint: ${problem.message}`),
        });
  return new MemoStore({
    writer,
    waitsForDisk: when === 'task_exit',
    index,
    codec: { toBytes, fromBytes, copy: (value) => copyValue(value, 'a remembered result') },
    identityOf: sourceIdentity,
    log: log.write,
  });
}

/** Its text and captures, or its module's content: editing a function makes it another. */
function sourceIdentity(source: FunctionSource | PythonFunction): FunctionIdentity['source'] {
  if (source.by === 'python') {
    // What a module of Python's has in it is known only where it runs: its name has to do.
    const { module, name, code } = source;
    return module === undefined
      ? {
          by: 'value',
          key: `python ${name} ${createHash('sha256')
            .update(code ?? '')
            .digest('hex')}`,
        }
      : { by: 'reference', module: `python:${module}`, export: name, contentHash: '' };
  }
  if (source.by === 'value') return { by: 'value', key: identityOf(source) };
  const { module, export: name } = source;
  return { by: 'reference', module, export: name, contentHash: moduleHash(module) };
}

/** What bodies print goes to the run's task log, and, on demand, to the terminal with the name of its task. */
function keepOutput(run: string, directory: string, echo: boolean): () => void {
  let file: LogFile | undefined;
  const listener = (message: unknown): void => {
    const event = message as OutputEvent;
    if (event.run !== run) return;
    const marked = event.text.replace(/^(?=.)/gm, `[task ${event.id} ${event.app}] `);
    file ??= new LogFile(join(directory, 'tasks.log'));
    file.write(marked);
    if (echo) process[event.stream].write(marked);
  };
  channels.output.subscribe(listener);
  return () => {
    channels.output.unsubscribe(listener);
    file?.close();
  };
}

/** A program that ends without closing its run: it is closed when nothing else is left to do. */
function closeBeforeExit(run: Run): () => void {
  const close = (): void => void run.close();
  process.once('beforeExit', close);
  return () => process.off('beforeExit', close);
}

// Monitoring of one run, inside the run: hears what happens, tells it to the feed in few bytes, and sees to the writer. load()
// makes one when the configuration asks for it. Whatever goes wrong here, the tasks go on.
import { writeFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { milliseconds } from '../base/time.ts';
import { channels, type OutputEvent, type TaskView, type TransitionListener } from '../task/channels.ts';
import { AppError, ConfigError, type TaskError } from '../task/errors.ts';
import type { ExecutorNews, ExecutorWatch, Place } from '../task/ports.ts';
import { type TaskState, taskStates } from '../task/state.ts';
import { Feed } from './feed.ts';
import { LocalSampler } from './local-sampler.ts';
import type { MonitoringOptions } from './options.ts';
import type { RareRecord } from './records.ts';
import { short, shortArguments, tailLength } from './short.ts';
import type { WriterStart } from './writer.ts';
import { WriterProcess } from './writer-process.ts';

export interface MonitorFacts {
  readonly run: string;
  /** The run's directory, and where `monitoring.db` stands if nothing else is said. */
  readonly directory: string;
  readonly base: string;
  readonly chervilVersion: string;
  readonly log: (level: 'info' | 'warn' | 'error', text: string) => void;
}

/** How long close() waits for the writer before it leaves it to itself. */
const closeMs = 30_000;

export class Monitor {
  /** Milliseconds between samples; 0: none are wanted. */
  readonly sampleMs: number;
  readonly #facts: MonitorFacts;
  readonly #keepsValues: boolean;
  readonly #feed: Feed;
  readonly #writer: WriterProcess;
  readonly #apps = new Map<string, number>();
  readonly #places = new Map<string, number>();
  readonly #placeOf = new WeakMap<Place, number>();
  readonly #placeOfExecutor = new Map<string, number>();
  #lastName: string | undefined;
  #lastApp = 0;
  #lastPlace: Place | undefined;
  #lastNumber = 0;
  #stage: number | undefined;
  #stages = 0;
  #refusal: string | undefined;
  #isStarting = true;
  #isClosed = false;
  readonly #undo: (() => void)[] = [];

  private constructor(options: MonitoringOptions, facts: MonitorFacts) {
    this.#facts = facts;
    this.#keepsValues = options.values ?? true;
    this.sampleMs = options.resources ? milliseconds(options.resources) : 0;
    const directory = join(facts.directory, 'monitoring');
    const began = Date.now();
    const { queueBytes = 2 ** 30 } = options;
    const mostSegments = Math.max(3, Math.floor(queueBytes / (8 * 2 ** 20)));
    this.#feed = new Feed({
      directory,
      segmentBytes: Math.min(8 * 2 ** 20, queueBytes / 4),
      mostSegments,
      onWritten: () => this.#writer.wake(),
      onProblem: (text) => this.#say('error', text),
    });
    const start = {
      database: options.database ?? join(facts.base, 'monitoring.db'),
      feed: directory,
      run: {
        run_id: facts.run,
        name: options.name ?? process.argv[1]?.split('/').at(-1) ?? 'node',
        version: options.version ?? new Date(began).toISOString(),
        began,
        ended: null,
        end_reason: null,
        host: hostname(),
        user: userName(),
        directory: facts.directory,
        pid: process.pid,
        command: process.argv.slice(1).join(' ').slice(0, 1_000),
        chervil_version: facts.chervilVersion,
        node_version: process.version,
        tasks: 0,
        completed: 0,
        memoized: 0,
        failed: 0,
        sample_ms: this.sampleMs,
        written: null,
        lag_ms: null,
        lost_events: 0,
      },
      batchMs: 500,
      batchRecords: 400_000,
      busyMs: 2_000,
      patienceMs: 60_000,
      mostSegments,
    };
    keepStart(directory, start);
    this.#writer = new WriterProcess({
      start,
      log: (level, text) => this.#say(level, text),
      onRefused: (reason) => this.#onRefused(reason),
    });
  }

  /** Starts it. Throws a ConfigError when the database cannot be used at all. */
  static async start(options: MonitoringOptions, facts: MonitorFacts): Promise<Monitor> {
    const monitor = new Monitor(options, facts);
    const keepAlive = setInterval(() => {}, 1_000);
    try {
      await monitor.#writer.settled;
    } finally {
      clearInterval(keepAlive);
      monitor.#isStarting = false;
    }
    if (monitor.#refusal !== undefined) {
      await monitor.#writer.close(1_000);
      throw new ConfigError('The configuration', [{ path: 'monitoring.database', problem: monitor.#refusal }]);
    }
    return monitor;
  }

  /** Of the writer's process. */
  get writerPid(): number | undefined {
    return this.#writer.pid;
  }

  /** For each change of a task's state. It costs the run a microsecond or so for all changes of a task. */
  readonly onTask: TransitionListener = (task, from, state, at, error, where) => {
    const { records } = this.#feed;
    const { id } = task;
    const app = this.#appOf(task);
    if (from === undefined) {
      const text = this.#keepsValues && task.args.length > 0 ? shortArguments(task.args) : '';
      records.opened(id, app, at, this.#stage, task.parent?.id, task.needs, text);
      if (task.inputs !== undefined) this.#details(id, { inputs: task.inputs.join('\n') });
    } else {
      let place: number | undefined;
      let text = '';
      switch (state) {
        case 'launched':
          if (task.executor !== undefined) place = this.#executorPlace(task.executor.label);
          if (task.memoKey !== undefined || task.files !== undefined) this.#onLaunched(task);
          break;
        case 'running':
        case 'running_ended':
          if (where !== undefined) place = this.#placeNumber(task, where);
          break;
        case 'exec_done':
        case 'memo_done':
          if (state === 'memo_done' && task.memoKey !== undefined) this.#details(id, { memo_key: task.memoKey });
          if (this.#keepsValues && task.result?.ok === true && task.result.value !== undefined)
            text = short(task.result.value);
          break;
        case 'joining':
          if (task.joined !== undefined && task.joined.length > 0)
            this.#rare({ kind: 'joins', task: id, needs: task.joined });
          break;
        case 'failed':
        case 'dep_fail':
        case 'fail_retryable':
          if (error !== undefined) this.#onFailure(task, state, at, error, app);
          break;
        case 'pending':
          break;
        default:
          state satisfies never;
      }
      records.moved(id, app, at, taskStates[from], taskStates[state], task.tryNumber, place, text);
    }
    this.#feed.added();
  };

  /** What tasks print: the end of it is kept. */
  readonly onOutput = (message: unknown): void => {
    const { run, id, stream, text } = message as OutputEvent;
    if (run === this.#facts.run) this.#rare({ kind: 'output', task: id, stream, text: text.slice(-tailLength) });
  };

  /** A line of the run's log that somebody should know of. */
  notice(level: 'warn' | 'error', text: string): void {
    if (!this.#isClosed) this.#rare({ kind: 'notice', at: Date.now(), level, text: text.slice(0, 2_000) });
  }

  /** Tasks from here on belong to this stage. */
  stage(name: string): void {
    this.#stage = this.#stages++;
    this.#rare({ kind: 'stage', stage: this.#stage, name, at: Date.now() });
  }

  /** What the executor with this label tells of itself. */
  watch(executor: string): ExecutorWatch {
    return { sampleMs: this.sampleMs, tell: (news) => this.#onNews(executor, news) };
  }

  #onNews(executor: string, news: ExecutorNews): void {
    const at = Date.now();
    switch (news.what) {
      case 'facts':
        this.row('executors', { executor, kind: news.kind, facts: JSON.stringify(news.facts) });
        return;
      case 'standing': {
        const { outstanding, queued = null, workers = null, busy = null, managers = null, blocks = null } = news;
        this.row('executor_samples', { executor, at, outstanding, queued, workers, busy, managers, blocks });
        return;
      }
      case 'block': {
        const { block, status, job = null, reason = null, detail = null } = news;
        this.row('block_events', { executor, block, at, job, status, reason, detail });
        return;
      }
      case 'manager': {
        const {
          manager,
          host,
          block,
          workers,
          busy,
          cpus,
          memoryBytes,
          isActive,
          heartbeatAt,
          runtime,
          version,
          reason,
        } = news;
        this.row('manager_events', {
          executor,
          manager,
          at: news.at,
          host,
          block,
          workers,
          busy,
          cpus,
          memory_bytes: memoryBytes,
          active: isActive ? 1 : 0,
          heartbeat: heartbeatAt,
          runtime,
          version,
          reason,
        });
        return;
      }
      case 'sample': {
        const { taskId, tryNumber } = news.attempt;
        this.row('samples', { task: taskId, try: tryNumber, at, interval_ms: this.sampleMs, ...news.columns });
        return;
      }
      default:
        news satisfies never;
    }
  }

  /** A row as it is. */
  row(
    table: Extract<RareRecord, { kind: 'row' }>['table'],
    row: Readonly<Record<string, string | number | null>>,
  ): void {
    if (!this.#isClosed) this.#rare({ kind: 'row', table, row });
  }

  /** Begins to listen to what is published. */
  listen(): void {
    channels.output.subscribe(this.onOutput);
    this.#undo.push(() => channels.output.unsubscribe(this.onOutput));
    if (this.sampleMs === 0) return;
    const sampler = new LocalSampler(this.sampleMs, this.#facts.run, ({ task, try: number, pid, usage }) => {
      this.row('samples', {
        task,
        try: number,
        at: Date.now(),
        interval_ms: this.sampleMs,
        pid,
        user_seconds: usage.userSeconds,
        system_seconds: usage.systemSeconds,
        resident_bytes: usage.residentBytes,
        virtual_bytes: usage.virtualBytes,
        memory_percent: usage.memoryPercent,
        read_bytes: usage.readBytes,
        write_bytes: usage.writeBytes,
        voluntary_switches: usage.voluntarySwitches,
        involuntary_switches: usage.involuntarySwitches,
        children: usage.children,
        status: usage.status,
        cpu: usage.cpu,
      });
    });
    this.#undo.push(() => sampler.close());
  }

  /** Writes what is left, and waits a while for the writer. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    for (const undo of this.#undo) undo();
    this.#rare({ kind: 'end', at: Date.now(), reason: 'closed' });
    this.#isClosed = true;
    this.#feed.close();
    if (!(await this.#writer.close(closeMs)))
      this.#say('warn', 'the writer of the database is not done yet; it goes on by itself, and ends then');
  }

  /** Numbers of an app and a place are mostly those of the task before. */
  #appOf(task: TaskView): number {
    const { app } = task;
    if (app !== this.#lastName) {
      this.#lastApp = this.#apps.get(app) ?? this.#newApp(app, task);
      this.#lastName = app;
    }
    return this.#lastApp;
  }

  #placeNumber(task: TaskView, place: Place): number {
    if (place !== this.#lastPlace) {
      this.#lastNumber = this.#placeOf.get(place) ?? this.#newPlace(task.executor?.label ?? '', place);
      this.#lastPlace = place;
    }
    return this.#lastNumber;
  }

  #newApp(name: string, task: TaskView): number {
    const app = this.#apps.size;
    this.#apps.set(name, app);
    this.#rare({ kind: 'app', app, name, body: task.body.kind, memoize: task.isMemoizable });
    return app;
  }

  #executorPlace(executor: string): number {
    return this.#placeOfExecutor.get(executor) ?? this.#newPlace(executor, undefined);
  }

  #newPlace(executor: string, place: Place | undefined): number {
    const key = place === undefined ? executor : `${executor}\0${place.host}\0${place.worker}\0${place.block ?? ''}`;
    let number = this.#places.get(key);
    if (number === undefined) {
      number = this.#places.size;
      this.#places.set(key, number);
      const parts = place?.worker.split('/') ?? [];
      this.#rare({
        kind: 'place',
        place: number,
        executor,
        host: place?.host ?? null,
        block: place?.block ?? null,
        manager: parts.length > 1 ? parts.slice(0, -1).join('/') : null,
        worker: parts.at(-1) ?? null,
      });
    }
    if (place === undefined) this.#placeOfExecutor.set(executor, number);
    else this.#placeOf.set(place, number);
    return number;
  }

  /** For each try, as those before it may have failed before they were launched. */
  #onLaunched({ id, memoKey, files }: TaskView): void {
    const columns: Record<string, string> = {};
    if (memoKey !== undefined) columns['memo_key'] = memoKey;
    if (files?.stdout !== undefined) columns['stdout'] = files.stdout.path;
    if (files?.stderr !== undefined) columns['stderr'] = files.stderr.path;
    if (files !== undefined && files.outputs.length > 0) columns['outputs'] = files.outputs.join('\n');
    this.#details(id, columns);
  }

  #details(task: number, columns: Readonly<Record<string, string>>): void {
    if (Object.keys(columns).length > 0) this.#rare({ kind: 'details', task, columns });
  }

  #onFailure(
    { id, app: name, tryNumber }: TaskView,
    state: TaskState,
    at: number,
    error: TaskError,
    app: number,
  ): void {
    const remote = error instanceof AppError ? error.remote : undefined;
    // Which task it is the row says: without it equal failures have equal messages, and are found by how they begin.
    const plain = (text: string): string => text.replace(`Task ${id} (${name}): `, '');
    const root = (error as { rootCause?: { task?: { taskId?: unknown } } }).rootCause?.task?.taskId;
    this.#rare({
      kind: 'failure',
      task: id,
      try: tryNumber,
      at: Math.round(at),
      app,
      final: state !== 'fail_retryable',
      code: error.code,
      class: remote?.name ?? error.name,
      message: (remote?.message ?? plain(error.message)).slice(0, 500),
      stack: (remote?.stack || plain(error.stack ?? '')).slice(0, 16_000) || null,
      root: typeof root === 'number' ? root : null,
    });
  }

  #rare(record: RareRecord): void {
    if (this.#isClosed) return;
    this.#feed.records.rare(record);
    this.#feed.added();
  }

  #onRefused(reason: string): void {
    this.#refusal = reason;
    if (!this.#isStarting) this.#say('error', `monitoring has ended: ${reason}`);
  }

  /** To the run's log; what is an error to the terminal as well: nobody reads logs of runs that seem to go well. */
  #say(level: 'info' | 'warn' | 'error', text: string): void {
    const line = text.startsWith('monitoring') ? text : `monitoring: ${text}`;
    this.#facts.log(level, line);
    if (level === 'error') process.stderr.write(`chervil: ${line}\n`);
  }
}

/** For `chervil monitor load`, should the database never be written. Where it is may tell a password. */
function keepStart(directory: string, start: WriterStart): void {
  try {
    writeFileSync(join(directory, 'start.json'), JSON.stringify({ ...start, database: '' }));
  } catch {
    // A full disk: the feed tells.
  }
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown'); // A user without an entry, as in containers.
  }
}

// What the dashboard's server answers, as types: the contract between the queries in this folder and the page in web/, which
// imports nothing else of src/. Times are milliseconds since the Unix epoch, durations milliseconds, sizes bytes. `null` is
// "the database does not tell": a database of Python Parsl has fewer columns than ours.

/** Parsl's names of states, in the order of a task's life. */
export const states = [
  'pending',
  'launched',
  'running',
  'running_ended',
  'joining',
  'fail_retryable',
  'exec_done',
  'memo_done',
  'failed',
  'dep_fail',
] as const;

export type State = (typeof states)[number];

/** How many tasks are in each state; states without tasks may be missing. */
export type Counts = Partial<Record<State, number>>;

/** A part of a list. `next` is the cursor of what follows, `null` at the end. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly next: string | null;
}

/**
 * A stretch of a list whose order changes with its values, from the row `offset` on. `total`: how many there are that fit.
 */
export interface Part<Row> {
  readonly rows: readonly Row[];
  readonly offset: number;
  readonly total: number;
}

/** `GET api/about` */
export interface About {
  readonly version: string;
  /** File name, or address without the password. */
  readonly database: string;
  /** Who made the tables. */
  readonly madeBy: 'chervil' | 'parsl';
  /** What is unusual about it, as sentences. */
  readonly notes: readonly string[];
  readonly now: number;
}

/**
 * How a run stands: `silent` has no end and gave no sign of life for a while, so its program was probably killed.
 */
export type RunStatus = 'running' | 'succeeded' | 'failed' | 'silent';

/** `GET api/runs`, newest first. */
export interface RunRow {
  readonly id: string;
  readonly name: string;
  readonly version: string | null;
  readonly status: RunStatus;
  readonly began: number | null;
  readonly completed: number | null;
  readonly host: string | null;
  readonly user: string | null;
  readonly directory: string | null;
  readonly succeeded: number;
  readonly failed: number;
  /** All tasks; `null` while it has not been counted. */
  readonly total: number | null;
}

/** What a list of apps can be sorted by: the most tasks, the most failures, or the name. */
export const appSorts = ['tasks', 'failed', 'name'] as const;
export type AppSort = (typeof appSorts)[number];

/** `GET api/runs/RUN/apps`, a `Part`: tasks of one app. */
export interface AppRow {
  readonly app: string;
  readonly total: number;
  readonly counts: Counts;
  /** Median and 95th percentile of its newest tasks; `null` when none ended or the database does not tell. */
  readonly medianMs: number | null;
  readonly slowMs: number | null;
}

/** `GET api/runs/RUN` */
export interface RunDetail extends RunRow {
  readonly counts: Counts;
  readonly lastActivity: number | null;
  readonly workersBusy: number | null;
  readonly workersTotal: number | null;
  /** Tasks that ended in each of the last seconds, for a rate; 0 when finished. */
  readonly perSecond: number;
  /** `null` when nothing is left, or nothing moves. */
  readonly remainingMs: number | null;
  readonly hasResources: boolean;
  /** How far monitoring is behind the run, and what it had to drop. */
  readonly lagMs: number | null;
  readonly lostEvents: number;
}

/** `GET api/runs/RUN/series`: one value for each bucket of time. */
export interface Series {
  readonly bucketMs: number;
  /** Start of each bucket. */
  readonly times: readonly number[];
  /** How many were in it at the end of the bucket. */
  readonly waiting: readonly number[];
  readonly queued: readonly number[];
  readonly running: readonly number[];
  readonly done: readonly number[];
  readonly failed: readonly number[];
  /** How many ended within the bucket. */
  readonly doneIn: readonly number[];
  readonly failedIn: readonly number[];
  /** Workers with a task, on average over the bucket, and workers there are; empty when the database does not tell. */
  readonly busy: readonly number[];
  readonly workers: readonly (number | null)[];
}

/** `GET api/runs/RUN/tasks` */
export interface TaskRow {
  readonly id: number;
  readonly app: string;
  readonly state: State;
  readonly tries: number;
  readonly executor: string | null;
  readonly host: string | null;
  readonly worker: string | null;
  readonly invoked: number | null;
  readonly started: number | null;
  readonly ended: number | null;
  /** Of the last try, or so far. */
  readonly durationMs: number | null;
  readonly error: string | null;
}

/** Columns a list of tasks can be sorted by. */
export const taskSorts = ['id', 'ended', 'duration', 'tries'] as const;
export type TaskSort = (typeof taskSorts)[number];

/** `GET api/runs/RUN/count`: with the same filters. `isExact` is false when counting was cut short. */
export interface TaskCount {
  readonly count: number;
  readonly isExact: boolean;
}

/** `GET api/runs/RUN/facets`: what filters can be set to. */
export interface Facets {
  readonly apps: readonly string[];
  readonly executors: readonly string[];
  readonly workers: readonly string[];
  /** Filters that this database has no column for. */
  readonly missing: readonly string[];
}

/** One try of a task. */
export interface TryRow {
  readonly number: number;
  readonly executor: string | null;
  readonly host: string | null;
  readonly block: string | null;
  readonly manager: string | null;
  readonly worker: string | null;
  readonly pid: number | null;
  readonly launched: number | null;
  readonly started: number | null;
  readonly ended: number | null;
  readonly returned: number | null;
  readonly error: string | null;
  /** With the remote stack. */
  readonly errorText: string | null;
}

/** A task beside the one that is shown. */
export interface Neighbour {
  readonly id: number;
  readonly app: string;
  readonly state: State;
}

/** `GET api/runs/RUN/tasks/TASK` */
export interface TaskDetail extends TaskRow {
  readonly runName: string;
  /** There is no task with a higher number. */
  readonly isLast: boolean;
  /** It is not settled and never will be: its run was lost. When it last gave a sign of life. */
  readonly lostAt: number | null;
  /** Arguments and result, in short. */
  readonly inputs: string | null;
  readonly result: string | null;
  /** Files that go in and come out: `in: PATH`. */
  readonly files: readonly string[];
  readonly memo: string | null;
  readonly isMemoized: boolean | null;
  /** As the user named it. */
  readonly stage: string | null;
  /** Paths. */
  readonly stdout: string | null;
  readonly stderr: string | null;
  readonly errorText: string | null;
  /** Of Chervil: `APP_ERROR`, `WORKER_LOST`, … */
  readonly errorCode: string | null;
  /** The task with which its failure began. */
  readonly rootTask: Neighbour | null;
  readonly tryRows: readonly TryRow[];
  readonly history: readonly { readonly state: State; readonly at: number; readonly tryNumber: number }[];
  readonly dependsOn: readonly Neighbour[];
  readonly neededBy: readonly Neighbour[];
  /** More than are listed. */
  readonly neededByMore: number;
  readonly joins: readonly Neighbour[];
  /** The join task whose body called it. */
  readonly parent: Neighbour | null;
  readonly resources: readonly ResourceRow[];
  /** The end of what it printed, where it is kept in the database. */
  readonly tails: readonly { readonly stream: string; readonly bytes: number; readonly text: string }[];
}

/** A sample of a try's resources. */
export interface ResourceRow {
  readonly at: number;
  readonly tryNumber: number;
  readonly memory: number | null;
  /** Seconds of CPU since the try began, user and system. */
  readonly cpuSeconds: number | null;
  readonly read: number | null;
  readonly written: number | null;
  readonly children: number | null;
  readonly switches: number | null;
}

/** `GET api/runs/RUN/tasks/TASK/output/stdout`: the end of a file. */
export interface OutputText {
  readonly path: string;
  readonly text: string;
  readonly size: number;
  /** Where the text begins in the file. */
  readonly offset: number;
  /** Why there is no text. */
  readonly problem: string | null;
}

/** A node of the graph: an app with its tasks, or one task. */
export interface GraphNode {
  readonly id: string;
  readonly app: string;
  readonly task: number | null;
  readonly total: number;
  readonly counts: Counts;
}

/** `GET api/runs/RUN/graph` */
export interface Graph {
  readonly by: 'app' | 'task';
  readonly nodes: readonly GraphNode[];
  /** Indexes into nodes, and how many dependencies it stands for. */
  readonly edges: readonly (readonly [from: number, to: number, count: number])[];
  readonly totalTasks: number;
  /** Tasks that are left out, because there are too many to draw. */
  readonly omitted: number;
  /** Edges are those of a sample of the tasks. */
  readonly isEstimated: boolean;
}

/** A bar on the timeline. */
export interface TimelineBar {
  readonly task: number;
  readonly tryNumber: number;
  readonly app: number;
  readonly from: number;
  /** `null`: it still runs. */
  readonly to: number | null;
  readonly isFailed: boolean;
}

/** One worker on the timeline. */
export interface TimelineRow {
  readonly worker: string;
  readonly host: string | null;
  readonly tries: number;
  readonly busyMs: number;
  /** Bars, when there are few. */
  readonly bars: readonly TimelineBar[];
  /** Else, for each bucket the share of time it was busy (0 to 1), and how many tries failed in it. */
  readonly busy: readonly number[];
  readonly failed: readonly number[];
}

/** `GET api/runs/RUN/timeline` */
export interface Timeline {
  readonly from: number;
  readonly to: number;
  /** Of the run. */
  readonly began: number;
  readonly ended: number;
  readonly apps: readonly string[];
  readonly isAggregated: boolean;
  /** How busy workers were is known from moments, and so by a few percent. */
  readonly isSampled: boolean;
  readonly buckets: number;
  readonly rows: readonly TimelineRow[];
  /** Rows that are left out. */
  readonly omitted: number;
  readonly tries: number;
  /** What a row is: a database of Parsl knows hosts only. */
  readonly by: 'worker' | 'host';
  readonly now: number;
}

/** `GET api/runs/RUN/managers`: those that are there first. */
export interface Managers extends Part<NodeRow> {
  /** How many of `total` are there. */
  readonly active: number;
  readonly isOver: boolean;
  readonly now: number;
}

/** A manager: the pool of workers of one node. */
export interface NodeRow {
  readonly manager: string;
  readonly host: string | null;
  readonly block: string | null;
  readonly executor: string | null;
  readonly isActive: boolean | null;
  readonly workers: number | null;
  readonly cpus: number | null;
  readonly memory: number | null;
  readonly busy: number | null;
  /** `node` or `python`. */
  readonly runtime: string | null;
  readonly version: string | null;
  readonly since: number | null;
  readonly lastHeartbeat: number | null;
  /** Why it went, or what is unusual. */
  readonly reason: string | null;
}

/** `GET api/runs/RUN/blocks`, a `Part`, those of which something happened last first: one block and what happened to it. */
export interface BlockRow {
  readonly block: string;
  readonly executor: string;
  readonly job: string | null;
  readonly status: string;
  readonly history: readonly {
    readonly at: number;
    readonly status: string;
    /** Why it was started or ended. */
    readonly reason: string | null;
    /** The end of what its job wrote to stderr. */
    readonly detail: string | null;
  }[];
}

/** An executor, as it said of itself last. */
export interface ExecutorRow {
  readonly executor: string;
  readonly kind: string | null;
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly workers: number | null;
  readonly busy: number | null;
  readonly managers: number | null;
  readonly blocks: number | null;
  readonly outstanding: number | null;
  readonly queued: number | null;
}

/** `GET api/runs/RUN/executors` */
export interface Executors {
  readonly executors: readonly ExecutorRow[];
  /** The run has ended, or has lost its program: nothing of this is there any more. */
  readonly isOver: boolean;
}

/** One thing that wants attention. */
export interface Concern {
  readonly kind: 'stuck' | 'failures' | 'straggler' | 'retries' | 'host' | 'block' | 'silent';
  readonly severity: 'serious' | 'warning' | 'note';
  readonly title: string;
  /** What it means and what to try. */
  readonly advice: string;
  readonly detail: string | null;
  readonly count: number;
  /** Some of the tasks it is about. */
  readonly tasks: readonly Neighbour[];
  /** Query of the list of all of them: `state=failed&app=…`. */
  readonly filter: string | null;
}

/** `GET api/runs/RUN/attention` */
export interface Attention {
  readonly concerns: readonly Concern[];
  /** What was looked at: for a page that has nothing to say. */
  readonly looked: readonly string[];
}

/** What `GET api/live?run=RUN` sends as event `run`; its id is a number that grows. */
export interface LiveEvent {
  readonly run: string;
  readonly at: number;
  readonly counts: Counts;
  readonly completed: number | null;
  /** The run cannot be told of any more: those who ask are told why. */
  readonly isGone: boolean;
}

/** The body of every answer that is not 200. */
export interface Problem {
  readonly error: string;
  readonly advice: string | null;
}

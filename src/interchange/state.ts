// The whole state of an interchange, in one place. Only the core's own files change it; shells and tests read it.
import type { Counters } from '../wire/messages/command.ts';
import { allEras, type Era } from '../wire/messages/era.ts';
import type { InterchangeEffect, InterchangeSettings, LogLevel } from './events.ts';
import { Lane, mostLanes } from './lane.ts';
import { type Manager, ManagerTable } from './managers.ts';
import { Seldom } from './seldom.ts';
import { readyManagers } from './selectors.ts';
import { TaskBytes, TaskRecords } from './task.ts';
import { TaskTable } from './task-table.ts';
import { firstReference, type VersionReference } from './versions.ts';

export interface InterchangeState {
  readonly settings: InterchangeSettings;
  /** Whether lines of the level `debug` are wanted. They come with every task: ask before making the text. */
  readonly logsDebug: boolean;
  /** Every unanswered task. */
  readonly tasks: TaskTable;
  readonly bytes: TaskBytes;
  readonly records: TaskRecords;
  /** The context of the batch of tasks that came last. */
  lastContext: Uint8Array;
  readonly lanes: Map<string, Lane>;
  readonly managers: ManagerTable;
  /** Managers whose connection broke, in the order in which it did. */
  readonly disconnected: Set<Manager>;
  /** Blocks whose jobs are over, as their submitter said. */
  readonly endedBlocks: Set<string>;
  /** Managers that said when they want to drain, and no later than when the first of them does. */
  readonly leaving: Set<Manager>;
  leavesFrom: number;
  /** Block ids in order of registration, one for each manager, kept for ever as Parsl does. */
  readonly blocks: string[];
  readonly reference: VersionReference;
  /** The eras the submitter may be of, as far as it has shown. */
  submitEras: readonly Era[];
  /** Whether the submitter has shown that it is Chervil's: only then does it get what Parsl's does not know. */
  isChervilSubmitter: boolean;
  /** Managers turned away, the latest last, at most {@link mostRefusals}. */
  readonly refusals: Map<string, { reason: string; times: number }>;
  /** Files of code for pools that share no file system with the submitter, and how many bytes they are. */
  readonly code: Map<string, Uint8Array>;
  codeBytes: number;
  /** Peers that have drained, the latest last: what they still say is no fault. See outsiders.ts. */
  readonly drained: Set<string>;
  /** What the log has said of peers that may say the same again and again. */
  readonly seldom: Seldom;
  readonly counters: { -readonly [Name in keyof Counters]: number };
  /** Managers whose results came in this turn and that were not yet given new tasks. */
  readonly freed: Manager[];
  /** Managers to tell monitoring about at the end of the turn. */
  readonly marked: Manager[];
  /** When the timer asked for last fires; infinite when none runs. */
  timerAt: number;
  /** Nobody is declared lost before this time. */
  patientUntil: number;
  /** Since when tasks of Parsl's wait, and no manager runs Python though there are some. */
  unservedSince: number | undefined;
  nextSerial: number;
  hasEnded: boolean;
}

export const mostRefusals = 100;
/** Memory is given to tasks before it is given to code: a run has some hundred functions, of a megabyte at most. */
export const mostCodeBytes = 1024 ** 3;

/** An interchange that has heard nothing yet. */
export function createInterchange(settings: InterchangeSettings): InterchangeState {
  return {
    settings,
    logsDebug: settings.logLevel === 'debug',
    tasks: new TaskTable(),
    bytes: new TaskBytes(),
    records: new TaskRecords(),
    lastContext: new Uint8Array(0),
    lanes: new Map(),
    managers: new ManagerTable(),
    disconnected: new Set(),
    endedBlocks: new Set(),
    leaving: new Set(),
    leavesFrom: Number.POSITIVE_INFINITY,
    blocks: [],
    reference: firstReference(settings.versions),
    submitEras: settings.submitEras ?? allEras,
    isChervilSubmitter: false,
    refusals: new Map(),
    code: new Map(),
    codeBytes: 0,
    drained: new Set(),
    seldom: new Seldom(),
    counters: {
      received: 0,
      queued: 0,
      leased: 0,
      answered: 0,
      results: 0,
      failures: 0,
      cancelled: 0,
      strayResults: 0,
      malformed: 0,
      duplicates: 0,
      managersRegistered: 0,
      managersRefused: 0,
      managersLost: 0,
    },
    freed: [],
    marked: [],
    timerAt: Number.POSITIVE_INFINITY,
    patientUntil: Number.NEGATIVE_INFINITY,
    unservedSince: undefined,
    nextSerial: 0,
    hasEnded: false,
  };
}

/** The lane of `runtime`; `undefined` when there are too many to open another. */
export function laneOf(state: InterchangeState, runtime: string): Lane | undefined {
  let lane = state.lanes.get(runtime);
  if (lane === undefined && state.lanes.size < mostLanes) {
    lane = new Lane(runtime, readyManagers(state.settings.selector, state.settings.random));
    state.lanes.set(runtime, lane);
  }
  return lane;
}

const levels = { debug: 0, info: 1, warning: 2, error: 3 } as const satisfies Record<LogLevel, number>;

export function log(state: InterchangeState, effects: InterchangeEffect[], level: LogLevel, text: string): void {
  if (levels[level] >= levels[state.settings.logLevel ?? 'info']) effects.push({ do: 'log', level, text });
}

/** A line that a peer can cause as often as it likes: the 1st, 10th, 100th, … of this key is told. */
export function logSeldom(
  state: InterchangeState,
  effects: InterchangeEffect[],
  level: LogLevel,
  key: string,
  text: string,
): void {
  const often = state.seldom.count(key);
  if (often !== undefined) log(state, effects, level, text + often);
}

// The command channel: a submitter asks, the interchange answers every request exactly once.

/** What a submitter may ask. Old forms are read into the same cases. */
export type Command =
  | { readonly name: 'worker binds' }
  | { readonly name: 'worker ports' }
  | { readonly name: 'outstanding' }
  | { readonly name: 'workers' }
  | { readonly name: 'connected blocks' }
  | { readonly name: 'managers' }
  | { readonly name: 'managers packages' }
  | { readonly name: 'hold manager'; readonly manager: string }
  /** Extension `["CHERVIL_CANCEL", [ids]]`. */
  | { readonly name: 'cancel'; readonly taskIds: readonly number[] }
  /** Extension `"CHERVIL_STATUS"`. */
  | { readonly name: 'status' }
  | { readonly name: 'unknown'; readonly shown: string };

/** One line of the answer to `MANAGERS`. */
export interface ManagerLine {
  readonly manager: string;
  readonly blockId: string;
  readonly workerCount: number;
  readonly tasks: number;
  /** Seconds; 0 while it has tasks. */
  readonly idleSeconds: number;
  readonly isActive: boolean;
  readonly parslVersion: string;
  readonly pythonVersion: string;
  readonly isDraining: boolean;
}

/** What became of a task somebody wants cancelled. */
export type CancelAnswer =
  /** It was still queued and will never run. */
  | 'removed'
  /** Its manager was asked to stop it; its result still comes. */
  | 'asked'
  /** It runs on a manager that cannot stop tasks. */
  | 'running'
  /** No such task is unanswered. */
  | 'unknown';

/** Where the interchange's tasks stand: `received = queued + leased + answered`, always. */
export interface Counters {
  readonly received: number;
  readonly queued: number;
  readonly leased: number;
  readonly answered: number;
  /** Results passed on to the submitter. */
  readonly results: number;
  /** Failures made here: managers lost, unreadable tasks and results. */
  readonly failures: number;
  readonly cancelled: number;
  /** Results for tasks that were answered before, never existed, or belong to another manager. */
  readonly strayResults: number;
  /** Task frames and messages without meaning, dropped. */
  readonly malformed: number;
  /** Tasks whose id was still unanswered when it came again; the second is dropped. */
  readonly duplicates: number;
  readonly managersRegistered: number;
  readonly managersRefused: number;
  readonly managersLost: number;
}

/** Everything `chervil interchange --status` shows. */
export interface StatusReport {
  readonly counters: Counters;
  readonly managers: readonly ManagerLine[];
  /** Queued tasks and ready managers of each runtime. */
  readonly lanes: readonly { readonly runtime: string; readonly readyManagers: number }[];
  /** The latest refusals, oldest first. */
  readonly refusals: readonly { readonly manager: string; readonly reason: string; readonly times: number }[];
}

/** An answer, before it is pickled. */
export type CommandReply =
  | { readonly name: 'nothing' }
  | { readonly name: 'number'; readonly value: number }
  | { readonly name: 'ports' }
  | { readonly name: 'port' }
  | { readonly name: 'texts'; readonly values: readonly string[] }
  | { readonly name: 'managers'; readonly managers: readonly ManagerLine[] }
  | {
      readonly name: 'packages';
      readonly managers: readonly { readonly manager: string; readonly packages: ReadonlyMap<string, string> }[];
    }
  | { readonly name: 'cancelled'; readonly answers: readonly CancelAnswer[] }
  | { readonly name: 'status'; readonly report: StatusReport };

// What can happen to the interchange, and what it can want: the two unions between the pure core and its shell.

import type { LogText } from '../base/log-text.ts';
import type { TaskBatch } from '../wire/messages/batch.ts';
import type { Command, CommandReply, StatusReport } from '../wire/messages/command.ts';
import type { Envelope, Era, PoolStyle } from '../wire/messages/era.ts';
import type { Item } from '../wire/messages/item.ts';
import type { Registration } from '../wire/messages/manager.ts';
import type { Manager } from './managers.ts';
import type { TaskRecord } from './task.ts';

/**
 * Something that happened, already checked by the message codecs. `peer` is a pool's ZeroMQ identity, one character a
 * byte. `turn` ends the turn of the loop in which the events before it came.
 */
export type InterchangeEvent =
  /** The submitter sent a task: its pickled dict without header and STOP lies in `bytes` from `start` to `end`. */
  | {
      readonly type: 'task';
      readonly taskId: number;
      readonly priority: number | undefined;
      readonly runtime: string | undefined;
      readonly bytes: Uint8Array;
      readonly start: number;
      readonly end: number;
    }
  /** A Chervil submitter sent many tasks at once. */
  | {
      readonly type: 'task batch';
      readonly priority: number | undefined;
      readonly runtime: string | undefined;
      readonly batch: TaskBatch;
    }
  /** The form of the submitter's tasks is known now. Comes once, before the first of them. */
  | { readonly type: 'envelope'; readonly envelope: Envelope }
  /** The submitter sent something that is no task; with its id, if that could be read. */
  | { readonly type: 'unreadable task'; readonly taskId: number | undefined; readonly reason: string }
  | { readonly type: 'probe'; readonly peer: string; readonly isChervil?: boolean }
  | {
      readonly type: 'registration';
      readonly peer: string;
      readonly style: PoolStyle;
      readonly registration: Registration;
    }
  | { readonly type: 'heartbeat'; readonly peer: string }
  | { readonly type: 'drain'; readonly peer: string }
  /** A Chervil pool can hold more or fewer tasks from now on. */
  | { readonly type: 'capacity'; readonly peer: string; readonly capacity: number }
  /** The submitter sent a file of code; a pool asks for one. */
  | { readonly type: 'code'; readonly name: string; readonly bytes: Uint8Array }
  | { readonly type: 'code wanted'; readonly peer: string; readonly name: string }
  | { readonly type: 'results'; readonly peer: string; readonly items: readonly Item[] }
  /** A pool sent something without meaning. */
  | { readonly type: 'malformed'; readonly peer: string; readonly reason: string }
  /** A pool's connection broke, or stands again. */
  | { readonly type: 'disconnected'; readonly peer: string }
  | { readonly type: 'connected'; readonly peer: string }
  /** Somebody with access to the pool port asks for the status. */
  | { readonly type: 'status'; readonly peer: string; readonly style: PoolStyle }
  /** `token` comes back with the answer. */
  | { readonly type: 'command'; readonly token: number; readonly command: Command }
  /** The time asked for with the effect `timer` has come. */
  | { readonly type: 'timer' }
  /** All results that a pool sent at once were seen: it gets its next tasks now. */
  | { readonly type: 'refill' }
  /** No more input at present: tasks are given out now. */
  | { readonly type: 'turn' };

/** What the shell must do. Effects are carried out in order, and before the next event. */
export type InterchangeEffect =
  /** Send these tasks in one message, then let go of their bytes. */
  | { readonly do: 'send tasks'; readonly manager: Manager; readonly tasks: readonly TaskRecord[] }
  | {
      readonly do: 'reply';
      readonly peer: string;
      readonly style: PoolStyle;
      readonly what: 'probe' | 'heartbeat' | 'drained' | 'welcome';
    }
  /** Tell a Chervil pool why it may not join. */
  | { readonly do: 'explain refusal'; readonly peer: string; readonly reason: string }
  /** Ask a Chervil pool to stop a running task. */
  | { readonly do: 'cancel task'; readonly manager: Manager; readonly taskId: number; readonly reason: string }
  /** Give a Chervil pool the file that it asked for, or tell it that there is none. */
  | { readonly do: 'send code'; readonly peer: string; readonly name: string; readonly bytes: Uint8Array | undefined }
  /** Pass these frames to the submitter, byte for byte, in one message. */
  | { readonly do: 'forward'; readonly frames: readonly Uint8Array[] }
  /** Answer a task, or with id -1 the whole run, with a failure made here. */
  | { readonly do: 'fail'; readonly taskId: number; readonly failure: Failure }
  | { readonly do: 'answer'; readonly token: number; readonly reply: CommandReply }
  | { readonly do: 'show status'; readonly peer: string; readonly style: PoolStyle; readonly report: StatusReport }
  /** Pass on a monitoring payload. */
  | { readonly do: 'relay monitoring'; readonly frame: Uint8Array }
  /** Tell monitoring how this manager stands. */
  | { readonly do: 'record manager'; readonly manager: Manager; readonly now: number }
  | { readonly do: 'log'; readonly level: LogLevel; readonly text: string | LogText }
  /** Send the event `timer` at this time, in milliseconds. A new one replaces the old one. */
  | { readonly do: 'timer'; readonly at: number }
  /** Send what is waiting, then end the process. */
  | { readonly do: 'end'; readonly reason: string };

export type LogLevel = 'debug' | 'info' | 'warning' | 'error';

/** Why a task fails without having run to its end. */
export type Failure =
  | {
      readonly kind: 'manager lost';
      readonly manager: string;
      readonly hostname: string;
      /** Milliseconds since the epoch. */
      readonly at: number;
    }
  | { readonly kind: 'version mismatch'; readonly interchange: string; readonly manager: string }
  | { readonly kind: 'unreadable task'; readonly reason: string }
  | { readonly kind: 'unreadable result'; readonly manager: string; readonly reason: string }
  | { readonly kind: 'cancelled' };

/** What the core must know of the run. */
export interface InterchangeSettings {
  /** How long a silent manager is kept, in milliseconds. */
  readonly heartbeatThresholdMs: number;
  /**
   * How long a manager whose connection broke is kept, in milliseconds. `undefined`: as long as a silent one.
   * @default undefined
   */
  readonly disconnectGraceMs?: number;
  readonly selector: 'random' | 'block-id';
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly versions: VersionPolicy;
  /** The eras the submitter may be of, as far as its configuration tells. @default every era */
  readonly submitEras?: readonly Era[];
  /** Whether monitoring listens. @default false */
  readonly isMonitored?: boolean;
  /** Log lines below this are not made. @default 'info' */
  readonly logLevel?: LogLevel;
  /** Most bytes of tasks in one message. @default 8 MiB */
  readonly batchBytes?: number;
}

/** A Parsl on this machine. */
export interface Installation {
  readonly parsl: string;
  /** Major and minor number. */
  readonly python: string;
  /** The file that says so. */
  readonly where: string;
}

/** What is asked of a manager's versions. */
export interface VersionPolicy {
  /**
   * `refuse` turns a wrong manager away and goes on; `end` is Parsl's own way: the run ends with a VersionMismatch;
   * `accept` does not look.
   */
  readonly onMismatch: 'refuse' | 'end' | 'accept';
  /** The version of Parsl that managers must have, if somebody said so. */
  readonly parsl?: string;
  /** Likewise of Python; major and minor number count. */
  readonly python?: string;
  /** The Parsl installed beside this process. Believed once a manager has the same. */
  readonly installation?: Installation;
}

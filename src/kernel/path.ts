// The path of a task through the kernel, as data: what an elaborator is, and what it can say. The kernel's loop walks it.
import type { Waitable } from '../task/cell.ts';
import type { Outcome } from '../task/outcome.ts';
import type { AppRecord } from './app-record.ts';
import type { Kernel } from './kernel.ts';
import type { Task } from './task.ts';

/** What an elaborator says when it is asked. */
export type Step =
  /** On, in the same direction. */
  | { readonly do: 'go' }
  /** Come back to me when this is done. */
  | { readonly do: 'wait'; readonly for: Waitable }
  /** Turn round here, or, on the way back, go on with this outcome instead. */
  | { readonly do: 'answer'; readonly outcome: Outcome }
  /** On the way back only: down again from here, as a new try. */
  | { readonly do: 'again'; readonly afterMs: number };

/** On, in the same direction: one object for all. */
export const go: Step = { do: 'go' };

/**
 * One thing that happens to tasks on their way to an executor and back. Contract:
 * every task that was entered leaves exactly once, however it ends, except that one answered in `enter` does not leave,
 * and that a wait in `leave` is followed by another `leave` with the same outcome (or, when the task is interrupted
 * meanwhile, with that one; `task.isInterrupted` tells); `again` makes the way below it, and back to it, anew;
 * neither hook blocks; a hook that throws fails the task with an ElaboratorError (its own `leave` is still called when
 * `enter` threw, for what it had begun), and the elaborators above still leave.
 */
export interface Elaborator {
  readonly name: string;
  /** Whether tasks of this app pass here at all. Asked once per app. Default: yes. */
  concerns?(app: AppRecord): boolean;
  /** Asked in the call itself, before there is a task of it: what it throws, the call throws, and nothing else happens. */
  accept?(task: Task): void;
  /** On the way to the executor. */
  enter?(task: Task): Step;
  /** On the way back. */
  leave?(task: Task, outcome: Outcome): Step;
}

/** Makes an elaborator for one kernel. */
export type ElaboratorMaker = (kernel: Kernel) => Elaborator;

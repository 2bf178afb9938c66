// memo: answers a call that equals an earlier one. Equal calls in flight share one execution: they follow the key, not the
// leader, so when the leader is cancelled, times out or is lost, the next of them leads.
import type { Cell, Waitable, Waiter } from '../../task/cell.ts';
import { ChervilError, DependencyError, JoinError, MemoCycleError, type TaskError } from '../../task/errors.ts';
import { fail, type Outcome } from '../../task/outcome.ts';
import type { MemoStore } from '../memo/store.ts';
import { type Elaborator, go } from '../path.ts';
import { Task } from '../task.ts';

/** How the calls of a memoized app are told apart. */
export interface MemoOption {
  /** Gives what identifies a call, in place of its arguments. */
  // biome-ignore lint/suspicious/noExplicitAny: the arguments of any app
  readonly key?: (...args: any[]) => unknown;
  /** What identifies the function: its source with what it captured, or its name alone, as in Parsl. @default 'source' */
  readonly function?: 'source' | 'name';
  /** What identifies a local file: its URL, its size and time of change too, or its content. @default 'stat' */
  readonly files?: 'url' | 'stat' | 'content';
  /** Arguments by position, or properties by name, that do not count. */
  readonly ignore?: readonly (number | string)[];
}

/** Equal calls that are under way. */
interface Flight {
  leader: Task;
  /** Those who wait, first come first. */
  readonly followers: Map<Task, Turn>;
}

export function memo(store: MemoStore): () => Elaborator {
  return () => {
    const flights = new Map<string, Flight>();
    return {
      name: 'memo',
      concerns: (app) => app.memo !== undefined,
      enter(task) {
        const notes = task.note();
        notes.memoKey ??= store.keyOf(task);
        const key = notes.memoKey;
        const remembered = store.lookup(key);
        if (remembered !== undefined) {
          flights.get(key)?.followers.delete(task);
          task.isMemoized = true;
          return { do: 'answer', outcome: remembered };
        }
        const flight = flights.get(key);
        if (flight === undefined) {
          flights.set(key, { leader: task, followers: new Map() });
          return go;
        }
        if (flight.leader === task) return go;
        if (wouldWaitForItself(flight.leader, task, flights)) {
          return { do: 'answer', outcome: fail(cycleError(task, flight.leader)) };
        }
        const turn = new Turn();
        flight.followers.set(task, turn);
        return { do: 'wait', for: turn };
      },
      leave(task, outcome) {
        const notes = task.note();
        const key = notes.memoKey;
        const flight = key === undefined ? undefined : flights.get(key);
        if (key === undefined || flight === undefined) return go;
        if (flight.leader !== task) {
          flight.followers.delete(task);
          return go;
        }
        if (isShared(outcome)) {
          const saved = store.remember(key, task, outcome);
          flights.delete(key);
          // Those who follow see it at once; this one's future settles when the result is on disk.
          for (const turn of flight.followers.values()) turn.come();
          return saved === undefined ? go : { do: 'wait', for: saved };
        }
        const next = flight.followers.entries().next().value;
        if (next === undefined) {
          flights.delete(key);
        } else {
          const [follower, turn] = next;
          flight.leader = follower;
          flight.followers.delete(follower);
          turn.come();
        }
        return go;
      },
    };
  };
}

/** What the app itself gave: its value, or its own failure. That it was cancelled, timed out or lost says nothing of the call. */
function isShared(outcome: Outcome): boolean {
  return outcome.ok || isOwnFailure(outcome.error);
}

/** A join's failure is its own if those of the joined tasks are theirs. */
function isOwnFailure(root: unknown): boolean {
  const seen = new Set<unknown>();
  const errors = [root];
  for (let error = errors.pop(); error !== undefined; error = errors.pop()) {
    if (seen.has(error) || !(error instanceof ChervilError)) continue;
    seen.add(error);
    if (error instanceof JoinError || error instanceof DependencyError)
      errors.push(...error.failures.map((failure) => failure.error));
    else if (!ownFailures.has(error.code)) return false;
  }
  return true;
}

const ownFailures: ReadonlySet<string> = new Set([
  'APP_ERROR',
  'BASH_EXIT',
  'BASH_NO_COMMAND',
  'MISSING_OUTPUTS',
  'JOIN_RESULT',
  'SERIALIZATION',
] satisfies TaskError['code'][]);

/** Whether `leader`, being a join, waits for `follower` already, through its children, their dependencies and their leaders. */
function wouldWaitForItself(leader: Task, follower: Task, flights: ReadonlyMap<string, Flight>): boolean {
  if (leader.record.body.kind !== 'join') return false;
  const seen = new Set<Cell>();
  const below: Cell[] = [leader];
  for (let cell = below.pop(); cell !== undefined; cell = below.pop()) {
    const task = cell.source;
    if (seen.has(task) || task.isSettled) continue;
    seen.add(task);
    if (task === follower) return true;
    if (!(task instanceof Task)) continue;
    below.push(...(task.notes?.children ?? []), ...(task.notes?.joins ?? []));
    if (task.dependencies !== undefined) below.push(...[task.dependencies].flat());
    const key = task.notes?.memoKey;
    const flight = key === undefined ? undefined : flights.get(key);
    if (flight?.followers.has(task)) below.push(flight.leader);
  }
  return false;
}

function cycleError(task: Task, leader: Task): MemoCycleError {
  return new MemoCycleError(
    `${task.app}() was called with the arguments of task ${leader.id}, which is under way and waits for this very call: it would never end. Check what ends the recursion, or leave out memo.`,
  );
}

/** The turn of one who follows. */
class Turn implements Waitable {
  isSettled = false;
  #waiter: Waiter | undefined;

  attach(waiter: Waiter): void {
    this.#waiter = waiter;
  }

  detach(): void {
    this.#waiter = undefined;
  }

  come(): void {
    this.isSettled = true;
    this.#waiter?.onSettled(this);
  }
}

// The interchange's decisions, without sockets, files, clock or chance. The shell (main.ts) and the simulation feed it
// events and carry out the effects.
//
//   submitter --tasks-->   +--------------------------+   --task batches-->   managers (worker pools)
//             <--results-- |  step(state, event, now) |   <--results, heartbeats, registration, drain--
//             --commands-> +--------------------------+
//
// A task is on the books from the event `task` to its one answer: `received = queued + leased + answered`, always.
import { assertNever } from '../base/assert.ts';
import { Wording } from '../base/log-text.ts';
import { entry, type ResultBatch, ResultGatherer } from '../wire/messages/batch.ts';
import type { PoolStyle } from '../wire/messages/era.ts';
import type { Item } from '../wire/messages/item.ts';
import { fail, settle } from './answer.ts';
import { onCommand, statusReport } from './commands.ts';
import { drain, finishDrain } from './drain.ts';
import type { InterchangeEffect, InterchangeEvent } from './events.ts';
import { mostCapacity, reconsider, register } from './joining.ts';
import { type Manager, showIdentity } from './managers.ts';
import { noteOutsider, onOutsidersResults } from './outsiders.ts';
import { giveOut, mark, noteFreed, refill, sayHolding, updateReady } from './schedule.ts';
import { loseIfEnded, onTimer, setTimer } from './silence.ts';
import { type InterchangeState, laneOf, log, logSeldom, mostCodeBytes } from './state.ts';
import { noteUnserved } from './unserved.ts';

export { checkLaw } from './answer.ts';
export { createInterchange, type InterchangeState } from './state.ts';

/**
 * Advances the interchange by one event and appends what must be done to `effects`. The state changes in place.
 * Tasks are given out and timers set by the event `turn`, so that all that one turn of the loop received is seen first:
 * send it after every group of events, `timer` included, of which {@link wantsTurn} says so for one. Results are the
 * exception: `refill` behind them gives their manager its next tasks without waiting for other managers.
 *
 * @param now - milliseconds since the epoch, never less than in the call before
 *
 * @example
 * const state = createInterchange({ heartbeatThresholdMs: 120_000, selector: 'random', random: Math.random, versions: { onMismatch: 'refuse' } });
 * const effects: InterchangeEffect[] = [];
 * const body = { bytes, start: 0, end: bytes.length };
 * step(state, { type: 'task', taskId: 1, priority: undefined, runtime: undefined, ...body }, Date.now(), effects);
 * step(state, { type: 'turn' }, Date.now(), effects);
 */
export function step(
  state: InterchangeState,
  event: InterchangeEvent,
  now: number,
  effects: InterchangeEffect[],
): InterchangeEffect[] {
  switch (event.type) {
    case 'task':
      onTask(state, event, effects);
      return effects;
    case 'task batch':
      onTaskBatch(state, event, effects);
      return effects;
    case 'results':
      onResults(state, event.peer, event.items, now, effects);
      return effects;
    case 'refill':
      refill(state, now, effects);
      return effects;
    case 'turn':
      onTurn(state, now, effects);
      return effects;
    case 'heartbeat':
      onHeartbeat(state, event.peer, now, effects);
      return effects;
    case 'unreadable task':
      onUnreadableTask(state, event.taskId, event.reason, effects);
      return effects;
    case 'probe':
      effects.push({
        do: 'reply',
        peer: event.peer,
        style: 'one-port',
        what: event.isChervil === true ? 'welcome' : 'probe',
      });
      return effects;
    case 'registration':
      register(state, event.peer, event.style, event.registration, now, effects);
      return effects;
    case 'envelope':
      reconsider(state, event.envelope, now, effects);
      return effects;
    case 'drain':
      onDrain(state, event.peer, now, effects);
      return effects;
    case 'capacity':
      onCapacity(state, event.peer, event.capacity, effects);
      return effects;
    case 'code':
      onCode(state, event.name, event.bytes, effects);
      return effects;
    case 'code wanted':
      onCodeWanted(state, event.peer, event.name, effects);
      return effects;
    case 'malformed':
      state.counters.malformed++;
      logSeldom(
        state,
        effects,
        'warning',
        `malformed ${event.peer}`,
        `Dropped a message of ${showIdentity(event.peer)}: ${event.reason}`,
      );
      return effects;
    case 'disconnected':
      onConnection(state, event.peer, now, effects);
      return effects;
    case 'connected':
      onConnection(state, event.peer, undefined, effects);
      return effects;
    case 'status':
      effects.push({ do: 'show status', peer: event.peer, style: event.style, report: statusReport(state, now) });
      return effects;
    case 'command':
      onCommand(state, event.token, event.command, now, effects);
      return effects;
    case 'timer':
      onTimer(state, now, effects);
      return effects;
    default:
      return assertNever(event);
  }
}

const taskCame = new Wording('Put task ', ' onto pending_task_queue, where ', ' wait');
const batchCame = new Wording('Put a batch of ', ' tasks onto pending_task_queue, where ', ' wait');

function onTask(
  state: InterchangeState,
  event: Extract<InterchangeEvent, { type: 'task' }>,
  effects: InterchangeEffect[],
): void {
  const { counters, bytes } = state;
  const { taskId, priority, runtime } = event;
  // Parsl's submitters cannot put this key into a task.
  if (runtime !== undefined) state.isChervilSubmitter = true;
  if (state.tasks.get(taskId) !== undefined) {
    // Two answers to one id end Parsl's result thread, so the second task cannot be served.
    counters.duplicates++;
    log(state, effects, 'error', `Task ${taskId} came again while unanswered; dropped the second`);
    return;
  }
  const lane = laneOf(state, runtime ?? 'python');
  if (lane === undefined) {
    onUnreadableTask(state, taskId, 'it names a runtime, and there are too many different ones', effects);
    return;
  }
  bytes.store(event.bytes, event.start, event.end);
  const task = state.records.make(taskId, priority, lane, bytes.place, bytes.offset, event.end - event.start);
  state.tasks.add(task);
  lane.queue.push(task);
  counters.received++;
  counters.queued++;
  // Parsl's tests, and perhaps others, wait for these words to know that a task has come.
  if (state.logsDebug) {
    const text = taskCame.with(taskId, counters.queued);
    effects.push({ do: 'log', level: 'debug', text });
  }
}

function onTaskBatch(
  state: InterchangeState,
  { priority, runtime, batch }: Extract<InterchangeEvent, { type: 'task batch' }>,
  effects: InterchangeEffect[],
): void {
  const { counters, bytes, tasks } = state;
  const { frame, ids, starts, ends } = batch;
  state.isChervilSubmitter = true;
  const lane = laneOf(state, runtime ?? 'python');
  const context = knownContext(state, batch.context);
  for (let index = 0; index < ids.length; index++) {
    const taskId = ids[index] as number;
    if (lane === undefined) {
      onUnreadableTask(state, taskId, 'it names a runtime, and there are too many different ones', effects);
      continue;
    }
    if (tasks.get(taskId) !== undefined) {
      counters.duplicates++;
      log(state, effects, 'error', `Task ${taskId} came again while unanswered; dropped the second`);
      continue;
    }
    const start = starts[index] as number;
    const end = ends[index] as number;
    bytes.store(frame, start, end);
    const task = state.records.make(taskId, priority, lane, bytes.place, bytes.offset, end - start, context);
    tasks.add(task);
    lane.queue.push(task);
    counters.received++;
    counters.queued++;
  }
  if (state.logsDebug) {
    const text = batchCame.with(ids.length, counters.queued);
    effects.push({ do: 'log', level: 'debug', text });
  }
}

/** The copy of a context that the tasks share. Contexts hardly vary within a run. */
function knownContext(state: InterchangeState, context: Uint8Array): Uint8Array {
  const last = state.lastContext;
  if (last.length === context.length && last.every((byte, at) => byte === context[at])) return last;
  const copy = new Uint8Array(context);
  state.lastContext = copy;
  return copy;
}

function onUnreadableTask(
  state: InterchangeState,
  taskId: number | undefined,
  reason: string,
  effects: InterchangeEffect[],
): void {
  const { counters } = state;
  if (taskId === undefined || state.tasks.get(taskId) !== undefined) {
    counters.malformed++;
    log(state, effects, 'error', `Dropped a message on the task channel: ${reason}`);
    return;
  }
  counters.received++;
  counters.answered++;
  counters.failures++;
  effects.push({ do: 'fail', taskId, failure: { kind: 'unreadable task', reason } });
  log(state, effects, 'error', `Task ${taskId} fails: ${reason}`);
}

function onResults(
  state: InterchangeState,
  peer: string,
  items: readonly Item[],
  now: number,
  effects: InterchangeEffect[],
): void {
  const { counters } = state;
  const manager = state.managers.get(peer);
  if (manager === undefined) {
    onOutsidersResults(state, peer, items, effects);
    return;
  }
  let frames: Uint8Array[] | undefined;
  for (const item of items) {
    switch (item.kind) {
      case 'outcome': {
        const task = state.tasks.get(item.taskId);
        if (task?.manager !== manager) {
          dropStray(state, manager, item.taskId, effects);
          break;
        }
        if (item.isBare === true && !state.isChervilSubmitter) {
          counters.malformed++;
          const reason = 'its bytes do not begin with the name of a serializer';
          log(state, effects, 'error', `Unreadable result of ${manager.name} for task ${item.taskId}: ${reason}`);
          fail(state, effects, task, { kind: 'unreadable result', manager: manager.name, reason }, now);
          break;
        }
        settle(state, task, now);
        counters.results++;
        frames = joined(frames, item.frame);
        break;
      }
      case 'batch':
        frames = joined(frames, onResultBatch(state, manager, item.batch, now, effects));
        break;
      case 'note': {
        const task = state.tasks.get(item.taskId);
        // A note that comes after its task's answer has nobody to hear it, and an item of a type that Parsl's submitter
        // does not know would end its result thread.
        if (task?.manager === manager && state.isChervilSubmitter) frames = joined(frames, item.frame);
        break;
      }
      case 'monitoring':
        if (state.settings.isMonitored) effects.push({ do: 'relay monitoring', frame: item.frame });
        else counters.malformed++;
        break;
      case 'heartbeat':
        break;
      case 'unreadable': {
        counters.malformed++;
        logSeldom(state, effects, 'error', `result ${peer}`, `Unreadable result of ${manager.name}: ${item.reason}`);
        const task = item.taskId === undefined ? undefined : state.tasks.get(item.taskId);
        if (task?.manager !== manager) break;
        fail(state, effects, task, { kind: 'unreadable result', manager: manager.name, reason: item.reason }, now);
        break;
      }
      default:
        assertNever(item);
    }
  }
  if (frames !== undefined) {
    effects.push({ do: 'forward', frames });
    if (state.settings.isMonitored) mark(state, manager);
  }
  if (state.logsDebug) {
    manager.unsaid.came += items.length;
    manager.unsaid.passedOn += frames?.length ?? 0;
  }
  if (manager.isDraining && manager.leased === 0) {
    if (state.logsDebug) sayHolding(effects, manager, now);
    finishDrain(state, manager, now, effects);
  } else noteFreed(state, manager);
}

function dropStray(state: InterchangeState, manager: Manager, taskId: number, effects: InterchangeEffect[]): void {
  state.counters.strayResults++;
  const text = `Dropped a result of ${manager.name} for task ${taskId}, which it does not hold`;
  logSeldom(state, effects, 'warning', `stray ${manager.peer}`, text);
}

/** `frames` and one more. A literal is as long as what is in it, and mostly it is one; a list that grows makes room for more. */
function joined(frames: Uint8Array[] | undefined, frame: Uint8Array | undefined): Uint8Array[] | undefined {
  if (frame === undefined) return frames;
  if (frames === undefined) return [frame];
  frames.push(frame);
  return frames;
}

/** Settles the tasks of a batch. @returns what goes on to the submitter: all as it came, or without what nobody asked for */
function onResultBatch(
  state: InterchangeState,
  manager: Manager,
  batch: ResultBatch,
  now: number,
  effects: InterchangeEffect[],
): Uint8Array | undefined {
  const { counters, tasks } = state;
  const { frame, ids, whats, starts, ends } = batch;
  let isWhole = true;
  const isKept: boolean[] = [];
  for (let index = 0; index < ids.length; index++) {
    const taskId = ids[index] as number;
    const task = tasks.get(taskId);
    const isOurs = task?.manager === manager;
    const isNote = whats[index] === entry.note;
    const isWanted = isOurs && (!isNote || state.isChervilSubmitter);
    isKept.push(isWanted);
    if (!isWanted) isWhole = false;
    if (isNote) continue;
    if (isOurs) {
      settle(state, task, now);
      counters.results++;
    } else dropStray(state, manager, taskId, effects);
  }
  if (isWhole) return ids.length > 0 ? frame : undefined;
  const kept = new ResultGatherer();
  for (let index = 0; index < ids.length; index++) {
    if (isKept[index]) kept.add(ids[index] as number, whats[index] as number, frame, starts[index], ends[index]);
  }
  return kept.length > 0 ? kept.take() : undefined;
}

/** As the event `heartbeat` of a manager that is known and of this style, but for its answer. @returns whether it was that */
export function hear(state: InterchangeState, peer: string, style: PoolStyle, now: number): boolean {
  const manager = state.managers.get(peer);
  if (manager?.style !== style) return false;
  state.managers.hear(manager, now);
  return true;
}

function onHeartbeat(state: InterchangeState, peer: string, now: number, effects: InterchangeEffect[]): void {
  const manager = state.managers.get(peer);
  if (manager === undefined) {
    noteOutsider(state, peer, 'Heartbeat', effects);
    return;
  }
  state.managers.hear(manager, now);
  effects.push({ do: 'reply', peer, style: manager.style, what: 'heartbeat' });
}

function onCapacity(state: InterchangeState, peer: string, capacity: number, effects: InterchangeEffect[]): void {
  const manager = state.managers.get(peer);
  if (manager === undefined) {
    noteOutsider(state, peer, 'Capacity', effects);
    return;
  }
  manager.capacity = Math.max(0, Math.min(Math.floor(capacity), mostCapacity));
  updateReady(manager);
}

/** Kept as long as the run: a pool may come at any time. */
function onCode(state: InterchangeState, name: string, bytes: Uint8Array, effects: InterchangeEffect[]): void {
  if (state.code.has(name)) return;
  if (state.codeBytes + bytes.length > mostCodeBytes) {
    log(state, effects, 'error', `Dropped code ${name} of ${bytes.length} bytes: ${state.codeBytes} are kept already`);
    return;
  }
  // A copy: the bytes are a part of all that came with them.
  state.code.set(name, new Uint8Array(bytes));
  state.codeBytes += bytes.length;
}

function onCodeWanted(state: InterchangeState, peer: string, name: string, effects: InterchangeEffect[]): void {
  if (state.managers.get(peer) === undefined) {
    noteOutsider(state, peer, 'Wish for code', effects);
    return;
  }
  effects.push({ do: 'send code', peer, name, bytes: state.code.get(name) });
}

function onDrain(state: InterchangeState, peer: string, now: number, effects: InterchangeEffect[]): void {
  const manager = state.managers.get(peer);
  if (manager === undefined) {
    noteOutsider(state, peer, 'Drain request', effects);
    return;
  }
  drain(state, manager, now, effects);
}

function onConnection(
  state: InterchangeState,
  peer: string,
  brokenAt: number | undefined,
  effects: InterchangeEffect[],
): void {
  const manager = state.managers.get(peer);
  // A pool of two ports has two connections; the first to break counts, and the first to stand again.
  if (manager === undefined || (manager.disconnectedAt === undefined) === (brokenAt === undefined)) return;
  manager.disconnectedAt = brokenAt;
  state.disconnected.delete(manager);
  if (brokenAt !== undefined) state.disconnected.add(manager);
  updateReady(manager);
  const what = brokenAt === undefined ? 'is connected again' : 'has lost its connection';
  log(state, effects, 'info', `Manager ${manager.name} ${what}`);
  if (brokenAt !== undefined) loseIfEnded(state, manager, brokenAt, effects);
}

/**
 * Whether `event` may leave something for the event `turn` to do. After a heartbeat nothing can be given out that could
 * not before, and after results only to their managers, which `refill` sees to: an idle interchange does that much less.
 */
export function wantsTurn(state: InterchangeState, event: InterchangeEvent): boolean {
  if (event.type === 'heartbeat') return false;
  return (event.type !== 'results' && event.type !== 'refill') || state.marked.length > 0;
}

const recordEveryMs = 10_000;

function onTurn(state: InterchangeState, now: number, effects: InterchangeEffect[]): void {
  if (state.hasEnded) return;
  refill(state, now, effects);
  giveOut(state, now, effects);
  for (const manager of state.marked) {
    manager.isMarked = false;
    // Parsl's monitoring gets a record each time, as it always did; for ours one now and then will do.
    if (state.isChervilSubmitter && now - manager.recordedAt < recordEveryMs) continue;
    manager.recordedAt = now;
    effects.push({ do: 'record manager', manager, now });
  }
  state.marked.length = 0;
  noteUnserved(state, now);
  setTimer(state, effects);
}
